/*
 * clock.c - faults-clock.so: other clocks for one process, by LD_PRELOAD.
 *
 * FAULTS_CLOCK is "OFFSET,RATE": the wall clock is that many nanoseconds off,
 * and every clock gains that many millionths, counted from the start of the
 * process.  What the process waits for is shortened or lengthened by the
 * same share, as a crystal that runs fast or slow does.
 *
 * Only what raftd and libevent use is covered.
 */
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define NS 1000000000ll
#define PPM 1000000ll
#define CLOCKS 8 /* CLOCK_REALTIME is 0, CLOCK_BOOTTIME 7 */

static int64_t offset_ns, rate_ppm, start_ns[CLOCKS];

static int64_t
ns_of(const struct timespec *ts)
{
	return (int64_t)ts->tv_sec * NS + ts->tv_nsec;
}

static struct timespec
ts_of(int64_t ns)
{
	return (struct timespec){(time_t)(ns / NS), (long)(ns % NS)};
}

/* Not through the C library, which is us. */
static int64_t
true_ns(clockid_t clock)
{
	struct timespec ts = {0};

	(void)syscall(SYS_clock_gettime, clock, &ts);
	return ns_of(&ts);
}

/* Reading the clocks once, before anything else does. */
__attribute__((constructor)) static void
begin(void)
{
	const char *text = getenv("FAULTS_CLOCK");
	char *end;

	if (text == NULL)
		return;
	offset_ns = strtoll(text, &end, 10);
	rate_ppm = *end == ',' ? strtoll(end + 1, NULL, 10) : 0;
	for (clockid_t c = 0; c < CLOCKS; c++)
		start_ns[c] = true_ns(c);
}

static bool
is_shifted(clockid_t clock)
{
	return clock >= 0 && clock < CLOCKS &&
	       clock != CLOCK_PROCESS_CPUTIME_ID &&
	       clock != CLOCK_THREAD_CPUTIME_ID;
}

static bool
is_wall(clockid_t clock)
{
	return clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE;
}

static int64_t
shown_ns(clockid_t clock)
{
	int64_t t = true_ns(clock);

	/* a day gains at most a day: no overflow for years */
	t += (t - start_ns[clock]) / 1000 * rate_ppm / (PPM / 1000);
	return is_wall(clock) ? t + offset_ns : t;
}

/* How long to wait so that so much is shown to pass. */
static int64_t
true_span(int64_t ns)
{
	return (int64_t)((double)ns * PPM / (double)(PPM + rate_ppm));
}

int
clock_gettime(clockid_t clock, struct timespec *ts)
{
	if (!is_shifted(clock))
		return (int)syscall(SYS_clock_gettime, clock, ts);
	*ts = ts_of(shown_ns(clock));
	return 0;
}

int
gettimeofday(struct timeval *restrict tv, void *restrict zone)
{
	int64_t ns = shown_ns(CLOCK_REALTIME);

	(void)zone;
	tv->tv_sec = (time_t)(ns / NS);
	tv->tv_usec = (suseconds_t)(ns % NS / 1000);
	return 0;
}

time_t
time(time_t *out)
{
	time_t t = (time_t)(shown_ns(CLOCK_REALTIME) / NS);

	if (out != NULL)
		*out = t;
	return t;
}

int
epoll_wait(int fd, struct epoll_event *events, int max, int timeout_ms)
{
	int64_t ns;

	if (timeout_ms > 0) {
		ns = true_span((int64_t)timeout_ms * 1000000);
		timeout_ms = (int)((ns + 999999) / 1000000);
	}
	return (int)syscall(
	    SYS_epoll_pwait, fd, events, max, timeout_ms, NULL, 0);
}

/* The deadline is of the clock that it is nearer to. */
int
pthread_cond_timedwait(pthread_cond_t *restrict cond,
    pthread_mutex_t *restrict lock, const struct timespec *restrict until)
{
	static int (*next)(
	    pthread_cond_t *, pthread_mutex_t *, const struct timespec *);
	int64_t at = ns_of(until), wall = at - shown_ns(CLOCK_REALTIME);
	int64_t mono = at - shown_ns(CLOCK_MONOTONIC);
	struct timespec ts;

	if (next == NULL)
		*(void **)&next = dlsym(RTLD_NEXT, "pthread_cond_timedwait");
	if (llabs(wall) < llabs(mono))
		ts = ts_of(true_ns(CLOCK_REALTIME) + true_span(wall));
	else
		ts = ts_of(true_ns(CLOCK_MONOTONIC) + true_span(mono));
	return next(cond, lock, &ts);
}
