/*
 * snap.h - snapshots of one group: the whole state of its machine as of one
 * index, with what the log cannot be asked for any more.
 *
 * A stream: header, compressed blocks with a checksum each, footer with a
 * hash over all before it.  Format: raftsnap(5).  It is written and read in
 * order, so that it goes through pipes; nothing in it is to be believed
 * before the footer was seen, which is why snap_load() reads the whole file
 * once to verify it and once more to use it.
 *
 * Errors: 0 or -errno.  -EBADMSG damaged or cut short, -EPROTO a format newer
 * than this reader, and what the disk or the callbacks return.
 * Ownership: the configuration of struct snap_meta is borrowed by a writer,
 * and belongs to the reader that read it.
 * Threads: one object, one thread.
 */
#ifndef RAFTSNAP_SNAP_H
#define RAFTSNAP_SNAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "raftctl/errtext.h"
#include "raftwal/disk.h"

#define SNAP_FORMAT 1
#define SNAP_ID_LEN 16
#define SNAP_BLOCK_LEN (256u * 1024) /* of a block before compression */
#define SNAP_CONFIG_LEN_MAX (64u * 1024)
#define SNAP_PATH_LEN 96
#define SNAP_FILES_MAX 64 /* of one group, listed at once */

struct snap_meta {
	uint8_t cluster[SNAP_ID_LEN];
	uint32_t group;
	uint64_t index, term; /* the last entry that is in it */
	uint64_t config_index;
	const uint8_t *config; /* in force at index: raftrpc(5) */
	uint32_t config_len;
	uint64_t rev, stamp; /* of the state machine, and replicated time */
	uint64_t created_ms; /* wall clock of whoever wrote it */
	uint8_t digest[16];  /* of the state */
};

/* What the footer says, known when the whole was written or verified. */
struct snap_sum {
	uint8_t id[SNAP_ID_LEN]; /* hash over the whole: names the file */
	uint64_t blocks;
	uint64_t plain_len; /* of the state, before compression */
	uint64_t file_len;
};

typedef int (*snap_put)(void *ctx, const void *, size_t);
/* Bytes read, 0 at the end, -errno. */
typedef int64_t (*snap_get)(void *ctx, void *, size_t);

/* ---- writing ----------------------------------------------------------- */

struct snap_writer;

/* Writes the header.  level: zstd's, 0 its default. */
int snap_writer_new(const struct snap_meta *, int level, snap_put, void *ctx,
    struct snap_writer **);
/* State, in pieces of any length; usable as the callback of fsm_ops.save. */
int snap_write(void *writer, const void *, size_t);
/* The rest, and the footer. */
int snap_writer_finish(struct snap_writer *, struct snap_sum *);
void snap_writer_free(struct snap_writer *);

/* ---- reading ----------------------------------------------------------- */

struct snap_reader;

/* Reads the header. */
int snap_reader_new(
    snap_get, void *ctx, struct snap_reader **, struct errtext *);
const struct snap_meta *snap_reader_meta(const struct snap_reader *);
/* Exactly len bytes of state, or -EBADMSG; the callback of fsm_ops.load. */
int snap_read(void *reader, void *, size_t);
/* Up to len bytes, 0 at the end of the state. */
int64_t snap_read_some(struct snap_reader *, void *, size_t);
/* Reads what is left, and judges the footer and that nothing follows. */
int snap_reader_finish(
    struct snap_reader *, struct snap_sum *, struct errtext *);
/* Bytes of the stream taken so far. */
uint64_t snap_reader_taken(const struct snap_reader *);
void snap_reader_free(struct snap_reader *);

/* ---- files ------------------------------------------------------------- */

struct snap_file {
	uint32_t group;
	uint64_t term, index;
	char path[SNAP_PATH_LEN]; /* "snap/G-TERM-INDEX.snap" */
};

void snap_path(
    uint32_t group, uint64_t term, uint64_t index, char path[SNAP_PATH_LEN]);
/* Those of a group, newest first; other names are passed over.  The count,
 * at most max, or -errno; no directory is no snapshot. */
int snap_list(struct disk *, uint32_t group, struct snap_file *, size_t max);

/* Writes the state by calling snap_write(writer, ...). */
typedef int (*snap_fill)(void *ctx, struct snap_writer *);
/*
 * A new file: temporary name, sync, rename, sync of the directory.  On
 * failure the temporary file is removed and nothing else has changed.
 */
int snap_save(struct disk *, const struct snap_meta *, int level, snap_fill,
    void *ctx, struct snap_sum *);
/* A file that was received under another name, verified, takes its own. */
int snap_adopt(struct disk *, const char *from, const struct snap_meta *);
/* What interrupted work left: temporary files.  Those under keep stay. */
int snap_tidy(struct disk *, const char *keep);
/* Those that were being written or given up, at start. */
int snap_tidy_tmp(struct disk *);

/* Uses the state: calls snap_read(reader, ...). */
typedef int (*snap_use)(void *ctx, struct snap_reader *);
/*
 * Verifies the whole file, then (use not NULL) reads it again for use.
 * *meta, without its configuration, and *sum may be NULL.
 */
int snap_load(struct disk *, const char *path, snap_use, void *ctx,
    struct snap_meta *, struct snap_sum *, struct errtext *);
/* One pass, for a use that is undone when this fails: verified in the end. */
int snap_load_once(struct disk *, const char *path, snap_use, void *ctx,
    struct snap_meta *, struct errtext *);
/* Header and footer only: enough to send it, not to use it. */
int snap_peek(struct disk *, const char *path, struct snap_meta *,
    struct snap_sum *, struct errtext *);

/* A file of a disk as a stream. */
struct snap_stream {
	struct disk *disk;
	struct disk_file *file;
	uint64_t offset;
};
int64_t snap_stream_get(void *stream, void *, size_t);
int snap_stream_put(void *stream, const void *, size_t);

#endif
