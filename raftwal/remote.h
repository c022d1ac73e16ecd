/*
 * remote.h - what raftwal asks of servers that run: raftrpc(5).
 */
#ifndef RAFTWAL_REMOTE_H
#define RAFTWAL_REMOTE_H

#include "raftctl/errtext.h"
#include "raftctl/mp.h"
#include "raftwal/repair.h"

#define REMOTE_TIMEOUT_MS 10000

struct remote;

/* endpoints: "ADDR,...".  -EINVAL with a reason. */
int remote_open(const char *endpoints, struct remote **, struct errtext *);
void remote_close(struct remote *);
/* The cluster that answers, 32 digits.  *status as below. */
int remote_cluster(
    struct remote *, char text[33], int *status, struct errtext *);
/* A call that has no parameters: its result is valid until the next call.
 * *status: the exit status of a failure. */
int remote_call(struct remote *, const char *method, struct mp_span *result,
    int *status, struct errtext *);
/* A repair_fetch; ctx is the struct remote. */
int remote_fetch(void *remote, uint32_t group, uint64_t from, uint64_t to,
    struct repair_entries *, struct errtext *);

#endif
