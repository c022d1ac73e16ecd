/*
 * conditions.h - under which conditions a load ran, as JSON: figures without
 * them cannot be compared.
 */
#ifndef LOADGEN_CONDITIONS_H
#define LOADGEN_CONDITIONS_H

#include <jansson.h>

#include "loadgen/run.h"

/* NULL without memory. */
json_t *conditions_json(const struct run_options *);
/* What each server says of itself: an array, {"endpoint", "ok", ...}. */
json_t *conditions_servers(const char *endpoints);
/* The result of a run, with its conditions.  NULL without memory. */
json_t *conditions_result(const struct run *, bool interrupted);

#endif
