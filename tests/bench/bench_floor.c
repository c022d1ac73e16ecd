/*
 * bench_floor.c - what a lone put cannot go below: one sync of a small write
 * and round trips between processes that sleep until they are asked.
 *
 *	bench_floor [DIR [ROUNDS]]
 *
 * One JSON object on stdout, medians in microseconds:
 *	fdatasync_us	4 KiB over written space of a file in DIR, and its sync
 *	unix_us tcp_us	a round trip of 300 bytes there and 30 back, the two
 *			processes on processors of their own
 *	unix_here_us	the same on one processor
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define ROUNDS_MAX 100000
#define FILE_LEN (4u << 20)
#define BLOCK 4096u
#define ASK_LEN 300
#define ANSWER_LEN 30

static uint64_t sample[ROUNDS_MAX];

static uint64_t
now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static void
die(const char *what)
{
	(void)fprintf(stderr, "bench_floor: %s: %s\n", what, strerror(errno));
	exit(71);
}

static int
by_value(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static double
median_us(unsigned n)
{
	qsort(sample, n, sizeof(sample[0]), by_value);
	return (double)sample[n / 2] / 1000;
}

static double
sync_us(const char *dir, unsigned rounds)
{
	static uint8_t block[BLOCK];
	char path[4096];
	uint64_t start;
	unsigned i;
	int fd;

	(void)snprintf(path, sizeof(path), "%s/floor.XXXXXX", dir);
	fd = mkstemp(path);
	if (fd < 0)
		die(path);
	(void)unlink(path);
	for (i = 0; i < FILE_LEN / BLOCK; i++)
		if (write(fd, block, BLOCK) != BLOCK)
			die("write");
	if (fsync(fd) < 0)
		die("fsync");
	for (i = 0; i < rounds; i++) {
		memset(block, (int)i, sizeof(block));
		start = now_ns();
		if (pwrite(fd, block, BLOCK, i * BLOCK % FILE_LEN) != BLOCK ||
		    fdatasync(fd) < 0)
			die("fdatasync");
		sample[i] = now_ns() - start;
	}
	(void)close(fd);
	return median_us(rounds);
}

static int
read_all(int fd, uint8_t *p, size_t len)
{
	ssize_t n;

	while (len > 0) {
		n = read(fd, p, len);
		if (n <= 0)
			return -1;
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

static void
answer(int fd)
{
	uint8_t b[ASK_LEN] = {0};

	while (read_all(fd, b, ASK_LEN) == 0)
		if (write(fd, b, ANSWER_LEN) != ANSWER_LEN)
			break;
	_exit(0);
}

static void
run_on(unsigned cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu % (unsigned)sysconf(_SC_NPROCESSORS_ONLN), &set);
	if (sched_setaffinity(0, sizeof(set), &set) < 0)
		die("sched_setaffinity");
}

/* The other process sleeps in read(2) until it is asked, and so do we. */
static double
trip_us(int ours, int theirs, unsigned cpu, unsigned rounds)
{
	uint8_t b[ASK_LEN] = {0};
	uint64_t start;
	unsigned i;
	pid_t pid = fork();

	if (pid < 0)
		die("fork");
	if (pid == 0) {
		(void)close(ours);
		run_on(cpu);
		answer(theirs);
	}
	(void)close(theirs);
	run_on(0);
	for (i = 0; i < rounds; i++) {
		start = now_ns();
		if (write(ours, b, ASK_LEN) != ASK_LEN ||
		    read_all(ours, b, ANSWER_LEN) < 0)
			die("round trip");
		sample[i] = now_ns() - start;
	}
	(void)close(ours);
	(void)waitpid(pid, NULL, 0);
	return median_us(rounds);
}

static void
tcp_pair(int *fd)
{
	struct sockaddr_in a = {.sin_family = AF_INET};
	socklen_t len = sizeof(a);
	int one = 1, listener = socket(AF_INET, SOCK_STREAM, 0);

	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	fd[0] = socket(AF_INET, SOCK_STREAM, 0);
	if (listener < 0 || fd[0] < 0 ||
	    bind(listener, (struct sockaddr *)&a, sizeof(a)) < 0 ||
	    listen(listener, 1) < 0 ||
	    getsockname(listener, (struct sockaddr *)&a, &len) < 0 ||
	    connect(fd[0], (struct sockaddr *)&a, len) < 0 ||
	    (fd[1] = accept(listener, NULL, NULL)) < 0)
		die("tcp");
	(void)setsockopt(fd[0], IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	(void)setsockopt(fd[1], IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	(void)close(listener);
}

int
main(int argc, char **argv)
{
	const char *dir = argc > 1 ? argv[1] : ".";
	unsigned long rounds = argc > 2 ? strtoul(argv[2], NULL, 10) : 1000;
	double sync, local, here, tcp;
	int fd[2];

	if (rounds == 0 || rounds > ROUNDS_MAX)
		return 64;
	sync = sync_us(dir, (unsigned)rounds);
	if (socketpair(AF_UNIX, SOCK_STREAM, 0, fd) < 0)
		die("socketpair");
	local = trip_us(fd[0], fd[1], 1, (unsigned)rounds);
	if (socketpair(AF_UNIX, SOCK_STREAM, 0, fd) < 0)
		die("socketpair");
	here = trip_us(fd[0], fd[1], 0, (unsigned)rounds);
	tcp_pair(fd);
	tcp = trip_us(fd[0], fd[1], 1, (unsigned)rounds);
	printf("{\"fdatasync_us\":%.1f,\"unix_us\":%.1f,"
	       "\"unix_here_us\":%.1f,\"tcp_us\":%.1f}\n",
	    sync, local, here, tcp);
	return 0;
}
