/*
 * mend.c - what is done about rot that was found while the server runs.
 *
 * What the server has in memory is whole, so nobody else is needed: the log
 * goes on in another segment, a snapshot is taken of all that stands in the
 * ones before, and the log is cut behind it, damaged segment and all.  A
 * snapshot that has rotted is put aside and another one taken.  Should the
 * server end before that, its next start finds the damage and asks the others
 * (snapboot.c, raftwal(5)).
 */
#include <string.h>

#include "raftd/mend.h"
#include "raftd/scrub.h"

#define EVERY_NS UINT64_C(5000000000) /* between two attempts */

void
mend_log(struct host *h)
{
	struct mend *m = &h->mend;
	struct store_job *j;

	if (m->segment != 0 || m->rolling || (j = host_job(h)) == NULL)
		return;
	j->kind = STORE_ROLL;
	m->segment = 1; /* one of them */
	m->rolling = true;
	host_submit(h, j);
}

void
mend_rolled(struct host *h, const struct store_job *j)
{
	struct mend *m = &h->mend;

	m->rolling = false;
	if (j->error < 0) {
		/* For want of space: the next time it is found. */
		m->segment = 0;
		return;
	}
	m->segment = j->last - 1;
	m->rolled = true;
	m->need = h->group->log_last;
	m->next_ns = h->now.mono_ns;
}

void
mend_compacted(struct host *h, uint64_t first)
{
	struct mend *m = &h->mend;

	if (m->segment == 0 || first <= m->segment)
		return;
	host_log(h, HOST_INFO, "event=mended segment=%llu",
	    (unsigned long long)m->segment);
	m->segment = 0;
	m->rolled = false;
}

void
mend_turn(struct group *g)
{
	struct host *h = g->host;
	struct mend *m = &h->mend;
	struct snapshots *s = g->snap;

	if (!m->rolled || s->running || g->applied < m->need ||
	    h->now.mono_ns < m->next_ns || MUTANT(87))
		return;
	m->next_ns = h->now.mono_ns + EVERY_NS;
	snapshot_renew(g);
}

uint64_t
mend_deadline(const struct group *g)
{
	const struct mend *m = &g->host->mend;

	return m->rolled ? m->next_ns : UINT64_MAX;
}

void
host_scrubbed(struct host *h, const struct scrub_result *r)
{
	struct mend *m = &h->mend;

	m->rounds++;
	host_log(h, r->error < 0 ? HOST_WARN : HOST_INFO,
	    "event=scrub bytes=%llu ms=%llu log=%s snapshots_damaged=%u "
	    "result=\"%s\"",
	    (unsigned long long)r->bytes, (unsigned long long)r->ms,
	    r->log_damaged ? "damaged" : "whole", r->snapshots,
	    strerror(-r->error));
	if (h->broken)
		return;
	for (unsigned i = 0; i < r->snapshots; i++) {
		m->found++;
		snapshot_rotted(h->group, r->snapshot[i]);
	}
	if (!r->log_damaged)
		return;
	m->found++;
	host_log(h, HOST_ERROR,
	    "event=rot file=%s offset=%llu group=%u index=%llu problem=%s",
	    r->problem.file, (unsigned long long)r->problem.offset,
	    r->problem.group, (unsigned long long)r->problem.index,
	    r->problem.problem);
	mend_log(h);
}
