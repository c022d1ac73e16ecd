/*
 * mp.h - bounded MessagePack: one gate in, one way out.
 *
 * Bytes from outside are judged by mp_scan() before anything else looks at
 * them: depth at most MP_DEPTH_MAX, every count no larger than the bytes that
 * are left, an object limit, no ext types.  Scanning is incremental, so a
 * value that arrives in pieces is looked at once.  After that the cursor
 * (struct mp_cur) and the typed getters read in place and allocate nothing;
 * a cursor never leaves its bytes even if they were never scanned.
 *
 * Packing goes through msgpack-c into a struct mp_buf.  msgpack_unpack() is
 * reached only through mp_tree(), which scans first: five bytes can make the
 * bare function ask for 128 GiB (msgpack-c issue 1013).
 *
 * Ownership: spans and cursors borrow the bytes they were made over.
 * Errors: 0 or -errno; outputs are untouched on failure.
 *	-EPROTO	not what was asked for, or not MessagePack
 *	-E2BIG	a limit of this module is exceeded
 *	-ENOENT	no such key
 * Threads: no shared state; one object, one thread.
 */
#ifndef RAFTCTL_MP_H
#define RAFTCTL_MP_H

#include <msgpack.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MP_DEPTH_MAX 8	      /* deeper is refused: nothing of ours nests so */
#define MP_OBJECTS_MAX 131072 /* objects in one value, by default */

/* Bytes that belong to somebody else. */
struct mp_span {
	const uint8_t *p;
	size_t len;
};

enum mp_type {
	MP_NIL,
	MP_BOOL,
	MP_UINT, /* an integer >= 0, whatever its encoding */
	MP_INT,	 /* an integer < 0 */
	MP_FLOAT,
	MP_STR,
	MP_BIN,
	MP_ARRAY,
	MP_MAP,
	MP_INVALID, /* end of bytes, ext, or 0xc1 */
};

/*
 * An incremental scan of one value.  Feed it the same buffer again with more
 * bytes at its end; it goes on where it stopped.
 */
struct mp_scan {
	size_t pos;	  /* bytes of the value already judged */
	size_t len_max;	  /* the value may not be longer */
	uint32_t objects; /* seen so far */
	uint32_t objects_max;
	uint32_t depth;		     /* open containers */
	uint32_t left[MP_DEPTH_MAX]; /* objects missing in each of them */
};

/* len_max bounds the value's bytes; objects_max 0 means MP_OBJECTS_MAX. */
void mp_scan_init(struct mp_scan *, size_t len_max, uint32_t objects_max);

/*
 * Judge data[0..len) from where the last call stopped.
 * 1: one whole value, *value_len its length (bytes may follow).
 * 0: so far so good, more bytes are needed.
 * -EPROTO, -E2BIG: never call again before mp_scan_init().
 */
int mp_scan_feed(
    struct mp_scan *, const uint8_t *data, size_t len, size_t *value_len);

/* A whole value and nothing behind it: 0, -EPROTO, -E2BIG. */
int mp_scan(const uint8_t *data, size_t len);

/* ---- reading ---------------------------------------------------------- */

/* A position in bytes.  Reads advance it on success only. */
struct mp_cur {
	const uint8_t *p;
	const uint8_t *end;
};

struct mp_cur mp_cur(const void *data, size_t len);
static inline struct mp_cur
mp_cur_span(struct mp_span s)
{
	return mp_cur(s.p, s.len);
}

enum mp_type mp_peek(const struct mp_cur *);
bool mp_done(const struct mp_cur *); /* nothing is left */

int mp_read_nil(struct mp_cur *);
int mp_read_bool(struct mp_cur *, bool *);
int mp_read_u64(struct mp_cur *, uint64_t *); /* -EPROTO if negative */
int mp_read_i64(struct mp_cur *, int64_t *);
int mp_read_double(struct mp_cur *, double *);	      /* integers too */
int mp_read_bytes(struct mp_cur *, struct mp_span *); /* str or bin */
int mp_read_array(struct mp_cur *, uint32_t *count);
int mp_read_map(struct mp_cur *, uint32_t *count);
int mp_skip(struct mp_cur *); /* one value of any kind */
/* The next value's own bytes, whatever it is. */
int mp_read_raw(struct mp_cur *, struct mp_span *);

bool mp_span_eq(struct mp_span, const char *str);
static inline struct mp_span
mp_span(const void *p, size_t len)
{
	return (struct mp_span){p, len};
}

/*
 * A map, read by key.  Keys are str or bin.  Unknown keys are ignored, a
 * missing key is -ENOENT, one that stands twice -EPROTO.  mp_opt_*() leave
 * the output untouched and return 0 when the key is absent or nil.
 */
struct mp_map {
	struct mp_cur body; /* at the first key */
	uint32_t count;	    /* pairs */
};

int mp_read_mapping(struct mp_cur *, struct mp_map *);
int mp_get(const struct mp_map *, const char *key, struct mp_cur *value);
int mp_get_u64(const struct mp_map *, const char *key, uint64_t *);
int mp_get_bool(const struct mp_map *, const char *key, bool *);
int mp_get_bytes(const struct mp_map *, const char *key, struct mp_span *,
    size_t len_max); /* -E2BIG if longer */
int mp_opt_u64(const struct mp_map *, const char *key, uint64_t *);
int mp_opt_bool(const struct mp_map *, const char *key, bool *);
int mp_opt_bytes(
    const struct mp_map *, const char *key, struct mp_span *, size_t len_max);

/*
 * The value as a tree of msgpack-c, for code where speed does not matter.
 * Scans first.  The caller destroys the zone; the tree borrows data.
 */
int mp_tree(const uint8_t *data, size_t len, msgpack_zone *, msgpack_object *);

/* ---- writing ---------------------------------------------------------- */

/*
 * A growing buffer.  A failed allocation is remembered in `failed`, later
 * writes do nothing, and whoever hands the bytes on checks it once.
 */
struct mp_buf {
	uint8_t *data;
	size_t len;
	size_t cap;
	bool failed;
};

void mp_buf_init(struct mp_buf *);
void mp_buf_release(struct mp_buf *);
void mp_buf_reset(struct mp_buf *); /* empty; keeps the memory */
/* Room for len more bytes, of which the caller fills any number and adds
 * that to ->len.  NULL (and failed) without memory. */
uint8_t *mp_buf_reserve(struct mp_buf *, size_t len);

void mp_put_nil(struct mp_buf *);
void mp_put_bool(struct mp_buf *, bool);
void mp_put_u64(struct mp_buf *, uint64_t);
void mp_put_i64(struct mp_buf *, int64_t);
void mp_put_double(struct mp_buf *, double);
void mp_put_str(struct mp_buf *, const char *); /* NUL-terminated */
void mp_put_strn(struct mp_buf *, const void *, size_t len);
void mp_put_bin(struct mp_buf *, const void *, size_t len);
void mp_put_array(struct mp_buf *, uint32_t count);
void mp_put_map(struct mp_buf *, uint32_t count);
/* Bytes that are MessagePack already. */
void mp_put_raw(struct mp_buf *, const void *, size_t len);

/* "key": value pairs of a map. */
void mp_put_kv_u64(struct mp_buf *, const char *key, uint64_t);
void mp_put_kv_bool(struct mp_buf *, const char *key, bool);
void mp_put_kv_str(struct mp_buf *, const char *key, const char *);
void mp_put_kv_bin(struct mp_buf *, const char *key, const void *, size_t);
void mp_put_kv_nil(struct mp_buf *, const char *key);

#endif
