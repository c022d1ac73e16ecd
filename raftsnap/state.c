/*
 * state.c - raftsnap: the state of a snapshot in memory, as raftd loads it.
 *
 * Whatever is made anew goes through the state machine's own code: what
 * raftd would not take is not written, and what is there is not forgotten.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "raftd/fsm/kvstore.h"
#include "raftsnap/tool.h"

static void
digest_bytes(const struct fsm *f, uint8_t out[16])
{
	struct fsm_digest d = kv_ops.digest(f);

	for (int i = 0; i < 8; i++) {
		out[i] = (uint8_t)(d.hi >> (56 - 8 * i));
		out[8 + i] = (uint8_t)(d.lo >> (56 - 8 * i));
	}
}

/* The state, that nothing follows it, and that the header tells of it. */
static int
load(struct state *s, struct snap_reader *r, struct errtext *et)
{
	const struct snap_meta *m = snap_reader_meta(r);
	uint8_t digest[16], more;
	int64_t n;
	int error;

	s->fsm = kv_ops.new(m->group);
	if (s->fsm == NULL)
		return errtext(et, -ENOMEM, "out of memory");
	error = kv_ops.load(s->fsm, snap_read, r);
	if (error < 0)
		return errtext(et, error,
		    error == -EBADMSG ? "its state is damaged, or none of a "
					"key-value store"
				      : "cannot read its state");
	n = snap_read_some(r, &more, 1);
	if (n != 0 && !MUTANT(165))
		return errtext(
		    et, n < 0 ? (int)n : -EBADMSG, "bytes behind its state");
	error = snap_reader_finish(r, &s->sum, et);
	if (error < 0)
		return error;
	digest_bytes(s->fsm, digest);
	if (!MUTANT(182) && (memcmp(digest, m->digest, sizeof(digest)) != 0 ||
				kv_ops.rev(s->fsm) != m->rev))
		return errtext(
		    et, -EBADMSG, "its header does not fit its state");
	return 0;
}

int
state_load(const char *name, struct state *s)
{
	struct tool_input in;
	struct snap_reader *r = NULL;
	struct errtext et = {""};
	int status = snaptool_open(name, &in), error;

	memset(s, 0, sizeof(*s));
	if (status != TOOL_OK)
		return status;
	progress_begin("read", in.total);
	error = snap_reader_new(snaptool_get, &in, &r, &et);
	if (error == 0)
		error = load(s, r, &et);
	progress_end();
	if (error == 0) {
		s->meta = *snap_reader_meta(r);
		s->config = malloc(s->meta.config_len + 1);
		if (s->config == NULL)
			error = -ENOMEM;
		else
			memcpy(s->config, s->meta.config, s->meta.config_len);
		s->meta.config = s->config;
	}
	if (error < 0)
		status = snaptool_input_fail(&in, error, et.text);
	snap_reader_free(r);
	snaptool_close(&in);
	if (status != TOOL_OK)
		state_release(s);
	return status;
}

static uint64_t
wall_ms(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_REALTIME, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

int
state_new(struct state *s)
{
	memset(s, 0, sizeof(*s));
	s->fsm = kv_ops.new(1);
	if (s->fsm == NULL)
		return -ENOMEM;
	s->fsm->time = wall_ms();
	s->fsm->applied = 1;
	s->meta.group = 1;
	s->meta.index = s->meta.term = 1;
	s->meta.stamp = s->meta.created_ms = s->fsm->time;
	return 0;
}

void
state_release(struct state *s)
{
	if (s->fsm != NULL)
		kv_ops.free(s->fsm);
	free(s->config);
	memset(s, 0, sizeof(*s));
}

void
state_seal(struct state *s)
{
	digest_bytes(s->fsm, s->meta.digest);
	s->meta.rev = kv_ops.rev(s->fsm);
}

struct filling {
	struct snap_writer *writer;
};

static int
put(void *ctx, const void *data, size_t len)
{
	struct filling *f = ctx;

	if (snaptool_signal != 0)
		return -EINTR;
	progress_add(len);
	return snap_write(f->writer, data, len);
}

int
state_fill(void *ctx, struct snap_writer *w)
{
	const struct state *s = ctx;
	struct filling f = {w};

	return kv_ops.save(s->fsm, put, &f);
}
