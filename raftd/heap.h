/*
 * heap.h - the store in large pages.
 *
 * A store that is read and written at random spends a good part of a put
 * waiting for the translation of addresses: 4 KiB pages of even a small one
 * outnumber what the processor remembers of them.  So the heap grows in large
 * steps, and what it grew by is offered to the kernel for pages of 2 MiB
 * before it is used.  Where there are none, or with another malloc, nothing
 * changes.
 *
 * Threads: the event thread, whose memory this is.
 */
#ifndef RAFTD_HEAP_H
#define RAFTD_HEAP_H

void heap_init(void);  /* before anything is allocated */
void heap_grown(void); /* now and then: looks whether it did */

#endif
