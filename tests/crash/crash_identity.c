/*
 * crash_identity.c - the identity file on a disk that crashes: a written
 * identity is there, old or new, and an acknowledged one is the new one.
 */
#include <inttypes.h>

#include "raftwal/identity.h"
#include "tests/crash/memdisk.h"

#define UPDATES 12
#define SAMPLES 40

static _Noreturn void
fail(size_t at, const char *why)
{
	fprintf(stderr, "crash_identity: op %zu: %s\n", at, why);
	exit(1);
}

int
main(void)
{
	struct memdisk *m = mem_new();
	struct disk disk = mem_disk(m);
	struct identity id = {.id = 3, .format = IDENTITY_FORMAT};
	struct errtext et = {""};
	struct mem_world world;
	size_t acked_at[UPDATES + 1] = {0};
	uint64_t states = 0, acked = 0;

	m->recording = true;
	for (id.boot = 1; id.boot <= UPDATES; id.boot++) {
		if (identity_write(&disk, &id, &et) != 0)
			fail(m->ops, et.text);
		acked_at[id.boot] = m->ops;
	}
	mem_world_init(&world, m);
	for (;;) {
		while (acked < UPDATES && acked_at[acked + 1] <= world.at)
			acked++;
		for (unsigned v = 0; v <= SAMPLES; v++) {
			struct memdisk *crash =
			    mem_world_crash(&world, v, v * 256 / SAMPLES);
			struct disk after = mem_disk(crash);
			int error = identity_read(&after, &id, &et);

			states++;
			if (error == -ENOENT && acked == 0) {
				mem_free(crash);
				continue;
			}
			if (error != 0)
				fail(world.at, et.text);
			if (id.boot < acked || id.boot > acked + 1)
				fail(world.at, "not the last identity");
			/* And it can be written on from here. */
			id.boot += 100;
			if (identity_write(&after, &id, &et) != 0 ||
			    identity_read(&after, &id, &et) != 0 ||
			    id.boot < 100)
				fail(world.at, "cannot go on");
			mem_free(crash);
		}
		if (world.at == m->ops)
			break;
		mem_world_step(&world);
	}
	printf("crash_identity: %" PRIu64 " crash states, all recovered\n",
	    states);
	mem_world_release(&world);
	mem_free(m);
	return 0;
}
