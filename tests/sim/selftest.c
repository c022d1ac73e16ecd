/*
 * selftest.c - the simulator's own parts against what their headers say.
 */
#include "tests/sim/selftest.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "tests/sim/events.h"
#include "tests/sim/model.h"
#include "tests/sim/prng.h"
#include "tests/sim/simdisk.h"

static unsigned failures, passed;

#define OK(cond) ok((cond), #cond, __func__, __LINE__)

static void
ok(bool good, const char *what, const char *func, int line)
{
	if (good) {
		passed++;
		return;
	}
	failures++;
	printf("selftest: %s line %d: %s\n", func, line, what);
}

static void
test_streams_are_independent(void)
{
	struct prng a, b, c;
	uint64_t first;

	prng_init(&a, 7, PRNG_NET);
	prng_init(&b, 7, PRNG_DISK);
	prng_init(&c, 7, PRNG_NET);
	first = prng_next(&a);
	OK(first == prng_next(&c));
	OK(first != prng_next(&b));
	for (int i = 0; i < 1000; i++) {
		OK(prng_below(&a, 10) < 10);
		OK(prng_range(&a, 5, 6) >= 5 && prng_range(&a, 5, 6) <= 6);
	}
	OK(!prng_ppm(&a, 0) && prng_ppm(&a, 1000000));
}

static void
test_exponential_has_its_mean(void)
{
	struct prng p;
	uint64_t sum = 0, n = 100000;

	prng_init(&p, 3, 1);
	for (uint64_t i = 0; i < n; i++)
		sum += prng_exp(&p, 10000);
	OK(sum / n > 9000 && sum / n < 11000);
	OK(prng_exp(&p, 0) == 0);
}

static void
test_events_in_order(void)
{
	struct events e;
	struct event ev;
	struct prng p;
	uint64_t at = 0, seq = 0;
	unsigned n = 0;

	events_init(&e);
	prng_init(&p, 5, 1);
	for (unsigned i = 0; i < 5000; i++)
		events_add(&e, prng_below(&p, 300), 0, 0, i, 0);
	while (events_next(&e, &ev)) {
		OK(ev.at > at || (ev.at == at && (n == 0 || ev.seq > seq)));
		at = ev.at;
		seq = ev.seq;
		n++;
	}
	OK(n == 5000);
	events_release(&e);
}

/* ---- the disk ----------------------------------------------------------- */

static struct disk_file *
file(struct disk *d, const char *path, int flags)
{
	struct disk_file *f = NULL;

	OK(d->ops->open(d->ctx, path, flags, &f) == 0);
	return f;
}

static void
put(struct disk *d, struct disk_file *f, uint64_t at, char c, size_t len)
{
	static char buf[20000];

	memset(buf, c, len);
	OK(d->ops->write(d->ctx, f, buf, len, at) == 0);
}

/* The byte all of [at, at+len) holds, -1 if they differ, -2 if short. */
static int
get(struct disk *d, struct disk_file *f, uint64_t at, size_t len)
{
	static char buf[20000];

	if (d->ops->read(d->ctx, f, buf, len, at) != (int64_t)len)
		return -2;
	for (size_t i = 1; i < len; i++)
		if (buf[i] != buf[0])
			return -1;
	return buf[0];
}

static void
test_disk_keeps_what_was_synced(void)
{
	for (uint64_t seed = 0; seed < 50; seed++) {
		struct simdisk *s = simdisk_new(seed, 0);
		struct disk *d = simdisk_table(s);
		struct disk_file *f = file(d, "a", DISK_WRITE | DISK_CREATE);

		put(d, f, 0, 'x', 10000);
		OK(d->ops->sync(d->ctx, f) == 0);
		OK(d->ops->sync_dir(d->ctx, ".") == 0);
		OK(!simdisk_dirty(s));
		simdisk_crash(s, true);
		f = file(d, "a", DISK_READ);
		OK(get(d, f, 0, 10000) == 'x');
		simdisk_free(s);
	}
}

static void
test_disk_crash_is_by_sector(void)
{
	bool old = false, new = false, mixed = false;

	for (uint64_t seed = 0; seed < 200; seed++) {
		struct simdisk *s = simdisk_new(seed, 0);
		struct disk *d = simdisk_table(s);
		struct disk_file *f = file(d, "a", DISK_WRITE | DISK_CREATE);
		unsigned olds = 0, news = 0;

		put(d, f, 0, 'o', 8192);
		(void)d->ops->sync(d->ctx, f);
		(void)d->ops->sync_dir(d->ctx, ".");
		put(d, f, 0, 'n', 8192);
		OK(get(d, f, 0, 8192) == 'n');
		simdisk_crash(s, true);
		f = file(d, "a", DISK_READ);
		for (unsigned i = 0; i < 16; i++) {
			int c = get(d, f, i * 512, 512);

			OK(c == 'o' || c == 'n');
			olds += c == 'o';
			news += c == 'n';
		}
		old |= news == 0;
		new |= olds == 0;
		mixed |= olds > 0 && news > 0;
		simdisk_free(s);
	}
	OK(old && new &&mixed);
}

static void
test_disk_kill_loses_nothing(void)
{
	struct simdisk *s = simdisk_new(1, 0);
	struct disk *d = simdisk_table(s);
	struct disk_file *f = file(d, "a", DISK_WRITE | DISK_CREATE);

	put(d, f, 100, 'x', 100);
	simdisk_crash(s, false);
	f = file(d, "a", DISK_READ);
	OK(get(d, f, 100, 100) == 'x');
	OK(get(d, f, 0, 100) == 0);
	OK(simdisk_dirty(s));
	simdisk_free(s);
}

static void
test_disk_names_need_sync_dir(void)
{
	unsigned there = 0, torn = 0;

	for (uint64_t seed = 0; seed < 100; seed++) {
		struct simdisk *s = simdisk_new(seed, 0);
		struct disk *d = simdisk_table(s);
		struct disk_file *f = file(d, "t", DISK_WRITE | DISK_CREATE);
		struct disk_file *g;
		bool from, to;

		put(d, f, 0, 'x', 10);
		(void)d->ops->sync(d->ctx, f);
		(void)d->ops->sync_dir(d->ctx, ".");
		OK(d->ops->rename(d->ctx, "t", "u") == 0);
		simdisk_crash(s, true);
		from = d->ops->open(d->ctx, "t", DISK_READ, &g) == 0;
		to = d->ops->open(d->ctx, "u", DISK_READ, &g) == 0;
		OK(from != to);
		there += to;
		torn += from;
		simdisk_free(s);
	}
	OK(there > 0 && torn > 0);
}

static void
test_disk_failed_sync_drops_pages(void)
{
	struct simdisk *s = simdisk_new(1, 0);
	struct disk *d = simdisk_table(s);
	struct disk_file *f = file(d, "a", DISK_WRITE | DISK_CREATE);

	put(d, f, 0, 'o', 512);
	(void)d->ops->sync(d->ctx, f);
	(void)d->ops->sync_dir(d->ctx, ".");
	put(d, f, 0, 'n', 512);
	simdisk_fail_sync(s, 0);
	OK(d->ops->sync(d->ctx, f) == -EIO);
	OK(d->ops->sync(d->ctx, f) == 0); /* and means nothing */
	OK(get(d, f, 0, 512) == 'n');
	simdisk_crash(s, true);
	f = file(d, "a", DISK_READ);
	OK(get(d, f, 0, 512) == 'o');
	simdisk_free(s);
}

static void
test_disk_freeze_is_a_death(void)
{
	struct simdisk *s = simdisk_new(1, 0);
	struct disk *d = simdisk_table(s);
	struct disk_file *f = file(d, "a", DISK_WRITE | DISK_CREATE);

	simdisk_freeze_after(s, 1);
	put(d, f, 0, 'x', 512);
	OK(d->ops->sync(d->ctx, f) == -EIO);
	OK(simdisk_frozen(s));
	OK(d->ops->write(d->ctx, f, "y", 1, 0) == -EIO);
	simdisk_crash(s, false);
	f = file(d, "a", DISK_READ);
	OK(get(d, f, 0, 512) == 'x');
	simdisk_free(s);
}

static void
test_disk_sparse_and_bounded(void)
{
	struct simdisk *s = simdisk_new(1, 0);
	struct disk *d = simdisk_table(s);
	struct disk_file *f = file(d, "a", DISK_WRITE | DISK_CREATE);
	uint64_t size;

	OK(d->ops->truncate(d->ctx, f, 64 << 20) == 0);
	for (uint64_t at = 0; at < 1 << 20; at += 10000)
		put(d, f, at, 0, 10000);
	OK(simdisk_memory(s) == 0);
	OK(d->ops->size(d->ctx, f, &size) == 0 && size == 64 << 20);
	simdisk_space(s, 1000);
	OK(d->ops->truncate(d->ctx, f, (64 << 20) + 2000) == -ENOSPC);
	OK(d->ops->truncate(d->ctx, f, (64 << 20) + 1000) == 0);
	put(d, f, 0, 'x', 4096);
	OK(simdisk_memory(s) == 4096);
	simdisk_free(s);
}

static void
test_disk_clone_is_durable_only(void)
{
	struct simdisk *s = simdisk_new(1, 0), *c;
	struct disk *d = simdisk_table(s);
	struct disk_file *f = file(d, "a", DISK_WRITE | DISK_CREATE);

	put(d, f, 0, 'o', 1024);
	(void)d->ops->sync(d->ctx, f);
	(void)d->ops->sync_dir(d->ctx, ".");
	put(d, f, 512, 'n', 512);
	c = simdisk_clone(s, 2, 0);
	OK(simdisk_hash(c) == simdisk_hash(s));
	f = file(simdisk_table(c), "a", DISK_READ);
	OK(get(simdisk_table(c), f, 0, 1024) == 'o');
	simdisk_free(c);
	simdisk_free(s);
}

/* ---- the model ---------------------------------------------------------- */

static size_t
command(struct mp_buf *b, const char *value, const char *if_value)
{
	mp_buf_reset(b);
	mp_put_str(b, "put");
	mp_put_array(b, if_value != NULL ? 3 : 2);
	mp_put_bin(b, "k3", 2);
	mp_put_bin(b, value, strlen(value));
	if (if_value != NULL) {
		mp_put_map(b, 1);
		mp_put_kv_bin(b, "if_value", if_value, strlen(if_value));
	}
	return b->len;
}

static void
test_model_judges_reads(void)
{
	struct model *m = model_new();
	struct model_result r;
	struct model_command c;
	struct mp_buf b;
	const uint8_t *o1 = (const uint8_t *)"o1.";
	const uint8_t *o2 = (const uint8_t *)"o2.";

	mp_buf_init(&b);
	model_apply(m, 1, NULL, 0, &r);
	(void)command(&b, "o1.", NULL);
	model_parse(b.data, b.len, &c);
	OK(c.known && c.op == 1);
	model_apply(m, 2, b.data, b.len, &r);
	OK(r.succeeded && r.rev == 1);
	(void)command(&b, "o3.", "nothing");
	model_apply(m, 3, b.data, b.len, &r);
	OK(!r.succeeded && r.rev == 1);
	(void)command(&b, "o2.", "o1.");
	model_apply(m, 4, b.data, b.len, &r);
	OK(r.succeeded && r.rev == 2);
	OK(model_when(m, 3, true, o1, 3, 0) == 2);
	OK(model_when(m, 3, true, o1, 3, 3) == 3);
	OK(model_when(m, 3, true, o1, 3, 4) == 0); /* too old */
	OK(model_when(m, 3, true, o2, 3, 2) == 4);
	OK(model_when(m, 3, false, NULL, 0, 1) == 1);
	OK(model_when(m, 3, false, NULL, 0, 2) == 0);
	OK(model_key_op(m, 3) == 2);
	mp_buf_release(&b);
	model_free(m);
}

int
selftest(void)
{
	test_streams_are_independent();
	test_exponential_has_its_mean();
	test_events_in_order();
	test_disk_keeps_what_was_synced();
	test_disk_crash_is_by_sector();
	test_disk_kill_loses_nothing();
	test_disk_names_need_sync_dir();
	test_disk_failed_sync_drops_pages();
	test_disk_freeze_is_a_death();
	test_disk_sparse_and_bounded();
	test_disk_clone_is_durable_only();
	test_model_judges_reads();
	printf("%u passed, %u failed\n", passed, failures);
	return failures > 0 ? 1 : 0;
}
