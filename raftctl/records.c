/*
 * records.c - what the key-value store answers, as JSON.
 */
#include <stdio.h>

#include "raftctl/cli.h"

const struct output_column cli_record_columns[] = {
    {"KEY", "key"},
    {"KEY_B64", "key_b64"},
    {"KEY_HEX", "key_hex"},
    {"CREATE_REV", "create_rev"},
    {"MOD_REV", "mod_rev"},
    {"VERSION", "version"},
    {"LEASE", "lease"},
    {"VALUE", "value"},
    {"VALUE_B64", "value_b64"},
    {"VALUE_HEX", "value_hex"},
    {0},
};

/* Identifiers of 64 bits are strings in JSON, and none is null. */
static void
mend_record(json_t *record)
{
	json_t *lease = json_object_get(record, "lease");
	char text[24];

	if (!json_is_integer(lease))
		return;
	(void)snprintf(
	    text, sizeof(text), "%lld", (long long)json_integer_value(lease));
	(void)json_object_set_new(record, "lease",
	    json_integer_value(lease) == 0 ? json_null() : json_string(text));
}

static json_t *
to_object(struct cli *cli, struct mp_span raw)
{
	json_t *j = output_json(raw, cli->encoding);

	return j == NULL ? json_object() : j;
}

json_t *
cli_record_json(struct cli *cli, struct mp_span raw)
{
	json_t *j = to_object(cli, raw);

	mend_record(j);
	return j;
}

json_t *
cli_outcome_json(struct cli *cli, struct mp_span raw)
{
	json_t *j = to_object(cli, raw);

	mend_record(json_object_get(j, "prev"));
	return j;
}

const struct output_column cli_txn_columns[] = {
    {"SUCCEEDED", "succeeded"},
    {"REV", "rev"},
    {"RESULTS", "results"},
    {0},
};

json_t *
cli_txn_json(struct cli *cli, struct mp_span raw)
{
	json_t *j = to_object(cli, raw), *result, *record;
	size_t i, k;

	json_array_foreach(json_object_get(j, "results"), i, result)
	{
		mend_record(result);
		json_array_foreach(json_object_get(result, "records"), k,
		    record) mend_record(record);
	}
	return j;
}

void
cli_print_one(
    struct cli *cli, json_t *record, const struct output_column *columns)
{
	struct output_table t;

	output_begin(&t, cli->format, columns);
	output_record(&t, record);
	output_end(&t);
}

void
cli_print_outcome(struct cli *cli, struct mp_span raw)
{
	cli_print_one(cli, cli_outcome_json(cli, raw), NULL);
}
