/*
 * fuzz_kv.c - the key-value store under arbitrary commands.
 *
 * The input is a row of commands: a byte that says which, two bytes of
 * length, that many bytes of params (not scanned before, unlike in raftd).
 * The byte also says how much time passes.
 * Whatever comes, two stores answer the same, what was admitted is what is
 * applied, and the counters equal a recount.
 */
#include <assert.h>

#include "tests/unit/kvhelp.h"

#define COMMANDS_MAX 64

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

static const char *const methods[] = {"put", "delete", "get", "list", "put",
    "incr", "", "txn", "lease.grant", "lease.renew", "lease.revoke", "lock",
    "unlock", "lock.list", "lease.list", "tick"};

static void
run(struct kvhelp *a, struct kvhelp *b, const char *method)
{
	struct fsm_command c = {
	    .index = 1,
	    .method = mp_span(method, strlen(method)),
	    .params = mp_span(a->params.data, a->params.len),
	};
	enum wire_status admitted, applied;
	uint64_t rev;

	/* What time brings is not the command's doing. */
	assert(kv_ops.advance(a->f, ++a->index, a->stamp) == WIRE_OK);
	assert(kv_ops.advance(b->f, ++b->index, a->stamp) == WIRE_OK);
	b->stamp = a->stamp;
	rev = kv_ops.rev(a->f);
	admitted = kv_ops.admit(&c, NULL);
	applied = kvhelp_apply(a, method);
	assert(kvhelp_apply(b, method) == applied);
	assert(admitted == WIRE_OK || applied == admitted ||
	       strcmp(method, FSM_TICK) == 0);
	assert(applied == WIRE_OK || applied == WIRE_TOO_LARGE ||
	       applied == WIRE_DATA || applied == WIRE_SESSION ||
	       applied == WIRE_ABSENT || applied == WIRE_BUSY ||
	       applied == WIRE_USAGE || admitted != WIRE_OK);
	assert(applied == WIRE_OK || kv_ops.rev(a->f) == rev);
	assert(a->reply.len == b->reply.len);
	if (applied == WIRE_OK) {
		assert(mp_scan(a->reply.data, a->reply.len) == 0);
		assert(memcmp(a->reply.data, b->reply.data, a->reply.len) == 0);
	} else {
		assert(a->reply.len == 0);
	}
	if (kvhelp_query(a, method) == WIRE_OK)
		assert(mp_scan(a->reply.data, a->reply.len) == 0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fsm_digest d, again;
	struct kvhelp a, b;
	unsigned n;
	size_t len, which;

	kvhelp_init(&a);
	kvhelp_init(&b);
	for (n = 0; n < COMMANDS_MAX && size >= 3; n++) {
		which = data[0] % (sizeof(methods) / sizeof(methods[0]));
		a.stamp += data[0] / (sizeof(methods) / sizeof(methods[0]));
		len = (size_t)data[1] << 8 | data[2];
		data += 3;
		size -= 3;
		if (len > size)
			len = size;
		mp_buf_reset(&a.params);
		mp_buf_reset(&b.params);
		mp_put_raw(&a.params, data, len);
		mp_put_raw(&b.params, data, len);
		data += len;
		size -= len;
		run(&a, &b, methods[which]);
	}
	d = kv_ops.digest(a.f);
	again = kvstore_recount(a.f);
	assert(d.hi == again.hi && d.lo == again.lo);
	assert(kvstore_check(a.f));
	kvhelp_release(&a);
	kvhelp_release(&b);
	return 0;
}
