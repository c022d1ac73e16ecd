/*
 * any.h - which mutant runs is chosen when the program starts.
 *
 * `make MUTANT=any` builds everything once with this file ahead of each
 * source; RAFTKIT_MUTANT=7 in the environment of a program of that build then
 * makes MUTANT(7) true in it.  `make MUTANT=7` builds a single one instead.
 */
#ifndef TESTS_MUTANTS_ANY_H
#define TESTS_MUTANTS_ANY_H

#include <stdlib.h>

static inline __attribute__((unused)) long
mutant_chosen(void)
{
	static long chosen = -1;
	const char *s;

	if (chosen < 0) {
		s = getenv("RAFTKIT_MUTANT");
		chosen = s != NULL ? strtol(s, NULL, 10) : 0;
	}
	return chosen;
}

#endif
