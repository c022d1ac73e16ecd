/*
 * scrub.c - reads the log and the snapshots of a running server.
 */
#include "raftd/scrub.h"

#include <errno.h>
#include <event2/event.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "raftd/now.h"

#define AGAIN_NS 200000000 /* between two looks at the same damage */
#define SLICE_NS 50000000  /* the longest that a stop waits */
#define NS_PER_S UINT64_C(1000000000)

/* ---- a disk that is read slowly ---------------------------------------- */

struct slow {
	struct disk *disk;
	struct scrub_limit *limit;
};

static bool
is_stopped(const struct scrub_limit *l)
{
	return l->stopped != NULL && l->stopped(l->ctx);
}

static void
pause_ns(uint64_t ns)
{
	struct timespec ts = {(time_t)(ns / NS_PER_S), (long)(ns % NS_PER_S)};

	(void)nanosleep(&ts, NULL);
}

/* Until so much may have been read. */
static void
keep_pace(struct scrub_limit *l)
{
	uint64_t due, is;

	while (l->rate > 0 && !is_stopped(l)) {
		due = (uint64_t)((double)l->bytes / (double)l->rate * 1e9);
		is = now().mono_ns - l->begun_ns;
		if (is >= due)
			return;
		pause_ns(due - is < SLICE_NS ? due - is : SLICE_NS);
	}
}

static int
slow_open(void *ctx, const char *path, int flags, struct disk_file **f)
{
	struct slow *s = ctx;

	return s->disk->ops->open(s->disk->ctx, path, flags | DISK_ONCE, f);
}

static void
slow_close(void *ctx, struct disk_file *f)
{
	struct slow *s = ctx;

	s->disk->ops->close(s->disk->ctx, f);
}

static int64_t
slow_read(
    void *ctx, struct disk_file *f, void *buf, size_t len, uint64_t offset)
{
	struct slow *s = ctx;
	int64_t n;

	keep_pace(s->limit);
	if (is_stopped(s->limit))
		return -ECANCELED;
	n = s->disk->ops->read(s->disk->ctx, f, buf, len, offset);
	if (n > 0)
		s->limit->bytes += (uint64_t)n;
	return n;
}

static int
slow_size(void *ctx, struct disk_file *f, uint64_t *size)
{
	struct slow *s = ctx;

	return s->disk->ops->size(s->disk->ctx, f, size);
}

static int
slow_list(void *ctx, const char *path, int (*fn)(void *arg, const char *name),
    void *arg)
{
	struct slow *s = ctx;

	return s->disk->ops->list(s->disk->ctx, path, fn, arg);
}

static const struct disk_ops slow_ops = {
    .open = slow_open,
    .close = slow_close,
    .read = slow_read,
    .size = slow_size,
    .list = slow_list,
};

/* ---- a round ----------------------------------------------------------- */

static int
note_problem(const struct wal_problem *p, void *ctx)
{
	struct scrub_result *r = ctx;

	/* The end of a log that is being written may look torn. */
	if (strcmp(p->problem, "torn") == 0 || r->log_damaged)
		return 0;
	r->log_damaged = true;
	r->problem = *p;
	return 0;
}

static bool
is_same(const struct scrub_result *a, const struct scrub_result *b)
{
	return a->log_damaged && b->log_damaged &&
	       strcmp(a->problem.file, b->problem.file) == 0 &&
	       a->problem.offset == b->problem.offset;
}

static int
look_at_log(
    struct disk *disk, const struct scrub_limit *l, struct scrub_result *out)
{
	struct scrub_result first = {0}, second = {0};
	struct wal_report report;
	int error = wal_check(disk, note_problem, &first, &report, NULL);

	if (error < 0 || !first.log_damaged || is_stopped(l))
		return error;
	/* It is written to and cut while it is read: twice the same is true. */
	pause_ns(AGAIN_NS);
	error = wal_check(disk, note_problem, &second, &report, NULL);
	if (error == 0 && is_same(&first, &second) && !is_stopped(l)) {
		out->log_damaged = true;
		out->problem = second.problem;
	}
	return error;
}

static int
look_at_snapshots(struct disk *disk, uint32_t group,
    const struct scrub_limit *l, struct scrub_result *out)
{
	struct snap_file file[SCRUB_SNAPSHOTS_MAX];
	int n = snap_list(disk, group, file, SCRUB_SNAPSHOTS_MAX), error;

	for (int i = 0; i < n && !is_stopped(l); i++) {
		error =
		    snap_load(disk, file[i].path, NULL, NULL, NULL, NULL, NULL);
		if (error == -EBADMSG && !is_stopped(l))
			memcpy(out->snapshot[out->snapshots++], file[i].path,
			    SNAP_PATH_LEN);
		/* Those that are not needed any more go. */
		else if (error < 0 && error != -ENOENT)
			return error;
	}
	return n < 0 ? n : 0;
}

void
scrub_round(struct disk *disk, uint32_t group, struct scrub_limit *l,
    struct scrub_result *out)
{
	struct slow s = {disk, l};
	struct disk slow = {&slow_ops, &s};

	memset(out, 0, sizeof(*out));
	l->bytes = 0;
	l->begun_ns = now().mono_ns;
	out->error = look_at_log(&slow, l, out);
	if (out->error == 0)
		out->error = look_at_snapshots(&slow, group, l, out);
	out->bytes = l->bytes;
	out->ms = (now().mono_ns - l->begun_ns) / 1000000;
}

/* ---- the thread -------------------------------------------------------- */

struct scrub {
	struct disk disk;
	bool has_disk, running;
	uint32_t group;
	uint64_t interval_ns;
	struct scrub_limit limit;
	void (*done_cb)(const struct scrub_result *, void *);
	void *ctx;
	struct event *wake;
	int efd;
	pthread_t thread;
	/* shared */
	pthread_mutex_t lock;
	pthread_cond_t change;
	bool stop, fresh;
	struct scrub_result result;
};

static bool
stopped(void *ctx)
{
	struct scrub *s = ctx;
	bool stop;

	pthread_mutex_lock(&s->lock);
	stop = s->stop;
	pthread_mutex_unlock(&s->lock);
	return stop;
}

/* Called and left with the lock held. */
static void
wait_interval(struct scrub *s)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	ts.tv_sec += (time_t)(s->interval_ns / NS_PER_S);
	ts.tv_nsec += (long)(s->interval_ns % NS_PER_S);
	if (ts.tv_nsec >= (long)NS_PER_S) {
		ts.tv_nsec -= (long)NS_PER_S;
		ts.tv_sec++;
	}
	while (!s->stop &&
	       pthread_cond_timedwait(&s->change, &s->lock, &ts) != ETIMEDOUT)
		;
}

static void *
thread_main(void *arg)
{
	struct scrub *s = arg;
	struct scrub_result r;
	uint64_t one = 1;

	pthread_mutex_lock(&s->lock);
	for (;;) {
		wait_interval(s);
		if (s->stop)
			break;
		pthread_mutex_unlock(&s->lock);
		scrub_round(&s->disk, s->group, &s->limit, &r);
		pthread_mutex_lock(&s->lock);
		s->result = r;
		s->fresh = true;
		/* Cannot fail: the counter is far from full. */
		(void)!write(s->efd, &one, sizeof(one));
	}
	pthread_mutex_unlock(&s->lock);
	return NULL;
}

static void
wake_cb(evutil_socket_t fd, short what, void *arg)
{
	struct scrub *s = arg;
	struct scrub_result r;
	uint64_t count;
	bool fresh;

	(void)what;
	(void)!read(fd, &count, sizeof(count));
	pthread_mutex_lock(&s->lock);
	r = s->result;
	fresh = s->fresh;
	s->fresh = false;
	pthread_mutex_unlock(&s->lock);
	if (fresh)
		s->done_cb(&r, s->ctx);
}

static int
start_thread(struct scrub *s)
{
	sigset_t all, old;
	int ret;

	/* Signals are the event thread's. */
	(void)sigfillset(&all);
	(void)pthread_sigmask(SIG_BLOCK, &all, &old);
	ret = pthread_create(&s->thread, NULL, thread_main, s);
	(void)pthread_sigmask(SIG_SETMASK, &old, NULL);
	s->running = ret == 0;
	return -ret;
}

int
scrub_start(struct event_base *base, const char *dir, uint64_t interval_ns,
    uint64_t rate, uint32_t group,
    void (*done_cb)(const struct scrub_result *, void *ctx), void *ctx,
    struct scrub **out)
{
	struct scrub *s = calloc(1, sizeof(*s));
	pthread_condattr_t attr;
	int error;

	if (s == NULL)
		return -ENOMEM;
	s->group = group;
	s->interval_ns = interval_ns;
	s->limit =
	    (struct scrub_limit){.rate = rate, .stopped = stopped, .ctx = s};
	s->done_cb = done_cb;
	s->ctx = ctx;
	pthread_mutex_init(&s->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&s->change, &attr);
	pthread_condattr_destroy(&attr);
	s->efd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (s->efd >= 0)
		s->wake =
		    event_new(base, s->efd, EV_READ | EV_PERSIST, wake_cb, s);
	error = s->wake == NULL || event_add(s->wake, NULL) < 0 ? -ENOMEM : 0;
	if (error == 0)
		error = disk_real_open(dir, false, false, &s->disk, NULL);
	if (error == 0) {
		s->has_disk = true;
		error = start_thread(s);
	}
	if (error < 0) {
		scrub_free(s);
		return error;
	}
	*out = s;
	return 0;
}

void
scrub_free(struct scrub *s)
{
	if (s == NULL)
		return;
	if (s->running) {
		pthread_mutex_lock(&s->lock);
		s->stop = true;
		pthread_cond_signal(&s->change);
		pthread_mutex_unlock(&s->lock);
		(void)pthread_join(s->thread, NULL);
	}
	if (s->wake != NULL)
		event_free(s->wake);
	if (s->efd >= 0)
		(void)close(s->efd);
	if (s->has_disk)
		disk_real_close(&s->disk);
	pthread_cond_destroy(&s->change);
	pthread_mutex_destroy(&s->lock);
	free(s);
}
