/*
 * fuzz_image.c - any bytes as the state in a snapshot whose checksums are all
 * right: what raftsnap lists of it stays within it, and what the state
 * machine takes raftsnap takes too, with as many records and tables.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "raftd/fsm/kvstore.h"
#include "raftsnap/image.h"

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

#define INPUT_MAX 65536

struct bytes {
	uint8_t *p;
	size_t len, cap, at;
};

static int
put(void *ctx, const void *data, size_t len)
{
	struct bytes *b = ctx;

	if (len > b->cap - b->len)
		return -1;
	memcpy(b->p + b->len, data, len);
	b->len += len;
	return 0;
}

static int64_t
get(void *ctx, void *buf, size_t len)
{
	struct bytes *b = ctx;
	size_t n = b->len - b->at < len ? b->len - b->at : len;

	memcpy(buf, b->p + b->at, n);
	b->at += n;
	return (int64_t)n;
}

static void
wrap(struct bytes *b, const uint8_t *data, size_t size)
{
	struct snap_meta m = {.group = 1, .index = 1, .term = 1};
	struct snap_writer *w;
	int error = snap_writer_new(&m, 0, put, b, &w);

	assert(error == 0);
	error = snap_write(w, data, size);
	assert(error == 0);
	error = snap_writer_finish(w, NULL);
	assert(error == 0);
	snap_writer_free(w);
}

/* 0: it is a whole state. */
static int
list(struct bytes *b, uint64_t *records, uint64_t *bytes)
{
	static uint8_t key[IMAGE_KEY_MAX];
	struct image_record r;
	struct snap_reader *reader;
	struct image im = {0};
	int error;

	b->at = 0;
	*records = *bytes = 0;
	error = snap_reader_new(get, b, &reader, NULL);
	assert(error == 0);
	error = image_open(&im, reader);
	if (error == 0)
		while ((error = image_next(&im, &r, key)) == 1) {
			(*records)++;
			*bytes += r.key_len + r.value_len;
		}
	assert(*bytes <= INPUT_MAX);
	image_close(&im);
	snap_reader_free(reader);
	return error;
}

static bool
load(struct bytes *b, struct kv_stat *st)
{
	struct fsm *f = kv_ops.new(1);
	struct snap_reader *reader;
	uint8_t more;
	bool ok;
	int error;

	b->at = 0;
	assert(f != NULL);
	error = snap_reader_new(get, b, &reader, NULL);
	assert(error == 0);
	ok = kv_ops.load(f, snap_read, reader) == 0 &&
	     snap_read_some(reader, &more, 1) == 0;
	kv_stat(f, st);
	kv_ops.free(f);
	snap_reader_free(reader);
	return ok;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t file[2 * INPUT_MAX + 4096];
	struct bytes b = {file, 0, sizeof(file), 0};
	uint64_t records, bytes;
	struct kv_stat st;
	int error;

	if (size > INPUT_MAX)
		return 0;
	wrap(&b, data, size);
	error = list(&b, &records, &bytes);
	if (load(&b, &st)) {
		assert(error == 0);
		assert(records == st.keys);
		assert(bytes == st.bytes);
	}
	return 0;
}
