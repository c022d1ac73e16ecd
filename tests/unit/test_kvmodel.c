/*
 * test_kvmodel.c - the key-value store against a model that remembers every
 * change, under random operations; two stores that must agree; and stores
 * that were saved and loaded on the way.
 */
#include <check.h>
#include <errno.h>

#include "tests/unit/kvhelp.h"

#define STEPS 4000
#define CHANGES_MAX (STEPS * 4)
#define KEYS_MAX 64

/* One change of one key; the model is nothing but a list of them. */
struct change {
	uint64_t rev, create_rev, version;
	unsigned key;
	bool deleted;
	size_t value_len;
	uint8_t value[80];
};

struct model {
	struct change change[CHANGES_MAX];
	size_t count;
	uint64_t rev;
};

struct key {
	uint8_t bytes[24];
	size_t len;
};

static struct model model;
static struct key keys[KEYS_MAX]; /* sorted */
static uint64_t rng;

static uint64_t
rand_u64(void)
{
	rng ^= rng << 13;
	rng ^= rng >> 7;
	rng ^= rng << 17;
	return rng;
}

static uint64_t
below(uint64_t n)
{
	return rand_u64() % n;
}

static int
key_compare(const void *a, const void *b)
{
	const struct key *x = a, *y = b;

	return tree_compare(x->bytes, x->len, y->bytes, y->len);
}

/* Binary keys with common beginnings; no two equal. */
static void
make_keys(void)
{
	unsigned i, j;
	bool fresh;

	for (i = 0; i < KEYS_MAX;) {
		struct key k = {.len = 1 + below(12)};

		for (j = 0; j < k.len; j++)
			k.bytes[j] = (uint8_t) "\0\xff/a"[below(4)];
		fresh = true;
		for (j = 0; j < i; j++)
			fresh = fresh && key_compare(&keys[j], &k) != 0;
		if (fresh)
			keys[i++] = k;
	}
	qsort(keys, KEYS_MAX, sizeof(keys[0]), key_compare);
}

/* What the model says about a key at a revision, or NULL. */
static const struct change *
model_at(unsigned key, uint64_t rev)
{
	size_t i = model.count;

	while (i-- > 0)
		if (model.change[i].key == key && model.change[i].rev <= rev)
			return model.change[i].deleted ? NULL
						       : &model.change[i];
	return NULL;
}

static struct change *
model_push(unsigned key, uint64_t rev)
{
	struct change *c;

	ck_assert_uint_lt(model.count, CHANGES_MAX);
	c = &model.change[model.count++];
	memset(c, 0, sizeof(*c));
	c->key = key;
	c->rev = rev;
	model.rev = rev;
	return c;
}

/* What a command was, so that the model can do it too. */
struct op {
	bool is_put;
	unsigned key[3], key_count;
	uint8_t value[16];
	size_t value_len;
	bool has_if_rev, has_if_value, if_absent, if_changed, append;
	uint64_t if_rev;
	uint8_t if_value[80];
	size_t if_value_len;
};

static void
random_op(struct op *o)
{
	const struct change *c;
	unsigned i;

	memset(o, 0, sizeof(*o));
	o->is_put = below(10) < 7;
	o->key_count = o->is_put ? 1 : 1 + (unsigned)below(3);
	for (i = 0; i < o->key_count; i++)
		o->key[i] = (unsigned)below(KEYS_MAX);
	o->value_len = below(sizeof(o->value) + 1);
	memset(o->value, (int)below(2), o->value_len);
	c = model_at(o->key[0], UINT64_MAX);
	o->has_if_rev = o->key_count == 1 && below(4) == 0;
	o->if_rev = c != NULL && below(2) == 0 ? c->rev : below(2) * model.rev;
	if (!o->is_put)
		return;
	o->if_absent = below(8) == 0;
	o->if_changed = below(4) == 0;
	o->append = below(4) == 0 && (c == NULL || c->value_len < 60);
	o->has_if_value = below(6) == 0;
	if (c != NULL && below(2) == 0) {
		o->if_value_len = c->value_len;
		memcpy(o->if_value, c->value, c->value_len);
	}
}

static void
pack_op(const struct op *o, struct mp_buf *p)
{
	uint32_t options =
	    o->is_put ? 3u + o->has_if_rev + o->has_if_value : o->has_if_rev;
	unsigned i;

	mp_buf_reset(p);
	mp_put_array(p, o->is_put ? 3 : 2);
	if (o->key_count > 1)
		mp_put_array(p, o->key_count);
	for (i = 0; i < o->key_count; i++)
		mp_put_bin(p, keys[o->key[i]].bytes, keys[o->key[i]].len);
	if (o->is_put)
		mp_put_bin(p, o->value, o->value_len);
	mp_put_map(p, options);
	if (o->has_if_rev)
		mp_put_kv_u64(p, "if_rev", o->if_rev);
	if (!o->is_put)
		return;
	if (o->has_if_value)
		mp_put_kv_bin(p, "if_value", o->if_value, o->if_value_len);
	mp_put_kv_bool(p, "if_absent", o->if_absent);
	mp_put_kv_bool(p, "if_changed", o->if_changed);
	mp_put_kv_bool(p, "append", o->append);
}

static bool
model_put(const struct op *o, const struct change *c)
{
	struct change *n;

	if (o->if_absent && c != NULL)
		return false;
	if (o->has_if_value &&
	    (c == NULL || c->value_len != o->if_value_len ||
		memcmp(c->value, o->if_value, c->value_len) != 0))
		return false;
	if (o->if_changed && c != NULL && o->append && o->value_len == 0)
		return true;
	if (o->if_changed && c != NULL && !o->append &&
	    c->value_len == o->value_len &&
	    memcmp(c->value, o->value, o->value_len) == 0)
		return true;
	n = model_push(o->key[0], model.rev + 1);
	n->create_rev = c != NULL ? c->create_rev : n->rev;
	n->version = c != NULL ? c->version + 1 : 1;
	if (o->append && c != NULL) {
		memcpy(n->value, c->value, c->value_len);
		n->value_len = c->value_len;
	}
	memcpy(n->value + n->value_len, o->value, o->value_len);
	n->value_len += o->value_len;
	return true;
}

static bool
model_apply(const struct op *o, uint64_t *deleted)
{
	const struct change *c = model_at(o->key[0], UINT64_MAX);
	uint64_t rev = model.rev + 1;
	unsigned i;

	*deleted = 0;
	if (o->has_if_rev && o->if_rev != (c != NULL ? c->rev : 0))
		return false;
	if (o->is_put)
		return model_put(o, c);
	for (i = 0; i < o->key_count; i++) {
		if (model_at(o->key[i], UINT64_MAX) == NULL)
			continue;
		model_push(o->key[i], rev)->deleted = true;
		++*deleted;
	}
	return true;
}

/* Bytes that no client of ours would send; nothing may come of them. */
static void
pack_garbage(struct mp_buf *p)
{
	size_t i, flips = 1 + below(4);
	struct op o;

	random_op(&o);
	pack_op(&o, p);
	if (below(2) == 0)
		p->len = below(p->len);
	for (i = 0; i < flips && p->len > 0; i++)
		p->data[below(p->len)] = (uint8_t)rand_u64();
}

static void
assert_record(struct mp_cur *c, const struct change *want)
{
	struct mp_map m;
	struct mp_span key, value;
	uint64_t n;

	ck_assert_int_eq(mp_read_mapping(c, &m), 0);
	ck_assert_int_eq(mp_get_bytes(&m, "key", &key, 99), 0);
	ck_assert_int_eq(mp_get_bytes(&m, "value", &value, 99), 0);
	ck_assert_uint_eq(key.len, keys[want->key].len);
	ck_assert_mem_eq(key.p, keys[want->key].bytes, key.len);
	ck_assert_uint_eq(value.len, want->value_len);
	ck_assert(
	    value.len == 0 || memcmp(value.p, want->value, value.len) == 0);
	ck_assert_int_eq(mp_get_u64(&m, "create_rev", &n), 0);
	ck_assert_uint_eq(n, want->create_rev);
	ck_assert_int_eq(mp_get_u64(&m, "mod_rev", &n), 0);
	ck_assert_uint_eq(n, want->rev);
	ck_assert_int_eq(mp_get_u64(&m, "version", &n), 0);
	ck_assert_uint_eq(n, want->version);
}

/* A listing of everything at one revision, page by page. */
static void
compare_listing(struct kvhelp *h, uint64_t rev)
{
	uint64_t limit = 1 + below(20);
	bool reverse = below(2) == 0, more = true, first = true;
	unsigned i = 0, key;
	const struct change *want;
	struct mp_map m, last;
	struct mp_span after;
	struct mp_cur c, at;
	uint32_t count;

	while (more) {
		mp_buf_reset(&h->params);
		mp_put_array(&h->params, 2);
		mp_put_bin(&h->params, "", 0);
		mp_put_map(&h->params, first ? 3 : 4);
		mp_put_kv_u64(&h->params, "rev", rev);
		mp_put_kv_u64(&h->params, "limit", limit);
		mp_put_kv_bool(&h->params, "reverse", reverse);
		if (!first)
			mp_put_kv_bin(&h->params, "after", after.p, after.len);
		ck_assert_int_eq(kvhelp_query(h, "list"), WIRE_OK);
		c = mp_cur(h->reply.data, h->reply.len);
		ck_assert_int_eq(mp_read_mapping(&c, &m), 0);
		ck_assert_int_eq(mp_get_bool(&m, "more", &more), 0);
		ck_assert_int_eq(mp_get(&m, "records", &c), 0);
		ck_assert_int_eq(mp_read_array(&c, &count), 0);
		ck_assert(count == limit || !more);
		for (; count > 0 && i < KEYS_MAX; i++) {
			key = reverse ? KEYS_MAX - 1 - i : i;
			want = model_at(key, rev);
			if (want == NULL)
				continue;
			at = c;
			assert_record(&c, want);
			count--;
			ck_assert_int_eq(mp_read_mapping(&at, &last), 0);
			after = mp_span(keys[key].bytes, keys[key].len);
		}
		ck_assert_uint_eq(count, 0);
		first = false;
	}
	for (; i < KEYS_MAX; i++)
		ck_assert_ptr_null(
		    model_at(reverse ? KEYS_MAX - 1 - i : i, rev));
}

static void
compare_get(struct kvhelp *h, uint64_t rev)
{
	unsigned key = (unsigned)below(KEYS_MAX);
	const struct change *want = model_at(key, rev);
	struct mp_cur c;

	mp_buf_reset(&h->params);
	mp_put_array(&h->params, 2);
	mp_put_bin(&h->params, keys[key].bytes, keys[key].len);
	mp_put_map(&h->params, 1);
	mp_put_kv_u64(&h->params, "rev", rev);
	ck_assert_int_eq(kvhelp_query(h, "get"), WIRE_OK);
	c = mp_cur(h->reply.data, h->reply.len);
	if (want == NULL)
		ck_assert_int_eq(mp_read_nil(&c), 0);
	else
		assert_record(&c, want);
}

static bool
same(struct fsm_digest a, struct fsm_digest b)
{
	return a.hi == b.hi && a.lo == b.lo;
}

/* The other store gets the same command and must answer the same. */
static void
apply_both(struct kvhelp *a, struct kvhelp *b, const char *method,
    enum wire_status *status)
{
	a->stamp = b->stamp = a->stamp + below(5) - 2;
	mp_buf_reset(&b->params);
	mp_put_raw(&b->params, a->params.data, a->params.len);
	*status = kvhelp_apply(a, method);
	ck_assert_int_eq(kvhelp_apply(b, method), *status);
	ck_assert_uint_eq(a->reply.len, b->reply.len);
	ck_assert(a->reply.len == 0 ||
		  memcmp(a->reply.data, b->reply.data, a->reply.len) == 0);
	ck_assert(same(kv_ops.digest(a->f), kv_ops.digest(b->f)));
}

static void
step(struct kvhelp *a, struct kvhelp *b)
{
	enum wire_status status;
	struct mp_map m;
	struct mp_cur c;
	struct op o;
	uint64_t deleted, n;
	bool succeeded, got;

	random_op(&o);
	pack_op(&o, &a->params);
	apply_both(a, b, o.is_put ? "put" : "delete", &status);
	ck_assert_int_eq(status, WIRE_OK);
	succeeded = model_apply(&o, &deleted);
	c = mp_cur(a->reply.data, a->reply.len);
	ck_assert_int_eq(mp_read_mapping(&c, &m), 0);
	ck_assert_int_eq(mp_get_bool(&m, "succeeded", &got), 0);
	ck_assert_int_eq(got, succeeded);
	ck_assert_int_eq(mp_get_u64(&m, "rev", &n), 0);
	ck_assert_uint_eq(n, model.rev);
	if (!o.is_put) {
		ck_assert_int_eq(mp_get_u64(&m, "deleted", &n), 0);
		ck_assert_uint_eq(n, deleted);
	}
}

/* Garbage may turn out to be a command; both stores take it the same way,
 * and the model is not asked about it. */
static void
garbage(struct kvhelp *a, struct kvhelp *b)
{
	struct fsm_command c = {.index = 1, .method = mp_span("put", 3)};

	pack_garbage(&a->params);
	c.params = mp_span(a->params.data, a->params.len);
	if (kv_ops.admit(&c, NULL) != WIRE_OK) {
		enum wire_status status;

		apply_both(a, b, "put", &status);
		ck_assert_int_ne(status, WIRE_OK);
		ck_assert_uint_eq(kv_ops.rev(a->f), model.rev);
	}
}

struct image {
	struct mp_buf bytes;
	size_t pos;
	size_t fail_at;
};

static int
image_write(void *ctx, const void *data, size_t len)
{
	struct image *im = ctx;

	if (im->bytes.len + len > im->fail_at)
		return -ENOSPC;
	mp_put_raw(&im->bytes, data, len);
	return 0;
}

static int
image_read(void *ctx, void *data, size_t len)
{
	struct image *im = ctx;

	if (len > im->bytes.len - im->pos)
		return -ENODATA;
	memcpy(data, im->bytes.data + im->pos, len);
	im->pos += len;
	return 0;
}

/* b becomes a store that was loaded from a's saved form. */
static void
reload(struct kvhelp *a, struct kvhelp *b)
{
	struct image im = {.fail_at = SIZE_MAX};

	mp_buf_init(&im.bytes);
	ck_assert_int_eq(kv_ops.save(a->f, image_write, &im), 0);
	kv_ops.free(b->f);
	b->f = kv_ops.new(1);
	ck_assert_int_eq(kv_ops.load(b->f, image_read, &im), 0);
	ck_assert_uint_eq(im.pos, im.bytes.len);
	ck_assert(same(kv_ops.digest(a->f), kv_ops.digest(b->f)));
	ck_assert_uint_eq(kv_ops.rev(b->f), kv_ops.rev(a->f));
	ck_assert_uint_eq(kv_ops.applied(b->f), kv_ops.applied(a->f));
	ck_assert(kvstore_check(b->f));
	mp_buf_release(&im.bytes);
}

START_TEST(test_random_operations_equal_the_model)
{
	struct kvhelp a, b;
	unsigned i;

	rng = 0x9e3779b97f4a7c15u * (uint64_t)(_i + 1);
	memset(&model, 0, sizeof(model));
	make_keys();
	kvhelp_init(&a);
	kvhelp_init(&b);
	a.stamp = b.stamp = 1u << 20;
	for (i = 0; i < STEPS; i++) {
		step(&a, &b);
		if (below(8) == 0)
			garbage(&a, &b);
		if (model.rev == 0)
			continue;
		/* only a is asked: questions must leave no trace */
		compare_get(&a, below(2) ? model.rev : 1 + below(model.rev));
		if (below(20) == 0)
			compare_listing(&a, 1 + below(model.rev));
		if (below(20) == 0)
			compare_listing(&b, model.rev);
		if (below(400) == 0)
			reload(&a, &b);
		if (i % 100 == 0) {
			ck_assert(kvstore_check(a.f));
			ck_assert(
			    same(kv_ops.digest(a.f), kvstore_recount(a.f)));
		}
	}
	ck_assert_uint_gt(model.rev, STEPS / 4);
	kvhelp_release(&a);
	kvhelp_release(&b);
}
END_TEST

/* ---- the saved form ---------------------------------------------------- */

static void
fill(struct kvhelp *h, unsigned count)
{
	char key[16];
	unsigned i;

	for (i = 0; i < count; i++) {
		mp_buf_reset(&h->params);
		mp_put_array(&h->params, 2);
		mp_put_bin(&h->params, key,
		    (size_t)snprintf(key, sizeof(key), "%u", i * 7919));
		mp_put_bin(&h->params, key, below(sizeof(key)));
		ck_assert_int_eq(kvhelp_apply(h, "put"), WIRE_OK);
	}
}

static int
load_bytes(struct image *im)
{
	struct fsm *f = kv_ops.new(1);
	int r;

	im->pos = 0;
	r = kv_ops.load(f, image_read, im);
	if (r < 0) { /* and it is as good as new */
		ck_assert_uint_eq(kv_ops.rev(f), 0);
		ck_assert_uint_eq(f->tree.count, 0);
	}
	kv_ops.free(f);
	return r;
}

START_TEST(test_no_changed_byte_of_a_saved_state_is_taken)
{
	struct image im = {.fail_at = SIZE_MAX};
	struct kvhelp h;
	size_t i;
	int r;

	rng = 42;
	kvhelp_init(&h);
	fill(&h, 40);
	mp_buf_init(&im.bytes);
	ck_assert_int_eq(kv_ops.save(h.f, image_write, &im), 0);
	ck_assert_int_eq(load_bytes(&im), 0);
	for (i = 0; i < im.bytes.len; i++) {
		im.bytes.data[i] ^= 0x41;
		r = load_bytes(&im);
		/* the index is not part of what the digest names */
		if (i < 32 || i >= 40)
			ck_assert_msg(r < 0, "byte %zu", i);
		im.bytes.data[i] ^= 0x41;
	}
	for (i = 0; i < im.bytes.len; i++) {
		size_t len = im.bytes.len;

		im.bytes.len = i;
		ck_assert_int_eq(load_bytes(&im), -ENODATA);
		im.bytes.len = len;
	}
	mp_buf_release(&im.bytes);
	kvhelp_release(&h);
}
END_TEST

START_TEST(test_a_failed_write_ends_the_saving)
{
	struct image im = {.fail_at = 100000};
	struct kvhelp h;

	rng = 42;
	kvhelp_init(&h);
	fill(&h, 5000);
	mp_buf_init(&im.bytes);
	ck_assert_int_eq(kv_ops.save(h.f, image_write, &im), -ENOSPC);
	mp_buf_release(&im.bytes);
	kvhelp_release(&h);
}
END_TEST

START_TEST(test_another_group_is_not_loaded)
{
	struct image im = {.fail_at = SIZE_MAX};
	struct fsm *f = kv_ops.new(2);
	struct kvhelp h;

	rng = 42;
	kvhelp_init(&h);
	fill(&h, 3);
	mp_buf_init(&im.bytes);
	ck_assert_int_eq(kv_ops.save(h.f, image_write, &im), 0);
	ck_assert_int_eq(kv_ops.load(f, image_read, &im), -EBADMSG);
	kv_ops.free(f);
	mp_buf_release(&im.bytes);
	kvhelp_release(&h);
}
END_TEST

/* History is not saved: what it answers is refused, not wrong. */
START_TEST(test_a_loaded_state_knows_no_older_revision)
{
	struct kvhelp a, b;

	rng = 42;
	kvhelp_init(&a);
	kvhelp_init(&b);
	fill(&a, 10);
	fill(&a, 10);
	reload(&a, &b);
	mp_buf_reset(&b.params);
	mp_put_array(&b.params, 2);
	mp_put_str(&b.params, "0");
	mp_put_map(&b.params, 1);
	mp_put_kv_u64(&b.params, "rev", 19);
	ck_assert_int_eq(kvhelp_query(&b, "get"), WIRE_COMPACTED);
	kvhelp_release(&a);
	kvhelp_release(&b);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("kvmodel");
	TCase *tc = tcase_create("kvmodel");
	SRunner *sr;
	int failed;

	tcase_set_timeout(tc, 120);
	tcase_add_loop_test(tc, test_random_operations_equal_the_model, 0, 6);
	tcase_add_test(tc, test_no_changed_byte_of_a_saved_state_is_taken);
	tcase_add_test(tc, test_a_failed_write_ends_the_saving);
	tcase_add_test(tc, test_another_group_is_not_loaded);
	tcase_add_test(tc, test_a_loaded_state_knows_no_older_revision);
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
