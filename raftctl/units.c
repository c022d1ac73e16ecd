/*
 * units.c - numbers, durations and sizes as people write them.
 */
#include "raftctl/units.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

/* The digits at s; *end is what follows them. */
static int
digits(const char *s, uint64_t *v, const char **end)
{
	const char *p = s;
	uint64_t n = 0;

	for (; *p >= '0' && *p <= '9'; p++)
		if (__builtin_mul_overflow(n, 10, &n) ||
		    __builtin_add_overflow(n, (uint64_t)(*p - '0'), &n))
			return -EINVAL;
	if (p == s)
		return -EINVAL;
	*v = n;
	*end = p;
	return 0;
}

struct unit {
	const char *name;
	uint64_t factor;
};

static int
scaled(const char *s, const struct unit *units, size_t count, uint64_t *v)
{
	const char *end;
	uint64_t n;

	if (digits(s, &n, &end) < 0)
		return -EINVAL;
	for (size_t i = 0; i < count; i++) {
		if (strcmp(end, units[i].name) != 0)
			continue;
		if (__builtin_mul_overflow(n, units[i].factor, &n))
			return -EINVAL;
		*v = n;
		return 0;
	}
	return -EINVAL;
}

int
units_u64(const char *s, uint64_t *v)
{
	static const struct unit units[] = {{"", 1}};

	return scaled(s, units, 1, v);
}

int
units_duration_ms(const char *s, uint64_t *v)
{
	static const struct unit units[] = {{"ms", 1}, {"s", 1000},
	    {"m", 60000}, {"h", 3600000}, {"d", 86400000}};

	return scaled(s, units, sizeof(units) / sizeof(units[0]), v);
}

int
units_size(const char *s, uint64_t *v)
{
	static const struct unit units[] = {
	    {"", 1}, {"K", 1 << 10}, {"M", 1 << 20}, {"G", 1 << 30}};

	return scaled(s, units, sizeof(units) / sizeof(units[0]), v);
}
