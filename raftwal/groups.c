/*
 * groups.c - what the log knows of each group, and where its entries stand.
 */
#include "raftwal/groups.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "raftwal/bytes.h"

#define KNOWN_NOTHING UINT64_MAX /* in a note: how long it was is not known */

void
groups_release(struct groups *gs)
{
	for (size_t i = 0; i < gs->count; i++)
		free(gs->log[i].pos);
	free(gs->pub);
	free(gs->log);
	memset(gs, 0, sizeof(*gs));
}

/* The first place whose group is not below. */
static size_t
place(const struct groups *gs, uint32_t group)
{
	size_t lo = 0, hi = gs->count;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (gs->pub[mid].group < group)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

int
groups_find(struct groups *gs, uint32_t group, size_t *i)
{
	size_t at = gs->hit;

	if (at >= gs->count || gs->pub[at].group != group)
		at = place(gs, group);
	if (at >= gs->count || gs->pub[at].group != group)
		return -ENOENT;
	gs->hit = at;
	*i = at;
	return 0;
}

static int
grow(struct groups *gs)
{
	size_t cap = gs->cap == 0 ? 8 : gs->cap * 2;
	struct wal_group *pub;
	struct group_log *log;

	pub = reallocarray(gs->pub, cap, sizeof(*pub));
	if (pub == NULL)
		return -ENOMEM;
	gs->pub = pub;
	log = reallocarray(gs->log, cap, sizeof(*log));
	if (log == NULL)
		return -ENOMEM;
	gs->log = log;
	gs->cap = cap;
	return 0;
}

int
groups_get(struct groups *gs, uint32_t group, size_t *i)
{
	size_t at;
	int error;

	if (groups_find(gs, group, i) == 0)
		return 0;
	if (gs->count == gs->cap && (error = grow(gs)) < 0)
		return error;
	at = place(gs, group);
	memmove(gs->pub + at + 1, gs->pub + at,
	    (gs->count - at) * sizeof(*gs->pub));
	memmove(gs->log + at + 1, gs->log + at,
	    (gs->count - at) * sizeof(*gs->log));
	gs->count++;
	memset(&gs->pub[at], 0, sizeof(gs->pub[at]));
	memset(&gs->log[at], 0, sizeof(gs->log[at]));
	gs->pub[at].group = group;
	gs->pub[at].first = 1;
	gs->hit = at;
	*i = at;
	return 0;
}

/* Room for the place of entry `index`. */
static int
reserve(struct group_log *l, uint64_t first, uint64_t index)
{
	uint64_t need = index - first + 1;
	size_t cap = l->cap == 0 ? 256 : l->cap;
	uint64_t *pos;

	if (need <= l->cap)
		return 0;
	while (cap < need)
		if (__builtin_mul_overflow(cap, 2, &cap))
			return -ENOMEM;
	pos = reallocarray(l->pos, cap, sizeof(*pos));
	if (pos == NULL)
		return -ENOMEM;
	l->pos = pos;
	l->cap = cap;
	return 0;
}

static bool
is_start(const struct record *r)
{
	return (r->kind == RECORD_START || r->kind == RECORD_RESET) &&
	       r->len >= 8;
}

static int
start_admit(struct group_log *l, const struct record *r)
{
	uint64_t prev = get_le64(r->payload);

	if (prev == UINT64_MAX || (r->kind == RECORD_START &&
				      (prev + 1 < l->first || prev > l->tail)))
		return -EINVAL;
	l->first = prev + 1;
	if (r->kind == RECORD_RESET)
		l->tail = prev;
	return 0;
}

int
groups_admit(struct groups *gs, const struct record *r, uint64_t admission)
{
	struct group_log *l;
	struct wal_group *g;
	size_t i;
	int error;

	error = groups_get(gs, r->group, &i);
	if (error < 0)
		return error;
	l = &gs->log[i];
	g = &gs->pub[i];
	if (l->admission != admission) {
		l->admission = admission;
		l->first = g->first;
		l->tail = g->last;
	}
	if (is_start(r))
		return start_admit(l, r);
	if (!record_is_entry(r->kind))
		return 0;
	if (r->index < l->first || r->index - 1 > l->tail)
		return -EINVAL;
	l->tail = r->index;
	return reserve(l, l->first, r->index);
}

static uint64_t
max64(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

static void
heal(struct wal_group *g, struct group_log *l)
{
	l->hole = false;
	l->suspect = false;
	l->noted = false;
	l->fresh = false;
	l->known = g->last;
}

/*
 * Is the entry before this one the right one?  Where lost bytes may have
 * held anything, they may have replaced it: by one of a higher term, as a
 * leader does, so that an equal term on both sides rules it out (5.3 of the
 * paper: terms never fall along a log).
 */
static bool
follows(const struct wal_group *g, const struct group_log *l,
    const struct record *r)
{
	if (!l->suspect || !l->fresh || r->index == g->first)
		return true;
	return r->index - 1 == g->last && r->term == l->last_term;
}

/* Without the first segment a group begins where its entries do, until its
 * RECORD_START is read. */
static void
guess_first(struct wal_group *g, struct group_log *l, uint64_t index)
{
	/* A START alone may be an older one, too. */
	if (l->bare && index > g->last + 1) {
		l->started = false;
		l->begun = false;
	}
	l->bare = false;
	if (l->started || (l->begun && index >= g->first) || index == 0)
		return;
	l->begun = true;
	g->first = index;
	g->last = index - 1;
}

static int
entry(struct wal_group *g, struct group_log *l, const struct record *r,
    uint64_t pos)
{
	int error;

	if (r->index < g->first)
		return -EINVAL;
	l->term_max = max64(l->term_max, r->term);
	l->known = max64(l->known, r->index);
	if (r->index - 1 > g->last || !follows(g, l, r)) {
		if (r->index <= g->last) {
			g->last = r->index - 1;
			l->last_term = 0;
		}
		l->hole = true;
		l->fresh = true;
		return 1;
	}
	error = reserve(l, g->first, r->index);
	if (error < 0)
		return error;
	l->pos[r->index - g->first] = pos;
	if (!MUTANT(69) || r->index > g->last)
		g->last = r->index;
	l->last_term = r->term;
	/*
	 * Without a note the server still had in memory what the disk has
	 * lost: an entry that follows on shows that nothing of the group is
	 * missing before it.  After a note it has not, and only what the
	 * note demands will do.
	 */
	if (!l->noted || r->term > l->note_term ||
	    (l->note_known != KNOWN_NOTHING && g->last >= l->note_known))
		heal(g, l);
	return 0;
}

static void
state(struct wal_group *g, struct group_log *l, uint64_t term, uint64_t vote,
    uint64_t pos, uint64_t sequence)
{
	g->term = term;
	g->vote = vote;
	l->term_max = max64(l->term_max, term);
	l->state_seq = sequence;
	l->state_pos = pos;
}

static void
note(struct wal_group *g, struct group_log *l, uint64_t known, uint64_t term)
{
	if (known == 0) {
		heal(g, l);
		return;
	}
	l->noted = true;
	l->fresh = false;
	l->note_known = known;
	l->note_term = term;
	l->term_max = max64(l->term_max, term);
	if (known != KNOWN_NOTHING)
		l->known = max64(l->known, known);
}

/* Would this, in force from now on, make a damaged group whole? */
static bool
mends(const struct group_log *l, uint64_t prev, uint64_t term, bool reset)
{
	if (!reset && (l->known > prev || l->suspect))
		return false;
	return !l->noted || term > l->note_term ||
	       (l->note_known != KNOWN_NOTHING && prev >= l->note_known);
}

static void
start(struct wal_group *g, struct group_log *l, const struct record *r,
    uint64_t pos)
{
	uint64_t prev = get_le64(r->payload), drop;
	bool reset = r->kind == RECORD_RESET;

	/* An older one, whose entries were dropped by a later one. */
	if (prev == UINT64_MAX ||
	    (!reset && l->begun && !l->started && prev + 1 < g->first))
		return;
	if (!reset && prev <= g->last && prev + 1 >= g->first) {
		drop = prev + 1 - g->first;
		if (g->last > prev)
			memmove(l->pos, l->pos + drop,
			    (size_t)(g->last - prev) * sizeof(*l->pos));
	} else {
		g->last = prev;
		l->last_term = r->term;
	}
	g->first = prev + 1;
	g->prev_term = r->term;
	/* However often it is said: until an entry is seen nothing tells how
	 * far the log reached.  A RESET does, by itself. */
	if (reset)
		l->bare = false;
	else if (!l->begun)
		l->bare = !MUTANT(75);
	l->begun = true;
	l->started = true;
	l->start_pos = pos;
	if (mends(l, prev, r->term, reset))
		heal(g, l);
}

int
groups_record(
    struct groups *gs, const struct record *r, uint64_t pos, uint64_t sequence)
{
	struct wal_group *g;
	struct group_log *l;
	size_t i;
	int error;

	error = groups_get(gs, r->group, &i);
	if (error < 0)
		return error;
	g = &gs->pub[i];
	l = &gs->log[i];
	if (record_is_entry(r->kind)) {
		if (gs->headless)
			guess_first(g, l, r->index);
		return entry(g, l, r, pos);
	}
	if (r->kind == RECORD_STATE && r->len == 8)
		state(g, l, r->term, get_le64(r->payload), pos, sequence);
	else if (r->kind == RECORD_DAMAGE && r->len == 8)
		note(g, l, get_le64(r->payload), r->term);
	else if (is_start(r))
		start(g, l, r, pos);
	return 0;
}

int
groups_lost(struct groups *gs, const struct record *r, uint64_t sequence)
{
	struct wal_group *g;
	struct group_log *l;
	size_t i;
	int error;

	(void)sequence;
	error = groups_get(gs, r->group, &i);
	if (error < 0)
		return error;
	g = &gs->pub[i];
	l = &gs->log[i];
	if (gs->headless && record_is_entry(r->kind))
		guess_first(g, l, r->index);
	if (!record_is_entry(r->kind) || r->index < g->first)
		return 0;
	l->term_max = max64(l->term_max, r->term);
	l->known = max64(l->known, r->index);
	/* It hid what stood there before, and is gone itself. */
	if (r->index <= g->last) {
		g->last = r->index - 1;
		l->last_term = 0;
	}
	l->hole = true;
	l->fresh = true;
	return 0;
}

void
groups_blind(struct groups *gs, uint64_t last_sequence, bool state_lost)
{
	for (size_t i = 0; i < gs->count; i++) {
		gs->log[i].suspect = true;
		gs->log[i].fresh = true;
	}
	if (state_lost) {
		gs->lost_state = true;
		gs->lost_state_seq = max64(gs->lost_state_seq, last_sequence);
	}
}

void
groups_judge(struct groups *gs)
{
	for (size_t i = 0; i < gs->count; i++) {
		const struct group_log *l = &gs->log[i];
		struct wal_group *g = &gs->pub[i];

		g->damaged =
		    !MUTANT(57) && (l->hole || l->suspect || l->noted ||
				       (gs->headless && !l->started));
		g->last_known = g->damaged ? max64(l->known, g->last) : g->last;
	}
}

bool
groups_state_lost(const struct groups *gs)
{
	if (gs->headless)
		for (size_t i = 0; i < gs->count; i++)
			if (gs->log[i].state_seq == 0)
				return true;
	if (gs->headless && gs->count == 0)
		return true;
	if (!gs->lost_state)
		return false;
	/* A group that only the lost bytes told of would be unknown here:
	 * with none at all nothing can be vouched for. */
	if (gs->count == 0)
		return true;
	for (size_t i = 0; i < gs->count; i++)
		if (gs->log[i].state_seq <= gs->lost_state_seq)
			return true;
	return false;
}

bool
groups_counts(struct groups *gs, const struct record *r, uint64_t pos)
{
	const struct wal_group *g;
	size_t i;

	if (groups_find(gs, r->group, &i) < 0)
		return false;
	g = &gs->pub[i];
	if (record_is_entry(r->kind))
		return r->index >= g->first && r->index <= g->last &&
		       gs->log[i].pos[r->index - g->first] == pos;
	if (r->kind == RECORD_STATE)
		return gs->log[i].state_seq != 0 && gs->log[i].state_pos == pos;
	if (r->kind == RECORD_START || r->kind == RECORD_RESET)
		return gs->log[i].started && gs->log[i].start_pos == pos;
	return true;
}

bool
groups_note(
    const struct groups *gs, size_t i, struct record *r, uint64_t *last_known)
{
	const struct group_log *l = &gs->log[i];
	const struct wal_group *g = &gs->pub[i];
	bool vague = l->suspect || (l->noted && l->note_known == KNOWN_NOTHING);
	uint64_t term = max64(l->term_max, g->term);

	if (!g->damaged)
		return false;
	memset(r, 0, sizeof(*r));
	r->group = g->group;
	r->kind = RECORD_DAMAGE;
	r->len = 8;
	r->term = term;
	*last_known = vague ? KNOWN_NOTHING : g->last_known;
	if (MUTANT(58))
		return false;
	/* A note in force is kept: what came since is part of the mending,
	 * and must not raise what it takes. */
	return !l->noted || l->fresh;
}

static_assert(
    WAL_SEGMENT_SIZE_MAX / RECORD_ALIGN < (UINT64_C(1) << POS_OFFSET_BITS),
    "an offset fits");
