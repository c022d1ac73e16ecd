/*
 * selftest.h - the simulator's own parts against what their headers say.
 */
#ifndef TESTS_SIM_SELFTEST_H
#define TESTS_SIM_SELFTEST_H

/* Prints each failure; exit status: 0, or 1. */
int selftest(void);

#endif
