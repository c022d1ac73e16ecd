/*
 * test_lease.c - leases and locks in the key-value store: what ends when,
 * whose turn it is, and that every replica finds the same.
 */
#include <check.h>
#include <errno.h>
#include <stdio.h>

#include "tests/unit/kvhelp.h"

static struct kvhelp h;
static uint64_t rng;

static void
setup(void)
{
	kvhelp_init(&h);
}

static void
teardown(void)
{
	ck_assert(kvstore_check(h.f));
	kvhelp_release(&h);
}

static uint64_t
below(uint64_t n)
{
	rng ^= rng << 13;
	rng ^= rng >> 7;
	rng ^= rng << 17;
	return rng % n;
}

static struct mp_map
answer(void)
{
	struct mp_cur c = mp_cur(h.reply.data, h.reply.len);
	struct mp_map m;

	ck_assert_int_eq(mp_scan(h.reply.data, h.reply.len), 0);
	ck_assert_int_eq(mp_read_mapping(&c, &m), 0);
	return m;
}

static uint64_t
answer_u64(const char *key)
{
	struct mp_map m = answer();
	uint64_t v = 0;

	ck_assert_int_eq(mp_get_u64(&m, key, &v), 0);
	return v;
}

static bool
answer_bool(const char *key)
{
	struct mp_map m = answer();
	bool v = false;

	ck_assert_int_eq(mp_get_bool(&m, key, &v), 0);
	return v;
}

/* A method whose first parameter is a number. */
static enum wire_status
numbered(const char *method, uint64_t n)
{
	mp_buf_reset(&h.params);
	mp_put_array(&h.params, 1);
	mp_put_u64(&h.params, n);
	return kvhelp_apply(&h, method);
}

static uint64_t
grant(uint64_t ttl)
{
	ck_assert_int_eq(numbered("lease.grant", ttl), WIRE_OK);
	return answer_u64("lease");
}

/* put with one option that is a number. */
static enum wire_status
put_with(const char *key, const char *option, uint64_t n)
{
	mp_buf_reset(&h.params);
	mp_put_array(&h.params, 3);
	mp_put_str(&h.params, key);
	mp_put_str(&h.params, "v");
	mp_put_map(&h.params, option == NULL ? 0 : 1);
	if (option != NULL)
		mp_put_kv_u64(&h.params, option, n);
	return kvhelp_apply(&h, "put");
}

static bool
exists(const char *key)
{
	mp_buf_reset(&h.params);
	mp_put_array(&h.params, 1);
	mp_put_str(&h.params, key);
	ck_assert_int_eq(kvhelp_query(&h, "get"), WIRE_OK);
	return h.reply.data[0] != 0xc0;
}

static uint64_t
lease_of(const char *key)
{
	ck_assert(exists(key));
	return answer_u64("lease");
}

static void
pass(uint64_t ms)
{
	h.stamp += ms;
	ck_assert_int_eq(kv_ops.advance(h.f, ++h.index, h.stamp), WIRE_OK);
}

static uint32_t
lease_count(void)
{
	return h.f->leases.count;
}

/* ---- leases ------------------------------------------------------------ */

START_TEST(test_a_key_goes_with_its_lease_and_not_before)
{
	uint64_t l = grant(100);

	ck_assert_uint_eq(answer_u64("ttl_ms"), 100);
	ck_assert_uint_eq(answer_u64("remaining_ms"), 100);
	ck_assert_int_eq(put_with("a", "lease", l), WIRE_OK);
	ck_assert_int_eq(put_with("b", "lease", l), WIRE_OK);
	ck_assert_uint_eq(lease_of("a"), l);
	ck_assert_uint_eq(kv_ops.due(h.f), h.stamp + 100);
	pass(99);
	ck_assert(exists("a") && exists("b"));
	pass(1);
	ck_assert(!exists("a") && !exists("b"));
	ck_assert_uint_eq(kv_ops.due(h.f), UINT64_MAX);
	/* Both in one revision. */
	ck_assert_uint_eq(kv_ops.rev(h.f), 3);
	ck_assert_uint_eq(lease_count(), 0);
}
END_TEST

START_TEST(test_no_command_finds_a_lease_that_its_stamp_ends)
{
	uint64_t l = grant(100);

	ck_assert_int_eq(put_with("a", "lease", l), WIRE_OK);
	h.stamp += 100;
	ck_assert_int_eq(put_with("b", "lease", l), WIRE_ABSENT);
	ck_assert_int_eq(numbered("lease.renew", l), WIRE_ABSENT);
	ck_assert_int_eq(numbered("lease.revoke", l), WIRE_ABSENT);
	ck_assert(!exists("a") && !exists("b"));
}
END_TEST

START_TEST(test_renewing_counts_from_its_own_stamp)
{
	uint64_t l = grant(100);

	ck_assert_int_eq(put_with("a", "lease", l), WIRE_OK);
	pass(60);
	ck_assert_int_eq(numbered("lease.renew", l), WIRE_OK);
	ck_assert_uint_eq(answer_u64("remaining_ms"), 100);
	pass(99);
	ck_assert(exists("a"));
	pass(1);
	ck_assert(!exists("a"));
}
END_TEST

START_TEST(test_revoking_deletes_at_once)
{
	uint64_t l = grant(100);

	ck_assert_int_eq(put_with("a", "lease", l), WIRE_OK);
	ck_assert_int_eq(numbered("lease.revoke", l), WIRE_OK);
	ck_assert_uint_eq(answer_u64("deleted"), 1);
	ck_assert(!exists("a"));
	ck_assert_uint_eq(lease_count(), 0);
}
END_TEST

START_TEST(test_a_number_is_never_given_twice)
{
	uint64_t l = grant(100);

	ck_assert_int_eq(numbered("lease.revoke", l), WIRE_OK);
	ck_assert_uint_gt(grant(100), l);
}
END_TEST

START_TEST(test_a_plain_put_takes_the_key_out_of_its_lease)
{
	uint64_t l = grant(100);

	ck_assert_int_eq(put_with("a", "lease", l), WIRE_OK);
	ck_assert_int_eq(put_with("a", NULL, 0), WIRE_OK);
	ck_assert_uint_eq(lease_of("a"), 0);
	pass(100);
	ck_assert(exists("a"));
}
END_TEST

START_TEST(test_append_and_incr_keep_the_lease)
{
	mp_buf_reset(&h.params);
	mp_put_array(&h.params, 3);
	mp_put_str(&h.params, "n");
	mp_put_str(&h.params, "5");
	mp_put_map(&h.params, 1);
	mp_put_kv_u64(&h.params, "ttl", 100);
	ck_assert_int_eq(kvhelp_apply(&h, "put"), WIRE_OK);
	mp_buf_reset(&h.params);
	mp_put_array(&h.params, 2);
	mp_put_str(&h.params, "n");
	mp_put_u64(&h.params, 2);
	ck_assert_int_eq(kvhelp_apply(&h, "incr"), WIRE_OK);
	ck_assert_uint_eq(answer_u64("value"), 7);
	ck_assert_uint_eq(lease_of("n"), 1);
	pass(100);
	ck_assert(!exists("n"));
}
END_TEST

START_TEST(test_a_ttl_is_a_lease_that_ends_with_its_key)
{
	ck_assert_int_eq(put_with("a", "ttl", 100), WIRE_OK);
	ck_assert_uint_eq(lease_count(), 1);
	ck_assert_int_eq(put_with("a", "ttl", 200), WIRE_OK);
	ck_assert_uint_eq(lease_count(), 1);
	pass(100);
	ck_assert(exists("a"));
	ck_assert_int_eq(put_with("a", NULL, 0), WIRE_OK);
	ck_assert_uint_eq(lease_count(), 0);
	pass(1000);
	ck_assert(exists("a"));
}
END_TEST

START_TEST(test_a_put_that_a_condition_refuses_makes_no_lease)
{
	ck_assert_int_eq(put_with("a", NULL, 0), WIRE_OK);
	mp_buf_reset(&h.params);
	mp_put_array(&h.params, 3);
	mp_put_str(&h.params, "a");
	mp_put_str(&h.params, "w");
	mp_put_map(&h.params, 2);
	mp_put_kv_bool(&h.params, "if_absent", true);
	mp_put_kv_u64(&h.params, "ttl", 100);
	ck_assert_int_eq(kvhelp_apply(&h, "put"), WIRE_OK);
	ck_assert(!answer_bool("succeeded"));
	ck_assert_uint_eq(lease_count(), 0);
}
END_TEST

START_TEST(test_what_is_not_a_lease_is_refused)
{
	ck_assert_int_eq(put_with("a", "lease", 7), WIRE_ABSENT);
	ck_assert_int_eq(put_with("a", "ttl", 0), WIRE_USAGE);
	ck_assert_int_eq(
	    put_with("a", "ttl", LEASE_TTL_MAX_MS + 1), WIRE_USAGE);
	ck_assert_int_eq(numbered("lease.grant", 0), WIRE_USAGE);
	ck_assert_int_eq(numbered("lease.renew", 1), WIRE_ABSENT);
	ck_assert(!exists("a"));
}
END_TEST

START_TEST(test_a_lease_has_so_many_keys)
{
	uint64_t l = grant(100);
	char key[16];
	int i;

	for (i = 0; i < LEASE_KEYS_MAX; i++) {
		(void)snprintf(key, sizeof(key), "k%d", i);
		ck_assert_int_eq(put_with(key, "lease", l), WIRE_OK);
	}
	ck_assert_int_eq(put_with("more", "lease", l), WIRE_BUSY);
	ck_assert_int_eq(put_with("k0", "lease", l), WIRE_OK);
	pass(100);
	ck_assert(!exists("k0"));
	ck_assert_uint_eq(h.f->keys, 0);
}
END_TEST

START_TEST(test_much_that_is_due_ends_over_several_entries)
{
	uint64_t l = 0;
	int i;

	for (i = 0; i < 2 * LEASE_WORK_MAX + 10; i++)
		l = grant(50);
	pass(50);
	ck_assert_uint_eq(lease_count(), LEASE_WORK_MAX + 10);
	/* What is left counts no more. */
	ck_assert_int_eq(numbered("lease.renew", l), WIRE_ABSENT);
	ck_assert_uint_eq(lease_count(), 10);
	ck_assert_int_eq(put_with("k", "lease", l), WIRE_ABSENT);
	ck_assert_uint_eq(lease_count(), 0);
}
END_TEST

START_TEST(test_watchers_are_told_what_expired)
{
	uint64_t since = 0;
	struct mp_cur events;
	struct mp_map m;
	struct mp_span type;
	uint32_t count, i;

	ck_assert_int_eq(put_with("a", "ttl", 10), WIRE_OK);
	pass(10);
	mp_buf_reset(&h.params);
	mp_put_array(&h.params, 2);
	mp_put_str(&h.params, "a");
	mp_put_map(&h.params, 1);
	mp_put_kv_u64(&h.params, "since", 0);
	mp_buf_reset(&h.reply);
	ck_assert_int_eq(kv_ops.watch(h.f, mp_span(h.params.data, h.params.len),
			     &since, false, &h.reply, &h.err),
	    WIRE_OK);
	m = answer();
	ck_assert_int_eq(mp_get(&m, "events", &events), 0);
	ck_assert_int_eq(mp_read_array(&events, &count), 0);
	ck_assert_uint_eq(count, 2);
	for (i = 0; i < count; i++) {
		ck_assert_int_eq(mp_read_mapping(&events, &m), 0);
		ck_assert_int_eq(mp_get_bytes(&m, "type", &type, 16), 0);
		ck_assert(mp_span_eq(type, i == 0 ? "put" : "expire"));
	}
}
END_TEST

START_TEST(test_show_and_list_tell_keys_and_time)
{
	uint64_t a = grant(100), b = grant(300);
	struct mp_cur list;
	struct mp_map m;
	uint32_t count;

	ck_assert_int_eq(put_with("x", "lease", b), WIRE_OK);
	pass(40);
	mp_buf_reset(&h.params);
	mp_put_array(&h.params, 1);
	mp_put_u64(&h.params, a);
	ck_assert_int_eq(kvhelp_query(&h, "lease.show"), WIRE_OK);
	ck_assert_uint_eq(answer_u64("remaining_ms"), 60);
	ck_assert_int_eq(kvhelp_query(&h, "lease.list"), WIRE_OK);
	m = answer(); /* behind a: b alone */
	ck_assert_int_eq(mp_get(&m, "leases", &list), 0);
	ck_assert_int_eq(mp_read_array(&list, &count), 0);
	ck_assert_uint_eq(count, 1);
	ck_assert_int_eq(mp_read_mapping(&list, &m), 0);
	ck_assert_int_eq(mp_get(&m, "keys", &list), 0);
	ck_assert_int_eq(mp_read_array(&list, &count), 0);
	ck_assert_uint_eq(count, 1);
}
END_TEST

/* ---- locks ------------------------------------------------------------- */

/* slots 0: shared. */
static enum wire_status
lock(const char *name, uint64_t lease, uint64_t slots, bool queue)
{
	mp_buf_reset(&h.params);
	mp_put_array(&h.params, 2);
	mp_put_str(&h.params, name);
	mp_put_map(&h.params, 3);
	mp_put_kv_u64(&h.params, "lease", lease);
	if (slots == 0)
		mp_put_kv_bool(&h.params, "shared", true);
	else
		mp_put_kv_u64(&h.params, "slots", slots);
	mp_put_kv_bool(&h.params, "queue", queue);
	return kvhelp_apply(&h, "lock");
}

/* The token, or 0 if it waits. */
static uint64_t
take(const char *name, uint64_t lease, uint64_t slots)
{
	ck_assert_int_eq(lock(name, lease, slots, true), WIRE_OK);
	ck_assert(answer_bool("held") != answer_bool("waiting"));
	return answer_u64("token");
}

static enum wire_status
unlock(const char *name, uint64_t lease)
{
	mp_buf_reset(&h.params);
	mp_put_array(&h.params, 2);
	mp_put_str(&h.params, name);
	mp_put_map(&h.params, 1);
	mp_put_kv_u64(&h.params, "lease", lease);
	return kvhelp_apply(&h, "unlock");
}

/* The token that a lease has now, 0 none. */
static uint64_t
token_of(const char *name, uint64_t lease)
{
	const struct lock *l = lock_find(h.f, mp_span(name, strlen(name)));
	const struct lease *owner = lease_find(h.f, lease);
	const struct lock_entry *e =
	    l == NULL || owner == NULL ? NULL : lock_place_of(l, owner);

	return e == NULL ? 0 : e->token;
}

START_TEST(test_a_lock_is_held_by_one_and_then_the_next_in_order)
{
	uint64_t a = grant(1000), b = grant(1000), c = grant(1000), ta, tb;

	ta = take("m", a, 1);
	ck_assert_uint_gt(ta, 0);
	ck_assert_uint_eq(take("m", b, 1), 0);
	ck_assert_uint_eq(answer_u64("position"), 0);
	ck_assert_uint_eq(take("m", c, 1), 0);
	ck_assert_uint_eq(answer_u64("position"), 1);
	ck_assert_int_eq(unlock("m", a), WIRE_OK);
	tb = token_of("m", b);
	ck_assert_uint_gt(tb, ta);
	ck_assert_uint_eq(token_of("m", c), 0);
	ck_assert_int_eq(numbered("lease.revoke", b), WIRE_OK);
	ck_assert_uint_gt(token_of("m", c), tb);
}
END_TEST

START_TEST(test_a_lock_passes_on_when_the_holders_lease_runs_out)
{
	uint64_t a = grant(100), b = grant(1000);

	ck_assert_uint_gt(take("m", a, 1), 0);
	ck_assert_uint_eq(take("m", b, 1), 0);
	pass(99);
	ck_assert_uint_eq(token_of("m", b), 0);
	pass(1);
	ck_assert_uint_gt(token_of("m", b), 0);
}
END_TEST

START_TEST(test_sharers_go_together_and_do_not_overtake)
{
	uint64_t a = grant(1000), b = grant(1000), c = grant(1000);
	uint64_t d = grant(1000);

	ck_assert_uint_gt(take("m", a, 0), 0);
	ck_assert_uint_gt(take("m", b, 0), 0);
	ck_assert_uint_eq(take("m", c, 1), 0);
	ck_assert_uint_eq(take("m", d, 0), 0);
	ck_assert_int_eq(unlock("m", a), WIRE_OK);
	ck_assert_uint_eq(token_of("m", c), 0);
	ck_assert_int_eq(unlock("m", b), WIRE_OK);
	ck_assert_uint_gt(token_of("m", c), 0);
	ck_assert_uint_eq(token_of("m", d), 0);
	ck_assert_int_eq(unlock("m", c), WIRE_OK);
	ck_assert_uint_gt(token_of("m", d), 0);
}
END_TEST

START_TEST(test_slots_count)
{
	uint64_t l[4];
	int i;

	for (i = 0; i < 4; i++)
		l[i] = grant(1000);
	ck_assert_uint_gt(take("m", l[0], 3), 0);
	ck_assert_uint_gt(take("m", l[1], 3), 0);
	/* Everyone's limit holds: this one wants two at most. */
	ck_assert_uint_eq(take("m", l[2], 2), 0);
	ck_assert_uint_eq(take("m", l[3], 3), 0);
	ck_assert_int_eq(unlock("m", l[0]), WIRE_OK);
	ck_assert_uint_gt(token_of("m", l[2]), 0);
	ck_assert_uint_eq(token_of("m", l[3]), 0);
	ck_assert_int_eq(unlock("m", l[2]), WIRE_OK);
	ck_assert_uint_gt(token_of("m", l[3]), 0);
}
END_TEST

START_TEST(test_without_a_queue_nothing_is_left_behind)
{
	uint64_t a = grant(1000), b = grant(1000);

	ck_assert_uint_gt(take("m", a, 1), 0);
	ck_assert_int_eq(lock("m", b, 1, false), WIRE_OK);
	ck_assert(!answer_bool("held") && !answer_bool("waiting"));
	ck_assert_int_eq(unlock("m", a), WIRE_OK);
	ck_assert_uint_eq(token_of("m", b), 0);
	ck_assert_ptr_null(lock_find(h.f, mp_span("m", 1)));
}
END_TEST

START_TEST(test_the_same_lease_keeps_its_place)
{
	uint64_t a = grant(1000), b = grant(1000), t = take("m", a, 1);

	ck_assert_uint_eq(take("m", a, 1), t);
	ck_assert_uint_eq(take("m", b, 1), 0);
	ck_assert_uint_eq(take("m", b, 1), 0);
	ck_assert_int_eq(unlock("m", a), WIRE_OK);
	ck_assert_int_eq(unlock("m", b), WIRE_OK);
	ck_assert(answer_bool("succeeded"));
	ck_assert_int_eq(unlock("m", b), WIRE_OK);
	ck_assert(!answer_bool("succeeded"));
}
END_TEST

static bool
put_if(const char *name, uint64_t token)
{
	mp_buf_reset(&h.params);
	mp_put_array(&h.params, 3);
	mp_put_str(&h.params, "k");
	mp_put_str(&h.params, "v");
	mp_put_map(&h.params, 2);
	mp_put_kv_str(&h.params, "if_lock", name);
	mp_put_kv_u64(&h.params, "if_token", token);
	ck_assert_int_eq(kvhelp_apply(&h, "put"), WIRE_OK);
	return answer_bool("succeeded");
}

START_TEST(test_the_token_is_checked)
{
	uint64_t a = grant(100), b = grant(1000), t = take("m", a, 1);

	ck_assert_uint_eq(take("m", b, 1), 0);
	ck_assert(put_if("m", t));
	ck_assert(!put_if("m", t + 1));
	ck_assert(!put_if("n", t));
	h.stamp += 100; /* the very entry is too late */
	ck_assert(!put_if("m", t));
	ck_assert(put_if("m", token_of("m", b)));
}
END_TEST

START_TEST(test_a_transaction_compares_a_token)
{
	uint64_t t = take("m", grant(100), 1);
	int i;

	for (i = 0; i < 2; i++) {
		mp_buf_reset(&h.params);
		mp_put_array(&h.params, 1);
		mp_put_map(&h.params, 1);
		mp_put_str(&h.params, "if");
		mp_put_array(&h.params, 1);
		mp_put_map(&h.params, 2);
		mp_put_kv_str(&h.params, "lock", "m");
		mp_put_kv_u64(&h.params, "token", t + (uint64_t)i);
		ck_assert_int_eq(kvhelp_apply(&h, "txn"), WIRE_OK);
		ck_assert(answer_bool("succeeded") == (i == 0));
	}
}
END_TEST

START_TEST(test_a_transaction_puts_with_a_lease)
{
	uint64_t l = grant(100);
	int i;

	for (i = 0; i < 2; i++) {
		mp_buf_reset(&h.params);
		mp_put_array(&h.params, 1);
		mp_put_map(&h.params, 1);
		mp_put_str(&h.params, "then");
		mp_put_array(&h.params, 1);
		mp_put_map(&h.params, 1);
		mp_put_str(&h.params, "put");
		mp_put_map(&h.params, 3);
		mp_put_kv_str(&h.params, "key", "t");
		mp_put_kv_str(&h.params, "value", "v");
		mp_put_kv_u64(&h.params, "lease", l + (uint64_t)i);
		ck_assert_int_eq(
		    kvhelp_apply(&h, "txn"), i == 0 ? WIRE_OK : WIRE_ABSENT);
	}
	ck_assert_uint_eq(lease_of("t"), l);
	pass(100);
	ck_assert(!exists("t"));
}
END_TEST

static enum wire_status
wait_for(const char *name, uint64_t lease, uint64_t order, bool now)
{
	mp_buf_reset(&h.params);
	mp_buf_reset(&h.reply);
	mp_put_array(&h.params, 2);
	mp_put_str(&h.params, name);
	mp_put_map(&h.params, 2);
	mp_put_kv_u64(&h.params, "lease", lease);
	mp_put_kv_u64(&h.params, "order", order);
	return kv_ops.wait(
	    h.f, mp_span(h.params.data, h.params.len), now, &h.reply, &h.err);
}

START_TEST(test_waiting_ends_with_the_turn_or_the_place)
{
	uint64_t a = grant(100), b = grant(1000), order, waits;

	ck_assert_uint_gt(take("m", a, 1), 0);
	ck_assert_uint_eq(take("m", b, 1), 0);
	order = answer_u64("order");
	ck_assert_int_eq(wait_for("m", b, order, false), WIRE_ABSENT);
	ck_assert_int_eq(wait_for("m", b, order, true), WIRE_OK);
	ck_assert(answer_bool("waiting"));
	/* A server that has not seen the place yet says nothing. */
	ck_assert_int_eq(wait_for("m", 77, order + 1, false), WIRE_ABSENT);
	ck_assert_int_eq(wait_for("m", 77, order + 1, true), WIRE_OK);
	ck_assert(answer_bool("waiting"));
	waits = kv_ops.waits(h.f);
	pass(100);
	ck_assert_uint_ne(kv_ops.waits(h.f), waits);
	ck_assert_int_eq(wait_for("m", b, order, false), WIRE_OK);
	ck_assert(answer_bool("held"));
	ck_assert_int_eq(numbered("lease.revoke", b), WIRE_OK);
	ck_assert_int_eq(wait_for("m", b, order, false), WIRE_OK);
	ck_assert(!answer_bool("held") && !answer_bool("waiting"));
}
END_TEST

/* ---- replicas ---------------------------------------------------------- */

struct image {
	struct mp_buf bytes;
	size_t pos;
};

static int
image_write(void *ctx, const void *data, size_t len)
{
	struct image *im = ctx;

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

static struct fsm *
copy_of(struct fsm *f)
{
	struct image im = {.pos = 0};
	struct fsm *copy = kv_ops.new(1);
	struct fsm_digest a, b;

	mp_buf_init(&im.bytes);
	ck_assert_int_eq(kv_ops.save(f, image_write, &im), 0);
	ck_assert_int_eq(kv_ops.load(copy, image_read, &im), 0);
	ck_assert_uint_eq(im.pos, im.bytes.len);
	mp_buf_release(&im.bytes);
	a = kv_ops.digest(f);
	b = kv_ops.digest(copy);
	ck_assert(a.hi == b.hi && a.lo == b.lo);
	ck_assert_uint_eq(kv_ops.due(f), kv_ops.due(copy));
	ck_assert(kvstore_check(copy));
	return copy;
}

START_TEST(test_remaining_time_survives_saving)
{
	uint64_t l = grant(100);
	struct fsm *copy;

	ck_assert_int_eq(put_with("a", "lease", l), WIRE_OK);
	pass(60);
	copy = copy_of(h.f);
	kv_ops.free(h.f);
	h.f = copy;
	pass(39);
	ck_assert(exists("a"));
	ck_assert_uint_eq(lease_of("a"), l);
	pass(1);
	ck_assert(!exists("a"));
}
END_TEST

START_TEST(test_the_queue_survives_saving)
{
	uint64_t a = grant(100), b = grant(1000), c = grant(1000);
	struct fsm *copy;

	ck_assert_uint_gt(take("m", a, 1), 0);
	ck_assert_uint_eq(take("m", b, 1), 0);
	ck_assert_uint_eq(take("m", c, 1), 0);
	copy = copy_of(h.f);
	kv_ops.free(h.f);
	h.f = copy;
	pass(100);
	ck_assert_uint_gt(token_of("m", b), 0);
	ck_assert_uint_eq(token_of("m", c), 0);
}
END_TEST

START_TEST(test_no_changed_byte_of_a_saved_lease_is_taken)
{
	struct image im = {.pos = 0};
	struct fsm *f;
	size_t i;

	ck_assert_int_eq(put_with("a", "lease", grant(100)), WIRE_OK);
	(void)take("m", 1, 1);
	(void)take("m", grant(50), 1);
	mp_buf_init(&im.bytes);
	ck_assert_int_eq(kv_ops.save(h.f, image_write, &im), 0);
	for (i = 0; i < im.bytes.len; i++) {
		if (i >= 32 && i < 40)
			continue; /* the index, which has no part in it */
		im.bytes.data[i] ^= 0x21;
		im.pos = 0;
		f = kv_ops.new(1);
		ck_assert_msg(
		    kv_ops.load(f, image_read, &im) < 0, "byte %zu", i);
		kv_ops.free(f);
		im.bytes.data[i] ^= 0x21;
	}
	mp_buf_release(&im.bytes);
}
END_TEST

START_TEST(test_a_state_without_leases_is_saved_as_before)
{
	struct image im = {.pos = 0};

	ck_assert_int_eq(put_with("a", NULL, 0), WIRE_OK);
	mp_buf_init(&im.bytes);
	ck_assert_int_eq(kv_ops.save(h.f, image_write, &im), 0);
	ck_assert_mem_eq(im.bytes.data, "raftkv2\n", 8);
	mp_buf_release(&im.bytes);
}
END_TEST

/* Which keys there must be, written down a second time and simply. */
#define KEYS 12
#define LEASES 4000
struct model {
	uint64_t due[LEASES], ttl[LEASES];
	bool live[LEASES];
	uint64_t last;
	bool exists[KEYS];
	uint64_t lease[KEYS];
};

static void
model_time(struct model *m, uint64_t now)
{
	unsigned k;
	uint64_t l;

	for (l = 1; l <= m->last; l++)
		if (m->live[l] && m->due[l] <= now) {
			m->live[l] = false;
			for (k = 0; k < KEYS; k++)
				if (m->exists[k] && m->lease[k] == l) {
					m->exists[k] = false;
					m->lease[k] = 0;
				}
		}
}

/* One random command, on the store and on the model. */
static void
random_step(struct model *m)
{
	unsigned k = (unsigned)below(KEYS);
	uint64_t ttl = 1 + below(40), l = 1 + below(m->last + 2);
	char key[8], name[8];
	enum wire_status st;
	bool live;

	h.stamp += below(4);
	model_time(m, h.stamp);
	(void)snprintf(key, sizeof(key), "k%u", k);
	(void)snprintf(name, sizeof(name), "l%u", (unsigned)below(3));
	live = l <= m->last && m->live[l];
	switch (below(9)) {
	case 0:
		l = grant(ttl);
		ck_assert_uint_eq(l, m->last + 1);
		m->live[++m->last] = true;
		m->ttl[l] = ttl;
		m->due[l] = h.stamp + ttl;
		break;
	case 1:
	case 2:
		st = put_with(key, "lease", l);
		ck_assert_int_eq(st, live ? WIRE_OK : WIRE_ABSENT);
		if (live) {
			m->exists[k] = true;
			m->lease[k] = l;
		}
		break;
	case 3:
		ck_assert_int_eq(put_with(key, NULL, 0), WIRE_OK);
		m->exists[k] = true;
		m->lease[k] = 0;
		break;
	case 4:
		st = numbered("lease.renew", l);
		ck_assert_int_eq(st, live ? WIRE_OK : WIRE_ABSENT);
		if (live)
			m->due[l] = h.stamp + m->ttl[l];
		break;
	case 5:
		if (below(3) != 0)
			break;
		st = numbered("lease.revoke", l);
		ck_assert_int_eq(st, live ? WIRE_OK : WIRE_ABSENT);
		if (live) {
			m->due[l] = 0;
			model_time(m, h.stamp);
		}
		break;
	case 6:
	case 7:
		st = lock(name, l, below(3), below(4) != 0);
		ck_assert(
		    st == (live ? WIRE_OK : WIRE_ABSENT) || st == WIRE_OK);
		break;
	default:
		ck_assert_int_eq(unlock(name, l), WIRE_OK);
		break;
	}
	if (below(4) == 0)
		pass(below(3));
	model_time(m, h.stamp);
}

/* Exclusion, from outside: holders of a lock go together. */
static void
assert_exclusion(void)
{
	const struct lock *l = lock_seek(h.f, mp_span(NULL, 0), false);
	const struct lock_entry *e;

	for (; l != NULL; l = lock_next(h.f, l))
		TAILQ_FOREACH (e, &l->holders, link)
			ck_assert_uint_le(l->holder_count, e->slots);
}

START_TEST(test_random_commands_against_a_model)
{
	struct model *m = calloc(1, sizeof(*m));
	struct fsm *copy;
	struct fsm_digest a, b;
	char key[8];
	unsigned k;
	int i;

	ck_assert_ptr_nonnull(m);
	rng = 88172645463325252u + (uint64_t)_i;
	for (i = 0; i < 1500; i++) {
		if (i % 100 == 50) {
			/* Goes on with what was saved. */
			copy = copy_of(h.f);
			kv_ops.free(h.f);
			h.f = copy;
		}
		random_step(m);
		assert_exclusion();
		for (k = 0; k < KEYS; k++) {
			(void)snprintf(key, sizeof(key), "k%u", k);
			if (h.f->time == h.stamp)
				ck_assert(exists(key) == m->exists[k]);
		}
		if (i % 50 == 0)
			ck_assert(kvstore_check(h.f));
	}
	/* ... and one loaded now goes on alike. */
	copy = copy_of(h.f);
	for (i = 0; i < 200; i++) {
		h.stamp += 3;
		ck_assert_int_eq(
		    kv_ops.advance(h.f, ++h.index, h.stamp), WIRE_OK);
		ck_assert_int_eq(
		    kv_ops.advance(copy, h.index, h.stamp), WIRE_OK);
		a = kv_ops.digest(h.f);
		b = kv_ops.digest(copy);
		ck_assert(a.hi == b.hi && a.lo == b.lo);
	}
	kv_ops.free(copy);
	free(m);
}
END_TEST

int
main(void)
{
	const TTest *const tests[] = {
	    test_a_key_goes_with_its_lease_and_not_before,
	    test_no_command_finds_a_lease_that_its_stamp_ends,
	    test_renewing_counts_from_its_own_stamp,
	    test_revoking_deletes_at_once,
	    test_a_number_is_never_given_twice,
	    test_a_plain_put_takes_the_key_out_of_its_lease,
	    test_append_and_incr_keep_the_lease,
	    test_a_ttl_is_a_lease_that_ends_with_its_key,
	    test_a_put_that_a_condition_refuses_makes_no_lease,
	    test_what_is_not_a_lease_is_refused,
	    test_a_lease_has_so_many_keys,
	    test_much_that_is_due_ends_over_several_entries,
	    test_watchers_are_told_what_expired,
	    test_show_and_list_tell_keys_and_time,
	    test_a_lock_is_held_by_one_and_then_the_next_in_order,
	    test_a_lock_passes_on_when_the_holders_lease_runs_out,
	    test_sharers_go_together_and_do_not_overtake,
	    test_slots_count,
	    test_without_a_queue_nothing_is_left_behind,
	    test_the_same_lease_keeps_its_place,
	    test_the_token_is_checked,
	    test_a_transaction_compares_a_token,
	    test_a_transaction_puts_with_a_lease,
	    test_waiting_ends_with_the_turn_or_the_place,
	    test_remaining_time_survives_saving,
	    test_the_queue_survives_saving,
	    test_no_changed_byte_of_a_saved_lease_is_taken,
	    test_a_state_without_leases_is_saved_as_before,
	};
	Suite *s = suite_create("lease");
	TCase *tc = tcase_create("lease");
	SRunner *r;
	size_t i;
	int failed;

	tcase_add_checked_fixture(tc, setup, teardown);
	for (i = 0; i < sizeof(tests) / sizeof(tests[0]); i++)
		tcase_add_test(tc, tests[i]);
	tcase_add_loop_test(tc, test_random_commands_against_a_model, 0, 20);
	tcase_set_timeout(tc, 60);
	suite_add_tcase(s, tc);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed > 0;
}
