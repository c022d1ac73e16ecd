/*
 * script.c - runs scenarios: commands to a cluster of cores in memory, and
 * the trace that they must leave.
 *
 *	script [--rewrite] [FILE.txt ...]
 *
 * Without a file, all of tests/script/.  A scenario is a sequence of blocks:
 *
 *	command ...
 *	command ...
 *	----
 *	the expected trace, up to an empty line
 *
 * Lines that begin with # and empty lines between blocks are comments.  With
 * --rewrite the traces are replaced by what happens; the difference is for
 * review.  `script --help` lists the commands.
 *
 * A trace shows what each step does: "> message" when one is delivered, then
 * what it sends and what changes.  Entries are index.term.
 */
#include <ctype.h>
#include <err.h>
#include <getopt.h>
#include <glob.h>
#include <stdlib.h>
#include <string.h>

#include "tests/script/cluster.h"

#define ARGS_MAX 32
#define LINE_LEN_MAX 512

struct scenario {
	const char *path;
	unsigned line;
	struct cluster *cluster;
	FILE *out;
	bool quiet;
	char *arg[ARGS_MAX];
	unsigned count;
};

static void __attribute__((noreturn))
complain(const struct scenario *s, const char *cause, const char *what)
{
	fprintf(stderr, "%s:%u: %s: '%s'\n", s->path, s->line, cause, what);
	exit(65);
}

/* ---- arguments --------------------------------------------------------- */

static uint64_t
number(const struct scenario *s, const char *text)
{
	char *end;
	uint64_t v = strtoull(text, &end, 10);

	if (!isdigit((unsigned char)text[0]) || *end != '\0')
		complain(s, "not a number", text);
	return v;
}

static uint64_t
arg(const struct scenario *s, unsigned i)
{
	if (i >= s->count)
		complain(s, "an argument is missing", s->arg[0]);
	return number(s, s->arg[i]);
}

static uint64_t
arg_or(const struct scenario *s, unsigned i, uint64_t otherwise)
{
	return i < s->count ? number(s, s->arg[i]) : otherwise;
}

static unsigned
server(const struct scenario *s, unsigned i)
{
	uint64_t id = arg(s, i);

	if (id == 0 || id > s->cluster->count)
		complain(s, "no such server", s->arg[i]);
	return (unsigned)id;
}

static uint64_t
option(const struct scenario *s, const char *name, uint64_t otherwise)
{
	size_t len = strlen(name);
	unsigned i;

	for (i = 1; i < s->count; i++)
		if (strncmp(s->arg[i], name, len) == 0 && s->arg[i][len] == '=')
			return number(s, s->arg[i] + len + 1);
	return otherwise;
}

static bool
flag(const struct scenario *s, const char *name)
{
	unsigned i;

	for (i = 1; i < s->count; i++)
		if (strcmp(s->arg[i], name) == 0)
			return true;
	return false;
}

/* ---- commands ---------------------------------------------------------- */

static void
cmd_cluster(struct scenario *s)
{
	struct cluster_options o = {.count = 0};

	o.count = (unsigned)arg(s, 1);
	if (o.count == 0 || o.count > CLUSTER_NODES_MAX)
		complain(s, "not from 1 to 9 servers", s->arg[1]);
	o.voters = (unsigned)option(s, "voters", o.count);
	o.members = (unsigned)option(s, "members", o.voters);
	o.seed = option(s, "seed", 1);
	o.append_entries_max = (uint32_t)option(s, "entries", 0);
	o.inflight_bytes_max = option(s, "window", 0);
	o.uncommitted_bytes_max = option(s, "budget", 0);
	o.start_ns = option(s, "start", 0);
	o.no_pre_vote = flag(s, "no-pre-vote");
	o.no_check_quorum = flag(s, "no-check-quorum");
	cluster_free(s->cluster);
	s->cluster = cluster_new(&o, s->out);
}

static void
cmd_timeout(struct scenario *s)
{
	cluster_timeout(s->cluster, server(s, 1));
}

static void
cmd_tick(struct scenario *s)
{
	unsigned id;

	if (strcmp(s->count > 1 ? s->arg[1] : "", "all") != 0) {
		cluster_tick(s->cluster, server(s, 1), MS(arg(s, 2)));
		return;
	}
	for (id = 1; id <= s->cluster->count; id++)
		cluster_tick(s->cluster, id, MS(arg(s, 2)));
}

static void
cmd_run(struct scenario *s)
{
	cluster_run(s->cluster, MS(arg(s, 1)), MS(arg_or(s, 2, 10)));
}

static void
cmd_propose(struct scenario *s)
{
	cluster_propose(s->cluster, server(s, 1), (uint32_t)arg_or(s, 2, 1));
}

static void
cmd_read(struct scenario *s)
{
	cluster_read(s->cluster, server(s, 1), arg(s, 2));
}

static void
cmd_transfer(struct scenario *s)
{
	cluster_peer(
	    s->cluster, server(s, 1), RAFT_EV_TRANSFER, arg_or(s, 2, 0));
}

static void
cmd_step_down(struct scenario *s)
{
	cluster_peer(s->cluster, server(s, 1), RAFT_EV_STEP_DOWN, 0);
}

static void
peer_event(struct scenario *s, enum raft_event_type type)
{
	unsigned i;

	for (i = 2; i < s->count || i == 2; i++)
		cluster_peer(s->cluster, server(s, 1), type, arg(s, i));
}

static void
cmd_down(struct scenario *s)
{
	peer_event(s, RAFT_EV_PEER_DOWN);
}

static void
cmd_up(struct scenario *s)
{
	peer_event(s, RAFT_EV_PEER_UP);
}

static void
cmd_distrust(struct scenario *s)
{
	peer_event(s, RAFT_EV_DISTRUST);
}

static void
cmd_trust(struct scenario *s)
{
	peer_event(s, RAFT_EV_TRUST);
}

static void
cmd_change(struct scenario *s)
{
	struct raft_config c = {.count = 0};
	struct raft_member *m;
	unsigned i;

	for (i = 2; i < s->count && c.count < RAFT_MEMBERS_MAX; i++) {
		m = &c.member[c.count++];
		m->id = (uint64_t)(s->arg[i][0] - '0');
		m->voter = RAFT_VOTER_NEW;
		if (s->arg[i][1] == 'l')
			m->voter = 0;
		else if (s->arg[i][1] == 'o')
			m->voter = RAFT_VOTER_OLD;
		else if (s->arg[i][1] == 'b')
			m->voter = RAFT_VOTER_OLD | RAFT_VOTER_NEW;
		c.joint = c.joint || (m->voter & RAFT_VOTER_OLD) != 0;
	}
	cluster_change(s->cluster, server(s, 1), &c);
}

static void
cmd_crash(struct scenario *s)
{
	cluster_crash(s->cluster, server(s, 1));
}

static void
cmd_restart(struct scenario *s)
{
	cluster_restart(s->cluster, server(s, 1), flag(s, "damaged"));
}

static void
cmd_lose(struct scenario *s)
{
	cluster_lose(s->cluster, server(s, 1), arg(s, 2));
}

static void
cmd_write(struct scenario *s)
{
	cluster_write(s->cluster, server(s, 1), arg(s, 2), arg_or(s, 3, 1));
}

static void
cmd_hard(struct scenario *s)
{
	cluster_hard(s->cluster, server(s, 1), arg(s, 2), arg(s, 3));
}

static void
cmd_manual(struct scenario *s)
{
	s->cluster->node[server(s, 1)]->manual = true;
}

static void
cmd_auto(struct scenario *s)
{
	unsigned id = server(s, 1);

	s->cluster->node[id]->manual = false;
	while (s->cluster->node[id]->batch_count > 0)
		cluster_persist(s->cluster, id, 1);
}

static void
cmd_persist(struct scenario *s)
{
	cluster_persist(s->cluster, server(s, 1), (unsigned)arg_or(s, 2, 1));
}

/* [FROM->TO] [TYPE] [NTH], each of FROM and TO may be *. */
static struct cluster_match
match_of(struct scenario *s)
{
	struct cluster_match f = {.from = 0};
	unsigned i;
	int type;
	char *a;

	for (i = 1; i < s->count; i++) {
		a = s->arg[i];
		if (strlen(a) == 4 && a[1] == '-' && a[2] == '>') {
			f.from = a[0] == '*' ? 0 : (unsigned)(a[0] - '0');
			f.to = a[3] == '*' ? 0 : (unsigned)(a[3] - '0');
		} else if (isdigit((unsigned char)a[0])) {
			f.nth = (unsigned)number(s, a);
		} else {
			for (type = 1; type < RAFT_MSG_TYPE_COUNT; type++)
				if (strcmp(a, cluster_msg_name(
						  (enum raft_msg_type)type)) ==
				    0)
					f.type = type;
			if (f.type == 0)
				complain(s, "no such message", a);
		}
	}
	return f;
}

static void
cmd_deliver(struct scenario *s)
{
	struct cluster_match f = match_of(s);

	if (cluster_deliver(s->cluster, &f) == 0)
		fputs("nothing to deliver\n", s->out);
}

static void
cmd_drop(struct scenario *s)
{
	struct cluster_match f = match_of(s);

	fprintf(s->out, "dropped %u\n", cluster_drop(s->cluster, &f));
}

static void
cmd_repeat(struct scenario *s)
{
	struct cluster_match f = match_of(s);

	fprintf(s->out, "repeated %u\n", cluster_repeat(s->cluster, &f));
}

static void
cmd_hold(struct scenario *s)
{
	struct cluster_match f = match_of(s);

	fprintf(s->out, "held %u\n", cluster_hold(s->cluster, &f));
}

static void
cmd_release(struct scenario *s)
{
	cluster_release(s->cluster);
}

static void
cmd_settle(struct scenario *s)
{
	if (!cluster_settle(s->cluster))
		fputs("does not settle\n", s->out);
}

static void
cmd_cut(struct scenario *s)
{
	cluster_cut(s->cluster, server(s, 1), server(s, 2), true);
	cluster_cut(s->cluster, server(s, 2), server(s, 1), true);
}

static void
cmd_oneway(struct scenario *s)
{
	cluster_cut(s->cluster, server(s, 1), server(s, 2), true);
}

static void
cmd_isolate(struct scenario *s)
{
	unsigned id = server(s, 1), i;

	for (i = 1; i <= s->cluster->count; i++) {
		cluster_cut(s->cluster, id, i, true);
		cluster_cut(s->cluster, i, id, true);
	}
}

static void
cmd_heal(struct scenario *s)
{
	unsigned i, k;

	for (i = 1; i <= s->cluster->count; i++)
		for (k = 1; k <= s->cluster->count; k++)
			cluster_cut(s->cluster, i, k, false);
}

static void
cmd_quiet(struct scenario *s)
{
	s->quiet = true;
}

static void
cmd_loud(struct scenario *s)
{
	s->quiet = false;
}

#define P(x) ((unsigned long long)(x))

static void
print_log(FILE *out, const struct cluster_node *n)
{
	uint64_t i;
	bool any = false;

	fputs(" log=", out);
	for (i = 1; i <= n->last; i++) {
		if (i > 1 && n->entry[i].term == n->entry[i - 1].term)
			continue;
		fprintf(out, "%s%llu.%llu", any ? "," : "", P(i),
		    P(n->entry[i].term));
		any = true;
	}
	fprintf(out, "%s%llu", any ? ".." : "", P(n->last));
}

static void
print_config(FILE *out, const struct raft_config *c)
{
	uint32_t i;

	fputs(c->joint ? " joint=" : " members=", out);
	for (i = 0; i < c->count; i++)
		fprintf(out, "%s%llu%s", i > 0 ? "," : "", P(c->member[i].id),
		    c->member[i].voter == 0		   ? "l"
		    : c->member[i].voter == RAFT_VOTER_OLD ? "o"
		    : c->member[i].voter != RAFT_VOTER_NEW ? "b"
							   : "");
}

static void
cmd_status(struct scenario *s)
{
	const struct cluster_node *n;
	struct raft_status st;
	unsigned id;

	for (id = 1; id <= s->cluster->count; id++) {
		n = s->cluster->node[id];
		if (s->count > 1 && arg(s, 1) != id)
			continue;
		if (!n->alive) {
			fprintf(s->out, "%u: down\n", id);
			continue;
		}
		cluster_status(s->cluster, id, &st);
		fprintf(s->out, "%u: %s term=%llu vote=%llu leader=%llu", id,
		    raft_role_name(st.role), P(st.hard.term), P(st.hard.vote),
		    P(st.leader));
		print_log(s->out, n);
		fprintf(s->out, " durable=%llu commit=%llu%s%s%s\n",
		    P(st.durable), P(st.commit), st.ready ? " ready" : "",
		    st.damaged ? " damaged" : "",
		    st.untrusted ? " untrusted" : "");
	}
}

static void
cmd_members(struct scenario *s)
{
	struct raft_status st;
	unsigned id;

	for (id = 1; id <= s->cluster->count; id++) {
		if (!s->cluster->node[id]->alive ||
		    (s->count > 1 && arg(s, 1) != id))
			continue;
		cluster_status(s->cluster, id, &st);
		fprintf(s->out, "%u: at %llu", id, P(st.config_index));
		print_config(s->out, &st.config);
		fputc('\n', s->out);
	}
}

static void
cmd_peers(struct scenario *s)
{
	static const char *const name[] = {
	    [RAFT_PROBE] = "probe",
	    [RAFT_REPLICATE] = "replicate",
	    [RAFT_SNAPSHOTTING] = "snapshotting",
	};
	struct raft_peer_status p;
	unsigned id = server(s, 1), i;

	for (i = 1; i <= s->cluster->count; i++) {
		if (i == id ||
		    raft_peer_status(s->cluster->node[id]->raft, i, &p) < 0)
			continue;
		fprintf(s->out,
		    "%u: %s match=%llu next=%llu inflight=%llu "
		    "bytes=%llu%s%s\n",
		    i, name[p.state], P(p.match), P(p.next),
		    P(p.inflight_count), P(p.inflight_bytes),
		    p.untrusted ? " untrusted" : "",
		    p.redeemed ? " redeemed" : "");
	}
}

static void
cmd_net(struct scenario *s)
{
	unsigned i;

	for (i = 0; i < s->cluster->net_count; i++) {
		cluster_print_msg(s->out, &s->cluster->net[i].m);
		fputc('\n', s->out);
	}
}

static void
cmd_writes(struct scenario *s)
{
	const struct cluster_node *n = s->cluster->node[server(s, 1)];
	const struct cluster_batch *b;
	unsigned i;

	for (i = 0; i < n->batch_count; i++) {
		b = &n->batch[i];
		fprintf(s->out, "%u: term=%llu vote=%llu", i + 1,
		    P(b->hard.term), P(b->hard.vote));
		if (b->last >= b->first)
			fprintf(s->out, " entries=%llu..%llu.%llu", P(b->first),
			    P(b->last), P(b->report_term));
		fputs(b->durable ? " durable\n" : "\n", s->out);
	}
}

static const struct command {
	const char *name, *args, *help;
	void (*run)(struct scenario *);
} commands[] = {
    {"cluster",
	"N [voters=V] [members=M] [no-pre-vote] [no-check-quorum]"
	" [entries=N] [window=BYTES] [budget=BYTES] [start=NS]"
	" [seed=N]",
	"begin anew", cmd_cluster},
    {"timeout", "ID", "its clock goes to its deadline", cmd_timeout},
    {"tick", "ID|all MS", "its clock goes on", cmd_tick},
    {"run", "MS [STEP]", "all clocks go on, all messages arrive", cmd_run},
    {"propose", "ID [N]", "append N entries", cmd_propose},
    {"read", "ID N", "ask for a linearizable read, number N", cmd_read},
    {"transfer", "ID [TO]", "hand leadership over", cmd_transfer},
    {"step-down", "ID", "stop leading", cmd_step_down},
    {"down", "ID PEER ...", "it sees connections close", cmd_down},
    {"up", "ID PEER ...", "it sees connections open", cmd_up},
    {"distrust", "ID PEER ...", "it hears that one has forgotten, or itself",
	cmd_distrust},
    {"trust", "ID PEER ...", "it hears that this is over", cmd_trust},
    {"change", "ID MEMBER[l|o|b] ...",
	"propose members: learner, old half, both halves", cmd_change},
    {"crash", "ID", "lose all that is not durable", cmd_crash},
    {"restart", "ID [damaged]", "start from its disk", cmd_restart},
    {"lose", "ID LAST", "cut the log of one that is down", cmd_lose},
    {"write", "ID TERM [N]", "extend the log of one that is down", cmd_write},
    {"hard", "ID TERM VOTE", "set term and vote of one that is down", cmd_hard},
    {"manual", "ID", "complete its writes by `persist`", cmd_manual},
    {"auto", "ID", "complete its writes at once", cmd_auto},
    {"persist", "ID [NTH]",
	"a write and those before are durable; it alone is reported",
	cmd_persist},
    {"deliver", "[A->B] [TYPE] [NTH]", "messages arrive", cmd_deliver},
    {"drop", "[A->B] [TYPE] [NTH]", "messages are lost", cmd_drop},
    {"repeat", "[A->B] [TYPE] [NTH]", "messages are doubled", cmd_repeat},
    {"hold", "[A->B] [TYPE] [NTH]", "messages will be late", cmd_hold},
    {"release", "", "the late ones go on", cmd_release},
    {"settle", "", "deliver and complete until all is quiet", cmd_settle},
    {"cut", "A B", "no messages between them", cmd_cut},
    {"oneway", "A B", "no messages from A to B", cmd_oneway},
    {"isolate", "ID", "no messages from or to it", cmd_isolate},
    {"heal", "", "all links work", cmd_heal},
    {"quiet", "", "no trace from here on", cmd_quiet},
    {"loud", "", "trace again", cmd_loud},
    {"status", "[ID]", "roles and logs", cmd_status},
    {"members", "[ID]", "configurations in force", cmd_members},
    {"peers", "ID", "what a leader thinks of the others", cmd_peers},
    {"net", "", "messages on their way", cmd_net},
    {"writes", "ID", "writes on their way", cmd_writes},
};

static void
run_command(struct scenario *s, char *line)
{
	const size_t n = sizeof(commands) / sizeof(commands[0]);
	char *word, *rest = line;
	size_t i;

	s->count = 0;
	while ((word = strsep(&rest, " \t")) != NULL)
		if (*word != '\0' && s->count < ARGS_MAX)
			s->arg[s->count++] = word;
	if (s->count == 0)
		return;
	for (i = 0; i < n && strcmp(commands[i].name, s->arg[0]) != 0; i++)
		;
	if (i == n)
		complain(s, "no such command", s->arg[0]);
	if (s->cluster == NULL && commands[i].run != cmd_cluster &&
	    commands[i].run != cmd_quiet && commands[i].run != cmd_loud)
		complain(s, "a scenario begins with cluster", s->arg[0]);
	if (s->cluster != NULL)
		s->cluster->trace = s->quiet ? NULL : s->out;
	commands[i].run(s);
}

/* ---- files ------------------------------------------------------------- */

struct text {
	char *data;
	size_t len;
	FILE *file;
};

static void
text_open(struct text *t)
{
	*t = (struct text){.data = NULL};
	if ((t->file = open_memstream(&t->data, &t->len)) == NULL)
		err(71, "cannot allocate");
}

static void
text_close(struct text *t)
{
	if (fclose(t->file) != 0)
		err(71, "cannot allocate");
}

/* One block's commands are run into `got`. */
static void
run_block(struct scenario *s, char *block, struct text *got)
{
	char *line, *rest = block;
	long before;

	text_open(got);
	s->out = got->file;
	while ((line = strsep(&rest, "\n")) != NULL)
		run_command(s, line);
	if (s->cluster != NULL && s->cluster->broken[0] != '\0')
		fprintf(s->out, "BROKEN: %s\n", s->cluster->broken);
	before = ftell(s->out);
	if (before == 0)
		fputs("ok\n", s->out);
	text_close(got);
	if (s->cluster != NULL)
		s->cluster->trace = NULL;
}

static void
differ(const struct scenario *s, const char *want, const char *got)
{
	unsigned line = s->line;
	size_t a, b;

	for (;; line++) {
		a = strcspn(want, "\n");
		b = strcspn(got, "\n");
		if (a != b || strncmp(want, got, a) != 0)
			break;
		want += a + (want[a] != '\0');
		got += b + (got[b] != '\0');
		if (*want == '\0' && *got == '\0')
			break;
	}
	printf("%s:%u: expected \"%.*s\", got \"%.*s\"\n", s->path, line,
	    (int)a, want, (int)b, got);
}

static void
rewrite_file(const char *path, const struct text *all)
{
	FILE *f = fopen(path, "w");

	if (f == NULL || fwrite(all->data, 1, all->len, f) != all->len ||
	    fclose(f) != 0)
		err(74, "cannot write '%s'", path);
}

/* A block's end: run it, compare or take over what it does. */
static bool
finish_block(struct scenario *s, struct text *cmd, struct text *want,
    struct text *all, bool rewrite)
{
	struct text got;
	bool same;

	text_close(cmd);
	text_close(want);
	fputs(cmd->data, all->file);
	fputs("----\n", all->file);
	run_block(s, cmd->data, &got);
	fputs(got.data, all->file);
	same = strcmp(got.data, want->data) == 0;
	if (!same && !rewrite)
		differ(s, want->data, got.data);
	if (strstr(got.data, "BROKEN") != NULL) {
		printf("%s:%u: %s\n", s->path, s->line, s->cluster->broken);
		same = false;
	} else if (rewrite) {
		same = true;
	}
	free(got.data);
	free(cmd->data);
	free(want->data);
	return same;
}

static bool
run_file(const char *path, bool rewrite)
{
	struct scenario s = {.path = path};
	struct text cmd, want, all;
	enum { BETWEEN, COMMANDS, TRACE } at = BETWEEN;
	FILE *f = fopen(path, "r");
	char line[LINE_LEN_MAX];
	unsigned number_of = 0;
	bool ok = true;

	if (f == NULL)
		err(66, "cannot open '%s'", path);
	text_open(&all);
	while (fgets(line, sizeof(line), f) != NULL) {
		number_of++;
		if (at == BETWEEN && (line[0] == '#' || line[0] == '\n')) {
			fputs(line, all.file);
			continue;
		}
		if (at == BETWEEN) {
			text_open(&cmd);
			text_open(&want);
			at = COMMANDS;
		}
		if (at == COMMANDS && strcmp(line, "----\n") == 0) {
			at = TRACE;
			s.line = number_of + 1;
		} else if (at == COMMANDS) {
			fputs(line, cmd.file);
		} else if (line[0] != '\n') {
			fputs(line, want.file);
		} else {
			ok = finish_block(&s, &cmd, &want, &all, rewrite) && ok;
			fputs("\n", all.file);
			at = BETWEEN;
		}
	}
	if (at == COMMANDS)
		complain(&s, "commands lack a line", "----");
	if (at == TRACE)
		ok = finish_block(&s, &cmd, &want, &all, rewrite) && ok;
	(void)fclose(f);
	text_close(&all);
	if (rewrite)
		rewrite_file(path, &all);
	free(all.data);
	cluster_free(s.cluster);
	return ok;
}

static void
usage(FILE *out)
{
	size_t i;

	fputs("usage: script [--rewrite] [FILE.txt ...]\n\ncommands:\n", out);
	for (i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		fprintf(out, "  %s %s\n\t%s\n", commands[i].name,
		    commands[i].args, commands[i].help);
}

int
main(int argc, char *argv[])
{
	static const struct option longopts[] = {
	    {"rewrite", no_argument, NULL, 'r'},
	    {"help", no_argument, NULL, 'h'},
	    {NULL, 0, NULL, 0},
	};
	unsigned passed = 0, failed = 0;
	bool rewrite = false;
	glob_t g = {.gl_pathc = 0};
	size_t i;
	int ch;

	while ((ch = getopt_long(argc, argv, "rh", longopts, NULL)) != -1) {
		if (ch == 'h') {
			usage(stdout);
			return 0;
		}
		if (ch != 'r') {
			usage(stderr);
			return 64;
		}
		rewrite = true;
	}
	if (optind == argc) {
		if (glob("tests/script/*.txt", 0, NULL, &g) != 0)
			errx(66, "no scenarios under tests/script");
		argv = g.gl_pathv;
		argc = (int)g.gl_pathc;
		optind = 0;
	}
	for (i = (size_t)optind; i < (size_t)argc; i++) {
		if (run_file(argv[i], rewrite))
			passed++;
		else
			failed++;
	}
	globfree(&g);
	printf("%u passed, %u failed\n", passed, failed);
	return failed == 0 ? 0 : 1;
}
