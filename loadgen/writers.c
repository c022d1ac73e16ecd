/*
 * writers.c - clients that write while leaders die.
 */
#include "loadgen/writers.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "raftctl/client.h"
#include "raftctl/endpoint.h"

#define KEY_LEN_MAX 40
#define PAUSE_NS 1000000 /* after a refusal */
#define PAGE 500

struct writer {
	struct writers *all;
	unsigned number;
	pthread_t thread;
	bool runs;
	char *endpoints; /* beginning with another one each */
	uint8_t *acked;	 /* one bit a key */
	uint64_t cap, next;
	uint64_t after_ns; /* first success begun after the mark, or 0 */
	struct writers_count count;
};

struct writers {
	unsigned count;
	uint32_t value_size, put_ms;
	unsigned flags;
	const volatile int *stop;
	pthread_mutex_t lock; /* what follows, after_ns of all */
	bool end;
	uint64_t mark_ns;
	uint64_t last_ok_ns, gap_ns; /* of all together */
	struct writer writer[];
};

static uint64_t
now_ns(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static void
pause_ns(long ns)
{
	struct timespec ts = {.tv_nsec = ns};

	(void)nanosleep(&ts, NULL);
}

static void
key_of(const struct writer *w, uint64_t n, char key[KEY_LEN_MAX])
{
	(void)snprintf(key, KEY_LEN_MAX, "writer/%u/%012llu", w->number,
	    (unsigned long long)n);
}

/* Room to note that one more is acknowledged: nothing may be forgotten. */
static int
make_room(struct writer *w)
{
	uint64_t cap = w->cap == 0 ? 65536 : w->cap * 2;
	uint8_t *grown;

	if (w->next < w->cap)
		return 0;
	grown = realloc(w->acked, cap / 8);
	if (grown == NULL)
		return -ENOMEM;
	memset(grown + w->cap / 8, 0, (cap - w->cap) / 8);
	w->acked = grown;
	w->cap = cap;
	return 0;
}

static bool
is_acked(const struct writer *w, uint64_t n)
{
	return n < w->next && (w->acked[n / 8] >> (n % 8) & 1) != 0;
}

/* False: time to end. */
static bool
ended_put(struct writer *w, enum wire_status st, uint64_t begun_ns)
{
	uint64_t now = now_ns();
	bool go_on;

	(void)pthread_mutex_lock(&w->all->lock);
	if (st == WIRE_OK && w->after_ns == 0 && w->all->mark_ns != 0 &&
	    begun_ns > w->all->mark_ns)
		w->after_ns = now;
	if (st == WIRE_OK && now > w->all->last_ok_ns) {
		if (now - w->all->last_ok_ns > w->all->gap_ns)
			w->all->gap_ns = now - w->all->last_ok_ns;
		w->all->last_ok_ns = now;
	}
	go_on = !w->all->end;
	(void)pthread_mutex_unlock(&w->all->lock);
	if (st == WIRE_OK) {
		w->acked[w->next / 8] |= (uint8_t)(1u << (w->next % 8));
		w->count.acknowledged++;
	} else if (st == WIRE_UNKNOWN) {
		w->count.unknown++;
	} else {
		w->count.errors++;
		if (go_on)
			pause_ns(PAUSE_NS);
	}
	w->next++;
	return go_on && *w->all->stop == 0;
}

static void *
write_on(void *ctx)
{
	struct writer *w = ctx;
	struct client_config config = {.endpoints = w->endpoints};
	struct client_answer a;
	struct client_sync *c;
	struct mp_buf params;
	uint8_t *value;
	char key[KEY_LEN_MAX];
	uint64_t begun;
	uint32_t len = w->all->value_size;

	value = malloc(len + KEY_LEN_MAX);
	if (value == NULL || client_sync_open(&config, &c, NULL) < 0) {
		free(value);
		return NULL;
	}
	mp_buf_init(&params);
	do {
		if (make_room(w) < 0)
			break;
		key_of(w, w->next, key);
		memset(value, '.', len);
		/* what was read back tells whose it is, if there is room */
		memcpy(value, key, strlen(key) < len ? strlen(key) : len);
		mp_buf_reset(&params);
		mp_put_array(&params, w->all->flags != 0 ? 3 : 2);
		mp_put_bin(&params, key, strlen(key));
		mp_put_bin(&params, value, len);
		if (w->all->flags != 0)
			mp_put_map(&params, 0);
		memset(&a, 0, sizeof(a));
		begun = now_ns();
		(void)client_sync_call(c, "put",
		    mp_span(params.data, params.len), w->all->flags,
		    w->all->put_ms, &a);
		mp_buf_release(&a.result);
	} while (ended_put(w, a.status, begun));
	mp_buf_release(&params);
	client_sync_close(c);
	free(value);
	return NULL;
}

/* The list, beginning with the i-th of it. */
static char *
rotated(const char *endpoints, unsigned i)
{
	size_t len = strlen(endpoints), head;
	const char *p = endpoints, *comma;
	char *out = malloc(len + 2);
	unsigned n;

	for (n = 0; n < i && out != NULL; n++) {
		comma = strchr(p, ',');
		p = comma != NULL ? comma + 1 : endpoints;
	}
	if (out == NULL)
		return NULL;
	head = (size_t)(p - endpoints);
	memcpy(out, p, len - head);
	out[len - head] = '\0';
	if (head > 0) {
		out[len - head] = ',';
		memcpy(out + len - head + 1, endpoints, head - 1);
		out[len] = '\0';
	}
	return out;
}

int
writers_new(const char *endpoints, unsigned count, uint32_t value_size,
    uint32_t put_ms, unsigned flags, const volatile int *stop,
    struct writers **out, struct errtext *et)
{
	struct writers *all =
	    calloc(1, sizeof(*all) + count * sizeof(all->writer[0]));
	struct writer *w;
	unsigned i;

	if (all == NULL)
		return errtext(et, -ENOMEM, "out of memory");
	all->count = count;
	all->value_size = value_size;
	all->put_ms = put_ms;
	all->flags = flags;
	all->stop = stop;
	(void)pthread_mutex_init(&all->lock, NULL);
	for (i = 0; i < count; i++) {
		w = &all->writer[i];
		w->all = all;
		w->number = i;
		w->endpoints = rotated(endpoints, i);
		if (w->endpoints == NULL ||
		    pthread_create(&w->thread, NULL, write_on, w) != 0) {
			writers_free(all);
			return errtext(et, -EAGAIN, "cannot start a thread");
		}
		w->runs = true;
	}
	*out = all;
	return 0;
}

void
writers_mark(struct writers *all, uint64_t t_ns)
{
	unsigned i;

	(void)pthread_mutex_lock(&all->lock);
	all->mark_ns = t_ns;
	for (i = 0; i < all->count; i++)
		all->writer[i].after_ns = 0;
	(void)pthread_mutex_unlock(&all->lock);
}

void
writers_gap_begin(struct writers *all)
{
	(void)pthread_mutex_lock(&all->lock);
	all->last_ok_ns = now_ns();
	all->gap_ns = 0;
	(void)pthread_mutex_unlock(&all->lock);
}

uint64_t
writers_gap_ns(struct writers *all)
{
	uint64_t ns;

	(void)pthread_mutex_lock(&all->lock);
	ns = all->gap_ns;
	(void)pthread_mutex_unlock(&all->lock);
	return ns;
}

static bool
look(struct writers *all, uint64_t *first_ns, uint64_t *all_ns)
{
	uint64_t t, min = UINT64_MAX, max = 0;
	unsigned i;

	(void)pthread_mutex_lock(&all->lock);
	for (i = 0; i < all->count; i++) {
		t = all->writer[i].after_ns;
		min = t < min ? t : min;
		max = t > max ? t : max;
	}
	(void)pthread_mutex_unlock(&all->lock);
	if (min == 0) /* somebody still waits */
		return false;
	*first_ns = min;
	*all_ns = max;
	return true;
}

int
writers_await(struct writers *all, uint32_t timeout_ms, uint64_t *first_ns,
    uint64_t *all_ns)
{
	uint64_t end = now_ns() + timeout_ms * UINT64_C(1000000);

	while (!look(all, first_ns, all_ns)) {
		if (*all->stop != 0)
			return -EINTR;
		if (now_ns() > end)
			return -ETIMEDOUT;
		pause_ns(5000000);
	}
	return 0;
}

void
writers_end(struct writers *all)
{
	unsigned i;

	(void)pthread_mutex_lock(&all->lock);
	all->end = true;
	(void)pthread_mutex_unlock(&all->lock);
	for (i = 0; i < all->count; i++) {
		if (all->writer[i].runs)
			(void)pthread_join(all->writer[i].thread, NULL);
		all->writer[i].runs = false;
	}
}

/* ---- what is there ------------------------------------------------------ */

struct walk {
	struct client_sync *client;
	const struct writer *w;
	uint64_t found; /* acknowledged ones */
	char after[KEY_LEN_MAX];
};

/* Whether it is what was written; its number. */
static bool
judge_record(
    const struct walk *k, struct mp_span key, struct mp_span value, uint64_t *n)
{
	char text[KEY_LEN_MAX], want[KEY_LEN_MAX], *digits;
	size_t len;

	if (key.len == 0 || key.len >= KEY_LEN_MAX)
		return false;
	memcpy(text, key.p, key.len);
	text[key.len] = '\0';
	digits = strrchr(text, '/');
	if (digits == NULL)
		return false;
	*n = strtoull(digits + 1, NULL, 10);
	key_of(k->w, *n, want);
	len = strlen(want);
	if (len > k->w->all->value_size)
		len = k->w->all->value_size;
	return strcmp(text, want) == 0 && value.len == k->w->all->value_size &&
	       (len == 0 || memcmp(value.p, want, len) == 0);
}

static int
read_page(struct walk *k, struct mp_span result, bool *more)
{
	struct mp_cur c = mp_cur_span(result), records;
	struct mp_span key, value;
	struct mp_map m;
	uint32_t count, i;
	uint64_t n;

	if (mp_read_mapping(&c, &m) < 0 || mp_get_bool(&m, "more", more) < 0 ||
	    mp_get(&m, "records", &records) < 0 ||
	    mp_read_array(&records, &count) < 0 || (*more && count == 0))
		return -EPROTO;
	for (i = 0; i < count; i++) {
		if (mp_read_mapping(&records, &m) < 0 ||
		    mp_get_bytes(&m, "key", &key, KEY_LEN_MAX - 1) < 0 ||
		    mp_get_bytes(&m, "value", &value, WIRE_VALUE_LEN_MAX) < 0)
			return -EPROTO;
		memcpy(k->after, key.p, key.len);
		k->after[key.len] = '\0';
		if (judge_record(k, key, value, &n) && is_acked(k->w, n))
			k->found++;
	}
	return 0;
}

static int
next_page(struct walk *k, bool *more, struct errtext *et)
{
	struct client_answer a = {0};
	char prefix[KEY_LEN_MAX];
	struct mp_buf b;
	int err;

	(void)snprintf(prefix, sizeof(prefix), "writer/%u/", k->w->number);
	mp_buf_init(&b);
	mp_put_array(&b, 2);
	mp_put_bin(&b, prefix, strlen(prefix));
	mp_put_map(&b, k->after[0] != '\0' ? 2 : 1);
	mp_put_kv_u64(&b, "limit", PAGE);
	if (k->after[0] != '\0')
		mp_put_kv_bin(&b, "after", k->after, strlen(k->after));
	(void)client_sync_call(k->client, "list", mp_span(b.data, b.len),
	    CLIENT_READ, WRITERS_READ_MS, &a);
	mp_buf_release(&b);
	if (a.status == WIRE_OK)
		err = read_page(k, mp_span(a.result.data, a.result.len), more);
	else
		err = -EIO;
	if (err < 0)
		(void)errtext(et, err, "cannot read back: %s",
		    wire_status_info(a.status)->name);
	mp_buf_release(&a.result);
	return err < 0 ? -EIO : 0;
}

int
writers_check(
    struct writers *all, struct writers_count *sum, struct errtext *et)
{
	struct walk k = {0};
	struct client_config config = {.endpoints = all->writer[0].endpoints};
	unsigned i;
	bool more;
	int err;

	memset(sum, 0, sizeof(*sum));
	if (client_sync_open(&config, &k.client, et) < 0)
		return -EIO;
	for (i = 0, err = 0; i < all->count && err == 0; i++) {
		k.w = &all->writer[i];
		k.found = 0;
		k.after[0] = '\0';
		for (more = true; more && err == 0;)
			err = next_page(&k, &more, et);
		sum->acknowledged += k.w->count.acknowledged;
		sum->unknown += k.w->count.unknown;
		sum->errors += k.w->count.errors;
		sum->lost += k.w->count.acknowledged - k.found;
	}
	client_sync_close(k.client);
	return err;
}

void
writers_free(struct writers *all)
{
	unsigned i;

	if (all == NULL)
		return;
	writers_end(all);
	for (i = 0; i < all->count; i++) {
		free(all->writer[i].endpoints);
		free(all->writer[i].acked);
	}
	(void)pthread_mutex_destroy(&all->lock);
	free(all);
}
