/*
 * child.h - one piece of work in a forked copy of the process, which sees
 * everything as it was at that moment and changes nothing of ours.
 *
 * The copy has one thread, none of our descriptors and none of our signal
 * handlers; locks of other threads may be held for ever in it, so that its
 * work takes none but malloc's, which fork(2) takes care of.  It dies with
 * us.
 *
 * Ring 3, the event thread.
 */
#ifndef RAFTD_CHILD_H
#define RAFTD_CHILD_H

#include <sys/types.h>

struct event;
struct event_base;

struct child {
	pid_t pid; /* 0: none */
	int fd;
	struct event *ev;
	void (*done)(void *ctx, int error);
	void *ctx;
	int result; /* what it said so far */
};

/* work runs in the copy; done gets its result, or -EIO if it came to none.
 * -EBUSY while one runs, -errno. */
int child_start(struct child *, struct event_base *, int (*work)(void *ctx),
    void (*done)(void *ctx, int error), void *ctx);
/* Kills it if it still runs. */
void child_end(struct child *);

#endif
