/*
 * snapboot.c - beginning with a snapshot: the newest valid one, and what the
 * log has behind it.
 *
 * A snapshot that the log does not reach came from the leader, and a crash
 * came before the log could say so: it replaces the log.  A log that begins
 * behind the snapshot has lost it: what is left is of no use without what
 * lies between, so the server begins with what it has, follows only, and
 * fetches the rest from the leader.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "raftd/snapshot.h"

static int
load(struct group *g, const struct snap_file *f, struct errtext *et)
{
	struct host *h = g->host;
	struct snap_into *into = calloc(1, sizeof(*into));
	bool renewed;
	int error = -ENOMEM;

	if (into == NULL)
		return -ENOMEM;
	into->ops = g->ops;
	into->fsm = g->ops->new (g->id);
	if (into->fsm != NULL)
		error = snap_load_once(
		    h->disk, f->path, snapshot_use, into, NULL, et);
	if (error == 0 &&
	    (into->meta.index != f->index || into->meta.term != f->term ||
		into->meta.group != g->id))
		error = errtext(
		    et, -EBADMSG, "'%s' is not what its name says", f->path);
	renewed = identity_was(&h->identity, into->meta.cluster);
	if (error == 0 && !renewed &&
	    memcmp(into->meta.cluster, h->identity.cluster,
		sizeof(into->meta.cluster)) != 0)
		error =
		    errtext(et, -EINVAL, "'%s' is of another cluster", f->path);
	if (error == 0) {
		/* From before raftwal recover: peers want one of ours. */
		g->snap->requested = renewed;
		g->ops->free(g->fsm);
		g->fsm = into->fsm;
		into->fsm = NULL;
		g->applied = g->commit = into->meta.index;
		g->applied_stamp = into->meta.stamp;
		due_heard(g, into->meta.stamp);
		g->config[0].index = into->meta.config_index;
		g->config[0].e = into->config;
		g->config_count = 1;
		tail_reset(&g->tail, into->meta.index + 1);
		g->log_last = into->meta.index;
		g->log_last_term = into->meta.term;
		g->snap->index = into->meta.index;
		g->snap->term = into->meta.term;
		g->snap->index_at = into->meta.index;
	}
	if (into->fsm != NULL)
		g->ops->free(into->fsm);
	free(into);
	return error;
}

void
snapshot_quarantine(struct host *h, const struct snap_file *f)
{
	const struct disk_ops *ops = h->disk->ops;
	char to[SNAP_PATH_LEN + 16];
	int error = ops->mkdir(h->disk->ctx, "quarantine");

	(void)snprintf(to, sizeof(to), "quarantine/%s", f->path + 5);
	if (error == 0 || error == -EEXIST)
		error = ops->rename(h->disk->ctx, f->path, to);
	if (error == 0)
		error = ops->sync_dir(h->disk->ctx, "quarantine");
	if (error == 0)
		error = ops->sync_dir(h->disk->ctx, "snap");
	host_log(h, error < 0 ? HOST_ERROR : HOST_WARN,
	    "event=quarantine file=%s result=\"%s\"", f->path,
	    error < 0 ? strerror(-error) : "moved");
}

int
snapboot_load(struct group *g, struct errtext *et)
{
	struct host *h = g->host;
	struct snap_file file[SNAP_HELD_MAX];
	int n = snap_list(h->disk, g->id, file, SNAP_HELD_MAX);
	bool loaded = false;

	(void)snap_tidy_tmp(h->disk);
	if (n < 0)
		return errtext(
		    et, n, "cannot list the snapshots: %s", strerror(-n));
	for (int i = 0; i < n; i++) {
		struct snap_held held = {.file = file[i]};
		struct errtext why = {""};
		int error = loaded ? 0 : load(g, &file[i], &why);

		if (error == -EINVAL || error == -ENOMEM) {
			*et = why;
			return error;
		}
		if (error == 0)
			error = snap_peek(
			    h->disk, file[i].path, NULL, &held.sum, &why);
		if (error == 0) {
			loaded = true;
			snapshot_hold(g, &held);
			continue;
		}
		host_log(h, HOST_ERROR,
		    "event=snapshot_damaged group=%u file=%s error=\"%s\"",
		    g->id, file[i].path, why.text);
		if (error != -EBADMSG)
			return errtext(et, error, "%.200s", why.text);
		snapshot_quarantine(h, &file[i]);
	}
	if (loaded)
		host_log(h, HOST_INFO,
		    "event=snapshot_open group=%u index=%llu term=%llu", g->id,
		    (unsigned long long)g->snap->index,
		    (unsigned long long)g->snap->term);
	return 0;
}

/* ---- the log behind it ------------------------------------------------- */

static uint64_t
term_of(const struct raft_run *run, uint32_t n, uint64_t index)
{
	uint64_t term = 0;

	for (uint32_t i = 0; i < n && run[i].first <= index; i++)
		term = run[i].term;
	return term;
}

static size_t
put(uint8_t *buf, const struct group *g, enum record_kind kind, uint64_t term,
    uint64_t number, const struct mp_buf *more)
{
	struct record r = {.group = g->id, .kind = kind, .term = term};

	for (int i = 0; i < 8; i++)
		buf[RECORD_HEADER_LEN + i] = (uint8_t)(number >> (8 * i));
	r.len = 8;
	if (more != NULL) {
		memcpy(buf + RECORD_HEADER_LEN + 8, more->data, more->len);
		r.len += (uint32_t)more->len;
	}
	record_seal(buf, &r);
	return record_size(r.len);
}

/* RESET, what it needs beside it, and (known) that entries are lost. */
static int
write_reset(struct group *g, uint64_t prev, uint64_t prev_term, uint64_t known)
{
	struct host *h = g->host;
	struct mp_buf config;
	struct iovec iov;
	uint8_t *buf = NULL;
	size_t len = 0;
	int error = -ENOMEM;

	mp_buf_init(&config);
	for (int i = 0; i < 8; i++) {
		uint8_t byte = (uint8_t)(g->config[0].index >> (8 * i));

		mp_put_raw(&config, &byte, 1);
	}
	if (g->config[0].e.config.count > 0)
		config_put(&config, &g->config[0].e);
	if (!config.failed)
		buf = malloc(4 * record_size(16) +
			     record_size((uint32_t)config.len + 8));
	if (buf == NULL)
		goto out;
	len += put(buf, g, RECORD_RESET, prev_term, prev, &config);
	len +=
	    put(buf + len, g, RECORD_STATE, g->hard.term, g->hard.vote, NULL);
	if (prev > 0)
		len += put(buf + len, g, RECORD_COMMIT, 0, prev, NULL);
	if (known > 0)
		len +=
		    put(buf + len, g, RECORD_DAMAGE, g->hard.term, known, NULL);
	iov = (struct iovec){buf, len};
	error = wal_write(h->wal, &iov, 1);
	if (error == 0)
		error = wal_sync(h->wal);
out:
	free(buf);
	mp_buf_release(&config);
	return error;
}

/* What the log named is of no use: the snapshot's own is in force. */
static void
begin_anew(struct group *g, const struct config_at *c, uint64_t index)
{
	if (index > 0)
		g->config[0] = *c;
	else
		g->config[0].index = 0;
	g->config_count = 1;
	if (g->hard.term < g->snap->term)
		g->hard = (struct raft_hard){.term = g->snap->term};
	tail_reset(&g->tail, index + 1);
	g->log_last = index;
	g->log_last_term = index > 0 ? g->snap->term : 0;
}

int
snapboot_match(struct group *g, const struct config_at *config,
    const struct raft_run *run, uint32_t runs, bool *reset,
    struct raft_boot *boot, struct errtext *et)
{
	struct host *h = g->host;
	const struct wal_group *wg = NULL, *list;
	size_t n = wal_groups(h->wal, &list);
	uint64_t index = g->applied_at_boot, term = 0, known = 0;
	int error;

	for (size_t i = 0; i < n; i++)
		if (list[i].group == g->id)
			wg = &list[i];
	boot->first = wg != NULL ? wg->first : 1;
	boot->prev_term = wg != NULL ? wg->prev_term : 0;
	*reset = false;
	if (index == 0 && boot->first == 1)
		return 0;
	if (wg != NULL && index + 1 >= boot->first && index <= wg->last) {
		term = index + 1 == boot->first ? boot->prev_term
						: term_of(run, runs, index);
		if (term == g->snap->term)
			return 0;
	}
	if (wg != NULL && index + 1 < boot->first) {
		host_log(h, HOST_ERROR,
		    "event=snapshot_missing group=%u log_first=%llu "
		    "state=%llu",
		    g->id, (unsigned long long)boot->first,
		    (unsigned long long)index);
		boot->damaged = true;
		known = wg->last;
	}
	begin_anew(g, config, index);
	error = write_reset(g, index, g->log_last_term, known);
	if (error < 0)
		return errtext(
		    et, error, "cannot write the log: %s", strerror(-error));
	*reset = true;
	boot->first = index + 1;
	boot->prev_term = g->log_last_term;
	host_log(h, HOST_INFO, "event=log_reset group=%u first=%llu", g->id,
	    (unsigned long long)boot->first);
	return 0;
}
