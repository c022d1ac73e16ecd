/*
 * heap.c - the store in large pages.
 */
#include "raftd/heap.h"

#include <malloc.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

#define HEAP_PAGE (UINT64_C(2) << 20)
/* The first page of a step is in use before it is offered: few steps. */
#define HEAP_STEP (32 << 20)
/* Naming a step ends malloc's own tuning of this, which goes up to here. */
#define HEAP_MMAP_THRESHOLD (32 << 20)

static uintptr_t heap_end;

void
heap_init(void)
{
	(void)mallopt(M_TOP_PAD, HEAP_STEP);
	(void)mallopt(M_TRIM_THRESHOLD, 2 * HEAP_STEP);
	(void)mallopt(M_MMAP_THRESHOLD, HEAP_MMAP_THRESHOLD);
	heap_end = (uintptr_t)sbrk(0);
}

void
heap_grown(void)
{
	uintptr_t end = (uintptr_t)sbrk(0), from, to;

	if (end <= heap_end) {
		heap_end = end;
		return;
	}
	from = (heap_end + HEAP_PAGE - 1) & ~(HEAP_PAGE - 1);
	to = end & ~(HEAP_PAGE - 1);
	if (to > from)
		(void)madvise((void *)from, to - from, MADV_HUGEPAGE);
	heap_end = to > heap_end ? to : heap_end;
}
