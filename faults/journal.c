/*
 * journal.c - which faults are active, on disk before they are made.
 *
 * DIR/faults/N.fault is one active fault, a JSON object.  It appears whole
 * (a temporary file, fsync, rename, fsync of the directory) before anything
 * is done, and goes when everything is undone.  DIR/faults/events has a line
 * for each beginning and end, DIR/faults/next the id that comes next.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "faults/fault.h"
#include "raftctl/units.h"

void
journal_path(const struct lab *lab, const char *name, char path[PATH_MAX])
{
	if (snprintf(path, PATH_MAX, "%s/faults/%s", lab->dir, name) >=
	    PATH_MAX)
		path[0] = '\0';
}

static int
sync_dir(const struct scene *s)
{
	char path[PATH_MAX];
	int fd, ret;

	journal_path(&s->lab, "", path);
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	ret = fsync(fd) < 0 ? -errno : 0;
	(void)close(fd);
	return ret;
}

static void
fault_path(const struct scene *s, const struct fault *f, char path[PATH_MAX])
{
	char name[48];

	(void)snprintf(
	    name, sizeof(name), "%llu.fault", (unsigned long long)f->id);
	journal_path(&s->lab, name, path);
}

static json_t *
pack(const struct scene *s, const struct fault *f)
{
	char text[LINKS_TEXT_MAX];

	links_text(&f->links, text);
	return json_pack("{s:I s:s s:s s:i s:I s:I s:I s:I s:I s:I s:b s:s"
			 " s:i s:I s:i s:I s:i s:I s:s s:s s:s s:s s:s}",
	    "id", (json_int_t)f->id, "kind", f->kind->name, "links", text,
	    "server", (int)f->server, "since", (json_int_t)f->since_ms, "until",
	    (json_int_t)f->until_ms, "delay_us", (json_int_t)f->delay_us,
	    "jitter_us", (json_int_t)f->jitter_us, "ppm", (json_int_t)f->ppm,
	    "rate", (json_int_t)f->rate_bits, "by_port", (int)f->by_port,
	    "boot", s->lab.boot, "target", (int)f->target, "target_start",
	    (json_int_t)f->target_start, "helper", (int)f->helper,
	    "helper_start", (json_int_t)f->helper_start, "owner", (int)f->owner,
	    "owner_start", (json_int_t)f->owner_start, "mechanism",
	    f->mechanism, "detail", f->detail, "word", f->word, "undo", f->undo,
	    "before", f->before);
}

static int
copy(char *to, size_t size, const char *from)
{
	return (size_t)snprintf(to, size, "%s", from) < size ? 0 : -EBADMSG;
}

static int
unpack(const struct scene *s, struct fault *f, json_t *j)
{
	const char *kind, *links, *boot, *mechanism, *detail, *word, *undo;
	const char *before;
	json_int_t id, since, until, delay, jitter, ppm, rate, start[3];
	int server, by_port, pid[3];

	memset(f, 0, sizeof(*f));
	if (json_unpack(j,
		"{s:I s:s s:s s:i s:I s:I s:I s:I s:I s:I s:b s:s"
		" s:i s:I s:i s:I s:i s:I s:s s:s s:s s:s s:s}",
		"id", &id, "kind", &kind, "links", &links, "server", &server,
		"since", &since, "until", &until, "delay_us", &delay,
		"jitter_us", &jitter, "ppm", &ppm, "rate", &rate, "by_port",
		&by_port, "boot", &boot, "target", &pid[0], "target_start",
		&start[0], "helper", &pid[1], "helper_start", &start[1],
		"owner", &pid[2], "owner_start", &start[2], "mechanism",
		&mechanism, "detail", &detail, "word", &word, "undo", &undo,
		"before", &before) < 0)
		return -EBADMSG;
	f->kind = kind_by_name(kind);
	if (f->kind == NULL || id <= 0 || server < 0 ||
	    (unsigned)server > s->lab.count ||
	    links_from_text(&f->links, s->lab.count, links) < 0 ||
	    copy(f->mechanism, sizeof(f->mechanism), mechanism) < 0 ||
	    copy(f->detail, sizeof(f->detail), detail) < 0 ||
	    copy(f->word, sizeof(f->word), word) < 0 ||
	    copy(f->undo, sizeof(f->undo), undo) < 0 ||
	    copy(f->before, sizeof(f->before), before) < 0)
		return -EBADMSG;
	f->id = (uint64_t)id;
	f->server = (unsigned)server;
	f->since_ms = (uint64_t)since;
	f->until_ms = (uint64_t)until;
	f->delay_us = (uint64_t)delay;
	f->jitter_us = (uint64_t)jitter;
	f->ppm = (uint64_t)ppm;
	f->rate_bits = (uint64_t)rate;
	f->by_port = by_port != 0;
	/* another boot's processes are gone, and their pids given away */
	f->here = strcmp(boot, s->lab.boot) == 0;
	if (!f->here)
		return 0;
	f->target = pid[0];
	f->target_start = (uint64_t)start[0];
	f->helper = pid[1];
	f->helper_start = (uint64_t)start[1];
	f->owner = pid[2];
	f->owner_start = (uint64_t)start[2];
	return 0;
}

static int
load_one(struct scene *s, const char *name, struct errtext *et)
{
	char path[PATH_MAX];
	json_error_t why;
	json_t *j;
	int ret;

	if (s->count == FAULTS_MAX)
		return errtext(et, -EBADMSG, "more than %d faults", FAULTS_MAX);
	journal_path(&s->lab, name, path);
	j = json_load_file(path, 0, &why);
	ret = j == NULL ? -EBADMSG : unpack(s, &s->fault[s->count], j);
	json_decref(j);
	if (ret < 0)
		return errtext(et, ret, "damaged: '%s'", path);
	if (s->fault[s->count].id >= s->next_id)
		s->next_id = s->fault[s->count].id + 1;
	s->count++;
	return 0;
}

static void
load_next(struct scene *s)
{
	char path[PATH_MAX], line[32] = "";
	uint64_t next;
	FILE *f;

	s->next_id = 1;
	journal_path(&s->lab, "next", path);
	f = fopen(path, "re");
	if (f == NULL)
		return;
	if (fgets(line, sizeof(line), f) != NULL) {
		line[strcspn(line, "\n")] = '\0';
		if (units_u64(line, &next) == 0 && next > 0)
			s->next_id = next;
	}
	(void)fclose(f);
}

static int
by_id(const void *a, const void *b)
{
	const struct fault *x = a, *y = b;

	return x->id < y->id ? -1 : x->id > y->id;
}

int
journal_open(struct scene *s, struct errtext *et)
{
	char path[PATH_MAX];
	struct dirent *entry;
	int ret = 0;
	DIR *dir;

	s->count = 0;
	load_next(s);
	journal_path(&s->lab, "", path);
	dir = opendir(path);
	if (dir == NULL)
		return errtext(et, -errno, "cannot read '%s'", path);
	while (ret == 0 && (entry = readdir(dir)) != NULL) {
		size_t len = strlen(entry->d_name);

		if (len > 6 && strcmp(entry->d_name + len - 6, ".fault") == 0)
			ret = load_one(s, entry->d_name, et);
	}
	(void)closedir(dir);
	qsort(s->fault, s->count, sizeof(s->fault[0]), by_id);
	return ret;
}

static int
write_file(const char *path, const char *text)
{
	size_t len = strlen(text);
	int fd, ret = 0;

	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	while (ret == 0 && len > 0) {
		ssize_t n = write(fd, text, len);

		if (n < 0 && errno != EINTR)
			ret = -errno;
		if (n > 0) {
			text += n;
			len -= (size_t)n;
		}
	}
	if (ret == 0 && fsync(fd) < 0)
		ret = -errno;
	(void)close(fd);
	return ret;
}

int
journal_put(const struct scene *s, const struct fault *f, struct errtext *et)
{
	char path[PATH_MAX], temporary[PATH_MAX], next[32], next_path[PATH_MAX];
	json_t *j = pack(s, f);
	char *text = j == NULL ? NULL : json_dumps(j, JSON_COMPACT);
	int ret = -ENOMEM;

	json_decref(j);
	if (text == NULL)
		goto out;
	fault_path(s, f, path);
	journal_path(&s->lab, "new", temporary);
	journal_path(&s->lab, "next", next_path);
	(void)snprintf(
	    next, sizeof(next), "%llu\n", (unsigned long long)s->next_id);
	if ((ret = write_file(next_path, next)) < 0 ||
	    (ret = write_file(temporary, text)) < 0)
		goto out;
	if (rename(temporary, path) < 0)
		ret = -errno;
	else
		ret = sync_dir(s);
out:
	free(text);
	if (ret < 0)
		return errtext(et, ret, "cannot write the journal in '%s': %s",
		    s->lab.dir, strerror(-ret));
	return 0;
}

int
journal_drop(const struct scene *s, const struct fault *f, struct errtext *et)
{
	char path[PATH_MAX];
	int ret = 0;

	fault_path(s, f, path);
	if (unlink(path) < 0 && errno != ENOENT)
		ret = -errno;
	else
		ret = sync_dir(s);
	if (ret < 0)
		return errtext(
		    et, ret, "cannot remove '%s': %s", path, strerror(-ret));
	return 0;
}

void
journal_event(const struct scene *s, const struct fault *f, uint64_t until)
{
	json_t *j = fault_json(f, until);
	char *text = j == NULL ? NULL : json_dumps(j, JSON_COMPACT);
	char path[PATH_MAX];
	FILE *to;

	json_decref(j);
	if (text == NULL)
		return;
	journal_path(&s->lab, "events", path);
	to = fopen(path, "ae");
	if (to != NULL) {
		(void)fprintf(to, "%s\n", text);
		(void)fclose(to);
	}
	(void)printf("%s\n", text);
	(void)fflush(stdout);
	free(text);
}
