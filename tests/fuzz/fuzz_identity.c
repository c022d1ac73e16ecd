/*
 * fuzz_identity.c - arbitrary bytes as the identity file, the checksums as
 * they are and mended.
 *
 * What is read can be written, and is read again.
 */
#include "raftwal/bytes.h"
#include "raftwal/crc32c.h"
#include "raftwal/identity.h"
#include "tests/crash/memdisk.h"

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct identity id, again;
	struct errtext et = {""};
	struct disk_file *f;
	struct memdisk *m;
	struct disk disk;

	if (size < 1 || size > 3 * IDENTITY_BLOCK_LEN)
		return 0;
	m = mem_new();
	disk = mem_disk(m);
	if (mem_open(m, "identity", DISK_WRITE | DISK_CREATE, &f) != 0 ||
	    mem_write(m, f, data + 1, size - 1, 0) != 0)
		abort();
	mem_close(m, f);
	for (unsigned i = 0; i < 2; i++) {
		uint8_t *b;

		if ((data[0] >> i & 1) == 0 ||
		    size - 1 < (i + 1) * IDENTITY_BLOCK_LEN)
			continue;
		b = m->file[0].data + i * IDENTITY_BLOCK_LEN;
		put_le32(b + 8, crc32c(0, b + 12, IDENTITY_BLOCK_LEN - 12));
	}
	if (identity_read(&disk, &id, &et) == 0) {
		id.boot++;
		if (identity_write(&disk, &id, &et) == 0) {
			assert(identity_read(&disk, &again, &et) == 0);
			assert(again.boot == id.boot);
		}
	}
	mem_free(m);
	return 0;
}
