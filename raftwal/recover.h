/*
 * recover.h - a data directory becomes part of a new cluster, by the plan of
 * raftkit-recover(5): the donor keeps its log and becomes the one voter, any
 * other member begins with nothing.
 *
 * Every step can be repeated: after a crash, or an error, the same call goes
 * on.  What it replaces stands in quarantine/recover-EPOCH/.
 */
#ifndef RAFTWAL_RECOVER_H
#define RAFTWAL_RECOVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "raftctl/errtext.h"
#include "raftwal/disk.h"
#include "raftwal/identity.h"
#include "raftwal/wal.h"

#define RECOVER_FORMAT 1
#define RECOVER_PLAN_LEN_MAX (1u << 20)
#define RECOVER_MEMBERS_MAX 16
#define RECOVER_REMOVED_MAX 64
#define RECOVER_PATH_LEN 128

struct recover_member {
	uint64_t id, priority;
	char address[128], name[64], zone[32];
};

struct recover_plan {
	uint8_t cluster[IDENTITY_ID_LEN];
	uint8_t renewed[IDENTITY_ID_LEN];
	uint64_t epoch, term;
	uint32_t group;
	uint64_t donor, donor_last, donor_last_term;
	bool has_uuid;
	uint8_t donor_uuid[IDENTITY_ID_LEN];
	struct recover_member member[RECOVER_MEMBERS_MAX];
	unsigned members;
	uint64_t removed[RECOVER_REMOVED_MAX]; /* ascending */
	unsigned removed_count;
	/* The file itself, the caller's: a copy goes to quarantine/. */
	const char *text;
	size_t len;
};

/* -EBADMSG: not a plan, and why. */
int recover_plan_read(
    const char *text, size_t len, struct recover_plan *, struct errtext *);

enum recover_role { RECOVER_DONOR, RECOVER_MEMBER };

struct recover_job {
	enum recover_role role;
	bool done;	/* nothing is left to do */
	uint64_t id;	/* of the server */
	uint64_t index; /* of the entry that begins the new cluster; donor */
	char quarantine[RECOVER_PATH_LEN];
};

/* What is to be done in this directory.  -EBADMSG: the plan is not for it,
 * and why.  Changes nothing. */
int recover_judge(struct disk *, const struct recover_plan *,
    struct recover_job *, struct errtext *);
/* Does it.  Of the options the nonce and the size of segments count; uuid is
 * random, for a directory that begins anew. */
int recover_run(struct disk *, const struct recover_plan *,
    const struct wal_options *, const uint8_t uuid[IDENTITY_ID_LEN],
    struct recover_job *, struct errtext *);

#endif
