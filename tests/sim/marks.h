/*
 * marks.h - counters of the interesting places that a run has been to.
 *
 * A mark proves that a run tested what it claims to have tested: a simulator
 * that never loses a vote proves nothing about lost votes.  Each MARK() is
 * known from the first line of main() on, so that one never reached is
 * reported as such.
 */
#ifndef TESTS_SIM_MARKS_H
#define TESTS_SIM_MARKS_H

#include <stdint.h>
#include <stdio.h>

enum mark {
#define MARK(name, text) MARK_##name,
#include "tests/sim/marks.def"
#undef MARK
	MARK_COUNT
};

void mark(enum mark);
void mark_n(enum mark, uint64_t n);
uint64_t mark_count(enum mark);
const char *mark_name(enum mark);
void marks_reset(void);
/* One line a mark, "name count"; returns how many stand at zero. */
unsigned marks_print(FILE *);
/* Add the counts that marks_print() wrote elsewhere: for runs in children. */
void marks_add(const uint64_t counts[MARK_COUNT]);
void marks_get(uint64_t counts[MARK_COUNT]);

#endif
