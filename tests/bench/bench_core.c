/*
 * bench_core.c - what the core costs on the path of a put: ns of CPU for each
 * step and for each put, at the leader of three and at a follower.
 *
 *	bench_core [PUTS]
 *
 * One JSON object on stdout.  A turn is what the host does for one batch:
 *
 *	leader		propose, an append to each of two peers, the write's
 *			completion, two acknowledgements, a notice of the
 *			commit index to each, applied
 *	follower	an append, the write's completion, a notice, applied
 */
#include <err.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "raftd/core/raft.h"

#define PUT_BYTES 300
#define ROUNDS 5

struct side {
	struct raft *raft;
	struct raft_run run[1024];
	struct raft_output out;
	uint64_t steps;
};

static struct raft_time now = {1000000000};
static struct raft_config config;

static uint64_t
cpu_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static void
side_start(struct side *s, uint64_t id)
{
	static const uint64_t config_index;
	struct raft_options o = {.id = id,
	    .boot = 1,
	    .seed = 1,
	    .heartbeat = {100000000},
	    .election = {1000000000},
	    .inflight_bytes_max = 1u << 30,
	    .uncommitted_bytes_max = 1u << 30,
	    .append_entries_max = 1024,
	    .pre_vote = true,
	    .check_quorum = true};
	struct raft_boot b = {.first = 1,
	    .config = &config,
	    .config_index = &config_index,
	    .config_count = 1};

	s->steps = 0;
	free(s->raft);
	if ((s->raft = calloc(1, raft_sizeof())) == NULL)
		err(71, "cannot allocate");
	if (raft_init(s->raft, &o, &b, s->run, 1024, now) < 0)
		errx(70, "the core does not start");
}

static void
step(struct side *s, struct raft_event *ev)
{
	ev->now = now;
	raft_step(s->raft, ev, &s->out);
	s->steps++;
}

static void
message(struct side *s, const struct raft_msg *m)
{
	struct raft_event ev = {.type = RAFT_EV_MESSAGE, .u.msg = m};

	step(s, &ev);
}

static void
persisted(struct side *s, uint64_t index)
{
	struct raft_event ev = {.type = RAFT_EV_PERSISTED};

	ev.u.persisted.index = index;
	ev.u.persisted.term = index == 0 ? 0 : 1;
	ev.u.persisted.hard = s->out.hard;
	step(s, &ev);
}

static void
applied(struct side *s)
{
	struct raft_event ev = {.type = RAFT_EV_APPLIED};

	ev.u.applied.index = s->out.commit;
	step(s, &ev);
}

static bool
pull(struct side *s, uint64_t peer, struct raft_msg *m)
{
	struct raft_want w;

	if (!raft_append_wanted(s->raft, peer, now, &w, m))
		return false;
	raft_appended(s->raft, m, w.last, (w.last + 1 - w.first) * PUT_BYTES);
	return true;
}

static void
lead(struct side *s)
{
	struct raft_msg m = {.from = 2, .to = 1};
	struct raft_event ev = {.type = RAFT_EV_TICK};

	side_start(s, 1);
	now.ns += 2000000000;
	step(s, &ev);
	m.type = RAFT_PREVOTE_REPLY;
	m.u.vote_reply.term = 1;
	m.u.vote_reply.granted = true;
	message(s, &m);
	persisted(s, 0);
	m.type = RAFT_VOTE_REPLY;
	m.term = 1;
	m.u.vote_reply.term = 1;
	m.u.vote_reply.granted = true;
	message(s, &m);
	if (s->out.persist_last != 1)
		errx(70, "the core does not lead");
}

static void
acknowledge(struct side *s, uint64_t peer, uint64_t index)
{
	struct raft_msg m = {
	    .type = RAFT_APPEND_REPLY, .from = peer, .to = 1, .term = 1};

	m.u.append_reply.ok = true;
	m.u.append_reply.match = m.u.append_reply.last = index;
	message(s, &m);
}

static double
bench_leader(uint64_t puts, uint32_t batch, double *per_step)
{
	static struct side s;
	static struct raft_msg m;
	struct raft_event ev = {.type = RAFT_EV_PROPOSE};
	uint64_t i, last = 1, start, turns = puts / batch;

	lead(&s);
	pull(&s, 2, &m);
	pull(&s, 3, &m);
	persisted(&s, 1);
	acknowledge(&s, 2, 1);
	acknowledge(&s, 3, 1);
	s.steps = 0;
	ev.u.propose.count = batch;
	ev.u.propose.bytes = (uint64_t)batch * PUT_BYTES;
	start = cpu_ns();
	for (i = 0; i < turns; i++) {
		last += batch;
		step(&s, &ev);
		pull(&s, 2, &m);
		pull(&s, 3, &m);
		persisted(&s, last);
		acknowledge(&s, 2, last);
		pull(&s, 2, &m);
		acknowledge(&s, 3, last);
		pull(&s, 3, &m);
		applied(&s);
	}
	start = cpu_ns() - start;
	if (s.out.commit != last)
		errx(70, "the leader has not committed");
	*per_step = (double)start / (double)s.steps;
	return (double)start / (double)(turns * batch);
}

static double
bench_follower(uint64_t puts, uint32_t batch, double *per_step)
{
	static struct side s;
	static struct raft_msg m;
	uint64_t i, last = 0, start, turns = puts / batch;

	side_start(&s, 2);
	m = (struct raft_msg){
	    .type = RAFT_APPEND, .from = 1, .to = 2, .term = 1};
	start = cpu_ns();
	for (i = 0; i < turns; i++) {
		m.u.append.prev_index = last;
		m.u.append.prev_term = last == 0 ? 0 : 1;
		m.u.append.run[0].first = last + 1;
		m.u.append.run[0].term = 1;
		m.u.append.run_count = 1;
		m.u.append.round = 1;
		last += batch;
		m.u.append.last = last;
		message(&s, &m);
		persisted(&s, last);
		m.u.append.prev_index = last;
		m.u.append.prev_term = 1;
		m.u.append.run_count = 0;
		m.u.append.round = 0;
		m.u.append.commit = last;
		message(&s, &m);
		applied(&s);
	}
	start = cpu_ns() - start;
	if (s.out.commit != last)
		errx(70, "the follower has not committed");
	*per_step = (double)start / (double)s.steps;
	return (double)start / (double)(turns * batch);
}

/* The best of some rounds: what the code costs, without the neighbours. */
static void
report(const char *name, double (*bench)(uint64_t, uint32_t, double *),
    uint64_t puts, uint32_t batch, const char *end)
{
	double best = 0, best_step = 0, ns, ns_step;
	int i;

	for (i = 0; i < ROUNDS; i++) {
		ns = bench(puts, batch, &ns_step);
		if (i == 0 || ns < best) {
			best = ns;
			best_step = ns_step;
		}
	}
	printf("\"%s_batch%u\":{\"ns_per_put\":%.1f,\"ns_per_step\":%.1f}%s",
	    name, batch, best, best_step, end);
}

int
main(int argc, char *argv[])
{
	uint64_t puts = argc > 1 ? strtoull(argv[1], NULL, 10) : 1000000;
	uint32_t i;

	if (puts < 64)
		errx(64, "usage: bench_core [PUTS], at least 64");
	config.count = 3;
	for (i = 0; i < 3; i++) {
		config.member[i].id = i + 1;
		config.member[i].voter = RAFT_VOTER_NEW;
	}
	printf("{\"bench\":\"core\",\"puts\":%llu,\"state_bytes\":%zu,"
	       "\"output_bytes\":%zu,",
	    (unsigned long long)puts, raft_sizeof(),
	    sizeof(struct raft_output));
	report("leader", bench_leader, puts, 1, ",");
	report("leader", bench_leader, puts, 64, ",");
	report("follower", bench_follower, puts, 1, ",");
	report("follower", bench_follower, puts, 64, "}\n");
	return 0;
}
