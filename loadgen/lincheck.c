/*
 * lincheck.c - is a history linearizable?  Key by key, the easy ones first;
 * and what of it shows that it is not.
 */
#include "loadgen/lincheck.h"

#include "loadgen/linmodel.h"

#include <stdlib.h>
#include <string.h>

/* A key gets this many configurations at first and ROUND_FACTOR times more
 * in each round, so that one hard key does not keep a violation of another
 * from being found. */
#define ROUND_CONFIGS UINT64_C(10000)
#define ROUND_FACTOR 8
/* For each trial that makes the window smaller; one that takes longer counts
 * as no violation. */
#define WINDOW_CONFIGS UINT64_C(200000)

struct part {
	uint32_t key;
	size_t first, n; /* of judge.numbers */
	bool is_open;
};

struct judge {
	const struct history *h;
	const struct lincheck_opts *opts;
	struct lincheck_result *res;
	size_t *numbers; /* of operations, by key, in order of invocation */
	struct part *parts;
	size_t parts_n, open_n;
	uint64_t *events; /* of one key, while its window is sought */
	size_t events_n, events_cap;
};

const char *
lincheck_verdict_name(enum lincheck_verdict verdict)
{
	static const char *const names[] = {"ok", "violation", "undecided"};

	return names[verdict];
}

void
lincheck_release(const struct history *h, struct lincheck_result *res)
{
	membudget_free(
	    h->budget, res->window, res->window_cap * sizeof(*res->window));
	res->window = NULL;
	res->window_n = res->window_cap = 0;
}

static int
compare_parts(const void *va, const void *vb)
{
	const struct part *a = va, *b = vb;

	if (a->n != b->n)
		return a->n < b->n ? -1 : 1;
	return (a->key > b->key) - (a->key < b->key);
}

static bool
partition(struct judge *j)
{
	const struct history *h = j->h;
	size_t i, sum = 0;
	struct part *part;

	j->parts_n = h->keys.items_n;
	j->parts = membudget_alloc(h->budget, j->parts_n * sizeof(*j->parts));
	j->numbers = membudget_alloc(h->budget, h->ops_n * sizeof(*j->numbers));
	if (j->parts == NULL || j->numbers == NULL)
		return false;
	for (i = 0; i < h->ops_n; i++)
		j->parts[h->ops[i].key].n++;
	for (i = 0; i < j->parts_n; i++) {
		part = &j->parts[i];
		part->key = (uint32_t)i;
		part->is_open = true;
		part->first = sum;
		sum += part->n;
		part->n = 0;
	}
	for (i = 0; i < h->ops_n; i++) {
		part = &j->parts[h->ops[i].key];
		j->numbers[part->first + part->n++] = i;
	}
	if (j->parts_n > 0)
		qsort(j->parts, j->parts_n, sizeof(*j->parts), compare_parts);
	j->open_n = j->parts_n;
	return true;
}

static enum lin_answer
solve(struct judge *j, const struct part *part, const struct lin_range *range,
    uint64_t configs_max)
{
	struct lin_search s;
	struct lin_problem p;
	enum lin_answer answer = LIN_OUT_OF_MEMORY;

	memset(&s, 0, sizeof(s));
	s.configs_max = configs_max;
	s.expired_cb = j->opts->expired_cb;
	s.expired_arg = j->opts->expired_arg;
	if (lin_build(&p, j->h, j->numbers + part->first, part->n, range) == 0)
		answer = lin_solve(&p, &s);
	lin_release(&p);
	j->res->configs += s.configs;
	return answer;
}

static bool
is_violation(struct judge *j, const struct part *part, uint64_t from,
    uint64_t to, bool initial_any)
{
	struct lin_range range = {from, to, initial_any};
	uint64_t max = j->opts->configs_max;

	if (max == 0 || max > WINDOW_CONFIGS)
		max = WINDOW_CONFIGS;
	return solve(j, part, &range, max) == LIN_NO;
}

static int
compare_u64(const void *va, const void *vb)
{
	uint64_t a = *(const uint64_t *)va, b = *(const uint64_t *)vb;

	return (a > b) - (a < b);
}

/* The events of a key's certain operations, or only the completions. */
static void
list_events(
    struct judge *j, const struct part *part, uint64_t to, bool with_calls)
{
	const struct history_op *op;
	size_t i;

	j->events_n = 0;
	for (i = 0; i < part->n; i++) {
		op = &j->h->ops[j->numbers[part->first + i]];
		if (op->result != HISTORY_OK || op->call > to)
			continue;
		if (op->ret <= to)
			j->events[j->events_n++] = op->ret;
		if (with_calls)
			j->events[j->events_n++] = op->call;
	}
	qsort(j->events, j->events_n, sizeof(*j->events), compare_u64);
}

/* The first completion by which all is lost, then the last event from which
 * on it is, whatever was before.  Both are found by halving: more events only
 * add demands.  Without memory the window is the whole history of the key. */
static void
find_window(struct judge *j, const struct part *part)
{
	struct lincheck_result *res = j->res;
	bool any = j->opts->initial_any;
	size_t lo, hi, mid;

	res->from = 0;
	res->to = j->h->events;
	j->events_cap = part->n * 2;
	j->events =
	    membudget_alloc(j->h->budget, j->events_cap * sizeof(*j->events));
	if (j->events == NULL)
		return;
	list_events(j, part, res->to, false);
	for (lo = 0, hi = j->events_n; lo < hi;) {
		mid = lo + (hi - lo) / 2;
		if (is_violation(j, part, 0, j->events[mid], any)) {
			res->to = j->events[mid];
			hi = mid;
		} else {
			lo = mid + 1;
		}
	}
	list_events(j, part, res->to, true);
	for (lo = 0, hi = j->events_n; lo < hi;) {
		mid = lo + (hi - lo) / 2;
		if (is_violation(j, part, j->events[mid], res->to, true)) {
			res->from = j->events[mid];
			lo = mid + 1;
		} else {
			hi = mid;
		}
	}
	membudget_free(
	    j->h->budget, j->events, j->events_cap * sizeof(*j->events));
}

static bool
is_read_only(const struct history_op *op)
{
	return op->f == HISTORY_GET ||
	       (op->f == HISTORY_CAS && op->result == HISTORY_OK &&
		   !op->swapped);
}

/* Does the operation bear on the window by itself? */
static bool
is_inside(const struct lincheck_result *res, const struct history_op *op)
{
	if (op->result == HISTORY_FAIL || op->call > res->to)
		return false;
	if (op->result == HISTORY_UNKNOWN)
		return op->call >= res->from && !is_read_only(op);
	if (op->ret < res->from)
		return false;
	return (op->call >= res->from && op->ret <= res->to) ||
	       !is_read_only(op);
}

/* An earlier operation of unknown outcome, which could have come late, is
 * shown if it makes a value that was seen in the window. */
static bool
is_late_comer(const struct judge *j, const struct history_op *op)
{
	const struct lincheck_result *res = j->res;
	const struct history_op *o;
	uint32_t value;
	size_t i;

	if (op->result != HISTORY_UNKNOWN || op->call >= res->from ||
	    op->f == HISTORY_GET || op->f == HISTORY_APPEND)
		return false;
	value = op->f == HISTORY_PUT ? op->arg : op->arg2;
	for (i = 0; i < res->window_n; i++) {
		o = &j->h->ops[res->window[i]];
		if (o->result == HISTORY_OK &&
		    ((o->f == HISTORY_GET && o->out == value) ||
			(o->f == HISTORY_CAS && o->arg == value)))
			return true;
	}
	return false;
}

static int
compare_numbers(const void *va, const void *vb)
{
	size_t a = *(const size_t *)va, b = *(const size_t *)vb;

	return (a > b) - (a < b);
}

static void
fill_window(struct judge *j, const struct part *part)
{
	struct lincheck_result *res = j->res;
	const size_t *numbers = j->numbers + part->first;
	const struct history_op *op;
	size_t i, n;

	res->key = part->key;
	res->culprit = numbers[part->n - 1];
	for (i = 0; i < part->n; i++)
		if (j->h->ops[numbers[i]].ret == res->to)
			res->culprit = numbers[i];
	res->window =
	    membudget_alloc(j->h->budget, part->n * sizeof(*res->window));
	if (res->window == NULL)
		return;
	res->window_cap = part->n;
	for (i = 0; i < part->n; i++)
		if (is_inside(res, &j->h->ops[numbers[i]]))
			res->window[res->window_n++] = numbers[i];
	n = res->window_n;
	for (i = 0; i < part->n; i++) {
		op = &j->h->ops[numbers[i]];
		if (op->call >= res->from)
			break;
		if (is_late_comer(j, op))
			res->window[n++] = numbers[i];
	}
	res->window_n = n;
	qsort(res->window, n, sizeof(*res->window), compare_numbers);
}

static void
give_up(struct lincheck_result *res, enum lincheck_limit limit)
{
	res->verdict = LINCHECK_UNDECIDED;
	if (res->limit == LINCHECK_NO_LIMIT)
		res->limit = limit;
}

/* One key in one round.  False: the search as a whole is over. */
static bool
judge_part(struct judge *j, struct part *part, uint64_t configs_max)
{
	struct lin_range range = {0, HISTORY_NEVER - 1, j->opts->initial_any};
	struct lincheck_result *res = j->res;

	switch (solve(j, part, &range, configs_max)) {
	case LIN_YES:
		part->is_open = false;
		j->open_n--;
		return true;
	case LIN_NO:
		res->verdict = LINCHECK_VIOLATION;
		res->limit = LINCHECK_NO_LIMIT;
		find_window(j, part);
		fill_window(j, part);
		return false;
	case LIN_OUT_OF_CONFIGS:
		return true;
	case LIN_OUT_OF_MEMORY:
		/* More rounds need more memory; other keys may not. */
		give_up(res, LINCHECK_MEMORY);
		res->keys_undecided++;
		part->is_open = false;
		j->open_n--;
		return true;
	case LIN_EXPIRED:
		break;
	}
	give_up(res, LINCHECK_TIME);
	return false;
}

static void
judge_rounds(struct judge *j)
{
	struct lincheck_result *res = j->res;
	uint64_t round = ROUND_CONFIGS, total = j->opts->configs_max, max;
	size_t i;

	for (; j->open_n > 0; round *= ROUND_FACTOR) {
		for (i = 0; i < j->parts_n; i++) {
			if (!j->parts[i].is_open)
				continue;
			max = round;
			if (total != 0 && total - res->configs < max)
				max = total - res->configs;
			if (!judge_part(j, &j->parts[i], max))
				return;
			if (total != 0 && res->configs >= total &&
			    j->open_n > 0) {
				give_up(res, LINCHECK_CONFIGS);
				return;
			}
		}
	}
}

void
lincheck(const struct history *h, const struct lincheck_opts *opts,
    struct lincheck_result *res)
{
	struct judge j;

	memset(res, 0, sizeof(*res));
	memset(&j, 0, sizeof(j));
	j.h = h;
	j.opts = opts;
	j.res = res;
	res->ops = h->ops_n;
	res->keys = h->keys.items_n;
	if (partition(&j)) {
		judge_rounds(&j);
	} else {
		give_up(res, LINCHECK_MEMORY);
		j.open_n = res->keys;
	}
	if (res->verdict == LINCHECK_UNDECIDED)
		res->keys_undecided += j.open_n;
	membudget_free(h->budget, j.numbers, h->ops_n * sizeof(*j.numbers));
	membudget_free(h->budget, j.parts, j.parts_n * sizeof(*j.parts));
}
