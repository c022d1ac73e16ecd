/*
 * prng.c - the simulator's randomness.
 */
#include "tests/sim/prng.h"

#include <string.h>

static uint64_t
splitmix(uint64_t *x)
{
	uint64_t z = (*x += 0x9e3779b97f4a7c15u);

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return z ^ (z >> 31);
}

static uint64_t
rotl(uint64_t x, int k)
{
	return (x << k) | (x >> (64 - k));
}

void
prng_init(struct prng *p, uint64_t seed, uint64_t stream)
{
	uint64_t x = seed, y = stream;

	x = splitmix(&x) ^ splitmix(&y);
	for (int i = 0; i < 4; i++)
		p->s[i] = splitmix(&x);
}

uint64_t
prng_next(struct prng *p)
{
	uint64_t *s = p->s;
	uint64_t result = rotl(s[1] * 5, 7) * 9;
	uint64_t t = s[1] << 17;

	s[2] ^= s[0];
	s[3] ^= s[1];
	s[1] ^= s[2];
	s[0] ^= s[3];
	s[2] ^= t;
	s[3] = rotl(s[3], 45);
	return result;
}

uint64_t
prng_below(struct prng *p, uint64_t n)
{
	if (n == 0)
		return 0;
	/* The bias of a multiplication is far below what any rate here can
	 * show, and it is the same everywhere. */
	return (uint64_t)(((unsigned __int128)prng_next(p) * n) >> 64);
}

uint64_t
prng_range(struct prng *p, uint64_t lo, uint64_t hi)
{
	return hi <= lo ? lo : lo + prng_below(p, hi - lo + 1);
}

bool
prng_ppm(struct prng *p, uint32_t ppm)
{
	return ppm > 0 && prng_below(p, 1000000) < ppm;
}

/*
 * -ln(u) by halving: the count of coin tosses that came up heads gives whole
 * multiples of ln 2, the rest is linear between them.  No libm, whose last
 * bit may differ between builds; the shape is what matters.
 */
uint64_t
prng_exp(struct prng *p, uint64_t mean)
{
	uint64_t r = prng_next(p);
	unsigned halvings = r == 0 ? 28 : (unsigned)__builtin_clzll(r);
	uint64_t frac = prng_next(p) >> 44; /* 20 bits */
	unsigned __int128 x;

	if (halvings > 28)
		halvings = 28;
	/* ln 2 = 726817 / 2^20 */
	x = (unsigned __int128)halvings * 726817 +
	    ((unsigned __int128)frac * 726817 >> 20);
	return (uint64_t)(x * mean >> 20);
}

void
prng_bytes(struct prng *p, void *dst, size_t len)
{
	uint8_t *d = dst;

	while (len > 0) {
		uint64_t r = prng_next(p);
		size_t n = len < sizeof(r) ? len : sizeof(r);

		memcpy(d, &r, n);
		d += n;
		len -= n;
	}
}

uint64_t
prng_mix(uint64_t hash, uint64_t word)
{
	hash ^= word;
	hash *= 0x9fb21c651e98df25u;
	hash ^= hash >> 32;
	return hash;
}
