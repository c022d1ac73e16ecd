/*
 * crash_compact.c - a log that drops its oldest segments, on a disk that
 * crashes and is full now and then: it opens, begins where a START said or
 * before, has every entry behind that which was acknowledged, and no crash is
 * taken for damage.  And a log whose beginning was dropped, with each sector
 * damaged in turn: found, or nothing is missing.
 *
 *	crash_compact [SEEDS]
 */
#include <errno.h>
#include <inttypes.h>

#include "raftwal/bytes.h"
#include "raftwal/wal.h"
#include "tests/crash/memdisk.h"

#define STEPS 60
#define ENTRIES_MAX 4000

struct seen {
	uint64_t first, last, start;
	uint64_t term[ENTRIES_MAX];
	bool gap;
};

static uint64_t term_of[ENTRIES_MAX]; /* as last written */
static uint64_t states, damages, dropped_all, fulls;
static const struct wal_options options = {
    .segment_size = WAL_SEGMENT_SIZE_MIN, .server_id = 1, .nonce = 77};

static _Noreturn void
fail(uint64_t seed, size_t at, const char *why)
{
	fprintf(stderr, "crash_compact: seed %" PRIu64 " op %zu: %s\n", seed,
	    at, why);
	exit(1);
}

static size_t
put(uint8_t *buf, enum record_kind kind, uint64_t index, uint64_t term,
    uint64_t number, uint32_t len)
{
	struct record r = {
	    .group = 1, .kind = kind, .index = index, .term = term, .len = len};

	memset(buf + RECORD_HEADER_LEN, (int)(index % 251), len);
	if (record_has_number(kind))
		put_le64(buf + RECORD_HEADER_LEN, number);
	record_seal(buf, &r);
	return record_size(len);
}

static int
take(const struct record *r, void *ctx)
{
	struct seen *s = ctx;

	if (r->kind == RECORD_START || r->kind == RECORD_RESET)
		s->start = get_le64(r->payload);
	if (!record_is_entry(r->kind))
		return 0;
	if (s->first == 0)
		s->first = r->index;
	else if (r->index != s->last + 1)
		s->gap = true;
	s->last = r->index;
	s->term[r->index] = r->term;
	return 0;
}

/* What was promised when. */
struct promise {
	size_t op;
	uint64_t acked, first, term;
	bool reset;
};

static struct promise promise[2 * STEPS];
static unsigned promises;

/*
 * A batch, durable.  Now and then the disk is full for a while: what finds no
 * room is refused, nothing overtakes it, and it is written when there is
 * space again.
 */
static void
store(struct memdisk *m, struct wal *wal, const struct iovec *iov,
    uint64_t *rnd, uint64_t seed, bool sync)
{
	int error;

	if (mem_random(rnd) % 6 == 0)
		m->space_left = mem_random(rnd) % 100000;
	error = wal_write(wal, iov, 1);
	if (error == -ENOSPC) {
		fulls++;
		if (!wal_is_short(wal) || wal_write(wal, iov, 1) != -ENOSPC)
			fail(seed, m->ops, "a full log takes a batch");
		m->space_left = UINT64_MAX;
		if (wal_retry(wal) != 0)
			fail(seed, m->ops, "no space though there is");
		error = wal_write(wal, iov, 1);
	}
	if (error != 0 || (sync && wal_sync(wal) != 0))
		fail(seed, m->ops, "write");
}

static void
workload(struct memdisk *m, uint64_t seed)
{
	static uint8_t buf[256 * 1024];
	struct disk disk = mem_disk(m);
	struct wal_report report;
	struct errtext et = {""};
	uint64_t rnd = seed, last = 0, term = 1, first = 1, dropped;
	uint64_t voted = 0;
	struct wal *wal;

	promises = 0;
	if (wal_open(&disk, &options, NULL, NULL, &wal, &report, &et) != 0)
		fail(seed, 0, et.text);
	for (unsigned n = 0; n < STEPS; n++) {
		size_t len = 0;
		struct iovec iov = {buf, 0};
		bool reset = n % 29 == 25, start = n % 7 == 6 && !reset;
		bool lazy;

		if (mem_random(&rnd) % 9 == 0 && last > first + 3) {
			term++; /* a suffix is replaced */
			last -= mem_random(&rnd) % 3;
		}
		if (reset) {
			term++;
			first = last + 40;
			last = first - 1;
			len += put(buf + len, RECORD_RESET, 0, term, last, 30);
		}
		for (unsigned k = 0; k < 4; k++) {
			term_of[++last] = term;
			len += put(buf + len, RECORD_COMMAND, last, term, 0,
			    (uint32_t)(mem_random(&rnd) % 3000));
		}
		if (start) {
			first = last > 10 ? last - 4 : last;
			len += put(buf + len, RECORD_START, 0,
			    term_of[first - 1], first - 1, 30);
		}
		if (start || reset || n == 0) {
			voted = term;
			len += put(buf + len, RECORD_STATE, 0, term, 1, 8);
		}
		iov.iov_len = len;
		/* A cut sees by itself to it that what allows it is durable. */
		lazy = start && mem_random(&rnd) % 2 == 0;
		store(m, wal, &iov, &rnd, seed, !lazy);
		if (lazy && wal_compact(wal, &dropped) != 0)
			fail(seed, m->ops, "compact");
		dropped_all += lazy ? dropped : 0;
		promise[promises++] =
		    (struct promise){m->ops, last, first, voted, reset};
		/* As after each start of a server: it says once more where
		 * its log begins, and has no entry to write. */
		for (unsigned k = 0; first > 1 && k < n % 4; k++) {
			len = put(buf, RECORD_START, 0, term_of[first - 1],
			    first - 1, 2000);
			len += put(buf + len, RECORD_STATE, 0, voted, 1, 8);
			iov.iov_len = len;
			store(m, wal, &iov, &rnd, seed, true);
		}
		if (start || reset || (first > 1 && n % 4 == 3)) {
			do {
				if (wal_compact(wal, &dropped) != 0)
					fail(seed, m->ops, "compact");
				dropped_all += dropped;
			} while (dropped > 0);
		}
	}
	wal_close(wal);
}

static void
check(struct memdisk *m, uint64_t seed, size_t at, const struct promise *p)
{
	struct disk disk = mem_disk(m);
	struct wal_report report;
	static struct seen s;
	struct errtext et = {""};
	const struct wal_group *g;
	struct wal *wal;
	size_t n;

	memset(&s, 0, sizeof(s));
	if (wal_open(&disk, &options, take, &s, &wal, &report, &et) != 0)
		fail(seed, at, et.text);
	if (report.damaged != 0)
		fail(seed, at, report.text);
	n = wal_groups(wal, &g);
	if (p != NULL) {
		if (n != 1 || g->damaged)
			fail(seed, at, "damaged by a crash");
		if (s.gap || (s.first != 0 && s.first != g->first) ||
		    (s.first != 0 && s.last != g->last))
			fail(seed, at, "replay and group differ");
		if (g->first > 1 && s.start != g->first - 1)
			fail(seed, at, "no START for where it begins");
		if (g->last < p->acked && g->first <= p->acked)
			fail(seed, at, "an acknowledged entry is gone");
		if (g->first < p->first)
			fail(seed, at, "a START that was synced is gone");
		if (g->term < p->term)
			fail(seed, at, "the hard state is gone");
	}
	wal_close(wal);
	states++;
}

static void
damage(struct memdisk *m, uint64_t seed)
{
	for (unsigned i = 0; i < MEM_FILES_MAX; i++) {
		const struct mem_name *name = &m->name[i];

		if (!name->used || name->is_dir ||
		    strncmp(name->path, "wal/", 4) != 0)
			continue;
		for (uint64_t at = 0; at < m->file[name->file].size;
		     at += MEM_SECTOR) {
			struct memdisk *c = mem_clone(m);
			struct disk disk = mem_disk(c);
			struct wal_report report, full;
			struct errtext et = {""};
			static struct seen s;
			struct wal *wal;
			int error;

			memset(&s, 0, sizeof(s));
			c->file[name->file].data[at + 100] ^= 4;
			error = wal_check(&disk, NULL, NULL, &full, &et);
			if (error < 0)
				fail(seed, at, et.text);
			error = wal_open(
			    &disk, &options, take, &s, &wal, &report, &et);
			if (error == 0) {
				const struct wal_group *g;

				if (report.damaged == 0 && s.gap)
					fail(seed, at, "silent");
				if (wal_groups(wal, &g) == 1 && !g->damaged &&
				    g->last < promise[promises - 1].acked)
					fail(seed, at, "shortened in silence");
				for (uint64_t k = s.first; k <= s.last; k++)
					if (s.first != 0 &&
					    s.term[k] != term_of[k])
						fail(seed, at, "other entry");
				wal_close(wal);
			}
			mem_free(c);
			damages++;
		}
	}
}

static void
run_seed(uint64_t seed)
{
	struct memdisk *m = mem_new();
	struct mem_world world;
	unsigned p = 0;

	m->recording = true;
	workload(m, seed);
	mem_world_init(&world, m);
	for (;;) {
		while (p + 1 < promises && promise[p + 1].op <= world.at)
			p++;
		for (unsigned v = 0; v < 5; v++) {
			struct memdisk *c = mem_world_crash(
			    &world, seed * 7919 + world.at + v, v * 64);

			check(c, seed, world.at,
			    promise[p].op <= world.at ? &promise[p] : NULL);
			mem_free(c);
		}
		if (world.at == m->ops)
			break;
		mem_world_step(&world);
	}
	mem_world_release(&world);
	if (seed == 1)
		damage(m, seed);
	mem_free(m);
}

int
main(int argc, char **argv)
{
	uint64_t seeds = argc > 1 ? strtoull(argv[1], NULL, 10) : 4;

	for (uint64_t seed = 1; seed <= seeds; seed++)
		run_seed(seed);
	if (dropped_all == 0)
		fail(0, 0, "no segment was ever dropped");
	if (fulls == 0)
		fail(0, 0, "the disk was never full");
	printf("crash_compact: %" PRIu64 " segments dropped, %" PRIu64
	       " times full, %" PRIu64 " crash states recovered, %" PRIu64
	       " sectors damaged\n",
	    dropped_all, fulls, states, damages);
	return 0;
}
