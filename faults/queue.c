/*
 * queue.c - starting, telling and ending the process that holds packets.
 */
#include "faults/queue.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "faults/fault.h"
#include "faults/holder.h"
#include "faults/spawn.h"

#define READY_MAX_MS 5000
#define STOP_MAX_MS 2000

unsigned
queue_number(const struct lab *lab)
{
	return 0x4000 + (unsigned)(strtoul(lab->run, NULL, 16) & 0x3fff);
}

static int
queue_pid(const struct lab *lab, pid_t *pid, uint64_t *start)
{
	char path[PATH_MAX];
	unsigned long long at;
	int number, got;
	FILE *f;

	journal_path(lab, "queue.pid", path);
	f = fopen(path, "re");
	if (f == NULL)
		return -ESRCH;
	got = fscanf(f, "%d %llu", &number, &at);
	(void)fclose(f);
	if (got != 2 || !proc_is(number, at))
		return -ESRCH;
	*pid = number;
	*start = at;
	return 0;
}

static int
write_table(const struct lab *lab, const struct queue_table *t)
{
	char path[PATH_MAX], temporary[PATH_MAX];
	FILE *f;

	journal_path(lab, "queue.conf", path);
	journal_path(lab, "queue.new", temporary);
	f = fopen(temporary, "we");
	if (f == NULL)
		return -errno;
	for (unsigned i = 1; i <= lab->count; i++)
		for (unsigned j = 1; j <= lab->count; j++) {
			const struct queue_link *l = &t->link[i][j];

			(void)fprintf(f,
			    "%u %u %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu32
			    " %" PRIu32 " %" PRIu32 "\n",
			    i, j, l->delay_us, l->jitter_us, l->rate_bits,
			    l->dup_ppm, l->reorder_ppm, l->corrupt_ppm);
		}
	if (fclose(f) != 0 || rename(temporary, path) < 0)
		return -errno;
	return 0;
}

/* The new process: known by its file before it lets go of the lock. */
static void
become_holder(const struct lab *lab, int lock_fd, int ready_fd)
{
	char path[PATH_MAX], line[64], state;
	uint64_t start;
	int fd, null;

	(void)setsid();
	if (proc_start(getpid(), &state, &start) < 0)
		_exit(1);
	journal_path(lab, "queue.pid", path);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	(void)snprintf(line, sizeof(line), "%d %llu\n", (int)getpid(),
	    (unsigned long long)start);
	if (fd < 0 || write(fd, line, strlen(line)) != (ssize_t)strlen(line))
		_exit(1);
	(void)close(fd);
	(void)close(lock_fd);
	null = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (null < 0 || dup2(null, 0) < 0 || dup2(null, 1) < 0 ||
	    dup2(null, 2) < 0)
		_exit(1);
	for (fd = 3; fd < 256; fd++)
		if (fd != ready_fd)
			(void)close(fd);
	if (chdir("/") < 0)
		_exit(1);
	signals_default();
	if (lab->netns[0] != '\0') {
		char hub[64];

		(void)snprintf(hub, sizeof(hub), "%s-hub", lab->netns);
		if (netns_enter(hub) < 0)
			_exit(1);
	}
	journal_path(lab, "queue.conf", path);
	_exit(holder_run(path, queue_number(lab), ready_fd) < 0);
}

static int
start_holder(const struct lab *lab, int lock_fd, struct errtext *et)
{
	struct pollfd p = {.events = POLLIN};
	int ready[2];
	char byte;
	pid_t pid;

	if (pipe2(ready, O_CLOEXEC) < 0)
		return -errno;
	pid = fork();
	if (pid < 0) {
		(void)close(ready[0]);
		(void)close(ready[1]);
		return errtext(et, -errno, "cannot fork");
	}
	if (pid == 0) {
		/* twice, so that it is nobody's child to wait for */
		if (fork() != 0)
			_exit(0);
		become_holder(lab, lock_fd, ready[1]);
	}
	(void)close(ready[1]);
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		continue;
	p.fd = ready[0];
	if (poll(&p, 1, READY_MAX_MS) == 1 && read(ready[0], &byte, 1) == 1) {
		(void)close(ready[0]);
		return 0;
	}
	(void)close(ready[0]);
	queue_stop(lab);
	return errtext(et, -ENOTSUP,
	    "cannot take packets from the kernel: no NFQUEUE, or no right to");
}

int
queue_set(const struct lab *lab, int lock_fd, const struct queue_table *t,
    struct errtext *et)
{
	uint64_t start;
	pid_t pid;
	int ret = write_table(lab, t);

	if (ret < 0)
		return errtext(
		    et, ret, "cannot write '%s/faults/queue.conf'", lab->dir);
	if (queue_pid(lab, &pid, &start) == 0) {
		if (kill(pid, SIGHUP) == 0)
			return 0;
	}
	return start_holder(lab, lock_fd, et);
}

void
queue_stop(const struct lab *lab)
{
	char path[PATH_MAX];
	uint64_t start;
	pid_t pid;

	if (queue_pid(lab, &pid, &start) == 0 && kill(pid, SIGTERM) == 0 &&
	    proc_wait_gone(pid, start, STOP_MAX_MS) < 0)
		(void)kill(pid, SIGKILL);
	journal_path(lab, "queue.pid", path);
	(void)unlink(path);
	journal_path(lab, "queue.conf", path);
	(void)unlink(path);
}
