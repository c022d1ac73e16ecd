/*
 * wire.c - the messages on their way, as the checker reads them.
 */
#include "tests/sim/wire.h"

#include <inttypes.h>
#include <string.h>

#include "raftd/chunk.h"
#include "raftd/message.h"
#include "tests/sim/check.h"
#include "tests/sim/server.h"

size_t
wire_frame(const uint8_t *data, size_t len, struct frame *frame)
{
	struct mp_scan scan;
	size_t n;

	mp_scan_init(&scan, WIRE_FRAME_LEN_MAX, 0);
	if (mp_scan_feed(&scan, data, len, &n) != 1 ||
	    frame_parse_scanned(data, n, frame) < 0 ||
	    frame->type != FRAME_NOTIFY)
		return 0;
	return n;
}

bool
wire_is_raft(const struct frame *frame)
{
	return mp_span_eq(frame->method, "raft") ||
	       mp_span_eq(frame->method, "append");
}

/*
 * One message at the start of data: its length, 0 if it is not whole or not
 * one that this protocol has.  *raft_type: of a Raft message, else 0.
 */
static size_t
judge(const uint8_t *data, size_t len, struct frame *frame, int *raft_type,
    struct raft_msg *m, uint32_t *group)
{
	struct mp_span records;
	struct forward fwd;
	struct answer ans;
	struct chunk chunk;
	struct chunk_ack ack;
	struct trust t;
	size_t n = wire_frame(data, len, frame);
	uint32_t g;
	bool full;

	*raft_type = 0;
	if (n == 0)
		return 0;
	if (mp_span_eq(frame->method, "forward"))
		return forward_read(frame, &fwd) == 0 ? n : 0;
	if (mp_span_eq(frame->method, "answer"))
		return answer_read(frame, &ans) == 0 ? n : 0;
	if (mp_span_eq(frame->method, "snapshot"))
		return chunk_read(frame, &chunk) == 0 ? n : 0;
	if (mp_span_eq(frame->method, "snapshot.ack"))
		return chunk_ack_read(frame, &ack) == 0 ? n : 0;
	if (mp_span_eq(frame->method, "removed"))
		return n;
	if (mp_span_eq(frame->method, "space"))
		return space_read(frame, &g, &full) == 0 ? n : 0;
	if (mp_span_eq(frame->method, "trust"))
		return trust_read(frame, &t) == 0 ? n : 0;
	if (message_read(frame, 1, 2, group, m, &records) < 0)
		return 0;
	*raft_type = m->type;
	return n;
}

bool
wire_is_valid(const uint8_t *data, size_t len)
{
	static struct raft_msg m;
	struct frame frame;
	uint32_t group;
	int type;

	while (len > 0) {
		size_t n = judge(data, len, &frame, &type, &m, &group);

		if (n == 0)
			return false;
		data += n;
		len -= n;
	}
	return true;
}

/* Bytes of a value without others in it; 0: not one of those that stand in
 * messages between peers, or not whole. */
static size_t
value_len(const uint8_t *p, size_t len)
{
	static const uint8_t more[] = {[0xcc - 0xc0] = 1,
	    [0xcd - 0xc0] = 2,
	    [0xce - 0xc0] = 4,
	    [0xcf - 0xc0] = 8};
	size_t n = 0;

	if (len == 0 || p[0] >= 0xe0)
		return len > 0;
	if (p[0] < 0x80 || p[0] == 0xc2 || p[0] == 0xc3)
		return 1;
	if (p[0] >= 0xcc && p[0] <= 0xcf)
		return 1 + more[p[0] - 0xc0];
	if (p[0] < 0xc4 || p[0] > 0xc6)
		return 0;
	for (size_t i = 1; i <= (size_t)1 << (p[0] - 0xc4) && i < len; i++)
		n = n << 8 | p[i];
	return 1 + ((size_t)1 << (p[0] - 0xc4)) + n;
}

/*
 * The length of a message that says nothing which the checker compares, else
 * 0: appends, whose checksums cost more than all else, and heartbeats.  Their
 * receivers look at them anyway.
 */
static size_t
plain_len(const uint8_t *data, size_t len)
{
	static const uint8_t append[] = {
	    0x93, 2, 0xa6, 'a', 'p', 'p', 'e', 'n', 'd'};
	static const uint8_t raft[] = {0x93, 2, 0xa4, 'r', 'a', 'f', 't'};
	size_t at;
	unsigned fields;

	if (len > sizeof(append) && memcmp(data, append, sizeof(append)) == 0) {
		at = sizeof(append);
	} else if (len > sizeof(raft) + 3 &&
		   memcmp(data, raft, sizeof(raft)) == 0) {
		at = sizeof(raft); /* of the fields: group, type, ... */
		if (data[at + 1] != SERVER_GROUP ||
		    (data[at + 2] != RAFT_HEARTBEAT &&
			data[at + 2] != RAFT_HEARTBEAT_REPLY))
			return 0;
	} else {
		return 0;
	}
	if ((data[at] & 0xf0) != 0x90)
		return 0;
	fields = data[at++] & 0x0f;
	for (; fields > 0; fields--) {
		size_t n = value_len(data + at, len - at);

		if (n == 0 || n > len - at)
			return 0;
		at += n;
	}
	return at;
}

bool
wire_inspect(struct sim *sim, unsigned from, unsigned to, const uint8_t *data,
    size_t len)
{
	static struct raft_msg m;
	bool rests_on_stream = false;
	struct frame frame;
	uint32_t group = 0;
	int type;

	while (len > 0) {
		size_t n =
		    sim->event_count % 16 != 0 ? plain_len(data, len) : 0;

		if (n > 0) {
			mark(MARK_PLAIN_UNREAD);
			data += n;
			len -= n;
			continue;
		}
		n = judge(data, len, &frame, &type, &m, &group);
		if (n == 0) {
			sim_fail(
			    sim, "s%u sends what no peer may send", from + 1);
			return false;
		}
		sim_say_more(sim, "s%u -> s%u %.*s %d term %" PRIu64 " %zu",
		    from + 1, to + 1, (int)frame.method.len,
		    (const char *)frame.method.p, type, m.term, n);
		if (type != 0)
			check_sent(sim->server[from], to, &m, group);
		else if (mp_span_eq(frame.method, "forward") ||
			 mp_span_eq(frame.method, "answer"))
			rests_on_stream = true;
		data += n;
		len -= n;
	}
	return rests_on_stream;
}
