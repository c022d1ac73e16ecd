/*
 * test_lincheck.c - the judge: against every order tried by brute force, and
 * against histories whose verdict is known by construction.
 */
#include "loadgen/historygen.h"
#include "loadgen/lincheck.h"

#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Sanitizers make each of them cost tenfold. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SHARE 8
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SHARE 8
#endif
#endif
#ifndef SHARE
#define SHARE 1
#endif
#define BRUTE_HISTORIES (80000 / SHARE)
#define SEEDS(n) ((n) / SHARE)

#define MEM_MAX ((size_t)512 * 1024 * 1024)

static struct membudget budget;
static struct history h;
static struct lincheck_result res;

static void
setup(void)
{
	budget.used = 0;
	budget.max = MEM_MAX;
	history_init(&h, &budget);
	memset(&res, 0, sizeof(res));
}

static void
teardown(void)
{
	lincheck_release(&h, &res);
	history_release(&h);
	ck_assert_uint_eq(budget.used, 0);
}

static uint64_t
next_random(uint64_t *s)
{
	uint64_t z = (*s += UINT64_C(0x9e3779b97f4a7c15));

	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}

static uint64_t
below(uint64_t *s, uint64_t n)
{
	return next_random(s) % n;
}

static struct history_bytes
bytes(const char *s)
{
	struct history_bytes b = {s, s != NULL ? strlen(s) : 0};

	return b;
}

static void
call(uint64_t process, enum history_f f, const char *a, const char *b)
{
	struct history_call c;

	memset(&c, 0, sizeof(c));
	c.process = process;
	c.f = f;
	c.key = bytes("k");
	c.arg = bytes(a);
	c.arg2 = bytes(b);
	c.time_ns = HISTORY_NO_TIME;
	ck_assert_int_eq(history_invoke(&h, &c, NULL), 0);
}

static void
done(
    uint64_t process, enum history_result result, const char *out, bool swapped)
{
	struct history_done d;

	memset(&d, 0, sizeof(d));
	d.process = process;
	d.result = result;
	d.out = bytes(out);
	d.swapped = swapped;
	d.time_ns = HISTORY_NO_TIME;
	ck_assert_int_eq(history_complete(&h, &d, NULL), 0);
}

/* call and ok, nothing in between */
static void
put(const char *v)
{
	call(1, HISTORY_PUT, v, NULL);
	done(1, HISTORY_OK, NULL, false);
}

static void
get(const char *v)
{
	call(1, HISTORY_GET, NULL, NULL);
	done(1, HISTORY_OK, v, false);
}

static enum lincheck_verdict
verdict(void)
{
	struct lincheck_opts opts;

	memset(&opts, 0, sizeof(opts));
	lincheck_release(&h, &res);
	lincheck(&h, &opts, &res);
	return res.verdict;
}

/* --- brute force: the definition, as plainly as can be --- */

#define BRUTE_OPS_MAX 8
#define PROCESSES 4
#define BRUTE_LEN_MAX 64

struct value {
	bool is_absent;
	size_t len;
	char data[BRUTE_LEN_MAX];
};

static struct value
value_of(uint32_t v)
{
	struct value r;

	memset(&r, 0, sizeof(r));
	if (v == HISTORY_NULL) {
		r.is_absent = true;
		return r;
	}
	r.len = h.values.items[v].len;
	ck_assert_uint_le(r.len, sizeof(r.data));
	memcpy(r.data, h.values.items[v].data, r.len);
	return r;
}

static bool
equal(const struct value *a, const struct value *b)
{
	return a->is_absent == b->is_absent && a->len == b->len &&
	       memcmp(a->data, b->data, a->len) == 0;
}

/* Applies op to *s; false when its answer contradicts. */
static bool
brute_apply(const struct history_op *op, struct value *s)
{
	struct value arg = value_of(op->arg), arg2 = value_of(op->arg2);
	struct value out = value_of(op->out);
	bool is_known = op->result == HISTORY_OK, is_met;

	switch (op->f) {
	case HISTORY_GET:
		return !is_known || equal(s, &out);
	case HISTORY_PUT:
		*s = arg;
		return true;
	case HISTORY_DELETE:
		memset(s, 0, sizeof(*s));
		s->is_absent = true;
		return true;
	case HISTORY_APPEND:
		ck_assert_uint_le(s->len + arg.len, sizeof(s->data));
		memcpy(s->data + s->len, arg.data, arg.len);
		s->len += arg.len;
		s->is_absent = false;
		return true;
	default:
		is_met = equal(s, &arg);
		if (is_known && is_met != op->swapped)
			return false;
		if (is_met)
			*s = arg2;
		return true;
	}
}

static bool
brute(unsigned taken, const struct value *s)
{
	bool all = true;
	struct value t;
	size_t i, k;

	for (i = 0; i < h.ops_n; i++)
		if (h.ops[i].result == HISTORY_OK && !(taken & 1u << i))
			all = false;
	if (all)
		return true;
	for (i = 0; i < h.ops_n; i++) {
		if ((taken & 1u << i) || h.ops[i].result == HISTORY_FAIL)
			continue;
		for (k = 0; k < h.ops_n; k++)
			if (!(taken & 1u << k) &&
			    h.ops[k].result == HISTORY_OK &&
			    h.ops[k].ret < h.ops[i].call)
				break;
		t = *s;
		if (k == h.ops_n && brute_apply(&h.ops[i], &t) &&
		    brute(taken | 1u << i, &t))
			return true;
	}
	return false;
}

/* A few processes do anything and are told anything. */
static void
random_history(uint64_t *s, unsigned ops_max)
{
	static const char *const values[] = {"a", "b", "c", "", "ab", "ba"};
	static const char *const outs[] = {
	    NULL, "a", "b", "ab", "ba", "aa", "c", "abb", ""};
	unsigned f_set = 1 + (unsigned)below(s, 31), n, values_n, p, f;
	bool is_open[PROCESSES] = {false};
	uint64_t r;

	values_n = 1 + (unsigned)below(s, 6);
	for (n = 0; n < ops_max;) {
		p = (unsigned)below(s, PROCESSES);
		if (is_open[p]) {
			r = below(s, 8);
			done(p,
			    r < 6   ? HISTORY_OK
			    : r < 7 ? HISTORY_UNKNOWN
				    : HISTORY_FAIL,
			    outs[below(s, below(s, 2) ? 9 : 4)], below(s, 2));
			is_open[p] = false;
			continue;
		}
		f = (unsigned)below(s, HISTORY_F_N);
		if (!(f_set & 1u << f) && below(s, 3) > 0)
			f = HISTORY_GET;
		call(p, (enum history_f)f, values[below(s, values_n)],
		    values[below(s, values_n)]);
		is_open[p] = true;
		n++;
	}
	for (p = 0; p < PROCESSES; p++)
		if (is_open[p] && below(s, 3) > 0)
			done(p, HISTORY_OK, outs[below(s, 9)], below(s, 2));
}

START_TEST(test_brute_force_agrees)
{
	struct value absent;
	uint64_t s = 1;
	unsigned i, yes = 0, no = 0;
	bool want;

	memset(&absent, 0, sizeof(absent));
	absent.is_absent = true;
	for (i = 0; i < BRUTE_HISTORIES; i++) {
		random_history(&s, 2 + i % (BRUTE_OPS_MAX - 1));
		want = brute(0, &absent);
		if (want)
			yes++;
		else
			no++;
		if (verdict() != (want ? LINCHECK_OK : LINCHECK_VIOLATION)) {
			historygen_print(&h, stdout);
			ck_abort_msg(
			    "history %u: brute force says %d", i, (int)want);
		}
		if (!want) {
			ck_assert_uint_gt(res.window_n, 0);
			ck_assert_uint_le(res.to, h.events);
		}
		lincheck_release(&h, &res);
		history_release(&h);
	}
	ck_assert_uint_gt(yes, BRUTE_HISTORIES / 10);
	ck_assert_uint_gt(no, BRUTE_HISTORIES / 10);
}
END_TEST

/* --- known by construction --- */

static void
generate(struct historygen_opts *o)
{
	int err = historygen_run(&h, o);

	if (err == -EAGAIN) {
		/* No place for it here: the next seeds will have one. */
		lincheck_release(&h, &res);
		history_release(&h);
		o->seed += 1000000;
		err = historygen_run(&h, o);
	}
	ck_assert_int_eq(err, 0);
}

static void
shape(struct historygen_opts *o, uint64_t seed)
{
	historygen_defaults(o);
	o->seed = seed;
	o->ops = 200 + seed % 7 * 100;
	o->keys = 1 + (uint32_t)(seed % 5);
	o->clients = 2 + (uint32_t)(seed % 11);
	o->unknown_permille = 10 * (uint32_t)(seed % 13);
}

static void
judge_seed(uint64_t seed, enum historygen_anomaly anomaly)
{
	struct historygen_opts o;

	shape(&o, seed);
	o.anomaly = anomaly;
	if (anomaly == HISTORYGEN_DUPLICATE_APPEND ||
	    anomaly == HISTORYGEN_LOST_APPEND) {
		memset(o.mix, 0, sizeof(o.mix));
		o.mix[HISTORY_GET] = o.mix[HISTORY_APPEND] = 1;
		o.ops = 60;
	}
	if (anomaly == HISTORYGEN_LOST_WRITE)
		o.mix[HISTORY_DELETE] = 0;
	generate(&o);
	if (verdict() !=
	    (anomaly == HISTORYGEN_NONE ? LINCHECK_OK : LINCHECK_VIOLATION)) {
		historygen_print(&h, stdout);
		ck_abort_msg("seed %u, %s: %s", (unsigned)seed,
		    historygen_anomaly_name(anomaly),
		    lincheck_verdict_name(res.verdict));
	}
	lincheck_release(&h, &res);
	history_release(&h);
}

START_TEST(test_good_histories_pass)
{
	uint64_t seed;

	for (seed = 1; seed <= SEEDS(300); seed++)
		judge_seed(seed, HISTORYGEN_NONE);
}
END_TEST

START_TEST(test_each_anomaly_is_found)
{
	uint64_t seed;

	for (seed = 1; seed <= SEEDS(60); seed++)
		judge_seed(seed, (enum historygen_anomaly)_i);
}
END_TEST

START_TEST(test_few_values_pass)
{
	struct historygen_opts o;
	uint64_t seed;

	for (seed = 1; seed <= SEEDS(200); seed++) {
		shape(&o, seed);
		o.values = 1 + (uint32_t)(seed % 4);
		o.mix[HISTORY_CAS] = 50;
		generate(&o);
		ck_assert_msg(verdict() == LINCHECK_OK, "seed %u: %s",
		    (unsigned)seed, lincheck_verdict_name(res.verdict));
		lincheck_release(&h, &res);
		history_release(&h);
	}
}
END_TEST

/* --- one thing each --- */

START_TEST(test_empty_history_passes)
{
	ck_assert_int_eq(verdict(), LINCHECK_OK);
}
END_TEST

START_TEST(test_unknown_write_may_come_late)
{
	call(2, HISTORY_PUT, "late", NULL);
	done(2, HISTORY_UNKNOWN, NULL, false);
	put("a");
	get("a");
	get("late");
	ck_assert_int_eq(verdict(), LINCHECK_OK);
	get("a");
	ck_assert_int_eq(verdict(), LINCHECK_VIOLATION);
}
END_TEST

START_TEST(test_failed_write_never_happened)
{
	put("a");
	call(2, HISTORY_PUT, "b", NULL);
	done(2, HISTORY_FAIL, NULL, false);
	get("a");
	ck_assert_int_eq(verdict(), LINCHECK_OK);
	get("b");
	ck_assert_int_eq(verdict(), LINCHECK_VIOLATION);
}
END_TEST

START_TEST(test_refused_cas_tells_what_is_not_there)
{
	put("a");
	call(1, HISTORY_CAS, "b", "c");
	done(1, HISTORY_OK, NULL, false);
	ck_assert_int_eq(verdict(), LINCHECK_OK);
	call(1, HISTORY_CAS, "a", "c");
	done(1, HISTORY_OK, NULL, false);
	ck_assert_int_eq(verdict(), LINCHECK_VIOLATION);
}
END_TEST

START_TEST(test_unseen_unknown_write_explains_a_refusal)
{
	call(2, HISTORY_PUT, "never seen", NULL);
	put("a");
	call(1, HISTORY_CAS, "a", "c");
	done(1, HISTORY_OK, NULL, false);
	ck_assert_int_eq(verdict(), LINCHECK_OK);
	get("a");
	ck_assert_int_eq(verdict(), LINCHECK_VIOLATION);
}
END_TEST

START_TEST(test_cas_of_null_creates)
{
	call(1, HISTORY_CAS, NULL, "a");
	done(1, HISTORY_OK, NULL, true);
	get("a");
	ck_assert_int_eq(verdict(), LINCHECK_OK);
	call(1, HISTORY_CAS, "a", NULL);
	done(1, HISTORY_OK, NULL, true);
	get(NULL);
	ck_assert_int_eq(verdict(), LINCHECK_OK);
	get("");
	ck_assert_int_eq(verdict(), LINCHECK_VIOLATION);
}
END_TEST

/* Adding nothing to something can wait for when it creates. */
START_TEST(test_append_of_nothing_creates)
{
	call(2, HISTORY_APPEND, "", NULL);
	call(1, HISTORY_APPEND, "a", NULL);
	call(3, HISTORY_GET, NULL, NULL);
	done(3, HISTORY_OK, "a", false);
	call(3, HISTORY_DELETE, NULL, NULL);
	done(3, HISTORY_OK, NULL, false);
	done(1, HISTORY_OK, NULL, false);
	done(2, HISTORY_OK, NULL, false);
	get("");
	ck_assert_int_eq(verdict(), LINCHECK_OK);
}
END_TEST

START_TEST(test_window_is_the_shortest_stretch)
{
	unsigned i;
	char text[16];

	for (i = 0; i < 50; i++) {
		(void)snprintf(text, sizeof(text), "v%u", i);
		put(text);
		get(text);
	}
	get("v48");
	for (i = 0; i < 50; i++)
		get("v49");
	ck_assert_int_eq(verdict(), LINCHECK_VIOLATION);
	/* put v49, get v49, get v48 are 196 to 202; the get v49 alone is
	 * enough to tell, if nothing wrote v48 since. */
	ck_assert_uint_eq(res.to, 202);
	ck_assert_uint_eq(res.from, 199);
	ck_assert_uint_eq(res.window_n, 2);
	ck_assert_uint_eq(res.window[0], 99);
	ck_assert_uint_eq(res.window[1], 100);
	ck_assert_uint_eq(res.culprit, 100);
}
END_TEST

START_TEST(test_initial_value_may_be_allowed)
{
	struct lincheck_opts opts;

	get("old");
	get("old");
	ck_assert_int_eq(verdict(), LINCHECK_VIOLATION);
	memset(&opts, 0, sizeof(opts));
	opts.initial_any = true;
	lincheck_release(&h, &res);
	lincheck(&h, &opts, &res);
	ck_assert_int_eq(res.verdict, LINCHECK_OK);
	get("older");
	lincheck(&h, &opts, &res);
	ck_assert_int_eq(res.verdict, LINCHECK_VIOLATION);
}
END_TEST

/* Many cas of few values at once, and a last read that nothing explains. */
static void
hopeless(void)
{
	static const char *const v[] = {"a", "b", "c", "d", "e", "f", "g"};
	uint64_t s = 7;
	unsigned i;

	put("a");
	for (i = 0; i < 60; i++)
		call(10 + i, i % 3 ? HISTORY_CAS : HISTORY_APPEND,
		    v[below(&s, 7)], v[below(&s, 7)]);
	for (i = 0; i < 60; i++)
		if (i % 3 == 0)
			done(10 + i, HISTORY_OK, NULL, true);
	get("abcabcabcdabcabcabcab");
}

static bool
is_expired(void *arg)
{
	unsigned *calls = arg;

	return ++*calls > 20;
}

START_TEST(test_hopeless_history_meets_each_limit)
{
	struct lincheck_opts opts;
	unsigned calls = 0;

	hopeless();
	memset(&opts, 0, sizeof(opts));
	opts.configs_max = 100000;
	lincheck(&h, &opts, &res);
	ck_assert_int_eq(res.verdict, LINCHECK_UNDECIDED);
	ck_assert_int_eq(res.limit, LINCHECK_CONFIGS);
	ck_assert_uint_eq(res.keys_undecided, 1);
	opts.configs_max = 0;
	opts.expired_cb = is_expired;
	opts.expired_arg = &calls;
	lincheck(&h, &opts, &res);
	ck_assert_int_eq(res.verdict, LINCHECK_UNDECIDED);
	ck_assert_int_eq(res.limit, LINCHECK_TIME);
	opts.expired_cb = NULL;
	budget.max = 8 * 1024 * 1024;
	lincheck(&h, &opts, &res);
	ck_assert_int_eq(res.verdict, LINCHECK_UNDECIDED);
	ck_assert_int_eq(res.limit, LINCHECK_MEMORY);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("lincheck");
	TCase *tc = tcase_create("lincheck");
	SRunner *r;
	int failed;

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_set_timeout(tc, 120);
	tcase_add_test(tc, test_brute_force_agrees);
	tcase_add_test(tc, test_good_histories_pass);
	tcase_add_loop_test(
	    tc, test_each_anomaly_is_found, 1, HISTORYGEN_ANOMALIES);
	tcase_add_test(tc, test_few_values_pass);
	tcase_add_test(tc, test_empty_history_passes);
	tcase_add_test(tc, test_unknown_write_may_come_late);
	tcase_add_test(tc, test_failed_write_never_happened);
	tcase_add_test(tc, test_refused_cas_tells_what_is_not_there);
	tcase_add_test(tc, test_unseen_unknown_write_explains_a_refusal);
	tcase_add_test(tc, test_cas_of_null_creates);
	tcase_add_test(tc, test_append_of_nothing_creates);
	tcase_add_test(tc, test_window_is_the_shortest_stretch);
	tcase_add_test(tc, test_initial_value_may_be_allowed);
	tcase_add_test(tc, test_hopeless_history_meets_each_limit);
	suite_add_tcase(s, tc);
	r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed == 0 ? 0 : 1;
}
