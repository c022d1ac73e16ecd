/*
 * tree.c - records ordered by key: a B+ tree that lives in memory.
 */
#include "raftd/fsm/tree.h"

#include <assert.h>
#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Below this a node is joined with a neighbour, if both fit into JOINED. */
#define SPARSE (TREE_FANOUT / 4)
#define JOINED (TREE_FANOUT * 3 / 4)

struct tree_node {
	uint16_t count;
	uint16_t skip;
	struct tree_node *next, *prev; /* leaves only */
	uint64_t prefix[TREE_FANOUT];
	struct record *record[TREE_FANOUT];
	struct tree_node *child[]; /* TREE_FANOUT of them in inner nodes */
};

static struct tree_node *
node_new(bool inner)
{
	struct tree_node *n;

	n = malloc(sizeof(*n) + (inner ? TREE_FANOUT * sizeof(n) : 0));
	if (n != NULL) {
		n->count = 0;
		n->skip = 0;
		n->next = n->prev = NULL;
	}
	return n;
}

int
tree_compare(const uint8_t *a, size_t a_len, const uint8_t *b, size_t b_len)
{
	int c = memcmp(a, b, a_len < b_len ? a_len : b_len);

	if (c != 0)
		return c;
	return a_len < b_len ? -1 : a_len > b_len;
}

static uint64_t
prefix_of(const uint8_t *key, size_t len, size_t skip)
{
	uint64_t v = 0;
	size_t left;

	if (len <= skip)
		return 0;
	left = len - skip;
	memcpy(&v, key + skip, left < sizeof(v) ? left : sizeof(v));
	return be64toh(v);
}

/* How many of the first max bytes two keys share. */
static size_t
shared(const struct record *a, const struct record *b, size_t max)
{
	size_t i;

	if (max > a->key_len)
		max = a->key_len;
	if (max > b->key_len)
		max = b->key_len;
	if (memcmp(a->bytes, b->bytes, max) == 0)
		return max;
	for (i = 0; a->bytes[i] == b->bytes[i]; i++)
		;
	return i;
}

static void
node_reprefix(struct tree_node *n, size_t skip)
{
	unsigned i;

	n->skip = (uint16_t)skip;
	for (i = 0; i < n->count; i++)
		n->prefix[i] =
		    prefix_of(n->record[i]->bytes, n->record[i]->key_len, skip);
}

/* Skip as much as all keys share, which is what the outermost two share. */
static void
node_tighten(struct tree_node *n)
{
	assert(n->count > 0);
	node_reprefix(
	    n, shared(n->record[0], n->record[n->count - 1], UINT16_MAX));
}

/* The first position whose prefix is at least p. */
static unsigned
prefix_search(const struct tree_node *n, uint64_t p)
{
	unsigned lo = 0, left = n->count, half;

	/* Without branches: a wrong guess a step would cost more. */
	while (left > 1) {
		half = left / 2;
		lo += n->prefix[lo + half - 1] < p ? half : 0;
		left -= half;
	}
	return lo + (n->prefix[lo] < p);
}

static int
record_compare(const struct record *r, const uint8_t *key, size_t len)
{
	return tree_compare(r->bytes, r->key_len, key, len);
}

/*
 * The first position whose key is at least this one.
 * NOTE: the hottest code of the store.  With a million keys each record that
 * is touched is a cache miss, so a key that is there is found by its prefix
 * at once; only what is not asks whether the node's skipped bytes are ours.
 */
static unsigned
node_search(
    const struct tree_node *n, const uint8_t *key, size_t len, bool *equal)
{
	unsigned lo, hi = n->count, mid;
	uint64_t p;
	int c;

	*equal = false;
	if (n->count == 0)
		return 0;
	p = prefix_of(key, len, n->skip);
	lo = prefix_search(n, p);
	if (lo < hi && n->prefix[lo] == p &&
	    record_compare(n->record[lo], key, len) == 0) {
		*equal = true;
		return lo;
	}
	if (n->skip > 0) {
		c = memcmp(
		    key, n->record[0]->bytes, len < n->skip ? len : n->skip);
		if (c < 0 || (c == 0 && len < n->skip))
			return 0;
		if (c > 0)
			return n->count;
	}
	/* Keys that differ behind their prefix only. */
	while (lo < hi && n->prefix[lo] == p) {
		mid = lo + 1 < hi && n->prefix[lo + 1] == p ? lo + (hi - lo) / 2
							    : lo;
		if (n->prefix[mid] != p) {
			hi = mid;
			continue;
		}
		c = record_compare(n->record[mid], key, len);
		if (c == 0) {
			*equal = true;
			return mid;
		}
		if (c < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

/* Position i now stands for this record: a new smallest one below it. */
static void
node_set(struct tree_node *n, unsigned i, struct record *r)
{
	size_t skip;

	n->record[i] = r;
	if (n->count == 1)
		skip = r->key_len;
	else
		skip = shared(r, n->record[i == 0 ? 1 : 0], n->skip);
	if (skip != n->skip)
		node_reprefix(n, skip);
	else
		n->prefix[i] = prefix_of(r->bytes, r->key_len, skip);
}

static void
node_put(
    struct tree_node *n, unsigned i, struct record *r, struct tree_node *child)
{
	size_t tail;

	assert(n->count < TREE_FANOUT);
	assert(i <= n->count);
	tail = n->count - i;
	memmove(n->prefix + i + 1, n->prefix + i, tail * sizeof(n->prefix[0]));
	memmove(n->record + i + 1, n->record + i, tail * sizeof(n->record[0]));
	if (child != NULL) {
		memmove(
		    n->child + i + 1, n->child + i, tail * sizeof(n->child[0]));
		n->child[i] = child;
	}
	n->count++;
	node_set(n, i, r);
}

static void
node_delete(struct tree_node *n, unsigned i, bool inner)
{
	size_t tail;

	assert(i < n->count);
	n->count--;
	tail = n->count - i;
	memmove(n->prefix + i, n->prefix + i + 1, tail * sizeof(n->prefix[0]));
	memmove(n->record + i, n->record + i + 1, tail * sizeof(n->record[0]));
	if (inner)
		memmove(
		    n->child + i, n->child + i + 1, tail * sizeof(n->child[0]));
}

/* Move all from position `from` on to the end of another node. */
static void
node_move(struct tree_node *to, struct tree_node *n, unsigned from, bool inner)
{
	unsigned count = n->count - from;

	assert(to->count + count <= TREE_FANOUT);
	memcpy(to->record + to->count, n->record + from,
	    count * sizeof(n->record[0]));
	if (inner)
		memcpy(to->child + to->count, n->child + from,
		    count * sizeof(n->child[0]));
	to->count = (uint16_t)(to->count + count);
	n->count = (uint16_t)from;
	if (to->count > 0)
		node_tighten(to);
}

void
tree_init(struct tree *t)
{
	memset(t, 0, sizeof(*t));
}

static void
node_free(struct tree_node *n, unsigned depth)
{
	unsigned i;

	/* Recursion is bounded by TREE_DEPTH_MAX. */
	if (depth > 1)
		for (i = 0; i < n->count; i++)
			node_free(n->child[i], depth - 1);
	free(n);
}

void
tree_release(struct tree *t)
{
	if (t->root != NULL)
		node_free(t->root, t->depth);
	tree_init(t);
}

/* All lines that a search may read, at once and not one after the other. */
static void
node_fetch(const struct tree_node *n)
{
	const char *p = (const char *)n;
	size_t i;

	for (i = 0; i <= offsetof(struct tree_node, record); i += 64)
		__builtin_prefetch(p + i);
}

void
tree_find(
    const struct tree *t, const uint8_t *key, size_t len, struct tree_path *p)
{
	struct tree_node *n = t->root;
	bool equal;
	unsigned d, at;

	p->found = false;
	if (key == NULL)
		key = (const uint8_t *)""; /* memcmp wants a pointer */
	for (d = 0; d < t->depth; d++) {
		at = node_search(n, key, len, &equal);
		p->node[d] = n;
		if (d + 1 == t->depth) {
			p->found = equal;
		} else {
			if (!equal && at > 0)
				at--;
			n = n->child[at];
			node_fetch(n);
		}
		p->at[d] = (uint16_t)at;
	}
}

struct record *
tree_record(const struct tree *t, const struct tree_path *p)
{
	assert(p->found);
	return p->node[t->depth - 1]->record[p->at[t->depth - 1]];
}

void
tree_replace(struct tree *t, struct tree_path *p, struct record *r)
{
	unsigned d;

	assert(p->found);
	for (d = t->depth; d-- > 0;) {
		p->node[d]->record[p->at[d]] = r;
		if (p->at[d] > 0)
			break;
	}
}

/* Nodes for every split that an insertion will need: all or none. */
static int
spare_new(const struct tree *t, const struct tree_path *p,
    struct tree_node **spare, unsigned *count)
{
	unsigned need = 0, d = t->depth, i;

	while (d > 0 && p->node[d - 1]->count == TREE_FANOUT) {
		need++;
		d--;
	}
	if (d == 0)
		need++; /* a new root */
	assert(need <= TREE_DEPTH_MAX);
	for (i = 0; i < need; i++) {
		spare[i] = node_new(t->root != NULL && i > 0);
		if (spare[i] == NULL) {
			while (i > 0)
				free(spare[--i]);
			return -ENOMEM;
		}
	}
	*count = need;
	return 0;
}

/* Split a full node into itself and right, and put the record in. */
static void
node_split(struct tree_node *n, struct tree_node *right, unsigned at,
    struct record *r, struct tree_node *child, bool append)
{
	unsigned keep = append ? n->count : n->count / 2;
	bool inner = child != NULL;

	node_move(right, n, keep, inner);
	if (!append)
		node_tighten(n);
	if (!append && at <= keep)
		node_put(n, at, r, child);
	else
		node_put(right, at - keep, r, child);
	if (!inner) {
		right->next = n->next;
		right->prev = n;
		if (n->next != NULL)
			n->next->prev = right;
		n->next = right;
	}
}

static void
root_grow(struct tree *t, struct tree_node *root, struct tree_node *right)
{
	assert(t->depth < TREE_DEPTH_MAX);
	node_put(root, 0, t->root->record[0], t->root);
	node_put(root, 1, right->record[0], right);
	t->root = root;
	t->depth++;
}

int
tree_insert(struct tree *t, struct tree_path *p, struct record *r)
{
	struct tree_node *spare[TREE_DEPTH_MAX + 1];
	struct tree_node *n, *child = NULL;
	struct record *new = r;
	unsigned spares = 0, used = 0, d, at;
	bool append;

	assert(!p->found);
	if (spare_new(t, p, spare, &spares) < 0)
		return -ENOMEM;
	t->count++;
	t->nodes += spares;
	if (t->root == NULL) {
		t->root = spare[0];
		t->depth = 1;
		node_put(t->root, 0, r, NULL);
		return 0;
	}
	d = t->depth - 1;
	at = p->at[d];
	/* Keys that arrive in order leave full leaves behind them. */
	append = p->node[d]->next == NULL && at == p->node[d]->count;
	if (at == 0) {
		/* The smallest of all: each node above starts with it. */
		unsigned i;

		for (i = 0; i < d; i++)
			node_set(p->node[i], 0, r);
	}
	for (;;) {
		n = p->node[d];
		if (n->count < TREE_FANOUT) {
			node_put(n, at, new, child);
			break;
		}
		assert(used < spares);
		node_split(n, spare[used], at, new, child, append);
		child = spare[used++];
		new = child->record[0];
		if (d == 0) {
			assert(used < spares);
			root_grow(t, spare[used++], child);
			break;
		}
		d--;
		at = p->at[d] + 1u;
	}
	assert(used == spares);
	return 0;
}

static void
leaf_unlink(struct tree_node *n)
{
	if (n->prev != NULL)
		n->prev->next = n->next;
	if (n->next != NULL)
		n->next->prev = n->prev;
}

/* Join child i of a parent with a neighbour if both are small. */
static bool
node_join(struct tree *t, struct tree_node *parent, unsigned i, bool inner)
{
	struct tree_node *left, *right;

	if (i + 1 < parent->count &&
	    parent->child[i]->count + parent->child[i + 1]->count <= JOINED)
		i++;
	else if (i == 0 ||
		 parent->child[i]->count + parent->child[i - 1]->count > JOINED)
		return false;
	left = parent->child[i - 1];
	right = parent->child[i];
	node_move(left, right, 0, inner);
	if (!inner)
		leaf_unlink(right);
	free(right);
	t->nodes--;
	node_delete(parent, i, true);
	return true;
}

void
tree_remove(struct tree *t, struct tree_path *p)
{
	struct tree_node *n, *parent, *child;
	unsigned d = t->depth - 1, i;
	bool changed;

	assert(p->found);
	t->count--;
	node_delete(p->node[d], p->at[d], false);
	for (; d > 0; d--) {
		bool inner = d + 1 < t->depth;

		n = p->node[d];
		parent = p->node[d - 1];
		i = p->at[d - 1];
		changed = true;
		if (n->count == 0) {
			if (!inner)
				leaf_unlink(n);
			free(n);
			t->nodes--;
			node_delete(parent, i, true);
		} else {
			changed = parent->record[i] != n->record[0];
			if (changed)
				node_set(parent, i, n->record[0]);
			if (n->count < SPARSE)
				changed |= node_join(t, parent, i, inner);
		}
		if (!changed)
			break;
	}
	while (t->depth > 1 && t->root->count == 1) {
		child = t->root->child[0];
		free(t->root);
		t->nodes--;
		t->root = child;
		t->depth--;
	}
}

struct tree_pos
tree_seek(const struct tree *t, const uint8_t *key, size_t len)
{
	struct tree_path p;

	if (t->root == NULL)
		return (struct tree_pos){NULL, 0};
	tree_find(t, key, len, &p);
	return (struct tree_pos){p.node[t->depth - 1], p.at[t->depth - 1]};
}

struct tree_pos
tree_end(const struct tree *t)
{
	struct tree_node *n = t->root;
	unsigned d;

	if (n == NULL)
		return (struct tree_pos){NULL, 0};
	for (d = 1; d < t->depth; d++)
		n = n->child[n->count - 1];
	return (struct tree_pos){n, n->count};
}

struct record *
tree_next(struct tree_pos *pos)
{
	while (pos->leaf != NULL && pos->at >= pos->leaf->count) {
		pos->leaf = pos->leaf->next;
		pos->at = 0;
	}
	return pos->leaf == NULL ? NULL : pos->leaf->record[pos->at++];
}

struct record *
tree_prev(struct tree_pos *pos)
{
	while (pos->leaf != NULL && pos->at == 0) {
		pos->leaf = pos->leaf->prev;
		pos->at = pos->leaf == NULL ? 0 : pos->leaf->count;
	}
	return pos->leaf == NULL ? NULL : pos->leaf->record[--pos->at];
}

static bool
node_check(const struct tree_node *n, unsigned depth, bool root,
    uint64_t *count, const struct tree_node **last)
{
	const struct record *a, *b;
	unsigned i;

	if (n->count == 0 && !root)
		return false;
	for (i = 0; i < n->count; i++) {
		a = n->record[i];
		if (a->key_len < n->skip ||
		    memcmp(a->bytes, n->record[0]->bytes, n->skip) != 0 ||
		    n->prefix[i] != prefix_of(a->bytes, a->key_len, n->skip))
			return false;
		b = i > 0 ? n->record[i - 1] : NULL;
		if (b != NULL && tree_compare(b->bytes, b->key_len, a->bytes,
				     a->key_len) >= 0)
			return false;
		if (depth > 1 && (n->child[i]->record[0] != a ||
				     !node_check(n->child[i], depth - 1, false,
					 count, last)))
			return false;
	}
	if (depth > 1)
		return true;
	*count += n->count;
	if (n->prev != *last || (*last != NULL && (*last)->next != n))
		return false;
	if (*last != NULL) {
		b = (*last)->record[(*last)->count - 1];
		a = n->record[0];
		if (tree_compare(b->bytes, b->key_len, a->bytes, a->key_len) >=
		    0)
			return false;
	}
	*last = n;
	return true;
}

bool
tree_check(const struct tree *t)
{
	const struct tree_node *last = NULL;
	uint64_t count = 0;

	if (t->root == NULL)
		return t->count == 0 && t->depth == 0;
	return node_check(t->root, t->depth, true, &count, &last) &&
	       last->next == NULL && count == t->count;
}
