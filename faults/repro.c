/*
 * repro.c - two schedules that break a cluster in an unsafe mode.
 *
 * Nothing but crashes and pauses: what a network does to these servers at
 * its worst, servers that do not run do as well, and it needs no root and
 * leaves nothing to chance.
 */
#include "faults/repro.h"

#include <errno.h>
#include <jansson.h>
#include <signal.h>
#include <string.h>

#include "faults/stage.h"

#define WIDTH 76

struct repro {
	const char *name, *title, *unsafe;
	const char *story; /* what the schedule is about */
	const char *why;   /* it breaks */
	const char *safe;  /* and what the safe way does */
	int (*drive)(struct stage *);
};

/*
 * 1 and 2 hold a write, 3, 4 and 5 do not.  3 cannot win among the voters,
 * but with the votes of two learners it can.
 */
static int
drive_early_vote(struct stage *s)
{
	int ret = stage_lead(s, 1);

	if (ret < 0)
		return ret;
	stage_put(s, "1", "before");
	/* all have it, and know that it is committed */
	if ((ret = stage_lead(s, 1)) < 0 ||
	    (ret = stage_lab(s, "kill 3 4 5")) < 0)
		return ret;
	stage_put(s, "1 2", "acknowledged");
	if ((ret = stage_lab(s, "kill 1 2")) < 0 ||
	    (ret = stage_lab(s, "start 3 4 5")) < 0)
		return ret;
	(void)stage_leader(s, "3 4 5");
	if ((ret = stage_lab(s, "start 1")) < 0)
		return ret;
	stage_get(s, "1");
	ret = stage_lab(s, "start 2");
	stage_get(s, "2");
	return ret;
}

/*
 * 3 alone may decide that five vote: then 3, 4 and 5 are a majority.  1 and 2
 * have not heard of it: of the three that they know they are one too.
 */
static int
drive_no_joint(struct stage *s)
{
	static const char *const to_4[] = {"transfer", "4", NULL};
	char all[5 * 300];
	const char *const set[] = {"set", all, NULL};
	size_t len = 0;
	int ret = stage_lead(s, 3);

	if (ret < 0)
		return ret;
	for (unsigned i = 1; i <= STAGE_SERVERS; i++)
		len += (size_t)snprintf(all + len, sizeof(all) - len, "%s%u=%s",
		    i > 1 ? "," : "", i, s->peer[i]);
	stage_put(s, "3", "before");
	if ((ret = stage_lead(s, 3)) < 0 ||
	    (ret = stage_lab(s, "pause 1 2")) < 0)
		return ret;
	(void)stage_ask(s, 3, "let 1 2 3 4 5 vote, at 3", set);
	/* what was sent to them dies with them */
	if ((ret = stage_lab(s, "kill 1 2")) < 0)
		return ret;
	(void)stage_ask(s, 3, "let 4 lead, at 3", to_4);
	stage_put(s, "3 4 5", "acknowledged");
	if ((ret = stage_lab(s, "kill 3 4 5")) < 0 ||
	    (ret = stage_lab(s, "start 1 2")) < 0)
		return ret;
	(void)stage_leader(s, "1 2");
	stage_get(s, "1 2");
	stage_put(s, "1 2", "other");
	ret = stage_lab(s, "start 3 4 5");
	stage_get(s, "1 2 3 4 5");
	return ret;
}

static const struct repro repros[] = {
    {"early-vote", "learners that vote before they may", "--unsafe-early-vote",
	"Servers 1, 2 and 3 vote.  4 and 5 are learners: they receive the "
	"log, but no write waits for them.",
	"A write counts as done when a majority of the voters has it: 2 of "
	"1, 2, 3.  A leader needs a majority too, so that at least one of "
	"those who elect it has every such write, and votes for nobody who "
	"lacks it.  Where learners vote, 3 of 1, 2, 3, 4, 5 elect; 3, 4 and "
	"5 are three, and none of them has the write of 1 and 2.  The leader "
	"that they make then replaces it on 1 and 2.",
	"Only voters elect: 3 alone is no majority, nobody leads until 1 is "
	"back, and 1 has the write.",
	drive_early_vote},
    {"no-joint", "from three voters to five in one step", "--unsafe-no-joint",
	"Servers 1, 2 and 3 vote; 4 and 5 have all the data.  Now all five "
	"shall vote, while 1 and 2 hear nothing.",
	"3 of five are a majority, and so are 2 of three.  Once 3 believes "
	"that five vote, 3, 4 and 5 decide without 1 and 2.  Those still "
	"believe that three vote, and decide without 3, 4 and 5.  The two "
	"majorities have no server in common: each elects a leader, each "
	"acknowledges writes, and neither knows of the other.",
	"Through a joint configuration a change counts only when a majority "
	"of the old voters and one of the new have it.  1 and 2 are needed "
	"for the old one, so that the change waits, and nothing is "
	"acknowledged meanwhile.",
	drive_no_joint},
};
#define REPROS (sizeof(repros) / sizeof(repros[0]))

const char *
repro_name(unsigned i)
{
	return i < REPROS ? repros[i].name : NULL;
}

/* ---- one run ------------------------------------------------------------- */

static int
run_once(const struct repro *r, bool is_unsafe, struct stage *s,
    struct stage_verdict *v, struct errtext *et)
{
	/* a change has to be asked for while paused servers count as there */
	const char *const args[] = {
	    "--election=2s", is_unsafe ? r->unsafe : NULL, NULL};
	int ret = stage_open(s, args, et);

	if (ret < 0)
		return ret;
	ret = r->drive(s);
	if (s->failed > 0)
		ret = errtext(et, -EIO, "step %u, '%s': %s", s->failed,
		    s->step[s->failed - 1].what,
		    s->step[s->failed - 1].outcome);
	else if (ret < 0)
		(void)errtext(et, ret, "the cluster does not settle");
	else
		ret = stage_judge(s, v, et);
	stage_close(s);
	return ret;
}

/* ---- reports ------------------------------------------------------------- */

/* Lines of at most WIDTH, indented. */
static void
print_text(const char *indent, const char *text)
{
	size_t at = 0;

	while (*text != '\0') {
		size_t len = strcspn(text, " ");

		if (at > 0 && at + 1 + len > WIDTH) {
			(void)putchar('\n');
			at = 0;
		}
		at += (size_t)printf(
		    "%s%.*s", at == 0 ? indent : " ", (int)len, text);
		text += len;
		while (*text == ' ')
			text++;
	}
	(void)putchar('\n');
}

static void
print_run(const struct repro *r, bool is_unsafe, const struct stage *s,
    const struct stage_verdict *v)
{
	(void)printf("%s%s:\n\n",
	    is_unsafe ? "With raftd " : "The same without it, the safe way",
	    is_unsafe ? r->unsafe : "");
	for (unsigned i = 0; i < s->count; i++)
		(void)printf("  %2u  %-34s %s\n", i + 1, s->step[i].what,
		    s->step[i].outcome);
	(void)putchar('\n');
	if (v->term != 0)
		(void)printf("  Term %llu had two leaders: %u and %u.\n",
		    (unsigned long long)v->term, v->leader[0], v->leader[1]);
	if (v->states > 1)
		(void)printf("  At the end the five hold %u different "
			     "states.\n",
		    v->states);
	if (v->is_linearizable)
		(void)printf("  loadgen check: linearizable; nothing that "
			     "was acknowledged is lost.\n");
	else
		(void)printf("  loadgen check: NOT linearizable: %s\n", v->why);
	(void)putchar('\n');
	print_text("  ", is_unsafe ? r->why : r->safe);
	(void)putchar('\n');
}

static int
dump(json_t *j)
{
	int ret = json_dumpf(j, stdout, JSON_COMPACT);

	(void)putchar('\n');
	(void)fflush(stdout);
	json_decref(j);
	return ret < 0 ? -EIO : 0;
}

static int
print_json(const struct repro *r, unsigned round, bool is_unsafe,
    const struct stage *s, const struct stage_verdict *v)
{
	json_t *steps = json_array();

	for (unsigned i = 0; i < s->count; i++)
		(void)json_array_append_new(
		    steps, json_pack("{s:s,s:s}", "what", s->step[i].what,
			       "outcome", s->step[i].outcome));
	return dump(json_pack("{s:s,s:i,s:s,s:o,s:s,s:s,s:i,s:o}", "repro",
	    r->name, "round", (int)round, "mode", is_unsafe ? "unsafe" : "safe",
	    "steps", steps, "verdict", v->is_linearizable ? "ok" : "violation",
	    "why", v->why, "states", (int)v->states, "two_leaders",
	    v->term == 0
		? json_null()
		: json_pack("{s:I,s:[i,i]}", "term", (json_int_t)v->term, "ids",
		      (int)v->leader[0], (int)v->leader[1])));
}

/* A safe cluster also ends with one state and one leader a term. */
static bool
is_right(bool is_unsafe, const struct stage_verdict *v)
{
	if (is_unsafe)
		return !v->is_linearizable;
	return v->is_linearizable && v->states == 1 && v->term == 0;
}

int
repro_run(const char *name, unsigned rounds, bool is_json, struct errtext *et)
{
	static struct stage s;
	unsigned right[2] = {0, 0};
	struct stage_verdict v;
	const struct repro *r = repros;
	int ret;

	while (r < repros + REPROS && strcmp(r->name, name) != 0)
		r++;
	if (r == repros + REPROS)
		return errtext(et, -EINVAL, "no such repro: '%s'", name);
	if (!is_json) {
		(void)printf("%s: %s\n\n", r->name, r->title);
		print_text("", r->story);
		(void)putchar('\n');
	}
	for (unsigned n = 1; n <= rounds; n++)
		for (int i = 0; i < 2; i++) {
			ret = run_once(r, i == 0, &s, &v, et);
			if (ret < 0)
				return ret;
			right[i] += is_right(i == 0, &v);
			if (is_json)
				(void)print_json(r, n, i == 0, &s, &v);
			else if (n == 1 || !is_right(i == 0, &v))
				print_run(r, i == 0, &s, &v);
			(void)fflush(stdout);
		}
	if (is_json)
		(void)dump(json_pack("{s:s,s:i,s:i,s:i,s:b}", "repro", r->name,
		    "rounds", (int)rounds, "broken", (int)right[0],
		    "safe_passed", (int)right[1], "ok",
		    right[0] == rounds && right[1] == rounds));
	else
		(void)printf("The unsafe way broke in %u of %u, the safe way "
			     "held in %u of %u.\n",
		    right[0], rounds, right[1], rounds);
	return right[0] == rounds && right[1] == rounds ? 0 : 1;
}
