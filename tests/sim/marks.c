/*
 * marks.c - counters of interesting places.
 */
#include "tests/sim/marks.h"

#include <string.h>

static uint64_t counts_now[MARK_COUNT];

static const char *const names[MARK_COUNT] = {
#define MARK(name, text) text,
#include "tests/sim/marks.def"
#undef MARK
};

void
mark(enum mark m)
{
	counts_now[m]++;
}

void
mark_n(enum mark m, uint64_t n)
{
	counts_now[m] += n;
}

uint64_t
mark_count(enum mark m)
{
	return counts_now[m];
}

const char *
mark_name(enum mark m)
{
	return names[m];
}

void
marks_reset(void)
{
	memset(counts_now, 0, sizeof(counts_now));
}

unsigned
marks_print(FILE *f)
{
	unsigned zero = 0;

	for (int i = 0; i < MARK_COUNT; i++) {
		fprintf(f, "mark %-34s %llu\n", names[i],
		    (unsigned long long)counts_now[i]);
		zero += counts_now[i] == 0;
	}
	return zero;
}

void
marks_add(const uint64_t counts[MARK_COUNT])
{
	for (int i = 0; i < MARK_COUNT; i++)
		counts_now[i] += counts[i];
}

void
marks_get(uint64_t counts[MARK_COUNT])
{
	memcpy(counts, counts_now, sizeof(counts_now));
}
