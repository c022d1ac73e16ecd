/*
 * linsearch.c - the search for an order that explains a key's history.
 *
 * Depth first over configurations.  The events stand in a doubly linked list;
 * operations whose call precedes the first return in it may come next; what is
 * taken is lifted out, and put back when the search returns.  So operations
 * are taken only as the next completion needs it.  A configuration is
 *
 *	the first return not yet passed, the operations taken that return
 *	later (a bit each), the state, the unknown operations used.
 *
 * Those from which the search came back are remembered.  Using fewer unknown
 * operations leaves more to choose from, so one that failed also tells of
 * all that used more of them.
 *
 * Every rule below only leaves out orders for which another one exists if
 * any does:
 *
 * - An operation that changes nothing and fits is taken at once.
 * - A value that some operation has yet to see is not replaced if nothing can
 *   bring it back; nor is waited for one that nothing can make.
 * - An unknown operation is used only where the next one depends on it: one
 *   that is overwritten unseen need not have happened.
 * - Writes that nothing can see are alike: the one that must return first is
 *   taken first.  Where no failed cas could tell, they are taken right before
 *   another write.
 * - With appends, the value must be the beginning of what the next reader
 *   saw, unless something may replace it before.
 */
#include "loadgen/linmodel.h"

#include <assert.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#define EXPIRED_EVERY 1024u /* configurations */
/* Remembered configurations that differ in unknown operations only: the
 * latest so many are compared, and the search may repeat work beyond. */
#define DOMINANCE_MAX 256
#define SCAN_MAX 256 /* events looked ahead for the next reader */
#define MEMO_CHUNK_LEN ((size_t)1024 * 1024)
#define MEMO_CHUNK_SMALL_LEN ((size_t)4096)
#define MEMO_HEADS_MIN 256u

enum phase { PHASE_OPS, PHASE_CLASSES, PHASE_JUNK, PHASE_DONE };

enum move_kind { MOVE_NONE, MOVE_OP, MOVE_CLASS, MOVE_JUNK };

struct move {
	enum move_kind kind;
	uint32_t what;
	uint64_t state; /* after it */
};

/* A move that was made, and where to go on when it is taken back. */
struct frame {
	uint64_t state;
	uint32_t what, cursor;
	uint8_t kind, phase, is_fresh;
};

/* All remembered configurations have the same length in words:
 * [0] next | hash, [1] state, [2] return | junk left | fresh, bits, used. */
struct memo {
	uint32_t *heads;
	uint32_t heads_n, n;
	uint64_t **chunks;
	uint32_t chunks_n, chunks_cap;
	size_t words, chunk_len; /* of an entry; of a chunk in bytes */
	uint32_t per_chunk;
};

struct search {
	struct lin_problem *p;
	struct lin_search *s;
	struct membudget *budget;
	uint64_t state;
	/* The last operation was an unknown one and must be of use. */
	bool is_fresh;
	uint32_t at; /* the first return not passed */
	uint32_t births_at, deaths_at, junk_at; /* how far each is done */
	uint32_t junk_merged, junk_used;
	uint64_t *bits; /* taken, by slot */
	uint32_t bits_words;
	uint32_t *class_at; /* by class slot: the one alive, or LIN_NONE */
	uint64_t *key;	    /* the configuration, as in the memo */
	struct memo memo;
	struct frame *frames;
	size_t frames_n, frames_cap;
	uint32_t only_set; /* of alike writes, the one to take */
};

/* --- the list of events --- */

static inline bool
is_return(uint32_t node)
{
	return node & 1;
}

static void
unlink_node(struct lin_problem *p, uint32_t node)
{
	struct lin_node *n = &p->nodes[node];

	p->nodes[n->prev].next = n->next;
	p->nodes[n->next].prev = n->prev;
}

static void
relink_node(struct lin_problem *p, uint32_t node)
{
	struct lin_node *n = &p->nodes[node];

	p->nodes[n->prev].next = node;
	p->nodes[n->next].prev = node;
}

static uint32_t
first_node(const struct lin_problem *p)
{
	return p->nodes[2 * p->ops_n].next;
}

/* --- passing returns --- */

static void
set_bit(struct search *q, uint32_t slot, bool on)
{
	uint64_t bit = UINT64_C(1) << (slot & 63);

	if (on)
		q->bits[slot >> 6] |= bit;
	else
		q->bits[slot >> 6] &= ~bit;
}

static void
enter_return(struct search *q)
{
	struct lin_problem *p = q->p;
	struct lin_class *c;

	while (q->births_at < p->classes_n) {
		c = &p->classes[p->births[q->births_at]];
		if (c->birth > q->at)
			break;
		q->class_at[c->slot] = p->births[q->births_at++];
	}
	if (q->at < p->ops_n)
		while (q->junk_at < p->junk_n &&
		       p->junk[q->junk_at] < p->ops[p->returns[q->at]].ret)
			q->junk_at++;
}

static void
pass_return(struct search *q)
{
	struct lin_problem *p = q->p;
	struct lin_class *c;

	while (q->deaths_at < p->classes_n) {
		c = &p->classes[p->deaths[q->deaths_at]];
		if (c->death > q->at)
			break;
		q->class_at[c->slot] = LIN_NONE;
		if (c->turns_junk)
			q->junk_merged += c->n - c->used;
		q->deaths_at++;
	}
	q->at++;
	enter_return(q);
}

static void
unpass_return(struct search *q)
{
	struct lin_problem *p = q->p;
	struct lin_class *c;

	while (q->births_at > 0) {
		c = &p->classes[p->births[q->births_at - 1]];
		if (c->birth < q->at)
			break;
		q->class_at[c->slot] = LIN_NONE;
		q->births_at--;
	}
	q->at--;
	while (q->junk_at > 0 &&
	       p->junk[q->junk_at - 1] > p->ops[p->returns[q->at]].ret)
		q->junk_at--;
	while (q->deaths_at > 0) {
		c = &p->classes[p->deaths[q->deaths_at - 1]];
		if (c->death < q->at)
			break;
		q->deaths_at--;
		q->class_at[c->slot] = p->deaths[q->deaths_at];
		if (c->turns_junk)
			q->junk_merged -= c->n - c->used;
	}
}

static void
count_effect(struct lin_problem *p, const struct lin_effect *e, bool is_taken,
    bool is_unknown)
{
	uint32_t d = is_taken ? UINT32_MAX : 1; /* minus one, or one */

	if (e->kind == LIN_NREAD)
		p->nreads_n += d;
	else if (e->sees != LIN_NONE && !is_unknown)
		p->sees_n[e->sees] += d;
	if (e->makes != LIN_NONE)
		p->makes_n[e->makes] += d;
	if (e->kind == LIN_APPEND)
		p->appends_n += d;
	if ((e->kind == LIN_SET && e->post != LIN_JUNK) || e->kind == LIN_CAS)
		p->resets_n += d;
}

static void
take_op(struct search *q, uint32_t k)
{
	struct lin_problem *p = q->p;
	struct lin_op *op = &p->ops[k];

	unlink_node(p, 2 * k);
	unlink_node(p, 2 * k + 1);
	op->is_taken = true;
	count_effect(p, &op->e, true, false);
	if (op->at != q->at) {
		set_bit(q, op->slot, true);
		return;
	}
	pass_return(q);
	while (q->at < p->ops_n && p->ops[p->returns[q->at]].is_taken) {
		set_bit(q, p->ops[p->returns[q->at]].slot, false);
		pass_return(q);
	}
}

static void
untake_op(struct search *q, uint32_t k)
{
	struct lin_problem *p = q->p;
	struct lin_op *op = &p->ops[k];

	if (op->at >= q->at) {
		set_bit(q, op->slot, false);
	} else {
		while (q->at > op->at + 1) {
			unpass_return(q);
			set_bit(q, p->ops[p->returns[q->at]].slot, true);
		}
		unpass_return(q);
	}
	count_effect(p, &op->e, false, false);
	op->is_taken = false;
	relink_node(p, 2 * k + 1);
	relink_node(p, 2 * k);
}

/* --- what is remembered --- */

static uint64_t *
memo_entry(const struct memo *m, uint32_t i)
{
	return m->chunks[i / m->per_chunk] + i % m->per_chunk * m->words;
}

static uint32_t
junk_left(const struct search *q)
{
	return q->junk_at + q->junk_merged - q->junk_used;
}

static void
make_key(struct search *q)
{
	uint64_t *k = q->key;
	uint32_t *used, i;

	k[1] = q->state;
	k[2] = (uint64_t)q->at << 32 | junk_left(q) << 1 | q->is_fresh;
	memcpy(k + 3, q->bits, q->bits_words * sizeof(*k));
	used = (uint32_t *)(void *)(k + 3 + q->bits_words);
	for (i = 0; i < q->p->class_slots_n; i++)
		used[i] = q->class_at[i] == LIN_NONE
			      ? 0
			      : q->p->classes[q->class_at[i]].used;
	/* The hash leaves out what may differ under dominance. */
	k[0] = XXH3_64bits_withSeed(k + 3, q->bits_words * sizeof(*k),
		   k[1] ^ (k[2] & UINT64_C(0xffffffff00000001)) *
			      UINT64_C(0x9e3779b97f4a7c15)) >>
	       32;
}

/* Did the configuration e, which failed, leave at least the choices of k? */
static bool
dominates(const struct search *q, const uint64_t *e, const uint64_t *k)
{
	const uint32_t *eu, *ku;
	uint32_t i;

	if ((uint32_t)e[0] != (uint32_t)k[0] || e[1] != k[1] ||
	    (e[2] >> 32) != (k[2] >> 32) || ((e[2] ^ k[2]) & 1) != 0 ||
	    memcmp(e + 3, k + 3, q->bits_words * sizeof(*e)) != 0)
		return false;
	if ((uint32_t)e[2] >> 1 < (uint32_t)k[2] >> 1)
		return false;
	eu = (const uint32_t *)(const void *)(e + 3 + q->bits_words);
	ku = (const uint32_t *)(const void *)(k + 3 + q->bits_words);
	for (i = 0; i < q->p->class_slots_n; i++)
		if (eu[i] > ku[i])
			return false;
	return true;
}

static bool
memo_grow_heads(struct search *q)
{
	struct memo *m = &q->memo;
	uint32_t n, i, *heads;
	uint64_t *e;

	n = m->heads_n != 0 ? m->heads_n * 2 : MEMO_HEADS_MIN;
	heads = membudget_alloc(q->budget, n * sizeof(*heads));
	if (heads == NULL)
		return false;
	membudget_free(q->budget, m->heads, m->heads_n * sizeof(*heads));
	m->heads = heads;
	m->heads_n = n;
	for (i = 0; i < m->n; i++) {
		e = memo_entry(m, i);
		e[0] = (uint64_t)heads[(uint32_t)e[0] & (n - 1)] << 32 |
		       (uint32_t)e[0];
		heads[(uint32_t)e[0] & (n - 1)] = i + 1;
	}
	return true;
}

static bool
memo_add(struct search *q)
{
	struct memo *m = &q->memo;
	uint64_t **chunks, *e;
	uint32_t *head;
	size_t n;

	if (m->n == UINT32_MAX - 1 ||
	    (m->n >= m->heads_n && !memo_grow_heads(q)))
		return false;
	if (m->n == m->chunks_n * m->per_chunk) {
		if (m->chunks_n == m->chunks_cap) {
			n = m->chunks_cap != 0 ? m->chunks_cap * 2u : 16u;
			chunks = membudget_grow(q->budget, m->chunks,
			    m->chunks_cap * sizeof(*chunks),
			    n * sizeof(*chunks));
			if (chunks == NULL)
				return false;
			m->chunks = chunks;
			m->chunks_cap = (uint32_t)n;
		}
		e = membudget_alloc(q->budget, m->chunk_len);
		if (e == NULL)
			return false;
		m->chunks[m->chunks_n++] = e;
	}
	e = memo_entry(m, m->n++);
	memcpy(e, q->key, m->words * sizeof(*e));
	head = &m->heads[(uint32_t)e[0] & (m->heads_n - 1)];
	e[0] = (uint64_t)*head << 32 | (uint32_t)e[0];
	*head = m->n;
	return true;
}

/* Was the search here before, or where it had more to choose from? */
static bool
memo_knows(struct search *q)
{
	const struct memo *m = &q->memo;
	uint32_t i, alike = 0;
	uint64_t *e;

	make_key(q);
	if (m->heads_n == 0)
		return false;
	i = m->heads[(uint32_t)q->key[0] & (m->heads_n - 1)];
	while (i != 0 && alike < DOMINANCE_MAX) {
		e = memo_entry(m, i - 1);
		if ((uint32_t)e[0] == (uint32_t)q->key[0]) {
			if (dominates(q, e, q->key))
				return true;
			alike++;
		}
		i = (uint32_t)(e[0] >> 32);
	}
	return false;
}

static void
memo_release(struct search *q)
{
	struct memo *m = &q->memo;
	uint32_t i;

	for (i = 0; i < m->chunks_n; i++)
		membudget_free(q->budget, m->chunks[i], m->chunk_len);
	membudget_free(
	    q->budget, m->chunks, m->chunks_cap * sizeof(*m->chunks));
	membudget_free(q->budget, m->heads, m->heads_n * sizeof(*m->heads));
}

/* --- which moves there are --- */

/* May the state give way to another, or does someone still have to see it
 * whom nothing could satisfy later?  seen: by the very move. */
static bool
may_leave(const struct search *q, enum lin_kind kind, uint32_t seen)
{
	const struct lin_problem *p = q->p;
	uint32_t t = lin_target(p, q->state);

	if (t == LIN_NONE || p->sees_n[t] <= seen || p->makes_n[t] > 0)
		return true;
	if (!p->has_append)
		return false;
	return kind == LIN_APPEND ? p->resets_n > 0 : p->appends_n > 0;
}

/* Can a target that is not the state come about? */
static bool
may_come(const struct search *q, uint32_t target)
{
	const struct lin_problem *p = q->p;

	if (p->makes_n[target] > 0)
		return true;
	if (!p->has_append || p->appends_n == 0)
		return false;
	return p->resets_n > 0 || lin_begins(p, q->state, target);
}

/* With appends: the next operation to return that saw a value must find what
 * stands here continued, unless the value may be replaced before. */
static bool
is_next_sight_possible(const struct search *q)
{
	const struct lin_problem *p = q->p;
	uint32_t node = first_node(p), i;
	const struct lin_op *op;

	for (i = 0; i < SCAN_MAX && node != 2 * p->ops_n; i++) {
		op = &p->ops[node / 2];
		if (!is_return(node)) {
			if (op->e.kind == LIN_SET || op->e.kind == LIN_CAS)
				return true;
		} else if (op->e.kind == LIN_READ) {
			return p->next_reset[q->at] <= op->at ||
			       lin_begins(p, q->state, op->e.sees);
		}
		node = p->nodes[node].next;
	}
	return true;
}

static bool
changes_nothing(const struct search *q, const struct lin_effect *e)
{
	switch (e->kind) {
	case LIN_READ:
		return q->state == e->pre;
	case LIN_NREAD:
		return q->state != e->pre;
	case LIN_SET:
		return q->state == LIN_JUNK && e->post == LIN_JUNK &&
		       !q->p->has_nread;
	case LIN_APPEND: /* of nothing; elsewhere it may create */
	case LIN_CAS:
		break;
	}
	return false;
}

/* Looks at all operations that may come next.  A forced one is the move;
 * false when none can lead anywhere. */
static bool
survey(struct search *q, struct move *m)
{
	const struct lin_problem *p = q->p;
	const struct lin_op *op;
	uint32_t node, k;

	m->kind = MOVE_NONE;
	q->only_set = LIN_NONE;
	for (node = first_node(p); !is_return(node);
	     node = p->nodes[node].next) {
		k = node / 2;
		op = &p->ops[k];
		if (changes_nothing(q, &op->e)) {
			m->kind = MOVE_OP;
			m->what = k;
			m->state = q->state;
			return true;
		}
		if (op->e.kind == LIN_SET && op->e.post == LIN_JUNK &&
		    (q->only_set == LIN_NONE ||
			op->at < p->ops[q->only_set].at))
			q->only_set = k;
		if ((op->e.kind == LIN_READ || op->e.kind == LIN_CAS) &&
		    q->state != LIN_ANY && q->state != op->e.pre &&
		    !may_come(q, op->e.sees))
			return false;
	}
	return !p->has_append || q->state == LIN_ANY ||
	       is_next_sight_possible(q);
}

static bool
try_op(const struct search *q, uint32_t k, struct move *m)
{
	const struct lin_problem *p = q->p;
	const struct lin_effect *e = &p->ops[k].e;
	uint32_t seen = 0;

	m->state = e->post;
	switch (e->kind) {
	case LIN_READ:
		m->state = e->pre;
		if (q->state != LIN_ANY)
			return false;
		break;
	case LIN_NREAD:
		return false;
	case LIN_SET:
		if (q->is_fresh)
			return false;
		if (q->only_set != LIN_NONE && q->only_set != k &&
		    (e->post == LIN_JUNK || !p->has_nread))
			return false;
		break;
	case LIN_CAS:
		if (q->state != e->pre && q->state != LIN_ANY)
			return false;
		seen = q->state != LIN_ANY;
		break;
	case LIN_APPEND:
		m->state = lin_append(p, q->state, e->operand);
		break;
	}
	if (m->state != q->state && !may_leave(q, e->kind, seen))
		return false;
	m->kind = MOVE_OP;
	m->what = k;
	return true;
}

static bool
try_class(const struct search *q, uint32_t i, struct move *m)
{
	const struct lin_problem *p = q->p;
	const struct lin_class *c = &p->classes[i];
	const struct lin_effect *e = &c->e;

	if (c->used == c->n ||
	    p->calls[c->first + c->used] > p->ops[p->returns[q->at]].ret)
		return false;
	m->state = e->post;
	switch (e->kind) {
	case LIN_SET:
		if (q->is_fresh)
			return false;
		break;
	case LIN_CAS:
		if (q->state != e->pre)
			return false;
		break;
	default:
		m->state = lin_append(p, q->state, e->operand);
		break;
	}
	if (m->state == q->state || !may_leave(q, e->kind, 0))
		return false;
	m->kind = MOVE_CLASS;
	m->what = i;
	return true;
}

/* The next move at this configuration, after what phase and cursor tell. */
static bool
next_move(
    const struct search *q, uint8_t *phase, uint32_t *cursor, struct move *m)
{
	const struct lin_problem *p = q->p;
	uint32_t node, i;

	if (*phase == PHASE_OPS) {
		for (node = *cursor; !is_return(node);
		     node = p->nodes[node].next) {
			if (!try_op(q, node / 2, m))
				continue;
			*cursor = p->nodes[node].next;
			return true;
		}
		*phase = PHASE_CLASSES;
		*cursor = 0;
	}
	/* What is not known may already be what an unknown write made. */
	if (q->state == LIN_ANY)
		*phase = PHASE_DONE;
	if (*phase == PHASE_CLASSES) {
		for (i = *cursor; i < p->class_slots_n; i++) {
			if (q->class_at[i] == LIN_NONE ||
			    !try_class(q, q->class_at[i], m))
				continue;
			*cursor = i + 1;
			return true;
		}
		*phase = PHASE_JUNK;
	}
	if (*phase == PHASE_JUNK) {
		*phase = PHASE_DONE;
		if (!q->is_fresh && q->state != LIN_JUNK && p->nreads_n > 0 &&
		    junk_left(q) > 0 && may_leave(q, LIN_SET, 0)) {
			m->kind = MOVE_JUNK;
			m->what = 0;
			m->state = LIN_JUNK;
			return true;
		}
	}
	return false;
}

/* --- making moves --- */

static bool
make_move(
    struct search *q, const struct move *m, uint8_t phase, uint32_t cursor)
{
	struct frame *f;
	size_t cap;

	if (q->frames_n == q->frames_cap) {
		cap = q->frames_cap != 0 ? q->frames_cap * 2 : 64;
		f = membudget_grow(q->budget, q->frames,
		    q->frames_cap * sizeof(*f), cap * sizeof(*f));
		if (f == NULL)
			return false;
		q->frames = f;
		q->frames_cap = cap;
	}
	f = &q->frames[q->frames_n++];
	f->state = q->state;
	f->is_fresh = q->is_fresh;
	f->kind = (uint8_t)m->kind;
	f->what = m->what;
	f->phase = phase;
	f->cursor = cursor;
	q->state = m->state;
	q->is_fresh = m->kind != MOVE_OP;
	if (m->kind == MOVE_OP) {
		take_op(q, m->what);
	} else if (m->kind == MOVE_CLASS) {
		q->p->classes[m->what].used++;
		count_effect(q->p, &q->p->classes[m->what].e, true, true);
	} else {
		q->junk_used++;
	}
	return true;
}

/* Takes the last move back; the search goes on where it was made. */
static bool
unmake_move(struct search *q, uint8_t *phase, uint32_t *cursor)
{
	struct frame *f;

	if (q->frames_n == 0)
		return false;
	f = &q->frames[--q->frames_n];
	if (f->kind == MOVE_OP) {
		untake_op(q, f->what);
	} else if (f->kind == MOVE_CLASS) {
		q->p->classes[f->what].used--;
		count_effect(q->p, &q->p->classes[f->what].e, false, true);
	} else {
		q->junk_used--;
	}
	q->state = f->state;
	q->is_fresh = f->is_fresh;
	*phase = f->phase;
	*cursor = f->cursor;
	return true;
}

static enum lin_answer
run(struct search *q)
{
	struct lin_search *s = q->s;
	struct move m;
	uint32_t cursor;
	uint8_t phase;
	bool found;

	for (;;) {
		if (q->at == q->p->ops_n)
			return LIN_YES;
		if (q->at > s->reached)
			s->reached = q->at;
		phase = PHASE_DONE;
		cursor = 0;
		if (survey(q, &m) && m.kind == MOVE_NONE && !memo_knows(q)) {
			if (s->configs++ == s->configs_max)
				return LIN_OUT_OF_CONFIGS;
			if (s->configs % EXPIRED_EVERY == 0 &&
			    s->expired_cb != NULL &&
			    s->expired_cb(s->expired_arg))
				return LIN_EXPIRED;
			if (!memo_add(q))
				return LIN_OUT_OF_MEMORY;
			phase = PHASE_OPS;
			cursor = first_node(q->p);
		}
		found =
		    m.kind != MOVE_NONE || next_move(q, &phase, &cursor, &m);
		while (!found) {
			if (!unmake_move(q, &phase, &cursor))
				return LIN_NO;
			if (phase == PHASE_DONE)
				continue;
			(void)survey(q, &m);
			found = next_move(q, &phase, &cursor, &m);
		}
		if (!make_move(q, &m, phase, cursor))
			return LIN_OUT_OF_MEMORY;
	}
}

enum lin_answer
lin_solve(struct lin_problem *p, struct lin_search *s)
{
	enum lin_answer answer = LIN_OUT_OF_MEMORY;
	struct search q;
	uint32_t i;

	memset(&q, 0, sizeof(q));
	q.p = p;
	q.s = s;
	q.budget = p->h->budget;
	q.state = p->initial;
	q.bits_words = (p->slots_n + 63) / 64;
	q.memo.words = 3 + q.bits_words + (p->class_slots_n + 1) / 2;
	q.memo.chunk_len = q.memo.words * sizeof(uint64_t);
	q.memo.per_chunk = 1;
	if (q.memo.chunk_len < MEMO_CHUNK_LEN) {
		i = p->ops_n < 1000 ? MEMO_CHUNK_SMALL_LEN : MEMO_CHUNK_LEN;
		if (i > q.memo.chunk_len)
			q.memo.per_chunk = i / (uint32_t)q.memo.chunk_len;
		q.memo.chunk_len *= q.memo.per_chunk;
	}
	s->reached = 0;
	q.bits = membudget_alloc(q.budget, q.bits_words * sizeof(*q.bits));
	q.key = membudget_alloc(q.budget, q.memo.words * sizeof(*q.key));
	q.class_at =
	    membudget_alloc(q.budget, p->class_slots_n * sizeof(*q.class_at));
	if (q.bits == NULL || q.key == NULL || q.class_at == NULL)
		goto out;
	for (i = 0; i < p->class_slots_n; i++)
		q.class_at[i] = LIN_NONE;
	enter_return(&q);
	answer = run(&q);
out:
	memo_release(&q);
	membudget_free(q.budget, q.frames, q.frames_cap * sizeof(*q.frames));
	membudget_free(
	    q.budget, q.class_at, p->class_slots_n * sizeof(*q.class_at));
	membudget_free(q.budget, q.key, q.memo.words * sizeof(*q.key));
	membudget_free(q.budget, q.bits, q.bits_words * sizeof(*q.bits));
	return answer;
}
