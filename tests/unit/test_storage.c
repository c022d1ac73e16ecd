/*
 * test_storage.c - jobs to the storage thread and back, around a log that
 * counts.
 */
#include <check.h>
#include <event2/event.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "raftd/storage.h"

#define JOBS 300

/* ---- the log ------------------------------------------------------------ */

struct wal {
	pthread_mutex_t lock;
	bool inside;	/* somebody is: nobody else may be */
	pthread_t last; /* who ran jobs last */
	uint64_t runs, marks, prepares, prepares_left;
	uint64_t largest; /* jobs of one run */
	unsigned delay_us;
};

static struct wal wal;

static void
enter(struct wal *w)
{
	pthread_mutex_lock(&w->lock);
	ck_assert(!w->inside);
	w->inside = true;
	pthread_mutex_unlock(&w->lock);
}

static void
leave(struct wal *w)
{
	pthread_mutex_lock(&w->lock);
	w->inside = false;
	pthread_mutex_unlock(&w->lock);
}

void
store_run(struct wal *w, struct store_job **jobs, size_t n)
{
	enter(w);
	for (size_t i = 0; i < n; i++)
		jobs[i]->error = -(int)jobs[i]->index;
	if (w->delay_us > 0)
		(void)usleep(w->delay_us);
	w->runs++;
	w->last = pthread_self();
	if (n > w->largest)
		w->largest = n;
	leave(w);
}

int
wal_mark(struct wal *w)
{
	enter(w);
	w->marks++;
	leave(w);
	return 0;
}

int
wal_prepare(struct wal *w)
{
	int more;

	enter(w);
	w->prepares++;
	if (w->prepares_left > 0)
		w->prepares_left--;
	more = w->prepares_left > 0;
	leave(w);
	return more;
}

/* ---- around it ---------------------------------------------------------- */

static struct event_base *base;
static struct storage *storage;
static struct store_job job[JOBS];
static unsigned done;

static void
done_cb(struct store_job *j, void *ctx)
{
	ck_assert_ptr_eq(ctx, &done);
	/* In the order of submission. */
	ck_assert_ptr_eq(j, &job[done % JOBS]);
	ck_assert_int_eq(j->error, -(int)j->index);
	done++;
}

static void
setup(void)
{
	memset(&wal, 0, sizeof(wal));
	pthread_mutex_init(&wal.lock, NULL);
	base = event_base_new();
	done = 0;
	memset(job, 0, sizeof(job));
	for (unsigned i = 0; i < JOBS; i++) {
		job[i].kind = i % 5 == 4 ? STORE_READ : STORE_WRITE;
		job[i].index = i;
	}
}

static void
teardown(void)
{
	storage_free(storage);
	event_base_free(base);
	pthread_mutex_destroy(&wal.lock);
}

static void
begin(enum conf_storage mode)
{
	ck_assert_int_eq(storage_new(base, mode, done_cb, &done, &storage), 0);
	ck_assert_int_eq(storage_start(storage, &wal), 0);
}

static void
wait_done(unsigned n)
{
	for (int i = 0; i < 20000 && done < n; i++) {
		(void)event_base_loop(base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
		(void)usleep(100);
	}
	ck_assert_uint_eq(done, n);
	ck_assert_uint_eq(storage_open_jobs(storage), 0);
}

static struct storage_stat
stat_now(void)
{
	struct storage_stat st;

	storage_stat(storage, &st);
	return st;
}

/* ---- tests -------------------------------------------------------------- */

START_TEST(test_jobs_come_back_in_order)
{
	begin(CONF_STORAGE_THREAD);
	for (unsigned i = 0; i < JOBS; i++) {
		storage_submit(storage, &job[i]);
		if (i % 7 == 0) {
			ck_assert(!storage_kick(storage, true));
			(void)event_base_loop(
			    base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
		}
	}
	ck_assert(!storage_kick(storage, true));
	wait_done(JOBS);
	ck_assert(!pthread_equal(wal.last, pthread_self()));
	ck_assert_uint_le(wal.largest, STORE_JOBS_MAX);
	ck_assert_uint_gt(job[0].sync_ns, 0);
	ck_assert_uint_eq(job[4].sync_ns, 0); /* a read */
}
END_TEST

START_TEST(test_what_waits_is_taken_together_with_few_wake_ups)
{
	begin(CONF_STORAGE_THREAD);
	wal.delay_us = 20000;
	storage_submit(storage, &job[0]);
	(void)storage_kick(storage, true);
	(void)usleep(5000); /* it is inside, more likely than not */
	for (unsigned i = 1; i < 60; i++) {
		storage_submit(storage, &job[i]);
		(void)storage_kick(storage, true);
	}
	wait_done(60);
	ck_assert_uint_le(wal.runs, 4);
	ck_assert_uint_le(stat_now().wakes_thread, 4);
	ck_assert_uint_le(stat_now().wakes_event, 4);
}
END_TEST

START_TEST(test_inline_runs_in_place)
{
	begin(CONF_STORAGE_INLINE);
	for (unsigned i = 0; i < 20; i++) {
		storage_submit(storage, &job[i]);
		/* The thread may be keeping house: then it has the job. */
		if (storage_kick(storage, false) && storage_run_here(storage))
			ck_assert_uint_eq(done, i + 1);
		else
			wait_done(i + 1);
	}
	ck_assert_uint_gt(stat_now().in_place, 0);
}
END_TEST

START_TEST(test_auto_runs_a_lone_small_write_in_place_and_nothing_else)
{
	begin(CONF_STORAGE_AUTO);
	(void)usleep(20000);
	storage_submit(storage, &job[0]);
	ck_assert(storage_kick(storage, true));
	(void)storage_run_here(storage);
	wait_done(1);
	/* not quiet */
	storage_submit(storage, &job[1]);
	ck_assert(!storage_kick(storage, false));
	wait_done(2);
	/* two at once */
	storage_submit(storage, &job[2]);
	storage_submit(storage, &job[3]);
	ck_assert(!storage_kick(storage, true));
	wait_done(4);
	/* a read */
	storage_submit(storage, &job[4]);
	ck_assert(!storage_kick(storage, true));
	wait_done(5);
	/* a large one */
	job[5].bytes = STORAGE_INLINE_BYTES_MAX + 1;
	storage_submit(storage, &job[5]);
	ck_assert(!storage_kick(storage, true));
	wait_done(6);
}
END_TEST

START_TEST(test_auto_leaves_a_slow_disk_to_the_thread)
{
	begin(CONF_STORAGE_AUTO);
	(void)usleep(20000);
	wal.delay_us = STORAGE_INLINE_NS_MAX / 1000 + 1000;
	storage_submit(storage, &job[0]);
	ck_assert(storage_kick(storage, true));
	(void)storage_run_here(storage);
	wait_done(1);
	wal.delay_us = 0;
	storage_submit(storage, &job[1]);
	ck_assert(!storage_kick(storage, true));
	wait_done(2);
	/* It was fast again. */
	storage_submit(storage, &job[2]);
	ck_assert(storage_kick(storage, true));
	(void)storage_run_here(storage);
	wait_done(3);
}
END_TEST

START_TEST(test_idle_log_is_made_ready_and_marked_once)
{
	wal.prepares_left = 5;
	begin(CONF_STORAGE_THREAD);
	storage_submit(storage, &job[0]);
	(void)storage_kick(storage, true);
	wait_done(1);
	for (int i = 0; i < 2000 && stat_now().marks == 0; i++)
		(void)usleep(1000);
	(void)usleep(60000); /* three times the idle time */
	ck_assert_uint_eq(stat_now().marks, 1);
	ck_assert_uint_ge(stat_now().prepares, 5);
	ck_assert_uint_le(stat_now().prepares, 7);
	ck_assert_uint_eq(wal.prepares_left, 0);
}
END_TEST

START_TEST(test_end_gives_every_job_back)
{
	begin(CONF_STORAGE_THREAD);
	wal.delay_us = 1000;
	for (unsigned i = 0; i < 100; i++) {
		storage_submit(storage, &job[i]);
		(void)storage_kick(storage, true);
	}
	storage_free(storage);
	storage = NULL;
	ck_assert_uint_eq(done, 100);
}
END_TEST

START_TEST(test_jobs_submitted_before_the_start_wait_for_it)
{
	ck_assert_int_eq(
	    storage_new(base, CONF_STORAGE_THREAD, done_cb, &done, &storage),
	    0);
	storage_submit(storage, &job[0]);
	ck_assert(!storage_kick(storage, true));
	ck_assert_uint_eq(storage_open_jobs(storage), 1);
	ck_assert_int_eq(storage_start(storage, &wal), 0);
	ck_assert(!storage_kick(storage, true));
	wait_done(1);
}
END_TEST

static Suite *
suite(void)
{
	Suite *s = suite_create("storage");
	TCase *t = tcase_create("storage");

	tcase_set_timeout(t, 30);
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, test_jobs_come_back_in_order);
	tcase_add_test(t, test_what_waits_is_taken_together_with_few_wake_ups);
	tcase_add_test(t, test_inline_runs_in_place);
	tcase_add_test(
	    t, test_auto_runs_a_lone_small_write_in_place_and_nothing_else);
	tcase_add_test(t, test_auto_leaves_a_slow_disk_to_the_thread);
	tcase_add_test(t, test_idle_log_is_made_ready_and_marked_once);
	tcase_add_test(t, test_end_gives_every_job_back);
	tcase_add_test(t, test_jobs_submitted_before_the_start_wait_for_it);
	suite_add_tcase(s, t);
	return s;
}

int
main(void)
{
	SRunner *r = srunner_create(suite());
	int failed;

	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
