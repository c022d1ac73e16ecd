/*
 * history.c - what clients asked and were told, from a file or from memory.
 */
#include "loadgen/history.h"

#include "loadgen/histline.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define READ_LEN (64u * 1024)
#define OPEN_MIN 64u
#define OPS_MIN 256u
#define EXPIRED_EVERY 4096u /* lines */

/* The operation that a process has open; a slot once taken stays its own. */
struct history_open {
	uint64_t process;
	size_t op; /* number + 1, 0 when none is open */
	bool is_taken;
};

void
history_init(struct history *h, struct membudget *budget)
{
	memset(h, 0, sizeof(*h));
	h->budget = budget;
	intern_init(&h->keys, budget);
	intern_init(&h->values, budget);
}

void
history_release(struct history *h)
{
	membudget_free(h->budget, h->ops, h->ops_cap * sizeof(*h->ops));
	membudget_free(h->budget, h->open, h->open_cap * sizeof(*h->open));
	intern_release(&h->keys);
	intern_release(&h->values);
	history_init(h, h->budget);
}

const char *
history_f_name(unsigned f)
{
	static const char *const names[] = {
	    "get", "put", "append", "delete", "cas"};

	return f < HISTORY_F_N ? names[f] : NULL;
}

static struct history_open *
open_probe(struct history_open *open, size_t cap, uint64_t process)
{
	size_t at;

	at = (size_t)(process * UINT64_C(0x9e3779b97f4a7c15) >> 20);
	for (at &= cap - 1; open[at].is_taken; at = (at + 1) & (cap - 1))
		if (open[at].process == process)
			break;
	return &open[at];
}

/* The slot of a process, NULL when memory is used up. */
static struct history_open *
open_of(struct history *h, uint64_t process)
{
	struct history_open *open, *o;
	size_t cap, i;

	if (h->open_n >= h->open_cap / 2) {
		cap = h->open_cap != 0 ? h->open_cap * 2 : OPEN_MIN;
		open = membudget_alloc(h->budget, cap * sizeof(*open));
		if (open == NULL)
			return NULL;
		for (i = 0; i < h->open_cap; i++) {
			o = &h->open[i];
			if (o->is_taken)
				*open_probe(open, cap, o->process) = *o;
		}
		membudget_free(h->budget, h->open, h->open_cap * sizeof(*open));
		h->open = open;
		h->open_cap = cap;
	}
	o = open_probe(h->open, h->open_cap, process);
	if (!o->is_taken) {
		o->is_taken = true;
		o->process = process;
		h->open_n++;
	}
	return o;
}

static int
value_add(struct history *h, const struct history_bytes *b, uint32_t *value)
{
	if (b->data == NULL) {
		*value = HISTORY_NULL;
		return 0;
	}
	return intern_add(&h->values, b->data, b->len, value);
}

static int
ops_room(struct history *h)
{
	struct history_op *ops;
	size_t cap;

	if (h->ops_n < h->ops_cap)
		return 0;
	cap = h->ops_cap != 0 ? h->ops_cap * 2 : OPS_MIN;
	ops = membudget_grow(
	    h->budget, h->ops, h->ops_cap * sizeof(*ops), cap * sizeof(*ops));
	if (ops == NULL)
		return -ENOMEM;
	h->ops = ops;
	h->ops_cap = cap;
	return 0;
}

int
history_invoke(
    struct history *h, const struct history_call *call, struct errtext *et)
{
	struct history_open *o;
	struct history_op op;
	bool needs_arg;

	needs_arg = call->f == HISTORY_PUT || call->f == HISTORY_APPEND;
	if ((unsigned)call->f >= HISTORY_F_N || call->key.data == NULL)
		return errtext(et, -EBADMSG, "no operation or no key");
	if (needs_arg && call->arg.data == NULL)
		return errtext(et, -EBADMSG, "a %s needs a value",
		    history_f_name(call->f));
	o = open_of(h, call->process);
	if (o == NULL || ops_room(h) < 0)
		return errtext(et, -ENOMEM, "memory limit reached");
	if (o->op != 0)
		return errtext(et, -EBADMSG,
		    "process %llu invokes while its operation of line %llu is "
		    "open",
		    (unsigned long long)call->process,
		    (unsigned long long)h->ops[o->op - 1].call);
	memset(&op, 0, sizeof(op));
	op.arg = op.arg2 = op.out = HISTORY_NULL;
	if (intern_add(&h->keys, call->key.data, call->key.len, &op.key) < 0 ||
	    ((needs_arg || call->f == HISTORY_CAS) &&
		value_add(h, &call->arg, &op.arg) < 0) ||
	    (call->f == HISTORY_CAS && value_add(h, &call->arg2, &op.arg2) < 0))
		return errtext(et, -ENOMEM, "memory limit reached");
	op.process = call->process;
	op.f = (uint8_t)call->f;
	op.result = HISTORY_UNKNOWN;
	op.ret = HISTORY_NEVER;
	op.ret_ns = HISTORY_NO_TIME;
	op.call_ns = call->time_ns;
	op.call = ++h->events;
	h->ops[h->ops_n++] = op;
	o->op = h->ops_n;
	return 0;
}

int
history_complete(
    struct history *h, const struct history_done *done, struct errtext *et)
{
	struct history_open *o;
	struct history_op *op;
	uint32_t out = HISTORY_NULL;

	o = open_of(h, done->process);
	if (o == NULL)
		return errtext(et, -ENOMEM, "memory limit reached");
	if (o->op == 0)
		return errtext(et, -EBADMSG,
		    "process %llu completes what it did not invoke",
		    (unsigned long long)done->process);
	op = &h->ops[o->op - 1];
	if (op->f == HISTORY_GET && done->result == HISTORY_OK &&
	    value_add(h, &done->out, &out) < 0)
		return errtext(et, -ENOMEM, "memory limit reached");
	op->out = out;
	op->result = (uint8_t)done->result;
	op->swapped =
	    op->f == HISTORY_CAS && done->result == HISTORY_OK && done->swapped;
	op->has_rev = done->has_rev;
	op->rev = done->rev;
	op->group = done->group;
	op->ret_ns = done->time_ns;
	op->ret = ++h->events;
	o->op = 0;
	return 0;
}

/* The state of one history_read. */
struct reading {
	struct history *h;
	const struct history_read_opts *opts;
	struct histline_scratch scratch;
	struct errtext *et;
	uint64_t line, index;
	bool has_index;
};

static bool
same_value(
    const struct history *h, uint32_t value, const struct history_bytes *b)
{
	const struct intern_item *it;

	if (value == HISTORY_NULL || b->data == NULL)
		return value == HISTORY_NULL && b->data == NULL;
	it = &h->values.items[value];
	return it->len == b->len && memcmp(it->data, b->data, b->len) == 0;
}

static int
line_invoke(struct reading *r, const struct histline *l, struct errtext *et)
{
	static const struct history_bytes empty = {"", 0};
	struct history_call call;
	unsigned want;

	if ((l->seen & HISTLINE_F) == 0)
		return errtext(et, -EBADMSG, "no \"f\"");
	if ((l->seen & HISTLINE_KEY) == 0 && !r->opts->keyless)
		return errtext(et, -EBADMSG, "no \"key\"");
	if (l->seen & (HISTLINE_SWAPPED | HISTLINE_REV | HISTLINE_GROUP))
		return errtext(et, -EBADMSG,
		    "\"swapped\", \"rev\" or \"group\" in an invocation");
	if (r->opts->register_only &&
	    (l->f == HISTORY_APPEND || l->f == HISTORY_DELETE))
		return errtext(
		    et, -EBADMSG, "%s of a register", history_f_name(l->f));
	want = l->f == HISTORY_CAS ? 2 : 1;
	if (l->f == HISTORY_GET || l->f == HISTORY_DELETE) {
		if (l->values_n > 1 || l->values[0].data != NULL)
			return errtext(et, -EBADMSG, "a %s takes no value",
			    history_f_name(l->f));
	} else if (l->values_n != want) {
		return errtext(et, -EBADMSG, "a %s takes %s",
		    history_f_name(l->f),
		    want == 2 ? "[old, new]" : "one value");
	}
	call.process = l->process;
	call.f = l->f;
	call.key = l->seen & HISTLINE_KEY ? l->key : empty;
	call.arg = l->values[0];
	call.arg2 = l->values[1];
	call.time_ns = l->seen & HISTLINE_TIME ? l->time_ns : HISTORY_NO_TIME;
	return history_invoke(r->h, &call, et);
}

/* A completion may repeat what was invoked, but not say something else. */
static int
line_repeats(const struct history *h, const struct history_op *op,
    const struct histline *l, struct errtext *et)
{
	const struct intern_item *key = &h->keys.items[op->key];
	bool is_same;

	if ((l->seen & HISTLINE_F) && l->f != op->f)
		return errtext(et, -EBADMSG, "\"f\" is not what was invoked");
	if ((l->seen & HISTLINE_KEY) &&
	    (l->key.len != key->len ||
		memcmp(l->key.data, key->data, key->len) != 0))
		return errtext(et, -EBADMSG, "\"key\" is not what was invoked");
	if ((l->seen & HISTLINE_SWAPPED) &&
	    (op->f != HISTORY_CAS || l->type != HISTLINE_OK))
		return errtext(
		    et, -EBADMSG, "\"swapped\" belongs to the ok of a cas");
	if ((l->seen & HISTLINE_GROUP) && !(l->seen & HISTLINE_REV))
		return errtext(et, -EBADMSG, "\"group\" without \"rev\"");
	if (op->f == HISTORY_GET) {
		if (l->type == HISTLINE_OK && l->values_n != 1)
			return errtext(et, -EBADMSG,
			    "a get's ok needs the value that was read");
		return 0;
	}
	if (l->values_n == 0)
		return 0;
	if (op->f == HISTORY_CAS)
		is_same = l->values_n == 2 &&
			  same_value(h, op->arg, &l->values[0]) &&
			  same_value(h, op->arg2, &l->values[1]);
	else
		is_same =
		    l->values_n == 1 && same_value(h, op->arg, &l->values[0]);
	if (!is_same)
		return errtext(
		    et, -EBADMSG, "\"value\" is not what was invoked");
	return 0;
}

static int
line_complete(struct reading *r, const struct histline *l, struct errtext *et)
{
	struct history_open *o = NULL;
	struct history_done done;

	if (r->h->open_cap > 0)
		o = open_probe(r->h->open, r->h->open_cap, l->process);
	if (o != NULL && o->op != 0 &&
	    line_repeats(r->h, &r->h->ops[o->op - 1], l, et) < 0)
		return -EBADMSG;
	if (l->group > UINT32_MAX)
		return errtext(et, -EBADMSG, "number too large");
	memset(&done, 0, sizeof(done));
	done.process = l->process;
	done.result = l->type == HISTLINE_OK	 ? HISTORY_OK
		      : l->type == HISTLINE_FAIL ? HISTORY_FAIL
						 : HISTORY_UNKNOWN;
	done.swapped = !(l->seen & HISTLINE_SWAPPED) || l->swapped;
	done.has_rev = (l->seen & HISTLINE_REV) != 0;
	done.rev = l->rev;
	done.group = (uint32_t)l->group;
	done.out = l->values[0];
	done.time_ns = l->seen & HISTLINE_TIME ? l->time_ns : HISTORY_NO_TIME;
	return history_complete(r->h, &done, et);
}

static int
read_line(struct reading *r, const char *line, size_t len)
{
	struct errtext et;
	struct histline l;
	int err;

	r->line++;
	et.text[0] = '\0';
	err = histline_parse(line, len, &r->scratch, &l, &et);
	if (err < 0)
		goto out;
	if ((l.seen & HISTLINE_PROCESS) == 0 || (l.seen & HISTLINE_TYPE) == 0) {
		err = errtext(&et, -EBADMSG, "no \"process\" or no \"type\"");
		goto out;
	}
	/* The order of lines is the order of events: an index that says
	 * otherwise tells of a file that was sorted or merged wrongly. */
	if (l.seen & HISTLINE_INDEX) {
		if (r->has_index && l.index <= r->index) {
			err = errtext(&et, -EBADMSG,
			    "\"index\" is not above the one before");
			goto out;
		}
		r->has_index = true;
		r->index = l.index;
	}
	err = l.type == HISTLINE_INVOKE ? line_invoke(r, &l, &et)
					: line_complete(r, &l, &et);
out:
	if (err == -EBADMSG)
		return errtext(r->et, err, "line %llu: %.200s",
		    (unsigned long long)r->line, et.text);
	if (err == -ENOMEM)
		return errtext(r->et, err, "line %llu: memory limit reached",
		    (unsigned long long)r->line);
	return err;
}

/* Reads all whole lines of buf; *used tells how far they go. */
static int
read_lines(struct reading *r, const char *buf, size_t len, size_t *used)
{
	const char *nl;
	int err;

	*used = 0;
	while ((nl = memchr(buf + *used, '\n', len - *used)) != NULL) {
		err = read_line(r, buf + *used, (size_t)(nl - buf) - *used);
		if (err < 0)
			return err;
		*used = (size_t)(nl - buf) + 1;
		if (r->line % EXPIRED_EVERY == 0 &&
		    r->opts->expired_cb != NULL &&
		    r->opts->expired_cb(r->opts->expired_arg))
			return errtext(r->et, -ETIMEDOUT,
			    "line %llu: time limit reached",
			    (unsigned long long)r->line);
	}
	return 0;
}

static int
read_all(struct reading *r, int fd, char **buf, size_t *cap)
{
	size_t len = 0, used;
	ssize_t n;
	char *p;
	int err;

	for (;;) {
		if (*cap - len < READ_LEN) {
			if (len > HISTORY_LINE_LEN_MAX)
				return errtext(r->et, -EBADMSG,
				    "line %llu: longer than %u bytes",
				    (unsigned long long)r->line + 1,
				    HISTORY_LINE_LEN_MAX);
			p = membudget_grow(
			    r->h->budget, *buf, *cap, *cap * 2 + READ_LEN);
			if (p == NULL)
				return errtext(
				    r->et, -ENOMEM, "memory limit reached");
			*buf = p;
			*cap = *cap * 2 + READ_LEN;
		}
		n = read(fd, *buf + len, *cap - len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errtext(
			    r->et, -errno, "read: %s", strerror(errno));
		if (n == 0)
			return len > 0 ? read_line(r, *buf, len) : 0;
		len += (size_t)n;
		err = read_lines(r, *buf, len, &used);
		if (err < 0)
			return err;
		len -= used;
		memmove(*buf, *buf + used, len);
	}
}

int
history_read(struct history *h, int fd, const struct history_read_opts *opts,
    struct errtext *et)
{
	struct reading r;
	char *buf = NULL;
	size_t cap = 0;
	int err;

	memset(&r, 0, sizeof(r));
	r.h = h;
	r.opts = opts;
	r.et = et;
	r.line = h->events;
	err = read_all(&r, fd, &buf, &cap);
	membudget_free(h->budget, buf, cap);
	histline_scratch_release(&r.scratch);
	return err;
}
