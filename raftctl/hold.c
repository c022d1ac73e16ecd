/*
 * hold.c - take a lock and keep it.
 */
#include "raftctl/hold.h"

#include <errno.h>
#include <event2/event_struct.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "raftctl/guard.h"

#define MS_NS UINT64_C(1000000)
#define STALL_MS_MAX 1000
#define RELEASE_MS 2000 /* for the goodbye */
#define LOST_MS 300	/* where it may be of no use any more */
#define RETRY_MS 50	/* a renewal that failed */
#define EXIT_LOST 125
#define EXIT_OS 71

static const int signals[] = {
    SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2};
#define SIGNALS (sizeof(signals) / sizeof(signals[0]))

enum hold_state {
	ASKING,	 /* the lock was asked for, no answer yet */
	WAITING, /* for our turn */
	HOLDING,
	LEAVING, /* the lease is being given back */
};

struct hold {
	struct cli *cli;
	const struct hold_options *o;
	struct event_base *base;
	struct client_set *set;
	struct client *client;
	enum hold_state state;
	uint64_t lease, token, order;
	uint64_t asked_ns; /* when what made the lease was sent */
	uint64_t sent_ns;  /* the renewal that is out; 0: none */
	uint64_t good_ns;  /* the last good one was sent */
	struct event renew, limit, lost, guard_ready, signal[SIGNALS];
	struct guard guard;
	bool running; /* the command */
	bool is_lost;
	bool withdrawn; /* leave as soon as the lease is known */
	int status;
};

static void ask(struct hold *);
static void wait_turn(struct hold *);
static void renew(struct hold *);

static void
timer_in(struct event *ev, uint64_t ms)
{
	struct timeval tv = {
	    (time_t)(ms / 1000), (suseconds_t)(ms % 1000 * 1000)};

	(void)event_add(ev, &tv);
}

/* ---- the end ---------------------------------------------------------- */

static void
left_cb(const struct client_reply *reply, void *ctx)
{
	struct hold *h = ctx;

	/* If nobody heard it the lease runs out. */
	(void)reply;
	(void)event_base_loopbreak(h->base);
}

/* Give back what we have; the status is that of the program. */
static void
leave(struct hold *h, int status)
{
	struct mp_buf b;

	if (h->state == LEAVING)
		return;
	h->status = status;
	(void)event_del(&h->renew);
	(void)event_del(&h->limit);
	(void)event_del(&h->lost);
	if (h->state == ASKING) {
		/* The answer will tell what there is to give back. */
		h->withdrawn = true;
		timer_in(&h->lost, RELEASE_MS);
		return;
	}
	h->state = LEAVING;
	mp_buf_init(&b);
	mp_put_array(&b, 2);
	mp_put_u64(&b, h->lease);
	cli_put_options(h->cli, &b, 0);
	if (h->lease == 0 || b.failed ||
	    client_call(h->client, "lease.revoke", mp_span(b.data, b.len),
		CLIENT_IDEMPOTENT, h->is_lost ? LOST_MS : RELEASE_MS, left_cb,
		h) < 0)
		(void)event_base_loopbreak(h->base);
	mp_buf_release(&b);
}

static void
say_lost(struct hold *h)
{
	if (!h->is_lost)
		fprintf(stderr, "raftctl: '%s' was lost\n", h->o->name);
	h->is_lost = true;
}

/* It may be somebody else's. */
static void
lose(struct hold *h)
{
	say_lost(h);
	(void)event_del(&h->renew);
	if (h->running)
		guard_move(&h->guard, 0, 0);
	else
		leave(h, EXIT_LOST);
}

/* ---- renewing --------------------------------------------------------- */

/* Before then all must be over. */
static uint64_t
end_ns(const struct hold *h)
{
	return h->good_ns + (h->o->ttl_ms - h->o->ttl_ms / 20) * MS_NS;
}

static uint64_t
term_ns(const struct hold *h)
{
	return end_ns(h) - h->o->grace_ms * MS_NS;
}

static void
watch_end(struct hold *h)
{
	uint64_t now = guard_now(), end = end_ns(h);

	if (h->state != HOLDING)
		return;
	if (h->running)
		guard_move(&h->guard, term_ns(h), end);
	else
		timer_in(&h->lost, end > now ? (end - now) / MS_NS : 0);
}

static void
renewed_cb(const struct client_reply *reply, void *ctx)
{
	struct hold *h = ctx;
	uint64_t ms = h->o->ttl_ms / 3;
	uint64_t sent = h->sent_ns, spent = (guard_now() - sent) / MS_NS;

	h->sent_ns = 0;
	if (h->is_lost || (h->state != WAITING && h->state != HOLDING))
		return;
	if (reply->status == WIRE_OK) {
		h->good_ns = sent;
		watch_end(h);
		timer_in(&h->renew, ms > spent ? ms - spent : 0);
	} else if (reply->status != WIRE_ABSENT) {
		timer_in(&h->renew, RETRY_MS);
	} else if (h->state == HOLDING) {
		lose(h);
	} /* else waiting will find that out */
}

static void
renew(struct hold *h)
{
	struct mp_buf b;

	if (h->sent_ns != 0)
		return;
	mp_buf_init(&b);
	mp_put_array(&b, 2);
	mp_put_u64(&b, h->lease);
	cli_put_options(h->cli, &b, 0);
	h->sent_ns = guard_now();
	if (b.failed ||
	    client_call(h->client, "lease.renew", mp_span(b.data, b.len),
		CLIENT_IDEMPOTENT, (uint32_t)(h->o->ttl_ms / 2 + 1), renewed_cb,
		h) < 0) {
		h->sent_ns = 0;
		timer_in(&h->renew, RETRY_MS);
	}
	mp_buf_release(&b);
}

static void
renew_cb(evutil_socket_t fd, short what, void *ctx)
{
	(void)fd;
	(void)what;
	renew(ctx);
}

/* Without a command: the time is over.  Or nobody answers our goodbye. */
static void
lost_cb(evutil_socket_t fd, short what, void *ctx)
{
	struct hold *h = ctx;

	(void)fd;
	(void)what;
	if (h->state == HOLDING)
		lose(h);
	else
		(void)event_base_loopbreak(h->base);
}

/* ---- our turn --------------------------------------------------------- */

static void
ended(struct hold *h, int status)
{
	(void)event_del(&h->guard_ready);
	guard_close(&h->guard);
	h->running = false;
	if (h->is_lost)
		leave(h, EXIT_LOST);
	else if (WIFEXITED(status))
		leave(h, WEXITSTATUS(status));
	else
		leave(h, 128 + WTERMSIG(status));
}

static void
guard_cb(evutil_socket_t fd, short what, void *ctx)
{
	struct hold *h = ctx;
	int status = 0;

	(void)fd;
	(void)what;
	switch (guard_read(&h->guard, &status)) {
	case GUARD_NOTHING:
		break;
	case GUARD_LATE:
		say_lost(h);
		break;
	case GUARD_ENDED:
		ended(h, status);
		break;
	case GUARD_DIED:
		say_lost(h);
		ended(h, 0);
		break;
	}
}

static void
set_environment(const struct hold *h)
{
	char text[24];

	(void)setenv("RAFT_LOCK_NAME", h->o->name, 1);
	(void)snprintf(text, sizeof(text), "%" PRIu64, h->token);
	(void)setenv("RAFT_LOCK_TOKEN", text, 1);
	(void)snprintf(text, sizeof(text), "%" PRIu64, h->lease);
	(void)setenv("RAFT_LOCK_LEASE", text, 1);
}

static void
acquired(struct hold *h)
{
	int r;

	h->state = HOLDING;
	(void)event_del(&h->limit);
	if (guard_now() >= term_ns(h)) {
		lose(h);
		return;
	}
	if (h->o->command == NULL) {
		h->o->print(h->cli, h->o, h->token);
		(void)fflush(stdout);
		watch_end(h);
		return;
	}
	set_environment(h);
	r = guard_start(&h->guard, h->o->command, term_ns(h), end_ns(h));
	if (r < 0) {
		fprintf(stderr, "raftctl: cannot start a process: %s\n",
		    strerror(-r));
		leave(h, EXIT_OS);
		return;
	}
	h->running = true;
	(void)event_assign(&h->guard_ready, h->base, h->guard.fd,
	    EV_READ | EV_PERSIST, guard_cb, h);
	(void)event_add(&h->guard_ready, NULL);
}

/* ---- waiting ---------------------------------------------------------- */

/* The lease ran out while we waited: to the end of the queue. */
static void
queue_again(struct hold *h)
{
	fprintf(stderr, "raftctl: the place in the queue of '%s' was lost\n",
	    h->o->name);
	(void)event_del(&h->renew);
	ask(h);
}

static void
waited_cb(const struct client_reply *reply, void *ctx)
{
	struct hold *h = ctx;
	struct mp_cur c = mp_cur_span(reply->result);
	bool held = false, waiting = true;
	struct mp_map m;

	if (h->state != WAITING)
		return;
	if (reply->status == WIRE_OK &&
	    (mp_read_mapping(&c, &m) < 0 ||
		mp_get_bool(&m, "held", &held) < 0 ||
		mp_get_bool(&m, "waiting", &waiting) < 0 ||
		mp_get_u64(&m, "token", &h->token) < 0))
		waiting = true;
	if (held)
		acquired(h);
	else if (!waiting || guard_now() >= end_ns(h))
		queue_again(h);
	else
		wait_turn(h);
}

static uint32_t
stall_ms(const struct hold_options *o)
{
	return o->ttl_ms / 4 < STALL_MS_MAX ? (uint32_t)(o->ttl_ms / 4 + 1)
					    : STALL_MS_MAX;
}

static void
wait_turn(struct hold *h)
{
	uint32_t stall = stall_ms(h->o);
	struct mp_buf b;

	h->state = WAITING;
	mp_buf_init(&b);
	mp_put_array(&b, 2);
	mp_put_bin(&b, h->o->name, strlen(h->o->name));
	cli_put_options(h->cli, &b, 3);
	mp_put_kv_u64(&b, "lease", h->lease);
	mp_put_kv_u64(&b, "order", h->order);
	/* Below the time after which a silent server is left. */
	mp_put_kv_u64(&b, "wait", stall * 7 / 10);
	if (b.failed ||
	    client_call(h->client, "lock.wait", mp_span(b.data, b.len),
		CLIENT_READ, stall * 5, waited_cb, h) < 0) {
		fprintf(stderr, "raftctl: no memory\n");
		leave(h, EXIT_OS);
	}
	mp_buf_release(&b);
}

/* ---- asking ----------------------------------------------------------- */

static void
asked_cb(const struct client_reply *reply, void *ctx)
{
	struct hold *h = ctx;
	struct mp_cur c = mp_cur_span(reply->result);
	bool held, waiting;
	struct mp_map m;

	h->lease = 0;
	if (reply->status == WIRE_OK &&
	    (mp_read_mapping(&c, &m) < 0 ||
		mp_get_bool(&m, "held", &held) < 0 ||
		mp_get_bool(&m, "waiting", &waiting) < 0 ||
		mp_get_u64(&m, "lease", &h->lease) < 0 ||
		mp_get_u64(&m, "token", &h->token) < 0 ||
		mp_get_u64(&m, "order", &h->order) < 0)) {
		h->status = cli_fail(h->cli, WIRE_PROTOCOL_ERROR,
		    "the answer does not say who holds the lock");
		(void)event_base_loopbreak(h->base);
		return;
	}
	h->state = WAITING;
	if (h->withdrawn) {
		leave(h, h->status);
	} else if (reply->status != WIRE_OK) {
		leave(h, cli_error(h->cli, reply->error));
	} else if (!held && !waiting) {
		if (h->cli->format == OUTPUT_JSON)
			(void)cli_fail(h->cli, WIRE_CONDITION,
			    "'%s' is held by another", h->o->name);
		leave(h, 1);
	} else {
		h->good_ns = h->asked_ns;
		timer_in(&h->renew, h->o->ttl_ms / 3);
		if (held)
			acquired(h);
		else
			wait_turn(h);
	}
}

static void
put_lock(struct hold *h, struct mp_buf *b)
{
	const struct hold_options *o = h->o;
	char host[256] = "";
	const char *holder = o->holder;

	if (holder == NULL)
		holder = getenv("USER");
	if (holder == NULL)
		holder = getenv("LOGNAME");
	(void)gethostname(host, sizeof(host) - 1);
	mp_put_array(b, 2);
	mp_put_bin(b, o->name, strlen(o->name));
	mp_put_map(b, 7 + (h->cli->group != 0));
	if (h->cli->group != 0)
		mp_put_kv_u64(b, "group", h->cli->group);
	mp_put_kv_u64(b, "ttl", o->ttl_ms);
	mp_put_kv_bool(b, "shared", o->slots == 0);
	if (o->slots == 0)
		mp_put_kv_nil(b, "slots");
	else
		mp_put_kv_u64(b, "slots", o->slots);
	mp_put_kv_bool(b, "queue", !o->now);
	mp_put_kv_str(b, "holder", holder == NULL ? "" : holder);
	mp_put_kv_str(b, "host", host);
	mp_put_kv_u64(b, "pid", (uint64_t)getpid());
}

static void
ask(struct hold *h)
{
	struct mp_buf b;

	h->state = ASKING;
	mp_buf_init(&b);
	put_lock(h, &b);
	h->asked_ns = guard_now();
	if (b.failed || client_call(h->client, "lock", mp_span(b.data, b.len),
			    CLIENT_SESSION, (uint32_t)h->cli->timeout_ms,
			    asked_cb, h) < 0) {
		fprintf(stderr, "raftctl: no memory\n");
		h->status = EXIT_OS;
		(void)event_base_loopbreak(h->base);
	}
	mp_buf_release(&b);
}

/* ---- signals and limits ----------------------------------------------- */

static void
signal_cb(evutil_socket_t sig, short what, void *ctx)
{
	struct hold *h = ctx;

	(void)what;
	if (h->running)
		guard_signal(&h->guard, sig);
	else
		leave(h, h->state == HOLDING ? 0 : 128 + sig);
}

static void
limit_cb(evutil_socket_t fd, short what, void *ctx)
{
	struct hold *h = ctx;

	(void)fd;
	(void)what;
	if (h->state == HOLDING || h->state == LEAVING)
		return;
	leave(h, cli_fail(h->cli, WIRE_TIMEOUT, "'%s' was not free in time",
		     h->o->name));
}

/* Negative: go on. */
static int
open_client(struct hold *h)
{
	struct client_config config = {.endpoints = h->cli->endpoints,
	    .connect_ms = stall_ms(h->o),
	    .stall_ms = stall_ms(h->o)};
	struct errtext et = {""};
	int r;

	if (config.endpoints == NULL || config.endpoints[0] == '\0')
		return cli_fail(h->cli, WIRE_USAGE,
		    "no server is named: -s ADDR or RAFT_ENDPOINTS");
	h->base = event_base_new();
	if (h->base == NULL)
		return EXIT_OS;
	r = client_set_new(h->base, &config, &h->set, &et);
	if (r < 0)
		return cli_fail(h->cli, r == -EINVAL ? WIRE_USAGE : WIRE_BUG,
		    "%s", et.text[0] != '\0' ? et.text : strerror(-r));
	h->client = client_new(h->set, 0);
	return h->client == NULL ? EXIT_OS : -1;
}

static void
close_client(struct hold *h)
{
	client_free(h->client);
	client_set_free(h->set);
	if (h->base != NULL)
		event_base_free(h->base);
}

int
hold_run(struct cli *cli, const struct hold_options *o)
{
	struct hold h = {.cli = cli, .o = o};
	int status = open_client(&h);

	if (status < 0) {
		(void)evtimer_assign(&h.renew, h.base, renew_cb, &h);
		(void)evtimer_assign(&h.limit, h.base, limit_cb, &h);
		(void)evtimer_assign(&h.lost, h.base, lost_cb, &h);
		for (size_t i = 0; i < SIGNALS; i++) {
			(void)evsignal_assign(
			    &h.signal[i], h.base, signals[i], signal_cb, &h);
			(void)event_add(&h.signal[i], NULL);
		}
		if (o->has_wait)
			timer_in(&h.limit, o->wait_ms);
		ask(&h);
		(void)event_base_dispatch(h.base);
		status = h.status;
		for (size_t i = 0; i < SIGNALS; i++)
			(void)event_del(&h.signal[i]);
		(void)event_del(&h.renew);
		(void)event_del(&h.limit);
		(void)event_del(&h.lost);
	}
	close_client(&h);
	return status;
}
