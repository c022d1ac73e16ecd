/*
 * flip_all.c - a whole server's directory with any byte of it flipped: the
 * log, the snapshot, the identity.  What judges a file notices each flip of
 * a byte that means anything, and a server that is started on it applies
 * nothing but what was written: it serves the same records, or refuses to
 * start, or follows only.
 *
 *	flip_all [STRIDE [BITS]]	every STRIDEth byte of the log, by
 *					default 5, one bit of it or each of 8;
 *					all bytes of the other files
 *	flip_all --golden DIR	writes the directory and does nothing else:
 *				how tests/unit/golden was made
 */
#include <inttypes.h>

#include "raftctl/frame.h"
#include "raftd/core/raft.h"
#include "raftd/fsm/kv.h"
#include "raftd/host.h"
#include "raftsnap/snap.h"
#include "tests/crash/memdisk.h"

#define KEYS 6
#define INDEX_MAX 64
#define TURNS 60
#define SEGMENT1 "wal/0000000000000001.wal"

struct server {
	struct host *host;
	struct disk disk;
	struct store_queue jobs;
	uint64_t now_ns;
	struct mp_buf reply; /* the last one */
	uint64_t replies;
	bool snapshot, fatal;
};

static struct memdisk *pristine;
static struct fsm_digest digests[INDEX_MAX]; /* by applied index */
static bool digest_known[INDEX_MAX];
static struct mp_buf records; /* what a list answers */
static uint64_t tried, refused, followed, served, unnoticed;

static _Noreturn void
fail(const char *what, uint64_t at, unsigned bit, const char *why)
{
	fprintf(stderr, "flip_all: %s byte %" PRIu64 " bit %u: %s\n", what, at,
	    bit, why);
	exit(1);
}

/* ---- a server ---------------------------------------------------------- */

static void
env_submit(void *ctx, struct store_job *j)
{
	struct server *s = ctx;

	STAILQ_INSERT_TAIL(&s->jobs, j, link);
}

static void
env_peer_send(void *ctx, uint64_t peer, const struct piece *p, unsigned count)
{
	(void)ctx;
	(void)peer;
	(void)p;
	(void)count;
}

static size_t
env_backlog(void *ctx, uint64_t peer)
{
	(void)ctx;
	(void)peer;
	return SIZE_MAX;
}

static void
env_peers(void *ctx, const struct host_member *m, unsigned count)
{
	(void)ctx;
	(void)m;
	(void)count;
}

static void
env_client_send(
    void *ctx, uint64_t client, const struct piece *p, unsigned count)
{
	struct server *s = ctx;

	(void)client;
	mp_buf_reset(&s->reply);
	for (unsigned i = 0; i < count; i++)
		mp_put_raw(&s->reply, p[i].p, p[i].len);
	s->replies++;
}

static void
env_log(void *ctx, enum host_log_level level, const char *fields)
{
	(void)ctx;
	(void)level;
	(void)fields;
}

static int
env_snapshot(void *ctx)
{
	((struct server *)ctx)->snapshot = true;
	return 0;
}

static void
env_fatal(void *ctx, int status, const char *cause)
{
	(void)status;
	(void)cause;
	((struct server *)ctx)->fatal = true;
}

static struct host_time
time_of(struct server *s)
{
	return (struct host_time){
	    s->now_ns, 1700000000000 + s->now_ns / 1000000};
}

static int
server_open(struct server *s, struct memdisk *m, struct errtext *et)
{
	struct host_options o = {.id = 1,
	    .address = "peer:1",
	    .version = "test",
	    .seed = 11,
	    .heartbeat_ns = 50000000,
	    .election_ns = 500000000,
	    .request_timeout_ns = 5000000000,
	    .key_len_max = WIRE_KEY_LEN_MAX,
	    .value_len_max = WIRE_VALUE_LEN_DEFAULT,
	    .cache_bytes_max = 1 << 20,
	    .inflight_bytes_max = 1 << 20,
	    .uncommitted_bytes_max = 1 << 20,
	    .append_entries_max = 64,
	    .wal_segment_size = WAL_SEGMENT_SIZE_MIN,
	    .bootstrap_count = 1};
	struct host_env env = {.ctx = s,
	    .store_submit = env_submit,
	    .peer_send = env_peer_send,
	    .peer_backlog = env_backlog,
	    .peers_changed = env_peers,
	    .client_send = env_client_send,
	    .log = env_log,
	    .snapshot_start = env_snapshot,
	    .fatal = env_fatal};

	memset(s, 0, sizeof(*s));
	STAILQ_INIT(&s->jobs);
	mp_buf_init(&s->reply);
	s->disk = mem_disk(m);
	s->now_ns = 1000000000;
	o.bootstrap[0].id = 1;
	(void)snprintf(o.bootstrap[0].address, HOST_ADDR_MAX, "peer:1");
	return host_open(&o, &s->disk, &env, time_of(s), &s->host, et);
}

static void
server_close(struct server *s)
{
	struct store_job *j;

	while ((j = STAILQ_FIRST(&s->jobs)) != NULL) {
		STAILQ_REMOVE_HEAD(&s->jobs, link);
		j->error = -EIO;
		host_stored(s->host, j);
	}
	host_close(s->host);
	mp_buf_release(&s->reply);
}

static void
turn(struct server *s)
{
	struct store_job *j;
	int error;

	s->now_ns += 100000000;
	(void)host_turn(s->host, time_of(s));
	while ((j = STAILQ_FIRST(&s->jobs)) != NULL) {
		STAILQ_REMOVE_HEAD(&s->jobs, link);
		store_run(host_wal(s->host), &j, 1);
		host_stored(s->host, j);
	}
	if (s->snapshot) {
		s->snapshot = false;
		error = host_snapshot_write(s->host, &s->disk);
		host_snapshot_done(s->host, error);
	}
	(void)host_turn(s->host, time_of(s));
}

static void
inspect(struct server *s, struct raft_status *st, struct fsm_digest *digest,
    uint64_t *applied)
{
	if (host_inspect(s->host, 1, st, digest, applied) < 0 ||
	    *applied >= INDEX_MAX)
		fail("-", 0, 0, "cannot inspect");
}

static bool
leads(struct server *s)
{
	struct fsm_digest digest;
	struct raft_status st;
	uint64_t applied;

	for (int i = 0; i < TURNS && !s->fatal; i++) {
		inspect(s, &st, &digest, &applied);
		if (st.role == RAFT_LEADER && st.ready)
			return true;
		if (st.damaged && i > 20)
			return false;
		turn(s);
	}
	return false;
}

/* One call, with the key and the value that are not NULL. */
static bool
call(struct server *s, const char *method, const char *key, const char *value)
{
	uint64_t before = s->replies;
	struct frame f;
	struct mp_buf b;
	bool ok;

	mp_buf_init(&b);
	frame_put_request(&b, 7, method);
	mp_put_array(&b, (key != NULL) + (value != NULL));
	if (key != NULL)
		mp_put_bin(&b, key, strlen(key));
	if (value != NULL)
		mp_put_bin(&b, value, strlen(value));
	ok = !b.failed && frame_parse(b.data, b.len, &f) == 0;
	if (ok)
		host_client_request(s->host, 1, &f, false);
	for (int i = 0; i < TURNS && ok && s->replies == before; i++)
		turn(s);
	ok = ok && s->replies > before &&
	     frame_parse(s->reply.data, s->reply.len, &f) == 0 &&
	     f.error.len == 1 && f.error.p[0] == 0xc0;
	mp_buf_release(&b);
	return ok;
}

static void
remember(struct server *s)
{
	struct fsm_digest digest;
	struct raft_status st;
	uint64_t applied;

	inspect(s, &st, &digest, &applied);
	digests[applied] = digest;
	digest_known[applied] = true;
}

static void
write_server(void)
{
	struct server s;
	struct errtext et = {""};
	struct fsm *nothing = kv_ops.new(1);
	char key[16], value[64];

	digests[0] = kv_ops.digest(nothing);
	digest_known[0] = true;
	kv_ops.free(nothing);
	pristine = mem_new();
	if (server_open(&s, pristine, &et) != 0)
		fail("open", 0, 0, et.text);
	remember(&s);
	if (!leads(&s))
		fail("-", 0, 0, "no leader");
	remember(&s);
	for (int i = 0; i < KEYS; i++) {
		(void)snprintf(key, sizeof(key), "key%d", i);
		(void)snprintf(value, sizeof(value), "value %d of %d", i, i);
		if (!call(&s, "put", key, value))
			fail("put", 0, 0, "not done");
		remember(&s);
		if (i == KEYS / 2 && !call(&s, "compact", NULL, NULL))
			fail("compact", 0, 0, "not done");
	}
	for (int i = 0; i < 5; i++)
		turn(&s);
	if (!call(&s, "list", "", NULL))
		fail("list", 0, 0, "not done");
	mp_buf_init(&records);
	mp_put_raw(&records, s.reply.data, s.reply.len);
	server_close(&s);
}

/* ---- one flip ---------------------------------------------------------- */

static int
count_problem(const struct wal_problem *p, void *ctx)
{
	(void)p;
	++*(uint64_t *)ctx;
	return 0;
}

/* Does what reads this file say that something is wrong with it? */
static bool
noticed(struct memdisk *m, const char *path)
{
	struct disk disk = mem_disk(m);
	struct errtext et = {""};
	struct wal_report report;
	uint64_t problems = 0;

	if (strncmp(path, "snap/", 5) == 0)
		return snap_load(&disk, path, NULL, NULL, NULL, NULL, &et) < 0;
	return wal_check(&disk, count_problem, &problems, &report, &et) < 0 ||
	       problems > 0;
}

static void
start(struct memdisk *m, const char *path, uint64_t at, unsigned bit)
{
	struct server s;
	struct fsm_digest digest;
	struct raft_status st;
	struct errtext et = {""};
	uint64_t applied;

	if (server_open(&s, m, &et) != 0) {
		if (et.text[0] == '\0')
			fail(path, at, bit, "refused without a reason");
		refused++;
		mp_buf_release(&s.reply);
		return;
	}
	inspect(&s, &st, &digest, &applied);
	if (!digest_known[applied] || digest.hi != digests[applied].hi ||
	    digest.lo != digests[applied].lo)
		fail(path, at, bit, "a state that never was is applied");
	if (!leads(&s)) {
		inspect(&s, &st, &digest, &applied);
		if (!st.damaged)
			fail(
			    path, at, bit, "does not lead, and is not damaged");
		followed++;
	} else {
		if (!call(&s, "list", "", NULL) || s.reply.len != records.len ||
		    memcmp(s.reply.data, records.data, records.len) != 0)
			fail(path, at, bit, "serves other records");
		served++;
	}
	server_close(&s);
}

/* Bytes [0, end) of a file; beyond `means` nothing reads them. */
static void
flips(const char *path, uint64_t end, uint64_t means, uint64_t stride,
    unsigned bits)
{
	uint64_t before = tried;
	unsigned file = mem_find(pristine, path)->file;

	for (uint64_t at = 0; at < end; at += stride) {
		for (unsigned b = 0; b < bits; b++) {
			unsigned bit = bits == 8 ? b : at / stride % 8;
			struct memdisk *m = mem_clone(pristine);

			m->file[file].data[at] ^= (uint8_t)(1u << bit);
			tried++;
			if (strcmp(path, "identity") != 0 &&
			    !noticed(m, path)) {
				if (at < means)
					fail(path, at, bit, "nobody noticed");
				unnoticed++;
			}
			start(m, path, at, bit);
			mem_free(m);
		}
	}
	printf("flip_all: %s: %" PRIu64 " flips in %" PRIu64 " bytes\n", path,
	    tried - before, end);
}

/* The directory as files; names with a slash in directories that exist. */
static void
write_golden(const char *dir)
{
	struct disk disk;
	struct errtext et = {""};

	if (disk_real_open(dir, true, false, &disk, &et) < 0)
		fail(dir, 0, 0, et.text);
	(void)disk.ops->mkdir(disk.ctx, "wal");
	(void)disk.ops->mkdir(disk.ctx, "snap");
	for (unsigned i = 0; i < MEM_FILES_MAX; i++) {
		const struct mem_name *n = &pristine->name[i];
		const struct mem_file *f = &pristine->file[n->file];

		/* What is prepared and not used holds nothing. */
		if (!n->used || n->is_dir ||
		    strcmp(n->path, "wal/0000000000000002.wal") == 0)
			continue;
		if (disk_replace(&disk, n->path, f->data, f->size) < 0)
			fail(n->path, 0, 0, "cannot be written");
	}
	disk_real_close(&disk);
}

int
main(int argc, char **argv)
{
	uint64_t stride = argc > 1 ? strtoull(argv[1], NULL, 10) : 5;
	unsigned bits = argc > 2 ? (unsigned)strtoul(argv[2], NULL, 10) : 1;
	struct snap_file snap[SNAP_FILES_MAX];
	const struct mem_file *log;
	struct disk disk;
	uint64_t end = 0;

	write_server();
	if (argc == 3 && strcmp(argv[1], "--golden") == 0) {
		write_golden(argv[2]);
		return 0;
	}
	disk = mem_disk(pristine);
	log = &pristine->file[mem_find(pristine, SEGMENT1)->file];
	for (uint64_t i = 0; i < log->size; i++)
		if (log->data[i] != 0)
			end = i + 1;
	if (snap_list(&disk, 1, snap, SNAP_FILES_MAX) != 1)
		fail("-", 0, 0, "no snapshot was taken");
	flips(SEGMENT1, end + 1024, end, stride == 0 ? 1 : stride,
	    bits == 8 ? 8 : 1);
	end = pristine->file[mem_find(pristine, snap[0].path)->file].size;
	flips(snap[0].path, end, end, 1, 8);
	end = pristine->file[mem_find(pristine, "identity")->file].size;
	flips("identity", end, 0, stride == 0 ? 1 : stride, 1);
	printf("flip_all: %" PRIu64 " flips: %" PRIu64
	       " refused to start, %" PRIu64 " followed only, %" PRIu64
	       " served the same; %" PRIu64
	       " in space that nothing reads; 0 silent\n",
	    tried, refused, followed, served, unnoticed);
	mp_buf_release(&records);
	mem_free(pristine);
	return 0;
}
