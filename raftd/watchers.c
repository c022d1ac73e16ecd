/*
 * watchers.c - clients that are told of changes as they are applied here.
 */
#include "raftd/watchers.h"

#include <assert.h>
#include <bsd/sys/tree.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#define CATCH_UNREAD_MAX (256u << 10) /* queued to who is behind */
#define CATCH_SCAN_MAX 20000	      /* changes looked at in a turn */
#define LOOK_NS (20u * 1000 * 1000)   /* at who does not read */
#define PROGRESS_MS_MIN 50

/* Those who watch one key, or one prefix. */
struct interest {
	RB_ENTRY(interest) node;
	TAILQ_HEAD(, watcher) watchers;
	bool prefix;
	size_t len;
	uint8_t key[];
};
RB_HEAD(interest_tree, interest);

struct watcher {
	RB_ENTRY(watcher) node;
	TAILQ_ENTRY(watcher) same; /* of one interest */
	TAILQ_ENTRY(watcher) wait; /* behind, or told of in this revision */
	struct interest *in;
	uint64_t client, id;
	uint64_t pos; /* told everything up to here, see watchers.h */
	uint64_t progress_ns, progress_at;
	uint64_t slow_since; /* 0: it reads */
	struct blob *pending;
	bool live, synced, prev;
};
RB_HEAD(watcher_tree, watcher);
TAILQ_HEAD(watcher_list, watcher);

struct watchers {
	struct watcher_tree all; /* by client and id */
	struct interest_tree interests;
	struct watcher_list behind, told;
	uint32_t count;
	uint64_t next_id;
	uint64_t rev;		/* of the last pass */
	uint64_t applied_bytes; /* at that time */
	uint64_t look_ns;	/* when somebody is due for a sign of life */
	/* How many interests have prefixes of which length, and the lengths
	 * that there are, ascending. */
	uint32_t with_len[WIRE_KEY_LEN_MAX + 1];
	uint16_t len[WIRE_KEY_LEN_MAX + 1];
	uint32_t lens;
};

static int
interest_cmp(const struct interest *a, const struct interest *b)
{
	if (a->prefix != b->prefix)
		return a->prefix ? 1 : -1;
	if (a->len != b->len)
		return a->len < b->len ? -1 : 1;
	return a->len == 0 ? 0 : memcmp(a->key, b->key, a->len);
}

static int
watcher_cmp(const struct watcher *a, const struct watcher *b)
{
	if (a->client != b->client)
		return a->client < b->client ? -1 : 1;
	return a->id < b->id ? -1 : a->id > b->id;
}

RB_GENERATE_INTERNAL(
    interest_tree, interest, node, interest_cmp, __attribute__((unused)) static)
RB_GENERATE_INTERNAL(
    watcher_tree, watcher, node, watcher_cmp, __attribute__((unused)) static)

/* ---- interests --------------------------------------------------------- */

/* Room for a key to look up; aligned like the real thing. */
union probe {
	struct interest in;
	uint8_t room[sizeof(struct interest) + WIRE_KEY_LEN_MAX];
};

static struct interest *
interest_find(struct watchers *ws, union probe *p, bool prefix, size_t len)
{
	p->in.prefix = prefix;
	p->in.len = len;
	return RB_FIND(interest_tree, &ws->interests, &p->in);
}

static void
lens_renew(struct watchers *ws)
{
	ws->lens = 0;
	for (uint32_t i = 0; i <= WIRE_KEY_LEN_MAX; i++)
		if (ws->with_len[i] > 0)
			ws->len[ws->lens++] = (uint16_t)i;
}

static struct interest *
interest_get(struct watchers *ws, struct mp_span key, bool prefix)
{
	struct interest *in = calloc(1, sizeof(*in) + key.len);
	struct interest *old;

	if (in == NULL)
		return NULL;
	in->prefix = prefix;
	in->len = key.len;
	if (key.len > 0)
		memcpy(in->key, key.p, key.len);
	TAILQ_INIT(&in->watchers);
	old = RB_INSERT(interest_tree, &ws->interests, in);
	if (old != NULL) {
		free(in);
		return old;
	}
	if (prefix && ws->with_len[key.len]++ == 0)
		lens_renew(ws);
	return in;
}

static void
interest_put(struct watchers *ws, struct interest *in)
{
	if (!TAILQ_EMPTY(&in->watchers))
		return;
	RB_REMOVE(interest_tree, &ws->interests, in);
	if (in->prefix && --ws->with_len[in->len] == 0)
		lens_renew(ws);
	free(in);
}

static bool
concerns(const struct watcher *w, struct mp_span key)
{
	const struct interest *in = w->in;

	if (in->prefix ? key.len < in->len : key.len != in->len)
		return false;
	return in->len == 0 || memcmp(key.p, in->key, in->len) == 0;
}

/* ---- life -------------------------------------------------------------- */

struct watchers *
watchers_new(void)
{
	struct watchers *ws = calloc(1, sizeof(*ws));

	if (ws == NULL)
		return NULL;
	RB_INIT(&ws->all);
	RB_INIT(&ws->interests);
	TAILQ_INIT(&ws->behind);
	TAILQ_INIT(&ws->told);
	ws->look_ns = UINT64_MAX;
	return ws;
}

static void
drop(struct watchers *ws, struct watcher *w)
{
	if (!w->live)
		TAILQ_REMOVE(&ws->behind, w, wait);
	else if (w->pending != NULL)
		TAILQ_REMOVE(&ws->told, w, wait);
	blob_unref(w->pending);
	RB_REMOVE(watcher_tree, &ws->all, w);
	TAILQ_REMOVE(&w->in->watchers, w, same);
	interest_put(ws, w->in);
	ws->count--;
	free(w);
}

void
watchers_free(struct watchers *ws)
{
	struct watcher *w;

	if (ws == NULL)
		return;
	while ((w = RB_MIN(watcher_tree, &ws->all)) != NULL)
		drop(ws, w);
	free(ws);
}

/* The first of a client's. */
static struct watcher *
first_of(struct watchers *ws, uint64_t client)
{
	struct watcher probe = {.client = client};
	struct watcher *w = RB_NFIND(watcher_tree, &ws->all, &probe);

	return w != NULL && w->client == client ? w : NULL;
}

void
watchers_gone(struct group *g, uint64_t client)
{
	struct watcher *w;

	while ((w = first_of(g->watchers, client)) != NULL)
		drop(g->watchers, w);
}

/* ---- what is sent ------------------------------------------------------ */

static size_t
unread(struct host *h, uint64_t client)
{
	return h->env.client_backlog != NULL
		   ? h->env.client_backlog(h->env.ctx, client)
		   : 0;
}

/* May more be queued to this connection? */
static bool
has_room(struct host *h, uint64_t client, size_t max)
{
	if (unread(h, 0) > WATCH_UNREAD_TOTAL_MAX)
		max /= 16;
	return unread(h, client) <= max;
}

/* [2, "watch.event", [id, event, more]]: the event is shared. */
static void
push(struct host *h, const struct watcher *w, struct blob *event, bool more)
{
	const uint8_t tail = more ? 0xc3 : 0xc2;
	struct piece piece[3];

	mp_buf_reset(&h->wire);
	frame_put_notify(&h->wire, "watch.event");
	mp_put_array(&h->wire, 3);
	mp_put_u64(&h->wire, w->id);
	if (h->wire.failed) {
		host_fail(h, 71, "out of memory");
		return;
	}
	piece[0] = (struct piece){NULL, h->wire.data, h->wire.len};
	piece[1] = (struct piece){event, event->data, event->len};
	piece[2] = (struct piece){NULL, &tail, 1};
	h->env.client_send(h->env.ctx, w->client, piece, 3);
}

/* What stands in b, to be shared; fatal without memory. */
static struct blob *
blob_of(struct host *h, struct mp_buf *b)
{
	struct blob *blob = b->failed ? NULL : blob_new(b->len);

	if (blob == NULL) {
		host_fail(h, 71, "out of memory");
		return NULL;
	}
	memcpy(blob->data, b->data, b->len);
	blob->len = b->len;
	return blob;
}

static struct blob *
event_blob(struct group *g, size_t i, bool prev)
{
	struct host *h = g->host;

	mp_buf_reset(&h->reply);
	g->ops->put_event(g->fsm, i, prev, &h->reply);
	return blob_of(h, &h->reply);
}

/* A line about the watch itself.  code: why it ends, or NULL. */
static void
say(struct group *g, const struct watcher *w, const char *type, uint64_t rev,
    const char *code)
{
	struct host *h = g->host;
	struct mp_buf *b = &h->reply;
	struct blob *blob;

	mp_buf_reset(b);
	mp_put_map(b, code != NULL ? 7 : 6);
	mp_put_kv_str(b, "type", type);
	mp_put_kv_u64(b, "rev", rev);
	mp_put_kv_u64(b, "group", g->id);
	mp_put_kv_nil(b, "key");
	mp_put_kv_nil(b, "value");
	mp_put_kv_nil(b, "prev");
	if (code != NULL)
		mp_put_kv_str(b, "code", code);
	blob = blob_of(h, b);
	if (blob != NULL)
		push(h, w, blob, false);
	blob_unref(blob);
}

static uint64_t
told_up_to(const struct watchers *ws, const struct watcher *w)
{
	return w->live && ws->rev > w->pos ? ws->rev : w->pos;
}

static void
end_watch(struct group *g, struct watcher *w, enum wire_status why)
{
	say(g, w, "end", told_up_to(g->watchers, w),
	    wire_status_info(why)->name);
	drop(g->watchers, w);
}

/* ---- requests ---------------------------------------------------------- */

static uint32_t
count_of(struct watchers *ws, uint64_t client)
{
	struct watcher *w = first_of(ws, client);
	uint32_t n = 0;

	for (; w != NULL && w->client == client;
	     w = RB_NEXT(watcher_tree, &ws->all, w))
		n++;
	return n;
}

static struct watcher *
watcher_new(
    struct group *g, const struct request *r, const struct fsm_watch *want)
{
	struct watchers *ws = g->watchers;
	struct watcher *w = calloc(1, sizeof(*w));
	uint64_t ms = want->progress_ms;

	if (w == NULL)
		return NULL;
	w->in = interest_get(ws, want->key, want->prefix);
	if (w->in == NULL) {
		free(w);
		return NULL;
	}
	w->client = r->client;
	w->id = ++ws->next_id;
	w->pos = want->since == UINT64_MAX ? g->ops->rev(g->fsm) : want->since;
	w->prev = want->prev;
	if (ms > WATCH_WAIT_MAX_MS)
		ms = WATCH_WAIT_MAX_MS;
	if (ms > 0 && ms < PROGRESS_MS_MIN)
		ms = PROGRESS_MS_MIN;
	w->progress_ns = ms * 1000000;
	w->progress_at = g->host->now.mono_ns + w->progress_ns;
	if (ms > 0 && w->progress_at < ws->look_ns)
		ws->look_ns = w->progress_at;
	TAILQ_INSERT_TAIL(&w->in->watchers, w, same);
	TAILQ_INSERT_TAIL(&ws->behind, w, wait);
	RB_INSERT(watcher_tree, &ws->all, w);
	ws->count++;
	return w;
}

/* A server that follows nobody would let its watchers wait for events that
 * others have long seen: they are better off elsewhere. */
static bool
has_lost_leader(const struct group *g)
{
	const struct host *h = g->host;

	return h->now.mono_ns - g->served_ns > 2 * h->opt.election_ns;
}

static void
cancel(struct group *g, struct request *r)
{
	struct mp_cur cur = mp_cur_span(r->params);
	struct watcher probe = {.client = r->client}, *w;
	uint32_t count;

	if (mp_read_array(&cur, &count) < 0 || count != 1 ||
	    mp_read_u64(&cur, &probe.id) < 0) {
		answer_error(g, r, WIRE_USAGE, "watch.cancel takes an id");
		return;
	}
	w = RB_FIND(watcher_tree, &g->watchers->all, &probe);
	if (w != NULL)
		drop(g->watchers, w);
	mp_put_bool(answer_begin(g->host, r), w != NULL);
	answer_ok(g, r);
}

void
watchers_request(struct group *g, struct request *r)
{
	struct watchers *ws = g->watchers;
	struct wire_error err = {0};
	struct fsm_watch want;
	struct watcher *w;

	/* Nobody forwards these, and who cannot be answered gets no id. */
	if (r->client == 0 || r->is_notify) {
		answer_error(g, r, WIRE_USAGE, "a watch wants an answer");
		return;
	}
	if (r->kind == REQUEST_UNSUBSCRIBE) {
		cancel(g, r);
		return;
	}
	if (g->ops->watch_args(r->params, &want, &err) != WIRE_OK) {
		answer_failed(g, r, &err);
		return;
	}
	if (has_lost_leader(g)) {
		answer_error(g, r, WIRE_NO_LEADER, "no leader is known");
		return;
	}
	if (ws->count == WATCHERS_MAX ||
	    count_of(ws, r->client) == WATCHERS_CLIENT_MAX) {
		answer_error(g, r, WIRE_BUSY, "too many watches");
		return;
	}
	w = watcher_new(g, r, &want);
	if (w == NULL) {
		answer_error(g, r, WIRE_BUSY, "out of memory");
		return;
	}
	mp_put_u64(answer_begin(g->host, r), w->id);
	answer_ok(g, r);
}

/* ---- the pass ---------------------------------------------------------- */

/* Each form of an event, encoded when somebody wants it. */
struct forms {
	size_t at;
	struct blob *form[2];
};

static struct blob *
form(struct group *g, struct forms *f, bool prev)
{
	if (f->form[prev] == NULL)
		f->form[prev] = event_blob(g, f->at, prev);
	return f->form[prev];
}

static void
fall_behind(struct watchers *ws, struct watcher *w, uint64_t pos)
{
	w->live = false;
	if (w->pos < pos)
		w->pos = pos;
	TAILQ_INSERT_TAIL(&ws->behind, w, wait);
}

/* An event of revision rev for those of one interest. */
static void
tell(struct group *g, struct interest *in, struct forms *f, uint64_t rev)
{
	struct watchers *ws = g->watchers;
	struct host *h = g->host;
	struct watcher *w;
	struct blob *event;

	TAILQ_FOREACH (w, &in->watchers, same) {
		if (!w->live || w->pos >= rev)
			continue;
		event = form(g, f, w->prev);
		if (event == NULL)
			return;
		if (w->pending != NULL) {
			push(h, w, w->pending, !MUTANT(111));
			blob_unref(w->pending);
		} else if (!has_room(h, w->client, WATCH_UNREAD_MAX) &&
			   !MUTANT(113)) {
			fall_behind(ws, w, MUTANT(110) ? rev : rev - 1);
			continue;
		} else {
			TAILQ_INSERT_TAIL(&ws->told, w, wait);
		}
		w->pending = blob_ref(event);
	}
}

/* The end of a revision: who was told of it has had all of it. */
static void
end_revision(struct group *g, uint64_t rev)
{
	struct watchers *ws = g->watchers;
	struct watcher *w;

	while ((w = TAILQ_FIRST(&ws->told)) != NULL) {
		TAILQ_REMOVE(&ws->told, w, wait);
		push(g->host, w, w->pending, false);
		blob_unref(w->pending);
		w->pending = NULL;
		w->pos = rev;
	}
}

static void
tell_all(struct group *g, const struct fsm_event *e, size_t i)
{
	struct watchers *ws = g->watchers;
	struct forms f = {.at = i};
	struct interest *in;
	union probe p;

	if (e->key.len > WIRE_KEY_LEN_MAX)
		return;
	memcpy(p.room + offsetof(struct interest, key), e->key.p, e->key.len);
	if ((in = interest_find(ws, &p, false, e->key.len)) != NULL)
		tell(g, in, &f, e->rev);
	for (uint32_t k = 0; k < ws->lens && ws->len[k] <= e->key.len; k++)
		if ((in = interest_find(ws, &p, true, ws->len[k])) != NULL)
			tell(g, in, &f, e->rev);
	blob_unref(f.form[0]);
	blob_unref(f.form[1]);
}

/* The history begins behind the last pass, as after a snapshot was put in
 * its place: nobody knows what the live ones have missed. */
static void
lose_all(struct watchers *ws)
{
	struct watcher *w;

	RB_FOREACH (w, watcher_tree, &ws->all)
		if (w->live && !MUTANT(114))
			fall_behind(ws, w, ws->rev);
}

bool
watchers_lag(const struct group *g)
{
	return g->applied_bytes - g->watchers->applied_bytes > WATCH_PASS_BYTES;
}

void
watchers_pass(struct group *g)
{
	struct watchers *ws = g->watchers;
	uint64_t rev = g->ops->rev(g->fsm), in_hand = 0;
	struct fsm_event e;
	size_t i;

	ws->applied_bytes = g->applied_bytes;
	if (rev == ws->rev)
		return;
	if (ws->count > 0 && ws->rev < g->ops->floor(g->fsm))
		lose_all(ws);
	i = ws->count > 0 ? g->ops->since(g->fsm, ws->rev) : SIZE_MAX;
	for (; ws->count > 0 && g->ops->event(g->fsm, i, &e); i++) {
		if (e.rev != in_hand && in_hand != 0)
			end_revision(g, in_hand);
		in_hand = e.rev;
		tell_all(g, &e, i);
	}
	end_revision(g, in_hand);
	ws->rev = rev;
}

/* ---- catching up ------------------------------------------------------- */

/* One event out of the history, for one watcher alone. */
static bool
tell_one(struct group *g, struct watcher *w, size_t i, bool more)
{
	struct blob *event = event_blob(g, i, w->prev);

	if (event == NULL)
		return false;
	push(g->host, w, event, more);
	blob_unref(event);
	return true;
}

/* Whole revisions, until there are no more or enough is queued. */
static void
catch_up(struct group *g, struct watcher *w, uint32_t *scan)
{
	size_t i = g->ops->since(g->fsm, w->pos), held = 0;
	struct fsm_event e;
	uint64_t rev;
	bool holds;

	while (g->ops->event(g->fsm, i, &e)) {
		/* Each is held back until it is known whether it is the last
		 * one of its revision. */
		rev = e.rev;
		holds = false;
		do {
			*scan -= *scan > 0;
			if (!concerns(w, e.key))
				continue;
			if (holds && !tell_one(g, w, held, true))
				return;
			holds = true;
			held = i;
		} while (g->ops->event(g->fsm, ++i, &e) && e.rev == rev);
		if (holds && !tell_one(g, w, held, false))
			return;
		w->pos = rev;
		if (*scan == 0 ||
		    !has_room(g->host, w->client, CATCH_UNREAD_MAX))
			return;
	}
	if (g->ops->rev(g->fsm) < w->pos)
		return; /* this server is behind the watcher */
	w->pos = g->ops->rev(g->fsm);
	TAILQ_REMOVE(&g->watchers->behind, w, wait);
	w->live = true;
	if (!w->synced)
		say(g, w, "sync", w->pos, NULL);
	w->synced = true;
}

/* false: it was dropped. */
static bool
is_worth(struct group *g, struct watcher *w)
{
	struct host *h = g->host;

	if (w->pos < g->ops->floor(g->fsm) && !MUTANT(112)) {
		say(g, w, "compacted", g->ops->floor(g->fsm),
		    wire_status_info(WIRE_COMPACTED)->name);
		drop(g->watchers, w);
		return false;
	}
	if (has_room(h, w->client, CATCH_UNREAD_MAX)) {
		w->slow_since = 0;
		return true;
	}
	if (w->slow_since == 0)
		w->slow_since = h->now.mono_ns;
	if (h->now.mono_ns - w->slow_since < WATCH_SLOW_NS)
		return true;
	end_watch(g, w, WIRE_BUSY);
	return false;
}

/* true: there is more to do at once. */
static bool
serve_behind(struct group *g)
{
	struct watchers *ws = g->watchers;
	struct watcher *last = TAILQ_LAST(&ws->behind, watcher_list), *w;
	uint32_t scan = CATCH_SCAN_MAX;
	bool more = last != NULL;

	while (more && scan > 0) {
		w = TAILQ_FIRST(&ws->behind);
		more = w != last;
		/* To the end, so that each has its turn. */
		TAILQ_REMOVE(&ws->behind, w, wait);
		TAILQ_INSERT_TAIL(&ws->behind, w, wait);
		if (is_worth(g, w) && w->slow_since == 0)
			catch_up(g, w, &scan);
	}
	return scan == 0;
}

/* ---- the turn ---------------------------------------------------------- */

static void
end_all(struct group *g, enum wire_status why)
{
	struct watcher *w;

	while ((w = RB_MIN(watcher_tree, &g->watchers->all)) != NULL)
		end_watch(g, w, why);
}

/* Returns when the next one is due. */
static uint64_t
tell_progress(struct group *g)
{
	struct watchers *ws = g->watchers;
	uint64_t now = g->host->now.mono_ns, next = UINT64_MAX;
	struct watcher *w;

	RB_FOREACH (w, watcher_tree, &ws->all) {
		if (w->progress_ns == 0)
			continue;
		if (now >= w->progress_at) {
			w->progress_at = now + w->progress_ns;
			if (w->live &&
			    has_room(g->host, w->client, CATCH_UNREAD_MAX))
				say(g, w, "progress", told_up_to(ws, w), NULL);
		}
		if (w->progress_at < next)
			next = w->progress_at;
	}
	return next;
}

uint64_t
watchers_turn(struct group *g)
{
	struct watchers *ws = g->watchers;
	struct host *h = g->host;
	uint64_t now = h->now.mono_ns;
	bool more;

	watchers_pass(g);
	if (ws->count == 0)
		return UINT64_MAX;
	if (h->stopping)
		end_all(g, WIRE_STOPPING);
	else if (has_lost_leader(g))
		end_all(g, WIRE_NO_LEADER);
	more = serve_behind(g);
	if (now >= ws->look_ns)
		ws->look_ns = tell_progress(g);
	if (more)
		return now;
	if (!TAILQ_EMPTY(&ws->behind) && now + LOOK_NS < ws->look_ns)
		return now + LOOK_NS;
	return ws->look_ns;
}
