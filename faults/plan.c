/*
 * plan.c - reads and writes scenarios.
 */
#include "faults/plan.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "raftctl/units.h"

#define LINE_LEN 1024

static int
bad(struct errtext *et, unsigned line, const char *what, const char *word)
{
	return errtext(et, -EBADMSG, "line %u: %s: '%s'", line, what, word);
}

static int
parse_action(struct action *a, char *words[], int count, unsigned line,
    struct errtext *et)
{
	if (count < 3 || strcmp(words[0], "at") != 0)
		return bad(et, line, "not 'at TIME FAULT ...'", words[0]);
	/* bare 0 is a time as well */
	if (strcmp(words[1], "0") != 0 &&
	    units_duration_ms(words[1], &a->at_ms) < 0)
		return bad(et, line, "not a time", words[1]);
	if (count >= 5 && strcmp(words[count - 2], "for") == 0) {
		if (units_duration_ms(words[count - 1], &a->for_ms) < 0 ||
		    a->for_ms == 0)
			return bad(et, line, "not a time", words[count - 1]);
		count -= 2;
	}
	for (int i = 2; i < count; i++) {
		if (a->argc == PLAN_WORDS_MAX ||
		    strlen(words[i]) >= PLAN_WORD_LEN)
			return bad(
			    et, line, "too many or long words", words[i]);
		(void)snprintf(
		    a->word[a->argc++], PLAN_WORD_LEN, "%s", words[i]);
	}
	return 0;
}

/* Stable, so that actions of one time keep their order. */
static void
insert(struct plan *p, const struct action *a)
{
	unsigned i = p->count++;

	for (; i > 0 && p->action[i - 1].at_ms > a->at_ms; i--)
		p->action[i] = p->action[i - 1];
	p->action[i] = *a;
}

int
plan_read(struct plan *p, FILE *from, struct errtext *et)
{
	char text[LINE_LEN], *words[PLAN_WORDS_MAX + 6], *save;
	unsigned line = 0;
	int ret;

	p->count = 0;
	while (fgets(text, sizeof(text), from) != NULL) {
		struct action a = {0};
		int count = 0;

		line++;
		if (strchr(text, '\n') == NULL && strlen(text) + 1 == LINE_LEN)
			return bad(et, line, "too long", "...");
		text[strcspn(text, "#\n")] = '\0';
		for (char *w = strtok_r(text, " \t", &save); w != NULL;
		     w = strtok_r(NULL, " \t", &save)) {
			if (count == PLAN_WORDS_MAX + 6)
				return bad(et, line, "too many words", w);
			words[count++] = w;
		}
		if (count == 0)
			continue;
		if (p->count == PLAN_ACTIONS_MAX)
			return bad(et, line, "too many actions", words[0]);
		ret = parse_action(&a, words, count, line, et);
		if (ret < 0)
			return ret;
		insert(p, &a);
	}
	return 0;
}

void
plan_write(const struct plan *p, FILE *to)
{
	for (unsigned i = 0; i < p->count; i++) {
		const struct action *a = &p->action[i];

		(void)fprintf(to, "at %" PRIu64 "ms", a->at_ms);
		for (int w = 0; w < a->argc; w++)
			(void)fprintf(to, " %s", a->word[w]);
		if (a->for_ms != 0)
			(void)fprintf(to, " for %" PRIu64 "ms", a->for_ms);
		(void)fputc('\n', to);
	}
}
