/*
 * damage_wal.c - a small log with any byte flipped, any sector zeroed, any
 * block made unreadable, or cut at any byte: nothing crashes, what counts is
 * an unbroken beginning of what was written, and a log that is shorter than
 * what was acknowledged says so, also at the start after.
 *
 *	damage_wal [STRIDE]	every STRIDEth byte, 5 by default
 */
#include <inttypes.h>

#include "tests/crash/logmodel.h"

#define BATCHES 14

static struct model written, history[BATCHES + 1];
static struct memdisk *pristine;
static uint64_t log_end; /* bytes of the first segment that are in use */
static uint64_t tried, refused, refused_before, noticed, healed;
static const struct wal_options options = {
    .segment_size = WAL_SEGMENT_SIZE_MIN, .server_id = 1, .nonce = 77};

static _Noreturn void
fail(const char *what, uint64_t at, const char *why)
{
	fprintf(stderr, "damage_wal: %s at %" PRIu64 ": %s\n", what, at, why);
	exit(1);
}

static void
write_log(void)
{
	static uint8_t buf[64 * 1024];
	struct disk disk;
	struct wal *wal;
	struct wal_report report;
	struct errtext et = {""};
	uint64_t rnd = 5;

	pristine = mem_new();
	disk = mem_disk(pristine);
	model_reset(&written);
	if (wal_open(&disk, &options, NULL, NULL, &wal, &report, &et) != 0)
		fail("open", 0, et.text);
	for (int n = 0; n < BATCHES; n++) {
		size_t len = model_batch(&written, buf, sizeof(buf), &rnd, 600);
		struct iovec iov = {buf, len};

		history[n + 1] = written;
		if (wal_write(wal, &iov, 1) != 0 || wal_sync(wal) != 0)
			fail("write", 0, "failed");
	}
	wal_close(wal); /* leaves a mark */
	/* The first file is the first segment. */
	for (uint64_t i = 0; i < pristine->file[0].size; i++)
		if (pristine->file[0].data[i] != 0)
			log_end = i + 1;
}

/* Was the group's log ever one that begins like this? */
static bool
was_once(int group, const struct model_group *f)
{
	for (int n = 0; n <= BATCHES; n++) {
		const struct model_group *h = &history[n].group[group];

		if (f->last <= h->last &&
		    memcmp(f->crc, h->crc, f->last * sizeof(f->crc[0])) == 0)
			return true;
	}
	return false;
}

/* What is there is a beginning of what was written; is it all of it? */
static bool
is_whole(const struct model *found, const struct wal_group *groups,
    size_t count, const char *what, uint64_t at)
{
	bool whole = true;

	for (int g = 0; g < MODEL_GROUPS; g++) {
		const struct model_group *f = &found->group[g];
		const struct model_group *w = &written.group[g];
		bool damaged = false;

		for (size_t i = 0; i < count; i++)
			if (groups[i].group == (uint32_t)g + 1)
				damaged = groups[i].damaged;
		if (!damaged && (f->term != w->term || f->vote != w->vote))
			fail(what, at, "a term or a vote was forgotten");
		if (f->term != w->term || f->vote != w->vote)
			fail(what, at, "state is wrong in a damaged group");
		if (f->last == w->last &&
		    memcmp(f->crc, w->crc, f->last * sizeof(f->crc[0])) == 0)
			continue;
		whole = false;
		/* An entry that was hidden may be back where the one that hid
		 * it was lost: only with the damage told. */
		if (!damaged)
			fail(what, at, "a shorter log and nothing said");
		if (!was_once(g, f))
			fail(what, at, "a log that never was");
	}
	return whole;
}

static int
count_problem(const struct wal_problem *p, void *ctx)
{
	(void)p;
	++*(uint64_t *)ctx;
	return 0;
}

static int
count_place(const struct wal_place *p, const struct record *r, void *ctx)
{
	(void)p;
	(void)r;
	++*(uint64_t *)ctx;
	return 0;
}

/* The missing entries come back from a leader, and the log is whole. */
static void
heal(struct wal *wal, const char *what, uint64_t at)
{
	static uint8_t buf[1024];
	const struct wal_group *groups;
	size_t count = wal_groups(wal, &groups);

	for (size_t i = 0; i < count; i++) {
		uint64_t known = groups[i].last_known;
		uint32_t group = groups[i].group;

		if (!groups[i].damaged)
			continue;
		for (uint64_t x = groups[i].last + 1; groups[i].damaged; x++) {
			/* A later term ends the doubt when no index does. */
			uint64_t term = x > known ? 1000 : 1;
			struct iovec iov = {
			    buf, model_record(buf, group, RECORD_COMMAND, x,
				     term, 10, 1)};

			if (wal_write(wal, &iov, 1) != 0)
				fail(what, at, "cannot mend");
			count = wal_groups(wal, &groups);
			if (x < known && !groups[i].damaged)
				fail(what, at, "mended too early");
			if (x > known + 2)
				fail(what, at, "never mended");
		}
		healed++;
	}
	if (wal_sync(wal) != 0)
		fail(what, at, "cannot sync");
}

static void
judge(struct memdisk *m, const char *what, uint64_t at, bool must_notice)
{
	static struct model found, again;
	struct disk disk = mem_disk(m);
	const struct wal_group *groups;
	struct wal_report report, report2;
	struct errtext et = {""};
	struct wal *wal;
	uint64_t problems = 0, places = 0;
	size_t count;
	bool whole;
	int error;

	tried++;
	if (wal_check(&disk, count_problem, &problems, &report, &et) != 0 ||
	    wal_walk(&disk, count_place, &places, &et) != 0)
		fail(what, at, et.text);
	if (must_notice && problems == 0)
		fail(what, at, "check noticed nothing");
	noticed += problems > 0;
	model_reset(&found);
	error =
	    wal_open(&disk, &options, model_take, &found, &wal, &report, &et);
	if (error == -EBADMSG) {
		refused++;
		return;
	}
	if (error != 0)
		fail(what, at, et.text);
	if (must_notice && report.damaged == 0 && report.torn_bytes == 0)
		fail(what, at, "open noticed nothing");
	count = wal_groups(wal, &groups);
	whole = is_whole(&found, groups, count, what, at);
	wal_close(wal);
	/* It must not have been forgotten by the next start. */
	model_reset(&again);
	if (wal_open(
		&disk, &options, model_take, &again, &wal, &report2, &et) != 0)
		fail(what, at, et.text);
	count = wal_groups(wal, &groups);
	if (is_whole(&again, groups, count, what, at) != whole)
		fail(what, at, "the second start sees another log");
	heal(wal, what, at);
	wal_close(wal);
	if (wal_open(&disk, &options, NULL, NULL, &wal, &report2, &et) != 0)
		fail(what, at, et.text);
	count = wal_groups(wal, &groups);
	for (size_t i = 0; i < count; i++)
		if (groups[i].damaged)
			fail(what, at, "mended, but not after a restart");
	wal_close(wal);
}

static void
flips(uint64_t stride)
{
	for (uint64_t at = 0; at < log_end + 1024; at += stride) {
		struct memdisk *m = mem_clone(pristine);

		m->file[0].data[at] ^= (uint8_t)(1 << (at / stride % 8));
		judge(m, "flip", at, at < log_end);
		mem_free(m);
	}
}

static void
fills(uint64_t unit, int byte, const char *what)
{
	for (uint64_t at = 0; at < log_end; at += unit) {
		struct memdisk *m = mem_clone(pristine);
		uint8_t *p = m->file[0].data + at;
		bool same = true;

		for (uint64_t i = 0; i < unit; i++)
			same = same && p[i] == byte;
		memset(p, byte, unit);
		/* The mark vouches for all but itself. */
		judge(m, what, at,
		    !same && (byte != 0 || at < log_end - DISK_ALIGN));
		mem_free(m);
	}
}

static void
cuts(uint64_t stride)
{
	for (uint64_t at = 0; at < pristine->file[0].size; at += stride) {
		struct memdisk *m = mem_clone(pristine);

		m->file[0].size = at;
		judge(m, "cut", at, true);
		mem_free(m);
	}
}

static void
count_refused(const char *what)
{
	printf("damage_wal: %s: %" PRIu64 " refused for lost votes\n", what,
	    refused - refused_before);
	refused_before = refused;
}

int
main(int argc, char **argv)
{
	uint64_t stride = argc > 1 ? strtoull(argv[1], NULL, 10) : 5;

	write_log();
	flips(stride == 0 ? 1 : stride);
	count_refused("flips");
	fills(MEM_SECTOR, 0, "zeroed sector");
	count_refused("zeroed sector");
	fills(MEM_SECTOR, 0xff, "garbled sector");
	count_refused("garbled sector");
	fills(DISK_ALIGN, 0, "zeroed block");
	count_refused("zeroed block");
	fills(DISK_ALIGN, 0xff, "unreadable block");
	count_refused("unreadable block");
	cuts(stride == 0 ? 1 : stride * 29);
	count_refused("cuts");
	printf("damage_wal: %" PRIu64 " damaged logs: %" PRIu64
	       " noticed, %" PRIu64 " refused for lost votes, %" PRIu64
	       " groups mended\n",
	    tried, noticed, refused, healed);
	mem_free(pristine);
	return 0;
}
