/*
 * model.h - the key-value store as its page describes it, written a second
 * time: simple, slow, and the judge of the real one.
 *
 * It is fed the committed entries in order and keeps, for every key, each
 * version it ever had and from which index on, which is what reads are
 * judged by.
 */
#ifndef TESTS_SIM_MODEL_H
#define TESTS_SIM_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "raftctl/mp.h"

struct model;

struct model *model_new(void);
void model_free(struct model *);

/* What a command is, read from an entry's payload. */
struct model_command {
	uint64_t op; /* the operation that it names, 0 none */
	bool known;  /* a put or delete as our clients write them */
};
void model_parse(const uint8_t *payload, size_t len, struct model_command *);

struct model_result {
	bool succeeded;
	uint64_t rev;
};
/* The entry at index, which must be the next one. */
void model_apply(struct model *, uint64_t index, const uint8_t *payload,
    size_t len, struct model_result *);

/*
 * The least index >= floor at which key had this value (found false: was
 * absent) according to all that was applied; 0 if there is none.
 */
uint64_t model_when(const struct model *, unsigned key, bool found,
    const uint8_t *value, size_t len, uint64_t floor);
/* The operation that wrote the present value alone; 0 if absent. */
uint64_t model_key_op(const struct model *, unsigned key);
uint64_t model_applied(const struct model *);

#endif
