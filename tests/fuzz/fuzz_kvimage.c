/*
 * fuzz_kvimage.c - arbitrary bytes as a saved state.
 *
 * What is taken must be whole and must be saved again as the same bytes.
 */
#include <assert.h>
#include <errno.h>

#include "tests/unit/kvhelp.h"

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

struct input {
	const uint8_t *p;
	size_t len;
};

static int
input_read(void *ctx, void *data, size_t len)
{
	struct input *in = ctx;

	if (len > in->len)
		return -ENODATA;
	memcpy(data, in->p, len);
	in->p += len;
	in->len -= len;
	return 0;
}

static int
output_write(void *ctx, const void *data, size_t len)
{
	mp_put_raw(ctx, data, len);
	return 0;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = {data, size};
	struct fsm *f = kv_ops.new(1);
	struct mp_buf out;

	mp_buf_init(&out);
	if (kv_ops.load(f, input_read, &in) == 0) {
		assert(kvstore_check(f));
		assert(kv_ops.save(f, output_write, &out) == 0);
		assert(out.len == size - in.len);
		assert(memcmp(out.data, data, out.len) == 0);
	} else {
		assert(f->tree.count == 0);
	}
	mp_buf_release(&out);
	kv_ops.free(f);
	return 0;
}
