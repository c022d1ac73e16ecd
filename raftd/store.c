/*
 * store.c - run the jobs of the host against the log.
 */
#include "raftd/store.h"

#include <assert.h>
#include <errno.h>

/* Pieces that go into one batch: those of all jobs that wait, at most. */
#define PIECES_MAX (STORE_JOBS_MAX * STORE_PIECES_MAX)
#define BATCH_BYTES_MAX (16u << 20) /* bounds the log's batch buffer */

/* Jobs [first..end) are writes: as many as make one batch. */
static size_t
batch_end(struct store_job **jobs, size_t first, size_t n)
{
	size_t bytes = 0, pieces = 0, i;

	for (i = first; i < n && jobs[i]->kind == STORE_WRITE; i++) {
		bytes += jobs[i]->bytes;
		pieces += (size_t)jobs[i]->iovcnt;
		if (i > first &&
		    (bytes > BATCH_BYTES_MAX || pieces > PIECES_MAX))
			break;
	}
	return i;
}

static int
batch_write(struct wal *wal, struct store_job **jobs, size_t first, size_t end)
{
	struct iovec iov[PIECES_MAX];
	int count = 0;

	for (size_t i = first; i < end; i++) {
		assert(jobs[i]->iovcnt >= 0);
		assert(jobs[i]->iovcnt <= STORE_PIECES_MAX);
		for (int k = 0; k < jobs[i]->iovcnt; k++)
			iov[count++] = jobs[i]->iov[k];
	}
	return count == 0 ? 0 : wal_write(wal, iov, count);
}

static void
job_read(struct wal *wal, struct store_job *job)
{
	size_t len = 0;
	uint64_t last = 0;

	job->error = wal_read(wal, job->group, job->from, job->to,
	    job->out->data, job->out->cap, &len, &last);
	job->out->len = job->error == 0 ? len : 0;
	job->last = job->error == 0 ? last : 0;
}

void
store_run(struct wal *wal, struct store_job **jobs, size_t n)
{
	size_t first_write = n;
	int error = 0;

	for (size_t i = 0; i < n;) {
		size_t end;

		if (jobs[i]->kind == STORE_READ) {
			job_read(wal, jobs[i++]);
			continue;
		}
		if (first_write == n)
			first_write = i;
		end = batch_end(jobs, i, n);
		if (error == 0)
			error = batch_write(wal, jobs, i, end);
		for (; i < end; i++)
			jobs[i]->error = error;
	}
	if (first_write == n)
		return;
	if (!MUTANT(54)) {
		int sync_error = error == 0 ? wal_sync(wal) : error;

		/* A batch written before the failed one is not durable
		 * either: nothing of this run is acknowledged. */
		if (sync_error < 0)
			for (size_t i = first_write; i < n; i++)
				if (jobs[i]->kind == STORE_WRITE)
					jobs[i]->error = sync_error;
	}
}
