/*
 * guard.c - a command that must be dead by a certain time.
 */
#include "raftctl/guard.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define SECOND_NS UINT64_C(1000000000)

/* To the guard: new times, or a signal for the group. */
struct order {
	int sig; /* 0: new times */
	uint64_t term_ns, kill_ns;
};

/* From it. */
struct report {
	enum guard_event event;
	int status;
};

uint64_t
guard_now(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_BOOTTIME, &ts);
	return (uint64_t)ts.tv_sec * SECOND_NS + (uint64_t)ts.tv_nsec;
}

/* ---- the guard --------------------------------------------------------- */

struct watch {
	pid_t group;
	int fd, timer, signals;
	uint64_t term_ns, kill_ns; /* UINT64_MAX: done */
	bool ended;
	int status;
};

static void
tell(struct watch *w, enum guard_event event, int status)
{
	struct report r = {event, status};

	(void)send(w->fd, &r, sizeof(r), MSG_NOSIGNAL);
}

/* Stopped ones have to go on to die of SIGTERM. */
static void
signal_group(struct watch *w, int sig)
{
	(void)kill(-w->group, sig);
	if (sig == SIGTERM)
		(void)kill(-w->group, SIGCONT);
}

static void
look_at_clock(struct watch *w)
{
	uint64_t now = guard_now(), next;
	struct itimerspec its = {.it_interval = {0, 0}};

	if (now >= w->kill_ns) {
		if (w->term_ns != UINT64_MAX)
			tell(w, GUARD_LATE, 0);
		signal_group(w, SIGKILL);
		w->term_ns = w->kill_ns = UINT64_MAX;
	} else if (now >= w->term_ns) {
		tell(w, GUARD_LATE, 0);
		signal_group(w, SIGTERM);
		w->term_ns = UINT64_MAX;
	}
	next = w->term_ns < w->kill_ns ? w->term_ns : w->kill_ns;
	if (next != UINT64_MAX) {
		its.it_value.tv_sec = (time_t)(next / SECOND_NS);
		its.it_value.tv_nsec = (long)(next % SECOND_NS) + 1;
		if (its.it_value.tv_nsec >= (long)SECOND_NS)
			its.it_value.tv_nsec = (long)SECOND_NS - 1;
	}
	(void)timerfd_settime(w->timer, TFD_TIMER_ABSTIME, &its, NULL);
}

static void
take_order(struct watch *w)
{
	struct order o;
	ssize_t n = recv(w->fd, &o, sizeof(o), 0);

	if (n < 0 && errno == EINTR)
		return;
	if (n != (ssize_t)sizeof(o)) {
		/* Nobody renews any more. */
		signal_group(w, SIGKILL);
		w->term_ns = w->kill_ns = UINT64_MAX;
		close(w->fd);
		w->fd = -1;
		return;
	}
	if (o.sig != 0)
		signal_group(w, o.sig);
	else if (w->term_ns != UINT64_MAX || o.kill_ns == 0) {
		w->term_ns = o.term_ns;
		w->kill_ns = o.kill_ns;
	}
}

static void
reap(struct watch *w)
{
	struct signalfd_siginfo info;
	int status;
	pid_t pid;

	(void)read(w->signals, &info, sizeof(info));
	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		if (pid != w->group)
			continue;
		w->ended = true;
		w->status = status;
	}
}

/* Killed, and waited for: those whose parents are gone are ours. */
static void
end_group(struct watch *w)
{
	signal_group(w, SIGKILL);
	while (waitpid(-w->group, NULL, 0) > 0 ||
	       (errno == EINTR || kill(-w->group, 0) == 0)) {
		signal_group(w, SIGKILL);
		(void)poll(NULL, 0, 1);
	}
}

/* Never returns. */
static void
keep_watch(struct watch *w)
{
	struct pollfd p[3];

	while (!w->ended) {
		look_at_clock(w);
		p[0] = (struct pollfd){.fd = w->signals, .events = POLLIN};
		p[1] = (struct pollfd){.fd = w->timer, .events = POLLIN};
		p[2] = (struct pollfd){.fd = w->fd, .events = POLLIN};
		if (poll(p, 3, -1) < 0)
			continue;
		if (p[0].revents != 0)
			reap(w);
		if (p[2].revents != 0)
			take_order(w);
	}
	/* It may have ended long ago, or only now that we go on after a stop:
	 * nobody can tell. */
	look_at_clock(w);
	/* What was to be killed is killed whole. */
	if (w->term_ns == UINT64_MAX)
		end_group(w);
	if (w->fd >= 0)
		tell(w, GUARD_ENDED, w->status);
	_exit(0);
}

/* ---- the command ------------------------------------------------------- */

/* In the child; never returns. */
static void
run(char **command, pid_t guard, bool has_terminal, const sigset_t *mask)
{
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != guard)
		_exit(125);
	(void)setpgid(0, 0);
	if (has_terminal) {
		/* To take it from the background is a reason to be stopped. */
		(void)signal(SIGTTOU, SIG_IGN);
		(void)tcsetpgrp(STDIN_FILENO, getpid());
	}
	for (int sig = 1; sig < NSIG; sig++)
		(void)signal(sig, SIG_DFL);
	(void)sigprocmask(SIG_SETMASK, mask, NULL);
	execvp(command[0], command);
	fprintf(stderr, "raftctl: cannot run '%s': %s\n", command[0],
	    strerror(errno));
	_exit(errno == ENOENT ? 127 : 126);
}

/* In the guard; never returns. */
static void
begin(struct watch *w, char **command, bool has_terminal, const sigset_t *mask)
{
	pid_t self = getpid();
	sigset_t all, child;

	(void)prctl(PR_SET_CHILD_SUBREAPER, 1);
	/* Whoever kills the caller's group does not mean us. */
	(void)setpgid(0, 0);
	(void)sigfillset(&all);
	(void)sigprocmask(SIG_SETMASK, &all, NULL);
	(void)sigemptyset(&child);
	(void)sigaddset(&child, SIGCHLD);
	w->signals = signalfd(-1, &child, SFD_CLOEXEC);
	w->timer = timerfd_create(CLOCK_BOOTTIME, TFD_CLOEXEC);
	if (w->signals < 0 || w->timer < 0)
		_exit(71);
	w->group = fork();
	if (w->group < 0)
		_exit(71);
	if (w->group == 0)
		run(command, self, has_terminal, mask);
	(void)setpgid(w->group, w->group);
	tell(w, GUARD_NOTHING, w->group);
	/* It holds nothing that somebody waits for the end of. */
	(void)close(STDIN_FILENO);
	(void)close(STDOUT_FILENO);
	(void)close(STDERR_FILENO);
	keep_watch(w);
}

/* ---- the caller's side ------------------------------------------------- */

int
guard_start(struct guard *g, char **command, uint64_t term_ns, uint64_t kill_ns)
{
	struct watch w = {.term_ns = term_ns, .kill_ns = kill_ns};
	struct report r = {GUARD_DIED, 0};
	sigset_t all, old;
	int fds[2];

	g->has_terminal =
	    isatty(STDIN_FILENO) && tcgetpgrp(STDIN_FILENO) == getpgrp();
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) < 0)
		return -errno;
	(void)fflush(NULL);
	/* No handler of ours runs in the children. */
	(void)sigfillset(&all);
	(void)sigprocmask(SIG_SETMASK, &all, &old);
	g->pid = fork();
	if (g->pid == 0) {
		(void)close(fds[0]);
		w.fd = fds[1];
		begin(&w, command, g->has_terminal, &old);
	}
	(void)sigprocmask(SIG_SETMASK, &old, NULL);
	(void)close(fds[1]);
	if (g->pid < 0) {
		(void)close(fds[0]);
		return -EAGAIN;
	}
	g->fd = fds[0];
	while (recv(g->fd, &r, sizeof(r), 0) < 0 && errno == EINTR)
		continue;
	if (r.event != GUARD_NOTHING) {
		(void)close(g->fd);
		(void)waitpid(g->pid, NULL, 0);
		return -EAGAIN;
	}
	g->group = (pid_t)r.status;
	return 0;
}

void
guard_move(struct guard *g, uint64_t term_ns, uint64_t kill_ns)
{
	struct order o = {.sig = 0, .term_ns = term_ns, .kill_ns = kill_ns};

	(void)send(g->fd, &o, sizeof(o), MSG_NOSIGNAL);
}

void
guard_signal(struct guard *g, int sig)
{
	struct order o = {.sig = sig};

	(void)send(g->fd, &o, sizeof(o), MSG_NOSIGNAL);
}

enum guard_event
guard_read(struct guard *g, int *status)
{
	struct report r;
	ssize_t n = recv(g->fd, &r, sizeof(r), MSG_DONTWAIT);

	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return GUARD_NOTHING;
	if (n != (ssize_t)sizeof(r)) {
		(void)kill(-g->group, SIGKILL);
		return GUARD_DIED;
	}
	*status = r.status;
	return r.event;
}

void
guard_close(struct guard *g)
{
	(void)close(g->fd);
	while (waitpid(g->pid, NULL, 0) < 0 && errno == EINTR)
		continue;
	if (g->has_terminal) {
		(void)signal(SIGTTOU, SIG_IGN);
		(void)tcsetpgrp(STDIN_FILENO, getpgrp());
		(void)signal(SIGTTOU, SIG_DFL);
	}
}
