/*
 * ops.c - single operations of a load.
 */
#include "loadgen/ops.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "raftctl/frame.h"

#define ID_LEN_MAX 22 /* a number, and what ends it */

/* Letters in no order, so that compressors find little to do. */
static uint8_t
filler(uint32_t i)
{
	return (uint8_t)('a' + ((i * 2654435761u) >> 13) % 26);
}

int
ops_init(struct ops *o, const struct run_options *opt, struct work *work,
    struct recorder *recorder)
{
	uint32_t i, room = opt->value_size + ID_LEN_MAX;

	memset(o, 0, sizeof(*o));
	o->opt = opt;
	o->work = work;
	o->recorder = recorder;
	o->next_id = 1;
	if (opt->work.share[WORK_APPEND] == 0)
		o->value_size = opt->value_size;
	o->value = malloc(room);
	o->old = malloc(room);
	if (opt->work.share[WORK_CAS] > 0)
		o->known = calloc(opt->work.keys, sizeof(*o->known));
	mp_buf_init(&o->reads);
	if (o->value == NULL || o->old == NULL ||
	    (opt->work.share[WORK_CAS] > 0 && o->known == NULL)) {
		ops_release(o);
		return -ENOMEM;
	}
	for (i = 0; i < room; i++)
		o->value[i] = o->old[i] = filler(i);
	if (opt->read != RUN_LINEARIZABLE) {
		mp_put_map(&o->reads, 1);
		mp_put_kv_str(&o->reads, "read", run_read_names[opt->read]);
	}
	return 0;
}

void
ops_release(struct ops *o)
{
	free(o->value);
	free(o->old);
	free(o->known);
	mp_buf_release(&o->reads);
	memset(o, 0, sizeof(*o));
}

bool
op_is_write(const struct op *op)
{
	return op->kind != WORK_GET && op->kind != WORK_SCAN &&
	       (op->kind != WORK_RMW || op->second);
}

/* Digits of v, at least width of them. */
static size_t
format_number(void *out, uint64_t v, size_t width)
{
	uint8_t digits[20];
	size_t i = sizeof(digits);

	do {
		digits[--i] = (uint8_t)('0' + v % 10);
		v /= 10;
	} while (v > 0);
	while (sizeof(digits) - i < width)
		digits[--i] = '0';
	memcpy(out, digits + i, sizeof(digits) - i);
	return sizeof(digits) - i;
}

static struct mp_span
key_text(struct ops *o, uint64_t key)
{
	size_t len = strlen(o->opt->prefix);

	memcpy(o->key, o->opt->prefix, len);
	len += format_number(o->key + len, key, 8);
	o->key[len] = '\0';
	return mp_span(o->key, len);
}

/* The value of an id; *token is the part that the history has. */
static struct mp_span
value_text(struct ops *o, uint8_t *scratch, uint64_t id, struct mp_span *token)
{
	size_t len = format_number(scratch, id, 1);
	uint32_t i;

	if (o->opt->work.share[WORK_APPEND] > 0) {
		scratch[len++] = ',';
		*token = mp_span(scratch, len);
		return *token;
	}
	*token = mp_span(scratch, len);
	if (len + 1 >= o->value_size)
		return *token;
	scratch[len] = ' ';
	/* a longer number may have stood here */
	for (i = (uint32_t)len + 1; i < ID_LEN_MAX; i++)
		scratch[i] = filler(i);
	return mp_span(scratch, o->value_size);
}

static void
line_start(struct ops *o, const struct op *op, struct record_line *l,
    uint64_t time_ns, enum record_type type)
{
	static const char *const names[WORK_OPS] = {
	    "put", "get", "delete", "cas", "append", "put", "get", "get"};

	memset(l, 0, sizeof(*l));
	l->time_ns = time_ns;
	l->process = op->process;
	l->type = type;
	l->f = op->second ? "put" : names[op->kind];
	key_text(o, op->key);
	l->key = o->key;
}

static void
record_invoke(struct ops *o, const struct op *op, uint64_t time_ns,
    struct mp_span token, struct mp_span old)
{
	struct record_line l;

	if (o->recorder == NULL)
		return;
	line_start(o, op, &l, time_ns, RECORD_INVOKE);
	if (op->kind == WORK_CAS) {
		l.kind = RECORD_PAIR;
		l.value[0] = old;
		l.value[1] = token;
	} else if (op_is_write(op) && op->kind != WORK_DELETE) {
		l.kind = RECORD_ONE;
		l.value[0] = token;
	}
	recorder_write(o->recorder, &l);
}

static void
put_read_params(struct ops *o, struct mp_buf *out, struct mp_span key)
{
	mp_put_array(out, o->reads.len > 0 ? 2 : 1);
	mp_put_bin(out, key.p, key.len);
	if (o->reads.len > 0)
		mp_put_raw(out, o->reads.data, o->reads.len);
}

static void
put_scan_params(struct ops *o, struct mp_buf *out, struct mp_span key)
{
	bool mode = o->opt->read != RUN_LINEARIZABLE;

	mp_put_array(out, 2);
	mp_put_bin(out, "", 0);
	mp_put_map(out, mode ? 3 : 2);
	mp_put_kv_bin(out, "from", key.p, key.len);
	mp_put_kv_u64(out, "limit", 1 + work_below(o->work, WORK_SCAN_MAX));
	if (mode)
		mp_put_kv_str(out, "read", run_read_names[o->opt->read]);
}

void
ops_ask(struct ops *o, struct op *op, uint32_t msgid, uint64_t time_ns,
    struct mp_buf *out)
{
	struct mp_span key = key_text(o, op->key), value, token = {0},
		       old = {0}, old_token = {0};
	bool conditional = op->kind == WORK_CAS || op->kind == WORK_APPEND;

	if (!op_is_write(op)) {
		frame_put_request(
		    out, msgid, op->kind == WORK_SCAN ? "list" : "get");
		if (op->kind == WORK_SCAN)
			put_scan_params(o, out, key);
		else
			put_read_params(o, out, key);
	} else if (op->kind == WORK_DELETE) {
		frame_put_request(out, msgid, "delete");
		mp_put_array(out, 1);
		mp_put_bin(out, key.p, key.len);
	} else {
		op->id = o->next_id++;
		value = value_text(o, o->value, op->id, &token);
		frame_put_request(out, msgid, "put");
		mp_put_array(out, conditional ? 3 : 2);
		mp_put_bin(out, key.p, key.len);
		mp_put_bin(out, value.p, value.len);
		if (conditional)
			mp_put_map(out, 1);
		if (op->kind == WORK_APPEND)
			mp_put_kv_bool(out, "append", true);
		if (op->kind == WORK_CAS) {
			op->old =
			    op->key < o->opt->work.keys ? o->known[op->key] : 0;
			old = value_text(o, o->old, op->old, &old_token);
			mp_put_kv_bin(out, "if_value", old.p, old.len);
		}
	}
	record_invoke(o, op, time_ns, token, old_token);
}

/* The number in front of a value, if the rest of it is what was written. */
static bool
value_token(const struct ops *o, struct mp_span value, struct mp_span *token,
    uint64_t *id)
{
	size_t len = 0, i;

	*id = 0;
	while (len < value.len && len < 19 && value.p[len] >= '0' &&
	       value.p[len] <= '9')
		*id = *id * 10 + (uint64_t)(value.p[len++] - '0');
	if (len == 0)
		return false;
	*token = mp_span(value.p, len);
	if (len == value.len)
		return true;
	if (value.len != o->value_size || value.p[len] != ' ')
		return false;
	for (i = len + 1; i < value.len && i < ID_LEN_MAX; i++)
		if (value.p[i] != filler((uint32_t)i))
			return false;
	return value.len <= ID_LEN_MAX ||
	       memcmp(value.p + ID_LEN_MAX, o->value + ID_LEN_MAX,
		   value.len - ID_LEN_MAX) == 0;
}

static void
learn(struct ops *o, const struct op *op, uint64_t id)
{
	if (o->known != NULL && op->key < o->opt->work.keys)
		o->known[op->key] = id;
}

/* A record, or nil: what was read. */
static int
read_record(
    struct ops *o, const struct op *op, struct mp_cur *c, struct record_line *l)
{
	struct mp_span value, token;
	struct mp_map m;
	uint64_t id;

	if (mp_read_nil(c) == 0) {
		l->kind = RECORD_NULL;
		learn(o, op, 0);
		return 0;
	}
	if (mp_read_mapping(c, &m) < 0 ||
	    mp_get_bytes(&m, "value", &value, SIZE_MAX) < 0 ||
	    mp_get_u64(&m, "mod_rev", &l->rev) < 0)
		return -EPROTO;
	l->kind = RECORD_ONE;
	l->value[0] = value;
	if (value_token(o, value, &token, &id)) {
		l->value[0] = token;
		learn(o, op, id);
	}
	return 0;
}

/*
 * What a write answers.  The revision of one that changed something is its
 * own.  A cas that was refused claims that of the record it met, and a delete
 * that found nothing claims none: the store's revision, which they are told,
 * is some other write's.
 */
static int
read_outcome(
    struct ops *o, const struct op *op, struct mp_cur *c, struct record_line *l)
{
	struct record_line met = {0};
	uint64_t rev, deleted = 1;
	struct mp_cur prev;
	bool succeeded;
	struct mp_map m;
	int r;

	if (mp_read_mapping(c, &m) < 0 ||
	    mp_get_bool(&m, "succeeded", &succeeded) < 0 ||
	    mp_get_u64(&m, "rev", &rev) < 0 || mp_get(&m, "prev", &prev) < 0 ||
	    mp_opt_u64(&m, "deleted", &deleted) < 0)
		return -EPROTO;
	if (succeeded) {
		l->rev = deleted > 0 ? rev : 0;
		learn(o, op, op->kind == WORK_DELETE ? 0 : op->id);
		return 0;
	}
	if (op->kind != WORK_CAS)
		return -EPROTO;
	l->not_swapped = true;
	o->not_swapped++;
	r = read_record(o, op, &prev, &met);
	l->rev = met.rev;
	return r;
}

enum wire_status
ops_answered(struct ops *o, struct op *op, struct mp_span result,
    uint64_t time_ns, bool *again)
{
	struct mp_cur c = mp_cur_span(result);
	struct record_line l;
	int r = 0;

	*again = op->kind == WORK_RMW && !op->second;
	if (op->kind == WORK_SCAN)
		return WIRE_OK;
	if (!op_is_write(op) && mp_peek(&c) == MP_NIL)
		o->absent++;
	if (o->recorder == NULL && o->known == NULL) {
		op->second = *again;
		return WIRE_OK;
	}
	line_start(o, op, &l, time_ns, RECORD_OK);
	r = op_is_write(op) ? read_outcome(o, op, &c, &l)
			    : read_record(o, op, &c, &l);
	if (r < 0) {
		/* It did take effect, or may have: say only that. */
		ops_failed(o, op, WIRE_UNKNOWN, time_ns);
		*again = false;
		return WIRE_PROTOCOL_ERROR;
	}
	if (o->recorder != NULL)
		recorder_write(o->recorder, &l);
	op->second = *again;
	return WIRE_OK;
}

void
ops_failed(
    struct ops *o, struct op *op, enum wire_status status, uint64_t time_ns)
{
	struct record_line l;

	if (o->recorder == NULL || op->kind == WORK_SCAN)
		return;
	line_start(o, op, &l, time_ns,
	    status == WIRE_UNKNOWN && op_is_write(op) ? RECORD_INFO
						      : RECORD_FAIL);
	recorder_write(o->recorder, &l);
}
