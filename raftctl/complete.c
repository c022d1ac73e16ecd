/*
 * complete.c - what a word on the command line may become: for the
 * completions of shells, and for our own.
 *
 * Names of commands and options come out of their tables; keys, members and
 * leases from the servers, within COMPLETE_MS and no more than COMPLETE_MAX.
 * Candidates that a shell would have to quote are left out.
 */
#include "raftctl/complete.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COMPLETE_MS 400

enum kind { NOTHING, KEYS, MEMBERS, LEASES, LOCKS, COMMANDS };

/* What the operands of a command are.  The first that it has last stays. */
static const struct operands {
	const char *command;
	enum kind kind[3];
} operands[] = {
    {"get", {KEYS}},
    {"put", {KEYS}},
    {"del", {KEYS, KEYS, KEYS}},
    {"ls", {KEYS}},
    {"incr", {KEYS}},
    {"edit", {KEYS}},
    {"watch", {KEYS}},
    {"lock", {LOCKS}},
    {"elect", {LOCKS}},
    {"promote", {MEMBERS}},
    {"demote", {MEMBERS}},
    {"remove", {MEMBERS}},
    {"replace", {MEMBERS}},
    {"tune", {MEMBERS}},
    {"transfer", {MEMBERS}},
    {"complete", {COMMANDS}},
};

/* Words that stand for themselves: behind an option, or as an operand. */
static const struct words {
	const char *command; /* NULL: any */
	const char *behind;  /* an option, or the operand before, or NULL */
	const char *list;
} words[] = {
    {NULL, "--output", "text json raw fields"},
    {NULL, "--encoding", "auto base64 hex"},
    {NULL, "--read", "linearizable lease stale"},
    {NULL, "--on-compacted", "fail resync"},
    {"wait", NULL, "leader ready healthy applied member key"},
    {"lease", NULL, "grant ls show renew revoke"},
};

/* Operands that depend on the one before. */
static const struct second {
	const char *command, *first;
	enum kind kind;
} seconds[] = {
    {"wait", "member", MEMBERS},
    {"wait", "key", KEYS},
    {"lease", "show", LEASES},
    {"lease", "renew", LEASES},
    {"lease", "revoke", LEASES},
};

/* Options whose value is not just any. */
static const struct option_kind {
	const char *option;
	enum kind kind;
} option_kinds[] = {
    {"--prefix", KEYS},
    {"--after", KEYS},
    {"--lease", LEASES},
};

struct state {
	struct cli *cli;
	complete_cb *add;
	void *ctx;
	const char *word; /* to be completed */
	const char *head; /* stands in front of what is added: "--read=" */
	unsigned count;
};

static bool
is_plain(const char *s, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if ((unsigned char)s[i] <= ' ' || s[i] == 0x7f ||
		    strchr("'\"\\$`;&|<>()*?[]{}!#~", s[i]) != NULL)
			return false;
	return len > 0;
}

static void
offer(struct state *st, const char *s, size_t len)
{
	char text[WIRE_KEY_LEN_MAX + 64];

	if (st->count == COMPLETE_MAX || len < strlen(st->word) ||
	    strncmp(s, st->word, strlen(st->word)) != 0 || !is_plain(s, len) ||
	    (size_t)snprintf(text, sizeof(text), "%s%.*s", st->head, (int)len,
		s) >= sizeof(text))
		return;
	st->count++;
	st->add(text, st->ctx);
}

/* ---- what is fixed ----------------------------------------------------- */

static void
offer_words(struct state *st, const char *list)
{
	while (*list != '\0') {
		size_t len = strcspn(list, " ");

		offer(st, list, len);
		list += len + strspn(list + len, " ");
	}
}

static void
offer_commands(struct state *st)
{
	for (const struct command *c = cli_commands(); c->name != NULL; c++)
		offer(st, c->name, strlen(c->name));
}

static void
offer_options(struct state *st, const struct cli_option *o)
{
	char text[64];

	for (; o != NULL && o->name != NULL; o++) {
		(void)snprintf(text, sizeof(text), "--%s", o->name);
		offer(st, text, strlen(text));
	}
}

/* ---- what the servers know --------------------------------------------- */

static bool
ask(struct state *st, const char *method, const struct mp_buf *params,
    struct client_answer *a)
{
	cli_restart_clock(st->cli);
	return cli_ask(st->cli, method, params, CLIENT_READ, COMPLETE_MS, a) ==
	       WIRE_OK;
}

/* A bytes field of each map in an array. */
static void
offer_fields(struct state *st, struct mp_cur records, const char *field)
{
	struct mp_span text;
	char number[24];
	struct mp_map m;
	uint32_t count;
	uint64_t n;

	if (mp_read_array(&records, &count) < 0)
		return;
	while (count-- > 0 && mp_read_mapping(&records, &m) == 0) {
		if (mp_get_bytes(&m, field, &text, SIZE_MAX) == 0) {
			offer(st, (const char *)text.p, text.len);
		} else if (mp_get_u64(&m, field, &n) == 0) {
			(void)snprintf(number, sizeof(number), "%llu",
			    (unsigned long long)n);
			offer(st, number, strlen(number));
		}
	}
}

static void
offer_keys(struct state *st)
{
	struct client_answer a;
	struct mp_cur c, records;
	struct mp_buf b;
	struct mp_map m;

	mp_buf_init(&b);
	mp_put_array(&b, 2);
	mp_put_bin(&b, st->word, strlen(st->word));
	cli_put_options(st->cli, &b, 3);
	mp_put_kv_bool(&b, "keys_only", true);
	mp_put_kv_str(&b, "read", "stale");
	mp_put_kv_u64(&b, "limit", COMPLETE_MAX);
	if (ask(st, "list", &b, &a)) {
		c = mp_cur(a.result.data, a.result.len);
		if (mp_read_mapping(&c, &m) == 0 &&
		    mp_get(&m, "records", &records) == 0)
			offer_fields(st, records, "key");
	}
	mp_buf_release(&a.result);
	mp_buf_release(&b);
}

static void
offer_members(struct state *st)
{
	struct client_answer a;
	struct mp_map m;
	struct mp_cur c;
	uint32_t count;
	uint64_t id;
	char text[24];

	if (ask(st, "members", NULL, &a)) {
		c = mp_cur(a.result.data, a.result.len);
		if (mp_read_array(&c, &count) < 0)
			count = 0;
		while (count-- > 0 && mp_read_mapping(&c, &m) == 0) {
			if (mp_get_u64(&m, "id", &id) < 0)
				continue;
			(void)snprintf(
			    text, sizeof(text), "%llu", (unsigned long long)id);
			offer(st, text, strlen(text));
		}
	}
	mp_buf_release(&a.result);
}

/* Behind the number 0, or the empty name. */
static void
offer_named(struct state *st, const char *method, bool number,
    const char *array, const char *field)
{
	struct client_answer a;
	struct mp_cur c, records;
	struct mp_buf b;
	struct mp_map m;

	mp_buf_init(&b);
	mp_put_array(&b, 2);
	if (number)
		mp_put_u64(&b, 0);
	else
		mp_put_bin(&b, "", 0);
	cli_put_options(st->cli, &b, 0);
	if (ask(st, method, &b, &a)) {
		c = records = mp_cur(a.result.data, a.result.len);
		if (mp_peek(&c) != MP_MAP ||
		    (mp_read_mapping(&c, &m) == 0 &&
			mp_get(&m, array, &records) == 0))
			offer_fields(st, records, field);
	}
	mp_buf_release(&a.result);
	mp_buf_release(&b);
}

static void
offer_kind(struct state *st, enum kind kind)
{
	switch (kind) {
	case KEYS:
		offer_keys(st);
		break;
	case MEMBERS:
		offer_members(st);
		break;
	case LEASES:
		offer_named(st, "lease.list", true, "leases", "lease");
		break;
	case LOCKS:
		offer_named(st, "lock.list", false, "locks", "name");
		break;
	case COMMANDS:
		offer_commands(st);
		break;
	case NOTHING:
		break;
	}
}

/* ---- where the word stands --------------------------------------------- */

static const struct cli_option *
find_in(const struct cli_option *o, const char *word, size_t len)
{
	for (; o != NULL && o->name != NULL; o++)
		if (word[1] == '-'
			? strlen(o->name) == len - 2 &&
			      strncmp(o->name, word + 2, len - 2) == 0
			: len == 2 && o->letter == word[1])
			return o;
	return NULL;
}

/* The option that a word is, up to a '='; NULL: none. */
static const struct cli_option *
option_of(const struct command *c, const char *word)
{
	size_t len = strcspn(word, "=");
	const struct cli_option *o = NULL;

	if (word[0] != '-' || len < 2)
		return NULL;
	if (c != NULL)
		o = find_in(c->options, word, len);
	return o != NULL ? o : find_in(cli_globals(), word, len);
}

static bool
wants_value(const struct cli_option *o)
{
	return o != NULL && o->arg != NULL && o->arg[0] != '[';
}

static void
offer_values(struct state *st, const struct cli_option *o)
{
	char name[64];

	(void)snprintf(name, sizeof(name), "--%s", o->name);
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (words[i].behind != NULL &&
		    strcmp(words[i].behind, name) == 0)
			offer_words(st, words[i].list);
	for (size_t i = 0; i < sizeof(option_kinds) / sizeof(option_kinds[0]);
	     i++)
		if (strcmp(option_kinds[i].option, name) == 0)
			offer_kind(st, option_kinds[i].kind);
}

static void
offer_operand(
    struct state *st, const struct command *c, int place, const char *first)
{
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (place == 0 && words[i].command != NULL &&
		    strcmp(words[i].command, c->name) == 0)
			offer_words(st, words[i].list);
	for (size_t i = 0; i < sizeof(operands) / sizeof(operands[0]); i++)
		if (strcmp(operands[i].command, c->name) == 0)
			offer_kind(st, operands[i].kind[place < 2 ? place : 2]);
	for (size_t i = 0; i < sizeof(seconds) / sizeof(seconds[0]); i++)
		if (place == 1 && strcmp(seconds[i].command, c->name) == 0 &&
		    strcmp(seconds[i].first, first) == 0)
			offer_kind(st, seconds[i].kind);
}

/* What raftctl itself was told before, as it will be then. */
static void
take_global(struct cli *cli, const struct cli_option *o, const char *value)
{
	uint64_t group;

	if (o->letter == 's')
		cli->endpoints = value;
	else if (o->letter == 'g' && (group = strtoull(value, NULL, 10)) > 0)
		cli->group = group;
}

void
complete_words(
    struct cli *cli, int argc, char **argv, complete_cb *add, void *ctx)
{
	struct cli own = *cli;
	struct state st = {.cli = &own, .add = add, .ctx = ctx, .head = ""};
	const struct cli_option *o = NULL;
	const struct command *c = NULL;
	const char *first = "";
	char head[80];
	int place = 0;
	bool ended = false;

	own.command = NULL;
	own.timeout_ms = COMPLETE_MS;
	if (argc == 0)
		return;
	st.word = argv[argc - 1];
	for (int i = 0; i < argc - 1; i++) {
		o = ended || place > 0 ? NULL : option_of(c, argv[i]);
		if (wants_value(o) && strchr(argv[i], '=') == NULL) {
			if (i == argc - 2) {
				offer_values(&st, o);
				goto out;
			}
			take_global(&own, o, argv[++i]);
		} else if (wants_value(o)) {
			take_global(&own, o, strchr(argv[i], '=') + 1);
		} else if (strcmp(argv[i], "--") == 0) {
			ended = true;
		} else if (o == NULL && argv[i][0] != '-') {
			if (c == NULL) {
				c = cli_find_command(argv[i]);
				if (c == NULL)
					goto out;
			} else if (place++ == 0) {
				first = argv[i];
			}
		}
	}
	o = ended || place > 0 ? NULL : option_of(c, st.word);
	if (o != NULL && strchr(st.word, '=') != NULL) {
		size_t len = strcspn(st.word, "=") + 1;

		(void)snprintf(head, sizeof(head), "%.*s", (int)len, st.word);
		st.head = head;
		st.word += len;
		offer_values(&st, o);
	} else if (st.word[0] == '-' && !ended && place == 0) {
		offer_options(&st, c != NULL ? c->options : NULL);
		offer_options(&st, cli_globals());
	} else if (c == NULL) {
		offer_commands(&st);
	} else {
		offer_operand(&st, c, place, first);
	}
out:
	if (own.sync != cli->sync)
		client_sync_close(own.sync);
}

/* ---- the command ------------------------------------------------------- */

static void
print_cb(const char *text, void *ctx)
{
	(void)ctx;
	output_bytes(text, strlen(text));
	output_bytes("\n", 1);
}

int
cmd_complete(struct cli *cli, int argc, char **argv)
{
	(void)cli_next(cli, 1, argv);
	/* Whatever stands there is not for us. */
	complete_words(cli, argc - 1, argv + 1, print_cb, NULL);
	return 0;
}
