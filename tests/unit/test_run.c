/*
 * test_run.c - a load against a server of one that has faults on demand.
 */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "loadgen/lincheck.h"
#include "loadgen/ordercheck.h"
#include "loadgen/run.h"
#include "tests/unit/kvserver.h"

static struct kvserver server, other;
static struct run_options opt;
static struct run run;
static struct endpoint *endpoints;
static struct recorder *recorder;
static char history[128];
static const volatile int never;

static void
setup(void)
{
	memset(&opt, 0, sizeof(opt));
	memset(&server, 0, sizeof(server));
	memset(&other, 0, sizeof(other));
	recorder = NULL;
	history[0] = '\0';
	opt.clients = 8;
	opt.pipeline = 2;
	opt.connections = 3;
	opt.ops = 2000;
	opt.time_ms = 1000;
	opt.timeout_ms = 10000;
	opt.work.share[WORK_PUT] = opt.work.share[WORK_GET] = 50;
	opt.work.keys = 20;
	opt.work.seed = 1;
	opt.value_size = 40;
	opt.progress = RUN_QUIET;
	opt.prefix = "k";
}

static void
teardown(void)
{
	run_release(&run);
	free(endpoints);
	endpoints = NULL;
	kvserver_stop(&server);
	if (other.pid > 0)
		kvserver_stop(&other);
	if (history[0] != '\0')
		(void)unlink(history);
}

static void
go_to(const char *list)
{
	unsigned count;

	ck_assert_int_eq(
	    endpoint_parse_list(list, &endpoints, &count, NULL), 0);
	ck_assert_int_eq(run_init(&run, &opt, endpoints, count, recorder), 0);
	ck_assert_int_eq(run_go(&run, &never), 0);
	ck_assert_uint_eq(run.open, 0);
}

static void
go(const struct kvserver_faults *faults)
{
	kvserver_start(&server, faults);
	go_to(server.path);
}

/* What was begun has ended exactly once. */
static void
assert_adds_up(uint64_t issued)
{
	ck_assert_uint_eq(run.issued, issued);
	ck_assert_uint_eq(
	    run.tally.all.count + tally_errors(&run.tally) + run.tally.unknown,
	    issued);
}

START_TEST(test_closed_loop_does_as_many_as_asked)
{
	go(NULL);
	assert_adds_up(2000);
	ck_assert_uint_eq(run.tally.all.count, 2000);
	ck_assert_uint_gt(run.tally.by_op[WORK_PUT].count, 900);
	ck_assert_uint_gt(run.tally.by_op[WORK_GET].count, 900);
	ck_assert_uint_gt(run.tally.all.min, 0);
	ck_assert_uint_eq(run.stray, 0);
	ck_assert(run_seconds(&run) > 0);
}
END_TEST

START_TEST(test_warm_up_is_not_measured)
{
	opt.warmup_ms = 100;
	go(NULL);
	assert_adds_up(2000);
	ck_assert_uint_gt(run.begin_ns - run.zero_ns, 100 * 1000000 - 1);
}
END_TEST

START_TEST(test_load_puts_every_key)
{
	opt.load = true;
	opt.work.keys = 3000;
	opt.work.share[WORK_PUT] = 0;
	go(NULL);
	assert_adds_up(2000);
	ck_assert_uint_eq(run.loaded, 3000);
	ck_assert_uint_eq(run.ops.absent, 0);
}
END_TEST

START_TEST(test_load_goes_on_after_refusals)
{
	struct kvserver_faults faults = {.refuse_every = 50};

	opt.load = true;
	opt.work.keys = 1000;
	opt.ops = 1;
	go(&faults);
	ck_assert_uint_eq(run.loaded, 1000);
}
END_TEST

START_TEST(test_each_kind_of_operation_is_understood)
{
	unsigned i;

	for (i = 0; i < WORK_OPS; i++)
		opt.work.share[i] = 1;
	go(NULL);
	assert_adds_up(2000);
	ck_assert_uint_eq(run.tally.all.count, 2000);
	for (i = 0; i < WORK_OPS; i++)
		ck_assert_uint_gt(run.tally.by_op[i].count, 150);
}
END_TEST

/* The rate is kept, as far as the machine allows, and nothing is lost. */
START_TEST(test_open_loop_starts_what_is_due)
{
	opt.ops = 0;
	opt.rate = 2000;
	opt.time_ms = 500;
	go(NULL);
	ck_assert_uint_le(run.issued, 1001);
	ck_assert_uint_ge(run.issued + run_late(&run), 999);
	assert_adds_up(run.issued);
}
END_TEST

/* One client, one slot, and more is due than it can do: the latency counts
 * from when an operation was due, so it grows as the queue does. */
START_TEST(test_open_loop_counts_the_waiting)
{
	struct kvserver_faults faults = {.mute_every = 100};

	opt.clients = opt.pipeline = opt.connections = 1;
	opt.ops = 300;
	opt.rate = 100000;
	opt.timeout_ms = 100;
	go(&faults);
	assert_adds_up(300);
	ck_assert_uint_eq(run.tally.all.count, 297);
	/* whoever came after the first silence waited for its end */
	ck_assert_uint_gt(hist_quantile(&run.tally.all, 0.5), 90 * 1000000);
}
END_TEST

START_TEST(test_refusals_are_counted_by_their_code)
{
	struct kvserver_faults faults = {.refuse_every = 10};

	go(&faults);
	assert_adds_up(2000);
	ck_assert_uint_eq(run.tally.errors[WIRE_BUSY], 200);
	ck_assert_uint_eq(run.tally.unknown, 0);
}
END_TEST

START_TEST(test_a_lost_connection_leaves_writes_unknown)
{
	struct kvserver_faults faults = {.drop_every = 200};

	go(&faults);
	assert_adds_up(2000);
	ck_assert_uint_gt(run.tally.unknown, 0);
	ck_assert_uint_gt(run.tally.errors[WIRE_UNREACHABLE], 0);
	ck_assert_uint_gt(run.tally.all.count, 1000);
	ck_assert_uint_gt(strlen(run.why), 0);
}
END_TEST

START_TEST(test_silence_ends_at_the_time_limit)
{
	struct kvserver_faults faults = {.mute_every = 500};

	opt.timeout_ms = 200;
	go(&faults);
	assert_adds_up(2000);
	ck_assert_uint_gt(run.tally.unknown + run.tally.errors[WIRE_TIMEOUT] +
			      run.tally.errors[WIRE_UNREACHABLE],
	    2);
	ck_assert_uint_gt(run.tally.all.count, 1800);
}
END_TEST

START_TEST(test_nobody_there_is_said)
{
	unsigned count;

	opt.timeout_ms = 100;
	ck_assert_int_eq(
	    endpoint_parse_list("/nowhere/sock", &endpoints, &count, NULL), 0);
	ck_assert_int_eq(run_init(&run, &opt, endpoints, count, NULL), 0);
	ck_assert_int_eq(run_go(&run, &never), -EHOSTUNREACH);
	ck_assert_ptr_nonnull(strstr(run.why, "/nowhere/sock"));
}
END_TEST

START_TEST(test_the_leader_is_found)
{
	struct kvserver_faults faults = {.follower = true};
	char list[256];
	unsigned i;

	kvserver_start(&other, &faults);
	kvserver_start(&server, NULL);
	(void)snprintf(list, sizeof(list), "%s,%s", other.path, server.path);
	opt.target = RUN_LEADER;
	go_to(list);
	assert_adds_up(2000);
	for (i = 0; i < opt.connections; i++)
		ck_assert_uint_eq(run.links[i].link.endpoint, 1);
}
END_TEST

START_TEST(test_a_signal_ends_the_run)
{
	volatile int stop = 2;
	unsigned count;

	kvserver_start(&server, NULL);
	ck_assert_int_eq(
	    endpoint_parse_list(server.path, &endpoints, &count, NULL), 0);
	ck_assert_int_eq(run_init(&run, &opt, endpoints, count, NULL), 0);
	ck_assert_int_eq(run_go(&run, &stop), 0);
	ck_assert_uint_lt(run.issued, 2000);
	ck_assert_uint_eq(run.open, 0);
}
END_TEST

/* ---- histories --------------------------------------------------------- */

static enum lincheck_verdict
judge(size_t *ops)
{
	struct membudget budget = {.max = (size_t)1 << 30};
	struct history_read_opts how = {0};
	struct lincheck_opts opts = {0};
	struct lincheck_result result;
	struct ordercheck_result order;
	enum lincheck_verdict verdict;
	struct errtext et = {""};
	struct history h;
	int fd;

	ck_assert_int_eq(recorder_close(recorder), 0);
	fd = open(history, O_RDONLY);
	ck_assert_int_ge(fd, 0);
	history_init(&h, &budget);
	ck_assert_msg(history_read(&h, fd, &how, &et) == 0, "%s", et.text);
	close(fd);
	*ops = h.ops_n;
	lincheck(&h, &opts, &result);
	verdict = result.verdict;
	lincheck_release(&h, &result);
	/* the revisions tell the same */
	ck_assert_int_eq(ordercheck(&h, &order), 0);
	ck_assert_uint_gt(order.with_rev, *ops / 4);
	ck_assert_msg(
	    order.verdict == verdict || order.verdict == LINCHECK_UNDECIDED,
	    "%s", order.why);
	history_release(&h);
	return verdict;
}

static void
record(void)
{
	int fd;

	(void)snprintf(history, sizeof(history), "/tmp/history.XXXXXX");
	fd = mkstemp(history);
	ck_assert_int_ge(fd, 0);
	close(fd);
	ck_assert_int_eq(recorder_open(history, &recorder), 0);
	ck_assert_int_eq(
	    work_parse_mix("put=3,get=5,cas=3,delete=1,rmw=1", &opt.work, NULL),
	    0);
}

START_TEST(test_the_history_of_a_good_server_is_linearizable)
{
	size_t ops;

	record();
	go(NULL);
	ck_assert_uint_gt(run.ops.not_swapped, 0);
	ck_assert_uint_lt(run.ops.not_swapped, run.tally.by_op[WORK_CAS].count);
	ck_assert_int_eq(judge(&ops), LINCHECK_OK);
	/* an rmw is two */
	ck_assert_uint_eq(ops, 2000 + run.tally.by_op[WORK_RMW].count);
}
END_TEST

START_TEST(test_unknown_outcomes_are_recorded_as_such)
{
	struct kvserver_faults faults = {.drop_every = 100, .refuse_every = 33};
	size_t ops;

	record();
	go(&faults);
	ck_assert_uint_gt(run.tally.unknown, 0);
	ck_assert_int_eq(judge(&ops), LINCHECK_OK);
	ck_assert_uint_ge(ops, 2000);
}
END_TEST

START_TEST(test_appended_values_are_recorded_whole)
{
	size_t ops;

	record();
	ck_assert_int_eq(
	    work_parse_mix("put=1,append=4,get=4,delete=1", &opt.work, NULL),
	    0);
	go(NULL);
	ck_assert_int_eq(judge(&ops), LINCHECK_OK);
	ck_assert_uint_eq(ops, 2000);
}
END_TEST

START_TEST(test_a_server_that_reads_the_past_is_caught)
{
	struct kvserver_faults faults = {.stale_every = 7};
	size_t ops;

	record();
	opt.work.keys = 1;
	go(&faults);
	ck_assert_int_eq(judge(&ops), LINCHECK_VIOLATION);
}
END_TEST

/* ---- options ----------------------------------------------------------- */

static int
parse(const char *text, struct run_options *o)
{
	char copy[512], *argv[32], *save = NULL, *word;
	int argc = 0;

	(void)snprintf(copy, sizeof(copy), "run %s", text);
	for (word = strtok_r(copy, " ", &save); word != NULL;
	     word = strtok_r(NULL, " ", &save))
		argv[argc++] = word;
	argv[argc] = NULL;
	return run_options_parse(argc, argv, o);
}

START_TEST(test_options_are_taken)
{
	struct run_options o;

	ck_assert_int_eq(
	    parse("-s a:1,b:2 --clients 1000 --pipeline 4 --rate 1.5e3 "
		  "--time 2m --mix put=1 --keys 1000000 --dist zipf "
		  "--value-size 4K --read stale --timeout 250ms --history f",
		&o),
	    -1);
	ck_assert_str_eq(o.endpoints, "a:1,b:2");
	ck_assert_uint_eq(o.clients, 1000);
	ck_assert_uint_eq(o.connections, 16);
	ck_assert(o.rate == 1500);
	ck_assert_uint_eq(o.time_ms, 120000);
	ck_assert_uint_eq(o.work.share[WORK_GET], 0);
	ck_assert_int_eq(o.work.dist, WORK_ZIPF);
	ck_assert_uint_eq(o.value_size, 4096);
	ck_assert_int_eq(o.read, RUN_STALE);
	ck_assert_uint_eq(o.timeout_ms, 250);
	ck_assert_uint_eq(o.warmup_ms, 1000);
	ck_assert_int_eq(parse("-s a:1 --ops 5 --preset ycsb-c", &o), -1);
	ck_assert_uint_eq(o.warmup_ms, 0);
	ck_assert_uint_eq(o.connections, 1);
	ck_assert(o.load);
}
END_TEST

START_TEST(test_bad_options_are_usage)
{
	static const char *const bad[] = {"-s a:1 --time 5", "-s a:1 --time 5x",
	    "-s a:1 --clients 0", "-s a:1 --clients x", "-s a:1 --rate 0",
	    "-s a:1 --rate nan", "-s a:1 --mix scan", "-s a:1 --value-size 1T",
	    "-s a:1 --value-size 65M", "-s a:1 --dist normal",
	    "-s a:1 --read fast", "-s a:1 extra", "-s a:1 --nothing",
	    "-s a:1 --clients 1000000 --pipeline 2", "-s a:1 --prefix \"",
	    "-s a:1 --timeout 0ms", "-s a:1 --preset ycsb-e --history f"};
	struct run_options o;
	size_t i;

	ck_assert_ptr_nonnull(freopen("/dev/null", "w", stderr));
	(void)unsetenv("RAFT_ENDPOINTS");
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		ck_assert_msg(parse(bad[i], &o) == 64, "%s", bad[i]);
	ck_assert_int_eq(parse("", &o), 64);
	(void)setenv("RAFT_ENDPOINTS", "/sock", 1);
	ck_assert_int_eq(parse("", &o), -1);
	ck_assert_str_eq(o.endpoints, "/sock");
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("run");
	TCase *load = tcase_create("load"), *options = tcase_create("options");
	SRunner *sr;
	int failed;

	tcase_set_timeout(load, 60);
	tcase_add_checked_fixture(load, setup, teardown);
	tcase_add_test(load, test_closed_loop_does_as_many_as_asked);
	tcase_add_test(load, test_warm_up_is_not_measured);
	tcase_add_test(load, test_load_puts_every_key);
	tcase_add_test(load, test_load_goes_on_after_refusals);
	tcase_add_test(load, test_each_kind_of_operation_is_understood);
	tcase_add_test(load, test_open_loop_starts_what_is_due);
	tcase_add_test(load, test_open_loop_counts_the_waiting);
	tcase_add_test(load, test_refusals_are_counted_by_their_code);
	tcase_add_test(load, test_a_lost_connection_leaves_writes_unknown);
	tcase_add_test(load, test_silence_ends_at_the_time_limit);
	tcase_add_test(load, test_nobody_there_is_said);
	tcase_add_test(load, test_the_leader_is_found);
	tcase_add_test(load, test_a_signal_ends_the_run);
	tcase_add_test(load, test_the_history_of_a_good_server_is_linearizable);
	tcase_add_test(load, test_unknown_outcomes_are_recorded_as_such);
	tcase_add_test(load, test_appended_values_are_recorded_whole);
	tcase_add_test(load, test_a_server_that_reads_the_past_is_caught);
	tcase_add_test(options, test_options_are_taken);
	tcase_add_test(options, test_bad_options_are_usage);
	suite_add_tcase(s, load);
	suite_add_tcase(s, options);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
