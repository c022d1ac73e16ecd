/*
 * mend_wal.c - raftwal repair on damaged logs: a flipped bit is made good
 * without anybody's help; a lost sector with the help of a peer; whatever a
 * peer says, nothing comes into the log that was not in it; what was
 * overwritten is in quarantine; and a crash on the way does no harm.
 *
 *	mend_wal [STRIDE]	every STRIDEth byte, 5 by default
 */
#include <inttypes.h>

#include "raftwal/repair.h"
#include "tests/crash/logmodel.h"

#define BATCHES 14

static struct model written;
static struct memdisk *pristine;
static uint64_t log_end, restored, cut, left, by_peer, refused, crashes;
static const struct wal_options options = {
    .segment_size = WAL_SEGMENT_SIZE_MIN, .server_id = 1, .nonce = 77};

static _Noreturn void
fail(const char *what, uint64_t at, const char *why)
{
	fprintf(stderr, "mend_wal: %s at %" PRIu64 ": %s\n", what, at, why);
	exit(1);
}

static void
write_log(void)
{
	static uint8_t buf[64 * 1024];
	struct disk disk;
	struct wal *wal;
	struct errtext et = {""};
	uint64_t rnd = 5;

	pristine = mem_new();
	disk = mem_disk(pristine);
	model_reset(&written);
	if (wal_open(&disk, &options, NULL, NULL, &wal, NULL, &et) != 0)
		fail("open", 0, et.text);
	for (int n = 0; n < BATCHES; n++) {
		struct iovec iov = {
		    buf, model_batch(&written, buf, sizeof(buf), &rnd, 600)};

		if (wal_write(wal, &iov, 1) != 0 || wal_sync(wal) != 0)
			fail("write", 0, "failed");
	}
	wal_close(wal);
	for (uint64_t i = 0; i < pristine->file[0].size; i++)
		if (pristine->file[0].data[i] != 0)
			log_end = i + 1;
}

/* ---- a peer ------------------------------------------------------------ */

enum lie { HONEST, OTHER_BYTES, OTHER_TERM, UNCOMMITTED };

struct peer {
	struct wal *wal;
	struct disk disk;
	enum lie lie;
	uint8_t buf[128 * 1024];
};

static struct peer peer;

static int
peer_fetch(void *ctx, uint32_t group, uint64_t from, uint64_t to,
    struct repair_entries *e, struct errtext *et)
{
	struct peer *p = ctx;
	const struct wal_group *list;
	size_t n = wal_groups(p->wal, &list), len = 0;
	uint64_t last = 0, ignored;
	uint8_t one[4096];
	struct record r;
	int error;

	(void)et;
	/* Only a cluster that is another one has entries of the same term
	 * that differ, and its servers are not asked. */
	if ((p->lie == OTHER_BYTES || from == 1) && p->lie != HONEST &&
	    to != from)
		return -ENOENT;
	memset(e, 0, sizeof(*e));
	for (size_t i = 0; i < n; i++)
		if (list[i].group == group)
			e->commit = list[i].last;
	error = wal_read(
	    p->wal, group, from, to, p->buf, sizeof(p->buf), &len, &last);
	if (error < 0)
		return error;
	if (from > 1 &&
	    wal_read(p->wal, group, from - 1, from - 1, one, sizeof(one), &n,
		&ignored) == 0 &&
	    record_read(one, n, &r) > 0)
		e->prev_term = r.term;
	/* Whole records, with checksums that fit, of another history. */
	for (size_t at = 0;
	     at < len && p->lie != HONEST && p->lie != UNCOMMITTED;) {
		size_t size = record_read(p->buf + at, len - at, &r);

		if (size == 0)
			break;
		if (p->lie == OTHER_TERM)
			r.term += 7;
		else if (r.len > 0)
			p->buf[at + RECORD_HEADER_LEN] ^= 1;
		record_seal(p->buf + at, &r);
		at += size;
	}
	if (p->lie == OTHER_TERM)
		e->prev_term += 7;
	if (p->lie == UNCOMMITTED)
		e->commit = from - 1;
	e->records = p->buf;
	e->len = len;
	e->from = from;
	e->to = last;
	return 0;
}

/* ---- one damaged log --------------------------------------------------- */

static uint64_t appends;

static int
count_step(const struct repair_step *s, void *ctx)
{
	(void)ctx;
	appends += strcmp(s->action, "append") == 0;
	return 0;
}

static int
repair(struct memdisk *m, bool with_peer, struct repair_result *result)
{
	struct disk disk = mem_disk(m);
	struct repair_options opt = {.wal = options,
	    .write = true,
	    .fetch = with_peer ? peer_fetch : NULL,
	    .fetch_ctx = &peer,
	    .step = count_step};
	struct errtext et = {""};

	return repair_run(&disk, &opt, result, &et);
}

static bool
as_written(const struct memdisk *m)
{
	return memcmp(m->file[0].data, pristine->file[0].data, log_end) == 0;
}

/* The groups hold what was written; false: and it is said that they do not. */
static bool
holds_all(struct memdisk *m, const char *what, uint64_t at)
{
	static struct model found;
	struct wal_options opt = options;
	struct disk disk = mem_disk(m);
	const struct wal_group *list;
	struct errtext et = {""};
	bool whole = true;
	struct wal *wal;
	size_t n;

	opt.read_only = true;
	model_reset(&found);
	if (wal_open(&disk, &opt, model_take, &found, &wal, NULL, &et) != 0)
		fail(what, at, et.text);
	n = wal_groups(wal, &list);
	for (size_t i = 0; i < n; i++) {
		const struct model_group *f = &found.group[list[i].group - 1];
		const struct model_group *w = &written.group[list[i].group - 1];

		if (f->last == w->last &&
		    memcmp(f->crc, w->crc, f->last * sizeof(f->crc[0])) == 0)
			continue;
		whole = false;
		if (!list[i].damaged)
			fail(what, at, "another log, and nobody says so");
	}
	wal_close(wal);
	return whole;
}

/* Some file of quarantine/ begins with these bytes. */
static bool
is_kept(struct memdisk *m, const uint8_t *bytes, uint64_t len)
{
	for (unsigned i = 0; i < MEM_FILES_MAX; i++) {
		const struct mem_name *n = &m->name[i];
		const struct mem_file *f;

		if (!n->used || n->is_dir ||
		    strncmp(n->path, "quarantine/", 11) != 0)
			continue;
		f = &m->file[n->file];
		for (uint64_t at = 0; at + len <= f->size; at++)
			if (memcmp(f->data + at, bytes, len) == 0)
				return true;
	}
	return false;
}

static void
flip(uint64_t at, unsigned bit)
{
	struct memdisk *m = mem_clone(pristine);
	struct repair_result result;
	uint64_t from = at / MEM_SECTOR * MEM_SECTOR;
	uint8_t damaged[MEM_SECTOR];

	m->file[0].data[at] ^= (uint8_t)(1u << bit);
	memcpy(damaged, m->file[0].data + from, MEM_SECTOR);
	if (repair(m, false, &result) != 0)
		fail("flip", at, "cannot repair");
	if (as_written(m) && result.whole && result.left == 0)
		restored++;
	else if (at >= log_end - DISK_ALIGN)
		cut++; /* the last mark: torn, for all that is known */
	else
		fail("flip", at, "not made good");
	if (!is_kept(m, damaged, MEM_SECTOR))
		fail("flip", at, "overwritten, and not in quarantine");
	if (!holds_all(m, "flip", at))
		fail("flip", at, "entries are missing");
	mem_free(m);
}

/* A sector is gone. */
static void
lose(uint64_t at, bool with_peer, enum lie lie)
{
	struct memdisk *m = mem_clone(pristine);
	struct repair_result result;
	int error;

	memset(m->file[0].data + at, 0xa5, MEM_SECTOR);
	peer.lie = lie;
	appends = 0;
	error = repair(m, with_peer, &result);
	if (error == -EBADMSG) {
		refused++; /* votes may be lost */
		mem_free(m);
		return;
	}
	if (error != 0)
		fail("sector", at, "cannot repair");
	if (lie != HONEST && appends > 0)
		fail("sector", at, "entries that were never committed");
	if (!holds_all(m, "sector", at)) {
		if (result.whole)
			fail("sector", at, "called whole, and is not");
		if (with_peer && lie == HONEST)
			fail("sector", at, "the peer had it all");
		left++;
	} else if (with_peer && lie == HONEST)
		by_peer++;
	mem_free(m);
}

/* Every crash of a repair: the next one ends it. */
static void
crash(uint64_t at)
{
	struct memdisk *m = mem_new(), *damaged = mem_clone(pristine);
	struct disk disk = mem_disk(m);
	struct repair_result result;
	struct mem_world world;
	size_t begin;

	memset(damaged->file[0].data + at, 0xa5, MEM_SECTOR);
	/* The same as a journal, all of it durable. */
	m->recording = true;
	if (disk.ops->mkdir(m, "wal") != 0 || disk.ops->sync_dir(m, ".") != 0)
		fail("crash", at, "setup");
	for (unsigned i = 0; i < MEM_FILES_MAX; i++) {
		const struct mem_name *n = &damaged->name[i];
		const struct mem_file *f = &damaged->file[n->file];
		struct disk_file *out;

		if (!n->used || n->is_dir)
			continue;
		if (mem_open(m, n->path, DISK_WRITE | DISK_CREATE, &out) != 0 ||
		    mem_write(m, out, f->data, f->size, 0) != 0 ||
		    mem_sync(m, out) != 0 || mem_sync_dir(m, "wal") != 0)
			fail("crash", at, "setup");
		mem_close(m, out);
	}
	begin = m->ops;
	peer.lie = HONEST;
	if (repair(m, true, &result) != 0 || !result.whole)
		fail("crash", at, "not repaired");
	mem_world_init(&world, m);
	for (;; mem_world_step(&world)) {
		for (unsigned v = 0; world.at >= begin && v <= 4; v++) {
			struct memdisk *c = mem_world_crash(&world, v, v * 64);

			crashes++;
			if (repair(c, true, &result) != 0 || !result.whole ||
			    !holds_all(c, "crash", at))
				fail("crash", at, "the next one cannot end it");
			mem_free(c);
		}
		if (world.at == m->ops)
			break;
	}
	mem_world_release(&world);
	mem_free(damaged);
	mem_free(m);
}

int
main(int argc, char **argv)
{
	uint64_t stride = argc > 1 ? strtoull(argv[1], NULL, 10) : 5;
	struct wal_options opt = options;
	struct errtext et = {""};

	stride = stride == 0 ? 1 : stride;
	write_log();
	peer.disk = mem_disk(pristine);
	opt.read_only = true;
	if (wal_open(&peer.disk, &opt, NULL, NULL, &peer.wal, NULL, &et) != 0)
		fail("peer", 0, et.text);
	for (uint64_t at = 0; at < log_end; at += stride)
		flip(at, (unsigned)(at / stride % 8));
	for (uint64_t at = 0; at < log_end; at += MEM_SECTOR) {
		lose(at, true, HONEST);
		lose(at, false, HONEST);
		lose(at, true, OTHER_BYTES);
		lose(at, true, OTHER_TERM);
		lose(at, true, UNCOMMITTED);
	}
	for (uint64_t at = 4096 + MEM_SECTOR; at < log_end;
	     at += 5 * MEM_SECTOR)
		crash(at);
	printf("mend_wal: flips: %" PRIu64 " made good, %" PRIu64
	       " cut; lost sectors: %" PRIu64 " by the peer, %" PRIu64
	       " left and said so, %" PRIu64 " refused for lost votes; %" PRIu64
	       " crashes\n",
	    restored, cut, by_peer, left, refused, crashes);
	wal_close(peer.wal);
	mem_free(pristine);
	return 0;
}
