/*
 * fuzz_wal.c - arbitrary bytes as the first segment of a log.
 *
 * The first byte says which checksums are mended, so that the fuzzer gets
 * past them: bit 0 those of heads, bit 1 those of sectors of records, bit 2
 * those of records, bit 3 makes the nonces equal.  Tools and recovery must
 * come to an end, and agree; a log that opens takes more, and opens again.
 * So does repair, with a peer that answers with bytes of the same input.
 */
#include <inttypes.h>

#include "raftwal/crc32c.h"
#include "raftwal/format.h"
#include "raftwal/repair.h"
#include "tests/crash/logmodel.h"

#define SIZE_MAX_FUZZED (64u * 1024)

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

static void
mend_records(uint8_t *p, size_t len)
{
	size_t at = 0;

	while (at + RECORD_HEADER_LEN <= len) {
		uint32_t n = get_le32(p + at + 4);

		if (n > len - at - RECORD_HEADER_LEN)
			return;
		put_le32(
		    p + at, crc32c(0, p + at + 4, RECORD_HEADER_LEN - 4 + n));
		at += record_size(n);
	}
}

static void
mend_batch(uint8_t *p, size_t left, unsigned what)
{
	uint32_t sectors = get_le32(p + 4), count = get_le32(p + 40);
	uint32_t len = get_le32(p + 44);
	size_t word = (size_t)count * 32;

	if (sectors == 0 || sectors > left / SECTOR ||
	    len > left - sectors * SECTOR || count > left / 32)
		return;
	if (what & 4)
		mend_records(p + sectors * SECTOR, len);
	/* Tables of one sector are enough to get everywhere. */
	for (size_t at = 0; (what & 2) && sectors == 1 && at < len;
	     at += SECTOR, word += 4)
		if (64 + word + 4 <= SECTOR - 4 &&
		    sectors * SECTOR + at + SECTOR <= left)
			put_le32(p + 64 + word,
			    crc32c(0, p + sectors * SECTOR + at, SECTOR));
}

static void
mend(uint8_t *p, size_t size, unsigned what)
{
	for (size_t at = 0; at + SECTOR <= size; at += SECTOR) {
		if (memcmp(p + at, "RAWB", 4) == 0) {
			if (what & 8)
				memcpy(p + at + 8, p + 32, 8);
			mend_batch(p + at, size - at, what);
		}
		if ((what & 1) && (memcmp(p + at, "RAWB", 4) == 0 || at == 0))
			put_le32(
			    p + at + SECTOR - 4, crc32c(0, p + at, SECTOR - 4));
	}
}

static int
count_problem(const struct wal_problem *p, void *ctx)
{
	(void)p;
	++*(uint64_t *)ctx;
	return 0;
}

static int
look(const struct wal_place *p, const struct record *r, void *ctx)
{
	uint64_t *sum = ctx;

	*sum += p->len;
	if (r != NULL && r->payload != NULL)
		*sum += crc32c(0, r->payload, r->len);
	return 0;
}

static int
replay(const struct record *r, void *ctx)
{
	uint64_t *sum = ctx;

	*sum += crc32c(0, r->payload, r->len);
	return 0;
}

static void
open_twice(struct disk *disk)
{
	const struct wal_options opt = {
	    .segment_size = WAL_SEGMENT_SIZE_MIN, .server_id = 1};
	const struct wal_group *groups;
	struct wal_report report;
	struct errtext et = {""};
	uint64_t sum = 0, last = 0, out_last;
	static uint8_t buf[SIZE_MAX_FUZZED + 4096];
	struct iovec iov = {buf, 0};
	struct wal *wal;
	size_t n, len;

	if (wal_open(disk, &opt, replay, &sum, &wal, &report, &et) != 0)
		return;
	n = wal_groups(wal, &groups);
	for (size_t i = 0; i < n; i++) {
		assert(groups[i].damaged ||
		       groups[i].last_known == groups[i].last);
		if (groups[i].group == 1)
			last = groups[i].last;
		if (groups[i].last >= groups[i].first)
			assert(wal_read(wal, groups[i].group, groups[i].first,
				   groups[i].last, buf, sizeof(buf), &len,
				   &out_last) == 0);
	}
	iov.iov_len = model_record(buf, 1, RECORD_NOOP, last + 1, 1, 0, 0);
	assert(wal_write(wal, &iov, 1) == 0 && wal_sync(wal) == 0);
	wal_close(wal);
	assert(wal_open(disk, &opt, replay, &sum, &wal, &report, &et) == 0);
	n = wal_groups(wal, &groups);
	assert(n > 0);
	for (size_t i = 0; i < n; i++)
		assert(groups[i].group != 1 || groups[i].last == last + 1);
	wal_close(wal);
}

struct input {
	const uint8_t *data;
	size_t size;
	unsigned calls;
};

static int
fetch(void *ctx, uint32_t group, uint64_t from, uint64_t to,
    struct repair_entries *e, struct errtext *et)
{
	struct input *in = ctx;
	size_t at = ++in->calls * SECTOR % in->size;

	(void)group;
	(void)to;
	(void)et;
	*e = (struct repair_entries){.records = in->data + at,
	    .len = in->size - at,
	    .from = from,
	    .to = from,
	    .prev_term = 1,
	    .commit = UINT64_MAX};
	return 0;
}

static void
repair(const struct memdisk *before, const uint8_t *data, size_t size)
{
	struct memdisk *m = mem_clone(before);
	struct disk disk = mem_disk(m);
	struct input in = {data, size, 0};
	struct repair_options opt = {
	    .wal = {.segment_size = WAL_SEGMENT_SIZE_MIN, .server_id = 1},
	    .write = true,
	    .fetch = (data[0] & 16) != 0 ? fetch : NULL,
	    .fetch_ctx = &in};
	struct wal_options look_only = {.read_only = true};
	const struct wal_group *groups;
	struct repair_result result;
	struct errtext et = {""};
	struct wal *wal;
	size_t n;

	if (repair_run(&disk, &opt, &result, &et) == 0 &&
	    wal_open(&disk, &look_only, NULL, NULL, &wal, NULL, &et) == 0) {
		n = wal_groups(wal, &groups);
		for (size_t i = 0; i < n; i++)
			assert(!result.whole || !groups[i].damaged);
		wal_close(wal);
	}
	mem_free(m);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct memdisk *m;
	struct disk disk;
	struct disk_file *f;
	struct wal_report report;
	struct errtext et = {""};
	uint64_t problems = 0, sum = 0;
	unsigned what;

	if (size < 1 || size > SIZE_MAX_FUZZED)
		return 0;
	what = data[0];
	m = mem_new();
	disk = mem_disk(m);
	if (mem_mkdir(m, "wal") != 0 || mem_open(m, "wal/0000000000000001.wal",
					    DISK_WRITE | DISK_CREATE, &f) != 0)
		abort();
	if (mem_write(m, f, data + 1, size - 1, 0) != 0)
		abort();
	mem_close(m, f);
	if (size > SECTOR)
		mend(m->file[0].data, size - 1, what);
	(void)wal_walk(&disk, look, &sum, &et);
	if (wal_check(&disk, count_problem, &problems, &report, &et) == 0)
		assert((problems > 0) ==
		       (report.damaged > 0 || report.torn_bytes > 0));
	repair(m, data, size);
	open_twice(&disk);
	mem_free(m);
	return 0;
}
