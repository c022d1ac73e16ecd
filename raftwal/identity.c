/*
 * identity.c - the file DIR/identity: two checksummed copies.
 *
 * A block, little-endian, IDENTITY_BLOCK_LEN bytes, zero after the fields:
 *
 *	offset size
 *	     0    8 "raftkid1"
 *	     8    4 crc	     crc32c of bytes 12..IDENTITY_BLOCK_LEN
 *	    12    4 format
 *	    16    8 sequence
 *	    24   16 cluster
 *	    40   16 uuid
 *	    56    8 id
 *	    64    8 boot
 *	    72    8 epoch	     in format 2, and so the rest
 *	    80    4 former ids
 *	    84    4 zero
 *	    88  256 former ids, 16 bytes each
 *
 * Copy 0 at offset 0, copy 1 at offset IDENTITY_BLOCK_LEN.  An update goes
 * to the copy that does not count, so that a crash in its middle leaves the
 * one that does.
 */
#include "raftwal/identity.h"

#include <errno.h>
#include <string.h>

#include "raftwal/bytes.h"
#include "raftwal/crc32c.h"

#define PATH "identity"
#define MAGIC "raftkid1"
#define COPIES 2

struct copy {
	bool valid;
	uint64_t sequence;
	uint32_t format;
	struct identity id;
};

static void
block_put(uint8_t *b, uint64_t sequence, const struct identity *id)
{
	memset(b, 0, IDENTITY_BLOCK_LEN);
	memcpy(b, MAGIC, 8);
	/* Who does not know of the epoch would lose it at its next boot. */
	put_le32(b + 12,
	    id->epoch > 0 ? IDENTITY_FORMAT_RECOVERED : (uint32_t)id->format);
	put_le64(b + 16, sequence);
	memcpy(b + 24, id->cluster, IDENTITY_ID_LEN);
	memcpy(b + 40, id->uuid, IDENTITY_ID_LEN);
	put_le64(b + 56, id->id);
	put_le64(b + 64, id->boot);
	put_le64(b + 72, id->epoch);
	put_le32(b + 80, id->former_count);
	memcpy(b + 88, id->former, sizeof(id->former));
	put_le32(b + 8, crc32c(0, b + 12, IDENTITY_BLOCK_LEN - 12));
}

static void
block_read(const uint8_t *b, struct copy *c)
{
	memset(c, 0, sizeof(*c));
	if (memcmp(b, MAGIC, 8) != 0 ||
	    (!MUTANT(51) &&
		get_le32(b + 8) != crc32c(0, b + 12, IDENTITY_BLOCK_LEN - 12)))
		return;
	c->format = get_le32(b + 12);
	c->sequence = get_le64(b + 16);
	memcpy(c->id.cluster, b + 24, IDENTITY_ID_LEN);
	memcpy(c->id.uuid, b + 40, IDENTITY_ID_LEN);
	c->id.id = get_le64(b + 56);
	c->id.boot = get_le64(b + 64);
	c->id.format = c->format;
	c->valid = true;
	if (c->format < IDENTITY_FORMAT_RECOVERED)
		return;
	c->id.epoch = get_le64(b + 72);
	c->id.former_count = get_le32(b + 80);
	if (c->id.former_count > IDENTITY_FORMERS_MAX)
		c->id.former_count = IDENTITY_FORMERS_MAX;
	memcpy(c->id.former, b + 88, sizeof(c->id.former));
}

bool
identity_was(const struct identity *id, const uint8_t *cluster)
{
	for (uint32_t i = 0; i < id->former_count; i++)
		if (memcmp(id->former[i], cluster, IDENTITY_ID_LEN) == 0)
			return true;
	return false;
}

void
identity_renew(struct identity *id, const uint8_t *cluster, uint64_t epoch)
{
	if (id->former_count == IDENTITY_FORMERS_MAX) {
		memmove(id->former[0], id->former[1],
		    sizeof(id->former) - IDENTITY_ID_LEN);
		id->former_count--;
	}
	memcpy(id->former[id->former_count++], id->cluster, IDENTITY_ID_LEN);
	memcpy(id->cluster, cluster, IDENTITY_ID_LEN);
	id->epoch = epoch;
}

/* The copy that counts, -1 if none does. */
static int
copies_judge(const struct copy copies[COPIES])
{
	if (copies[0].valid && copies[1].valid)
		return copies[1].sequence > copies[0].sequence ? 1 : 0;
	if (copies[0].valid)
		return 0;
	return copies[1].valid ? 1 : -1;
}

static int
copies_read(struct disk *disk, struct copy copies[COPIES], int *best)
{
	const struct disk_ops *ops = disk->ops;
	uint8_t block[IDENTITY_BLOCK_LEN];
	struct disk_file *f;
	int64_t n;
	int error;

	memset(copies, 0, COPIES * sizeof(*copies));
	error = ops->open(disk->ctx, PATH, DISK_READ, &f);
	if (error < 0)
		return error;
	for (int i = 0; i < COPIES; i++) {
		n = ops->read(disk->ctx, f, block, sizeof(block),
		    (uint64_t)i * IDENTITY_BLOCK_LEN);
		/* An unreadable copy is a bad one; the other decides. */
		if (n == (int64_t)sizeof(block))
			block_read(block, &copies[i]);
	}
	ops->close(disk->ctx, f);
	*best = copies_judge(copies);
	return 0;
}

int
identity_read(struct disk *disk, struct identity *id, struct errtext *et)
{
	struct copy copies[COPIES];
	int best, error;

	error = copies_read(disk, copies, &best);
	if (error == -ENOENT)
		return errtext(et, error, "'%s' does not exist", PATH);
	if (error < 0)
		return errtext(
		    et, error, "cannot read '%s': %s", PATH, strerror(-error));
	if (best < 0)
		return errtext(et, -EBADMSG,
		    "'%s': both copies are damaged: replace this server "
		    "under a new id",
		    PATH);
	if (copies[best].format < IDENTITY_FORMAT ||
	    copies[best].format > IDENTITY_FORMAT_MAX)
		return errtext(et, -EBADMSG,
		    "'%s': format %u, this program knows %u to %u", PATH,
		    copies[best].format, IDENTITY_FORMAT, IDENTITY_FORMAT_MAX);
	*id = copies[best].id;
	id->boots_missed = !MUTANT(180) && !copies[1 - best].valid;
	return 0;
}

/* The file appears whole, by rename: a crash before it leaves a directory
 * that counts as new. */
static int
identity_create(struct disk *disk, const struct identity *id)
{
	uint8_t blocks[COPIES * IDENTITY_BLOCK_LEN];

	block_put(blocks, 1, id);
	block_put(blocks + IDENTITY_BLOCK_LEN, 2, id);
	return disk_replace(disk, PATH, blocks, sizeof(blocks));
}

static int
identity_update(
    struct disk *disk, int slot, uint64_t sequence, const struct identity *id)
{
	const struct disk_ops *ops = disk->ops;
	uint8_t block[IDENTITY_BLOCK_LEN];
	struct disk_file *f;
	int error;

	if (MUTANT(52))
		slot = 1 - slot;
	block_put(block, sequence, id);
	error = ops->open(disk->ctx, PATH, DISK_WRITE, &f);
	if (error < 0)
		return error;
	error = ops->write(disk->ctx, f, block, sizeof(block),
	    (uint64_t)slot * IDENTITY_BLOCK_LEN);
	if (error == 0 && !MUTANT(53))
		error = ops->sync(disk->ctx, f);
	ops->close(disk->ctx, f);
	return error;
}

int
identity_write(struct disk *disk, const struct identity *id, struct errtext *et)
{
	struct copy copies[COPIES];
	int best = -1, error;

	error = copies_read(disk, copies, &best);
	if (error == -ENOENT)
		error = identity_create(disk, id);
	else if (error == 0 &&
		 (best < 0 || copies[best].sequence == UINT64_MAX))
		/* Never make a whole identity out of a damaged one. */
		return errtext(
		    et, -EBADMSG, "'%s': both copies are damaged", PATH);
	else if (error == 0)
		error = identity_update(
		    disk, 1 - best, copies[best].sequence + 1, id);
	/* Should one copy be lost, the other must not be of another cluster. */
	if (error == 0 && best >= 0 && !MUTANT(184) &&
	    memcmp(copies[best].id.cluster, id->cluster, IDENTITY_ID_LEN) != 0)
		error =
		    identity_update(disk, best, copies[best].sequence + 2, id);
	if (error < 0)
		return errtext(
		    et, error, "cannot write '%s': %s", PATH, strerror(-error));
	return 0;
}
