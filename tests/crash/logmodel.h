/*
 * logmodel.h - a workload for the log and a model of what it must hold after
 * each batch.
 */
#ifndef TESTS_CRASH_LOGMODEL_H
#define TESTS_CRASH_LOGMODEL_H

#include "raftwal/bytes.h"
#include "raftwal/wal.h"
#include "tests/crash/memdisk.h"

#define MODEL_GROUPS 3
#define MODEL_ENTRIES_MAX 4096
#define MODEL_BATCHES_MAX 4096

struct model_group {
	uint64_t last, term, vote, log_term;
	uint64_t crc[MODEL_ENTRIES_MAX]; /* of entry i + 1: crc and term */
};

struct model {
	struct model_group group[MODEL_GROUPS];
	uint64_t digest[MODEL_BATCHES_MAX]; /* after each batch; [0] empty */
	size_t batches;
};

static inline uint64_t
model_digest(const struct model *m)
{
	uint64_t h = 14695981039346656037u;

	for (int g = 0; g < MODEL_GROUPS; g++) {
		const struct model_group *p = &m->group[g];
		uint64_t word[3] = {p->last, p->term, p->vote};

		for (int i = 0; i < 3; i++)
			h = (h ^ word[i]) * 1099511628211u;
		for (uint64_t i = 0; i < p->last; i++)
			h = (h ^ p->crc[i]) * 1099511628211u;
	}
	return h;
}

static inline void
model_reset(struct model *m)
{
	memset(m, 0, sizeof(*m));
	m->digest[0] = model_digest(m);
}

/* One record of the log; groups count from 1. */
static inline int
model_take(const struct record *r, void *ctx)
{
	struct model *m = ctx;
	struct model_group *g;

	if (r->group == 0 || r->group > MODEL_GROUPS)
		return -ERANGE;
	g = &m->group[r->group - 1];
	if (r->kind == RECORD_STATE) {
		g->term = r->term;
		g->vote = get_le64(r->payload);
		return 0;
	}
	if (!record_is_entry(r->kind))
		return 0;
	if (r->index == 0 || r->index > g->last + 1 ||
	    r->index > MODEL_ENTRIES_MAX)
		return -ERANGE;
	g->crc[r->index - 1] =
	    get_le32(r->payload - RECORD_HEADER_LEN) ^ r->term << 32;
	g->last = r->index;
	return 0;
}

/* Appends a record to buf. */
static inline size_t
model_record(uint8_t *buf, uint32_t group, enum record_kind kind,
    uint64_t index, uint64_t term, uint32_t len, uint64_t fill)
{
	struct record r = {.group = group,
	    .kind = kind,
	    .index = index,
	    .term = term,
	    .stamp = fill & 0xffff,
	    .len = len};

	if (kind == RECORD_STATE)
		put_le64(buf + RECORD_HEADER_LEN, fill);
	else
		for (uint32_t i = 0; i < len; i++)
			/* Some payloads are zero, which sectors may be too. */
			buf[RECORD_HEADER_LEN + i] =
			    fill % 5 == 0 ? 0 : (uint8_t)mem_random(&fill);
	record_seal(buf, &r);
	return record_size(len);
}

/* A random batch that may follow; returns its length. */
static inline size_t
model_batch(struct model *m, uint8_t *buf, size_t cap, uint64_t *seed,
    uint32_t payload_max)
{
	unsigned count = 1 + (unsigned)(mem_random(seed) % 6);
	size_t len = 0;

	for (unsigned i = 0; i < count; i++) {
		uint32_t g = 1 + (uint32_t)(mem_random(seed) % MODEL_GROUPS);
		struct model_group *p = &m->group[g - 1];
		uint64_t dice = mem_random(seed) % 16, index = p->last + 1;
		uint32_t plen = (uint32_t)(mem_random(seed) % payload_max);
		struct record r;
		size_t one;

		if (len + record_size(plen) > cap)
			break;
		if (dice == 0) {
			p->term++;
			one = model_record(buf + len, g, RECORD_STATE, 0,
			    p->term, 8, mem_random(seed) % 5);
		} else {
			/* A new leader overwrites a suffix. */
			if (dice == 1 && p->last > 3) {
				index = p->last - mem_random(seed) % 3;
				p->log_term++;
			}
			one = model_record(buf + len, g, RECORD_COMMAND, index,
			    p->log_term + 1, plen, mem_random(seed));
		}
		if (record_read(buf + len, one, &r) != one ||
		    model_take(&r, m) != 0) {
			fprintf(stderr, "logmodel: bad record\n");
			exit(70);
		}
		len += one;
	}
	m->batches++;
	m->digest[m->batches] = model_digest(m);
	return len;
}

#endif
