/*
 * compact_wal.c - raftwal compact: what it leaves is the log behind the
 * snapshot, with term, vote, members and peers, whatever a crash does on the
 * way; and a snapshot that the log does not know cuts nothing.
 */
#include <inttypes.h>

#include "raftctl/mp.h"
#include "raftwal/bytes.h"
#include "raftwal/compact.h"
#include "raftwal/facts.h"
#include "tests/crash/memdisk.h"

#define LAST 400
#define AT 350

static uint64_t states;
static const struct wal_options options = {
    .segment_size = WAL_SEGMENT_SIZE_MIN, .server_id = 1, .nonce = 77};

static _Noreturn void
fail(size_t at, const char *why)
{
	fprintf(stderr, "compact_wal: op %zu: %s\n", at, why);
	exit(1);
}

static size_t
put(uint8_t *buf, struct record r, const void *payload)
{
	r.group = 1;
	memcpy(buf + RECORD_HEADER_LEN, payload, r.len);
	record_seal(buf, &r);
	return record_size(r.len);
}

static void
write_one(struct wal *wal, struct record r, const void *payload)
{
	uint8_t buf[2048];
	struct iovec iov = {buf, put(buf, r, payload)};

	if (wal_write(wal, &iov, 1) != 0 || wal_sync(wal) != 0)
		fail(0, "cannot write");
}

static struct memdisk *
make(void)
{
	struct memdisk *m = mem_new();
	struct disk disk = mem_disk(m);
	struct errtext et = {""};
	uint8_t payload[1000] = {5};
	struct mp_buf b;
	struct wal *wal;

	m->recording = true;
	if (wal_open(&disk, &options, NULL, NULL, &wal, NULL, &et) != 0)
		fail(0, et.text);
	mp_buf_init(&b);
	mp_put_map(&b, 2);
	mp_put_kv_bool(&b, "joint", false);
	mp_put_str(&b, "members");
	mp_put_array(&b, 1);
	mp_put_map(&b, 3);
	mp_put_kv_u64(&b, "id", 1);
	mp_put_kv_u64(&b, "voter", 1);
	mp_put_kv_str(&b, "address", "x");
	write_one(wal,
	    (struct record){.kind = RECORD_CONFIG,
		.index = 1,
		.term = 1,
		.len = (uint32_t)b.len},
	    b.data);
	mp_buf_release(&b);
	write_one(wal,
	    (struct record){.kind = RECORD_STATE, .term = 4, .len = 8},
	    payload);
	write_one(
	    wal, (struct record){.kind = RECORD_PEER, .len = 32}, payload);
	for (uint64_t i = 2; i <= LAST; i++)
		write_one(wal,
		    (struct record){.kind = RECORD_COMMAND,
			.index = i,
			.term = i < 200 ? 1 : 3,
			.len = i % 7 == 0 ? 1000 : 50},
		    payload);
	wal_close(wal);
	return m;
}

/* The log from `first` on, and all that has to be known beside it. */
static uint64_t
judge(struct memdisk *m, size_t at)
{
	struct disk disk = mem_disk(m);
	const struct group_facts *g;
	struct errtext et = {""};
	uint64_t first;
	struct facts f;

	if (facts_read(&disk, &f, &et) != 0)
		fail(at, et.text);
	g = facts_group(&f, 1);
	if (g == NULL || f.report.damaged != 0 || g->log.damaged ||
	    g->log.last != LAST || g->last_term != 3 || g->log.term != 4 ||
	    g->log.vote != 5)
		fail(at, "entries, term or vote are missing");
	if (g->config == NULL || g->config_index != 1 || f.peer_count != 1 ||
	    f.peer[0] != 5)
		fail(at, "members or peers are missing");
	first = g->log.first;
	if (first != 1 && first != AT + 1)
		fail(at, "the log begins elsewhere");
	facts_release(&f);
	return first;
}

int
main(void)
{
	struct memdisk *m = make();
	struct disk disk = mem_disk(m);
	struct compact_result dry, wet;
	struct mem_world world;
	struct errtext et = {""};
	size_t begin = m->ops;

	if (compact_run(&disk, &options, 1, AT, 2, true, &wet, &et) !=
		-EBADMSG ||
	    compact_run(&disk, &options, 1, LAST + 1, 3, true, &wet, &et) !=
		-EBADMSG ||
	    compact_run(&disk, &options, 2, AT, 3, true, &wet, &et) != -EBADMSG)
		fail(0, "a snapshot that the log does not know was taken");
	if (judge(m, m->ops) != 1)
		fail(0, "refused, and yet cut");
	begin = m->ops;
	if (compact_run(&disk, &options, 1, AT, 3, false, &dry, &et) != 0 ||
	    m->ops != begin)
		fail(0, "something was written");
	if (compact_run(&disk, &options, 1, AT, 3, true, &wet, &et) != 0)
		fail(0, et.text);
	if (wet.segments < 3 || wet.segments != dry.segments ||
	    wet.first != AT + 1 || judge(m, m->ops) != AT + 1)
		fail(0, "not as it was said to become");
	mem_world_init(&world, m);
	for (;; mem_world_step(&world)) {
		for (unsigned v = 0; world.at >= begin && v <= 8; v++) {
			struct memdisk *c = mem_world_crash(&world, v, v * 32);
			struct disk after = mem_disk(c);

			states++;
			(void)judge(c, world.at);
			if (compact_run(&after, &options, 1, AT, 3, true, &wet,
				&et) != 0 ||
			    judge(c, world.at) != AT + 1)
				fail(world.at, "cannot go on");
			mem_free(c);
		}
		if (world.at == m->ops)
			break;
	}
	printf("compact_wal: %" PRIu64 " segments dropped, %" PRIu64
	       " crash states\n",
	    dry.segments, states);
	mem_world_release(&world);
	mem_free(m);
	return 0;
}
