/*
 * run.c - the engine of `loadgen run`.
 */
#include "loadgen/run.h"

#include <assert.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

/* A msgid is a slot's number and above it a count of its uses, so that the
 * answer to what was given up is not taken for that to what came after. */
#define SLOT_BITS 20
#define SLOT_MASK (RUN_SLOTS_MAX - 1)
#define EVENTS 64

static_assert(RUN_SLOTS_MAX == 1u << SLOT_BITS, "slots fit into a msgid");
static_assert(RUN_LINKS_MAX <= UINT16_MAX, "run_slot.link");

static uint64_t
now_ns(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static struct run *
run_of(struct link *l)
{
	return (
	    struct run *)(void *)((char *)l->set - offsetof(struct run, set));
}

static bool
is_open_loop(const struct run *r)
{
	return r->opt->rate > 0 && r->phase != RUN_LOADING;
}

/* ---- slots ------------------------------------------------------------- */

static void
slot_free(struct run *r, struct run_slot *s, uint64_t ready_ns)
{
	struct run_link *l = &r->links[s->link];

	s->start_ns = ready_ns;
	s->next = l->free;
	l->free = (uint32_t)(s - r->slots);
}

/* A client that was refused comes back after a while. */
static void
slot_pause(struct run *r, struct run_slot *s, uint64_t now)
{
	uint32_t i = (uint32_t)(s - r->slots);

	s->start_ns = now + RUN_PAUSE_NS;
	s->next = RUN_NO_SLOT;
	if (r->pause_last == RUN_NO_SLOT)
		r->pause_first = i;
	else
		r->slots[r->pause_last].next = i;
	r->pause_last = i;
}

static void
pauses_end(struct run *r, uint64_t now)
{
	struct run_slot *s;

	while (r->pause_first != RUN_NO_SLOT) {
		s = &r->slots[r->pause_first];
		if (s->start_ns > now)
			return;
		r->pause_first = s->next;
		if (r->pause_first == RUN_NO_SLOT)
			r->pause_last = RUN_NO_SLOT;
		slot_free(r, s, s->start_ns);
	}
}

static void
slot_ask(struct run *r, struct run_slot *s, uint64_t now)
{
	uint32_t i = (uint32_t)(s - r->slots);

	s->msgid = i | ((s->msgid >> SLOT_BITS) + 1) << SLOT_BITS;
	if (s->msgid == LINK_MSGID_OWN)
		s->msgid = i;
	s->sent_ns = now;
	ops_ask(&r->ops, &s->op, s->msgid, now - r->zero_ns,
	    &r->links[s->link].link.out);
}

static void
slot_begin(struct run *r, struct run_slot *s, uint64_t start, uint64_t now)
{
	s->busy = true;
	s->start_ns = start;
	s->op.second = false;
	s->loading = r->phase == RUN_LOADING;
	s->measured = r->phase == RUN_MEASURE;
	if (s->loading) {
		s->op.kind = WORK_PUT;
		s->op.key = r->loaded++;
	} else {
		s->op.kind = work_next(&r->work, &s->op.key);
	}
	r->issued += s->measured;
	r->open++;
	slot_ask(r, s, now);
}

static void
slot_end(struct run *r, struct run_slot *s, enum wire_status st, uint64_t now)
{
	s->busy = false;
	r->open--;
	if (st == WIRE_OK && s->measured)
		tally_ok(&r->tally, s->op.kind,
		    now > s->start_ns ? now - s->start_ns : 0);
	else if (s->measured)
		tally_error(&r->tally, st);
	if (st == WIRE_OK && s->measured && s->op.kind != WORK_GET &&
	    s->op.kind != WORK_SCAN)
		tally_write(&r->tally, (double)(now - r->begin_ns) / 1e9);
	if (s->measured)
		r->last_ns = now;
	/* Its last operation may still be under way: it is somebody else. */
	if (st == WIRE_UNKNOWN || st == WIRE_PROTOCOL_ERROR)
		s->op.process += r->slot_count;
	/* What could not be loaded is tried again. */
	if (st != WIRE_OK && s->loading && s->op.key < r->loaded)
		r->loaded = s->op.key;
	if (st != WIRE_OK && !is_open_loop(r))
		slot_pause(r, s, now);
	else
		slot_free(r, s, now);
}

static void
slot_fail(struct run *r, struct run_slot *s, enum wire_status st, uint64_t now)
{
	ops_failed(&r->ops, &s->op, st, now - r->zero_ns);
	slot_end(r, s, st, now);
}

/* ---- what links say ---------------------------------------------------- */

static void
up_cb(struct link *l)
{
	run_of(l)->answered = true;
	run_of(l)->links[l->index].leaving = false;
}

static void
down_cb(struct link *l, const char *why)
{
	struct run *r = run_of(l);
	uint64_t now = now_ns();
	uint32_t i;

	(void)snprintf(r->why, sizeof(r->why), "%s", why);
	for (i = 0; i < r->slot_count; i++) {
		struct run_slot *s = &r->slots[i];

		if (s->busy && s->link == l->index)
			slot_fail(r, s,
			    op_is_write(&s->op) ? WIRE_UNKNOWN
						: WIRE_UNREACHABLE,
			    now);
	}
}

static void
answer_cb(struct link *l, const struct frame *f, uint64_t now)
{
	struct run *r = run_of(l);
	struct run_slot *s;
	struct wire_error err;
	enum wire_status st;
	bool again;

	if (f->msgid > UINT32_MAX || (f->msgid & SLOT_MASK) >= r->slot_count) {
		r->stray++;
		return;
	}
	s = &r->slots[f->msgid & SLOT_MASK];
	if (!s->busy || s->link != l->index || s->msgid != f->msgid) {
		r->stray++;
		return;
	}
	if (f->error.len != 1 || f->error.p[0] != 0xc0) {
		wire_read_error(f->error, &err);
		if (err.status == WIRE_STOPPING)
			r->links[l->index].leaving = true;
		slot_fail(r, s, err.status, now);
		return;
	}
	st = ops_answered(&r->ops, &s->op, f->result, now - r->zero_ns, &again);
	if (st == WIRE_OK && again)
		slot_ask(r, s, now);
	else
		slot_end(r, s, st, now);
}

/* ---- phases ------------------------------------------------------------ */

static void
phase_enter(struct run *r, enum run_phase phase, uint64_t now)
{
	struct timespec ts;

	r->phase = phase;
	r->phase_ns = now;
	r->arrivals = 0;
	if (phase == RUN_MEASURE) {
		r->begin_ns = r->last_ns = now;
		r->next_turn_ns = now + 1000000000u;
		(void)clock_gettime(CLOCK_REALTIME, &ts);
		r->began_ms =
		    (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
	}
	if (phase == RUN_DRAIN)
		r->end_ns = now;
	if (r->phase_cb != NULL)
		r->phase_cb(phase, r->phase_ctx);
}

static void
phase_advance(struct run *r, uint64_t now)
{
	const struct run_options *o = r->opt;

	if (r->phase == RUN_LOADING && r->loaded >= o->work.keys &&
	    r->open == 0 && r->pause_first == RUN_NO_SLOT)
		phase_enter(r, RUN_WARMUP, now);
	/* Warm is who has been connected; else it would measure silence. */
	if (r->phase == RUN_WARMUP && r->answered &&
	    now >= r->phase_ns + o->warmup_ms * 1000000u)
		phase_enter(r, RUN_MEASURE, now);
	if (r->phase == RUN_MEASURE &&
	    (o->ops > 0 ? r->issued >= o->ops
			: now >= r->begin_ns + o->time_ms * 1000000u))
		phase_enter(r, RUN_DRAIN, now);
}

static bool
may_begin(const struct run *r)
{
	switch (r->phase) {
	case RUN_LOADING:
		return r->loaded < r->opt->work.keys;
	case RUN_WARMUP:
		return true;
	case RUN_MEASURE:
		return r->opt->ops == 0 || r->issued < r->opt->ops;
	case RUN_DRAIN:
		break;
	}
	return false;
}

/* When the next operation of an open loop is meant to start. */
static uint64_t
due_ns(const struct run *r)
{
	return r->phase_ns +
	       (uint64_t)((double)r->arrivals * 1e9 / r->opt->rate);
}

static struct run_slot *
slot_take(struct run *r, struct run_link *l)
{
	struct run_slot *s;

	if (l->link.state != LINK_UP || l->leaving || l->free == RUN_NO_SLOT)
		return NULL;
	s = &r->slots[l->free];
	l->free = s->next;
	return s;
}

static void
pump_closed(struct run *r, uint64_t now)
{
	struct run_slot *s;
	unsigned i;

	for (i = 0; i < r->opt->connections; i++)
		while (may_begin(r) && (s = slot_take(r, &r->links[i])) != NULL)
			/* no operation is meant to start before its phase */
			slot_begin(r, s,
			    s->start_ns > r->phase_ns ? s->start_ns
						      : r->phase_ns,
			    now);
}

/* Links take turns, so that the load spreads over the servers. */
static struct run_slot *
slot_take_any(struct run *r)
{
	struct run_slot *s;
	unsigned i;

	for (i = 0; i < r->opt->connections; i++) {
		r->turn_link = (r->turn_link + 1) % r->opt->connections;
		s = slot_take(r, &r->links[r->turn_link]);
		if (s != NULL)
			return s;
	}
	return NULL;
}

static void
pump_open(struct run *r, uint64_t now)
{
	struct run_slot *s;
	uint64_t due;

	if (now < r->pumped_ns + RUN_TICK_NS)
		return;
	while (may_begin(r) && (due = due_ns(r)) <= now) {
		s = slot_take_any(r);
		if (s == NULL)
			return;
		r->arrivals++;
		r->pumped_ns = now;
		slot_begin(r, s, due, now);
	}
}

static void
sweep(struct run *r, uint64_t now)
{
	uint64_t limit = (uint64_t)r->opt->timeout_ms * 1000000u;
	struct run_slot *s;
	struct link *l;
	uint32_t i;

	for (i = 0; i < r->slot_count; i++) {
		s = &r->slots[i];
		if (!s->busy || now - s->sent_ns < limit)
			continue;
		l = &r->links[s->link].link;
		slot_fail(r, s,
		    op_is_write(&s->op) ? WIRE_UNKNOWN : WIRE_TIMEOUT, now);
		/* Who is silent so long may be silent for ever. */
		link_fail(l, "timed out");
	}
	for (i = 0; i < r->opt->connections; i++) {
		l = &r->links[i].link;
		link_tick(l, now);
		if (l->state == LINK_CLOSED && l->why[0] != '\0' &&
		    !r->answered)
			memcpy(r->why, l->why, sizeof(r->why));
	}
}

/* Everything that was asked of a stopping server has been answered. */
static void
leave_stopping(struct run *r, struct run_link *l)
{
	uint32_t i;

	if (!l->leaving || l->link.state != LINK_UP)
		return;
	for (i = 0; i < r->slot_count; i++)
		if (r->slots[i].busy && r->slots[i].link == l->link.index)
			return;
	link_fail(&l->link, "the server is stopping");
}

/* ---- the loop ---------------------------------------------------------- */

static void
progress(const struct run *r, const struct tally_interval *i)
{
	switch (r->opt->progress) {
	case RUN_TEXT:
		fprintf(stderr,
		    "%.0fs %llu ops/s p50 %.2fms p99 %.2fms errors %llu\n",
		    i->t, (unsigned long long)i->ops, (double)i->p50_ns / 1e6,
		    (double)i->p99_ns / 1e6, (unsigned long long)i->errors);
		break;
	case RUN_JSON:
		fprintf(stderr,
		    "{\"t\":%.3f,\"ops\":%llu,\"errors\":%llu,"
		    "\"p50\":%.4f,\"p99\":%.4f}\n",
		    i->t, (unsigned long long)i->ops,
		    (unsigned long long)i->errors, (double)i->p50_ns / 1e6,
		    (double)i->p99_ns / 1e6);
		break;
	case RUN_QUIET:
	case RUN_PROGRESSES:
		break;
	}
}

static void
turn(struct run *r, uint64_t now)
{
	const struct tally_interval *i;

	if (r->phase == RUN_LOADING && r->opt->progress == RUN_TEXT)
		fprintf(stderr, "loading %llu of %llu keys\n",
		    (unsigned long long)(r->loaded > r->open
					     ? r->loaded - r->open
					     : 0),
		    (unsigned long long)r->opt->work.keys);
	r->next_turn_ns = now + 1000000000u;
	if (r->begin_ns == 0)
		return;
	i = tally_turn(&r->tally, (double)(now - r->begin_ns) / 1e9);
	if (i != NULL)
		progress(r, i);
}

/* How long nothing is to be done. */
static uint64_t
idle_ns(const struct run *r, uint64_t now)
{
	uint64_t until = r->next_sweep_ns, due;

	if (r->next_turn_ns < until)
		until = r->next_turn_ns;
	if (r->pause_first != RUN_NO_SLOT &&
	    r->slots[r->pause_first].start_ns < until)
		until = r->slots[r->pause_first].start_ns;
	if (is_open_loop(r) && may_begin(r)) {
		due = due_ns(r);
		if (due < r->pumped_ns + RUN_TICK_NS)
			due = r->pumped_ns + RUN_TICK_NS;
		/* already due: it waits for a slot, and answers wake us */
		if (due > now && due < until)
			until = due;
	}
	return until > now ? until - now : 0;
}

static void
wait_events(struct run *r, uint64_t ns)
{
	struct timespec ts = {.tv_sec = (time_t)(ns / 1000000000u),
	    .tv_nsec = (long)(ns % 1000000000u)};
	struct epoll_event ev[EVENTS];
	int n, i;

	n = epoll_pwait2(r->set.epoll, ev, EVENTS, &ts, NULL);
	if (n < 0 && errno == ENOSYS) /* before Linux 5.11 */
		n = epoll_wait(
		    r->set.epoll, ev, EVENTS, (int)((ns + 999999) / 1000000));
	for (i = 0; i < n; i++)
		link_event(ev[i].data.ptr, ev[i].events);
}

static void
flush(struct run *r)
{
	unsigned i;

	for (i = 0; i < r->opt->connections; i++) {
		if (r->links[i].link.out.len > 0)
			link_flush(&r->links[i].link);
		leave_stopping(r, &r->links[i]);
	}
}

static void
timers(struct run *r, uint64_t now)
{
	if (now >= r->next_sweep_ns) {
		sweep(r, now);
		r->next_sweep_ns = now + RUN_SWEEP_NS;
	}
	pauses_end(r, now);
	if (now >= r->next_turn_ns)
		turn(r, now);
}

/* Nobody waits for what is left any more. */
static void
abandon(struct run *r, uint64_t now)
{
	uint32_t i;

	for (i = 0; i < r->slot_count; i++)
		if (r->slots[i].busy)
			slot_fail(r, &r->slots[i],
			    op_is_write(&r->slots[i].op) ? WIRE_UNKNOWN
							 : WIRE_TIMEOUT,
			    now);
}

/* Told to stop: what is open is waited for, for a while, so that its outcome
 * is known. */
static bool
may_finish(struct run *r, uint64_t now)
{
	if (r->phase == RUN_MEASURE)
		phase_enter(r, RUN_DRAIN, now);
	return r->phase == RUN_DRAIN && now - r->phase_ns < RUN_FINISH_NS;
}

int
run_go(struct run *r, const volatile int *stop)
{
	uint64_t now = now_ns();

	r->zero_ns = now;
	r->next_turn_ns = now + 1000000000u;
	phase_enter(r, r->opt->load ? RUN_LOADING : RUN_WARMUP, now);
	for (;;) {
		timers(r, now);
		phase_advance(r, now);
		if (r->phase == RUN_DRAIN && r->open == 0)
			break;
		if (!r->answered &&
		    now - r->zero_ns > r->opt->timeout_ms * UINT64_C(1000000))
			return -EHOSTUNREACH;
		if (*stop != 0 && !may_finish(r, now))
			break;
		if (is_open_loop(r))
			pump_open(r, now);
		else
			pump_closed(r, now);
		flush(r);
		wait_events(r, idle_ns(r, now));
		now = now_ns();
	}
	if (r->phase == RUN_MEASURE)
		r->end_ns = now;
	/* what began and did not end */
	if (r->begin_ns != 0 && r->tally.last_write > 0 && r->opt->ops == 0)
		tally_write(&r->tally, (double)(r->end_ns - r->begin_ns) / 1e9);
	abandon(r, now);
	if (r->tally.now.count > 0 || r->tally.now_errors > 0)
		(void)tally_turn(&r->tally, (double)(now - r->begin_ns) / 1e9);
	return 0;
}

int
run_init(struct run *r, const struct run_options *opt,
    struct endpoint *endpoints, unsigned count, struct recorder *recorder)
{
	uint32_t i, link;
	int err;

	memset(r, 0, sizeof(*r));
	r->opt = opt;
	r->slot_count = opt->clients * opt->pipeline;
	r->pause_first = r->pause_last = RUN_NO_SLOT;
	r->set = (struct link_set){.endpoints = endpoints,
	    .count = count,
	    .leader_only = opt->target == RUN_LEADER,
	    .now_cb = now_ns,
	    .up_cb = up_cb,
	    .down_cb = down_cb,
	    .answer_cb = answer_cb};
	tally_init(&r->tally);
	work_init(&r->work, &opt->work);
	r->set.epoll = epoll_create1(EPOLL_CLOEXEC);
	if (r->set.epoll < 0)
		return -errno;
	err = ops_init(&r->ops, opt, &r->work, recorder);
	r->links = calloc(opt->connections, sizeof(*r->links));
	r->slots = calloc(r->slot_count, sizeof(*r->slots));
	if (err < 0 || r->links == NULL || r->slots == NULL) {
		run_release(r);
		return -ENOMEM;
	}
	for (i = 0; i < opt->connections; i++) {
		link_init(&r->links[i].link, &r->set, i);
		r->links[i].free = RUN_NO_SLOT;
	}
	for (i = 0; i < r->slot_count; i++) {
		link = (i / opt->pipeline) % opt->connections;
		r->slots[i].link = (uint16_t)link;
		r->slots[i].op.process = i;
		slot_free(r, &r->slots[i], 0);
	}
	return 0;
}

void
run_release(struct run *r)
{
	unsigned i;

	for (i = 0; r->links != NULL && i < r->opt->connections; i++)
		link_release(&r->links[i].link);
	free(r->links);
	free(r->slots);
	if (r->set.epoll >= 0)
		close(r->set.epoll);
	ops_release(&r->ops);
	tally_release(&r->tally);
	r->links = NULL;
	r->slots = NULL;
}

double
run_seconds(const struct run *r)
{
	uint64_t end = r->opt->ops > 0 ? r->last_ns : r->end_ns;

	if (r->last_ns > end)
		end = r->last_ns;
	return end > r->begin_ns ? (double)(end - r->begin_ns) / 1e9 : 0;
}

uint64_t
run_late(const struct run *r)
{
	double due;

	if (r->opt->rate <= 0 || r->opt->ops > 0 || r->end_ns == 0)
		return 0;
	due = ceil((double)(r->end_ns - r->begin_ns) / 1e9 * r->opt->rate);
	return due > (double)r->issued ? (uint64_t)due - r->issued : 0;
}
