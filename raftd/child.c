/*
 * child.c - one piece of work in a forked copy of the process.
 */
#include "raftd/child.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define RESULT_FD 3
#define NICE 5 /* the server goes first */

static void
reap(struct child *c)
{
	pid_t pid = c->pid;

	if (c->ev != NULL)
		event_free(c->ev);
	(void)close(c->fd);
	c->ev = NULL;
	c->pid = 0;
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
}

static void
result_cb(evutil_socket_t fd, short what, void *arg)
{
	struct child *c = arg;
	int result = 0;
	ssize_t n = read((int)fd, &result, sizeof(result));

	(void)what;
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	/* The pipe closes when the copy's memory is gone: to wait for it
	 * before would take as long as that. */
	if (n == (ssize_t)sizeof(result)) {
		c->result = result;
		return;
	}
	result = c->result;
	reap(c);
	c->done(c->ctx, result);
}

/* Never returns.  Nothing of the parent's must be reached from here: not its
 * sockets, which peers wait to see closed, nor its signals, whose handlers
 * write to descriptors that mean other files now. */
static _Noreturn void
run(int fd, pid_t parent, const sigset_t *signals, int (*work)(void *ctx),
    void *ctx)
{
	static const int ours[] = {SIGTERM, SIGINT, SIGHUP, SIGUSR1};
	int result;

	for (size_t i = 0; i < sizeof(ours) / sizeof(ours[0]); i++)
		(void)signal(ours[i], SIG_DFL);
	(void)sigprocmask(SIG_SETMASK, signals, NULL);
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(1);
	if (fd != RESULT_FD && dup2(fd, RESULT_FD) < 0)
		_exit(1);
	(void)close_range(RESULT_FD + 1, ~0U, 0);
	(void)setpriority(PRIO_PROCESS, 0, NICE);
	result = work(ctx);
	if (write(RESULT_FD, &result, sizeof(result)) != sizeof(result))
		_exit(1);
	_exit(0);
}

int
child_start(struct child *c, struct event_base *base, int (*work)(void *ctx),
    void (*done)(void *ctx, int error), void *ctx)
{
	pid_t parent = getpid(), pid;
	sigset_t all, before;
	int fd[2];

	if (c->pid != 0)
		return -EBUSY;
	if (pipe2(fd, O_CLOEXEC | O_NONBLOCK) < 0)
		return -errno;
	c->ev = event_new(base, fd[0], EV_READ | EV_PERSIST, result_cb, c);
	if (c->ev == NULL || event_add(c->ev, NULL) < 0) {
		errno = ENOMEM;
		pid = -1;
	} else {
		(void)sigfillset(&all);
		(void)sigprocmask(SIG_SETMASK, &all, &before);
		pid = fork();
		if (pid == 0)
			run(fd[1], parent, &before, work, ctx);
		(void)sigprocmask(SIG_SETMASK, &before, NULL);
	}
	(void)close(fd[1]);
	if (pid < 0) {
		int error = -errno;

		if (c->ev != NULL)
			event_free(c->ev);
		c->ev = NULL;
		(void)close(fd[0]);
		return error;
	}
	c->pid = pid;
	c->fd = fd[0];
	c->done = done;
	c->ctx = ctx;
	/* If it says nothing: killed, most likely for want of memory. */
	c->result = -EIO;
	return 0;
}

void
child_end(struct child *c)
{
	if (c->pid == 0)
		return;
	(void)kill(c->pid, SIGKILL);
	reap(c);
}
