/*
 * tally.c - what came of a load.
 */
#include "loadgen/tally.h"

#include <stdlib.h>
#include <string.h>

void
tally_init(struct tally *t)
{
	unsigned i;

	memset(t, 0, sizeof(*t));
	hist_reset(&t->all);
	hist_reset(&t->now);
	for (i = 0; i < WORK_OPS; i++)
		hist_reset(&t->by_op[i]);
}

void
tally_release(struct tally *t)
{
	free(t->intervals);
	t->intervals = NULL;
}

void
tally_ok(struct tally *t, enum work_op op, uint64_t latency_ns)
{
	hist_add(&t->all, latency_ns);
	hist_add(&t->by_op[op], latency_ns);
	hist_add(&t->now, latency_ns);
}

void
tally_write(struct tally *t, double at)
{
	if (t->last_write > 0 && at - t->last_write >= TALLY_OUTAGE_S &&
	    t->outage_count < TALLY_OUTAGES_MAX)
		t->outages[t->outage_count++] =
		    (struct tally_outage){t->last_write, at};
	t->last_write = at;
}

void
tally_error(struct tally *t, enum wire_status status)
{
	t->now_errors++;
	if (status == WIRE_UNKNOWN)
		t->unknown++;
	else
		t->errors[status]++;
}

const struct tally_interval *
tally_turn(struct tally *t, double seconds)
{
	struct tally_interval *i, *grown;
	uint32_t cap;

	if (t->interval_count == t->interval_cap) {
		cap = t->interval_cap == 0 ? 64 : t->interval_cap * 2;
		grown = cap > TALLY_INTERVALS_MAX
			    ? NULL
			    : realloc(t->intervals, cap * sizeof(*grown));
		if (grown == NULL) {
			hist_reset(&t->now);
			t->now_errors = 0;
			return NULL;
		}
		t->intervals = grown;
		t->interval_cap = cap;
	}
	i = &t->intervals[t->interval_count++];
	i->t = seconds;
	i->ops = t->now.count;
	i->errors = t->now_errors;
	i->p50_ns = hist_quantile(&t->now, 0.5);
	i->p99_ns = hist_quantile(&t->now, 0.99);
	hist_reset(&t->now);
	t->now_errors = 0;
	return i;
}

uint64_t
tally_errors(const struct tally *t)
{
	uint64_t sum = 0;
	unsigned i;

	for (i = 0; i < WIRE_STATUS_COUNT; i++)
		sum += t->errors[i];
	return sum;
}

static double
ms(uint64_t ns)
{
	return (double)ns / 1e6;
}

static json_t *
latency_json(const struct hist *h)
{
	return json_pack("{s:f,s:f,s:f,s:f,s:f,s:f}", "p50",
	    ms(hist_quantile(h, 0.5)), "p90", ms(hist_quantile(h, 0.9)), "p99",
	    ms(hist_quantile(h, 0.99)), "p999", ms(hist_quantile(h, 0.999)),
	    "max", ms(h->max), "mean", hist_mean(h) / 1e6);
}

static json_t *
errors_json(const struct tally *t)
{
	json_t *o = json_object();
	unsigned i;

	for (i = 0; i < WIRE_STATUS_COUNT; i++)
		if (t->errors[i] > 0)
			json_object_set_new(o,
			    wire_status_info((enum wire_status)i)->name,
			    json_integer((json_int_t)t->errors[i]));
	return o;
}

static json_t *
by_op_json(const struct tally *t)
{
	json_t *o = json_object();
	unsigned i;

	for (i = 0; i < WORK_OPS; i++)
		if (t->by_op[i].count > 0)
			json_object_set_new(o, work_op_name((enum work_op)i),
			    json_pack("{s:I,s:o}", "ops",
				(json_int_t)t->by_op[i].count, "latency_ms",
				latency_json(&t->by_op[i])));
	return o;
}

static json_t *
intervals_json(const struct tally *t)
{
	json_t *a = json_array();
	uint32_t n;

	for (n = 0; n < t->interval_count; n++) {
		const struct tally_interval *i = &t->intervals[n];

		json_array_append_new(
		    a, json_pack("{s:f,s:I,s:I,s:f,s:f}", "t", i->t, "ops",
			   (json_int_t)i->ops, "errors", (json_int_t)i->errors,
			   "p50", ms(i->p50_ns), "p99", ms(i->p99_ns)));
	}
	return a;
}

static json_t *
outages_json(const struct tally *t)
{
	json_t *a = json_array();

	for (uint32_t i = 0; i < t->outage_count; i++)
		json_array_append_new(
		    a, json_pack("{s:f,s:f}", "t", t->outages[i].from, "ms",
			   (t->outages[i].to - t->outages[i].from) * 1e3));
	return a;
}

static json_t *
histogram_json(const struct tally *t)
{
	struct hist_step steps[HIST_STEPS_MAX];
	unsigned i, n = hist_steps(&t->all, steps);
	json_t *a = json_array();

	for (i = 0; i < n; i++)
		json_array_append_new(
		    a, json_pack("[f,f,I]", ms(steps[i].from), ms(steps[i].to),
			   (json_int_t)steps[i].count));
	return a;
}

json_t *
tally_json(const struct tally *t, double seconds)
{
	double rate = seconds > 0 ? (double)t->all.count / seconds : 0;

	return json_pack("{s:I,s:f,s:f,s:o,s:I,s:o,s:o,s:o,s:o,s:o}", "ops",
	    (json_int_t)t->all.count, "seconds", seconds, "ops_per_s", rate,
	    "errors", errors_json(t), "unknown", (json_int_t)t->unknown,
	    "latency_ms", latency_json(&t->all), "by_op", by_op_json(t),
	    "intervals", intervals_json(t), "histogram", histogram_json(t),
	    "outages", outages_json(t));
}
