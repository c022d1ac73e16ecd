/*
 * bench_kv.c - what the key-value store costs: ns of CPU for each operation
 * and bytes of memory for each key.
 *
 *	bench_kv [KEYS [VALUE_LEN]]
 *
 * One JSON object on stdout.  Keys are inserted in a random order, then in
 * ascending order into a second store, as a log that is replayed may be.
 */
#include <malloc.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "tests/unit/kvhelp.h"

static uint64_t
now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static uint64_t
resident(void)
{
	unsigned long size, pages = 0;
	FILE *f = fopen("/proc/self/statm", "r");

	if (f == NULL || fscanf(f, "%lu %lu", &size, &pages) != 2)
		pages = 0;
	if (f != NULL)
		fclose(f);
	return (uint64_t)pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

static uint64_t rng = 88172645463325252u;

static uint64_t
rand_u64(void)
{
	rng ^= rng << 13;
	rng ^= rng >> 7;
	rng ^= rng << 17;
	return rng;
}

/* A permutation of 0..n-1 by a full-period walk. */
static uint64_t
scatter(uint64_t i, uint64_t n)
{
	return i * 2654435761u % n;
}

static uint8_t value[1 << 20];

/* [key, value] with an eight-byte key, packed by hand to cost little. */
static void
pack(struct mp_buf *p, uint64_t key, size_t value_len)
{
	char text[24];

	(void)snprintf(text, sizeof(text), "%08llu", (unsigned long long)key);
	mp_buf_reset(p);
	mp_put_array(p, value_len == SIZE_MAX ? 1 : 2);
	mp_put_bin(p, text, 8);
	if (value_len != SIZE_MAX)
		mp_put_bin(p, value, value_len);
}

static void
report(const char *name, uint64_t start, uint64_t pack_ns, uint64_t n)
{
	uint64_t ns = now_ns() - start;

	printf("\"%s_ns\":%.0f,", name,
	    (double)(ns > pack_ns ? ns - pack_ns : 0) / (double)n);
}

static void
apply(struct kvhelp *h, const char *method, bool reply)
{
	struct fsm_command c = {
	    .index = ++h->index,
	    .stamp = h->index,
	    .method = mp_span(method, strlen(method)),
	    .params = mp_span(h->params.data, h->params.len),
	};

	mp_buf_reset(&h->reply);
	if (kv_ops.apply(h->f, &c, reply ? &h->reply : NULL, NULL) != WIRE_OK)
		abort();
}

static void
puts_run(struct kvhelp *h, const char *name, uint64_t n, uint64_t keys,
    size_t len, bool sequential, bool reply, uint64_t pack_ns)
{
	uint64_t start = now_ns(), i;

	for (i = 0; i < n; i++) {
		pack(&h->params, sequential ? i : scatter(i, keys), len);
		apply(h, "put", reply);
	}
	report(name, start, pack_ns * n, n);
}

/* Keys in no order at all: not that of the allocations either. */
static void
ones_run(struct kvhelp *h, const char *name, uint64_t n, uint64_t keys,
    size_t len, uint64_t pack_ns)
{
	uint64_t start = now_ns(), i;

	for (i = 0; i < n; i++) {
		pack(&h->params, rand_u64() % keys, len);
		apply(h, "put", true);
	}
	report(name, start, pack_ns * n, n);
}

static void
gets_run(struct kvhelp *h, uint64_t n, uint64_t keys, uint64_t pack_ns)
{
	uint64_t start = now_ns(), i;

	for (i = 0; i < n; i++) {
		pack(&h->params, rand_u64() % keys, SIZE_MAX);
		if (kvhelp_query(h, "get") != WIRE_OK)
			abort();
	}
	report("get", start, pack_ns * n, n);
}

static void
lists_run(struct kvhelp *h, uint64_t n, uint64_t keys)
{
	uint64_t start = now_ns(), i;
	char from[24];

	for (i = 0; i < n; i++) {
		(void)snprintf(from, sizeof(from), "%08llu",
		    (unsigned long long)(rand_u64() % keys));
		mp_buf_reset(&h->params);
		mp_put_array(&h->params, 2);
		mp_put_str(&h->params, "");
		mp_put_map(&h->params, 2);
		mp_put_kv_u64(&h->params, "limit", 100);
		mp_put_kv_str(&h->params, "from", from);
		if (kvhelp_query(h, "list") != WIRE_OK)
			abort();
	}
	report("list_100", start, 0, n);
}

static int
count_bytes(void *ctx, const void *data, size_t len)
{
	(void)data;
	*(uint64_t *)ctx += len;
	return 0;
}

int
main(int argc, char **argv)
{
	uint64_t keys = argc > 1 ? strtoull(argv[1], NULL, 10) : 1000000;
	size_t len = argc > 2 ? strtoull(argv[2], NULL, 10) : 256;
	uint64_t base, pack_ns, start, i, saved = 0;
	struct kvhelp h;

	if (keys == 0 || keys > 100000000 || len > sizeof(value))
		return 64;
	for (i = 0; i < sizeof(value); i++)
		value[i] = (uint8_t)(i * 7);
	kvhelp_init(&h);
	start = now_ns();
	for (i = 0; i < 200000; i++)
		pack(&h.params, scatter(i, keys), len);
	pack_ns = (now_ns() - start) / 200000;
	base = resident();
	printf("{\"keys\":%llu,\"value_size\":%zu,", (unsigned long long)keys,
	    len);
	puts_run(&h, "put_new_random", keys, keys, len, false, true, pack_ns);
	printf("\"bytes_per_key\":%.0f,\"ratio_to_data\":%.2f,",
	    (double)(resident() - base) / (double)keys,
	    (double)(resident() - base) / (double)(keys * (8 + len)));
	puts_run(
	    &h, "put_update_random", keys, keys, len, false, true, pack_ns);
	ones_run(&h, "put_update_alone", keys, keys, len, pack_ns);
	puts_run(
	    &h, "put_update_follower", keys, keys, len, false, false, pack_ns);
	gets_run(&h, keys, keys, pack_ns);
	lists_run(&h, 10000, keys);
	start = now_ns();
	if (kv_ops.save(h.f, count_bytes, &saved) < 0)
		abort();
	report("save", start, 0, keys);
	printf("\"resident_ratio_after_updates\":%.2f,",
	    (double)(resident() - base) / (double)(keys * (8 + len)));
	kvhelp_release(&h);
	malloc_trim(0);
	kvhelp_init(&h);
	base = resident();
	puts_run(&h, "replay_ascending", keys, keys, len, true, false, pack_ns);
	printf("\"replay_bytes_per_key\":%.0f,\"saved_bytes\":%llu}\n",
	    (double)(resident() - base) / (double)keys,
	    (unsigned long long)saved);
	kvhelp_release(&h);
	return 0;
}
