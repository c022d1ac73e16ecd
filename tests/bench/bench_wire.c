/*
 * bench_wire.c - what it costs to write a put for the wire, and to take one
 * out of a stream and judge it: ns of CPU.
 *
 *	bench_wire [PUTS [VALUE_SIZE]]
 *
 * One JSON object on stdout.
 */
#include <err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "raftctl/frame.h"
#include "raftd/fsm/kvargs.h"

#define BATCH 100 /* that one read brings */

static uint8_t value[65536];

static uint64_t
cpu_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static void
encode(struct mp_buf *b, size_t len)
{
	static const char key[] = "00012345";
	uint32_t i;

	mp_buf_reset(b);
	for (i = 0; i < BATCH; i++) {
		frame_put_request(b, i, "put");
		mp_put_array(b, 2);
		mp_put_bin(b, key, sizeof(key) - 1);
		mp_put_bin(b, value, len);
	}
}

static uint64_t
decode(struct frame_reader *r, const struct mp_buf *b)
{
	struct kv_args args;
	struct frame f;
	uint64_t n = 0;
	size_t room, at, len;
	uint8_t *p;

	for (at = 0; at < b->len; at += len) {
		p = frame_room(r, &room);
		if (p == NULL)
			errx(71, "no room");
		len = b->len - at < room ? b->len - at : room;
		memcpy(p, b->data + at, len);
		frame_filled(r, len);
		while (frame_next(r, &f) == 1)
			n += kvargs_read(KV_PUT, f.params, &args, NULL) ==
			     WIRE_OK;
	}
	return n;
}

int
main(int argc, char **argv)
{
	uint64_t puts = argc > 1 ? strtoull(argv[1], NULL, 10) : 1000000;
	size_t len = argc > 2 ? strtoull(argv[2], NULL, 10) : 256;
	uint64_t i, begin, enc, dec, n = 0;
	struct frame_reader r;
	struct mp_buf b;

	if (puts < BATCH || puts > 1000000000 || len > sizeof(value))
		return 64;
	mp_buf_init(&b);
	frame_reader_init(&r, 1 << 20);
	begin = cpu_ns();
	for (i = 0; i < puts / BATCH; i++)
		encode(&b, len);
	enc = cpu_ns() - begin;
	begin = cpu_ns();
	for (i = 0; i < puts / BATCH; i++)
		n += decode(&r, &b);
	dec = cpu_ns() - begin;
	if (n != puts / BATCH * BATCH)
		errx(70, "%llu puts came back", (unsigned long long)n);
	printf("{\"bench\":\"wire\",\"puts\":%llu,\"value_size\":%zu,"
	       "\"encode_ns\":%.1f,\"decode_ns\":%.1f}\n",
	    (unsigned long long)n, len, (double)enc / (double)n,
	    (double)dec / (double)n);
	frame_reader_release(&r);
	mp_buf_release(&b);
	return 0;
}
