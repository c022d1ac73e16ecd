/*
 * storage.c - runs the host's storage jobs, on a thread or in place.
 */
#include "raftd/storage.h"

#include <errno.h>
#include <event2/event.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "raftd/now.h"

/* Without a job for so long the log is idle and gets its mark. */
#define STORAGE_IDLE_NS 20000000

struct storage {
	enum conf_storage mode;
	struct wal *wal;
	void (*done_cb)(struct store_job *, void *);
	void *ctx;
	/* event thread */
	struct store_queue fresh; /* submitted, not handed over */
	uint64_t open;		  /* submitted, not back */
	struct event *wake;
	int efd;
	pthread_t thread;
	bool running;
	uint64_t last_ns; /* what the last write took that came back */
	/* shared */
	pthread_mutex_t lock;
	pthread_cond_t work;
	struct store_queue todo, done;
	bool busy;     /* somebody is inside the log */
	bool sleeping; /* the thread waits for work */
	bool woken;    /* efd holds a count already */
	bool stop;
	bool dirty;   /* written to since the last mark */
	bool unready; /* the next segment may need work */
	struct storage_stat stat;
};

/* Move up to STORE_JOBS_MAX of them out of the queue. */
static size_t
take(struct store_queue *q, struct store_job **jobs)
{
	struct store_job *j;
	size_t n = 0;

	while (n < STORE_JOBS_MAX && (j = STAILQ_FIRST(q)) != NULL) {
		STAILQ_REMOVE_HEAD(q, link);
		jobs[n++] = j;
	}
	return n;
}

/* True if there were writes; those know then how long they took. */
static bool
run_timed(struct wal *wal, struct store_job **jobs, size_t n)
{
	uint64_t from = now().mono_ns, took;
	bool wrote = false;
	size_t i;

	store_run(wal, jobs, n);
	took = now().mono_ns - from;
	for (i = 0; i < n; i++)
		if (jobs[i]->kind == STORE_WRITE) {
			jobs[i]->sync_ns = took;
			wrote = true;
		}
	return wrote;
}

/* ---- the thread: called and left with the lock held -------------------- */

static void
give_back(struct storage *s, struct store_job **jobs, size_t n)
{
	uint64_t one = 1;
	size_t i;

	for (i = 0; i < n; i++)
		STAILQ_INSERT_TAIL(&s->done, jobs[i], link);
	s->stat.jobs += n;
	s->stat.runs++;
	if (s->woken)
		return;
	s->woken = true;
	s->stat.wakes_event++;
	/* Cannot fail: the counter is far from full. */
	(void)!write(s->efd, &one, sizeof(one));
}

static void
run_jobs(struct storage *s)
{
	struct store_job *jobs[STORE_JOBS_MAX];
	bool wrote;
	size_t n;

	n = take(&s->todo, jobs);
	s->busy = true;
	pthread_mutex_unlock(&s->lock);
	wrote = run_timed(s->wal, jobs, n);
	pthread_mutex_lock(&s->lock);
	s->busy = false;
	if (wrote)
		s->dirty = s->unready = true;
	give_back(s, jobs, n);
}

/* A bounded piece of housekeeping; a failure shows with the next write. */
static void
keep_house(struct storage *s, bool idle)
{
	bool mark = !s->unready && idle;
	int ret;

	s->busy = true;
	pthread_mutex_unlock(&s->lock);
	ret = mark ? wal_mark(s->wal) : wal_prepare(s->wal);
	pthread_mutex_lock(&s->lock);
	s->busy = false;
	if (mark) {
		s->dirty = false;
		s->stat.marks++;
	} else {
		s->unready = ret > 0;
		s->stat.prepares++;
	}
}

/* Sleep until there is work; returns true if the log has been idle. */
static bool
sleep_for_work(struct storage *s)
{
	struct timespec ts;
	int ret = 0;

	s->sleeping = true;
	if (s->dirty) {
		(void)clock_gettime(CLOCK_MONOTONIC, &ts);
		ts.tv_nsec += STORAGE_IDLE_NS;
		if (ts.tv_nsec >= 1000000000) {
			ts.tv_nsec -= 1000000000;
			ts.tv_sec++;
		}
		ret = pthread_cond_timedwait(&s->work, &s->lock, &ts);
	} else
		(void)pthread_cond_wait(&s->work, &s->lock);
	s->sleeping = false;
	return ret == ETIMEDOUT;
}

static void *
thread_main(void *arg)
{
	struct storage *s = arg;
	bool idle = false;

	pthread_mutex_lock(&s->lock);
	for (;;) {
		if (s->busy) {
			/* The event thread is inside; it wakes us. */
			(void)sleep_for_work(s);
			continue;
		}
		if (!STAILQ_EMPTY(&s->todo)) {
			run_jobs(s);
			idle = false;
		} else if (s->stop)
			break;
		else if (s->unready || (s->dirty && idle))
			keep_house(s, idle);
		else
			idle = sleep_for_work(s);
	}
	pthread_mutex_unlock(&s->lock);
	return NULL;
}

/* ---- the event thread -------------------------------------------------- */

static void
return_jobs(struct storage *s, struct store_queue *q)
{
	struct store_job *j;

	while ((j = STAILQ_FIRST(q)) != NULL) {
		STAILQ_REMOVE_HEAD(q, link);
		s->open--;
		if (j->kind == STORE_WRITE)
			s->last_ns = j->sync_ns;
		s->done_cb(j, s->ctx);
	}
}

static void
wake_cb(evutil_socket_t fd, short what, void *arg)
{
	struct storage *s = arg;
	struct store_queue q = STAILQ_HEAD_INITIALIZER(q);
	uint64_t count;

	(void)what;
	(void)!read(fd, &count, sizeof(count));
	pthread_mutex_lock(&s->lock);
	s->woken = false;
	STAILQ_CONCAT(&q, &s->done);
	pthread_mutex_unlock(&s->lock);
	return_jobs(s, &q);
}

int
storage_new(struct event_base *base, enum conf_storage mode,
    void (*done_cb)(struct store_job *, void *), void *ctx,
    struct storage **out)
{
	struct storage *s = calloc(1, sizeof(*s));
	pthread_condattr_t attr;

	if (s == NULL)
		return -ENOMEM;
	s->mode = mode;
	s->done_cb = done_cb;
	s->ctx = ctx;
	STAILQ_INIT(&s->fresh);
	STAILQ_INIT(&s->todo);
	STAILQ_INIT(&s->done);
	pthread_mutex_init(&s->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&s->work, &attr);
	pthread_condattr_destroy(&attr);
	s->efd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (s->efd >= 0)
		s->wake =
		    event_new(base, s->efd, EV_READ | EV_PERSIST, wake_cb, s);
	if (s->wake == NULL || event_add(s->wake, NULL) < 0) {
		storage_free(s);
		return -ENOMEM;
	}
	*out = s;
	return 0;
}

int
storage_start(struct storage *s, struct wal *wal)
{
	sigset_t all, old;
	int ret;

	s->wal = wal;
	/* Recovery left a log whose next segment may not be ready. */
	s->unready = true;
	/* Signals are the event thread's. */
	(void)sigfillset(&all);
	(void)pthread_sigmask(SIG_BLOCK, &all, &old);
	ret = pthread_create(&s->thread, NULL, thread_main, s);
	(void)pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (ret != 0)
		return -ret;
	s->running = true;
	return 0;
}

void
storage_submit(struct storage *s, struct store_job *j)
{
	STAILQ_INSERT_TAIL(&s->fresh, j, link);
	s->open++;
}

static bool
may_run_in_place(const struct storage *s, bool quiet)
{
	const struct store_job *j = STAILQ_FIRST(&s->fresh);

	if (s->mode != CONF_STORAGE_AUTO)
		return s->mode == CONF_STORAGE_INLINE;
	/* A disk that has just been slow may be slow again. */
	if (s->last_ns > STORAGE_INLINE_NS_MAX)
		return false;
	return quiet && s->open == 1 && j->kind == STORE_WRITE &&
	       j->bytes <= STORAGE_INLINE_BYTES_MAX;
}

static void
hand_over(struct storage *s)
{
	bool wake;

	pthread_mutex_lock(&s->lock);
	STAILQ_CONCAT(&s->todo, &s->fresh);
	wake = s->sleeping;
	if (wake) {
		s->sleeping = false;
		s->stat.wakes_thread++;
	}
	pthread_mutex_unlock(&s->lock);
	if (wake)
		pthread_cond_signal(&s->work);
}

bool
storage_kick(struct storage *s, bool quiet)
{
	if (STAILQ_EMPTY(&s->fresh) || s->wal == NULL)
		return false;
	if (may_run_in_place(s, quiet))
		return true;
	hand_over(s);
	return false;
}

bool
storage_run_here(struct storage *s)
{
	struct store_queue q = STAILQ_HEAD_INITIALIZER(q);
	struct store_job *jobs[STORE_JOBS_MAX];
	bool is_free, wrote = false;
	size_t n, i;

	pthread_mutex_lock(&s->lock);
	is_free = !s->busy && STAILQ_EMPTY(&s->todo) && STAILQ_EMPTY(&s->done);
	if (is_free)
		s->busy = true;
	pthread_mutex_unlock(&s->lock);
	if (!is_free) {
		hand_over(s);
		return false;
	}
	while ((n = take(&s->fresh, jobs)) > 0) {
		wrote = run_timed(s->wal, jobs, n) || wrote;
		for (i = 0; i < n; i++)
			STAILQ_INSERT_TAIL(&q, jobs[i], link);
		s->stat.in_place++;
	}
	pthread_mutex_lock(&s->lock);
	s->busy = false;
	/*
	 * The thread keeps house: it is woken only to begin (from then on
	 * it wakes by itself while dirty), not for each batch.
	 */
	if (wrote && !s->dirty && s->sleeping)
		pthread_cond_signal(&s->work);
	if (wrote)
		s->dirty = s->unready = true;
	pthread_mutex_unlock(&s->lock);
	return_jobs(s, &q);
	return true;
}

uint64_t
storage_open_jobs(const struct storage *s)
{
	return s->open;
}

void
storage_stat(struct storage *s, struct storage_stat *out)
{
	pthread_mutex_lock(&s->lock);
	*out = s->stat;
	pthread_mutex_unlock(&s->lock);
}

void
storage_free(struct storage *s)
{
	if (s == NULL)
		return;
	if (s->running) {
		pthread_mutex_lock(&s->lock);
		s->stop = true;
		pthread_cond_signal(&s->work);
		pthread_mutex_unlock(&s->lock);
		(void)pthread_join(s->thread, NULL);
	}
	/* Done, or never begun: they go back to whoever owns them. */
	return_jobs(s, &s->done);
	return_jobs(s, &s->todo);
	return_jobs(s, &s->fresh);
	if (s->wake != NULL)
		event_free(s->wake);
	if (s->efd >= 0)
		(void)close(s->efd);
	pthread_cond_destroy(&s->work);
	pthread_mutex_destroy(&s->lock);
	free(s);
}
