/*
 * nemesis.c - draws scenarios.
 *
 * One fault at a time, none of which by itself stops a majority for good:
 * windows of one to five seconds, with one to three between, so that a
 * cluster has to fall and to get up again and again.
 */
#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "faults/plan.h"

#define WINDOW_MIN_MS 1000u
#define WINDOW_MAX_MS 5000u
#define GAP_MIN_MS 1000u
#define GAP_MAX_MS 3000u
#define SERVERS_MAX 16u

static const struct {
	const char *name, *group;
} drawn[] = {
    {"partition", "network"},
    {"isolate", "network"},
    {"oneway", "network"},
    {"cut", "network"},
    {"bridge", "network"},
    {"ring", "network"},
    {"delay", "network"},
    {"loss", "network"},
    {"dup", "network"},
    {"reorder", "network"},
    {"corrupt", "network"},
    {"reset", "network"},
    {"rate", "network"},
    {"kill", "process"},
    {"stop", "process"},
    {"pause", "process"},
    {"cpu", "process"},
    {"clock", "process"},
    {"slow", "disk"},
    {"eio", "disk"},
    {"full", "disk"},
    {"stall", "disk"},
    {"powerloss", "disk"},
    {"torn", "disk"},
};
#define DRAWN (sizeof(drawn) / sizeof(drawn[0]))

int
nemesis_kinds(
    const char *words, const char *kinds[NEMESIS_KINDS_MAX], struct errtext *et)
{
	size_t count = 0;

	static_assert(DRAWN < NEMESIS_KINDS_MAX, "each fits once");
	while (*words != '\0') {
		size_t len = strcspn(words, ","), before = count;

		for (size_t i = 0; i < DRAWN; i++)
			if ((strlen(drawn[i].name) == len &&
				memcmp(drawn[i].name, words, len) == 0) ||
			    (strlen(drawn[i].group) == len &&
				memcmp(drawn[i].group, words, len) == 0)) {
				if (count + 1 == NEMESIS_KINDS_MAX)
					break;
				kinds[count++] = drawn[i].name;
			}
		if (count == before)
			return errtext(et, -EINVAL, "no such kind: '%.*s'",
			    (int)len, words);
		words += len + (words[len] == ',');
	}
	kinds[count] = NULL;
	return count == 0 ? errtext(et, -EINVAL, "no kinds of faults") : 0;
}

static uint64_t
draw(uint64_t *seed)
{
	uint64_t z = *seed += 0x9e3779b97f4a7c15;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
	z = (z ^ z >> 27) * 0x94d049bb133111eb;
	return z ^ z >> 31;
}

static unsigned
between(uint64_t *seed, unsigned least, unsigned most)
{
	return least + (unsigned)(draw(seed) % (most - least + 1));
}

__attribute__((format(printf, 2, 3))) static void
word(struct action *a, const char *fmt, ...)
{
	va_list ap;

	assert(a->argc < PLAN_WORDS_MAX);
	va_start(ap, fmt);
	(void)vsnprintf(a->word[a->argc++], PLAN_WORD_LEN, fmt, ap);
	va_end(ap);
}

/* All servers in an order drawn. */
static void
shuffle(uint64_t *seed, unsigned n, unsigned order[SERVERS_MAX])
{
	for (unsigned i = 0; i < n; i++)
		order[i] = i + 1;
	for (unsigned i = n; i > 1; i--) {
		unsigned j = (unsigned)(draw(seed) % i), t = order[i - 1];

		order[i - 1] = order[j];
		order[j] = t;
	}
}

/* 3,1|2,5,4: cut after each of the places given; 0 none. */
static void
groups(struct action *a, const unsigned *order, unsigned n, unsigned cut,
    unsigned cut2)
{
	char text[PLAN_WORD_LEN] = "";
	size_t len = 0;

	for (unsigned i = 0; i < n; i++)
		len += (size_t)snprintf(text + len, sizeof(text) - len, "%s%u",
		    i == 0		    ? ""
		    : i == cut || i == cut2 ? "|"
					    : ",",
		    order[i]);
	word(a, "%s", text);
}

static void
fill(struct action *a, const char *kind, uint64_t *seed, unsigned n)
{
	unsigned order[SERVERS_MAX], share = between(seed, 1, 30);
	unsigned delay = between(seed, 5, 300);

	shuffle(seed, n, order);
	if (strcmp(kind, "slow") == 0 || strcmp(kind, "eio") == 0 ||
	    strcmp(kind, "full") == 0 || strcmp(kind, "stall") == 0 ||
	    strcmp(kind, "powerloss") == 0 || strcmp(kind, "torn") == 0) {
		word(a, "disk");
		word(a, "%s", kind);
		word(a, "%u", order[0]);
		return;
	}
	word(a, "%s", kind);
	if (strcmp(kind, "partition") == 0) {
		groups(a, order, n, between(seed, 1, n - 1), 0);
	} else if (strcmp(kind, "bridge") == 0) {
		groups(a, order, n, (n - 1) / 2, (n - 1) / 2 + 1);
	} else if (strcmp(kind, "ring") == 0) {
		groups(a, order, n, 0, 0);
	} else {
		word(a, "%u", order[0]);
		if (strcmp(kind, "oneway") == 0 || strcmp(kind, "cut") == 0)
			word(a, "%u", order[1]);
		else if (strcmp(kind, "delay") == 0) {
			word(a, "%ums", delay);
			word(a, "%ums", between(seed, 1, delay));
		} else if (strcmp(kind, "clock") == 0) {
			/* a crystal at its worst, and far from any other */
			word(
			    a, "%c%us", share % 2 == 0 ? '+' : '-', delay * 10);
			word(a, "%c0.0%u%%", delay % 2 == 0 ? '+' : '-',
			    between(seed, 1, 5));
		} else if (strcmp(kind, "rate") == 0)
			word(a, "%ukbit", between(seed, 100, 5000));
		else if (strcmp(kind, "loss") == 0 ||
			 strcmp(kind, "dup") == 0 ||
			 strcmp(kind, "reorder") == 0 ||
			 strcmp(kind, "corrupt") == 0 ||
			 strcmp(kind, "reset") == 0)
			word(a, "%u%%", share);
	}
}

/* What so few servers cannot have is not drawn. */
static bool
is_possible(const char *kind, unsigned servers)
{
	if (strcmp(kind, "ring") == 0)
		return servers >= 4;
	if (strcmp(kind, "bridge") == 0)
		return servers >= 3;
	return servers >= 2 || strcmp(kind, "kill") == 0 ||
	       strcmp(kind, "stop") == 0 || strcmp(kind, "pause") == 0 ||
	       strcmp(kind, "cpu") == 0 || strcmp(kind, "clock") == 0;
}

void
nemesis_draw(struct plan *p, const struct nemesis *n)
{
	uint64_t seed = n->seed, at = 0;
	unsigned kinds = 0, misses = 0;

	while (n->kinds[kinds] != NULL)
		kinds++;
	assert(kinds > 0 && n->servers >= 1 && n->servers <= SERVERS_MAX);
	p->count = 0;
	while (p->count < PLAN_ACTIONS_MAX && misses < 10000) {
		const char *kind = n->kinds[draw(&seed) % kinds];
		struct action a = {0};

		if (!is_possible(kind, n->servers)) {
			misses++;
			continue;
		}
		a.at_ms = at + between(&seed, GAP_MIN_MS, GAP_MAX_MS);
		a.for_ms = between(&seed, WINDOW_MIN_MS, WINDOW_MAX_MS);
		if (a.at_ms + a.for_ms > n->for_ms)
			break;
		fill(&a, kind, &seed, n->servers);
		p->action[p->count++] = a;
		at = a.at_ms + a.for_ms;
	}
}
