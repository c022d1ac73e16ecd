/*
 * identity.h - who a data directory is.
 *
 * The file DIR/identity: two copies in blocks of IDENTITY_BLOCK_LEN bytes,
 * each with a checksum and a sequence number; the valid copy with the higher
 * number counts, and an update writes the other one and syncs it.  Both bad:
 * the server takes no part until it is replaced under a new id.  Format:
 * raftwal(5).
 *
 * The boot counter is raised and durable before the server says anything to
 * anybody, so that whatever it names with its boot is unique.
 */
#ifndef RAFTWAL_IDENTITY_H
#define RAFTWAL_IDENTITY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "raftctl/errtext.h"
#include "raftwal/disk.h"

#define IDENTITY_ID_LEN 16
#define IDENTITY_BLOCK_LEN 4096
#define IDENTITY_FORMAT 1
#define IDENTITY_FORMAT_RECOVERED 2 /* written once there is an epoch */
#define IDENTITY_FORMAT_MAX IDENTITY_FORMAT_RECOVERED
#define IDENTITY_FORMERS_MAX 16

struct identity {
	uint8_t cluster[IDENTITY_ID_LEN];
	uint8_t uuid[IDENTITY_ID_LEN]; /* of this directory */
	uint64_t id;
	uint64_t boot;
	uint64_t format; /* of the whole directory */
	/* 1: the other copy cannot be read, and it may be the later one, of a
	 * boot that was told to others; else 0.  Not written. */
	uint64_t boots_missed;
	/* How often the cluster was made anew by raftwal recover, and which
	 * cluster ids it had before, the latest last: raftkit-recover(5). */
	uint64_t epoch;
	uint32_t former_count;
	uint8_t former[IDENTITY_FORMERS_MAX][IDENTITY_ID_LEN];
};

/* Was this the cluster's id before it was made anew? */
bool identity_was(const struct identity *, const uint8_t *cluster);
/* A new cluster id; the one before is remembered, the oldest forgotten. */
void identity_renew(struct identity *, const uint8_t *cluster, uint64_t epoch);

/* -ENOENT: the directory is new.  -EBADMSG: both copies are bad, or of a
 * format newer than this program. */
int identity_read(struct disk *, struct identity *, struct errtext *);
/* Writes and syncs; creates the file if need be. */
int identity_write(struct disk *, const struct identity *, struct errtext *);

#endif
