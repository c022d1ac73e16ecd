/*
 * intern.h - byte strings kept once each, under small numbers, and memory
 * that is counted against a limit.
 *
 * A history of a million operations names few distinct keys and repeats most
 * values; the judge compares numbers, never bytes.  Numbers are dense, begin
 * at 0 and are given in the order of first sight, so that nothing depends on
 * hashes or addresses.
 */
#ifndef LOADGEN_INTERN_H
#define LOADGEN_INTERN_H

#include <stddef.h>
#include <stdint.h>

/* What may be allocated in all; every user of one limit shares one budget. */
struct membudget {
	size_t used, max;
};

/* calloc and realloc against the budget; NULL when it or the system says no.
 * The caller remembers the sizes: membudget_free(b, p, n) gives n back. */
void *membudget_alloc(struct membudget *, size_t len);
void *membudget_grow(
    struct membudget *, void *p, size_t old_len, size_t new_len);
void membudget_free(struct membudget *, void *p, size_t len);

struct intern_item {
	const uint8_t *data;
	uint32_t len, hash;
};

struct intern_chunk;

struct intern {
	struct membudget *budget;
	struct intern_item *items;
	uint32_t items_n, items_cap;
	uint32_t *slots; /* item + 1, 0 is free; a power of two of them */
	uint32_t slots_n;
	struct intern_chunk *chunks;
};

#define INTERN_ITEMS_MAX 0x7fffffffu

void intern_init(struct intern *, struct membudget *);
void intern_release(struct intern *);

/* The number of these bytes, which are copied at first sight.  -ENOMEM. */
int intern_add(struct intern *, const void *data, size_t len, uint32_t *id);
/* The same without adding: -ENOENT when never seen. */
int intern_find(
    const struct intern *, const void *data, size_t len, uint32_t *id);

#endif
