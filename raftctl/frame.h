/*
 * frame.h - MessagePack-RPC messages cut out of a byte stream, and their
 * envelopes.
 *
 * The public MessagePack-RPC specification has no length prefix: a message
 * is one MessagePack array, and the stream is such arrays back to back.  A
 * frame_reader owns a linear buffer, keeps the incremental scan of the first
 * unfinished message, and hands out each whole message once, in place.
 * Messages are not copied, and no byte is judged twice.
 *
 * Limits: frame_len_max is known before a byte is read; a message that
 * would exceed it, or is not an array of 3 or 4 with a known type, is
 * -EPROTO or -E2BIG, and the stream is then of no further use.
 *
 * Format: raftrpc(5).
 */
#ifndef RAFTCTL_FRAME_H
#define RAFTCTL_FRAME_H

#include <stddef.h>
#include <stdint.h>

#include "raftctl/mp.h"

#define FRAME_READ_SIZE (64 * 1024) /* room offered to each read(2) */

enum frame_type {
	FRAME_REQUEST = 0,
	FRAME_RESPONSE = 1,
	FRAME_NOTIFY = 2,
};

/*
 * One message.  Spans point into the reader's buffer and are valid until
 * its next frame_room().
 */
struct frame {
	enum frame_type type;
	uint64_t msgid;	       /* request, response */
	struct mp_span method; /* request, notify */
	struct mp_span params; /* request, notify: raw, always an array */
	/* method and params as they stand in the message, back to back */
	struct mp_span call;
	struct mp_span error;  /* response: raw, nil when it succeeded */
	struct mp_span result; /* response: raw */
};

struct frame_reader {
	uint8_t *data;
	size_t start; /* first byte not yet handed out */
	size_t end;   /* first free byte */
	size_t cap;
	size_t frame_len_max;
	struct mp_scan scan;
};

void frame_reader_init(struct frame_reader *, size_t frame_len_max);
void frame_reader_release(struct frame_reader *);

/*
 * Room for at least FRAME_READ_SIZE bytes (or what is left of frame_len_max +
 * FRAME_READ_SIZE) at the end of the buffer; *room is its size.  Frames
 * handed out before are no longer valid.  NULL without memory, and when that
 * many bytes already wait: who calls frame_next() until it says 0 before
 * each read never meets that.
 */
uint8_t *frame_room(struct frame_reader *, size_t *room);
/* len bytes were read into what frame_room() gave. */
void frame_filled(struct frame_reader *, size_t len);

/* 1: *frame is the next message.  0: more bytes are needed.  <0: as above. */
int frame_next(struct frame_reader *, struct frame *);

/* Take a whole message apart: 0 or -EPROTO. */
int frame_parse(const uint8_t *data, size_t len, struct frame *);
/* The same of bytes that mp_scan_feed() found to be one value. */
int frame_parse_scanned(const uint8_t *data, size_t len, struct frame *);

/* ---- envelopes: the caller packs params or result right behind -------- */

void frame_put_request(struct mp_buf *, uint32_t msgid, const char *method);
void frame_put_notify(struct mp_buf *, const char *method);
/* [1, msgid, nil, <result follows> */
void frame_put_ok(struct mp_buf *, uint64_t msgid);
/* [1, msgid, <error follows; then the caller packs nil as the result> */
void frame_put_error(struct mp_buf *, uint64_t msgid);

#endif
