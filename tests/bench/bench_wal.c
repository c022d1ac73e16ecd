/*
 * bench_wal.c - what the log costs.
 *
 *	bench_wal [DIR]
 *
 * DIR (default: the working directory) gets a scratch directory that is
 * removed at the end.  Prints one line per figure: name, ns per operation.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "raftwal/crc32c.h"
#include "raftwal/wal.h"

#define SYNCS 300
#define REPLAY_ENTRIES 1000000u
#define REPLAY_LEN 300u

static char scratch[512];
static struct disk disk;

static uint64_t
now_ns(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static _Noreturn void
die(const char *what, int error)
{
	fprintf(stderr, "bench_wal: %s: %s\n", what, strerror(-error));
	exit(71);
}

/* Ours alone, whatever else the machine does. */
static uint64_t
cpu_ns(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static int
u64_cmp(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static void
figures(const char *name, size_t len, uint64_t *ns, size_t n)
{
	qsort(ns, n, sizeof(*ns), u64_cmp);
	printf("%-28s %7zu B  p50 %7" PRIu64 "  p99 %7" PRIu64 " ns\n", name,
	    len, ns[n / 2], ns[n * 99 / 100]);
	(void)fflush(stdout);
}

/* ---- ways to make bytes durable ---------------------------------------- */

static void
raw_sync(const char *name, int flags, size_t len)
{
	static uint64_t ns[SYNCS];
	char path[600];
	uint8_t *buf = aligned_alloc(4096, 1 << 20);
	off_t at = 0;
	int fd;

	(void)snprintf(path, sizeof(path), "%s/raw", scratch);
	fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0 || buf == NULL)
		die("raw file", -1);
	/* Over space that was written, as the log does. */
	memset(buf, 0, 1 << 20);
	for (size_t done = 0; done < SYNCS * len; done += 1 << 20)
		if (pwrite(fd, buf, 1 << 20, (off_t)done) != 1 << 20)
			die("fill", -1);
	if (fsync(fd) < 0)
		die("fsync", -1);
	(void)close(fd);
	memset(buf, 7, 1 << 20);
	fd = open(path, O_RDWR | O_CLOEXEC | flags);
	if (fd < 0)
		die("direct", -1);
	for (int i = 0; i < SYNCS; i++) {
		uint64_t start = now_ns();

		if (pwrite(fd, buf, len, at) != (ssize_t)len)
			die("pwrite", -1);
		if ((flags & O_DSYNC) == 0 && fdatasync(fd) < 0)
			die("fdatasync", -1);
		ns[i] = now_ns() - start;
		at += (off_t)len;
	}
	figures(name, len, ns, SYNCS);
	(void)close(fd);
	(void)unlink(path);
	free(buf);
}

static void
bench_raw(void)
{
	static const size_t lens[] = {512, 4096, 16384, 65536, 262144};

	for (unsigned i = 0; i < sizeof(lens) / sizeof(lens[0]); i++) {
		raw_sync("write+fdatasync", 0, lens[i]);
		raw_sync("O_DIRECT+fdatasync", O_DIRECT, lens[i]);
		raw_sync("O_DIRECT|O_DSYNC", O_DIRECT | O_DSYNC, lens[i]);
	}
}

/* ---- the log ----------------------------------------------------------- */

static struct wal *
log_open(bool no_sync, wal_replay_cb cb, void *ctx, struct wal_report *report)
{
	struct wal_options opt = {.server_id = 1, .no_sync = no_sync};
	struct errtext et = {""};
	struct wal *wal;
	int error;

	error = wal_open(&disk, &opt, cb, ctx, &wal, report, &et);
	if (error != 0) {
		fprintf(stderr, "bench_wal: %s\n", et.text);
		die("wal_open", error);
	}
	return wal;
}

static int
unlink_one(void *arg, const char *name)
{
	char path[512];

	(void)snprintf(path, sizeof(path), "%s/%s", (const char *)arg, name);
	return disk.ops->unlink(disk.ctx, path);
}

static void
log_remove(void)
{
	char path[600];
	char dir[] = "wal";

	(void)disk.ops->list(disk.ctx, "wal", unlink_one, dir);
	(void)snprintf(path, sizeof(path), "%s/wal", scratch);
	(void)rmdir(path);
}

static size_t
entry(uint8_t *dst, uint64_t index, uint32_t len)
{
	struct record r = {.group = 1,
	    .kind = RECORD_COMMAND,
	    .index = index,
	    .term = 1,
	    .stamp = index,
	    .len = len};

	memset(dst + RECORD_HEADER_LEN, (int)index, len);
	record_seal(dst, &r);
	return record_size(len);
}

/* Batches of `count` entries of 300 bytes, each batch synced. */
static void
bench_append(unsigned count)
{
	static uint64_t ns[SYNCS];
	uint8_t *buf = malloc((size_t)count * record_size(REPLAY_LEN));
	struct wal_report report;
	struct wal *wal = log_open(false, NULL, NULL, &report);
	uint64_t index = 0;
	char name[64];
	size_t len = 0;

	for (int i = 0; i < SYNCS; i++) {
		struct iovec iov = {buf, 0};
		uint64_t start;

		len = 0;
		for (unsigned k = 0; k < count; k++)
			len += entry(buf + len, ++index, REPLAY_LEN);
		iov.iov_len = len;
		start = now_ns();
		if (wal_write(wal, &iov, 1) != 0 || wal_sync(wal) != 0)
			die("append", -5);
		ns[i] = now_ns() - start;
		while (wal_prepare(wal) == 1)
			;
	}
	(void)snprintf(
	    name, sizeof(name), "log append+sync, %u a batch", count);
	figures(name, len, ns, SYNCS);
	wal_close(wal);
	log_remove();
	free(buf);
}

static int
count_record(const struct record *r, void *ctx)
{
	(void)r;
	++*(uint64_t *)ctx;
	return 0;
}

/* CPU of the append path alone, then of a start. */
static void
bench_replay(void)
{
	const unsigned per_batch = 100;
	uint8_t *buf = malloc(per_batch * record_size(REPLAY_LEN));
	uint8_t *out = malloc(1 << 20);
	struct wal_report report;
	struct wal *wal = log_open(true, NULL, NULL, &report);
	uint64_t start, cpu, spent = 0, seen = 0, index = 0, last = 0, got = 0;
	size_t len;

	while (index < REPLAY_ENTRIES) {
		struct iovec iov = {buf, 0};

		for (unsigned k = 0; k < per_batch; k++)
			iov.iov_len +=
			    entry(buf + iov.iov_len, ++index, REPLAY_LEN);
		/* The next segment is filled beside, not on this path. */
		while (wal_prepare(wal) == 1)
			;
		start = cpu_ns();
		if (wal_write(wal, &iov, 1) != 0)
			die("write", -5);
		spent += cpu_ns() - start;
	}
	printf("%-28s %7u B  %" PRIu64 " ns of CPU an entry\n",
	    "log write, 100 a batch", REPLAY_LEN, spent / REPLAY_ENTRIES);
	wal_close(wal);
	start = now_ns();
	cpu = cpu_ns();
	wal = log_open(false, count_record, &seen, &report);
	spent = now_ns() - start;
	cpu = cpu_ns() - cpu;
	printf("%-28s %" PRIu64 " entries in %" PRIu64 " ms, %" PRIu64
	       " ns of CPU an entry\n",
	    "log open", seen, spent / 1000000, cpu / REPLAY_ENTRIES);
	start = cpu_ns();
	for (index = 1; index <= REPLAY_ENTRIES; index = last + 1) {
		if (wal_read(wal, 1, index, REPLAY_ENTRIES, out, 1 << 20, &len,
			&last) != 0)
			die("read", -5);
		got += last - index + 1;
	}
	printf("%-28s %7u B  %" PRIu64 " ns of CPU an entry\n", "log read",
	    REPLAY_LEN, (cpu_ns() - start) / got);
	wal_close(wal);
	log_remove();
	free(buf);
	free(out);
}

static void
bench_memory(void)
{
	static uint8_t buf[65536];
	static const size_t lens[] = {64, 512, 4096, 65536};
	uint32_t crc = 0;

	for (unsigned i = 0; i < sizeof(lens) / sizeof(lens[0]); i++) {
		uint64_t start = now_ns(), rounds = (64u << 20) / lens[i];

		for (uint64_t k = 0; k < rounds; k++)
			crc = crc32c(crc, buf, lens[i]);
		printf("%-28s %7zu B  %" PRIu64 " ns (%08x)\n", "crc32c",
		    lens[i], (now_ns() - start) / rounds, crc);
	}
}

int
main(int argc, char **argv)
{
	struct errtext et = {""};

	(void)snprintf(scratch, sizeof(scratch), "%s/bench_wal.XXXXXX",
	    argc > 1 ? argv[1] : ".");
	if (mkdtemp(scratch) == NULL)
		die(scratch, -2);
	if (disk_real_open(scratch, false, false, &disk, &et) != 0) {
		fprintf(stderr, "bench_wal: %s\n", et.text);
		return 71;
	}
	bench_memory();
	bench_raw();
	bench_append(1);
	bench_append(10);
	bench_append(100);
	bench_replay();
	disk_real_close(&disk);
	(void)rmdir(scratch);
	return 0;
}
