/*
 * cmd_compact.c - raftwal compact: of a server that has stopped, behind a
 * snapshot that raftsnap has verified; or asked of one that runs.
 */
#include <errno.h>
#include <inttypes.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

#include "raftwal/compact.h"
#include "raftwal/identity.h"
#include "raftwal/remote.h"
#include "raftwal/tool.h"

#define GROUP_DEFAULT 1
#define SNAPS_MAX 64

extern char **environ;

struct snap_name {
	uint64_t term, index;
	char name[96];
};

struct snaps {
	uint32_t group;
	struct snap_name snap[SNAPS_MAX];
	unsigned count;
};

/* GROUP-TERM-INDEX.snap, raftsnap(5). */
static int
snap_add(void *arg, const char *name)
{
	struct snaps *s = arg;
	struct snap_name n;
	uint32_t group;
	int end = 0;

	if (s->count == SNAPS_MAX || strlen(name) >= sizeof(n.name) ||
	    sscanf(name, "%" SCNu32 "-%" SCNu64 "-%" SCNu64 ".snap%n", &group,
		&n.term, &n.index, &end) != 3 ||
	    name[end] != '\0' || end == 0 || group != s->group)
		return 0;
	memcpy(n.name, name, strlen(name) + 1);
	s->snap[s->count++] = n;
	return 0;
}

static int
newest_first(const void *a, const void *b)
{
	const struct snap_name *x = a, *y = b;

	return x->index < y->index ? 1 : x->index > y->index ? -1 : 0;
}

/* The raftsnap beside this program, or on the path. */
static const char *
raftsnap_path(char *buf, size_t size)
{
	ssize_t n = readlink("/proc/self/exe", buf, size - 1);
	char *slash;

	if (n <= 0)
		return "raftsnap";
	buf[n] = '\0';
	slash = strrchr(buf, '/');
	if (slash == NULL || (size_t)(slash - buf) + sizeof("/raftsnap") > size)
		return "raftsnap";
	memcpy(slash, "/raftsnap", sizeof("/raftsnap"));
	return access(buf, X_OK) == 0 ? buf : "raftsnap";
}

/* What cuts the log must be there, whole: another program's verdict. */
static int
verify(const struct tool *t, const struct snap_name *s)
{
	char path[4096], self[4096];
	char *argv[] = {NULL, NULL, path, NULL};
	char program[] = "raftsnap", command[] = "verify";
	posix_spawn_file_actions_t files;
	int status = -1, error;
	pid_t pid;

	if ((size_t)snprintf(path, sizeof(path), "%s/snap/%s", t->dir,
		s->name) >= sizeof(path))
		return -ENAMETOOLONG;
	argv[0] = program;
	argv[1] = command;
	error = posix_spawn_file_actions_init(&files);
	if (error == 0)
		error = posix_spawn_file_actions_addopen(
		    &files, STDOUT_FILENO, "/dev/null", 1 /* O_WRONLY */, 0);
	if (error == 0)
		error = posix_spawnp(&pid, raftsnap_path(self, sizeof(self)),
		    &files, NULL, argv, environ);
	(void)posix_spawn_file_actions_destroy(&files);
	if (error != 0)
		return -error;
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return -errno;
	return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -EBADMSG;
}

static int
report(const struct tool *t, uint32_t group, const struct snap_name *s,
    const struct compact_result *r)
{
	if (t->output == OUTPUT_JSON)
		return tool_print_json(json_pack(
		    "{s:s,s:I,s:s,s:I,s:I,s:I,s:I,s:b}", "dir", t->dir, "group",
		    (json_int_t)group, "snapshot", s->name, "index",
		    (json_int_t)s->index, "term", (json_int_t)s->term, "first",
		    (json_int_t)r->first, "segments", (json_int_t)r->segments,
		    "written", t->write));
	printf("%s: group %" PRIu32 " behind '%s': the log %s with %" PRIu64
	       ", %" PRIu64 " segments %s\n",
	    t->dir, group, s->name, t->write ? "begins" : "would begin",
	    r->first, r->segments, t->write ? "dropped" : "could go");
	return ferror(stdout) ? -EPIPE : 0;
}

static int
compact_dir(struct tool *t)
{
	struct snaps s = {.group = t->has_group ? t->group : GROUP_DEFAULT};
	struct wal_options opt = {0};
	struct compact_result result;
	struct identity id;
	struct errtext et = {""};
	unsigned i = 0;
	int error;

	error = identity_read(&t->disk, &id, &et);
	if (error < 0)
		return tool_finish(t, error, &et);
	opt.server_id = id.id;
	if (getrandom(&opt.nonce, sizeof(opt.nonce), 0) != sizeof(opt.nonce))
		return tool_fail(t, EX_OSERR, "no randomness");
	error = t->disk.ops->list(t->disk.ctx, "snap", snap_add, &s);
	if (error < 0 && error != -ENOENT)
		return tool_finish(t, error, &et);
	qsort(s.snap, s.count, sizeof(s.snap[0]), newest_first);
	for (error = -ENOENT; i < s.count; i++) {
		error = verify(t, &s.snap[i]);
		if (error == 0 || error != -EBADMSG)
			break;
	}
	if (s.count == 0 || error == -EBADMSG)
		return tool_fail(t, EX_NOINPUT,
		    "'%s': there is no good snapshot to cut behind", t->dir);
	if (error < 0)
		return tool_fail(t, tool_status(error),
		    "cannot run raftsnap verify: %s", strerror(-error));
	error = compact_run(&t->disk, &opt, s.group, s.snap[i].index,
	    s.snap[i].term, t->write, &result, &et);
	if (error == 0)
		error = report(t, s.group, &s.snap[i], &result);
	return tool_finish(t, error, &et);
}

static int
compact_server(struct tool *t)
{
	struct remote *server = NULL;
	struct mp_span result;
	struct mp_cur cur;
	struct errtext et = {""};
	int status = EX_UNAVAILABLE, error;

	if (remote_open(t->server, &server, &et) < 0)
		return tool_fail(t, EX_USAGE, "'%s': %s", t->server, et.text);
	error = remote_call(server, "compact", &result, &status, &et);
	if (error < 0) {
		status = tool_fail(t, status, "%s", et.text);
	} else if (mp_scan(result.p, result.len) < 0) {
		status = tool_fail(t, EX_PROTOCOL, "not an answer to compact");
	} else {
		cur = mp_cur_span(result);
		status = 0;
		(void)tool_print_json(show_value(&cur, t->encoding));
	}
	remote_close(server);
	return status;
}

int
run_compact(struct tool *t)
{
	return t->server != NULL ? compact_server(t) : compact_dir(t);
}
