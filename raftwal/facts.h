/*
 * facts.h - what a data directory tells of its server and its groups, for
 * the tools: raftkit-recover(5).  Changes nothing.
 */
#ifndef RAFTWAL_FACTS_H
#define RAFTWAL_FACTS_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "raftctl/errtext.h"
#include "raftctl/mp.h"
#include "raftwal/disk.h"
#include "raftwal/identity.h"
#include "raftwal/wal.h"

#define FACTS_PEERS_MAX 64

struct group_facts {
	struct wal_group log;
	uint64_t last_term; /* of the last entry, 0 without one */
	uint64_t commit;    /* highest index that the log names, 0 none */
	uint64_t config_index;
	json_t *config; /* in force at the end of the log, NULL unknown */
};

struct facts {
	bool has_identity;
	struct identity identity;
	struct errtext identity_error; /* why there is none */
	struct wal_report report;
	struct group_facts *group;
	size_t count;
	uint64_t peer[FACTS_PEERS_MAX]; /* servers that the log knows of */
	size_t peer_count;
};

/* 0, or -errno: the log cannot be read at all.  A directory without a good
 * identity has facts nevertheless. */
int facts_read(struct disk *, struct facts *, struct errtext *);
void facts_release(struct facts *);
/* NULL: no such group. */
const struct group_facts *facts_group(const struct facts *, uint32_t group);

/* A configuration, raftwal(5), with all of its keys; NULL if it is none. */
json_t *facts_config(struct mp_span payload);

#endif
