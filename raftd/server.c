/*
 * server.c - one running raftd.
 *
 * The loop: wait until something is ready; every callback reads, decodes and
 * queues; then one turn: the host works through all of it, storage gets one
 * batch, every connection at most one write.
 */
#include "raftd/server.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "raftctl/wire.h"
#include "raftd/child.h"
#include "raftd/heap.h"
#include "raftd/log.h"
#include "raftd/net.h"
#include "raftd/notify.h"
#include "raftd/now.h"
#include "raftd/peer.h"
#include "raftd/scrub.h"
#include "raftd/service.h"
#include "raftd/storage.h"

/* Descriptors that clients never get: log, peers, resolver, ourselves. */
#define SERVER_RESERVED_FDS 160
/*
 * A message of a peer: the largest entry, or a read of old ones, and what is
 * around it.  Not by our own value-max: another server's may be larger.
 */
#define SERVER_PEER_LEN_MAX \
	(WIRE_VALUE_LEN_MAX + STORE_READ_MAX + 2 * WIRE_OVERHEAD_MAX)
/* Turns in a row that storage in place may cause before the loop looks at
 * its sockets again. */
#define SERVER_TURNS_MAX 4
#define SERVER_SIGNALS 5
/* A turn that took in no more than this is quiet: nobody else is likely to
 * come while the event thread syncs in place. */
#define SERVER_QUIET_MAX 2
/* Going down, connections stay until no request came for so long: one that is
 * on its way is refused in words, which a client can repeat elsewhere. */
#define SERVER_HUSH_NS 30000000ull
#define SERVER_HUSH_MAX_NS 200000000ull

struct server {
	struct conf *conf;
	int argc;
	char **argv;
	struct event_base *base;
	struct disk disk;
	bool has_disk;
	struct host *host;
	struct storage *storage;
	struct peers *peers;
	struct service *service;
	struct net_listener client[CONF_CLIENTS_MAX];
	unsigned clients; /* listeners that service does not own yet */
	struct event *timer;
	uint64_t timer_ns; /* when it will fire, UINT64_MAX never */
	bool due;	   /* the next turn need not wait for anything */
	struct event *signal[SERVER_SIGNALS];
	bool stopping, done;
	uint64_t stop_ns;     /* stopping: the grace ends */
	uint64_t stopping_ns; /* since when */
	uint64_t turns;
	uint64_t input;		  /* requests and messages so far */
	uint64_t asked, asked_ns; /* stopping: requests so far, since when */
	struct child child;
	struct scrub *scrub;
};

/* ---- what the host asks for -------------------------------------------- */

static void
env_store_submit(void *ctx, struct store_job *j)
{
	struct server *s = ctx;

	storage_submit(s->storage, j);
}

static void
env_peer_send(
    void *ctx, uint64_t peer, const struct piece *piece, unsigned count)
{
	struct server *s = ctx;

	peers_send(s->peers, peer, piece, count);
}

static size_t
env_peer_backlog(void *ctx, uint64_t peer)
{
	struct server *s = ctx;

	return peers_backlog(s->peers, peer);
}

static void
env_peers_changed(void *ctx, const struct host_member *m, unsigned count)
{
	struct server *s = ctx;

	peers_set(s->peers, m, count);
}

static void
env_client_send(
    void *ctx, uint64_t client, const struct piece *piece, unsigned count)
{
	struct server *s = ctx;

	if (s->service != NULL)
		service_send(s->service, client, piece, count);
}

static size_t
env_client_backlog(void *ctx, uint64_t client)
{
	struct server *s = ctx;

	return s->service != NULL ? service_backlog(s->service, client) : 0;
}

static uint64_t
env_clock(void *ctx)
{
	(void)ctx;
	return now().mono_ns;
}

static void
env_log(void *ctx, enum host_log_level level, const char *fields)
{
	(void)ctx;
	log_fields(level, fields);
}

/* Sockets that nobody will serve are not left behind. */
static void
leave(struct server *s, int status)
{
	unsigned i;

	if (s->service != NULL)
		service_stop_listening(s->service);
	for (i = 0; i < s->clients; i++)
		net_listener_close(&s->client[i]);
	peers_free(s->peers);
	_exit(status);
}

/*
 * Nothing that is queued may be sent any more, and nothing written: the log
 * might not hold what it would promise.
 */
static void
env_fatal(void *ctx, int status, const char *cause)
{
	struct server *s = ctx;
	char quoted[400];

	log_event(HOST_ERROR, "event=fatal status=%d cause=%s", status,
	    log_quote(quoted, sizeof(quoted), cause));
	leave(s, status);
}

/* In the child: its own view of the directory, and of the host as it was. */
static int
write_snapshot(void *ctx)
{
	struct server *s = ctx;
	struct disk disk;
	int error = disk_real_open(s->conf->dir, false, false, &disk, NULL);

	if (error < 0)
		return error;
	error = host_snapshot_write(s->host, &disk);
	disk_real_close(&disk);
	return error;
}

static void
snapshot_written(void *ctx, int error)
{
	struct server *s = ctx;

	host_snapshot_done(s->host, error);
}

static int
env_snapshot_start(void *ctx)
{
	struct server *s = ctx;
	uint64_t before = now().mono_ns;
	int error = child_start(
	    &s->child, s->base, write_snapshot, snapshot_written, s);

	/* All that requests wait for a snapshot. */
	if (error == 0)
		log_event(HOST_INFO, "event=snapshot_begin stall_us=%llu",
		    (unsigned long long)(now().mono_ns - before) / 1000);
	return error;
}

static void
scrubbed(const struct scrub_result *r, void *ctx)
{
	struct server *s = ctx;

	host_scrubbed(s->host, r);
}

static void
stored(struct store_job *j, void *ctx)
{
	struct server *s = ctx;

	host_stored(s->host, j);
}

/* ---- signals ----------------------------------------------------------- */

static void
set_limits(struct server *s)
{
	const struct conf *c = s->conf;
	uint64_t fds = net_descriptors(), clients = c->connections_max;
	struct service_options opt = {
	    .frame_len_max = c->value_len_max + WIRE_OVERHEAD_MAX,
	    .requests_max = (uint32_t)c->client_requests_max,
	    .output_bytes_max = c->client_output_max,
	};

	if (clients + SERVER_RESERVED_FDS > fds) {
		clients = fds > 2 * SERVER_RESERVED_FDS
			      ? fds - SERVER_RESERVED_FDS
			      : fds / 2;
		log_event(HOST_WARN,
		    "event=limit connections=%llu descriptors=%llu",
		    (unsigned long long)clients, (unsigned long long)fds);
	}
	opt.connections_max = (uint32_t)clients;
	service_options_set(s->service, &opt);
	peers_backlog_set(s->peers, c->peer_backlog_max);
	log_level_set((enum host_log_level)c->log_level);
}

static void
reload(struct server *s)
{
	struct errtext et = {""};
	char quoted[400];

	notify_send("RELOADING=1");
	if (conf_reload(s->conf, s->argc, s->argv, &et) < 0)
		log_event(HOST_ERROR, "event=reload.failed cause=%s",
		    log_quote(quoted, sizeof(quoted), et.text));
	else {
		set_limits(s);
		log_event(HOST_INFO, "event=reload");
	}
	notify_send("READY=1");
}

static void
describe(struct server *s)
{
	struct storage_stat st;
	struct service_stat sv;
	struct peers_stat ps;
	char state[LOG_LINE_MAX - 256];

	storage_stat(s->storage, &st);
	service_stat(s->service, &sv);
	peers_stat(s->peers, &ps);
	log_event(HOST_INFO,
	    "event=counters turns=%llu clients=%llu accepted=%llu "
	    "refused=%llu requests=%llu flooded=%llu malformed=%llu "
	    "slow=%llu unread=%zu dials=%llu links=%llu strangers_refused=%llu "
	    "jobs=%llu runs=%llu in_place=%llu wakes_thread=%llu "
	    "wakes_event=%llu marks=%llu prepares=%llu",
	    (unsigned long long)s->turns, (unsigned long long)sv.connections,
	    (unsigned long long)sv.accepted, (unsigned long long)sv.refused,
	    (unsigned long long)sv.requests, (unsigned long long)sv.flooded,
	    (unsigned long long)sv.malformed, (unsigned long long)sv.slow,
	    sv.output_bytes, (unsigned long long)ps.dials,
	    (unsigned long long)ps.links, (unsigned long long)ps.refused,
	    (unsigned long long)st.jobs, (unsigned long long)st.runs,
	    (unsigned long long)st.in_place,
	    (unsigned long long)st.wakes_thread,
	    (unsigned long long)st.wakes_event, (unsigned long long)st.marks,
	    (unsigned long long)st.prepares);
	host_describe(s->host, state, sizeof(state));
	/* Last on its line, so that it needs no quoting to be cut out. */
	log_event(HOST_INFO, "event=state state=%s", state);
}

static void
stop(struct server *s)
{
	if (s->stopping) {
		log_event(HOST_WARN, "event=exit cause=\"second signal\"");
		leave(s, EXIT_OK);
	}
	s->stopping = true;
	s->stopping_ns = now().mono_ns;
	s->stop_ns = s->stopping_ns + s->conf->grace_ns;
	notify_send("STOPPING=1");
	log_event(HOST_INFO, "event=stopping");
	service_stop_listening(s->service);
	host_stop(s->host);
}

static void
signal_cb(evutil_socket_t sig, short what, void *arg)
{
	struct server *s = arg;

	(void)what;
	switch (sig) {
	case SIGTERM:
	case SIGINT:
		stop(s);
		break;
	case SIGHUP:
		reload(s);
		break;
	case SIGUSR1:
		describe(s);
		break;
	}
}

/* ---- the loop ---------------------------------------------------------- */

static void
timer_cb(evutil_socket_t fd, short what, void *arg)
{
	struct server *s = arg;

	(void)fd;
	(void)what;
	s->timer_ns = UINT64_MAX; /* the turn that follows does the work */
}

/* A timer that is early costs a turn, so it is moved forward only. */
static void
set_timer(struct server *s, uint64_t at_ns, uint64_t now_ns)
{
	uint64_t left = at_ns - now_ns;
	struct timeval tv;

	if (at_ns >= s->timer_ns)
		return;
	tv.tv_sec = (time_t)(left / 1000000000);
	tv.tv_usec = (suseconds_t)(left % 1000000000 / 1000);
	if (event_add(s->timer, &tv) == 0)
		s->timer_ns = at_ns;
}

static uint64_t
earlier(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static bool
is_quiet(struct server *s)
{
	struct service_stat sv;
	struct peers_stat ps;
	uint64_t before = s->input;

	service_stat(s->service, &sv);
	peers_stat(s->peers, &ps);
	s->input = sv.requests + ps.messages;
	return s->input - before <= SERVER_QUIET_MAX && !host_busy(s->host);
}

static bool
is_hushed(struct server *s, uint64_t now_ns)
{
	struct service_stat sv;

	service_stat(s->service, &sv);
	if (sv.requests != s->asked || s->asked_ns == 0) {
		s->asked = sv.requests;
		s->asked_ns = now_ns;
	}
	return now_ns - s->asked_ns >= SERVER_HUSH_NS || sv.connections == 0 ||
	       now_ns - s->stopping_ns >= SERVER_HUSH_MAX_NS;
}

static void
turn(struct server *s)
{
	struct host_time t;
	uint64_t next;
	bool here;
	int i = 0;

	do {
		t = now();
		next = host_turn(s->host, t);
		heap_grown();
		s->turns++;
		/* Disk beside network: whoever is slower begins first. */
		here = storage_kick(s->storage, is_quiet(s));
		peers_flush(s->peers);
		service_flush(s->service);
		if (here)
			here = storage_run_here(s->storage);
	} while (here && ++i < SERVER_TURNS_MAX);
	if (host_removed(s->host) && !s->stopping) {
		stop(s);
		t = now(); /* not before the beginning of the end */
	}
	next = earlier(next, peers_tick(s->peers, t));
	next = earlier(next, service_tick(s->service, t));
	if (s->stopping) {
		next = earlier(next, s->stop_ns);
		here = is_hushed(s, t.mono_ns);
		if (!here)
			next = earlier(next, s->asked_ns + SERVER_HUSH_NS);
		s->done = t.mono_ns >= s->stop_ns ||
			  (here && host_drained(s->host) &&
			      service_flushed(s->service) &&
			      storage_open_jobs(s->storage) == 0);
	}
	s->due = next <= t.mono_ns || host_busy(s->host);
	if (!s->due)
		set_timer(s, next, t.mono_ns);
}

static void
loop(struct server *s)
{
	int flags;

	turn(s);
	while (!s->done) {
		flags = EVLOOP_ONCE;
		if (s->due)
			flags |= EVLOOP_NONBLOCK;
		(void)event_base_loop(s->base, flags);
		turn(s);
	}
}

/* ---- starting and ending ----------------------------------------------- */

static int
open_base(struct server *s)
{
	struct event_config *cfg = event_config_new();

	if (cfg == NULL)
		return -ENOMEM;
	/*
	 * One thread has the base.  NOTE: no EPOLL_USE_CHANGELIST, which
	 * takes a closed descriptor out of epoll too late: what is shared
	 * with a forked child would go on reporting events for ever.
	 */
	(void)event_config_set_flag(cfg, EVENT_BASE_FLAG_NOLOCK);
	s->base = event_base_new_with_config(cfg);
	event_config_free(cfg);
	if (s->base == NULL)
		return -ENOMEM;
	s->timer = evtimer_new(s->base, timer_cb, s);
	s->timer_ns = UINT64_MAX;
	return s->timer == NULL ? -ENOMEM : 0;
}

static int
open_signals(struct server *s)
{
	static const int which[SERVER_SIGNALS] = {
	    SIGTERM, SIGINT, SIGHUP, SIGUSR1};
	int i;

	(void)signal(SIGPIPE, SIG_IGN);
	for (i = 0; i < SERVER_SIGNALS && which[i] != 0; i++) {
		s->signal[i] = evsignal_new(s->base, which[i], signal_cb, s);
		if (s->signal[i] == NULL || event_add(s->signal[i], NULL) < 0)
			return -ENOMEM;
	}
	return 0;
}

/* Listeners, before the log is read: who cannot serve need not recover. */
static int
open_sockets(struct server *s, struct errtext *et)
{
	const struct conf *c = s->conf;
	struct peers_options opt = {
	    .id = c->id,
	    .election_ns = c->election_ns,
	    .frame_len_max = SERVER_PEER_LEN_MAX,
	    .backlog_bytes_max = c->peer_backlog_max,
	};
	struct net_listener peer;
	struct net_addr addr;
	unsigned i;
	int ret;

	for (i = 0; i < c->client_count; i++) {
		ret = net_addr_parse(c->client[i], &addr, et);
		if (ret == 0)
			ret = net_listen(&addr, &s->client[i], et);
		if (ret < 0)
			return ret;
		s->clients = i + 1;
	}
	ret = net_addr_parse(c->peer, &addr, et);
	if (ret == 0)
		ret = net_listen(&addr, &peer, et);
	if (ret < 0)
		return ret;
	return peers_new(s->base, &opt, &peer, &s->peers);
}

static void
host_options_from(const struct server *s, struct host_options *o)
{
	const struct conf *c = s->conf;
	unsigned i;

	memset(o, 0, sizeof(*o));
	o->id = c->id;
	memcpy(o->name, c->name, sizeof(o->name));
	memcpy(o->address, c->peer, sizeof(o->address));
	for (i = 0; i < c->bootstrap_count; i++) {
		o->bootstrap[i] = c->bootstrap[i];
		if (c->bootstrap[i].id == c->id)
			memcpy(o->address, c->bootstrap[i].address,
			    sizeof(o->address));
	}
	o->bootstrap_count = c->bootstrap_count;
	memcpy(o->join, c->join, sizeof(o->join));
	o->join_count = c->join_count;
	o->priority = c->priority;
	o->min_insync = c->min_insync;
	o->lease_drift_ppm = (uint32_t)c->lease_drift_ppm;
	o->follower_reads = (enum follower_reads)c->follower_reads;
	o->in_sync_entries = c->in_sync_entries;
	o->in_sync_bytes = c->in_sync_bytes;
	o->in_sync_ms = c->in_sync_ns / 1000000;
	o->early_vote = c->early_vote;
	o->no_joint = c->no_joint;
	for (i = 0; i < s->clients; i++)
		memcpy(
		    o->client[i], s->client[i].addr.text, sizeof(o->client[i]));
	o->client_count = s->clients;
	(void)snprintf(o->version, sizeof(o->version), "%s", RAFTKIT_VERSION);
	/* Only spreads the election timeouts: nothing rests on it. */
	if (getrandom(&o->seed, sizeof(o->seed), 0) != sizeof(o->seed))
		o->seed = now().mono_ns ^ c->id;
	o->heartbeat_ns = c->heartbeat_ns;
	o->election_ns = c->election_ns;
	o->request_timeout_ns = c->request_timeout_ns;
	o->key_len_max = c->key_len_max;
	o->value_len_max = c->value_len_max;
	o->cache_bytes_max = c->cache_bytes_max;
	o->inflight_bytes_max = c->inflight_bytes_max;
	o->uncommitted_bytes_max = c->uncommitted_bytes_max;
	o->append_entries_max = (uint32_t)c->append_entries_max;
	o->snapshot_bytes = c->snapshot_bytes;
	o->snapshot_entries = c->snapshot_entries;
	o->snapshot_rate = c->snapshot_rate;
	o->wal_segment_size = (uint32_t)c->wal_segment_size;
	o->no_fsync = c->no_fsync;
	o->cluster = c->cluster[0] != '\0' ? c->cluster : NULL;
}

static int
open_host(struct server *s, struct errtext *et)
{
	const struct host_env env = {
	    .ctx = s,
	    .store_submit = env_store_submit,
	    .peer_send = env_peer_send,
	    .peer_backlog = env_peer_backlog,
	    .peers_changed = env_peers_changed,
	    .client_send = env_client_send,
	    .client_backlog = env_client_backlog,
	    .clock = env_clock,
	    .log = env_log,
	    .snapshot_start = env_snapshot_start,
	    .fatal = env_fatal,
	};
	struct host_options opt;

	host_options_from(s, &opt);
	return host_open(&opt, &s->disk, &env, now(), &s->host, et);
}

static int
open_service(struct server *s)
{
	const struct conf *c = s->conf;
	struct service_options opt = {
	    .frame_len_max = c->value_len_max + WIRE_OVERHEAD_MAX,
	};
	unsigned count = s->clients;
	int ret;

	s->clients = 0;
	ret =
	    service_new(s->base, s->host, &opt, s->client, count, &s->service);
	if (ret == 0)
		set_limits(s);
	return ret;
}

/* What a failure to open the directory comes to, raftd(8). */
static int
status_of_open(int err)
{
	switch (err) {
	case -EINVAL:
		return EXIT_CONFIG;
	case -EBADMSG:
	case -EPROTO: /* a format that is newer */
		return EXIT_DATA;
	case -ENOMEM:
		return EXIT_OS;
	default:
		return EXIT_IO;
	}
}

/* A socket's file that cannot be made is a file that cannot be made. */
static int
status_of_listen(int err)
{
	return err == -ENOENT || err == -ENOTDIR || err == -EACCES ||
		       err == -EROFS
		   ? EXIT_CREATE
		   : EXIT_OS;
}

static int
complain(int status, const char *cause)
{
	char quoted[400];

	log_event(HOST_ERROR, "event=start.failed status=%d cause=%s", status,
	    log_quote(quoted, sizeof(quoted), cause));
	return status;
}

static int
start(struct server *s)
{
	const struct conf *c = s->conf;
	struct errtext et = {"out of memory"};
	int ret;

	if (c->ready_fd != UINT64_MAX && fcntl((int)c->ready_fd, F_GETFD) < 0)
		return complain(EXIT_CONFIG, "ready-fd is not open");
	ret = open_base(s);
	if (ret == 0)
		ret = open_signals(s);
	if (ret < 0)
		return complain(EXIT_OS, strerror(-ret));
	ret = disk_real_open(c->dir, true, true, &s->disk, &et);
	if (ret < 0)
		return complain(EXIT_CREATE, et.text);
	s->has_disk = true;
	ret = open_sockets(s, &et);
	if (ret < 0)
		return complain(status_of_listen(ret), et.text);
	ret = storage_new(
	    s->base, (enum conf_storage)c->storage, stored, s, &s->storage);
	if (ret < 0)
		return complain(EXIT_OS, strerror(-ret));
	ret = open_host(s, &et);
	if (ret < 0)
		return complain(status_of_open(ret), et.text);
	ret = storage_start(s->storage, host_wal(s->host));
	if (ret == 0)
		ret = open_service(s);
	if (ret == 0 && c->scrub_ns > 0)
		ret = scrub_start(s->base, c->dir, c->scrub_ns, c->scrub_rate,
		    HOST_GROUP_DEFAULT, scrubbed, s, &s->scrub);
	if (ret == 0)
		ret = peers_start(s->peers, s->host);
	return ret < 0 ? complain(EXIT_OS, strerror(-ret)) : EXIT_OK;
}

static void
say_ready(struct server *s)
{
	static const char *const mode[] = {"thread", "inline", "auto"};
	const struct conf *c = s->conf;
	char list[CONF_CLIENTS_MAX * HOST_ADDR_MAX], quoted[600];

	service_addresses(s->service, list, sizeof(list));
	if (c->early_vote || c->no_joint)
		log_event(HOST_WARN, "event=unsafe early_vote=%d no_joint=%d",
		    c->early_vote, c->no_joint);
	log_event(HOST_INFO,
	    "event=serving id=%llu peer=%s client=%s storage=%s unsafe=%s",
	    (unsigned long long)c->id, c->peer,
	    log_quote(quoted, sizeof(quoted), list), mode[c->storage],
	    c->no_fsync ? "no-fsync" : "none");
	if (c->ready_fd != UINT64_MAX && notify_ready_fd((int)c->ready_fd) < 0)
		log_event(HOST_WARN, "event=ready.failed");
	notify_send("READY=1");
}

/* Connections first (they tell the host that they go), the disk last. */
static void
finish(struct server *s)
{
	unsigned i;

	for (i = 0; i < s->clients; i++)
		net_listener_close(&s->client[i]);
	child_end(&s->child);
	scrub_free(s->scrub);
	service_free(s->service);
	peers_free(s->peers);
	storage_free(s->storage);
	host_close(s->host);
	if (s->has_disk)
		disk_real_close(&s->disk);
	for (i = 0; i < SERVER_SIGNALS; i++)
		if (s->signal[i] != NULL)
			event_free(s->signal[i]);
	if (s->timer != NULL)
		event_free(s->timer);
	if (s->base != NULL)
		event_base_free(s->base);
}

int
server_run(struct conf *c, int argc, char **argv)
{
	struct server s = {.conf = c, .argc = argc, .argv = argv};
	int status;

	log_level_set((enum host_log_level)c->log_level);
	status = start(&s);
	if (status == EXIT_OK) {
		say_ready(&s);
		loop(&s);
		log_event(HOST_INFO, "event=stopped");
	}
	finish(&s);
	return status;
}
