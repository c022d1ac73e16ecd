/*
 * now.c - what the time is, for the host: boot clock and wall clock.
 */
#include "raftd/now.h"

#include <time.h>

struct host_time
now(void)
{
	struct timespec boot, wall;

	(void)clock_gettime(CLOCK_BOOTTIME, &boot);
	(void)clock_gettime(CLOCK_REALTIME, &wall);
	return (struct host_time){
	    .mono_ns =
		(uint64_t)boot.tv_sec * 1000000000 + (uint64_t)boot.tv_nsec,
	    .wall_ms =
		(uint64_t)wall.tv_sec * 1000 + (uint64_t)wall.tv_nsec / 1000000,
	};
}
