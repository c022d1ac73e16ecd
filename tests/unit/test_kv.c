/*
 * test_kv.c - the key-value store's methods, one behaviour each.
 *
 * What random operations do to it is compared with a model in
 * test_kvmodel.c.
 */
#include <check.h>
#include <stdio.h>

#include "tests/unit/kvhelp.h"

static struct kvhelp h;

static void
setup(void)
{
	kvhelp_init(&h);
}

static void
teardown(void)
{
	kvhelp_release(&h);
}

/* An answer, or a record, as a map; it must be one whole value. */
static struct mp_map
answer(void)
{
	struct mp_cur c = mp_cur(h.reply.data, h.reply.len);
	struct mp_map m;

	ck_assert(!h.reply.failed);
	ck_assert_int_eq(mp_scan(h.reply.data, h.reply.len), 0);
	ck_assert_int_eq(mp_read_mapping(&c, &m), 0);
	ck_assert(mp_done(&c));
	return m;
}

static uint64_t
u64_of(const struct mp_map *m, const char *key)
{
	uint64_t v = 0;

	ck_assert_int_eq(mp_get_u64(m, key, &v), 0);
	return v;
}

static bool
bool_of(const struct mp_map *m, const char *key)
{
	bool v = false;

	ck_assert_int_eq(mp_get_bool(m, key, &v), 0);
	return v;
}

static void
assert_value(const struct mp_map *record, const void *value, size_t len)
{
	struct mp_span s;

	ck_assert_int_eq(mp_get_bytes(record, "value", &s, SIZE_MAX), 0);
	ck_assert_uint_eq(s.len, len);
	ck_assert_mem_eq(s.p, value, len);
}

/* params = [key, value, {as many options as follow}] */
static struct mp_buf *
put_params(const void *key, size_t key_len, const void *value, size_t value_len,
    uint32_t options)
{
	mp_buf_reset(&h.params);
	mp_put_array(&h.params, options > 0 ? 3 : 2);
	mp_put_bin(&h.params, key, key_len);
	mp_put_bin(&h.params, value, value_len);
	if (options > 0)
		mp_put_map(&h.params, options);
	return &h.params;
}

static struct mp_buf *
key_params(const char *key, uint32_t options)
{
	mp_buf_reset(&h.params);
	mp_put_array(&h.params, options > 0 ? 2 : 1);
	mp_put_str(&h.params, key);
	if (options > 0)
		mp_put_map(&h.params, options);
	return &h.params;
}

static void
put(const char *key, const char *value)
{
	put_params(key, strlen(key), value, strlen(value), 0);
	ck_assert_int_eq(kvhelp_apply(&h, "put"), WIRE_OK);
}

static void
del(const char *key)
{
	key_params(key, 0);
	ck_assert_int_eq(kvhelp_apply(&h, "delete"), WIRE_OK);
}

/* false: absent */
static bool
get(const char *key, struct mp_map *record)
{
	struct mp_cur c;

	key_params(key, 0);
	ck_assert_int_eq(kvhelp_query(&h, "get"), WIRE_OK);
	c = mp_cur(h.reply.data, h.reply.len);
	if (mp_read_nil(&c) == 0)
		return false;
	*record = answer();
	return true;
}

static void
assert_record(const char *key, const char *value, uint64_t create_rev,
    uint64_t mod_rev, uint64_t version)
{
	struct mp_map m;

	ck_assert(get(key, &m));
	assert_value(&m, value, strlen(value));
	ck_assert_uint_eq(u64_of(&m, "create_rev"), create_rev);
	ck_assert_uint_eq(u64_of(&m, "mod_rev"), mod_rev);
	ck_assert_uint_eq(u64_of(&m, "version"), version);
	ck_assert_uint_eq(u64_of(&m, "lease"), 0);
	ck_assert_uint_eq(u64_of(&m, "group"), 1);
}

/* What the last command says: succeeded, and at which revision. */
static struct mp_map
assert_outcome(bool succeeded, uint64_t rev)
{
	struct mp_map m = answer();

	ck_assert_int_eq(bool_of(&m, "succeeded"), succeeded);
	ck_assert_uint_eq(u64_of(&m, "rev"), rev);
	ck_assert_uint_eq(u64_of(&m, "group"), 1);
	ck_assert(!bool_of(&m, "duplicate"));
	ck_assert_uint_eq(kv_ops.rev(h.f), rev);
	return m;
}

static bool
prev_of(const struct mp_map *m, struct mp_map *record)
{
	struct mp_cur c;

	ck_assert_int_eq(mp_get(m, "prev", &c), 0);
	return mp_read_mapping(&c, record) == 0;
}

START_TEST(test_put_then_get_gives_the_record)
{
	struct mp_map m;

	put("k", "v");
	m = assert_outcome(true, 1);
	ck_assert(!prev_of(&m, &m));
	assert_record("k", "v", 1, 1, 1);
}
END_TEST

START_TEST(test_get_of_an_absent_key_is_nil)
{
	struct mp_map m;

	ck_assert(!get("k", &m));
	put("k2", "v");
	ck_assert(!get("k", &m));
}
END_TEST

START_TEST(test_update_keeps_create_rev_and_counts_versions)
{
	put("k", "1");
	put("other", "x");
	put("k", "2");
	assert_record("k", "2", 1, 3, 2);
}
END_TEST

START_TEST(test_a_key_created_again_starts_over)
{
	struct mp_map m;

	put("k", "1");
	put("k", "2");
	del("k");
	m = assert_outcome(true, 3);
	ck_assert_uint_eq(u64_of(&m, "deleted"), 1);
	ck_assert(!get("k", &m));
	put("k", "3");
	assert_record("k", "3", 4, 4, 1);
}
END_TEST

START_TEST(test_keys_and_values_hold_every_byte)
{
	uint8_t bytes[256], key[256];
	struct mp_map m;
	unsigned i;

	for (i = 0; i < sizeof(bytes); i++)
		bytes[i] = key[i] = (uint8_t)i;
	put_params(key, sizeof(key), bytes, sizeof(bytes), 0);
	ck_assert_int_eq(kvhelp_apply(&h, "put"), WIRE_OK);
	mp_buf_reset(&h.params);
	mp_put_array(&h.params, 1);
	mp_put_bin(&h.params, key, sizeof(key));
	ck_assert_int_eq(kvhelp_query(&h, "get"), WIRE_OK);
	m = answer();
	assert_value(&m, bytes, sizeof(bytes));
	/* an empty value is not an absent key */
	put("empty", "");
	ck_assert(get("empty", &m));
	assert_value(&m, "", 0);
}
END_TEST

START_TEST(test_keys_that_differ_in_a_zero_byte_are_two)
{
	struct mp_map m;

	put("k", "short");
	put_params("k\0", 2, "long", 4, 0);
	ck_assert_int_eq(kvhelp_apply(&h, "put"), WIRE_OK);
	assert_record("k", "short", 1, 1, 1);
	mp_buf_reset(&h.params);
	mp_put_array(&h.params, 1);
	mp_put_bin(&h.params, "k\0", 2);
	ck_assert_int_eq(kvhelp_query(&h, "get"), WIRE_OK);
	m = answer();
	assert_value(&m, "long", 4);
}
END_TEST

static void
put_if_bool(const char *key, const char *value, const char *option, bool v)
{
	mp_put_kv_bool(
	    put_params(key, strlen(key), value, strlen(value), 1), option, v);
	ck_assert_int_eq(kvhelp_apply(&h, "put"), WIRE_OK);
}

static void
put_if_rev(const char *key, const char *value, uint64_t rev)
{
	mp_put_kv_u64(put_params(key, strlen(key), value, strlen(value), 1),
	    "if_rev", rev);
	ck_assert_int_eq(kvhelp_apply(&h, "put"), WIRE_OK);
}

static void
put_if_value(const char *key, const char *value, const char *expected)
{
	mp_put_kv_bin(put_params(key, strlen(key), value, strlen(value), 1),
	    "if_value", expected, strlen(expected));
	ck_assert_int_eq(kvhelp_apply(&h, "put"), WIRE_OK);
}

START_TEST(test_if_absent_stores_once)
{
	struct mp_map m, prev;

	put_if_bool("k", "1", "if_absent", true);
	assert_outcome(true, 1);
	put_if_bool("k", "2", "if_absent", true);
	m = assert_outcome(false, 1);
	ck_assert(prev_of(&m, &prev));
	assert_value(&prev, "1", 1);
	assert_record("k", "1", 1, 1, 1);
	put_if_bool("k", "3", "if_absent", false);
	assert_outcome(true, 2);
}
END_TEST

START_TEST(test_if_absent_holds_after_a_delete)
{
	put("k", "1");
	del("k");
	put_if_bool("k", "2", "if_absent", true);
	assert_outcome(true, 3);
}
END_TEST

START_TEST(test_if_rev_compares_with_mod_rev)
{
	struct mp_map m, prev;

	put("k", "1");
	put("x", "");
	put_if_rev("k", "2", 2);
	m = assert_outcome(false, 2);
	ck_assert(prev_of(&m, &prev));
	ck_assert_uint_eq(u64_of(&prev, "mod_rev"), 1);
	put_if_rev("k", "2", 1);
	assert_outcome(true, 3);
	put_if_rev("k", "3", 1); /* create_rev is not what counts */
	assert_outcome(false, 3);
	assert_record("k", "2", 1, 3, 2);
}
END_TEST

START_TEST(test_if_rev_0_means_absent)
{
	struct mp_map m;

	put_if_rev("k", "1", 0);
	assert_outcome(true, 1);
	put_if_rev("k", "2", 0);
	assert_outcome(false, 1);
	del("k");
	put_if_rev("k", "2", 0);
	assert_outcome(true, 3);
	put_if_rev("absent", "2", 5);
	m = assert_outcome(false, 3);
	ck_assert(!prev_of(&m, &m));
}
END_TEST

START_TEST(test_if_value_compares_bytes)
{
	put_if_value("k", "1", "");
	assert_outcome(false, 0); /* absent is not empty */
	put("k", "1");
	put_if_value("k", "2", "10");
	assert_outcome(false, 1);
	put_if_value("k", "2", "1");
	assert_outcome(true, 2);
	put("k", "");
	put_if_value("k", "4", "");
	assert_outcome(true, 4);
}
END_TEST

START_TEST(test_conditions_are_anded)
{
	struct mp_buf *p;

	put("k", "1");
	p = put_params("k", 1, "2", 1, 2);
	mp_put_kv_u64(p, "if_rev", 1);
	mp_put_kv_bin(p, "if_value", "other", 5);
	ck_assert_int_eq(kvhelp_apply(&h, "put"), WIRE_OK);
	assert_outcome(false, 1);
	p = put_params("k", 1, "2", 1, 2);
	mp_put_kv_u64(p, "if_rev", 1);
	mp_put_kv_bin(p, "if_value", "1", 1);
	ck_assert_int_eq(kvhelp_apply(&h, "put"), WIRE_OK);
	assert_outcome(true, 2);
}
END_TEST

START_TEST(test_if_changed_with_an_equal_value_changes_nothing)
{
	put_if_bool("k", "1", "if_changed", true);
	assert_outcome(true, 1);
	put_if_bool("k", "1", "if_changed", true);
	assert_outcome(true, 1);
	assert_record("k", "1", 1, 1, 1);
	put_if_bool("k", "2", "if_changed", true);
	assert_outcome(true, 2);
}
END_TEST

START_TEST(test_append_creates_and_extends)
{
	put_if_bool("k", "ab", "append", true);
	put_if_bool("k", "", "append", true);
	put_if_bool("k", "c", "append", true);
	assert_record("k", "abc", 1, 3, 3);
	del("k");
	put_if_bool("k", "d", "append", true);
	assert_record("k", "d", 5, 5, 1);
}
END_TEST

START_TEST(test_append_stops_at_the_longest_value)
{
	size_t half = WIRE_VALUE_LEN_MAX / 2 + 1;
	uint8_t *big = calloc(1, half);

	ck_assert_ptr_nonnull(big);
	put_params("k", 1, big, half, 0);
	ck_assert_int_eq(kvhelp_apply(&h, "put"), WIRE_OK);
	mp_put_kv_bool(put_params("k", 1, big, half, 1), "append", true);
	ck_assert_int_eq(kvhelp_apply(&h, "put"), WIRE_TOO_LARGE);
	ck_assert_ptr_nonnull(strstr(h.err.message, "67108866"));
	ck_assert_ptr_nonnull(strstr(h.err.message, "67108864"));
	ck_assert_uint_eq(h.reply.len, 0);
	ck_assert_uint_eq(kv_ops.rev(h.f), 1);
	ck_assert_uint_eq(kv_ops.applied(h.f), 2);
	free(big);
}
END_TEST

START_TEST(test_prev_is_what_stood_there)
{
	struct mp_map m, prev;

	put_if_bool("k", "1", "prev", true);
	m = assert_outcome(true, 1);
	ck_assert(!prev_of(&m, &prev));
	put_if_bool("k", "2", "prev", true);
	m = assert_outcome(true, 2);
	ck_assert(prev_of(&m, &prev));
	assert_value(&prev, "1", 1);
	mp_put_kv_bool(key_params("k", 1), "prev", true);
	ck_assert_int_eq(kvhelp_apply(&h, "delete"), WIRE_OK);
	m = assert_outcome(true, 3);
	ck_assert(prev_of(&m, &prev));
	assert_value(&prev, "2", 1);
	put_if_bool("k", "4", "prev", true);
	m = assert_outcome(true, 4);
	ck_assert(!prev_of(&m, &prev)); /* a tombstone is no record */
}
END_TEST

START_TEST(test_delete_of_an_absent_key_succeeds_and_takes_no_revision)
{
	struct mp_map m;

	put("k", "1");
	del("other");
	m = assert_outcome(true, 1);
	ck_assert_uint_eq(u64_of(&m, "deleted"), 0);
	del("k");
	del("k");
	m = assert_outcome(true, 2);
	ck_assert_uint_eq(u64_of(&m, "deleted"), 0);
}
END_TEST

START_TEST(test_delete_of_many_keys_is_one_revision)
{
	struct kv_stat s;
	struct mp_map m;

	put("a", "1");
	put("b", "2");
	put("c", "3");
	mp_buf_reset(&h.params);
	mp_put_array(&h.params, 1);
	mp_put_array(&h.params, 4);
	mp_put_str(&h.params, "a");
	mp_put_bin(&h.params, "c", 1);
	mp_put_str(&h.params, "absent");
	mp_put_str(&h.params, "a"); /* gone already */
	ck_assert_int_eq(kvhelp_apply(&h, "delete"), WIRE_OK);
	m = assert_outcome(true, 4);
	ck_assert_uint_eq(u64_of(&m, "deleted"), 2);
	kv_stat(h.f, &s);
	ck_assert_uint_eq(s.keys, 1);
	ck_assert_uint_eq(s.bytes, 2);
	assert_record("b", "2", 2, 2, 1);
}
END_TEST

START_TEST(test_delete_if_rev_keeps_a_newer_record)
{
	struct mp_map m, prev;

	put("k", "1");
	put("k", "2");
	mp_put_kv_u64(key_params("k", 1), "if_rev", 1);
	ck_assert_int_eq(kvhelp_apply(&h, "delete"), WIRE_OK);
	m = assert_outcome(false, 2);
	ck_assert_uint_eq(u64_of(&m, "deleted"), 0);
	ck_assert(prev_of(&m, &prev));
	assert_value(&prev, "2", 1);
	mp_put_kv_u64(key_params("k", 1), "if_rev", 2);
	ck_assert_int_eq(kvhelp_apply(&h, "delete"), WIRE_OK);
	m = assert_outcome(true, 3);
	ck_assert_uint_eq(u64_of(&m, "deleted"), 1);
}
END_TEST

/* ---- what is refused --------------------------------------------------- */

static enum wire_status
admit(const char *method)
{
	struct fsm_command c = {
	    .index = 1,
	    .method = mp_span(method, strlen(method)),
	    .params = mp_span(h.params.data, h.params.len),
	};

	memset(&h.err, 0, sizeof(h.err));
	return kv_ops.admit(&c, &h.err);
}

/* admit refuses it, and so does apply, which changes nothing but time. */
static void
assert_refused(const char *method, enum wire_status status, const char *text)
{
	struct fsm_digest before = kv_ops.digest(h.f), after;

	ck_assert_int_eq(admit(method), status);
	ck_assert_int_eq(h.err.status, status);
	ck_assert_msg(strstr(h.err.message, text) != NULL, "'%s' not in '%s'",
	    text, h.err.message);
	ck_assert_int_eq(kvhelp_apply(&h, method), status);
	ck_assert_uint_eq(h.reply.len, 0);
	ck_assert_uint_eq(kv_ops.applied(h.f), h.index);
	after = kv_ops.digest(h.f);
	ck_assert(before.hi == after.hi && before.lo == after.lo);
}

START_TEST(test_key_of_4096_bytes_is_the_longest)
{
	static const uint8_t key[WIRE_KEY_LEN_MAX + 1];

	kv_ops.advance(h.f, ++h.index, h.stamp);
	put_params(key, WIRE_KEY_LEN_MAX, "v", 1, 0);
	ck_assert_int_eq(kvhelp_apply(&h, "put"), WIRE_OK);
	put_params(key, WIRE_KEY_LEN_MAX + 1, "v", 1, 0);
	assert_refused("put", WIRE_TOO_LARGE, "4097 bytes, the limit is 4096");
	put_params(key, 0, "v", 1, 0);
	assert_refused("put", WIRE_USAGE, "key is empty");
}
END_TEST

START_TEST(test_an_unknown_option_is_refused_by_name)
{
	kv_ops.advance(h.f, ++h.index, h.stamp);
	mp_put_kv_bool(put_params("k", 1, "v", 1, 1), "if_absnet", true);
	assert_refused("put", WIRE_USAGE, "if_absnet");
	mp_put_kv_bool(put_params("k", 1, "v", 1, 1), "\xff\n%s", true);
	assert_refused("put", WIRE_USAGE, "no such option: '??%s'");
	mp_put_kv_bool(key_params("k", 1), "if_absent", true);
	assert_refused("delete", WIRE_USAGE, "if_absent");
	mp_put_kv_u64(key_params("k", 1), "limit", 1);
	ck_assert_int_eq(kvhelp_query(&h, "get"), WIRE_USAGE);
	mp_put_kv_bool(key_params("k", 1), "prev", true);
	ck_assert_int_eq(kvhelp_query(&h, "list"), WIRE_USAGE);
}
END_TEST

START_TEST(test_options_of_the_host_are_let_through)
{
	put("k", "v");
	mp_put_kv_str(key_params("k", 1), "read", "stale");
	ck_assert_int_eq(kvhelp_query(&h, "get"), WIRE_OK);
	mp_put_kv_u64(put_params("k", 1, "v", 1, 1), "group", 1);
	ck_assert_int_eq(kvhelp_apply(&h, "put"), WIRE_OK);
}
END_TEST

START_TEST(test_an_option_that_is_nil_is_not_given)
{
	put("k", "v");
	mp_put_kv_nil(put_params("k", 1, "w", 1, 1), "if_rev");
	ck_assert_int_eq(kvhelp_apply(&h, "put"), WIRE_OK);
	assert_outcome(true, 2);
}
END_TEST

START_TEST(test_options_of_the_wrong_kind_are_refused)
{
	struct mp_buf *p;

	kv_ops.advance(h.f, ++h.index, h.stamp);
	mp_put_kv_str(put_params("k", 1, "v", 1, 1), "if_rev", "1");
	assert_refused("put", WIRE_USAGE, "if_rev");
	mp_put_kv_u64(put_params("k", 1, "v", 1, 1), "if_absent", 1);
	assert_refused("put", WIRE_USAGE, "if_absent");
	p = put_params("k", 1, "v", 1, 2);
	mp_put_kv_u64(p, "if_rev", 1);
	mp_put_kv_u64(p, "if_rev", 2);
	assert_refused("put", WIRE_USAGE, "twice");
	p = put_params("k", 1, "v", 1, 0);
	mp_put_nil(p);
	assert_refused("put", WIRE_USAGE, "behind");
}
END_TEST

START_TEST(test_params_of_the_wrong_shape_are_refused)
{
	kv_ops.advance(h.f, ++h.index, h.stamp);
	mp_buf_reset(&h.params);
	mp_put_map(&h.params, 0);
	assert_refused("put", WIRE_USAGE, "array");
	mp_buf_reset(&h.params);
	mp_put_array(&h.params, 1);
	mp_put_str(&h.params, "k");
	assert_refused("put", WIRE_USAGE, "2 parameters");
	mp_buf_reset(&h.params);
	mp_put_array(&h.params, 2);
	mp_put_str(&h.params, "k");
	mp_put_u64(&h.params, 7);
	assert_refused("put", WIRE_USAGE, "value must be");
	mp_buf_reset(&h.params);
	mp_put_array(&h.params, 1);
	mp_put_array(&h.params, 0);
	assert_refused("delete", WIRE_USAGE, "no keys");
	mp_buf_reset(&h.params);
	assert_refused("delete", WIRE_USAGE, "array");
	key_params("k", 0);
	assert_refused("get", WIRE_METHOD, "get");
	assert_refused("decr", WIRE_METHOD, "decr");
}
END_TEST

START_TEST(test_delete_of_too_many_keys_is_refused)
{
	unsigned i;

	kv_ops.advance(h.f, ++h.index, h.stamp);
	mp_buf_reset(&h.params);
	mp_put_array(&h.params, 1);
	mp_put_array(&h.params, KV_DELETE_KEYS_MAX + 1);
	for (i = 0; i <= KV_DELETE_KEYS_MAX; i++)
		mp_put_str(&h.params, "k");
	assert_refused("delete", WIRE_TOO_LARGE, "1025, the limit is 1024");
	mp_buf_reset(&h.params);
	mp_put_array(&h.params, 2);
	mp_put_array(&h.params, 2);
	mp_put_str(&h.params, "a");
	mp_put_str(&h.params, "b");
	mp_put_map(&h.params, 1);
	mp_put_kv_u64(&h.params, "if_rev", 1);
	assert_refused("delete", WIRE_USAGE, "single key");
}
END_TEST

/* ---- list -------------------------------------------------------------- */

/* The keys of the last page, one a space, and whether there is more. */
static const char *
page(bool *more)
{
	static char text[512];
	struct mp_map m = answer(), record;
	struct mp_span key;
	struct mp_cur c;
	uint32_t count, i;
	size_t len = 0;

	*more = bool_of(&m, "more");
	ck_assert_int_eq(mp_get(&m, "records", &c), 0);
	ck_assert_int_eq(mp_read_array(&c, &count), 0);
	ck_assert_uint_eq(u64_of(&m, "count"), count);
	text[0] = '\0';
	for (i = 0; i < count; i++) {
		ck_assert_int_eq(mp_read_mapping(&c, &record), 0);
		ck_assert_int_eq(mp_get_bytes(&record, "key", &key, 99), 0);
		len +=
		    (size_t)snprintf(text + len, sizeof(text) - len, "%s%.*s",
			i > 0 ? " " : "", (int)key.len, (const char *)key.p);
	}
	return text;
}

static void
assert_page(const char *keys, bool more)
{
	bool m;

	ck_assert_int_eq(kvhelp_query(&h, "list"), WIRE_OK);
	ck_assert_str_eq(page(&m), keys);
	ck_assert_int_eq(m, more);
}

static void
fill(void)
{
	static const char *const keys[] = {
	    "b", "a/2", "a", "c", "a/1", "a/10", "\xff\xff", "\xff"};
	size_t i;

	for (i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		put(keys[i], "v");
}

START_TEST(test_list_is_in_byte_order)
{
	fill();
	key_params("", 0);
	assert_page("a a/1 a/10 a/2 b c \xff \xff\xff", false);
	mp_put_kv_bool(key_params("", 1), "reverse", true);
	assert_page("\xff\xff \xff c b a/2 a/10 a/1 a", false);
}
END_TEST

START_TEST(test_list_of_a_prefix)
{
	fill();
	key_params("a/", 0);
	assert_page("a/1 a/10 a/2", false);
	key_params("\xff", 0);
	assert_page("\xff \xff\xff", false);
	key_params("zz", 0);
	assert_page("", false);
	mp_put_kv_bool(key_params("a/", 1), "reverse", true);
	assert_page("a/2 a/10 a/1", false);
	mp_put_kv_bool(key_params("\xff", 1), "reverse", true);
	assert_page("\xff\xff \xff", false);
}
END_TEST

START_TEST(test_list_from_is_inclusive_and_to_exclusive)
{
	struct mp_buf *p;

	fill();
	p = key_params("", 2);
	mp_put_kv_str(p, "from", "a/1");
	mp_put_kv_str(p, "to", "b");
	assert_page("a/1 a/10 a/2", false);
	p = key_params("a", 2);
	mp_put_kv_str(p, "from", "a/10");
	mp_put_kv_str(p, "to", "zzz");
	assert_page("a/10 a/2", false);
	p = key_params("", 3);
	mp_put_kv_str(p, "from", "a/10");
	mp_put_kv_str(p, "to", "c");
	mp_put_kv_bool(p, "reverse", true);
	assert_page("b a/2 a/10", false);
	p = key_params("", 2);
	mp_put_kv_str(p, "from", "c");
	mp_put_kv_str(p, "to", "a");
	assert_page("", false);
}
END_TEST

START_TEST(test_list_pages_with_after_and_limit)
{
	struct mp_buf *p;

	fill();
	p = key_params("a", 1);
	mp_put_kv_u64(p, "limit", 2);
	assert_page("a a/1", true);
	p = key_params("a", 2);
	mp_put_kv_u64(p, "limit", 2);
	mp_put_kv_str(p, "after", "a/1");
	assert_page("a/10 a/2", false);
	p = key_params("", 3);
	mp_put_kv_u64(p, "limit", 2);
	mp_put_kv_str(p, "after", "c");
	mp_put_kv_bool(p, "reverse", true);
	assert_page("b a/2", true);
	p = key_params("", 1);
	mp_put_kv_u64(p, "limit", 0);
	ck_assert_int_eq(kvhelp_query(&h, "list"), WIRE_USAGE);
	p = key_params("", 1);
	mp_put_kv_u64(p, "limit", WIRE_LIST_LIMIT_MAX + 1);
	ck_assert_int_eq(kvhelp_query(&h, "list"), WIRE_USAGE);
}
END_TEST

START_TEST(test_list_counts)
{
	struct mp_map m;

	fill();
	del("a");
	mp_put_kv_bool(key_params("a", 1), "count", true);
	ck_assert_int_eq(kvhelp_query(&h, "list"), WIRE_OK);
	m = answer();
	ck_assert_uint_eq(u64_of(&m, "count"), 3);
	mp_put_kv_bool(key_params("", 1), "count", true);
	ck_assert_int_eq(kvhelp_query(&h, "list"), WIRE_OK);
	m = answer();
	ck_assert_uint_eq(u64_of(&m, "count"), 7);
}
END_TEST

START_TEST(test_list_keys_only_has_nil_values)
{
	struct mp_map m, record;
	struct mp_cur c;
	uint32_t count;

	put("k", "v");
	mp_put_kv_bool(key_params("", 1), "keys_only", true);
	ck_assert_int_eq(kvhelp_query(&h, "list"), WIRE_OK);
	m = answer();
	ck_assert_int_eq(mp_get(&m, "records", &c), 0);
	ck_assert_int_eq(mp_read_array(&c, &count), 0);
	ck_assert_uint_eq(count, 1);
	ck_assert_int_eq(mp_read_mapping(&c, &record), 0);
	ck_assert_int_eq(mp_get(&record, "value", &c), 0);
	ck_assert_int_eq(mp_read_nil(&c), 0);
	ck_assert_uint_eq(u64_of(&record, "mod_rev"), 1);
}
END_TEST

START_TEST(test_a_page_ends_past_its_bytes)
{
	uint8_t *big = calloc(1, WIRE_LIST_BYTES_MAX / 2);
	char key[3] = "ka";
	bool more;

	ck_assert_ptr_nonnull(big);
	for (key[1] = 'a'; key[1] < 'f'; key[1]++) {
		put_params(key, 2, big, WIRE_LIST_BYTES_MAX / 2, 0);
		ck_assert_int_eq(kvhelp_apply(&h, "put"), WIRE_OK);
	}
	key_params("", 0);
	ck_assert_int_eq(kvhelp_query(&h, "list"), WIRE_OK);
	ck_assert_str_eq(page(&more), "ka kb");
	ck_assert(more);
	mp_put_kv_bool(key_params("", 1), "keys_only", true);
	assert_page("ka kb kc kd ke", false);
	free(big);
}
END_TEST

START_TEST(test_a_pinned_revision_is_seen_whole)
{
	struct mp_buf *p;
	uint64_t rev;

	fill();
	rev = kv_ops.rev(h.f);
	del("a/1");
	put("a/15", "new");
	put("a/2", "changed");
	del("b");
	put("b", "again");
	mp_put_kv_u64(key_params("a/", 1), "rev", rev);
	assert_page("a/1 a/10 a/2", false);
	key_params("a/", 0);
	assert_page("a/10 a/15 a/2", false);
	mp_put_kv_u64(key_params("b", 1), "rev", rev + 4);
	ck_assert_int_eq(kvhelp_query(&h, "get"), WIRE_OK);
	ck_assert_uint_eq(h.reply.len, 1);
	p = key_params("", 2);
	mp_put_kv_u64(p, "rev", rev);
	mp_put_kv_bool(p, "reverse", true);
	assert_page("\xff\xff \xff c b a/2 a/10 a/1 a", false);
}
END_TEST

START_TEST(test_a_revision_to_come_is_refused)
{
	put("k", "v");
	mp_put_kv_u64(key_params("k", 1), "rev", 2);
	ck_assert_int_eq(kvhelp_query(&h, "get"), WIRE_USAGE);
	ck_assert_ptr_nonnull(strstr(h.err.message, "the last is 1"));
}
END_TEST

/* ---- history ----------------------------------------------------------- */

START_TEST(test_history_is_bounded_in_revisions)
{
	struct kv_stat s;
	unsigned i;

	put("gone", "x");
	del("gone");
	for (i = 0; i < KV_HISTORY_REVS_MAX + 10; i++)
		put("k", "v");
	kv_stat(h.f, &s);
	ck_assert_uint_le(s.history_revs, KV_HISTORY_REVS_MAX);
	ck_assert_uint_gt(s.history_revs, KV_HISTORY_REVS_MAX / 2);
	ck_assert_uint_eq(h.f->tree.count, 1); /* the tombstone went too */
	ck_assert(kvstore_check(h.f));
	mp_put_kv_u64(key_params("k", 1), "rev", 3);
	ck_assert_int_eq(kvhelp_query(&h, "get"), WIRE_COMPACTED);
	ck_assert_int_eq(h.err.status, WIRE_COMPACTED);
	mp_put_kv_u64(key_params("k", 1), "rev", h.f->floor);
	ck_assert_int_eq(kvhelp_query(&h, "get"), WIRE_OK);
	mp_put_kv_u64(key_params("k", 1), "rev", h.f->floor - 1);
	ck_assert_int_eq(kvhelp_query(&h, "get"), WIRE_COMPACTED);
}
END_TEST

START_TEST(test_history_is_bounded_in_bytes)
{
	enum { LEN = 1 << 20 };
	uint8_t *big = calloc(1, LEN);
	struct kv_stat s;
	unsigned i;

	ck_assert_ptr_nonnull(big);
	for (i = 0; i < 40; i++) {
		put_params("k", 1, big, LEN, 0);
		ck_assert_int_eq(kvhelp_apply(&h, "put"), WIRE_OK);
	}
	kv_stat(h.f, &s);
	ck_assert_uint_le(s.history_bytes, KV_HISTORY_BYTES_MAX);
	ck_assert_uint_gt(s.history_revs, 10);
	ck_assert(kvstore_check(h.f));
	free(big);
}
END_TEST

/* ---- time, digest ------------------------------------------------------ */

START_TEST(test_time_is_the_largest_stamp)
{
	struct kv_stat s;

	h.stamp = 5000;
	put("k", "1");
	h.stamp = 4000;
	put("k", "2");
	kv_stat(h.f, &s);
	ck_assert_uint_eq(s.time, 5000);
	kv_ops.advance(h.f, ++h.index, 6000);
	kv_stat(h.f, &s);
	ck_assert_uint_eq(s.time, 6000);
	ck_assert_uint_eq(kv_ops.applied(h.f), 3);
}
END_TEST

static bool
same(struct fsm_digest a, struct fsm_digest b)
{
	return a.hi == b.hi && a.lo == b.lo;
}

START_TEST(test_digest_equals_a_recount)
{
	put("a", "1");
	put("b", "2");
	put("a", "3");
	del("b");
	put_if_bool("c", "x", "append", true);
	ck_assert(same(kv_ops.digest(h.f), kvstore_recount(h.f)));
}
END_TEST

START_TEST(test_digest_tells_states_apart)
{
	struct fsm_digest d[6];
	struct kvhelp other;
	unsigned i, j;

	d[0] = kv_ops.digest(h.f);
	put("a", "1");
	d[1] = kv_ops.digest(h.f);
	put("a", "1"); /* same bytes, another revision */
	d[2] = kv_ops.digest(h.f);
	del("a"); /* no keys, but not the first state */
	d[3] = kv_ops.digest(h.f);
	kv_ops.advance(h.f, ++h.index, h.stamp + 1); /* time alone */
	d[4] = kv_ops.digest(h.f);
	other = h;
	kvhelp_init(&h);
	put("a1", ""); /* the boundary of key and value counts */
	d[5] = kv_ops.digest(h.f);
	kvhelp_release(&h);
	h = other;
	for (i = 0; i < 6; i++)
		for (j = 0; j < i; j++)
			ck_assert_msg(!same(d[i], d[j]), "%u and %u", i, j);
}
END_TEST

START_TEST(test_nobody_waits_and_the_state_is_the_same)
{
	struct fsm_command c = {.index = 1, .method = mp_span("put", 3)};
	struct fsm *f = kv_ops.new(1);

	ck_assert_ptr_nonnull(f);
	put("k", "v");
	c.stamp = h.stamp;
	c.params = mp_span(h.params.data, h.params.len);
	ck_assert_int_eq(kv_ops.apply(f, &c, NULL, NULL), WIRE_OK);
	ck_assert(same(kv_ops.digest(f), kv_ops.digest(h.f)));
	c.index++;
	c.params.len--; /* cut: refused without a place for the reason */
	ck_assert_int_eq(kv_ops.apply(f, &c, NULL, NULL), WIRE_USAGE);
	kv_ops.free(f);
	kv_ops.free(NULL);
}
END_TEST

/* ---- incr and txn ------------------------------------------------------ */

static enum wire_status
incr(const char *key, int64_t by)
{
	mp_buf_reset(&h.params);
	mp_put_array(&h.params, 2);
	mp_put_str(&h.params, key);
	mp_put_i64(&h.params, by);
	return kvhelp_apply(&h, "incr");
}

static void
assert_sum(const char *key, int64_t by, int64_t sum)
{
	struct mp_cur c;
	struct mp_map m;
	int64_t got;

	ck_assert_int_eq(incr(key, by), WIRE_OK);
	m = answer();
	ck_assert(bool_of(&m, "succeeded"));
	ck_assert_int_eq(mp_get(&m, "value", &c), 0);
	ck_assert_int_eq(mp_read_i64(&c, &got), 0);
	ck_assert_int_eq(got, sum);
}

START_TEST(test_incr_counts)
{
	assert_sum("n", 1, 1);
	assert_sum("n", 41, 42);
	assert_sum("n", -50, -8);
	assert_record("n", "-8", 1, 3, 3);
	put("n", "7\n");
	assert_sum("n", 0, 7);
	put("n", "-9223372036854775808");
	assert_sum("n", 1, INT64_MIN + 1);
	put("n", "9223372036854775807");
	ck_assert_int_eq(incr("n", 1), WIRE_DATA);
	assert_sum("n", -1, INT64_MAX - 1);
	assert_sum("n", INT64_MIN, -2);
}
END_TEST

START_TEST(test_incr_takes_decimal_numbers_only)
{
	static const char *const bad[] = {"", "-", "+1", " 1", "1 ", "0x1",
	    "1\n\n", "1.0", "9223372036854775808", "-9223372036854775809"};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		put("n", bad[i]);
		ck_assert_int_eq(incr("n", 1), WIRE_DATA);
		ck_assert_uint_eq(kv_ops.rev(h.f), i + 1);
	}
}
END_TEST

/* JSON with ' for ", read as the params of txn. */
static enum wire_status
txn(const char *json)
{
	mp_buf_reset(&h.params);
	mp_put_array(&h.params, 1);
	for (const char *p = json; *p != '\0'; p++) {
		const char *end;

		if (*p == '{' || *p == '[') {
			uint32_t n = p[1] != '}' && p[1] != ']', depth = 0;

			for (const char *q = p + 1;; q++) {
				if ((*q == '}' || *q == ']') && depth-- == 0)
					break;
				depth += *q == '{' || *q == '[';
				n += *q == ',' && depth == 0;
			}
			if (*p == '{')
				mp_put_map(&h.params, n);
			else
				mp_put_array(&h.params, n);
		} else if (*p == '\'') {
			end = strchr(p + 1, '\'');
			mp_put_strn(&h.params, p + 1, (size_t)(end - p - 1));
			p = end;
		} else if (*p >= '0' && *p <= '9') {
			mp_put_u64(&h.params, (uint64_t)(*p - '0'));
		} else if (*p == 't' || *p == 'f') {
			mp_put_bool(&h.params, *p == 't');
		}
	}
	return kvhelp_apply(&h, "txn");
}

static void
assert_branch(const char *json, bool then)
{
	struct mp_map m;

	ck_assert_int_eq(txn(json), WIRE_OK);
	m = answer();
	ck_assert_int_eq(bool_of(&m, "succeeded"), then);
	ck_assert_uint_eq(u64_of(&m, "rev"), kv_ops.rev(h.f));
}

START_TEST(test_txn_compares)
{
	static const struct {
		const char *condition;
		bool holds;
	} cases[] = {
	    {"'key':'k','value':'b'", true},
	    {"'key':'k','value':'a'", false},
	    {"'key':'k','op':'>','value':'a'", true},
	    {"'key':'k','op':'<','value':'a'", false},
	    {"'key':'k','op':'!=','value':'a'", true},
	    {"'key':'k','rev':2", true},
	    {"'key':'k','rev':1", false},
	    {"'key':'k','create_rev':1", true},
	    {"'key':'k','version':2,'op':'='", true},
	    {"'key':'k','version':2,'rev':1", false},
	    {"'key':'k','exists':t", true},
	    {"'key':'k','exists':f", false},
	    {"'key':'x','exists':f", true},
	    {"'key':'x','rev':0", true},
	    {"'key':'x','op':'<','value':'z'", false},
	    {"'key':'x','op':'!=','value':'z'", true},
	};
	char json[160];

	put("k", "a");
	put("k", "b");
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		(void)snprintf(
		    json, sizeof(json), "{'if':[{%s}]}", cases[i].condition);
		assert_branch(json, cases[i].holds);
		ck_assert_uint_eq(kv_ops.rev(h.f), 2);
	}
	assert_branch(
	    "{'if':[{'key':'k','rev':2},{'key':'k','rev':3}]}", false);
	assert_branch("{}", true);
}
END_TEST

START_TEST(test_txn_is_one_revision)
{
	struct mp_map m;

	put("k", "a");
	assert_branch("{'if':[{'key':'k','value':'a'}],"
		      "'then':[{'put':{'key':'k','value':'b'}},"
		      "{'put':{'key':'l','value':'c','append':t}}],"
		      "'else':[{'put':{'key':'m','value':'d'}}]}",
	    true);
	ck_assert_uint_eq(kv_ops.rev(h.f), 2);
	assert_record("k", "b", 1, 2, 2);
	assert_record("l", "c", 2, 2, 1);
	ck_assert(!get("m", &m));
	assert_branch("{'if':[{'key':'k','value':'a'}],"
		      "'then':[{'put':{'key':'k','value':'b'}}],"
		      "'else':[{'del':{'key':'k'}},{'del':{'key':'l'}}]}",
	    false);
	ck_assert_uint_eq(kv_ops.rev(h.f), 3);
	ck_assert(!get("k", &m));
	ck_assert(kvstore_check(h.f));
}
END_TEST

START_TEST(test_txn_sees_what_it_wrote)
{
	struct mp_cur results, records;
	struct mp_map m, result;
	uint32_t count;

	put("a", "1");
	assert_branch("{'then':[{'put':{'key':'b','value':'2'}},"
		      "{'get':{'key':'b'}},{'range':{'prefix':'','limit':1}},"
		      "{'del':{'key':'a'}},{'get':{'key':'a'}}]}",
	    true);
	m = answer();
	ck_assert_int_eq(mp_get(&m, "results", &results), 0);
	ck_assert_int_eq(mp_read_array(&results, &count), 0);
	ck_assert_uint_eq(count, 5);
	ck_assert_int_eq(mp_read_mapping(&results, &result), 0);
	ck_assert_uint_eq(u64_of(&result, "mod_rev"), 2);
	ck_assert_int_eq(mp_read_mapping(&results, &result), 0);
	assert_value(&result, "2", 1);
	ck_assert_int_eq(mp_read_mapping(&results, &result), 0);
	ck_assert(bool_of(&result, "more"));
	ck_assert_int_eq(mp_get(&result, "records", &records), 0);
	ck_assert_int_eq(mp_read_array(&records, &count), 0);
	ck_assert_uint_eq(count, 1);
	ck_assert_int_eq(mp_read_mapping(&results, &result), 0);
	ck_assert_uint_eq(u64_of(&result, "deleted"), 1);
	ck_assert_int_eq(mp_read_nil(&results), 0);
}
END_TEST

START_TEST(test_txn_of_the_wrong_shape_is_refused)
{
	static const char *const bad[] = {
	    "[]",
	    "{'what':[]}",
	    "{'if':{}}",
	    "{'if':[{'rev':1}]}",
	    "{'if':[{'key':'k'}]}",
	    "{'if':[{'key':'k','op':'~','rev':1}]}",
	    "{'if':[{'key':'k','op':'<','exists':t}]}",
	    "{'then':[{'put':{'key':'k'}}]}",
	    "{'then':[{'put':{'value':'v'}}]}",
	    "{'then':[{'get':{'key':'k','value':'v'}}]}",
	    "{'then':[{'txn':{}}]}",
	    "{'then':[{}]}",
	    "{'else':[{'range':{'limit':0}}]}",
	    "{'then':[{'put':{'key':'k','value':'v'}},{'del':{'key':'k'}}]}",
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		ck_assert_int_eq(txn(bad[i]), WIRE_USAGE);
		ck_assert_int_eq(admit("txn"), WIRE_USAGE);
		ck_assert_uint_eq(kv_ops.rev(h.f), 0);
	}
}
END_TEST

/* ---- watch ------------------------------------------------------------- */

static enum wire_status
watch(const char *key, bool prefix, uint64_t since, uint64_t limit,
    uint64_t *at, bool now)
{
	mp_buf_reset(&h.params);
	mp_put_array(&h.params, 2);
	mp_put_str(&h.params, key);
	mp_put_map(&h.params, 4);
	mp_put_kv_bool(&h.params, "prefix", prefix);
	mp_put_kv_u64(&h.params, "since", since);
	mp_put_kv_u64(&h.params, "limit", limit);
	mp_put_kv_bool(&h.params, "prev", true);
	mp_buf_reset(&h.reply);
	*at = UINT64_MAX;
	return kv_ops.watch(h.f, mp_span(h.params.data, h.params.len), at, now,
	    &h.reply, &h.err);
}

/* "+k=v@rev" and "-k@rev" of each event, and how far the answer goes. */
static void
assert_events(uint64_t rev, const char *want)
{
	struct mp_map m = answer(), e;
	struct mp_cur events;
	struct mp_span key, value, type;
	uint32_t count;
	char got[256] = "";

	ck_assert_uint_eq(u64_of(&m, "rev"), rev);
	ck_assert_int_eq(mp_get(&m, "events", &events), 0);
	ck_assert_int_eq(mp_read_array(&events, &count), 0);
	while (count-- > 0) {
		ck_assert_int_eq(mp_read_mapping(&events, &e), 0);
		value = mp_span("", 0);
		ck_assert_int_eq(mp_get_bytes(&e, "key", &key, 9), 0);
		ck_assert_int_eq(mp_get_bytes(&e, "type", &type, 9), 0);
		ck_assert_int_eq(mp_opt_bytes(&e, "value", &value, 9), 0);
		(void)snprintf(got + strlen(got), sizeof(got) - strlen(got),
		    "%s%.*s=%.*s@%u ", mp_span_eq(type, "put") ? "+" : "-",
		    (int)key.len, (const char *)key.p, (int)value.len,
		    (const char *)value.p, (unsigned)u64_of(&e, "rev"));
	}
	ck_assert_str_eq(got, want);
}

START_TEST(test_watch_tells_changes_in_order)
{
	uint64_t at;

	put("a", "1");
	put("b", "2");
	put("a", "3");
	del("b");
	put("b", "4");
	ck_assert_int_eq(watch("a", false, 0, 9, &at, false), WIRE_OK);
	assert_events(5, "+a=1@1 +a=3@3 ");
	ck_assert_int_eq(watch("", true, 1, 9, &at, false), WIRE_OK);
	assert_events(5, "+b=2@2 +a=3@3 -b=@4 +b=4@5 ");
	ck_assert_int_eq(watch("", true, 1, 2, &at, false), WIRE_OK);
	assert_events(3, "+b=2@2 +a=3@3 ");
	ck_assert_uint_eq(at, 3);
	ck_assert(kvstore_check(h.f));
}
END_TEST

START_TEST(test_watch_waits_for_what_concerns_it)
{
	uint64_t at;

	put("a", "1");
	ck_assert_int_eq(watch("ab", true, 0, 9, &at, false), WIRE_ABSENT);
	ck_assert_uint_eq(at, 1);
	ck_assert_uint_eq(h.reply.len, 0);
	ck_assert_int_eq(watch("a", false, 1, 9, &at, false), WIRE_ABSENT);
	ck_assert_int_eq(watch("a", false, 7, 9, &at, false), WIRE_ABSENT);
	ck_assert_uint_eq(at, 7);
	ck_assert_int_eq(watch("ab", true, 0, 9, &at, true), WIRE_OK);
	assert_events(1, "");
}
END_TEST

START_TEST(test_watch_never_cuts_a_revision)
{
	uint64_t at;

	put("a", "1");
	put("b", "2");
	mp_buf_reset(&h.params);
	mp_put_array(&h.params, 1);
	mp_put_array(&h.params, 2);
	mp_put_str(&h.params, "a");
	mp_put_str(&h.params, "b");
	ck_assert_int_eq(kvhelp_apply(&h, "delete"), WIRE_OK);
	put("c", "4");
	ck_assert_int_eq(watch("", true, 2, 1, &at, false), WIRE_OK);
	assert_events(3, "-a=@3 -b=@3 ");
}
END_TEST

START_TEST(test_watch_of_what_is_forgotten_is_refused)
{
	uint64_t at, i;

	for (i = 0; i < KV_HISTORY_REVS_MAX + 10; i++)
		put("a", "1");
	ck_assert_int_eq(watch("a", false, 3, 9, &at, false), WIRE_COMPACTED);
	ck_assert_int_eq(watch("a", false, i - 1, 9, &at, false), WIRE_OK);
	ck_assert_int_eq(watch("", false, 0, 9, &at, false), WIRE_USAGE);
}
END_TEST

START_TEST(test_every_method_is_listed)
{
	const struct fsm_method *m;
	unsigned commands = 0, queries = 0;

	for (m = kv_methods; m->name != NULL; m++) {
		ck_assert_ptr_nonnull(m->params);
		ck_assert_ptr_nonnull(m->help);
		mp_buf_reset(&h.params);
		if (m->kind == FSM_COMMAND) {
			commands++;
			ck_assert_int_eq(kvhelp_apply(&h, m->name), WIRE_USAGE);
		} else if (m->kind == FSM_QUERY) {
			queries++;
			ck_assert_int_eq(kvhelp_query(&h, m->name), WIRE_USAGE);
		}
	}
	ck_assert_uint_eq(commands, 9);
	ck_assert_uint_eq(queries, 5);
}
END_TEST

static TCase *
tcase(const char *name, const TTest *const *tests, size_t count)
{
	TCase *tc = tcase_create(name);
	size_t i;

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_set_timeout(tc, 60);
	for (i = 0; i < count; i++)
		tcase_add_test(tc, tests[i]);
	return tc;
}

int
main(void)
{
	const TTest *const tests[] = {
	    test_put_then_get_gives_the_record,
	    test_get_of_an_absent_key_is_nil,
	    test_update_keeps_create_rev_and_counts_versions,
	    test_a_key_created_again_starts_over,
	    test_keys_and_values_hold_every_byte,
	    test_keys_that_differ_in_a_zero_byte_are_two,
	    test_if_absent_stores_once,
	    test_if_absent_holds_after_a_delete,
	    test_if_rev_compares_with_mod_rev,
	    test_if_rev_0_means_absent,
	    test_if_value_compares_bytes,
	    test_conditions_are_anded,
	    test_if_changed_with_an_equal_value_changes_nothing,
	    test_append_creates_and_extends,
	    test_append_stops_at_the_longest_value,
	    test_prev_is_what_stood_there,
	    test_delete_of_an_absent_key_succeeds_and_takes_no_revision,
	    test_delete_of_many_keys_is_one_revision,
	    test_delete_if_rev_keeps_a_newer_record,
	    test_key_of_4096_bytes_is_the_longest,
	    test_an_unknown_option_is_refused_by_name,
	    test_options_of_the_host_are_let_through,
	    test_an_option_that_is_nil_is_not_given,
	    test_options_of_the_wrong_kind_are_refused,
	    test_params_of_the_wrong_shape_are_refused,
	    test_delete_of_too_many_keys_is_refused,
	    test_list_is_in_byte_order,
	    test_list_of_a_prefix,
	    test_list_from_is_inclusive_and_to_exclusive,
	    test_list_pages_with_after_and_limit,
	    test_list_counts,
	    test_list_keys_only_has_nil_values,
	    test_a_page_ends_past_its_bytes,
	    test_a_pinned_revision_is_seen_whole,
	    test_a_revision_to_come_is_refused,
	    test_history_is_bounded_in_revisions,
	    test_history_is_bounded_in_bytes,
	    test_time_is_the_largest_stamp,
	    test_digest_equals_a_recount,
	    test_digest_tells_states_apart,
	    test_nobody_waits_and_the_state_is_the_same,
	    test_incr_counts,
	    test_incr_takes_decimal_numbers_only,
	    test_txn_compares,
	    test_txn_is_one_revision,
	    test_txn_sees_what_it_wrote,
	    test_txn_of_the_wrong_shape_is_refused,
	    test_watch_tells_changes_in_order,
	    test_watch_waits_for_what_concerns_it,
	    test_watch_never_cuts_a_revision,
	    test_watch_of_what_is_forgotten_is_refused,
	    test_every_method_is_listed,
	};
	Suite *s = suite_create("kv");
	SRunner *sr;
	int failed;

	suite_add_tcase(
	    s, tcase("kv", tests, sizeof(tests) / sizeof(tests[0])));
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
