/*
 * bench_snap.c - how fast snapshots are, beside what zstd and the disk do
 * alone.
 *
 *	bench_snap [KEYS [DIR]]
 *
 * A state of KEYS (default: a million) keys of 8 bytes with values of 256
 * bytes that are digits of base 64, as of a program that encrypts what it
 * stores.  DIR (default: the working directory) gets a scratch directory that
 * is removed at the end.  Prints one JSON object:
 *
 *	plain_bytes, file_bytes	the state before and after compression
 *	mb_s, cpu_mb_s		megabytes of plain state a second, by the
 *				clock and by our own processor time
 *	  zstd, unzstd		the same blocks, by the library alone
 *	  disk_write, disk_read	as many bytes as the file has, with a sync;
 *				read from the cache, as all of these are
 *	  snapshot		as the child of raftd writes it, synced
 *	  verify, load		read and judged; and into a state machine
 *	  restore		raftsnap restore: load, and write another one
 *	fork_ms			how long the parent stands still for fork(2):
 *				median and worst of 9, and its processor time
 *	end_ms			until the child is gone, which is not waited
 *				for in raftd
 */
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <zstd.h>

#include "raftd/fsm/kvstore.h"
#include "raftsnap/snap.h"

#define VALUE_LEN 256
#define FORKS 9
#define PATH "snap/1-1-1.snap"

struct clock {
	uint64_t wall, cpu;
};

static char scratch[512];
static struct disk disk;
static uint64_t plain_len;
static json_t *mb_s, *cpu_mb_s;

static uint64_t
read_clock(clockid_t id)
{
	struct timespec t;

	(void)clock_gettime(id, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static struct clock
start(void)
{
	return (struct clock){
	    read_clock(CLOCK_MONOTONIC), read_clock(CLOCK_PROCESS_CPUTIME_ID)};
}

static void
figure(const char *name, struct clock since)
{
	struct clock now = start();

	json_object_set_new(mb_s, name,
	    json_real(
		(double)plain_len * 1e3 / (double)(now.wall - since.wall)));
	json_object_set_new(cpu_mb_s, name,
	    json_real(
		(double)plain_len * 1e3 / (double)(now.cpu - since.cpu + 1)));
}

static _Noreturn void
die(const char *what, int error)
{
	fprintf(stderr, "bench_snap: %s: %s\n", what, strerror(-error));
	exit(71);
}

/* ---- the state ----------------------------------------------------------- */

static struct fsm *
make_state(uint64_t keys)
{
	static const char digit[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijkl"
				    "mnopqrstuvwxyz0123456789+/";
	struct fsm *f = kv_ops.new(1);
	uint64_t x = 88172645463325252u;
	char key[24];

	for (uint64_t i = 0; f != NULL && i < keys; i++) {
		struct record *r = kvstore_record_new(8, VALUE_LEN, 0);

		if (r == NULL)
			die("state", -ENOMEM);
		(void)snprintf(key, sizeof(key), "%08llu",
		    (unsigned long long)(i % 100000000));
		memcpy(r->bytes, key, 8);
		for (int k = 0; k < VALUE_LEN; k++) {
			if (k % 10 == 0) {
				x ^= x << 13;
				x ^= x >> 7;
				x ^= x << 17;
			}
			r->bytes[8 + k] =
			    (uint8_t)digit[x >> (6 * (k % 10)) & 63];
		}
		r->create_rev = r->mod_rev = ++f->rev;
		r->version = 1;
		if (kvstore_enter(f, r) < 0)
			die("state", -ENOMEM);
	}
	if (f == NULL)
		die("state", -ENOMEM);
	f->floor = f->rev;
	f->applied = 1;
	return f;
}

struct bytes {
	uint8_t *p;
	size_t len, cap;
};

static int
gather(void *ctx, const void *data, size_t len)
{
	struct bytes *b = ctx;

	if (len > b->cap - b->len) {
		b->cap = 2 * (b->cap + len);
		b->p = realloc(b->p, b->cap);
		if (b->p == NULL)
			return -ENOMEM;
	}
	memcpy(b->p + b->len, data, len);
	b->len += len;
	return 0;
}

/* ---- what others do alone ------------------------------------------------ */

static size_t
bench_zstd(const struct bytes *plain)
{
	size_t bound = ZSTD_compressBound(SNAP_BLOCK_LEN), total = 0, n;
	size_t blocks = plain->len / SNAP_BLOCK_LEN + 1;
	uint8_t *out = malloc(bound * blocks), *back = malloc(SNAP_BLOCK_LEN);
	size_t *len = calloc(blocks, sizeof(*len));
	ZSTD_CCtx *c = ZSTD_createCCtx();
	ZSTD_DCtx *d = ZSTD_createDCtx();
	struct clock t;

	if (out == NULL || back == NULL || len == NULL || c == NULL ||
	    d == NULL)
		die("zstd", -ENOMEM);
	t = start();
	for (size_t i = 0, at = 0; at < plain->len; i++, at += n) {
		n = plain->len - at;
		n = n < SNAP_BLOCK_LEN ? n : SNAP_BLOCK_LEN;
		len[i] = ZSTD_compressCCtx(
		    c, out + i * bound, bound, plain->p + at, n, 1);
		if (ZSTD_isError(len[i]))
			die("zstd", -EINVAL);
		total += len[i];
	}
	figure("zstd", t);
	t = start();
	for (size_t i = 0; i < blocks && len[i] > 0; i++) {
		n = ZSTD_decompressDCtx(
		    d, back, SNAP_BLOCK_LEN, out + i * bound, len[i]);
		if (ZSTD_isError(n))
			die("zstd", -EINVAL);
	}
	figure("unzstd", t);
	(void)ZSTD_freeCCtx(c);
	(void)ZSTD_freeDCtx(d);
	free(out);
	free(back);
	free(len);
	return total;
}

static void
bench_disk(const struct bytes *plain, size_t bytes)
{
	char path[600];
	uint8_t *buf = malloc(SNAP_BLOCK_LEN);
	struct clock t;
	int fd;

	(void)snprintf(path, sizeof(path), "%s/disk", scratch);
	fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0 || buf == NULL)
		die(path, -errno);
	(void)unlink(path);
	t = start();
	for (size_t at = 0, n; at < bytes; at += n) {
		n = bytes - at < SNAP_BLOCK_LEN ? bytes - at : SNAP_BLOCK_LEN;
		if (write(fd, plain->p + at, n) != (ssize_t)n)
			die("write", -errno);
	}
	if (fdatasync(fd) < 0)
		die("fdatasync", -errno);
	figure("disk_write", t);
	t = start();
	for (size_t at = 0; at < bytes; at += SNAP_BLOCK_LEN)
		if (pread(fd, buf, SNAP_BLOCK_LEN, (off_t)at) <= 0)
			die("pread", -errno);
	figure("disk_read", t);
	close(fd);
	free(buf);
}

/* ---- ours ---------------------------------------------------------------- */

static int
fill(void *ctx, struct snap_writer *w)
{
	return kv_ops.save(ctx, snap_write, w);
}

static int
use(void *ctx, struct snap_reader *r)
{
	return kv_ops.load(ctx, snap_read, r);
}

static void
save(struct fsm *f, uint64_t index)
{
	static const uint8_t config[1] = {0x80};
	struct snap_meta m = {.group = 1,
	    .index = index,
	    .term = 1,
	    .config_index = 1,
	    .config = config,
	    .config_len = sizeof(config)};
	int error = snap_save(&disk, &m, 0, fill, f, NULL);

	if (error < 0)
		die("snapshot", error);
}

static void
bench_ours(struct fsm *f)
{
	struct fsm *other = kv_ops.new(1);
	struct errtext et = {""};
	struct clock t = start();
	int error;

	save(f, 1);
	figure("snapshot", t);
	t = start();
	error = snap_load(&disk, PATH, NULL, NULL, NULL, NULL, &et);
	if (error < 0)
		die(et.text, error);
	figure("verify", t);
	t = start();
	error = snap_load_once(&disk, PATH, use, other, NULL, &et);
	if (error < 0)
		die(et.text, error);
	figure("load", t);
	save(other, 2);
	figure("restore", t);
	kv_ops.free(other);
	(void)disk.ops->unlink(disk.ctx, PATH);
	(void)disk.ops->unlink(disk.ctx, "snap/1-1-2.snap");
}

static int
compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* What the child does takes long enough to be a whole process of its own. */
static void
bench_fork(json_t *o)
{
	double began[FORKS], ended[FORKS], cpu[FORKS];

	for (int i = 0; i < FORKS; i++) {
		uint64_t t = read_clock(CLOCK_MONOTONIC);
		uint64_t c = read_clock(CLOCK_PROCESS_CPUTIME_ID);
		pid_t pid = fork();

		if (pid == 0)
			_exit(0);
		if (pid < 0)
			die("fork", -errno);
		cpu[i] =
		    (double)(read_clock(CLOCK_PROCESS_CPUTIME_ID) - c) / 1e6;
		began[i] = (double)(read_clock(CLOCK_MONOTONIC) - t) / 1e6;
		(void)waitpid(pid, NULL, 0);
		ended[i] = (double)(read_clock(CLOCK_MONOTONIC) - t) / 1e6;
	}
	qsort(began, FORKS, sizeof(began[0]), compare);
	qsort(ended, FORKS, sizeof(ended[0]), compare);
	qsort(cpu, FORKS, sizeof(cpu[0]), compare);
	json_object_set_new(o, "fork_ms",
	    json_pack("{s:f,s:f,s:f}", "median", began[FORKS / 2], "worst",
		began[FORKS - 1], "cpu", cpu[FORKS / 2]));
	json_object_set_new(o, "end_ms",
	    json_pack("{s:f,s:f}", "median", ended[FORKS / 2], "worst",
		ended[FORKS - 1]));
}

int
main(int argc, char **argv)
{
	uint64_t keys = argc > 1 ? strtoull(argv[1], NULL, 10) : 1000000;
	struct bytes plain = {0};
	struct errtext et = {""};
	struct fsm *f;
	char sub[600];
	size_t packed;
	json_t *o;

	(void)snprintf(scratch, sizeof(scratch), "%s/bench_snap.XXXXXX",
	    argc > 2 ? argv[2] : ".");
	if (keys == 0 || mkdtemp(scratch) == NULL)
		die(scratch, -errno);
	if (disk_real_open(scratch, false, false, &disk, &et) != 0)
		die(et.text, -EIO);
	mb_s = json_object();
	cpu_mb_s = json_object();
	o = json_pack("{s:s,s:I,s:i,s:o,s:o}", "bench", "snap", "keys",
	    (json_int_t)keys, "value_bytes", VALUE_LEN, "mb_s", mb_s,
	    "cpu_mb_s", cpu_mb_s);
	f = make_state(keys);
	bench_fork(o);
	if (kv_ops.save(f, gather, &plain) < 0)
		die("save", -ENOMEM);
	plain_len = plain.len;
	packed = bench_zstd(&plain);
	json_object_set_new(
	    o, "plain_bytes", json_integer((json_int_t)plain_len));
	json_object_set_new(o, "file_bytes", json_integer((json_int_t)packed));
	bench_disk(&plain, packed);
	free(plain.p);
	bench_ours(f);
	(void)json_dumpf(o, stdout, JSON_COMPACT | JSON_REAL_PRECISION(5));
	(void)putchar('\n');
	json_decref(o);
	kv_ops.free(f);
	disk_real_close(&disk);
	(void)snprintf(sub, sizeof(sub), "%s/snap", scratch);
	(void)rmdir(sub);
	return rmdir(scratch) < 0;
}
