/*
 * message.h - what peers say to each other, between bytes and struct
 * raft_msg.
 *
 * Every message is a MessagePack-RPC notification on the link of raftrpc(5),
 * with positional parameters, the first of which is the group:
 *
 *	[2, "raft", [group, type, term, field ..., sum]]
 *	[2, "append", [group, term, prev_index, prev_term, commit, round, sum,
 *	    records]]
 *	[2, "forward", [group, boot, id, call, sum]]
 *	[2, "answer", [group, boot, id, status, text, result, sum]]
 *	[2, "removed", [group, sum]]
 *
 * sum is that of sum.h over the parameters before it, from their array's
 * first byte on.
 * records is a bin of whole sealed records (raftwal/record.h) back to back:
 * the bytes that the leader wrote to its own log.  Runs of terms and the
 * configurations among them are read from the records, not sent twice.
 * Who sends and who receives is known from the link's handshake.
 *
 * Decoding judges: what it lets through has contiguous indexes, terms that do
 * not fall, valid checksums, and counts within the limits of the core.
 */
#ifndef RAFTD_MESSAGE_H
#define RAFTD_MESSAGE_H

#include <stdint.h>

#include "raftctl/frame.h"
#include "raftctl/mp.h"
#include "raftctl/wire.h"
#include "raftd/core/raft.h"
#include "raftd/host.h"

/* What a configuration says of a member besides its address. */
struct member_info {
	char name[64]; /* "": its number */
	char zone[32];
	uint64_t priority; /* the highest that is caught up shall lead */
	bool promote;	   /* a learner that is to vote once it caught up */
	bool leaving;	   /* goes when the joint configuration is left */
};

/* Ids that were removed and are never used again: so many are named, and of
 * those up to the floor all that are no members. */
#define CONFIG_REMOVED_MAX 64

/*
 * A configuration as an entry's payload, raftwal(5): {"joint", "members":
 * [{"id", "voter", "address", ...}, ...], ...}.  address[i] and info[i] belong
 * to config.member[i].  Keys that say nothing are left out; a reader takes
 * their absence for that.
 */
struct config_entry {
	struct raft_config config;
	char address[RAFT_MEMBERS_MAX][HOST_ADDR_MAX];
	struct member_info info[RAFT_MEMBERS_MAX];
	uint64_t removed[CONFIG_REMOVED_MAX]; /* ascending */
	uint32_t removed_count;
	uint64_t removed_floor;
};
void config_put(struct mp_buf *, const struct config_entry *);
/* 0, or -EPROTO: not a configuration that could ever be in force. */
int config_read(struct mp_span payload, struct config_entry *);

/* Everything but RAFT_APPEND: a whole frame. */
void message_put(struct mp_buf *, uint32_t group, const struct raft_msg *);
/* RAFT_APPEND: the frame up to where records_len bytes of records follow. */
void message_put_append(struct mp_buf *, uint32_t group,
    const struct raft_msg *, size_t records_len);

/*
 * Decode "raft" and "append".  from and to are the caller's knowledge.  For
 * an append *records is where its records stand, in the frame's bytes.
 * -EPROTO: whoever sends this cannot be trusted with the link.
 */
int message_read(const struct frame *, uint64_t from, uint64_t to,
    uint32_t *group, struct raft_msg *, struct mp_span *records);

/* [2, "space", [group, full, sum]]: has the sender room in its log? */
void space_put(struct mp_buf *, uint32_t group, bool full);
int space_read(const struct frame *, uint32_t *group, bool *full);

/* A server that came back with an empty or an old directory has caught up:
 * told to it by the leader of this term, and then by it to all others. */
struct trust {
	uint32_t group;
	uint64_t term, id;
};
void trust_put(struct mp_buf *, const struct trust *);
int trust_read(const struct frame *, struct trust *);
/* "You are no member any more": a whole frame. */
void removed_put(struct mp_buf *, uint32_t group);
int removed_read(const struct frame *, uint32_t *group);

struct forward {
	uint32_t group;
	uint64_t boot; /* of the asker, and its name for the request: an */
	uint64_t id;   /* answer never meets a request of a later boot */
	struct mp_span call;
};
void forward_put(struct mp_buf *, const struct forward *); /* whole frame */
int forward_read(const struct frame *, struct forward *);

struct answer {
	uint32_t group;
	uint64_t boot, id; /* of the forward */
	enum wire_status status;
	struct mp_span text;   /* why, if not WIRE_OK */
	struct mp_span result; /* raw value, if WIRE_OK */
};
void answer_put(struct mp_buf *, const struct answer *);
int answer_read(const struct frame *, struct answer *);

#endif
