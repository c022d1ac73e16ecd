/*
 * cmd_recover.c - raftwal recover: by a plan, after a majority was lost.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sysexits.h>
#include <unistd.h>

#include "raftwal/recover.h"
#include "raftwal/tool.h"

static int
plan_load(const char *path, char **text, size_t *len)
{
	char *buf = malloc(RECOVER_PLAN_LEN_MAX);
	size_t at = 0;
	ssize_t n = 1;
	int error = 0, fd;

	if (buf == NULL)
		return -ENOMEM;
	fd = strcmp(path, "-") == 0 ? STDIN_FILENO
				    : open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		error = -errno;
	while (error == 0 && n > 0) {
		n = read(fd, buf + at, RECOVER_PLAN_LEN_MAX - at);
		if (n < 0)
			error = -errno;
		else
			at += (size_t)n;
		if (at == RECOVER_PLAN_LEN_MAX)
			error = -EBADMSG;
	}
	if (fd > STDIN_FILENO)
		(void)close(fd);
	if (error < 0) {
		free(buf);
		return error;
	}
	*text = buf;
	*len = at;
	return 0;
}

static int
report(const struct tool *t, const struct recover_plan *p,
    const struct recover_job *job, bool did)
{
	const char *role = job->role == RECOVER_DONOR ? "donor" : "member";
	char from[33], to[33];

	(void)tool_hex(p->cluster, from);
	(void)tool_hex(p->renewed, to);
	if (t->output == OUTPUT_JSON)
		return tool_print_json(
		    json_pack("{s:s,s:I,s:s,s:b,s:b,s:s,s:s,s:I,s:I,s:I,s:s}",
			"dir", t->dir, "id", (json_int_t)job->id, "role", role,
			"done", job->done, "written", did, "cluster", from,
			"new_cluster", to, "epoch", (json_int_t)p->epoch,
			"term", (json_int_t)p->term, "index",
			(json_int_t)job->index, "quarantine", job->quarantine));
	if (job->done)
		printf("%s: server %llu is of cluster %s, epoch %llu\n", t->dir,
		    (unsigned long long)job->id, to,
		    (unsigned long long)p->epoch);
	else if (job->role == RECOVER_DONOR)
		printf("%s: server %llu would keep its log, begin cluster %s "
		       "with entry %llu of term %llu, and be its one voter\n",
		    t->dir, (unsigned long long)job->id, to,
		    (unsigned long long)job->index,
		    (unsigned long long)p->term);
	else
		printf("%s: server %llu would give up what it has, to '%s', "
		       "and begin with nothing in cluster %s\n",
		    t->dir, (unsigned long long)job->id, job->quarantine, to);
	return ferror(stdout) ? -EPIPE : 0;
}

static int
recover(struct tool *t, const struct recover_plan *p)
{
	struct wal_options opt = {0};
	struct recover_job job;
	struct errtext et = {""};
	uint8_t random[32];
	char cluster[33];
	bool did = false;
	int error;

	if (t->write &&
	    (t->confirm == NULL ||
		strcmp(t->confirm, tool_hex(p->cluster, cluster)) != 0))
		return tool_fail(t, EX_USAGE,
		    "--write needs --confirm with the id of the cluster that "
		    "is given up, as the plan has it");
	error = recover_judge(&t->disk, p, &job, &et);
	if (error == 0 && t->write && !job.done) {
		if (getrandom(random, sizeof(random), 0) != sizeof(random))
			return tool_fail(t, EX_OSERR, "no randomness");
		memcpy(&opt.nonce, random, sizeof(opt.nonce));
		error = recover_run(&t->disk, p, &opt, random + 16, &job, &et);
		did = true;
	}
	if (error == 0)
		error = report(t, p, &job, did);
	return tool_finish(t, error, &et);
}

int
run_recover(struct tool *t)
{
	struct recover_plan plan;
	struct errtext et = {""};
	char *text = NULL;
	size_t len = 0;
	int error, status;

	if (t->plan == NULL)
		return tool_fail(t, EX_USAGE, "--plan is missing");
	error = plan_load(t->plan, &text, &len);
	if (error < 0)
		return tool_fail(t, tool_status(error), "'%s': %s", t->plan,
		    strerror(-error));
	error = recover_plan_read(text, len, &plan, &et);
	status = error < 0 ? tool_fail(t, tool_status(error), "'%s': %s",
				 t->plan, et.text)
			   : recover(t, &plan);
	free(text);
	return status;
}
