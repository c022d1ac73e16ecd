/*
 * fuzz_wire.c - any bytes as an error value.
 *
 * Whatever a server sends becomes an error that can be packed, in either
 * style, and is read back as it was.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "raftctl/wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
must(bool condition)
{
	if (!condition)
		abort();
}

static struct wire_error
through(const struct wire_error *e, bool as_map)
{
	struct wire_error out;
	struct mp_buf b;

	mp_buf_init(&b);
	wire_put_error(&b, e, as_map);
	must(!b.failed && mp_scan(b.data, b.len) == 0);
	memset(&out, 0x55, sizeof(out));
	wire_read_error(mp_span(b.data, b.len), &out);
	mp_buf_release(&b);
	return out;
}

/* Ends within its array, and holds nothing that drives a terminal. */
static void
check_text(const char *text, size_t cap)
{
	must(memchr(text, '\0', cap) != NULL);
	for (; *text != '\0'; text++)
		must((unsigned char)*text >= 0x20 && *text != 0x7f);
}

static void
check(const struct wire_error *e)
{
	struct wire_error map, pair;

	must(e->status > WIRE_OK && e->status < WIRE_STATUS_COUNT);
	check_text(e->message, sizeof(e->message));
	check_text(e->leader, sizeof(e->leader));
	check_text(e->cause, sizeof(e->cause));
	map = through(e, true);
	must(map.status == e->status);
	/* an error without words of its own is named by its code */
	must(strcmp(map.message, e->message) == 0 || e->message[0] == '\0');
	must(strcmp(map.leader, e->leader) == 0);
	must(strcmp(map.cause, e->cause) == 0);
	pair = through(e, false);
	must(pair.status == e->status);
	must(strcmp(pair.message, e->message) == 0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct wire_error e, raw;

	wire_read_error(mp_span(data, size), &e);
	check(&e);
	/* what is put in need not even end */
	memset(&raw, 0, sizeof(raw));
	raw.status = (enum wire_status)(size % (WIRE_STATUS_COUNT + 3));
	memcpy(raw.message, data,
	    size < sizeof(raw.message) ? size : sizeof(raw.message));
	memcpy(raw.cause, data,
	    size < sizeof(raw.cause) ? size : sizeof(raw.cause));
	e = through(&raw, size % 2 == 0);
	check(&e);
	return 0;
}
