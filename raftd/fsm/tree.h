/*
 * tree.h - records ordered by key: a B+ tree that lives in memory.
 *
 * Why not a binary tree: with a million keys nearly each of its twenty steps
 * is a cache miss, and its three pointers a key cost more than the 16 bytes
 * a leaf needs.  Here a node holds up to TREE_FANOUT records in order,
 * and beside each the eight bytes of its key that follow what all keys of
 * the node have in common, so that a search inside a node reads one array
 * and hardly ever a record.
 *
 * Invariants (tree_check):
 *  - record[i] of an inner node is the smallest record below child[i];
 *  - the first `skip` bytes of all keys in a node are equal, and prefix[i]
 *    holds the next eight of record[i], big-endian, padded with zeros;
 *  - all leaves are at the same depth and linked in order; only the root
 *    may be empty.
 *
 * Ownership: the tree owns its nodes, the caller the records.
 * Paths and positions are valid until the next change of the tree.
 */
#ifndef RAFTD_FSM_TREE_H
#define RAFTD_FSM_TREE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "raftd/fsm/record.h"

#define TREE_FANOUT 64
/* A level is added only when a root of TREE_FANOUT children splits. */
#define TREE_DEPTH_MAX 16

struct tree_node;

struct tree {
	struct tree_node *root; /* NULL: nothing was ever inserted */
	unsigned depth;		/* nodes on a path; 1: the root is a leaf */
	uint64_t count;
	uint64_t nodes;
};

/* Where a key is, or would be inserted. */
struct tree_path {
	struct tree_node *node[TREE_DEPTH_MAX];
	uint16_t at[TREE_DEPTH_MAX];
	bool found;
};

/* A place between records: tree_next() goes right, tree_prev() left. */
struct tree_pos {
	struct tree_node *leaf;
	unsigned at; /* the record right of the place */
};

void tree_init(struct tree *);
void tree_release(struct tree *);

void tree_find(
    const struct tree *, const uint8_t *key, size_t len, struct tree_path *);
/* The record that was found. */
struct record *tree_record(const struct tree *, const struct tree_path *);
/* -ENOMEM, nothing changed.  The path is of a key not found. */
int tree_insert(struct tree *, struct tree_path *, struct record *);
/* Put another record of the same key into the place of the found one. */
void tree_replace(struct tree *, struct tree_path *, struct record *);
void tree_remove(struct tree *, struct tree_path *);

/* The place before the first record whose key is at least this one. */
struct tree_pos tree_seek(const struct tree *, const uint8_t *key, size_t len);
/* The place behind the last record. */
struct tree_pos tree_end(const struct tree *);
/* The record passed, or NULL. */
struct record *tree_next(struct tree_pos *);
struct record *tree_prev(struct tree_pos *);

/* memcmp, shorter first. */
int tree_compare(
    const uint8_t *a, size_t a_len, const uint8_t *b, size_t b_len);

/* For tests: do the invariants hold? */
bool tree_check(const struct tree *);

#endif
