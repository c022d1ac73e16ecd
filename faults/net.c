/*
 * net.c - the kernel's packet rules, made from the active faults.
 *
 * All rules of a lab stand in one chain, FAULTS-RUN, of the tables filter and
 * mangle, which one commented rule enters: in INPUT for a lab on loopback, in
 * the FORWARD chain of the hub for one with namespaces.  Each change writes
 * the whole chain anew by iptables-restore, which is atomic for a table, so a
 * change that is cut short leaves the old rules or the new ones.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "faults/fault.h"
#include "faults/queue.h"
#include "faults/spawn.h"

#define RULES_LEN (256u << 10) /* 240 links, all kinds of faults, 128 each */
#define XTABLES_LOCK "/run/xtables.lock"

struct rules {
	char text[RULES_LEN];
	size_t len;
};

__attribute__((format(printf, 2, 3))) static void
add(struct rules *r, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(r->text + r->len, RULES_LEN - r->len, fmt, ap);
	va_end(ap);
	/* a cut text is refused below, by its length */
	r->len += n > 0 ? (size_t)n : 0;
	if (r->len >= RULES_LEN)
		r->len = RULES_LEN - 1;
}

void
net_chain(const struct lab *lab, char chain[32])
{
	(void)snprintf(chain, 32, "FAULTS-%s", lab->run);
}

static const char *
hook(const struct lab *lab)
{
	return lab->netns[0] != '\0' ? "FORWARD" : "INPUT";
}

static void
place(const struct scene *s, struct spawn *with, char hub[64])
{
	memset(with, 0, sizeof(*with));
	with->hold_fd = s->lock_fd;
	if (s->lab.netns[0] != '\0') {
		(void)snprintf(hub, 64, "%s-hub", s->lab.netns);
		with->netns = hub;
	}
}

/* ---- may we ------------------------------------------------------------ */

static int
check_address(const struct lab *lab, unsigned id, struct errtext *et)
{
	const struct lab_server *s = &lab->server[id];
	struct in_addr a;

	if (s->host[0] == '\0')
		return errtext(et, -ENOTSUP,
		    "the lab has Unix sockets: use raftlab up --tcp or "
		    "--netns");
	if (inet_pton(AF_INET, s->host, &a) != 1)
		return errtext(
		    et, -ENOTSUP, "not an IPv4 address: '%s'", s->host);
	for (unsigned i = 1; i < id; i++)
		if (strcmp(lab->server[i].host, s->host) == 0)
			return errtext(et, -ENOTSUP,
			    "servers %u and %u share the address %s", i, id,
			    s->host);
	if (lab->netns[0] == '\0' && ntohl(a.s_addr) >> 24 != 127 &&
	    !lab->really)
		return errtext(et, -EPERM,
		    "%s is not an address of a lab: --really if it is meant",
		    s->host);
	return 0;
}

int
net_usable(const struct lab *lab, struct errtext *et)
{
	int ret;

	for (unsigned id = 1; id <= lab->count; id++)
		if ((ret = check_address(lab, id, et)) < 0)
			return ret;
	if (geteuid() != 0)
		return errtext(et, -EPERM,
		    "network faults need root, or a lab inside unshare -Urn");
	if (!have_program("iptables-restore"))
		return errtext(et, -ENOTSUP, "iptables is not installed");
	return 0;
}

/* In a user namespace the system's lock file is not ours to open. */
static void
choose_lock_file(const struct lab *lab)
{
	char path[PATH_MAX];

	if (access(XTABLES_LOCK, F_OK) < 0 || access(XTABLES_LOCK, W_OK) == 0)
		return;
	journal_path(lab, "xtables.lock", path);
	(void)setenv("XTABLES_LOCKFILE", path, 0);
}

/* ---- rules ------------------------------------------------------------- */

static bool
is_kind(const struct fault *f, const char *name)
{
	return strcmp(f->kind->name, name) == 0;
}

static bool
in_kernel(const struct fault *f)
{
	return f->kind->order == UNDO_NETWORK && f->here && !f->ending;
}

static bool
is_queued(const struct fault *f)
{
	return in_kernel(f) && strcmp(f->mechanism, "nfqueue") == 0;
}

/* One link of one fault, in the table filter. */
static void
filter_rule(struct rules *r, const struct scene *s, const struct fault *f,
    unsigned from, unsigned to)
{
	char chain[32], share[64] = "", port[32] = "";
	const char *what = "DROP";

	net_chain(&s->lab, chain);
	if (is_kind(f, "reset"))
		what = "REJECT --reject-with tcp-reset";
	if (f->ppm != 0 && f->ppm < PPM)
		(void)snprintf(share, sizeof(share),
		    " -m statistic --mode random --probability %.6f",
		    (double)f->ppm / PPM);
	if (f->by_port)
		(void)snprintf(
		    port, sizeof(port), " --dport %u", s->lab.server[to].port);
	add(r, "-A %s -s %s -d %s%s%s%s -j %s\n", chain,
	    s->lab.server[from].host, s->lab.server[to].host,
	    f->by_port || is_kind(f, "reset") ? " -p tcp" : "", port, share,
	    what);
}

static void
fill_link(struct queue_link *l, const struct fault *f)
{
	l->delay_us += f->delay_us;
	l->jitter_us += f->jitter_us;
	if (f->rate_bits != 0 &&
	    (l->rate_bits == 0 || f->rate_bits < l->rate_bits))
		l->rate_bits = f->rate_bits;
	if (is_kind(f, "dup"))
		l->dup_ppm = (uint32_t)f->ppm;
	if (is_kind(f, "reorder"))
		l->reorder_ppm = (uint32_t)f->ppm;
	if (is_kind(f, "corrupt"))
		l->corrupt_ppm = (uint32_t)f->ppm;
}

struct wanted {
	struct rules filter, mangle; /* empty: no chain */
	struct queue_table table;
	bool queued;
};

static void
collect(const struct scene *s, struct wanted *w)
{
	uint32_t marked[LAB_SERVERS_MAX + 1] = {0};
	unsigned n = s->lab.count;
	char chain[32];

	net_chain(&s->lab, chain);
	w->filter.len = w->mangle.len = 0;
	w->queued = false;
	memset(&w->table, 0, sizeof(w->table));
	for (unsigned k = 0; k < s->count; k++) {
		const struct fault *f = &s->fault[k];

		/* tbf needs no rule */
		if (!in_kernel(f) || strcmp(f->mechanism, "tbf") == 0)
			continue;
		for (unsigned i = 1; i <= n; i++)
			for (unsigned j = 1; j <= n; j++) {
				if (!links_has(&f->links, i, j))
					continue;
				if (!is_queued(f)) {
					filter_rule(&w->filter, s, f, i, j);
					continue;
				}
				marked[i] |= 1u << j;
				fill_link(&w->table.link[i][j], f);
				w->queued = true;
			}
	}
	if (!w->queued)
		return;
	add(&w->mangle, "-A %s -m mark --mark %#x/%#x -j RETURN\n", chain,
	    QUEUE_MARK_OURS, QUEUE_MARK_MASK);
	for (unsigned i = 1; i <= n; i++)
		for (unsigned j = 1; j <= n; j++)
			if ((marked[i] >> j & 1) != 0)
				add(&w->mangle,
				    "-A %s -s %s -d %s -j MARK --set-mark "
				    "%#x\n",
				    chain, s->lab.server[i].host,
				    s->lab.server[j].host,
				    QUEUE_MARK | i << 8 | j);
	add(&w->mangle,
	    "-A %s -m mark --mark %#x/%#x -j NFQUEUE --queue-num %u "
	    "--queue-bypass\n",
	    chain, QUEUE_MARK, QUEUE_MARK_MASK, queue_number(&s->lab));
}

/* Whether iptables -t TABLE ACTION... says yes. */
static bool
answers(const struct scene *s, const char *table, bool is_jump)
{
	char hub[64], chain[32];
	const char *jump[] = {"iptables", "-w", "10", "-t", table, "-C",
	    hook(&s->lab), "-m", "comment", "--comment", chain, "-j", chain,
	    NULL};
	const char *list[] = {
	    "iptables", "-w", "10", "-n", "-t", table, "-L", chain, NULL};
	struct spawn with;

	net_chain(&s->lab, chain);
	place(s, &with, hub);
	return spawn_wait(&with, is_jump ? jump : list) == 0;
}

/* The text that makes one table hold rules, whatever it holds now. */
static void
table_text(struct rules *out, const struct scene *s, const char *table,
    const struct rules *rules)
{
	bool has_chain = answers(s, table, false);
	bool has_jump = has_chain && answers(s, table, true);
	char chain[32];

	net_chain(&s->lab, chain);
	if (rules->len == 0 && !has_chain)
		return;
	add(out, "*%s\n:%s - [0:0]\n", table, chain);
	if (rules->len > 0)
		add(out, "%s", rules->text);
	if (rules->len > 0 && !has_jump)
		add(out, "-I %s 1 -m comment --comment %s -j %s\n",
		    hook(&s->lab), chain, chain);
	if (rules->len == 0 && has_jump)
		add(out, "-D %s -m comment --comment %s -j %s\n", hook(&s->lab),
		    chain, chain);
	if (rules->len == 0)
		add(out, "-X %s\n", chain);
	add(out, "COMMIT\n");
}

int
net_render(struct scene *s, struct errtext *et)
{
	static const char *const restore[] = {
	    "iptables-restore", "-w", "10", "--noflush", NULL};
	static struct wanted w;
	static struct rules out;
	struct spawn with;
	char hub[64];
	int ret = 0;

	choose_lock_file(&s->lab);
	collect(s, &w);
	out.len = 0;
	table_text(&out, s, "filter", &w.filter);
	table_text(&out, s, "mangle", &w.mangle);
	if (out.len >= RULES_LEN - 1)
		return errtext(et, -ENOBUFS, "too many rules");
	/* nothing is sent to a queue before somebody takes it */
	if (w.queued)
		ret = queue_set(&s->lab, s->lock_fd, &w.table, et);
	if (ret == 0 && out.len > 0) {
		place(s, &with, hub);
		with.input = out.text;
		ret = spawn_check(&with, restore, et);
	}
	if (ret == 0 && !w.queued)
		queue_stop(&s->lab);
	return ret;
}

int
net_sweep(struct scene *s, struct errtext *et)
{
	struct errtext why;

	/* who may not make rules has left none */
	if (net_usable(&s->lab, &why) < 0)
		return 0;
	return net_render(s, et);
}

int
net_reset(const struct lab *lab, struct errtext *et)
{
	char name[64], from[80], to[80];
	const char *ss[] = {"ss", "-K", "-t", "src", from, "dst", to, NULL};
	struct spawn with = {.hold_fd = -1};
	int ret = net_usable(lab, et);

	for (unsigned i = 1; ret == 0 && i <= lab->count; i++)
		for (unsigned j = 1; ret == 0 && j <= lab->count; j++) {
			if (i == j)
				continue;
			(void)snprintf(
			    from, sizeof(from), "%s", lab->server[i].host);
			(void)snprintf(
			    to, sizeof(to), "%s", lab->server[j].host);
			if (lab->netns[0] != '\0') {
				(void)snprintf(
				    name, sizeof(name), "%s-%u", lab->netns, i);
				with.netns = name;
			}
			ret = spawn_check(&with, ss, et);
		}
	return ret;
}

int
net_apply(struct scene *s, struct fault *f, struct errtext *et)
{
	int ret = net_usable(&s->lab, et);

	(void)f;
	return ret < 0 ? ret : net_render(s, et);
}

int
net_undo(struct scene *s, struct fault *f, struct errtext *et)
{
	struct errtext why;

	/* a reboot has healed it; it was refused before anything was done */
	if (!f->here || net_usable(&s->lab, &why) == -ENOTSUP)
		return 0;
	return net_render(s, et);
}

/* ---- rates: tbf at the sender's own interface -------------------------- */

int
rate_apply(struct scene *s, struct fault *f, struct errtext *et)
{
	char rate[32], burst[32];
	const char *tc[] = {"tc", "qdisc", "add", "dev", "eth0", "root",
	    "handle", "fa17:", "tbf", "rate", rate, "burst", burst, "latency",
	    "100ms", NULL};
	struct spawn with = {.netns = f->undo, .hold_fd = s->lock_fd};
	uint64_t bytes = f->rate_bits / 8 / 50;
	int ret = net_usable(&s->lab, et);

	if (ret < 0)
		return ret;
	if (f->undo[0] == '\0')
		return net_render(s, et);
	for (unsigned i = 0; i < s->count; i++)
		if (&s->fault[i] != f &&
		    strcmp(s->fault[i].undo, f->undo) == 0) {
			f->undo[0] = '\0'; /* that qdisc is not ours */
			return errtext(et, -EBUSY, "it has a rate already");
		}
	(void)snprintf(
	    rate, sizeof(rate), "%llubit", (unsigned long long)f->rate_bits);
	(void)snprintf(burst, sizeof(burst), "%llu",
	    (unsigned long long)(bytes < 4096 ? 4096 : bytes));
	return spawn_check(&with, tc, et);
}

int
rate_undo(struct scene *s, struct fault *f, struct errtext *et)
{
	static const char *const show[] = {
	    "tc", "qdisc", "show", "dev", "eth0", "handle", "fa17:", NULL};
	static const char *const del[] = {"tc", "qdisc", "del", "dev", "eth0",
	    "root", "handle", "fa17:", NULL};
	struct spawn with = {.netns = f->undo, .hold_fd = s->lock_fd};
	char text[512] = "";

	if (f->undo[0] == '\0')
		return net_undo(s, f, et);
	with.out = text;
	with.out_size = sizeof(text);
	if (!f->here || spawn_wait(&with, show) != 0 ||
	    strstr(text, "tbf fa17:") == NULL)
		return 0;
	return spawn_check(&with, del, et);
}
