/*
 * store.c - run the jobs of the host against the log.
 */
#include "raftd/store.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

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

/* ---- snapshots --------------------------------------------------------- */

static int
snap_read_piece(struct store_job *j)
{
	const struct disk_ops *ops = j->disk->ops;
	struct disk_file *f;
	int64_t n;
	int error = ops->open(j->disk->ctx, j->path, DISK_READ, &f);

	if (error < 0)
		return error;
	n = ops->read(j->disk->ctx, f, j->out->data, j->out->cap, j->from);
	ops->close(j->disk->ctx, f);
	j->out->len = n > 0 ? (size_t)n : 0;
	return n < 0 ? (int)n : 0;
}

static int
snap_write_piece(struct store_job *j)
{
	const struct disk_ops *ops = j->disk->ops;
	struct disk_file *f;
	int error = ops->open(j->disk->ctx, j->path, DISK_WRITE, &f);

	if (error == -ENOENT)
		error = ops->open(
		    j->disk->ctx, j->path, DISK_WRITE | DISK_CREATE, &f);
	if (error < 0)
		return error;
	error = ops->write(
	    j->disk->ctx, f, j->iov[0].iov_base, j->iov[0].iov_len, j->from);
	ops->close(j->disk->ctx, f);
	return error;
}

/* Nothing of it is used before all of it is known to be good. */
static int
snap_finish(struct store_job *j)
{
	struct snap_sum sum;
	int error =
	    snap_load(j->disk, j->path, NULL, NULL, &j->meta, &sum, NULL);

	if (error == 0 && memcmp(sum.id, j->sum.id, SNAP_ID_LEN) != 0)
		error = -EBADMSG;
	if (error == 0) {
		j->sum = sum;
		error = snap_adopt(j->disk, j->path, &j->meta);
	}
	return error;
}

/*
 * A large file is taken away from its end on, in steps: all at once it would
 * hold up writes of the log for tens of milliseconds.  last: what is left.
 */
static int
snap_drop(struct store_job *j)
{
	const struct disk_ops *ops = j->disk->ops;
	struct disk_file *f;
	uint64_t size = 0;
	int error = ops->open(j->disk->ctx, j->path, DISK_WRITE, &f);

	j->last = 0;
	if (error < 0)
		return error == -ENOENT ? 0 : error;
	error = ops->size(j->disk->ctx, f, &size);
	if (error == 0 && size > STORE_DROP_MAX) {
		j->last = size - STORE_DROP_MAX;
		error = ops->truncate(j->disk->ctx, f, j->last);
	}
	ops->close(j->disk->ctx, f);
	if (error == 0 && j->last == 0)
		error = ops->unlink(j->disk->ctx, j->path);
	return error == -ENOENT ? 0 : error;
}

static void
job_other(struct wal *wal, struct store_job *j, int error)
{
	uint64_t dropped;

	/* A write that was not begun takes nothing away from these. */
	if (store_is_nospace(error))
		error = 0;
	switch (j->kind) {
	case STORE_READ:
		job_read(wal, j);
		return;
	case STORE_COMPACT:
		dropped = 0;
		j->error = error < 0 ? error : wal_compact(wal, &dropped);
		j->last = dropped;
		j->from = wal_first_segment(wal);
		return;
	case STORE_ROLL:
		j->error = error < 0 ? error : wal_roll(wal);
		j->last = wal_last_segment(wal);
		return;
	case STORE_RETRY:
		j->error = error < 0 ? error : wal_retry(wal);
		return;
	case STORE_SNAP_READ:
		j->error = snap_read_piece(j);
		return;
	case STORE_SNAP_WRITE:
		j->error = snap_write_piece(j);
		return;
	case STORE_SNAP_FINISH:
		j->error = snap_finish(j);
		return;
	case STORE_SNAP_DROP:
		j->error = snap_drop(j);
		return;
	case STORE_WRITE:
		break;
	}
}

void
store_run(struct wal *wal, struct store_job **jobs, size_t n)
{
	size_t first_write = n, refused = n;
	int error = 0;

	for (size_t i = 0; i < n;) {
		size_t end;

		if (jobs[i]->kind != STORE_WRITE) {
			job_other(wal, jobs[i++], error);
			continue;
		}
		if (first_write == n)
			first_write = i;
		end = batch_end(jobs, i, n);
		if (error == 0)
			error = batch_write(wal, jobs, i, end);
		if (store_is_nospace(error) && refused == n)
			refused = i;
		for (; i < end; i++)
			jobs[i]->error = error;
	}
	if (first_write == n)
		return;
	for (size_t i = first_write; i < n; i++) {
		jobs[i]->is_short = wal_is_short(wal);
		jobs[i]->room = wal_room(wal);
	}
	if (!MUTANT(54) && first_write < refused) {
		int sync_error = error == 0 || store_is_nospace(error)
				     ? wal_sync(wal)
				     : error;

		/* A batch written before the failed one is not durable
		 * either: nothing of this run is acknowledged. */
		if (sync_error < 0)
			for (size_t i = first_write; i < n; i++)
				if (jobs[i]->kind == STORE_WRITE)
					jobs[i]->error = sync_error;
	}
}
