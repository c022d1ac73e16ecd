/*
 * cmd_repair.c - raftwal repair.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sysexits.h>

#include "raftwal/identity.h"
#include "raftwal/remote.h"
#include "raftwal/repair.h"
#include "raftwal/tool.h"

#define SOMETHING_TO_DO 1

static int
print_step(const struct repair_step *s, void *ctx)
{
	const struct tool *t = ctx;

	if (t->output == OUTPUT_JSON)
		return tool_print_json(
		    json_pack("{s:s,s:I,s:I,s:I,s:I,s:I,s:s,s:s}", "file",
			s->file, "offset", (json_int_t)s->offset, "len",
			(json_int_t)s->len, "group", (json_int_t)s->group,
			"from", (json_int_t)s->from, "to", (json_int_t)s->to,
			"action", s->action, "detail", s->detail));
	if (t->output == OUTPUT_FIELDS)
		printf("%s\t%" PRIu64 "\t%" PRIu64 "\t%" PRIu32 "\t%" PRIu64
		       "\t%" PRIu64 "\t%s\t%s\n",
		    s->file, s->offset, s->len, s->group, s->from, s->to,
		    s->action, s->detail);
	else if (s->file[0] != '\0')
		printf("%s offset %" PRIu64 " len %" PRIu64 ": %s: %s\n",
		    s->file, s->offset, s->len, s->action, s->detail);
	else
		printf("group %" PRIu32 " entries %" PRIu64 " to %" PRIu64
		       ": %s: %s\n",
		    s->group, s->from, s->to, s->action, s->detail);
	return ferror(stdout) ? -EPIPE : 0;
}

static int
print_end(const struct tool *t, const struct repair_result *r)
{
	if (t->output == OUTPUT_JSON)
		return tool_print_json(json_pack("{s:b,s:b,s:I,s:I}", "ok",
		    r->whole, "written", t->write, "steps",
		    (json_int_t)r->steps, "left", (json_int_t)r->left));
	printf(t->output == OUTPUT_FIELDS ? "%s\t%" PRIu64 "\t%" PRIu64 "\n"
					  : "%s: %" PRIu64 " steps, %" PRIu64
					    " places left\n",
	    r->whole ? "ok" : "damaged", r->steps, r->left);
	return ferror(stdout) ? -EPIPE : 0;
}

static int
repair(struct tool *t, struct remote *peer)
{
	struct repair_options opt = {.write = t->write,
	    .fetch = peer != NULL ? remote_fetch : NULL,
	    .fetch_ctx = peer,
	    .step = print_step,
	    .step_ctx = t};
	struct repair_result result;
	struct identity id;
	struct errtext et = {""};
	int error;

	/* A directory whose identity is bad may have a log that is not. */
	if (identity_read(&t->disk, &id, NULL) == 0)
		opt.wal.server_id = id.id;
	if (getrandom(&opt.wal.nonce, sizeof(opt.wal.nonce), 0) !=
	    sizeof(opt.wal.nonce))
		return tool_fail(t, EX_OSERR, "no randomness");
	error = repair_run(&t->disk, &opt, &result, &et);
	if (error == 0)
		error = print_end(t, &result);
	if (error != 0)
		return tool_finish(t, error, &et);
	if (t->write)
		return result.whole
			   ? 0
			   : tool_fail(t, EX_DATAERR,
				 "'%s': entries are still missing", t->dir);
	return result.steps + result.left > 0 ? SOMETHING_TO_DO : 0;
}

/* Entries of another cluster have indexes and terms, too. */
static int
judge_peer(struct tool *t, struct remote *peer)
{
	char theirs[33], ours[33];
	struct identity id;
	struct errtext et = {""};
	int status = EX_UNAVAILABLE, error;

	error = identity_read(&t->disk, &id, &et);
	if (error < 0)
		return tool_finish(t, error, &et);
	if (remote_cluster(peer, theirs, &status, &et) < 0)
		return tool_fail(t, status, "'%s': %s", t->peer, et.text);
	if (strcmp(theirs, tool_hex(id.cluster, ours)) != 0)
		return tool_fail(t, EX_DATAERR,
		    "'%s' is of cluster %s, the directory of %s", t->peer,
		    theirs, ours);
	return 0;
}

int
run_repair(struct tool *t)
{
	struct remote *peer = NULL;
	struct errtext et = {""};
	int status = 0;

	if (t->peer != NULL && remote_open(t->peer, &peer, &et) < 0)
		return tool_fail(t, EX_USAGE, "'%s': %s", t->peer, et.text);
	if (peer != NULL)
		status = judge_peer(t, peer);
	if (status == 0)
		status = repair(t, peer);
	remote_close(peer);
	return status;
}
