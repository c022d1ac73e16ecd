/*
 * import.c - raftsnap import: JSON lines, as export prints them, into a
 * snapshot.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "raftd/fsm/kvstore.h"
#include "raftsnap/tool.h"

#define LINE_MAX_LEN ((size_t)96 * 1024 * 1024) /* the longest value, base64 */
#define REV_MAX (INT64_C(1) << 53)
#define READ_LEN (256u * 1024)

struct lines {
	struct tool_input in;
	char *buf;
	size_t cap, at, len;
	bool ended;
	uint64_t number;
};

/* 1 a line without its end, 0 there are no more, -errno. */
static int
next_line(struct lines *l, char **line, size_t *len)
{
	size_t looked = 0;

	for (;;) {
		char *end = memchr(
		    l->buf + l->at + looked, '\n', l->len - l->at - looked);
		int64_t n;

		if (end != NULL || (l->ended && l->at < l->len)) {
			*line = l->buf + l->at;
			*len = end != NULL ? (size_t)(end - *line)
					   : l->len - l->at;
			l->at += *len + (end != NULL);
			l->number++;
			return 1;
		}
		if (l->ended)
			return 0;
		looked = l->len - l->at;
		memmove(l->buf, l->buf + l->at, looked);
		l->len = looked;
		l->at = 0;
		if (l->cap - l->len < READ_LEN) {
			char *more = l->cap < LINE_MAX_LEN
					 ? realloc(l->buf, 2 * l->cap)
					 : NULL;

			if (more == NULL)
				return l->cap < LINE_MAX_LEN ? -ENOMEM : -E2BIG;
			l->buf = more;
			l->cap *= 2;
		}
		n = snaptool_get(&l->in, l->buf + l->len, READ_LEN);
		if (n < 0)
			return (int)n;
		l->ended = n == 0;
		l->len += (size_t)n;
	}
}

/* A revision; absent is 0, -1 what is none. */
static json_int_t
revision(const json_t *o, const char *name)
{
	const json_t *j = json_object_get(o, name);

	if (j == NULL)
		return 0;
	return json_is_integer(j) && json_integer_value(j) > 0 &&
		       json_integer_value(j) < REV_MAX
		   ? json_integer_value(j)
		   : -1;
}

/* All three, or the next revision. */
static const char *
set_revisions(struct fsm *f, struct record *r, const json_t *o)
{
	json_int_t create = revision(o, "create_rev");
	json_int_t mod = revision(o, "mod_rev");
	json_int_t version = revision(o, "version");

	if (create < 0 || mod < 0 || version < 0 || create > mod ||
	    (create == 0) != (mod == 0) || (mod == 0) != (version == 0))
		return "its revisions make no sense";
	if (create == 0) {
		create = mod = (json_int_t)f->rev + 1;
		version = 1;
	}
	r->create_rev = (uint64_t)create;
	r->mod_rev = (uint64_t)mod;
	r->version = (uint64_t)version;
	if (r->mod_rev > f->rev && !MUTANT(218))
		f->rev = f->floor = r->mod_rev;
	return NULL;
}

static bool
is_known(const struct fsm *f, const uint8_t *key, size_t len)
{
	struct tree_path path;

	tree_find(&f->tree, key, len, &path);
	return path.found;
}

static const char *
enter(struct fsm *f, const json_t *o, const uint8_t *key, size_t key_len,
    const uint8_t *value, size_t value_len)
{
	struct record *r;
	const char *why;

	if (key_len == 0 || key_len > WIRE_KEY_LEN_MAX ||
	    value_len > WIRE_VALUE_LEN_MAX)
		return "its key or value is too long, or the key is empty";
	if (is_known(f, key, key_len))
		return "its key was there before";
	r = kvstore_record_new(key_len, value_len, 0);
	if (r == NULL)
		return "out of memory";
	memcpy(r->bytes, key, key_len);
	memcpy(r->bytes + key_len, value, value_len);
	why = set_revisions(f, r, o);
	if (why == NULL && kvstore_enter(f, r) < 0)
		why = "out of memory";
	if (why != NULL)
		free(r);
	return why;
}

/* NULL, or what is wrong with the line. */
static const char *
import_line(struct fsm *f, const char *line, size_t len)
{
	json_t *o = json_loadb(
	    line, len, JSON_ALLOW_NUL | JSON_REJECT_DUPLICATES, NULL);
	size_t key_len = 0, value_len = 0;
	uint8_t *key, *value;
	const char *why;

	if (!json_is_object(o)) {
		json_decref(o);
		return "no JSON object";
	}
	key = json_get_bytes(o, "key", &key_len);
	value = json_get_bytes(o, "value", &value_len);
	why = key == NULL || value == NULL
		  ? "no key and value"
		  : enter(f, o, key, key_len, value, value_len);
	free(key);
	free(value);
	json_decref(o);
	return why;
}

static bool
is_blank(const char *line, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (line[i] != ' ' && line[i] != '\t' && line[i] != '\r')
			return false;
	return true;
}

static int
import_all(struct lines *l, struct fsm *f)
{
	const char *why = NULL;
	char *line = NULL;
	size_t len = 0;
	int r = 0;

	while (why == NULL && (r = next_line(l, &line, &len)) > 0)
		if (!is_blank(line, len))
			why = import_line(f, line, len);
	if (why != NULL || r == -E2BIG) {
		fprintf(stderr, "raftsnap: '%s' line %llu: %s\n", l->in.name,
		    (unsigned long long)l->number + (why == NULL),
		    why != NULL ? why : "too long");
		return TOOL_DATA;
	}
	return r < 0 ? snaptool_input_fail(&l->in, r, NULL) : TOOL_OK;
}

static int
write_all(void *ctx, int fd)
{
	struct state *s = ctx;
	struct snap_writer *w = NULL;
	int error;

	progress_begin("write", 0);
	error = snap_writer_new(&s->meta, 0, snaptool_put, &fd, &w);
	if (error == 0)
		error = state_fill(s, w);
	if (error == 0)
		error = snap_writer_finish(w, NULL);
	snap_writer_free(w);
	progress_end();
	return error < 0 ? snaptool_fail(error, "the snapshot", NULL) : TOOL_OK;
}

int
snapcmd_import(int argc, char **argv)
{
	/* A configuration without members: restore says who they are. */
	static const uint8_t nobody[] = {0x82, 0xa5, 'j', 'o', 'i', 'n', 't',
	    0xc2, 0xa7, 'm', 'e', 'm', 'b', 'e', 'r', 's', 0x90};
	struct lines l = {.cap = 4 * READ_LEN};
	struct state s;
	int status;

	if (argc != 2)
		return TOOL_USAGE;
	status = snaptool_open(argv[0], &l.in);
	if (status != TOOL_OK)
		return status;
	l.buf = malloc(l.cap);
	if (state_new(&s) < 0 || l.buf == NULL) {
		status = snaptool_fail(-ENOMEM, argv[0], NULL);
	} else {
		progress_begin("import", l.in.total);
		status = import_all(&l, s.fsm);
		progress_end();
	}
	snaptool_close(&l.in);
	free(l.buf);
	if (status == TOOL_OK) {
		s.meta.config = nobody;
		s.meta.config_len = sizeof(nobody);
		s.meta.config_index = 1;
		state_seal(&s);
		status = snaptool_save(argv[1], write_all, &s);
	}
	state_release(&s);
	return status;
}
