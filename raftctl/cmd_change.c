/*
 * cmd_change.c - incr, txn and edit: changes that look at what is there.
 */
#include <assert.h>
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "raftctl/cli.h"

const struct cli_option cmd_write_options[] = {
    {"request-id", 0, "ID", "once only under this name, however often asked"},
    {0},
};

const struct cli_option cmd_incr_options[] = {
    {"request-id", 0, "ID", "once only under this name, however often asked"},
    {"if-lock", 0, "NAME=TOKEN", "only while the lock is held with this token"},
    {0},
};
enum { REQUEST_ID, IF_LOCK };

/* Negative: operands begin. */
static int
take_options(struct cli *cli, int argc, char **argv, const char **request_id,
    struct cli_if_lock *if_lock)
{
	int option, status;

	*request_id = NULL;
	while ((option = cli_next(cli, argc, argv)) >= 0) {
		if (option == IF_LOCK) {
			status = cli_take_if_lock(cli, optarg, if_lock);
		} else {
			*request_id = optarg;
			status = cli_judge_request_id(cli, optarg);
		}
		if (status >= 0)
			return status;
	}
	return option == CLI_EXIT ? cli->status : -1;
}

/* ---- incr ------------------------------------------------------------- */

static int
read_i64(const char *text, int64_t *n)
{
	char *end;

	if (text[0] == '\0' || strspn(text, "+-0123456789") != strlen(text))
		return -EINVAL;
	errno = 0;
	*n = strtoll(text, &end, 10);
	return errno != 0 || *end != '\0' ? -EINVAL : 0;
}

static int
print_incr(struct cli *cli, struct mp_span raw)
{
	struct mp_cur c = mp_cur_span(raw), value;
	struct mp_map m;
	bool succeeded = true;
	int64_t number;
	char line[32];

	if (mp_read_mapping(&c, &m) < 0 ||
	    mp_get_bool(&m, "succeeded", &succeeded) < 0 ||
	    mp_get(&m, "value", &value) < 0 || mp_read_i64(&value, &number) < 0)
		return cli_fail(
		    cli, WIRE_PROTOCOL_ERROR, "the answer has no number");
	if (cli_wants_record(cli)) {
		cli_print_outcome(cli, raw);
		return succeeded ? 0 : 1;
	}
	if (!succeeded) {
		fprintf(stderr, "raftctl: not changed: the lock is lost\n");
		return 1;
	}
	(void)snprintf(line, sizeof(line), "%lld\n", (long long)number);
	output_bytes(line, strlen(line));
	return 0;
}

int
cmd_incr(struct cli *cli, int argc, char **argv)
{
	struct client_answer answer;
	struct mp_buf params;
	const char *id;
	struct cli_if_lock if_lock = {0};
	int64_t by = 1;
	int status = take_options(cli, argc, argv, &id, &if_lock);

	if (status >= 0)
		return status;
	argc -= optind;
	argv += optind;
	if (argc < 1 || argc > 2)
		return cli_usage(cli, "incr takes a key, and how much to add");
	if (argc == 2 && read_i64(argv[1], &by) < 0)
		return cli_usage(cli, "'%s' is not a number", argv[1]);
	mp_buf_init(&params);
	mp_put_array(&params, 3);
	mp_put_bin(&params, argv[0], strlen(argv[0]));
	mp_put_i64(&params, by);
	cli_put_write_options(
	    cli, &params, if_lock.name != NULL ? CLI_IF_LOCK_PAIRS : 0, id);
	cli_put_if_lock(&params, &if_lock);
	if (cli_write(cli, "incr", &params, id, &answer) == WIRE_OK)
		status = print_incr(
		    cli, mp_span(answer.result.data, answer.result.len));
	else
		status = wire_status_info(answer.status)->exit;
	mp_buf_release(&params);
	mp_buf_release(&answer.result);
	return status;
}

/* ---- txn -------------------------------------------------------------- */

/* Bytes in base64, as _b64 has them; -EINVAL if they are not. */
static int
put_base64(struct mp_buf *b, const char *text)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
				     "abcdefghijklmnopqrstuvwxyz0123456789+/";
	size_t len = strlen(text), n = 0;
	uint8_t *out = malloc(len + 1);
	uint32_t bits = 0;
	const char *d;

	if (out == NULL)
		return -ENOMEM;
	while (len > 0 && text[len - 1] == '=')
		len--;
	for (size_t i = 0; i < len; i++) {
		d = memchr(digits, text[i], 64);
		if (d == NULL) {
			free(out);
			return -EINVAL;
		}
		bits = bits << 6 | (uint32_t)(d - digits);
		if (i % 4 != 0)
			out[n++] = (uint8_t)(bits >> (6 - 2 * (i % 4)));
	}
	mp_put_bin(b, out, n);
	free(out);
	return 0;
}

static int put_json(struct mp_buf *, json_t *, int depth);

static int
put_json_object(struct mp_buf *b, json_t *j, int depth)
{
	const char *name;
	size_t len;
	json_t *v;
	int r = 0;

	mp_put_map(b, (uint32_t)json_object_size(j));
	json_object_foreach(j, name, v)
	{
		len = strlen(name);
		if (len > 4 && strcmp(name + len - 4, "_b64") == 0 &&
		    json_is_string(v)) {
			mp_put_strn(b, name, len - 4);
			r = put_base64(b, json_string_value(v));
		} else {
			mp_put_strn(b, name, len);
			r = put_json(b, v, depth + 1);
		}
		if (r < 0)
			return r;
	}
	return 0;
}

static int
put_json(struct mp_buf *b, json_t *j, int depth)
{
	size_t i;
	json_t *v;
	int r;

	/* Params and envelope are two levels more. */
	if (depth > MP_DEPTH_MAX - 2)
		return -E2BIG;
	switch (json_typeof(j)) {
	case JSON_OBJECT:
		return put_json_object(b, j, depth);
	case JSON_ARRAY:
		mp_put_array(b, (uint32_t)json_array_size(j));
		json_array_foreach(j, i, v)
		{
			r = put_json(b, v, depth + 1);
			if (r < 0)
				return r;
		}
		return 0;
	case JSON_STRING:
		/* A string is bytes, a NUL in it included. */
		mp_put_bin(b, json_string_value(j), json_string_length(j));
		return 0;
	case JSON_INTEGER:
		mp_put_i64(b, json_integer_value(j));
		return 0;
	case JSON_TRUE:
	case JSON_FALSE:
		mp_put_bool(b, json_is_true(j));
		return 0;
	case JSON_NULL:
		mp_put_nil(b);
		return 0;
	default:
		return -EINVAL;
	}
}

static int
read_txn(struct cli *cli, const char *name, struct mp_buf *b)
{
	struct cli_bytes text = {0};
	json_error_t error;
	json_t *j;
	int status = cli_read_file(cli, name, &text), r;

	if (status >= 0)
		return status;
	j = json_loadb(
	    text.p, text.len, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &error);
	free(text.owned);
	if (j == NULL)
		return cli_fail(cli, WIRE_DATA, "'%s' line %d: %s", name,
		    error.line, error.text);
	r = json_is_object(j) ? put_json(b, j, 0) : -EINVAL;
	json_decref(j);
	if (r < 0)
		return cli_fail(cli, WIRE_DATA,
		    "'%s' is not an object of if, then and else", name);
	return -1;
}

static int
print_txn(struct cli *cli, struct mp_span raw)
{
	struct mp_cur c = mp_cur_span(raw);
	struct mp_map m;
	bool succeeded;

	if (mp_read_mapping(&c, &m) < 0 ||
	    mp_get_bool(&m, "succeeded", &succeeded) < 0)
		return cli_fail(cli, WIRE_PROTOCOL_ERROR,
		    "the answer does not say which way it went");
	cli_print_one(cli, cli_txn_json(cli, raw), cli_txn_columns);
	return succeeded ? 0 : 1;
}

int
cmd_txn(struct cli *cli, int argc, char **argv)
{
	struct client_answer answer;
	struct mp_buf params;
	const char *id;
	int status = take_options(cli, argc, argv, &id, NULL);

	if (status >= 0)
		return status;
	if (argc - optind > 1)
		return cli_usage(cli, "txn takes one file");
	mp_buf_init(&params);
	mp_put_array(&params, 2);
	status = read_txn(cli, argc > optind ? argv[optind] : "-", &params);
	if (status < 0) {
		cli_put_write_options(cli, &params, 0, id);
		if (cli_write(cli, "txn", &params, id, &answer) == WIRE_OK)
			status = print_txn(cli,
			    mp_span(answer.result.data, answer.result.len));
		else
			status = wire_status_info(answer.status)->exit;
		mp_buf_release(&answer.result);
	}
	mp_buf_release(&params);
	return status;
}

/* ---- edit ------------------------------------------------------------- */

/* The value and the revision that it has; an absent key has neither. */
static int
fetch(struct cli *cli, const char *key, struct client_answer *a,
    struct mp_span *value, uint64_t *rev)
{
	struct mp_buf params;
	struct mp_cur c;
	struct mp_map m;
	int status = -1;

	mp_buf_init(&params);
	mp_put_array(&params, 2);
	mp_put_bin(&params, key, strlen(key));
	cli_put_options(cli, &params, 0);
	if (cli_call(cli, "get", &params, CLIENT_READ, a) != WIRE_OK)
		status = wire_status_info(a->status)->exit;
	mp_buf_release(&params);
	if (status >= 0)
		return status;
	*value = mp_span("", 0);
	*rev = 0;
	c = mp_cur(a->result.data, a->result.len);
	if (mp_peek(&c) == MP_NIL)
		return -1;
	if (mp_read_mapping(&c, &m) < 0 ||
	    mp_get_bytes(&m, "value", value, SIZE_MAX) < 0 ||
	    mp_get_u64(&m, "mod_rev", rev) < 0)
		return cli_fail(
		    cli, WIRE_PROTOCOL_ERROR, "the answer is not a record");
	return -1;
}

static int
write_file(struct cli *cli, const char *path, struct mp_span value)
{
	FILE *f = fopen(path, "we");

	if (f == NULL)
		return cli_fail_file(cli, CLI_EXIT_IO, "create", path);
	(void)fwrite(value.p, 1, value.len, f);
	if (fclose(f) != 0)
		return cli_fail_file(cli, CLI_EXIT_IO, "write", path);
	return -1;
}

/* The editor may be a command with arguments, as for crontab(1). */
static int
run_editor(struct cli *cli, const char *path)
{
	const char *editor = getenv("VISUAL");
	int status;
	pid_t pid;

	if (editor == NULL || editor[0] == '\0')
		editor = getenv("EDITOR");
	if (editor == NULL || editor[0] == '\0')
		return cli_usage(cli, "no editor is named: VISUAL or EDITOR");
	pid = fork();
	if (pid < 0)
		return cli_fail(cli, WIRE_BUG, "fork: %s", strerror(errno));
	if (pid == 0) {
		(void)setenv("RAFT_EDITOR", editor, 1);
		execl("/bin/sh", "sh", "-c", "eval \"$RAFT_EDITOR\" '\"$0\"'",
		    path, (char *)NULL);
		_exit(127);
	}
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		continue;
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return -1;
	return cli_fail(
	    cli, WIRE_CONDITION, "the editor failed, nothing is changed");
}

static int
store(struct cli *cli, const char *key, const struct cli_bytes *value,
    uint64_t rev)
{
	struct client_answer answer;
	struct mp_buf params;
	struct mp_cur c;
	struct mp_map m;
	bool succeeded = false;
	int status;

	/* The time limit is for the servers, not for the person. */
	cli_restart_clock(cli);
	mp_buf_init(&params);
	mp_put_array(&params, 3);
	mp_put_bin(&params, key, strlen(key));
	mp_put_bin(&params, value->p, value->len);
	cli_put_write_options(cli, &params, 1, NULL);
	mp_put_kv_u64(&params, "if_rev", rev);
	if (cli_write(cli, "put", &params, NULL, &answer) != WIRE_OK) {
		status = wire_status_info(answer.status)->exit;
	} else {
		c = mp_cur(answer.result.data, answer.result.len);
		if (mp_read_mapping(&c, &m) == 0)
			(void)mp_get_bool(&m, "succeeded", &succeeded);
		status = succeeded ? 0 : 1;
		if (cli_wants_record(cli))
			cli_print_outcome(cli,
			    mp_span(answer.result.data, answer.result.len));
	}
	mp_buf_release(&params);
	mp_buf_release(&answer.result);
	return status;
}

/* The file at path was edited. */
static int
take_back(struct cli *cli, const char *key, const char *path,
    struct mp_span before, uint64_t rev, bool *keep)
{
	struct cli_bytes after = {0};
	int status = cli_read_file(cli, path, &after);

	if (status >= 0)
		return status;
	if (after.len == before.len &&
	    (after.len == 0 || memcmp(after.p, before.p, after.len) == 0))
		status = 0;
	else
		status = store(cli, key, &after, rev);
	free(after.owned);
	*keep = status != 0;
	if (status == 1 && !cli_wants_record(cli))
		fprintf(stderr,
		    "raftctl: not put: '%s' was changed meanwhile\n", key);
	return status;
}

int
cmd_edit(struct cli *cli, int argc, char **argv)
{
	char path[] = "/tmp/raftctl-edit.XXXXXX";
	struct client_answer answer = {0};
	struct mp_span value;
	bool keep = false;
	uint64_t rev;
	int option = cli_next(cli, argc, argv), status, fd;

	if (option == CLI_EXIT)
		return cli->status;
	if (argc - optind != 1)
		return cli_usage(cli, "edit takes one key");
	status = fetch(cli, argv[optind], &answer, &value, &rev);
	if (status >= 0)
		goto out;
	fd = mkstemp(path);
	if (fd < 0) {
		status = cli_fail_file(cli, CLI_EXIT_IO, "create", path);
		goto out;
	}
	close(fd);
	status = write_file(cli, path, value);
	if (status < 0)
		status = run_editor(cli, path);
	if (status < 0)
		status = take_back(cli, argv[optind], path, value, rev, &keep);
	if (keep)
		fprintf(stderr, "raftctl: what you wrote is in '%s'\n", path);
	else
		(void)unlink(path);
out:
	mp_buf_release(&answer.result);
	return status;
}
