/*
 * groups.h - what the log knows of each group, and where its entries stand.
 *
 * Private to raftwal/.  Records are fed in the order of the log, at recovery
 * and as they are written; after each the group's state is that of the log
 * up to there.
 *
 * An entry that leaves a gap never counts: last is always the end of an
 * unbroken run from first.  The rules for damage are those of raftwal(5).
 */
#ifndef RAFTWAL_GROUPS_H
#define RAFTWAL_GROUPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "raftwal/record.h"
#include "raftwal/wal.h"

/* Where a record stands: segment number and offset in units of 8 bytes. */
#define POS_OFFSET_BITS 28
static inline uint64_t
pos_make(uint64_t number, uint64_t offset)
{
	return number << POS_OFFSET_BITS | offset / RECORD_ALIGN;
}
static inline uint64_t
pos_number(uint64_t pos)
{
	return pos >> POS_OFFSET_BITS;
}
static inline uint64_t
pos_offset(uint64_t pos)
{
	return (pos & ((UINT64_C(1) << POS_OFFSET_BITS) - 1)) * RECORD_ALIGN;
}

struct group_log {
	uint64_t *pos; /* of entry first + i */
	size_t cap;
	bool hole;    /* an entry after last is missing */
	bool suspect; /* lost bytes may have held entries of it */
	bool noted;   /* a damage note is in force */
	bool fresh;   /* something was lost since that note */
	uint64_t note_known, note_term;
	uint64_t last_term; /* of entry last, 0 not known */
	uint64_t known;	    /* highest index seen or told of */
	uint64_t term_max;  /* highest term seen or told of */
	uint64_t state_seq; /* batch of the last hard state, 0 none */
	uint64_t state_pos;
	bool begun;   /* an entry was seen, or where the log starts */
	bool bare;    /* by START alone: no entry was seen yet */
	bool started; /* RECORD_START or RESET was seen */
	uint64_t start_pos;
	uint64_t first, tail, admission; /* groups_admit()'s */
};

struct groups {
	struct wal_group *pub; /* sorted by group */
	struct group_log *log; /* the same order */
	size_t count, cap, hit;
	/* The log does not begin with its first segment: where each group
	 * begins is guessed until its RECORD_START says it. */
	bool headless;
	bool lost_state;	 /* by groups_blind() */
	uint64_t lost_state_seq; /* the last batch that may have held it */
};

void groups_release(struct groups *);

/* The group's place, made if need be.  -ENOMEM. */
int groups_get(struct groups *, uint32_t group, size_t *i);
/* The same, without making it: -ENOENT. */
int groups_find(struct groups *, uint32_t group, size_t *i);

/*
 * May this record be appended, in the batch of this admission, after those
 * that were admitted to it before?  Reserves what groups_record() will need.
 * -EINVAL it would leave a gap, -ENOMEM.
 */
int groups_admit(struct groups *, const struct record *, uint64_t admission);

/* A record stands in the log.  1: an entry came after a gap and does not
 * count.  -ENOMEM; -EINVAL for an index no entry can have. */
int groups_record(
    struct groups *, const struct record *, uint64_t pos, uint64_t sequence);
/* A record stood in the log; its fields are known, its bytes are not. */
int groups_lost(struct groups *, const struct record *, uint64_t sequence);
/* Something stood there that nothing is known of, in batches up to last. */
void groups_blind(struct groups *, uint64_t last_sequence, bool state_lost);

/* Fills damaged and last_known of each group. */
void groups_judge(struct groups *);
/* May a group's hard state be lost? */
bool groups_state_lost(const struct groups *);
/* Is this the entry, or the hard state, that counts? */
bool groups_counts(struct groups *, const struct record *, uint64_t pos);
/* Does a damaged group need a note, and what does it say? */
bool groups_note(
    const struct groups *, size_t i, struct record *, uint64_t *last_known);

#endif
