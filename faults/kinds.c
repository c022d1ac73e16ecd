/*
 * kinds.c - the table of faults, and their words.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "faults/fault.h"
#include "raftctl/units.h"

#define DELAY_MAX_MS 60000u
#define RATE_MAX_BITS 100000000000ull

static int
want(int argc, int least, int most, const char *what, struct errtext *et)
{
	if (argc >= least && argc <= most)
		return 0;
	return errtext(et, -EINVAL, "wrong number of words, want %s", what);
}

static void
say(struct fault *f, const char *mechanism, const char *detail)
{
	(void)snprintf(f->mechanism, sizeof(f->mechanism), "%s", mechanism);
	(void)snprintf(f->detail, sizeof(f->detail), "%s", detail);
}

/* "5%" "0.5%"; in millionths. */
static int
parse_percent(const char *word, uint64_t *ppm, struct errtext *et)
{
	char *end;
	double v;

	if ((*word < '0' || *word > '9') && *word != '.')
		goto bad;
	v = strtod(word, &end);
	if (strcmp(end, "%") != 0 || !(v > 0 && v <= 100))
		goto bad;
	*ppm = (uint64_t)(v * 10000 + 0.5);
	return 0;
bad:
	return errtext(et, -EINVAL, "'%s' is not a share, as 5%%", word);
}

static int
parse_delay(const char *word, uint64_t *us, struct errtext *et)
{
	uint64_t ms;

	if (units_duration_ms(word, &ms) < 0 || ms > DELAY_MAX_MS)
		return errtext(
		    et, -EINVAL, "'%s' is not a delay, as 100ms", word);
	*us = ms * 1000;
	return 0;
}

/* "1mbit" "500kbit", as tc(8) has it. */
static int
parse_rate(const char *word, uint64_t *bits, struct errtext *et)
{
	static const struct {
		const char *unit;
		uint64_t is;
	} units[] = {{"bit", 1}, {"kbit", 1000}, {"mbit", 1000000},
	    {"gbit", 1000000000}};
	char *end;
	unsigned long v;

	if (*word < '1' || *word > '9')
		goto bad;
	v = strtoul(word, &end, 10);
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++)
		if (strcmp(end, units[i].unit) == 0 &&
		    v <= RATE_MAX_BITS / units[i].is) {
			*bits = v * units[i].is;
			if (*bits >= 1000)
				return 0;
		}
bad:
	return errtext(et, -EINVAL, "'%s' is not a rate, as 1mbit", word);
}

/* ---- network ----------------------------------------------------------- */

static int
partition_parse(const struct lab *lab, struct fault *f, int argc,
    char *const argv[], struct errtext *et)
{
	bool is_bridge = strcmp(f->kind->name, "bridge") == 0;
	bool is_ring = strcmp(f->kind->name, "ring") == 0;
	int ret = want(argc, 1, 1, f->kind->args, et);

	if (ret < 0)
		return ret;
	say(f, "iptables", argv[0]);
	if (is_bridge)
		return links_bridge(&f->links, lab->count, argv[0], et);
	if (is_ring)
		return links_ring(&f->links, lab->count, argv[0], et);
	return links_partition(&f->links, lab->count, argv[0], et);
}

static int
isolate_parse(const struct lab *lab, struct fault *f, int argc,
    char *const argv[], struct errtext *et)
{
	unsigned id;
	int ret = want(argc, 1, 1, f->kind->args, et);

	if (ret < 0 || (ret = links_server(lab->count, argv[0], &id, et)) < 0)
		return ret;
	say(f, "iptables", argv[0]);
	links_isolate(&f->links, lab->count, id);
	return 0;
}

static int
cut_parse(const struct lab *lab, struct fault *f, int argc, char *const argv[],
    struct errtext *et)
{
	bool is_oneway = strcmp(f->kind->name, "oneway") == 0;
	unsigned a, b;
	int ret = want(argc, 2, 2, f->kind->args, et);

	if (ret < 0 || (ret = links_server(lab->count, argv[0], &a, et)) < 0 ||
	    (ret = links_server(lab->count, argv[1], &b, et)) < 0)
		return ret;
	if (a == b)
		return errtext(et, -EINVAL, "a server has no link to itself");
	say(f, "iptables", "");
	(void)snprintf(f->detail, sizeof(f->detail), "%u%s%u", a,
	    is_oneway ? ">" : "-", b);
	links_add(&f->links, a, b);
	if (!is_oneway)
		links_add(&f->links, b, a);
	/* a server sends on the connections it made: those to this port */
	f->by_port = is_oneway;
	return 0;
}

static int
delay_parse(const struct lab *lab, struct fault *f, int argc,
    char *const argv[], struct errtext *et)
{
	int ret = want(argc, 2, 3, f->kind->args, et);

	if (ret < 0 ||
	    (ret = links_parse(&f->links, lab->count, argv[0], et)) < 0 ||
	    (ret = parse_delay(argv[1], &f->delay_us, et)) < 0)
		return ret;
	if (argc == 3 && (ret = parse_delay(argv[2], &f->jitter_us, et)) < 0)
		return ret;
	if (f->jitter_us > f->delay_us)
		return errtext(
		    et, -EINVAL, "jitter '%s' above the delay", argv[2]);
	say(f, "nfqueue", "");
	(void)snprintf(f->detail, sizeof(f->detail), "%.32s %.16s%s%.16s",
	    argv[0], argv[1], argc == 3 ? " " : "", argc == 3 ? argv[2] : "");
	return 0;
}

/* loss dup reorder corrupt, and reset, whose share is all. */
static int
share_parse(const struct lab *lab, struct fault *f, int argc,
    char *const argv[], struct errtext *et)
{
	bool is_reset = strcmp(f->kind->name, "reset") == 0;
	bool is_loss = strcmp(f->kind->name, "loss") == 0;
	int ret = want(argc, is_reset ? 1 : 2, 2, f->kind->args, et);

	if (ret < 0 ||
	    (ret = links_parse(&f->links, lab->count, argv[0], et)) < 0)
		return ret;
	f->ppm = PPM;
	if (argc == 2 && (ret = parse_percent(argv[1], &f->ppm, et)) < 0)
		return ret;
	say(f, is_reset || is_loss ? "iptables" : "nfqueue", "");
	(void)snprintf(f->detail, sizeof(f->detail), "%.64s %.16s", argv[0],
	    argc == 2 ? argv[1] : "100%");
	return 0;
}

static int
rate_parse(const struct lab *lab, struct fault *f, int argc, char *const argv[],
    struct errtext *et)
{
	bool is_tbf =
	    argc > 0 && lab->netns[0] != '\0' && strpbrk(argv[0], ">|") == NULL;
	int ret = want(argc, 2, 2, f->kind->args, et);

	if (ret < 0 ||
	    (ret = links_parse(&f->links, lab->count, argv[0], et)) < 0 ||
	    (ret = parse_rate(argv[1], &f->rate_bits, et)) < 0)
		return ret;
	say(f, is_tbf ? "tbf" : "nfqueue", "");
	(void)snprintf(
	    f->detail, sizeof(f->detail), "%.64s %.16s", argv[0], argv[1]);
	if (is_tbf)
		(void)snprintf(
		    f->undo, sizeof(f->undo), "%s-%s", lab->netns, argv[0]);
	return 0;
}

/* ---- processes --------------------------------------------------------- */

static int
server_parse(const struct lab *lab, struct fault *f, int argc,
    char *const argv[], struct errtext *et)
{
	int ret = want(argc, 1, 1, f->kind->args, et);

	if (ret < 0)
		return ret;
	say(f,
	    strcmp(f->kind->name, "kill") == 0	 ? "SIGKILL"
	    : strcmp(f->kind->name, "stop") == 0 ? "SIGTERM"
						 : "SIGSTOP",
	    argv[0]);
	return links_server(lab->count, argv[0], &f->server, et);
}

static int
cpu_parse(const struct lab *lab, struct fault *f, int argc, char *const argv[],
    struct errtext *et)
{
	int ret = want(argc, 1, 2, f->kind->args, et);

	if (ret < 0)
		return ret;
	f->ppm = PPM / 20;
	if (argc == 2 && (ret = parse_percent(argv[1], &f->ppm, et)) < 0)
		return ret;
	say(f, cpu_mechanism(), "");
	(void)snprintf(f->detail, sizeof(f->detail), "%.16s %.16s", argv[0],
	    argc == 2 ? argv[1] : "5%");
	return links_server(lab->count, argv[0], &f->server, et);
}

const struct kind kinds[] = {
    {"partition", "A,B|C,D", "no packet passes between the groups",
	UNDO_NETWORK, false, partition_parse, net_apply, net_undo},
    {"isolate", "N", "no packet passes between N and the others", UNDO_NETWORK,
	false, isolate_parse, net_apply, net_undo},
    {"oneway", "A B", "what A sends does not reach B", UNDO_NETWORK, false,
	cut_parse, net_apply, net_undo},
    {"cut", "A B", "no packet passes between A and B", UNDO_NETWORK, false,
	cut_parse, net_apply, net_undo},
    {"bridge", "A|B|C", "A and C reach each other's middle B only",
	UNDO_NETWORK, false, partition_parse, net_apply, net_undo},
    {"ring", "A,B,C,D", "each reaches its two neighbours only", UNDO_NETWORK,
	false, partition_parse, net_apply, net_undo},
    {"delay", "LINKS D [JITTER]", "packets are held that long", UNDO_NETWORK,
	false, delay_parse, net_apply, net_undo},
    {"loss", "LINKS P%", "this share of packets is lost", UNDO_NETWORK, false,
	share_parse, net_apply, net_undo},
    {"dup", "LINKS P%", "this share of packets arrives twice", UNDO_NETWORK,
	false, share_parse, net_apply, net_undo},
    {"reorder", "LINKS P%", "this share is overtaken by later ones",
	UNDO_NETWORK, false, share_parse, net_apply, net_undo},
    {"corrupt", "LINKS P%", "this share has a byte of its data changed",
	UNDO_NETWORK, false, share_parse, net_apply, net_undo},
    {"reset", "LINKS [P%]", "packets are answered by a reset", UNDO_NETWORK,
	false, share_parse, net_apply, net_undo},
    {"rate", "LINKS RATE", "at most that many bits a second pass", UNDO_NETWORK,
	false, rate_parse, rate_apply, rate_undo},
    {"kill", "N", "the server dies, and is started at the end", UNDO_START,
	true, server_parse, kill_apply, start_undo},
    {"stop", "N", "it ends in order, and is started at the end", UNDO_START,
	true, server_parse, kill_apply, start_undo},
    {"pause", "N", "it does not run", UNDO_CONTINUE, true, server_parse,
	pause_apply, pause_undo},
    {"cpu", "N [P%]", "it gets this share of one processor", UNDO_LIMIT, true,
	cpu_parse, cpu_apply, cpu_undo},
    {"clock", "N OFFSET|DRIFT% ...",
	"its clock is off, or runs too fast or slow", UNDO_START, true,
	clock_parse, clock_apply, clock_undo},
    {"disk", "full|slow|stall|eio|torn|powerloss N [D|CALL]",
	"its disk is full, slow, stalled, fails, forgets", UNDO_THAW, true,
	disk_parse, disk_apply, disk_undo},
    {NULL, NULL, NULL, UNDO_THAW, false, NULL, NULL, NULL},
};

const struct kind *
kind_by_name(const char *name)
{
	for (const struct kind *k = kinds; k->name != NULL; k++)
		if (strcmp(k->name, name) == 0)
			return k;
	return NULL;
}
