/*
 * crash_wal.c - the log on a disk that crashes: whatever subset of unsynced
 * sectors and names a crash keeps, the log opens, everything acknowledged is
 * there, nothing is there that was not written, in order, and no crash is
 * taken for damage.  Crashes during recovery are tried too.
 *
 *	crash_wal [SEEDS]
 */
#include <inttypes.h>

#include "tests/crash/logmodel.h"

#define BATCHES 40
#define SAMPLES 6 /* random subsets at each crash point */

/* The journal's position after each batch was written, and when how many of
 * them had been acknowledged. */
struct run {
	struct memdisk *disk;
	struct model model;
	size_t written_at[MODEL_BATCHES_MAX]; /* op count before the write */
	size_t acked_at[MODEL_BATCHES_MAX];   /* op count after the sync */
};

static uint64_t states, recrashes;
static const struct wal_options options = {
    .segment_size = WAL_SEGMENT_SIZE_MIN, .server_id = 1, .nonce = 77};

static _Noreturn void
fail(uint64_t seed, size_t at, uint64_t variant, const char *why)
{
	fprintf(stderr,
	    "crash_wal: seed %" PRIu64 " op %zu variant %" PRIu64 ": %s\n",
	    seed, at, variant, why);
	exit(1);
}

static void
run_workload(struct run *run, uint64_t seed)
{
	static uint8_t buf[512 * 1024];
	struct disk disk;
	struct wal *wal;
	struct wal_report report;
	struct errtext et = {""};
	uint64_t rnd = seed;
	size_t acked = 0;

	run->disk = mem_new();
	run->disk->recording = true;
	disk = mem_disk(run->disk);
	model_reset(&run->model);
	if (wal_open(&disk, &options, NULL, NULL, &wal, &report, &et) != 0)
		fail(seed, 0, 0, et.text);
	for (size_t n = 1; n <= BATCHES; n++) {
		/* One batch in twelve does not fit a segment. */
		uint32_t payload_max =
		    mem_random(&rnd) % 12 == 0 ? 30000 : 1500;
		size_t len = model_batch(
		    &run->model, buf, sizeof(buf), &rnd, payload_max);
		struct iovec iov = {buf, len};

		run->written_at[n] = run->disk->ops;
		if (wal_write(wal, &iov, 1) != 0)
			fail(seed, run->disk->ops, 0, "write");
		if (mem_random(&rnd) % 3 != 0 || n == BATCHES) {
			if (wal_sync(wal) != 0)
				fail(seed, run->disk->ops, 0, "sync");
			while (acked < n)
				run->acked_at[++acked] = run->disk->ops;
			if (mem_random(&rnd) % 4 == 0 && wal_mark(wal) != 0)
				fail(seed, run->disk->ops, 0, "mark");
		}
		if (mem_random(&rnd) % 2 == 0 && wal_prepare(wal) < 0)
			fail(seed, run->disk->ops, 0, "prepare");
	}
	wal_close(wal);
}

/* Opens, and says which of the batches [lo, hi] the log ends with. */
static size_t
recovered(struct memdisk *m, const struct run *run, size_t lo, size_t hi,
    struct wal **wal, uint64_t seed, size_t at, uint64_t variant)
{
	static struct model found;
	struct disk disk = mem_disk(m);
	struct wal_report report;
	const struct wal_group *groups;
	struct errtext et = {""};
	uint64_t digest;
	size_t n;

	model_reset(&found);
	if (wal_open(&disk, &options, model_take, &found, wal, &report, &et) !=
	    0)
		fail(seed, at, variant, et.text);
	if (report.damaged != 0)
		fail(seed, at, variant, report.text);
	n = wal_groups(*wal, &groups);
	for (size_t i = 0; i < n; i++) {
		if (groups[i].damaged)
			fail(seed, at, variant, "a crash was taken for damage");
		if (groups[i].last != found.group[groups[i].group - 1].last)
			fail(seed, at, variant, "replay and groups differ");
	}
	digest = model_digest(&found);
	for (n = hi; n >= lo; n--) {
		if (run->model.digest[n] == digest)
			return n;
		if (n == 0)
			break;
	}
	fail(seed, at, variant, "not the log as it was after any batch");
}

/* A log that was recovered takes more, and keeps it. */
static void
goes_on(struct memdisk *m, struct wal *wal, uint64_t seed, size_t at,
    uint64_t variant)
{
	static struct model found;
	static uint8_t buf[8192];
	struct disk disk = mem_disk(m);
	const struct wal_group *groups;
	struct wal_report report;
	struct errtext et = {""};
	struct iovec iov = {buf, 0};
	uint64_t last = 0, out_last;
	size_t count = wal_groups(wal, &groups), len;

	for (size_t i = 0; i < count; i++)
		if (groups[i].group == 1)
			last = groups[i].last;
	iov.iov_len =
	    model_record(buf, 1, RECORD_COMMAND, last + 1, 99, 700, variant);
	if (wal_write(wal, &iov, 1) != 0 || wal_sync(wal) != 0)
		fail(seed, at, variant, "append after recovery");
	wal_close(wal);
	model_reset(&found);
	if (wal_open(&disk, &options, model_take, &found, &wal, &report, &et) !=
	    0)
		fail(seed, at, variant, et.text);
	if (report.damaged != 0 || report.torn_bytes != 0)
		fail(seed, at, variant, report.text);
	if (found.group[0].last != last + 1)
		fail(seed, at, variant, "appended entry is gone");
	if (wal_read(wal, 1, last + 1, last + 1, buf, sizeof(buf), &len,
		&out_last) != 0 ||
	    out_last != last + 1)
		fail(seed, at, variant, "appended entry cannot be read");
	wal_close(wal);
}

/* Crash while the state in m is recovered, at each of its operations. */
static void
crash_again(const struct memdisk *m, const struct run *run, size_t lo,
    size_t hi, uint64_t seed, size_t at, uint64_t variant)
{
	struct memdisk *rec = mem_clone(m);
	struct mem_world world;
	struct wal *wal;

	/* What stood there at the crash is all durable for the second one. */
	rec->recording = true;
	(void)recovered(rec, run, lo, hi, &wal, seed, at, variant);
	wal_close(wal);
	mem_world_init(&world, rec);
	mem_free(world.durable);
	world.durable = mem_clone(m);
	world.durable->files = rec->files;
	for (;;) {
		for (unsigned keep = 0; keep <= 256; keep += 128) {
			struct memdisk *crash =
			    mem_world_crash(&world, seed + world.at, keep);

			(void)recovered(
			    crash, run, lo, hi, &wal, seed, at, variant);
			wal_close(wal);
			mem_free(crash);
			recrashes++;
		}
		if (world.at == rec->ops)
			break;
		mem_world_step(&world);
	}
	mem_world_release(&world);
	mem_free(rec);
}

/*
 * The server is killed here and starts again, on what the cache has; then
 * the power goes.  What it found at its start it may have told to others.
 */
static void
kill_then_power(const struct mem_world *at, const struct run *run, size_t lo,
    size_t hi, uint64_t seed)
{
	struct memdisk *rec, *joined, *crash;
	struct mem_world world = *at;
	struct mem_op *ops;
	struct wal *wal;
	size_t found, pending = at->pending_count;

	rec = mem_world_crash(&world, 0, 256);
	rec->recording = true;
	found = recovered(rec, run, lo, hi, &wal, seed, at->at, 256);
	wal_close(wal);
	/* One journal: what was pending, and what the start did. */
	joined = mem_new();
	joined->files = rec->files;
	ops = mem_must(calloc(pending + rec->ops + 1, sizeof(*ops)));
	for (size_t i = 0; i < pending; i++)
		ops[i] = at->source->op[at->pending[i]];
	memcpy(ops + pending, rec->op, rec->ops * sizeof(*ops));
	joined->op = ops;
	joined->ops = pending + rec->ops;
	mem_world_init(&world, joined);
	mem_free(world.durable);
	world.durable = mem_clone(at->durable);
	world.durable->files = rec->files;
	while (world.at < joined->ops)
		mem_world_step(&world);
	crash = mem_world_crash(&world, 0, 0);
	(void)recovered(crash, run, found, hi, &wal, seed, at->at, 257);
	wal_close(wal);
	mem_free(crash);
	mem_world_release(&world);
	joined->ops = 0; /* the bytes are others' */
	mem_free(joined);
	mem_free(rec);
	recrashes++;
}

static void
try_state(struct mem_world *world, const struct run *run, size_t lo, size_t hi,
    uint64_t seed, uint64_t variant, unsigned keep)
{
	struct memdisk *m =
	    mem_world_crash(world, seed * 1000003 + variant, keep);
	struct memdisk *before = NULL;
	struct wal *wal;

	if (variant == 3 && world->at % 7 == 0)
		before = mem_clone(m);
	(void)recovered(m, run, lo, hi, &wal, seed, world->at, variant);
	goes_on(m, wal, seed, world->at, variant);
	mem_free(m);
	states++;
	if (before != NULL) {
		crash_again(before, run, lo, hi, seed, world->at, variant);
		mem_free(before);
	}
}

/* Every subset of the sectors of the last pending write, if they are few:
 * the others are all kept. */
static void
try_subsets(struct mem_world *world, const struct run *run, size_t lo,
    size_t hi, uint64_t seed)
{
	const struct mem_op *op;
	size_t sectors;

	if (world->pending_count == 0)
		return;
	op = &world->source->op[world->pending[world->pending_count - 1]];
	if (op->kind != MEM_WRITE)
		return;
	sectors = op->len / MEM_SECTOR;
	/* Sectors past the eighth are kept or lost together. */
	for (unsigned mask = 0; mask < 256; mask++) {
		struct memdisk *m = mem_world_crash(world, 0, 256);
		struct mem_file *f = &m->file[op->file];
		struct wal *wal;

		for (size_t i = 0; i < sectors; i++)
			if (!(mask >> (i < 7 ? i : 7) & 1))
				memset(f->data + op->offset + i * MEM_SECTOR, 0,
				    MEM_SECTOR);
		(void)recovered(m, run, lo, hi, &wal, seed, world->at, mask);
		wal_close(wal);
		mem_free(m);
		states++;
	}
}

static void
run_seed(uint64_t seed)
{
	static struct run run;
	struct mem_world world;
	size_t lo = 0, hi = 0;

	memset(&run, 0, sizeof(run));
	run_workload(&run, seed);
	mem_world_init(&world, run.disk);
	for (;;) {
		while (hi < BATCHES && run.written_at[hi + 1] < world.at)
			hi++;
		while (lo < BATCHES && run.acked_at[lo + 1] <= world.at)
			lo++;
		if (lo > hi)
			hi = lo;
		try_state(&world, &run, lo, hi, seed, 0, 0);
		try_state(&world, &run, lo, hi, seed, 1, 256);
		for (uint64_t v = 2; v < 2 + SAMPLES; v++)
			try_state(&world, &run, lo, hi, seed, v,
			    (unsigned)(32 + v * 24));
		kill_then_power(&world, &run, lo, hi, seed);
		if (seed == 1 && world.at % 16 == 3)
			try_subsets(&world, &run, lo, hi, seed);
		if (world.at == run.disk->ops)
			break;
		mem_world_step(&world);
	}
	mem_world_release(&world);
	mem_free(run.disk);
}

int
main(int argc, char **argv)
{
	uint64_t seeds = argc > 1 ? strtoull(argv[1], NULL, 10) : 6;

	for (uint64_t seed = 1; seed <= seeds; seed++)
		run_seed(seed);
	printf("crash_wal: %" PRIu64 " crash states and %" PRIu64
	       " crashes during recovery, all recovered\n",
	    states, recrashes);
	return 0;
}
