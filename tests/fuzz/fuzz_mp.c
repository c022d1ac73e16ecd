/*
 * fuzz_mp.c - any bytes before the scanner, the cursor and the parser of
 * msgpack-c.
 *
 * A scan in pieces must end as one of the whole; what was scanned must be
 * readable to its last byte, by the cursor and as a tree; packed again it
 * must be a value that packs to itself.
 */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "raftctl/mp.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
must(bool condition)
{
	if (!condition)
		abort();
}

/* Feed in steps; steps of 0: all at once. */
static int
scan_in_steps(
    const uint8_t *data, size_t size, size_t len_max, size_t step, size_t *len)
{
	struct mp_scan s;
	size_t have = step == 0 ? size : 0;
	int r;

	mp_scan_init(&s, len_max, 1000);
	while ((r = mp_scan_feed(&s, data, have, len)) == 0 && have < size)
		have = size - have < step ? size : have + step;
	return r;
}

static void
check_scan(const uint8_t *data, size_t size, size_t step, size_t len_max)
{
	size_t len = 0, len_in_steps = 0;
	int r, r_in_steps;

	r = scan_in_steps(data, size, len_max, 0, &len);
	r_in_steps = scan_in_steps(data, size, len_max, step, &len_in_steps);
	must(r == r_in_steps && len == len_in_steps);
	must(r == 0 || r == 1 || r == -EPROTO || r == -E2BIG);
	if (r == 1) {
		must(len > 0 && len <= size && len <= len_max);
		must(mp_scan(data, len) == 0);
	}
}

/* One value from the cursor, packed again. */
static void
repack(struct mp_cur *c, struct mp_buf *b, bool *has_float)
{
	struct mp_span s;
	uint32_t count = 0;
	uint64_t u;
	int64_t i;
	double d;
	bool is;

	switch (mp_peek(c)) {
	case MP_NIL:
		must(mp_read_nil(c) == 0);
		mp_put_nil(b);
		return;
	case MP_BOOL:
		must(mp_read_bool(c, &is) == 0);
		mp_put_bool(b, is);
		return;
	case MP_UINT:
		must(mp_read_u64(c, &u) == 0);
		mp_put_u64(b, u);
		return;
	case MP_INT:
		must(mp_read_i64(c, &i) == 0 && i < 0);
		mp_put_i64(b, i);
		return;
	case MP_FLOAT:
		must(mp_read_double(c, &d) == 0);
		mp_put_double(b, d);
		*has_float = true;
		return;
	case MP_STR:
		must(mp_read_bytes(c, &s) == 0);
		mp_put_strn(b, s.p, s.len);
		return;
	case MP_BIN:
		must(mp_read_bytes(c, &s) == 0);
		mp_put_bin(b, s.p, s.len);
		return;
	case MP_ARRAY:
		must(mp_read_array(c, &count) == 0);
		mp_put_array(b, count);
		break;
	case MP_MAP:
		must(mp_read_map(c, &count) == 0);
		mp_put_map(b, count);
		count *= 2;
		break;
	case MP_INVALID:
		abort();
	}
	for (uint32_t n = 0; n < count; n++)
		repack(c, b, has_float);
}

static int
write_tree(void *ctx, const char *p, size_t len)
{
	mp_put_raw(ctx, p, len);
	return 0;
}

static bool
same(const struct mp_buf *a, const struct mp_buf *b)
{
	return a->len == b->len && memcmp(a->data, b->data, a->len) == 0;
}

/* msgpack-c reads the same value as the cursor does. */
static void
check_tree(const uint8_t *data, size_t size, const struct mp_buf *packed)
{
	msgpack_zone zone;
	msgpack_object o;
	msgpack_packer pk;
	struct mp_buf b;

	mp_buf_init(&b);
	must(msgpack_zone_init(&zone, 1024));
	must(mp_tree(data, size, &zone, &o) == 0);
	msgpack_packer_init(&pk, &b, write_tree);
	must(msgpack_pack_object(&pk, o) == 0);
	must(same(&b, packed));
	msgpack_zone_destroy(&zone);
	mp_buf_release(&b);
}

static void
check_value(const uint8_t *data, size_t size)
{
	struct mp_cur c = mp_cur(data, size);
	struct mp_buf once, twice;
	bool has_float = false;

	mp_buf_init(&once);
	mp_buf_init(&twice);
	must(mp_skip(&c) == 0 && mp_done(&c));
	c = mp_cur(data, size);
	repack(&c, &once, &has_float);
	must(mp_done(&c) && !once.failed && once.len > 0);
	must(mp_scan(once.data, once.len) == 0);
	c = mp_cur(once.data, once.len);
	repack(&c, &twice, &has_float);
	must(same(&once, &twice));
	if (!has_float) /* msgpack-c keeps the width of a float */
		check_tree(data, size, &once);
	mp_buf_release(&once);
	mp_buf_release(&twice);
}

/* Getters on bytes that nobody scanned. */
static void
poke(const uint8_t *data, size_t size)
{
	static const char *const keys[] = {"a", "key", "value", ""};
	struct mp_cur c = mp_cur(data, size);
	struct mp_map m;
	struct mp_span s;
	uint64_t u;
	bool b;

	for (int i = 0; i < 4 && !mp_done(&c); i++) {
		if (mp_read_mapping(&c, &m) < 0) {
			if (mp_read_raw(&c, &s) < 0)
				return;
			must(s.p >= data && s.p + s.len <= data + size);
			continue;
		}
		for (size_t k = 0; k < sizeof(keys) / sizeof(keys[0]); k++) {
			(void)mp_get_u64(&m, keys[k], &u);
			(void)mp_opt_u64(&m, keys[k], &u);
			(void)mp_opt_bool(&m, keys[k], &b);
			if (mp_get_bytes(&m, keys[k], &s, 100) == 0)
				must(s.len <= 100 && s.p >= data &&
				     s.p + s.len <= data + size);
		}
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t step, len_max;

	if (size < 2)
		return 0;
	step = 1 + data[0] % 16;
	len_max = data[1] == 0 ? SIZE_MAX : (size_t)data[1] * 4;
	data += 2;
	size -= 2;
	check_scan(data, size, step, len_max);
	if (mp_scan(data, size) == 0)
		check_value(data, size);
	poke(data, size);
	return 0;
}
