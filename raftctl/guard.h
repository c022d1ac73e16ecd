/*
 * guard.h - a command that must be dead by a certain time.
 *
 * The command runs in a process group of its own, below a process that does
 * nothing but watch over it: the guard.  The guard ends the whole group with
 * SIGTERM and then SIGKILL at times that it is told beforehand and that are
 * moved as long as all goes well, on the boot clock, which counts while the
 * machine sleeps.  It is another process than the one that speaks to the
 * cluster, so that it acts when that one is stopped; and when that one dies,
 * the guard kills the group at once.  When the guard dies, the command does
 * (PR_SET_PDEATHSIG), and guard_read() says so.
 *
 * The command has the standard streams of the caller, and the terminal if the
 * caller has it.
 */
#ifndef RAFTCTL_GUARD_H
#define RAFTCTL_GUARD_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct guard {
	pid_t pid, group;
	int fd; /* readable: guard_read() */
	bool has_terminal;
};

enum guard_event {
	GUARD_NOTHING,
	GUARD_LATE,  /* the time of SIGTERM has come */
	GUARD_ENDED, /* *status is that of waitpid(2) */
	GUARD_DIED,  /* the guard itself; the group was killed */
};

/* Nanoseconds of CLOCK_BOOTTIME. */
uint64_t guard_now(void);

/* 0 or -errno.  A command that cannot be run ends with 126 or 127. */
int guard_start(
    struct guard *, char **command, uint64_t term_ns, uint64_t kill_ns);
void guard_move(struct guard *, uint64_t term_ns, uint64_t kill_ns);
void guard_signal(struct guard *, int sig);
enum guard_event guard_read(struct guard *, int *status);
/* When it has ended or died. */
void guard_close(struct guard *);

#endif
