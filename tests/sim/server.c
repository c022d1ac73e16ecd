/*
 * server.c - one simulated server: a host on a simulated disk and clock.
 */
#include "tests/sim/server.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "raftd/fsm/fsm.h"
#include "tests/sim/check.h"
#include "tests/sim/client.h"
#include "tests/sim/lease.h"
#include "tests/sim/net.h"

#define IDLE_MS 5  /* without jobs, before storage prepares a segment */
#define MARK_MS 20 /* the same, before it writes a mark: as storage.c does */
#define PREPARE_MAX 4096 /* pieces of work for one segment */

/* ---- time --------------------------------------------------------------- */

static uint64_t
scaled(uint64_t ns, int64_t ppm)
{
	return ns + (uint64_t)((__int128)ns * ppm / 1000000);
}

struct host_time
server_time(const struct server *s)
{
	uint64_t since = s->sim->now - s->clock_synced_at;

	return (struct host_time){
	    .mono_ns = s->clock_base + scaled(since, s->drift_ppm),
	    .wall_ms = s->wall_ms + s->sim->now / SIM_MS,
	};
}

static void
clock_sync(struct server *s)
{
	s->clock_base = server_time(s).mono_ns;
	s->clock_synced_at = s->sim->now;
}

void
server_clock_jump(struct server *s, uint64_t ns)
{
	clock_sync(s);
	s->clock_base += ns;
	s->sim->clock_jumps++;
	server_wake(s);
}

void
server_clock_drift(struct server *s, int64_t ppm)
{
	clock_sync(s);
	if (s->drift_ppm <= -1000000 && ppm > -1000000)
		check_clock_goes(s);
	s->drift_ppm = ppm;
	server_wake(s);
}

/* ---- what the host asks for --------------------------------------------- */

static void batch_start(struct server *);
static void on_turn(struct server *);
static void turns_forget(struct server *);

static void
env_store_submit(void *ctx, struct store_job *job)
{
	struct server *s = ctx;

	if (job->kind == STORE_WRITE && !job->again)
		check_submitted(s, job);
	if (++s->jobs_out > STORE_JOBS_MAX)
		mark(MARK_STORE_CROWDED);
	if (s->jobs_out > SERVER_JOBS_MAX)
		sim_fail(s->sim, "s%u: %u storage jobs wait", s->number + 1,
		    s->jobs_out);
	STAILQ_INSERT_TAIL(&s->waiting, job, link);
	batch_start(s);
}

static void
env_peer_send(
    void *ctx, uint64_t peer, const struct piece *pieces, unsigned count)
{
	struct server *s = ctx;

	net_send(s->sim, s->number, peer, pieces, count);
}

static size_t
env_peer_backlog(void *ctx, uint64_t peer)
{
	struct server *s = ctx;

	return net_backlog(s->sim, s->number, peer);
}

static void
env_peers_changed(void *ctx, const struct host_member *members, unsigned count)
{
	struct server *s = ctx;
	uint32_t wanted = 0;

	for (unsigned i = 0; i < count; i++) {
		struct server *to = server_by_id(s->sim, members[i].id);

		if (to != NULL)
			wanted |= 1u << to->number;
	}
	net_wanted(s->sim, s->number, wanted);
}

static void
env_client_send(
    void *ctx, uint64_t client, const struct piece *pieces, unsigned count)
{
	struct server *s = ctx;

	if ((client & LEASE_CLIENT) != 0) {
		leases_sim_reply(s->sim, client, pieces, count);
		return;
	}
	clients_reply(s->sim, s->number, client, pieces, count);
}

static uint64_t
env_clock(void *ctx)
{
	const struct server *s = ctx;

	return server_time(s).mono_ns;
}

static void
env_log(void *ctx, enum host_log_level level, const char *fields)
{
	struct server *s = ctx;

	sim_say(s->sim, "s%u log%d %s", s->number + 1, level, fields);
	if (strncmp(fields, "event=joined", 12) == 0)
		mark(MARK_JOINER_LINKED);
	if (strncmp(fields, "event=damaged_", 14) != 0)
		return;
	mark(MARK_DAMAGE_FOUND);
	if (!s->damaged && !s->untrusted)
		sim_fail(s->sim, "s%u finds damage where a crash was: %s",
		    s->number + 1, fields);
}

/*
 * The image is of now, the news of it comes later.  Now and then the server
 * dies while it is being written; the disk is frozen from there on, and the
 * turn that asked for it ends in a crash.
 */
static int
env_snapshot_start(void *ctx)
{
	struct server *s = ctx;
	struct raft_status st;
	bool dies = s->sim->phase == PHASE_CHAOS && s->sim->conf.faults != 0 &&
		    prng_ppm(&s->crash_prng, 10000);

	if (dies)
		simdisk_freeze_after(
		    s->disk, (unsigned)prng_below(&s->crash_prng, 8));
	s->snapshot_result =
	    host_snapshot_write(s->host, simdisk_table(s->disk));
	if (server_status(s, &st) && st.config.joint)
		mark(MARK_JOINT_SNAPSHOT);
	mark(s->snapshot_result == 0 ? MARK_SNAPSHOT_TAKEN
				     : MARK_SNAPSHOT_FAILED);
	if (!simdisk_frozen(s->disk))
		simdisk_disarm(s->disk);
	sim_at(s->sim, prng_exp(&s->store_prng, 50 * SIM_MS) + 1, EV_SNAPSHOT,
	    s->number, 0, s->life);
	return 0;
}

static void
env_fatal(void *ctx, int status, const char *cause)
{
	struct server *s = ctx;

	sim_say(s->sim, "s%u fatal %d: %s", s->number + 1, status, cause);
	if (s->fatal == 0)
		s->fatal = status;
}

/* Once all must be live, whoever supervises a server is quick about it. */
static uint64_t
restart_wait(struct server *s)
{
	if (s->sim->phase != PHASE_CHAOS)
		return SIM_MS;
	return prng_exp(&s->crash_prng, s->sim->conf.restart_ms * SIM_MS);
}

/* ---- storage ------------------------------------------------------------ */

static void
batch_start(struct server *s)
{
	const struct swarm *c = &s->sim->conf;
	uint64_t delay;
	struct store_job *job;

	if (s->batch_count > 0)
		return;
	while (s->batch_count < c->store_batch_max &&
	       s->batch_count < SERVER_BATCH_MAX &&
	       (job = STAILQ_FIRST(&s->waiting)) != NULL) {
		STAILQ_REMOVE_HEAD(&s->waiting, link);
		s->batch[s->batch_count++] = job;
	}
	if (s->batch_count == 0)
		return;
	delay = prng_exp(&s->store_prng, c->store_us * SIM_US) + 1000;
	if (s->sim->phase == PHASE_CHAOS &&
	    prng_ppm(&s->store_prng, (uint32_t)c->store_spike_ppm)) {
		delay *= 1 + prng_below(&s->store_prng, 200);
		mark(MARK_STORE_SPIKE);
	}
	if (s->stalled_until > s->sim->now + delay) {
		delay = s->stalled_until - s->sim->now;
		mark(MARK_STORE_STALLED);
	}
	s->batch_token++;
	sim_at(s->sim, delay, EV_STORE, s->number, s->batch_token, s->life);
}

void
server_unstall(struct server *s)
{
	s->stalled_until = 0;
	if (s->batch_count == 0)
		return;
	s->batch_token++;
	sim_at(s->sim, prng_exp(&s->store_prng, s->sim->conf.store_us * SIM_US),
	    EV_STORE, s->number, s->batch_token, s->life);
}

/* The jobs in work are done, with whatever result. */
static void
batch_run(struct server *s)
{
	store_run(host_wal(s->host), s->batch, s->batch_count);
	for (unsigned i = 0; i < s->batch_count; i++)
		if (s->batch[i]->kind == STORE_WRITE && s->batch[i]->error == 0)
			check_synced(s, s->batch[i]);
}

static void
on_store(struct server *s)
{
	uint64_t delay;

	if (s->midwrite != 0) {
		bool power = s->midwrite == 2;

		s->midwrite = 0;
		server_crash(s, power, true);
		server_start_in(s, restart_wait(s));
		return;
	}
	if (s->batch_count > 1)
		mark(MARK_STORE_GROUPED);
	batch_run(s);
	for (unsigned i = 0; i < s->batch_count; i++) {
		if (s->batch[i]->error < 0)
			mark(MARK_STORE_FAILED);
		STAILQ_INSERT_TAIL(&s->done, s->batch[i], link);
	}
	s->batch_count = 0;
	s->worked_at = s->sim->now;
	delay = prng_exp(&s->store_prng, s->sim->conf.turn_us * SIM_US);
	sim_at(s->sim, delay, EV_STORED, s->number, 0, s->life);
	batch_start(s);
	if (s->batch_count == 0 && !s->idle_queued) {
		s->idle_queued = true;
		sim_at(s->sim, IDLE_MS * SIM_MS, EV_STORE_IDLE, s->number, 0,
		    s->life);
	}
}

static void
done_return(struct server *s)
{
	struct store_job *job;

	while ((job = STAILQ_FIRST(&s->done)) != NULL) {
		STAILQ_REMOVE_HEAD(&s->done, link);
		s->jobs_out--;
		host_stored(s->host, job);
	}
}

static void
on_stored(struct server *s)
{
	done_return(s);
	server_wake(s);
}

/* What the storage thread does when it has nothing to do. */
static void
on_store_idle(struct server *s)
{
	uint64_t mark_at = s->worked_at + MARK_MS * SIM_MS;
	int more = 1;

	s->idle_queued = false;
	if (s->batch_count > 0)
		return;
	for (int i = 0; i < PREPARE_MAX && more > 0; i++)
		more = wal_prepare(host_wal(s->host));
	if (more == -ENOSPC)
		mark(MARK_STORE_NOSPACE);
	if (s->sim->now >= mark_at) {
		(void)wal_mark(host_wal(s->host));
		return;
	}
	s->idle_queued = true;
	sim_at(s->sim, mark_at - s->sim->now, EV_STORE_IDLE, s->number, 0,
	    s->life);
}

bool
server_storing(const struct server *s)
{
	return s->batch_count > 0 || !STAILQ_EMPTY(&s->waiting);
}

/* ---- life --------------------------------------------------------------- */

bool
server_up(const struct server *s)
{
	return s->state == SERVER_UP;
}

bool
server_status(const struct server *s, struct raft_status *st)
{
	struct fsm_digest digest;
	uint64_t applied;

	return s->state == SERVER_UP &&
	       host_inspect(s->host, SERVER_GROUP, st, &digest, &applied) == 0;
}

struct server *
server_by_id(struct sim *sim, uint64_t id)
{
	for (unsigned i = 0; i < sim->server_count; i++)
		if (sim->server[i]->id == id)
			return sim->server[i];
	return NULL;
}

struct server *
server_leader(struct sim *sim)
{
	struct server *best = NULL;
	struct raft_status st;
	uint64_t term = 0;

	for (unsigned i = 0; i < sim->server_count; i++) {
		struct server *s = sim->server[i];

		if (!server_status(s, &st) || st.role != RAFT_LEADER ||
		    st.hard.term <= term)
			continue;
		term = st.hard.term;
		best = s;
	}
	return best;
}

static uint64_t
draw_id(struct sim *sim, unsigned number)
{
	struct prng p;

	if (sim->conf.ids == 0)
		return number + 1;
	/* Ids of any size, and their order says nothing. */
	prng_init(&p, sim->options.seed, PRNG_CLOCK + 50 + number);
	return (prng_next(&p) >> (6 + prng_below(&p, 50))) * SIM_SERVERS_MAX +
	       number + 1;
}

void
server_init(struct sim *sim, unsigned number)
{
	struct server *s = sim_must(calloc(1, sizeof(*s)));
	uint64_t seed = sim->options.seed;
	uint64_t spread = sim->conf.drift_ppm;

	s->sim = sim;
	s->number = number;
	s->id = draw_id(sim, number);
	s->disk = simdisk_new(seed, number);
	prng_init(&s->store_prng, seed, PRNG_STORE + number);
	prng_init(&s->crash_prng, seed, PRNG_CRASH + number);
	prng_init(&s->clock_prng, seed, PRNG_CLOCK + number);
	STAILQ_INIT(&s->waiting);
	STAILQ_INIT(&s->done);
	s->clock_base =
	    sim->conf.clock_base + prng_below(&s->clock_prng, 10 * SIM_S);
	s->wall_ms = 1700000000000ull + prng_below(&s->clock_prng, 100000) *
					    prng_below(&s->clock_prng, 9);
	s->drift_ppm = (int64_t)prng_below(&s->clock_prng, 2 * spread + 1) -
		       (int64_t)spread;
	sim->server[number] = s;
}

static void
options_fill(const struct server *s, struct host_options *o)
{
	const struct sim *sim = s->sim;
	const struct swarm *c = &sim->conf;

	*o = (struct host_options){
	    .id = s->id,
	    .client_count = 1,
	    .version = "sim",
	    .seed = sim->options.seed * 31 + s->number + s->starts * 1000003,
	    .heartbeat_ns = c->heartbeat_us * SIM_US,
	    .election_ns = c->election_us * SIM_US,
	    .request_timeout_ns = c->request_timeout_ms * SIM_MS,
	    .key_len_max = WIRE_KEY_LEN_MAX,
	    .value_len_max = WIRE_VALUE_LEN_DEFAULT,
	    .cache_bytes_max = c->cache_bytes_max,
	    .inflight_bytes_max = c->inflight_bytes_max,
	    .uncommitted_bytes_max = c->uncommitted_bytes_max,
	    .append_entries_max = (uint32_t)c->append_entries_max,
	    .wal_segment_size = (uint32_t)c->segment_size,
	    .snapshot_entries = c->snapshot_entries,
	    .lease_drift_ppm = (uint32_t)c->lease_drift_ppm,
	    .follower_reads = c->forward_reads != 0 ? FOLLOWER_READS_FORWARD
						    : FOLLOWER_READS_LOCAL,
	    .cluster = "sim",
	};
	snprintf(o->name, sizeof(o->name), "s%u", s->number + 1);
	snprintf(o->address, sizeof(o->address), "peer%u:1", s->number + 1);
	snprintf(
	    o->client[0], sizeof(o->client[0]), "client%u:1", s->number + 1);
	if (s->number >= c->servers) {
		/* It joins: any of those that might add it. */
		o->join_count = sim->server_count < HOST_MEMBERS_MAX
				    ? sim->server_count
				    : HOST_MEMBERS_MAX;
		for (unsigned i = 0; i < o->join_count; i++)
			snprintf(
			    o->join[i], sizeof(o->join[i]), "peer%u:1", i + 1);
		return;
	}
	o->bootstrap_count = (unsigned)c->servers;
	for (unsigned i = 0; i < c->servers; i++) {
		o->bootstrap[i].id = sim->server[i]->id;
		snprintf(o->bootstrap[i].address,
		    sizeof(o->bootstrap[i].address), "peer%u:1", i + 1);
	}
}

/* It did not come up: again later, or never, or a finding. */
static void
start_failed(struct server *s, int err, const char *text)
{
	struct sim *sim = s->sim;
	bool died = simdisk_frozen(s->disk);

	sim_say(sim, "s%u start failed: %s: %s", s->number + 1,
	    died ? "died in recovery" : strerror(-err), text);
	simdisk_crash(s->disk, died && prng_ppm(&s->crash_prng, 500000));
	if (died) {
		mark(MARK_CRASH_RECOVERY);
	} else if (err == -EBADMSG || err == -EINVAL) {
		if (!s->damaged && !s->untrusted) {
			sim_fail(sim, "s%u refuses an undamaged disk: %s (%s)",
			    s->number + 1, text, strerror(-err));
			return;
		}
		mark(MARK_START_REFUSED);
		s->state = SERVER_HALTED;
		return;
	} else {
		mark(MARK_START_FAILED);
	}
	server_start_in(s, restart_wait(s));
}

void
server_start(struct server *s)
{
	struct sim *sim = s->sim;
	struct host_options options;
	struct host_env env = {
	    .ctx = s,
	    .store_submit = env_store_submit,
	    .peer_send = env_peer_send,
	    .peer_backlog = env_peer_backlog,
	    .peers_changed = env_peers_changed,
	    .client_send = env_client_send,
	    .clock = env_clock,
	    .log = env_log,
	    .snapshot_start = env_snapshot_start,
	    .fatal = env_fatal,
	};
	struct errtext et = {""};
	int err;

	if (s->state != SERVER_DOWN)
		return;
	s->life++;
	s->starts++;
	s->fatal = 0;
	s->stopping = false;
	if (s->recovery_crash > 0) {
		simdisk_freeze_after(s->disk, s->recovery_crash - 1);
		s->recovery_crash = 0;
	}
	options_fill(s, &options);
	err = host_open(&options, simdisk_table(s->disk), &env, server_time(s),
	    &s->host, &et);
	sim_trace(sim, prng_mix((uint64_t)-err, s->number));
	if (err < 0) {
		s->host = NULL;
		start_failed(s, err, et.text);
		return;
	}
	s->state = SERVER_UP;
	turns_forget(s);
	sim_say(sim, "s%u started, life %u", s->number + 1, s->life);
	mark(MARK_SERVER_STARTED);
	check_started(s);
	if (simdisk_frozen(s->disk)) {
		server_crash(s, prng_ppm(&s->crash_prng, 500000), false);
		server_start_in(s, restart_wait(s));
		return;
	}
	simdisk_disarm(s->disk);
	net_server_up(sim, s->number);
	server_wake(s);
}

void
server_start_in(struct server *s, uint64_t delay)
{
	s->start_token++;
	sim_at(s->sim, delay, EV_START, s->number, s->start_token, 0);
}

/* Every job goes back, so that whoever owns it can free it. */
static void
jobs_return(struct server *s)
{
	struct store_job *job;

	done_return(s);
	for (unsigned i = 0; i < s->batch_count; i++) {
		s->batch[i]->error = -EIO;
		host_stored(s->host, s->batch[i]);
	}
	while ((job = STAILQ_FIRST(&s->waiting)) != NULL) {
		STAILQ_REMOVE_HEAD(&s->waiting, link);
		job->error = -EIO;
		host_stored(s->host, job);
	}
	s->jobs_out = s->batch_count = 0;
}

void
server_crash(struct server *s, bool power, bool midwrite)
{
	struct sim *sim = s->sim;

	if (s->state != SERVER_UP)
		return;
	sim_say(sim, "s%u %s%s", s->number + 1,
	    power ? "loses power" : "is killed", midwrite ? " mid-write" : "");
	mark(power ? MARK_CRASH_POWER : MARK_CRASH_KILL);
	if (server_storing(s))
		mark(MARK_CRASH_WRITES_PENDING);
	if (midwrite && s->batch_count > 0) {
		unsigned n = (unsigned)prng_below(&s->crash_prng, 5);

		mark(MARK_CRASH_MIDWRITE);
		simdisk_freeze_after(s->disk, n);
		store_run(host_wal(s->host), s->batch, s->batch_count);
	}
	simdisk_freeze(s->disk);
	s->state = SERVER_DOWN;
	s->idle_queued = false;
	turns_forget(s);
	server_resume(s);
	check_crashed(s, power);
	jobs_return(s);
	host_close(s->host);
	s->host = NULL;
	simdisk_crash(s->disk, power);
	net_server_down(sim, s->number, power);
	clients_server_down(sim, s->number, power);
}

/* An orderly end: the host has drained. */
static void
stopped(struct server *s)
{
	struct sim *sim = s->sim;

	sim_say(sim, "s%u stops", s->number + 1);
	mark(MARK_SERVER_STOPPED);
	s->state = SERVER_DOWN;
	s->idle_queued = false;
	turns_forget(s);
	check_crashed(s, false);
	jobs_return(s);
	host_close(s->host);
	s->host = NULL;
	simdisk_crash(s->disk, false);
	net_server_down(sim, s->number, false);
	clients_server_down(sim, s->number, false);
	if (s->leaving)
		s->state = SERVER_GONE;
	else
		server_start_in(s, restart_wait(s));
}

void
server_stop(struct server *s)
{
	if (s->state != SERVER_UP || s->stopping)
		return;
	s->stopping = true;
	s->stop_by = s->sim->now + s->sim->conf.election_us * SIM_US * 4;
	host_stop(s->host);
	server_wake(s);
}

void
server_pause(struct server *s, uint64_t length)
{
	if (s->state != SERVER_UP)
		return;
	mark(MARK_PAUSE);
	/* Now and then right behind the look at the clock with which a turn
	 * begins. */
	if (s->paused_until == 0 && s->sim->conf.lease_drift_ppm != 0 &&
	    prng_ppm(&s->crash_prng, 500000))
		s->stale_ns = server_time(s).mono_ns;
	if (s->paused_until < s->sim->now + length)
		s->paused_until = s->sim->now + length;
	events_add(&s->sim->events, s->paused_until, EV_RESUME,
	    (uint16_t)s->number, s->paused_until, 0);
	sim_say(s->sim, "s%u pauses for %" PRIu64 " ms", s->number + 1,
	    length / SIM_MS);
}

bool
server_park(struct server *s, const struct event *ev)
{
	if (s->state != SERVER_UP || s->paused_until == 0)
		return false;
	if (s->parked_count == s->parked_cap) {
		s->parked_cap = s->parked_cap == 0 ? 64 : s->parked_cap * 2;
		s->parked = sim_must(
		    realloc(s->parked, s->parked_cap * sizeof(s->parked[0])));
	}
	s->parked[s->parked_count++] = *ev;
	return true;
}

/* What it missed comes all at once, in order. */
void
server_resume(struct server *s)
{
	size_t n = s->parked_count;
	bool mid_turn = s->stale_ns != 0 && s->state == SERVER_UP;

	s->paused_until = 0;
	if (mid_turn) {
		mark(MARK_PAUSE_MID_TURN);
		on_turn(s);
		/* It may have died of it, and took that road twice. */
		if (s->state != SERVER_UP)
			return;
	}
	s->stale_ns = 0;
	s->parked_count = 0;
	for (size_t i = 0; i < n; i++)
		events_add(&s->sim->events, s->sim->now, s->parked[i].what,
		    s->parked[i].who, s->parked[i].a, s->parked[i].b);
}

void
server_free(struct server *s)
{
	if (s == NULL)
		return;
	if (s->host != NULL) {
		simdisk_freeze(s->disk);
		jobs_return(s);
		host_close(s->host);
	}
	simdisk_free(s->disk);
	free(s->parked);
	free(s);
}

/* ---- turns -------------------------------------------------------------- */

/* Input waits for at most one turn that comes soon. */
static void
turn_in(struct server *s, uint64_t delay)
{
	if (s->turn_soon)
		return;
	s->turn_soon = true;
	s->turn_token++;
	sim_at(s->sim, delay, EV_TURN, s->number, s->turn_token, 0);
}

/*
 * The host's own deadline.  It moves on with most turns, and the event that
 * stands for it does not: when that one comes early, it is set anew.
 */
static void
timer_set(struct server *s, uint64_t at)
{
	s->timer_at = at;
	if (at >= s->timer_queued)
		return;
	s->timer_queued = at;
	s->timer_token++;
	sim_at(s->sim, at - s->sim->now, EV_TIMER, s->number, s->timer_token,
	    s->life);
}

static void
turns_forget(struct server *s)
{
	s->turn_soon = false;
	s->turn_token++;
	s->timer_token++;
	s->timer_at = s->timer_queued = UINT64_MAX;
}

void
server_wake(struct server *s)
{
	if (s->state == SERVER_UP)
		turn_in(s, s->sim->conf.turn_us * SIM_US);
}

/* A server that was removed ends, as raftd does; or whoever runs it lets it
 * ask for ever (raft-bugs 17). */
static void
was_removed(struct server *s)
{
	if (!s->removed)
		mark(MARK_REMOVED_LEARNS);
	s->removed = true;
	if (s->sim->conf.removed_stay == 0) {
		s->leaving = true;
		server_stop(s);
	}
}

static void
on_turn(struct server *s)
{
	struct sim *sim = s->sim;
	struct host_time t = server_time(s);
	uint64_t deadline, wait;

	if (s->stale_ns != 0)
		t.mono_ns = s->stale_ns;
	s->turn_soon = false;
	s->turn_token++;
	deadline = host_turn(s->host, t);
	check_turn(s);
	s->stale_ns = 0;
	if (s->fatal != 0) {
		s->fatal_count++;
		mark(MARK_FATAL);
		/* The process ends; its machine goes on. */
		server_crash(s, false, false);
		server_start_in(s, restart_wait(s));
		return;
	}
	if (simdisk_frozen(s->disk)) {
		mark(MARK_SNAPSHOT_CRASH);
		server_crash(s, prng_ppm(&s->crash_prng, 500000), false);
		server_start_in(s, restart_wait(s));
		return;
	}
	if (host_removed(s->host))
		was_removed(s);
	if (s->stopping && (host_drained(s->host) || sim->now >= s->stop_by)) {
		stopped(s);
		return;
	}
	if (host_busy(s->host)) {
		turn_in(s, sim->conf.turn_us * SIM_US);
		return;
	}
	if (deadline == UINT64_MAX) {
		s->timer_at = UINT64_MAX;
		return;
	}
	t = server_time(s);
	wait = deadline > t.mono_ns ? deadline - t.mono_ns : 0;
	/* Back from its clock to the world's, and never early. */
	if (s->drift_ppm <= -1000000)
		return; /* it stands still */
	wait = (uint64_t)((unsigned __int128)wait * 1000000 /
			  (uint64_t)(1000000 + s->drift_ppm)) +
	       1;
	if (__builtin_add_overflow(sim->now, wait, &wait))
		wait = UINT64_MAX; /* never */
	timer_set(s, wait);
}

static void
on_timer(struct server *s)
{
	s->timer_queued = UINT64_MAX;
	if (s->sim->now >= s->timer_at)
		on_turn(s);
	else
		timer_set(s, s->timer_at);
}

void
server_event(struct sim *sim, const struct event *ev)
{
	struct server *s = sim->server[ev->who];

	if (ev->what == EV_START) {
		if (ev->a == s->start_token)
			server_start(s);
		return;
	}
	if (ev->what == EV_RESUME) {
		if (ev->a == s->paused_until)
			server_resume(s);
		return;
	}
	if (s->state != SERVER_UP)
		return;
	if (ev->what == EV_TURN ? ev->a != s->turn_token : ev->b != s->life)
		return;
	if (server_park(s, ev))
		return;
	switch ((enum what)ev->what) {
	case EV_TURN:
		on_turn(s);
		break;
	case EV_TIMER:
		if (ev->a == s->timer_token)
			on_timer(s);
		break;
	case EV_STORE:
		if (ev->a == s->batch_token)
			on_store(s);
		break;
	case EV_STORED:
		on_stored(s);
		break;
	case EV_STORE_IDLE:
		on_store_idle(s);
		break;
	case EV_SNAPSHOT:
		host_snapshot_done(s->host, s->snapshot_result);
		server_wake(s);
		break;
	default:
		break;
	}
}
