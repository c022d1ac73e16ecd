/*
 * fuzz_recover.c - arbitrary bytes as the plan of a recovery, and as a
 * configuration.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "raftwal/facts.h"
#include "raftwal/recover.h"

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1);
	struct recover_plan p;
	struct errtext et = {""};

	if (text == NULL)
		abort();
	memcpy(text, data, size);
	text[size] = '\0';
	if (recover_plan_read(text, size, &p, &et) == 0) {
		assert(p.members > 0 && p.members <= RECOVER_MEMBERS_MAX);
		assert(p.removed_count <= RECOVER_REMOVED_MAX);
		assert(p.term > p.donor_last_term && p.epoch > 0);
		assert(memcmp(p.cluster, p.renewed, sizeof(p.cluster)) != 0);
	} else
		assert(et.text[0] != '\0');
	json_decref(facts_config(mp_span(data, size)));
	free(text);
	return 0;
}
