/*
 * test_watchers.c - who is told of which change: the watchers of a group over
 * a history made by hand.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "raftctl/frame.h"
#include "raftd/watchers.h"

#define CHANGES_MAX 64
#define SENT_MAX 256
#define ME 7

static struct past {
	uint64_t rev;
	char key[16];
} past[CHANGES_MAX];
static size_t changes;
static uint64_t rev_now, oldest;

static struct host host;
static struct group group;
static size_t backlog;
static char sent[SENT_MAX][48]; /* "1 put a 5+" */
static unsigned sents;

/* ---- the history ------------------------------------------------------- */

static enum wire_status
fake_args(struct mp_span params, struct fsm_watch *want, struct wire_error *err)
{
	struct mp_cur c = mp_cur_span(params);
	uint32_t count;
	uint64_t prefix, since, progress;

	(void)err;
	memset(want, 0, sizeof(*want));
	ck_assert(mp_read_array(&c, &count) == 0 && count == 4);
	ck_assert_int_eq(mp_read_bytes(&c, &want->key), 0);
	ck_assert_int_eq(mp_read_u64(&c, &prefix), 0);
	ck_assert_int_eq(mp_read_u64(&c, &since), 0);
	ck_assert_int_eq(mp_read_u64(&c, &progress), 0);
	want->prefix = prefix != 0;
	want->since = since;
	want->progress_ms = progress;
	return WIRE_OK;
}

static size_t
fake_since(const struct fsm *f, uint64_t rev)
{
	size_t i = 0;

	(void)f;
	while (i < changes && past[i].rev <= rev)
		i++;
	return i;
}

static bool
fake_event(const struct fsm *f, size_t i, struct fsm_event *e)
{
	(void)f;
	if (i >= changes)
		return false;
	e->rev = past[i].rev;
	e->key = mp_span(past[i].key, strlen(past[i].key));
	return true;
}

static void
fake_put_event(const struct fsm *f, size_t i, bool prev, struct mp_buf *b)
{
	(void)f;
	(void)prev;
	mp_put_map(b, 3);
	mp_put_kv_str(b, "type", "put");
	mp_put_kv_u64(b, "rev", past[i].rev);
	mp_put_kv_str(b, "key", past[i].key);
}

static uint64_t
fake_rev(const struct fsm *f)
{
	(void)f;
	return rev_now;
}

static uint64_t
fake_floor(const struct fsm *f)
{
	(void)f;
	return oldest;
}

static const struct fsm_ops ops = {
    .watch_args = fake_args,
    .since = fake_since,
    .event = fake_event,
    .put_event = fake_put_event,
    .rev = fake_rev,
    .floor = fake_floor,
};

/* ---- the connections --------------------------------------------------- */

static void
fake_send(void *ctx, uint64_t client, const struct piece *piece, unsigned count)
{
	struct mp_span type, key = mp_span("", 0);
	uint8_t bytes[512];
	struct frame f;
	struct mp_cur c, k;
	struct mp_map m;
	size_t len = 0;
	uint64_t id, rev;
	uint32_t n;
	bool more;

	(void)ctx;
	ck_assert_uint_eq(client, ME);
	for (unsigned i = 0; i < count; i++) {
		memcpy(bytes + len, piece[i].p, piece[i].len);
		len += piece[i].len;
	}
	ck_assert_int_eq(frame_parse(bytes, len, &f), 0);
	if (f.type != FRAME_NOTIFY)
		return;
	c = mp_cur_span(f.params);
	ck_assert(mp_read_array(&c, &n) == 0 && n == 3);
	ck_assert_int_eq(mp_read_u64(&c, &id), 0);
	ck_assert_int_eq(mp_read_mapping(&c, &m), 0);
	ck_assert_int_eq(mp_read_bool(&c, &more), 0);
	ck_assert_int_eq(mp_get_u64(&m, "rev", &rev), 0);
	ck_assert_int_eq(mp_get_bytes(&m, "type", &type, 16), 0);
	if (mp_get(&m, "key", &k) == 0 && mp_peek(&k) != MP_NIL)
		ck_assert_int_eq(mp_read_bytes(&k, &key), 0);
	ck_assert_uint_lt(sents, SENT_MAX);
	(void)snprintf(sent[sents++], sizeof(sent[0]), "%llu %.*s%s%.*s %llu%s",
	    (unsigned long long)id, (int)type.len, (const char *)type.p,
	    key.len > 0 ? " " : "", (int)key.len, (const char *)key.p,
	    (unsigned long long)rev, more ? "+" : "");
}

static size_t
fake_backlog(void *ctx, uint64_t client)
{
	(void)ctx;
	return client == ME ? backlog : 0;
}

static void
setup(void)
{
	memset(&host, 0, sizeof(host));
	memset(&group, 0, sizeof(group));
	changes = 0;
	rev_now = oldest = 0;
	backlog = 0;
	sents = 0;
	host.env.client_send = fake_send;
	host.env.client_backlog = fake_backlog;
	host.opt.election_ns = 1000000000;
	host.group = &group;
	mp_buf_init(&host.reply);
	mp_buf_init(&host.wire);
	ck_assert_int_eq(request_pool_init(&host.pool, 16), 0);
	group.host = &host;
	group.ops = &ops;
	group.id = 1;
	for (int i = 0; i < REQUEST_STATE_COUNT; i++)
		TAILQ_INIT(&group.queue[i]);
	group.watchers = watchers_new();
	ck_assert_ptr_nonnull(group.watchers);
}

static void
teardown(void)
{
	watchers_free(group.watchers);
	request_pool_release(&host.pool);
	mp_buf_release(&host.reply);
	mp_buf_release(&host.wire);
}

static void
put(const char *key, bool same_rev)
{
	ck_assert_uint_lt(changes, CHANGES_MAX);
	rev_now += !same_rev;
	past[changes].rev = rev_now;
	(void)snprintf(past[changes++].key, sizeof(past[0].key), "%s", key);
}

static void
watch(const char *key, bool prefix, uint64_t since, uint64_t progress)
{
	struct request *r = request_new(&host.pool);
	struct mp_buf b;

	mp_buf_init(&b);
	mp_put_array(&b, 4);
	mp_put_str(&b, key);
	mp_put_u64(&b, prefix);
	mp_put_u64(&b, since);
	mp_put_u64(&b, progress);
	r->kind = REQUEST_SUBSCRIBE;
	r->client = ME;
	r->params = mp_span(b.data, b.len);
	watchers_request(&group, r);
	mp_buf_release(&b);
}

static uint64_t
turn(uint64_t ms)
{
	host.now.mono_ns += ms * 1000000;
	group.served_ns = host.now.mono_ns;
	return watchers_turn(&group);
}

/* What was sent since the last time, and nothing else. */
static void
expect(const char *const *want)
{
	unsigned n = 0;

	for (; want[n] != NULL; n++)
		ck_assert_str_eq(n < sents ? sent[n] : "nothing", want[n]);
	ck_assert_uint_eq(sents, n);
	sents = 0;
}
#define EXPECT(...) expect((const char *const[]){__VA_ARGS__, NULL})
#define EXPECT_NOTHING() expect((const char *const[]){NULL})

START_TEST(test_each_is_told_what_concerns_it)
{
	watch("a", false, 0, 0);
	watch("a", true, 0, 0);
	watch("", true, 0, 0);
	turn(1);
	EXPECT("1 sync 0", "2 sync 0", "3 sync 0");
	put("a", false);
	put("ab", false);
	put("b", false);
	turn(1);
	EXPECT("1 put a 1", "3 put a 1", "2 put a 1", "3 put ab 2",
	    "2 put ab 2", "3 put b 3");
	turn(1);
	EXPECT_NOTHING();
}
END_TEST

START_TEST(test_all_but_the_last_of_a_revision_say_that_more_follow)
{
	watch("a", true, 0, 0);
	turn(1);
	sents = 0;
	put("a1", false);
	put("b", true);
	put("a2", true);
	put("a3", true);
	put("a1", false);
	turn(1);
	EXPECT("1 put a1 1+", "1 put a2 1+", "1 put a3 1", "1 put a1 2");
	/* The same out of the history. */
	watch("a", true, 0, 0);
	turn(1);
	EXPECT("2 put a1 1+", "2 put a2 1+", "2 put a3 1", "2 put a1 2",
	    "2 sync 2");
}
END_TEST

START_TEST(test_who_does_not_read_goes_on_where_it_was)
{
	watch("a", false, 0, 0);
	turn(1);
	sents = 0;
	put("a", false);
	turn(1);
	backlog = WATCH_UNREAD_MAX + 1;
	put("a", false);
	put("a", false);
	turn(1);
	EXPECT("1 put a 1");
	put("a", false);
	turn(1);
	EXPECT_NOTHING();
	backlog = 0;
	turn(1);
	EXPECT("1 put a 2", "1 put a 3", "1 put a 4");
	put("a", false);
	turn(1);
	EXPECT("1 put a 5");
}
END_TEST

START_TEST(test_who_reads_nothing_for_long_is_told_where_it_stands)
{
	watch("a", false, 0, 0);
	turn(1);
	sents = 0;
	put("a", false);
	turn(1);
	backlog = WATCH_UNREAD_MAX + 1;
	put("a", false);
	turn(1);
	sents = 0;
	turn(WATCH_SLOW_NS / 1000000 - 10);
	EXPECT_NOTHING();
	turn(20);
	EXPECT("1 end 1");
	put("a", false);
	backlog = 0;
	ck_assert_uint_eq(turn(1), UINT64_MAX);
	EXPECT_NOTHING();
}
END_TEST

START_TEST(test_what_is_no_longer_kept_is_said)
{
	put("a", false);
	put("a", false);
	put("a", false);
	oldest = 2;
	watch("a", false, 1, 0);
	watch("a", false, 2, 0);
	turn(1);
	EXPECT("1 compacted 2", "2 put a 3", "2 sync 3");
}
END_TEST

START_TEST(test_a_state_put_in_place_of_the_old_one_ends_live_ones)
{
	watch("a", false, 0, 0);
	turn(1);
	sents = 0;
	/* As after a snapshot: no history, and a later revision. */
	rev_now = oldest = 9;
	turn(1);
	EXPECT("1 compacted 9");
}
END_TEST

START_TEST(test_a_server_that_is_behind_tells_nothing_twice)
{
	put("a", false);
	watch("a", false, 3, 0);
	turn(1);
	EXPECT_NOTHING();
	put("a", false);
	put("a", false);
	turn(1);
	EXPECT("1 sync 3");
	put("a", false);
	turn(1);
	EXPECT("1 put a 4");
}
END_TEST

START_TEST(test_signs_of_life)
{
	watch("a", false, 0, 100);
	turn(1);
	sents = 0;
	ck_assert_uint_eq(turn(1), 100000000);
	put("b", false);
	turn(97);
	EXPECT_NOTHING();
	turn(1);
	EXPECT("1 progress 1");
	turn(100);
	EXPECT("1 progress 1");
}
END_TEST

START_TEST(test_no_leader_no_watch)
{
	watch("a", false, 0, 0);
	turn(1);
	sents = 0;
	host.now.mono_ns += 3 * host.opt.election_ns;
	watchers_turn(&group);
	EXPECT("1 end 0");
	/* A new one is refused. */
	watch("a", false, 0, 0);
	watchers_turn(&group);
	EXPECT_NOTHING();
}
END_TEST

START_TEST(test_a_client_that_goes_takes_its_watches_along)
{
	watch("a", false, 0, 0);
	watch("b", true, 0, 0);
	turn(1);
	sents = 0;
	watchers_gone(&group, ME + 1);
	put("b1", false);
	turn(1);
	EXPECT("2 put b1 1");
	watchers_gone(&group, ME);
	put("b1", false);
	ck_assert_uint_eq(turn(1), UINT64_MAX);
	EXPECT_NOTHING();
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("watchers");
	TCase *t = tcase_create("watchers");
	SRunner *r;
	int failed;

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, test_each_is_told_what_concerns_it);
	tcase_add_test(
	    t, test_all_but_the_last_of_a_revision_say_that_more_follow);
	tcase_add_test(t, test_who_does_not_read_goes_on_where_it_was);
	tcase_add_test(
	    t, test_who_reads_nothing_for_long_is_told_where_it_stands);
	tcase_add_test(t, test_what_is_no_longer_kept_is_said);
	tcase_add_test(
	    t, test_a_state_put_in_place_of_the_old_one_ends_live_ones);
	tcase_add_test(t, test_a_server_that_is_behind_tells_nothing_twice);
	tcase_add_test(t, test_signs_of_life);
	tcase_add_test(t, test_no_leader_no_watch);
	tcase_add_test(t, test_a_client_that_goes_takes_its_watches_along);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed == 0 ? 0 : 1;
}
