/*
 * queue.h - packets held, doubled, overtaken, changed: a process that takes
 * them from an NFQUEUE of the kernel.
 *
 * The rules that queue packets are net.c's; they mark each packet with its
 * link.  They have --queue-bypass: without this process traffic flows.
 * DIR/faults/queue.conf tells it what to do, read again at SIGHUP; it ends by
 * itself when that file is gone.  DIR/faults/queue.pid is its pid and start
 * time.
 */
#ifndef FAULTS_QUEUE_H
#define FAULTS_QUEUE_H

#include <stdint.h>

#include "faults/lab.h"
#include "raftctl/errtext.h"

/* The marks of packets: whose lowest bytes are sender and receiver. */
#define QUEUE_MARK 0xfa000000u
#define QUEUE_MARK_MASK 0xff000000u
/* of what we send ourselves; the rules leave it alone */
#define QUEUE_MARK_OURS 0xfb000000u

struct queue_link {
	uint64_t delay_us, jitter_us, rate_bits;
	uint32_t dup_ppm, reorder_ppm, corrupt_ppm;
};

struct queue_table {
	struct queue_link link[LAB_SERVERS_MAX + 1][LAB_SERVERS_MAX + 1];
};

/* The number of a lab's queue. */
unsigned queue_number(const struct lab *);
/* Start the process, or tell the one that runs; returns when it is ready. */
int queue_set(const struct lab *, int lock_fd, const struct queue_table *,
    struct errtext *);
/* End it; no error if there is none. */
void queue_stop(const struct lab *);

#endif
