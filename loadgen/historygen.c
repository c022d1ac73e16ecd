/*
 * historygen.c - histories whose verdict is known by construction.
 */
#include "loadgen/historygen.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Appended values grow; a key starts anew beyond so many bytes. */
#define STATE_LEN_MAX 512u
#define TEXT_LEN_MAX 32u
#define LATE_PERMILLE 500u /* of unknown operations not done at once */
#define SCRIPT_PROCESS_FIRST UINT64_C(1000000)

struct state {
	bool is_there;
	uint64_t mod_rev;
	uint32_t len;
	char data[STATE_LEN_MAX];
};

enum stage { IDLE, CALLED, APPLIED };

struct client {
	enum stage stage;
	enum history_result fate;
	bool never; /* of unknown fate: takes no effect before it is told */
	uint32_t key, old_len, new_len, out_len;
	enum history_f f;
	bool out_is_there, swapped, old_is_null;
	uint64_t rev;
	char key_text[TEXT_LEN_MAX];
	char old_text[STATE_LEN_MAX], new_text[STATE_LEN_MAX];
	char out[STATE_LEN_MAX];
};

/* One event of an anomaly that has a key of its own. */
struct step {
	uint8_t process;
	char type; /* i: invoke, o: ok, u: unknown */
	uint8_t f;
	const char *a, *b; /* arguments; of an ok what was read in a */
	bool swapped;
};

struct gen {
	const struct historygen_opts *o;
	struct history *h;
	uint64_t random;
	struct state *states;
	struct client *clients;
	struct client *late; /* unknown operations that will still happen */
	size_t late_n, late_cap;
	size_t called;
	uint64_t rev, fresh;
	uint64_t now_ns;
	const struct step *script;
	size_t script_at, script_n;
};

static uint64_t
next_random(struct gen *g)
{
	uint64_t z = (g->random += UINT64_C(0x9e3779b97f4a7c15));

	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}

static uint32_t
below(struct gen *g, uint32_t n)
{
	return (uint32_t)(next_random(g) % n);
}

void
historygen_defaults(struct historygen_opts *o)
{
	memset(o, 0, sizeof(*o));
	o->seed = 1;
	o->ops = 1000;
	o->keys = 10;
	o->clients = 10;
	o->mix[HISTORY_GET] = 50;
	o->mix[HISTORY_PUT] = 30;
	o->mix[HISTORY_APPEND] = 5;
	o->mix[HISTORY_DELETE] = 5;
	o->mix[HISTORY_CAS] = 10;
	o->unknown_permille = 50;
	o->fail_permille = 20;
}

static enum history_f
draw_f(struct gen *g)
{
	uint32_t sum = 0, f, r;

	for (f = 0; f < HISTORY_F_N; f++)
		sum += g->o->mix[f];
	r = below(g, sum);
	for (f = 0; r >= g->o->mix[f]; f++)
		r -= g->o->mix[f];
	return (enum history_f)f;
}

static uint32_t
draw_value(struct gen *g, char *text)
{
	uint64_t v = g->o->values != 0 ? below(g, g->o->values) : ++g->fresh;

	return (uint32_t)snprintf(
	    text, TEXT_LEN_MAX, "%llu.", (unsigned long long)v);
}

static uint64_t
tick(struct gen *g)
{
	g->now_ns += 1 + below(g, 20000);
	return g->now_ns;
}

static int
invoke(struct gen *g, uint64_t process)
{
	struct client *c = &g->clients[process];
	const struct state *s;
	struct history_call call;
	uint32_t r;

	c->f = draw_f(g);
	c->key = below(g, g->o->keys);
	s = &g->states[c->key];
	if (c->f == HISTORY_APPEND && s->len + TEXT_LEN_MAX > STATE_LEN_MAX / 2)
		c->f = HISTORY_PUT;
	c->new_len = draw_value(g, c->new_text);
	c->old_is_null = false;
	c->old_len = 0;
	if (c->f == HISTORY_CAS) {
		/* Mostly what is there now, so that some succeed. */
		c->old_is_null = !s->is_there;
		c->old_len = s->len;
		memcpy(c->old_text, s->data, s->len);
		if (below(g, 4) == 0) {
			c->old_is_null = false;
			c->old_len = draw_value(g, c->old_text);
		}
	}
	r = below(g, 1000);
	c->fate = HISTORY_OK;
	if (r < g->o->unknown_permille)
		c->fate = HISTORY_UNKNOWN;
	else if (r < g->o->unknown_permille + g->o->fail_permille)
		c->fate = HISTORY_FAIL;
	c->never = c->fate == HISTORY_FAIL ||
		   (c->fate == HISTORY_UNKNOWN && below(g, 2) == 0);
	c->stage = CALLED;
	memset(&call, 0, sizeof(call));
	call.process = process;
	call.time_ns = tick(g);
	(void)snprintf(c->key_text, sizeof(c->key_text), "k%u", c->key);
	call.key = (struct history_bytes){c->key_text, strlen(c->key_text)};
	call.f = c->f;
	if (c->f == HISTORY_PUT || c->f == HISTORY_APPEND) {
		call.arg = (struct history_bytes){c->new_text, c->new_len};
	} else if (c->f == HISTORY_CAS) {
		call.arg = (struct history_bytes){
		    c->old_is_null ? NULL : c->old_text, c->old_len};
		call.arg2 = (struct history_bytes){c->new_text, c->new_len};
	}
	g->called++;
	return history_invoke(g->h, &call, NULL);
}

static void
apply(struct gen *g, struct client *c)
{
	struct state *s = &g->states[c->key];
	uint32_t keep = 0;

	c->rev = g->rev;
	switch (c->f) {
	case HISTORY_GET:
		c->out_is_there = s->is_there;
		c->out_len = s->len;
		memcpy(c->out, s->data, s->len);
		c->rev = s->mod_rev;
		return;
	case HISTORY_DELETE:
		if (!s->is_there)
			return;
		s->is_there = false;
		s->len = 0;
		break;
	case HISTORY_CAS:
		c->swapped = s->is_there == !c->old_is_null &&
			     s->len == c->old_len &&
			     memcmp(s->data, c->old_text, s->len) == 0;
		if (!c->swapped)
			return;
		break;
	case HISTORY_APPEND:
		keep = s->len;
		break;
	default:
		break;
	}
	if (c->f != HISTORY_DELETE) {
		assert(keep + c->new_len <= STATE_LEN_MAX);
		memcpy(s->data + keep, c->new_text, c->new_len);
		s->len = keep + c->new_len;
		s->is_there = true;
	}
	s->mod_rev = c->rev = ++g->rev;
}

static int
complete(struct gen *g, uint64_t process)
{
	struct client *c = &g->clients[process], *late;
	struct history_done done;
	size_t cap;

	if (c->stage == CALLED && c->fate == HISTORY_UNKNOWN &&
	    below(g, 1000) < LATE_PERMILLE) {
		if (g->late_n == g->late_cap) {
			cap = g->late_cap != 0 ? g->late_cap * 2 : 16;
			late = realloc(g->late, cap * sizeof(*late));
			if (late == NULL)
				return -ENOMEM;
			g->late = late;
			g->late_cap = cap;
		}
		g->late[g->late_n++] = *c;
	}
	memset(&done, 0, sizeof(done));
	done.process = process;
	done.time_ns = tick(g);
	done.result = c->fate;
	done.swapped = c->swapped;
	if (c->fate == HISTORY_OK && g->o->with_rev &&
	    (c->f != HISTORY_GET || c->out_is_there)) {
		done.has_rev = true;
		done.rev = c->rev;
	}
	if (c->fate == HISTORY_OK && c->f == HISTORY_GET && c->out_is_there)
		done.out = (struct history_bytes){c->out, c->out_len};
	c->stage = IDLE;
	return history_complete(g->h, &done, NULL);
}

static int
play_step(struct gen *g)
{
	const struct step *st = &g->script[g->script_at++];
	struct history_call call;
	struct history_done done;

	if (st->type == 'i') {
		memset(&call, 0, sizeof(call));
		call.process = SCRIPT_PROCESS_FIRST + st->process;
		call.time_ns = tick(g);
		call.key = (struct history_bytes){"planted", 7};
		call.f = (enum history_f)st->f;
		if (st->a != NULL)
			call.arg = (struct history_bytes){st->a, strlen(st->a)};
		if (st->b != NULL)
			call.arg2 =
			    (struct history_bytes){st->b, strlen(st->b)};
		return history_invoke(g->h, &call, NULL);
	}
	memset(&done, 0, sizeof(done));
	done.process = SCRIPT_PROCESS_FIRST + st->process;
	done.time_ns = tick(g);
	done.result = st->type == 'o' ? HISTORY_OK : HISTORY_UNKNOWN;
	done.swapped = st->swapped;
	if (st->a != NULL)
		done.out = (struct history_bytes){st->a, strlen(st->a)};
	return history_complete(g->h, &done, NULL);
}

static int
work(struct gen *g)
{
	struct client *c;
	uint32_t busy = 0, i;
	size_t l;
	int err;

	while (
	    g->called < g->o->ops || busy > 0 || g->script_at < g->script_n) {
		if (g->late_n > 0 && below(g, 100) == 0) {
			l = below(g, (uint32_t)g->late_n);
			if (g->states[g->late[l].key].len <= STATE_LEN_MAX / 2)
				apply(g, &g->late[l]);
			g->late[l] = g->late[--g->late_n];
		}
		if (g->script_at < g->script_n &&
		    (below(g, 10) == 0 || g->called >= g->o->ops)) {
			err = play_step(g);
			if (err < 0)
				return err;
			continue;
		}
		i = below(g, g->o->clients);
		c = &g->clients[i];
		err = 0;
		if (c->stage == IDLE && g->called < g->o->ops) {
			busy++;
			err = invoke(g, i);
		} else if (c->stage == CALLED && !c->never) {
			apply(g, c);
			c->stage = APPLIED;
		} else if (c->stage != IDLE) {
			busy--;
			err = complete(g, i);
		}
		if (err < 0)
			return err;
	}
	return 0;
}

/* --- anomalies --- */

#define I(p, f, ...)                                    \
	{                                               \
		p, 'i', HISTORY_##f, __VA_ARGS__, false \
	}
#define O(p, a)                           \
	{                                 \
		p, 'o', 0, a, NULL, false \
	}
#define SWAP(p, is)                       \
	{                                 \
		p, 'o', 0, NULL, NULL, is \
	}
#define U(p)                                 \
	{                                    \
		p, 'u', 0, NULL, NULL, false \
	}

static const struct step revived[] = {I(0, PUT, "A", NULL), O(0, NULL),
    I(1, GET, NULL, NULL), O(1, "A"), I(0, DELETE, NULL, NULL),
    I(2, GET, NULL, NULL), O(2, "A"), O(0, NULL), I(1, GET, NULL, NULL),
    O(1, "A")};
static const struct step lost_update[] = {I(0, PUT, "A", NULL), O(0, NULL),
    I(1, CAS, "A", "B"), I(2, CAS, "A", "C"), SWAP(2, true), SWAP(1, true)};
static const struct step backwards[] = {I(0, PUT, "A", NULL),
    I(1, PUT, "B", NULL), O(0, NULL), O(1, NULL), I(2, GET, NULL, NULL),
    I(3, GET, NULL, NULL), O(2, "A"), O(3, "B"), I(2, GET, NULL, NULL),
    O(2, "A")};
static const struct step unknown_vanishes[] = {I(0, PUT, "A", NULL), O(0, NULL),
    I(1, PUT, "B", NULL), U(1), I(2, GET, NULL, NULL), O(2, "A"),
    I(2, GET, NULL, NULL), O(2, "B"), I(3, GET, NULL, NULL), O(3, "A")};
static const struct step wrong_refusal[] = {I(0, PUT, "A", NULL), O(0, NULL),
    I(1, GET, NULL, NULL), I(2, CAS, "A", "B"), SWAP(2, false), O(1, "A")};
static const struct step reordered_appends[] = {I(0, APPEND, "A", NULL),
    O(0, NULL), I(0, APPEND, "B", NULL), I(1, APPEND, "C", NULL), O(0, NULL),
    I(2, GET, NULL, NULL), O(2, "ABC"), O(1, NULL), I(0, GET, NULL, NULL),
    O(0, "ACB")};
static const struct step twice_unknown[] = {I(0, APPEND, "A", NULL), O(0, NULL),
    I(1, APPEND, "B", NULL), U(1), I(2, GET, NULL, NULL), O(2, "AB"),
    I(0, APPEND, "C", NULL), O(0, NULL), I(2, GET, NULL, NULL), O(2, "ABCB")};

#define SCRIPT(s)                           \
	{                                   \
		s, sizeof(s) / sizeof(s[0]) \
	}

static const struct {
	const char *name;
	struct {
		const struct step *steps;
		size_t n;
	} script;
} anomalies[HISTORYGEN_ANOMALIES] = {
    [HISTORYGEN_NONE] = {"none", {NULL, 0}},
    [HISTORYGEN_STALE_READ] = {"stale-read", {NULL, 0}},
    [HISTORYGEN_NEVER_WRITTEN] = {"never-written", {NULL, 0}},
    [HISTORYGEN_LOST_WRITE] = {"lost-write", {NULL, 0}},
    [HISTORYGEN_DUPLICATE_APPEND] = {"duplicate-append", {NULL, 0}},
    [HISTORYGEN_LOST_APPEND] = {"lost-append", {NULL, 0}},
    [HISTORYGEN_FAILED_WRITE_SEEN] = {"failed-write-seen", {NULL, 0}},
    [HISTORYGEN_WRONG_SWAP] = {"wrong-swap", {NULL, 0}},
    [HISTORYGEN_REVIVED] = {"revived", SCRIPT(revived)},
    [HISTORYGEN_LOST_UPDATE] = {"lost-update", SCRIPT(lost_update)},
    [HISTORYGEN_BACKWARDS] = {"backwards", SCRIPT(backwards)},
    [HISTORYGEN_UNKNOWN_VANISHES] = {"unknown-vanishes",
	SCRIPT(unknown_vanishes)},
    [HISTORYGEN_WRONG_REFUSAL] = {"wrong-refusal", SCRIPT(wrong_refusal)},
    [HISTORYGEN_REORDERED_APPENDS] = {"reordered-appends",
	SCRIPT(reordered_appends)},
    [HISTORYGEN_TWICE_UNKNOWN] = {"twice-unknown", SCRIPT(twice_unknown)},
};

const char *
historygen_anomaly_name(unsigned anomaly)
{
	return anomaly < HISTORYGEN_ANOMALIES ? anomalies[anomaly].name : NULL;
}

static bool
is_put(const struct history_op *op)
{
	return op->f == HISTORY_PUT && op->result == HISTORY_OK;
}

/* A put of the key that was certainly replaced before the event: another
 * began after it and was told ok by then. */
static const struct history_op *
replaced_put(const struct history *h, uint32_t key, uint64_t before)
{
	const struct history_op *a, *b;
	size_t i, k;

	for (i = 0; i < h->ops_n && h->ops[i].call < before; i++) {
		a = &h->ops[i];
		if (a->key != key || !is_put(a) || a->ret > before)
			continue;
		for (k = i + 1; k < h->ops_n; k++) {
			b = &h->ops[k];
			if (b->key == key && b->result == HISTORY_OK &&
			    (b->f == HISTORY_PUT || b->f == HISTORY_DELETE) &&
			    b->call > a->ret && b->ret < before)
				return a;
		}
	}
	return NULL;
}

static const struct history_op *
append_before(const struct history *h, const struct history_op *get,
    const char **at, const char **end)
{
	const struct intern_item *out = &h->values.items[get->out], *v;
	const struct history_op *op;
	size_t i;

	for (i = 0; i < h->ops_n && h->ops[i].call < get->call; i++) {
		op = &h->ops[i];
		if (op->key != get->key || op->f != HISTORY_APPEND ||
		    op->ret > get->call || op->result != HISTORY_OK)
			continue;
		v = &h->values.items[op->arg];
		*at = memmem(out->data, out->len, v->data, v->len);
		/* Whole tokens only: "1." is within "11." */
		if (*at == NULL ||
		    (*at != (const char *)out->data && (*at)[-1] != '.'))
			continue;
		*end = *at + v->len;
		return op;
	}
	return NULL;
}

/* The value that was read without, or with twice, what some append added. */
static int
change_append(struct history *h, struct history_op *get, bool twice)
{
	const struct intern_item *out;
	const char *at, *end;
	char text[2 * STATE_LEN_MAX];
	size_t n, len;

	if (get->out == HISTORY_NULL ||
	    append_before(h, get, &at, &end) == NULL)
		return -EAGAIN;
	out = &h->values.items[get->out];
	n = (size_t)((twice ? end : at) - (const char *)out->data);
	memcpy(text, out->data, n);
	if (twice)
		end = at;
	len = out->len - (size_t)(end - (const char *)out->data);
	memcpy(text + n, end, len);
	return intern_add(&h->values, text, n + len, &get->out);
}

static bool
has_put_only(const struct history *h, uint32_t key, uint64_t before)
{
	bool found = false;
	size_t i;

	for (i = 0; i < h->ops_n; i++) {
		if (h->ops[i].key != key)
			continue;
		if (h->ops[i].f == HISTORY_DELETE)
			return false;
		if (is_put(&h->ops[i]) && h->ops[i].ret < before)
			found = true;
	}
	return found;
}

static struct history_op *
writer_of(struct history *h, const struct history_op *get)
{
	size_t i;

	for (i = 0; i < h->ops_n; i++)
		if (is_put(&h->ops[i]) && h->ops[i].key == get->key &&
		    h->ops[i].arg == get->out && get->out != HISTORY_NULL)
			return &h->ops[i];
	return NULL;
}

/* Plants the anomaly into the answer of this operation, if it can. */
static int
plant_at(struct gen *g, struct history_op *op)
{
	const struct history_op *put;
	struct history_op *writer;

	if (op->result != HISTORY_OK)
		return -EAGAIN;
	if (g->o->anomaly == HISTORYGEN_WRONG_SWAP) {
		put = op->f == HISTORY_CAS && !op->swapped
			  ? replaced_put(g->h, op->key, op->call)
			  : NULL;
		if (put == NULL)
			return -EAGAIN;
		op->arg = put->arg;
		op->swapped = true;
		return 0;
	}
	if (op->f != HISTORY_GET)
		return -EAGAIN;
	switch (g->o->anomaly) {
	case HISTORYGEN_STALE_READ:
		put = replaced_put(g->h, op->key, op->call);
		if (put == NULL)
			return -EAGAIN;
		op->out = put->arg;
		return 0;
	case HISTORYGEN_NEVER_WRITTEN:
		return intern_add(&g->h->values, "never", 5, &op->out);
	case HISTORYGEN_LOST_WRITE:
		if (!has_put_only(g->h, op->key, op->call))
			return -EAGAIN;
		op->out = HISTORY_NULL;
		return 0;
	case HISTORYGEN_DUPLICATE_APPEND:
		return change_append(g->h, op, true);
	case HISTORYGEN_LOST_APPEND:
		return change_append(g->h, op, false);
	case HISTORYGEN_FAILED_WRITE_SEEN:
		writer = writer_of(g->h, op);
		if (writer == NULL)
			return -EAGAIN;
		writer->result = HISTORY_FAIL;
		return 0;
	default:
		return -EAGAIN;
	}
}

static int
plant(struct gen *g)
{
	size_t start, i;
	int err;

	if (g->o->anomaly == HISTORYGEN_NONE || g->script_n > 0)
		return 0;
	if (g->h->ops_n == 0)
		return -EAGAIN;
	/* From the middle on, where something stands behind and before. */
	start = g->h->ops_n / 2;
	start += below(g, (uint32_t)(g->h->ops_n - start));
	for (i = 0; i < g->h->ops_n; i++) {
		err = plant_at(g, &g->h->ops[(start + i) % g->h->ops_n]);
		if (err != -EAGAIN)
			return err;
	}
	return -EAGAIN;
}

int
historygen_run(struct history *h, const struct historygen_opts *o)
{
	struct gen g;
	int err = -ENOMEM;

	memset(&g, 0, sizeof(g));
	g.o = o;
	g.h = h;
	g.random = o->seed;
	g.script = anomalies[o->anomaly].script.steps;
	g.script_n = anomalies[o->anomaly].script.n;
	g.states = calloc(o->keys, sizeof(*g.states));
	g.clients = calloc(o->clients, sizeof(*g.clients));
	if (g.states != NULL && g.clients != NULL)
		err = work(&g);
	if (err == 0)
		err = plant(&g);
	free(g.states);
	free(g.clients);
	free(g.late);
	return err;
}

/* --- as a file --- */

static void
print_text(const struct intern_item *it, FILE *out)
{
	uint32_t i;

	fputc('"', out);
	for (i = 0; i < it->len; i++) {
		if (it->data[i] == '"' || it->data[i] == '\\')
			fputc('\\', out);
		fputc(it->data[i], out);
	}
	fputc('"', out);
}

static void
print_value(const struct history *h, uint32_t value, FILE *out)
{
	if (value == HISTORY_NULL)
		fputs("null", out);
	else
		print_text(&h->values.items[value], out);
}

static void
print_event(const struct history *h, const struct history_op *op, bool is_call,
    FILE *out)
{
	static const char *const results[] = {"info", "ok", "fail"};
	uint64_t ns = is_call ? op->call_ns : op->ret_ns;

	fprintf(out, "{\"index\":%llu,",
	    (unsigned long long)(is_call ? op->call : op->ret) - 1);
	if (ns != HISTORY_NO_TIME)
		fprintf(out, "\"time\":%llu,", (unsigned long long)ns);
	fprintf(out, "\"process\":%llu,\"type\":\"%s\",\"f\":\"%s\",\"key\":",
	    (unsigned long long)op->process,
	    is_call ? "invoke" : results[op->result], history_f_name(op->f));
	print_text(&h->keys.items[op->key], out);
	fputs(",\"value\":", out);
	if (op->f == HISTORY_CAS) {
		fputc('[', out);
		print_value(h, op->arg, out);
		fputc(',', out);
		print_value(h, op->arg2, out);
		fputc(']', out);
	} else {
		print_value(h,
		    op->f != HISTORY_GET ? op->arg
		    : is_call		 ? HISTORY_NULL
					 : op->out,
		    out);
	}
	if (!is_call && op->f == HISTORY_CAS && op->result == HISTORY_OK)
		fprintf(out, ",\"swapped\":%s", op->swapped ? "true" : "false");
	if (!is_call && op->has_rev)
		fprintf(out, ",\"rev\":%llu,\"group\":%u",
		    (unsigned long long)op->rev, op->group);
	fputs("}\n", out);
}

int
historygen_print(const struct history *h, FILE *out)
{
	const struct history_op **at;
	uint64_t i;
	size_t k;

	at = calloc(h->events + 1, sizeof(*at));
	if (at == NULL)
		return -ENOMEM;
	for (k = 0; k < h->ops_n; k++) {
		at[h->ops[k].call] = &h->ops[k];
		if (h->ops[k].ret != HISTORY_NEVER)
			at[h->ops[k].ret] = &h->ops[k];
	}
	for (i = 1; i <= h->events; i++)
		print_event(h, at[i], at[i]->call == i, out);
	free(at);
	return ferror(out) ? -EIO : 0;
}
