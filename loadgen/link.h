/*
 * link.h - one connection that many clients of a load share.
 *
 * Why not raftctl/client.h: that library allocates for each call, copies its
 * parameters and keeps a deadline and retries for it, which is right for
 * programs and too dear for a load that must leave the processor to the
 * servers.  A link formats requests straight into its output, sends them
 * once a turn, and hands out answers in place.
 *
 * A link that fails says so once (down_cb), and connects again by itself,
 * to the next address each time.  With leader_only it asks the server for
 * its role first and goes on until it has found the leader.
 *
 * Everything belongs to one thread and one epoll descriptor.
 */
#ifndef LOADGEN_LINK_H
#define LOADGEN_LINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "raftctl/endpoint.h"
#include "raftctl/frame.h"

#define LINK_RETRY_NS 20000000u	    /* when no address answered */
#define LINK_CONNECT_NS 1000000000u /* the limit of one attempt */
#define LINK_READS_MAX 16	    /* of FRAME_READ_SIZE in one turn */
/* msgids from here on are the link's own. */
#define LINK_MSGID_OWN 0xffffffffu

enum link_state {
	LINK_CLOSED, /* until retry_ns */
	LINK_CONNECTING,
	LINK_ASKING, /* whether it is the leader */
	LINK_UP,
};

struct link;

struct link_set {
	int epoll;
	struct endpoint *endpoints;
	unsigned count;
	bool leader_only;
	uint64_t (*now_cb)(void); /* ns */
	void (*up_cb)(struct link *);
	/* The answers that were still due will not come. */
	void (*down_cb)(struct link *, const char *why);
	void (*answer_cb)(struct link *, const struct frame *, uint64_t now_ns);
};

struct link {
	struct link_set *set;
	unsigned index;
	enum link_state state;
	int fd;
	unsigned endpoint; /* of the set's */
	unsigned failures; /* in a row */
	uint64_t retry_ns; /* LINK_CLOSED: connect then; else: give up then */
	bool wants_write;  /* the kernel's buffer is full */
	struct frame_reader in;
	struct mp_buf out;
	size_t out_sent;
	char why[128]; /* it failed the last time */
};

void link_init(struct link *, struct link_set *, unsigned index);
void link_release(struct link *);

/* What epoll says about it, with the link as data.ptr. */
void link_event(struct link *, uint32_t events);
/* Connects when it is time, gives up what takes too long. */
void link_tick(struct link *, uint64_t now_ns);
/* Sends what stands in out. */
void link_flush(struct link *);
/* As if the server had closed it. */
void link_fail(struct link *, const char *why);

#endif
