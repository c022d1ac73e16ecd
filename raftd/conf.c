/*
 * conf.c - what raftd was told: options, environment, configuration file.
 */
#include "raftd/conf.h"

#include <assert.h>
#include <errno.h>
#include <getopt.h>
#include <ini.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "raftctl/wire.h"
#include "raftd/core/raft.h"
#include "raftd/net.h"
#include "raftwal/wal.h"

/* sun_path, with its NUL. */
#define SOCKET_PATH_MAX (sizeof(((struct sockaddr_un *)0)->sun_path) - 1)

#define MS 1000000ull
#define SEC (1000 * MS)
#define KB 1024ull
#define MB (1024 * KB)
#define GB (1024 * MB)

static const char *const words_storage[] = {
    [CONF_STORAGE_THREAD] = "thread",
    [CONF_STORAGE_INLINE] = "inline",
    [CONF_STORAGE_AUTO] = "auto",
    NULL,
};

static const char *const words_level[] = {
    [HOST_ERROR] = "error",
    [HOST_WARN] = "warn",
    [HOST_INFO] = "info",
    [HOST_DEBUG] = "debug",
    NULL,
};

static const char *const words_reads[] = {
    [FOLLOWER_READS_LOCAL] = "local",
    [FOLLOWER_READS_FORWARD] = "forward",
    [FOLLOWER_READS_REFUSE] = "refuse",
    NULL,
};

#define AT(f) .offset = offsetof(struct conf, f)
#define TEXT(f) AT(f), .size = sizeof(((struct conf *)NULL)->f)

const struct conf_setting conf_settings[] = {
    {"id", 'n', "RAFT_ID", CONF_NUMBER, AT(id), .min = 1, .max = INT64_MAX,
	.argument = "ID", .help = "this server's number; needed"},
    {"dir", 'd', "RAFT_DIR", CONF_TEXT, TEXT(dir), .argument = "DIR",
	.help = "data directory, created if absent; needed"},
    {"peer", 'p', "RAFT_PEER", CONF_ADDRESS, TEXT(peer), .argument = "ADDR",
	.help = "address for peers; default: ours in the bootstrap"},
    {"client", 'c', "RAFT_CLIENT", CONF_ADDRESSES, AT(client),
	.argument = "ADDR",
	.help = "address for clients, up to 4; default: unix:DIR/raftd.sock"},
    {"bootstrap", 0, "RAFT_BOOTSTRAP", CONF_MEMBERS, AT(bootstrap),
	.argument = "ID=ADDR,...",
	.help = "first members; used only while DIR is empty"},
    {"join", 0, "RAFT_JOIN", CONF_JOIN, AT(join), .argument = "ADDR,...",
	.help = "members that will add this server; used only while DIR is "
		"empty"},
    {"cluster", 0, "RAFT_CLUSTER", CONF_TEXT, TEXT(cluster), .argument = "NAME",
	.help = "enters the cluster id at bootstrap"},
    {"name", 0, "RAFT_NAME", CONF_TEXT, TEXT(name), .argument = "NAME",
	.help = "what people call this server; default: its number"},
    {"config", 'f', "RAFT_CONFIG", CONF_TEXT, TEXT(file), .argument = "FILE",
	.help = "read raftd.conf(5) from FILE", .flag_only = true},
    {"heartbeat", 0, "RAFT_HEARTBEAT", CONF_DURATION, AT(heartbeat_ns),
	.min = MS, .max = 60 * SEC, .value = "50ms", .argument = "D",
	.help = "a leader's idle sign of life"},
    {"election", 0, "RAFT_ELECTION", CONF_DURATION, AT(election_ns),
	.min = 10 * MS, .max = 600 * SEC, .value = "500ms", .argument = "D",
	.help = "election timeout, randomised up to twice that"},
    {"request-timeout", 0, "RAFT_REQUEST_TIMEOUT", CONF_DURATION,
	AT(request_timeout_ns), .min = 10 * MS, .max = 600 * SEC,
	.value = "10s", .argument = "D",
	.help = "the longest that a request waits"},
    {"grace", 0, "RAFT_GRACE", CONF_DURATION, AT(grace_ns), .min = MS,
	.max = 600 * SEC, .value = "5s", .argument = "D",
	.help = "the longest that SIGTERM waits for what is in flight",
	.reload = true},
    {"key-max", 0, "RAFT_KEY_MAX", CONF_SIZE, AT(key_len_max), .min = 1,
	.max = WIRE_KEY_LEN_MAX, .value = "4K", .argument = "SIZE",
	.help = "longest key"},
    {"value-max", 0, "RAFT_VALUE_MAX", CONF_SIZE, AT(value_len_max), .min = 1,
	.max = WIRE_VALUE_LEN_MAX, .value = "1M", .argument = "SIZE",
	.help = "longest value"},
    {"cache", 0, "RAFT_CACHE", CONF_SIZE, AT(cache_bytes_max), .min = 64 * KB,
	.max = 64 * GB, .value = "32M", .argument = "SIZE",
	.help = "recent entries kept in memory"},
    {"inflight", 0, "RAFT_INFLIGHT", CONF_SIZE, AT(inflight_bytes_max),
	.min = 64 * KB, .max = GB, .value = "8M", .argument = "SIZE",
	.help = "unacknowledged bytes on the way to one peer"},
    {"uncommitted", 0, "RAFT_UNCOMMITTED", CONF_SIZE, AT(uncommitted_bytes_max),
	.min = 64 * KB, .max = 16 * GB, .value = "64M", .argument = "SIZE",
	.help = "proposals beyond so many bytes wait"},
    {"append-entries", 0, "RAFT_APPEND_ENTRIES", CONF_NUMBER,
	AT(append_entries_max), .min = 1, .max = 65536, .value = "4096",
	.argument = "N", .help = "entries in one message to a peer"},
    {"wal-segment", 0, "RAFT_WAL_SEGMENT", CONF_SIZE, AT(wal_segment_size),
	.min = WAL_SEGMENT_SIZE_MIN, .max = WAL_SEGMENT_SIZE_MAX,
	.value = "16M", .argument = "SIZE",
	.help = "size of a segment of the log"},
    {"snapshot-size", 0, "RAFT_SNAPSHOT_SIZE", CONF_SIZE, AT(snapshot_bytes),
	.min = 0, .max = 1024 * GB, .value = "64M", .argument = "SIZE",
	.help = "snapshot after so many bytes of log, 0 never"},
    {"snapshot-entries", 0, "RAFT_SNAPSHOT_ENTRIES", CONF_NUMBER,
	AT(snapshot_entries), .min = 0, .max = UINT64_C(1) << 40, .value = "0",
	.argument = "N", .help = "snapshot after so many entries, 0 never"},
    {"snapshot-rate", 0, "RAFT_SNAPSHOT_RATE", CONF_SIZE, AT(snapshot_rate),
	.min = 0, .max = 1024 * GB, .value = "0", .argument = "SIZE",
	.help = "of snapshots to peers a second, 0 no limit"},
    {"scrub", 0, "RAFT_SCRUB", CONF_DURATION, AT(scrub_ns), .min = 0,
	.max = 8760 * 3600 * SEC, .value = "24h", .argument = "D",
	.help = "between two readings of log and snapshots, 0 never"},
    {"scrub-rate", 0, "RAFT_SCRUB_RATE", CONF_SIZE, AT(scrub_rate),
	.min = 64 * KB, .max = 1024 * GB, .value = "8M", .argument = "SIZE",
	.help = "bytes of it read in a second"},
    {"connections", 0, "RAFT_CONNECTIONS", CONF_NUMBER, AT(connections_max),
	.min = 1, .max = 1000000, .value = "10000", .argument = "N",
	.help = "clients connected at once", .reload = true},
    {"client-requests", 0, "RAFT_CLIENT_REQUESTS", CONF_NUMBER,
	AT(client_requests_max), .min = 1, .max = HOST_REQUESTS_MAX,
	.value = "4096", .argument = "N",
	.help = "requests in flight on one connection", .reload = true},
    {"client-output", 0, "RAFT_CLIENT_OUTPUT", CONF_SIZE, AT(client_output_max),
	.min = 64 * KB, .max = GB, .value = "64M", .argument = "SIZE",
	.help = "a client that leaves more unread is closed", .reload = true},
    {"peer-backlog", 0, "RAFT_PEER_BACKLOG", CONF_SIZE, AT(peer_backlog_max),
	.min = MB, .max = 4 * GB, .value = "64M", .argument = "SIZE",
	.help = "a peer that leaves more unread is dialled anew",
	.reload = true},
    {"storage", 0, "RAFT_STORAGE", CONF_WORD, AT(storage), .value = "thread",
	.words = words_storage, .argument = "MODE",
	.help = "who syncs the log: thread, inline or auto"},
    {"log-level", 0, "RAFT_LOG_LEVEL", CONF_WORD, AT(log_level),
	.value = "info", .words = words_level, .argument = "LEVEL",
	.help = "what is logged: error, warn, info or debug", .reload = true},
    {"priority", 0, "RAFT_PRIORITY", CONF_NUMBER, AT(priority), .max = 1000000,
	.value = "0", .argument = "N",
	.help = "the highest that has caught up shall lead"},
    {"min-insync", 0, "RAFT_MIN_INSYNC", CONF_NUMBER, AT(min_insync),
	.max = HOST_MEMBERS_MAX, .value = "0", .argument = "N",
	.help = "refuse writes while fewer voters are in sync"},
    {"lease-drift", 0, "RAFT_LEASE_DRIFT", CONF_NUMBER, AT(lease_drift_ppm),
	.max = RAFT_DRIFT_PPM_MAX, .value = "0", .argument = "PPM",
	.help = "lease reads, if no clock drifts by more millionths; 0 none"},
    {"follower-reads", 0, "RAFT_FOLLOWER_READS", CONF_WORD, AT(follower_reads),
	.value = "local", .words = words_reads, .argument = "POLICY",
	.help = "reads that a follower is asked: local, forward or refuse"},
    {"in-sync-entries", 0, "RAFT_IN_SYNC_ENTRIES", CONF_NUMBER,
	AT(in_sync_entries), .min = 1, .max = UINT64_C(1) << 40,
	.value = "1024", .argument = "N",
	.help = "who lacks more entries is not in sync"},
    {"in-sync-bytes", 0, "RAFT_IN_SYNC_BYTES", CONF_SIZE, AT(in_sync_bytes),
	.max = 1024 * GB, .value = "0", .argument = "SIZE",
	.help = "nor is who lacks more bytes, 0 no limit"},
    {"in-sync-time", 0, "RAFT_IN_SYNC_TIME", CONF_DURATION, AT(in_sync_ns),
	.max = 600 * SEC, .value = "0s", .argument = "D",
	.help = "nor who lacks what is older, 0s no limit"},
    {"insecure", 0, "RAFT_INSECURE", CONF_BOOL, AT(insecure),
	.help = "allow TCP beyond this machine without TLS"},
    {"unsafe-no-fsync", 0, "RAFT_UNSAFE_NO_FSYNC", CONF_BOOL, AT(no_fsync),
	.help = "never sync: a crash of the machine loses writes"},
    {"unsafe-early-vote", 0, "RAFT_UNSAFE_EARLY_VOTE", CONF_BOOL,
	AT(early_vote),
	.help = "learners elect, caught up or not: loses writes"},
    {"unsafe-no-joint", 0, "RAFT_UNSAFE_NO_JOINT", CONF_BOOL, AT(no_joint),
	.help = "change all voters at once: two leaders, lost writes"},
    {"ready-fd", 0, "RAFT_READY_FD", CONF_NUMBER, AT(ready_fd), .max = 65535,
	.argument = "FD", .help = "write \"ready\" there once serving",
	.flag_only = true},
    {"check-config", 0, NULL, CONF_BOOL, AT(check),
	.help = "judge the configuration and exit", .flag_only = true},
    {"help", 'h', NULL, CONF_BOOL, AT(help), .help = "print this and exit",
	.flag_only = true},
    {"version", 'V', NULL, CONF_BOOL, AT(version),
	.help = "print the version and exit", .flag_only = true},
};

#define SETTINGS (sizeof(conf_settings) / sizeof(conf_settings[0]))
static_assert(SETTINGS <= CONF_SETTINGS_MAX, "struct conf has too few");

size_t
conf_settings_count(void)
{
	return SETTINGS;
}

/* ---- values ----------------------------------------------------------- */

struct unit {
	const char *name;
	uint64_t factor;
};

static const struct unit unit_none[] = {
    {"", 1},
    {NULL, 0},
};

static const struct unit unit_size[] = {
    {"", 1}, /* bytes, as with head -c */
    {"B", 1},
    {"K", KB},
    {"M", MB},
    {"G", GB},
    {NULL, 0},
};

/* A bare number says nothing about a time. */
static const struct unit unit_duration[] = {
    {"us", 1000},
    {"ms", MS},
    {"s", SEC},
    {"m", 60 * SEC},
    {"h", 3600 * SEC},
    {NULL, 0},
};

static const struct unit *
units_of(enum conf_type type)
{
	return type == CONF_DURATION ? unit_duration
	       : type == CONF_SIZE   ? unit_size
				     : unit_none;
}

/* A number with the largest unit that divides it. */
static const char *
show(char *buf, size_t size, enum conf_type type, uint64_t n)
{
	const struct unit *u, *best = units_of(type);

	for (u = best; u->name != NULL; u++)
		if (u->factor > best->factor && n >= u->factor &&
		    n % u->factor == 0)
			best = u;
	(void)snprintf(buf, size, "%llu%s",
	    (unsigned long long)(n / best->factor), best->name);
	return buf;
}

static int
parse_quantity(const struct conf_setting *s, const char *value, uint64_t *out,
    struct errtext *et)
{
	const struct unit *u;
	unsigned long long n;
	char *end, low[32], high[32];
	uint64_t v;

	errno = 0;
	n = strtoull(value, &end, 10);
	if (value[0] < '0' || value[0] > '9' || errno != 0)
		return errtext(et, -EINVAL, "'%.64s' is not a number", value);
	for (u = units_of(s->type); u->name != NULL; u++)
		if (strcmp(end, u->name) == 0)
			break;
	if (u->name == NULL && s->type == CONF_DURATION)
		return errtext(et, -EINVAL,
		    "'%.64s' needs a unit: us, ms, s, m or h", value);
	if (u->name == NULL && s->type == CONF_SIZE)
		return errtext(et, -EINVAL,
		    "'%.64s' is not a size: bytes, or a number with "
		    "K, M or G",
		    value);
	if (u->name == NULL)
		return errtext(et, -EINVAL, "'%.64s' is not a number", value);
	if (__builtin_mul_overflow((uint64_t)n, u->factor, &v) || v < s->min ||
	    v > s->max)
		return errtext(et, -EINVAL, "'%.64s' is not from %s to %s",
		    value, show(low, sizeof(low), s->type, s->min),
		    show(high, sizeof(high), s->type, s->max));
	*out = v;
	return 0;
}

static int
parse_bool(const char *value, bool *out, struct errtext *et)
{
	if (strcmp(value, "yes") == 0 || strcmp(value, "true") == 0 ||
	    strcmp(value, "1") == 0)
		*out = true;
	else if (strcmp(value, "no") == 0 || strcmp(value, "false") == 0 ||
		 strcmp(value, "0") == 0)
		*out = false;
	else
		return errtext(
		    et, -EINVAL, "'%.64s' is neither yes nor no", value);
	return 0;
}

static int
parse_word(const struct conf_setting *s, const char *value, uint64_t *out,
    struct errtext *et)
{
	char list[64]; /* all words of any setting fit */
	size_t len = 0, i;

	for (i = 0; s->words[i] != NULL; i++)
		if (strcmp(value, s->words[i]) == 0) {
			*out = i;
			return 0;
		}
	for (i = 0; s->words[i] != NULL; i++)
		len += (size_t)snprintf(
		    list + len, sizeof(list) - len, " %s", s->words[i]);
	return errtext(et, -EINVAL, "'%.64s' is not one of:%s", value, list);
}

static int
parse_text(const struct conf_setting *s, const char *value, char *out,
    struct errtext *et)
{
	struct net_addr addr;
	size_t len = strlen(value);

	if (len == 0)
		return errtext(et, -EINVAL, "is empty");
	if (len >= s->size)
		return errtext(
		    et, -EINVAL, "is longer than %zu bytes", s->size - 1);
	if (s->type == CONF_ADDRESS && net_addr_parse(value, &addr, et) < 0)
		return -EINVAL;
	memcpy(out, value, len + 1);
	return 0;
}

/* One item of a list: 0 and its bytes in item, or -EINVAL. */
static int
next_item(const char **list, char *item, size_t size, struct errtext *et)
{
	size_t len = strcspn(*list, ",");

	if (len == 0)
		return errtext(et, -EINVAL, "has an empty item");
	if (len >= size)
		return errtext(et, -EINVAL, "'%.40s...' is too long", *list);
	memcpy(item, *list, len);
	item[len] = '\0';
	*list += len;
	if (**list == ',') {
		(*list)++;
		if (**list == '\0')
			return errtext(et, -EINVAL, "ends with a comma");
	}
	return 0;
}

static int
add_addresses(struct conf *c, const char *value, struct errtext *et)
{
	char item[HOST_ADDR_MAX];
	struct net_addr addr;

	do {
		if (next_item(&value, item, sizeof(item), et) < 0 ||
		    net_addr_parse(item, &addr, et) < 0)
			return -EINVAL;
		if (c->client_count == CONF_CLIENTS_MAX)
			return errtext(et, -EINVAL, "more than %d addresses",
			    CONF_CLIENTS_MAX);
		memcpy(c->client[c->client_count++], item, sizeof(item));
	} while (*value != '\0');
	return 0;
}

static int
add_joins(struct conf *c, const char *value, struct errtext *et)
{
	char item[HOST_ADDR_MAX];
	struct net_addr addr;

	do {
		if (next_item(&value, item, sizeof(item), et) < 0 ||
		    net_addr_parse(item, &addr, et) < 0)
			return -EINVAL;
		if (c->join_count == HOST_MEMBERS_MAX)
			return errtext(et, -EINVAL, "more than %d addresses",
			    HOST_MEMBERS_MAX);
		memcpy(c->join[c->join_count++], addr.text, sizeof(c->join[0]));
	} while (*value != '\0');
	return 0;
}

static int
add_member(struct conf *c, char *item, struct errtext *et)
{
	struct host_member *m;
	struct net_addr addr;
	char *end;
	unsigned i;
	uint64_t id;

	errno = 0;
	id = strtoull(item, &end, 10);
	if (item[0] < '0' || item[0] > '9' || errno != 0 || *end != '=' ||
	    id == 0 || id > INT64_MAX)
		return errtext(et, -EINVAL, "'%.64s' is not ID=ADDRESS", item);
	if (net_addr_parse(end + 1, &addr, et) < 0)
		return -EINVAL;
	for (i = 0; i < c->bootstrap_count; i++)
		if (c->bootstrap[i].id == id)
			return errtext(et, -EINVAL,
			    "server %llu is named twice",
			    (unsigned long long)id);
	if (c->bootstrap_count == HOST_MEMBERS_MAX)
		return errtext(
		    et, -EINVAL, "more than %d members", HOST_MEMBERS_MAX);
	m = &c->bootstrap[c->bootstrap_count++];
	m->id = id;
	memcpy(m->address, addr.text, sizeof(m->address));
	return 0;
}

static int
add_members(struct conf *c, const char *value, struct errtext *et)
{
	char item[HOST_ADDR_MAX + 24];

	do {
		if (next_item(&value, item, sizeof(item), et) < 0 ||
		    add_member(c, item, et) < 0)
			return -EINVAL;
	} while (*value != '\0');
	return 0;
}

static int
store(struct conf *c, const struct conf_setting *s, const char *value,
    struct errtext *et)
{
	void *field = (char *)c + s->offset;

	switch (s->type) {
	case CONF_TEXT:
	case CONF_ADDRESS:
		return parse_text(s, value, field, et);
	case CONF_ADDRESSES:
		return add_addresses(c, value, et);
	case CONF_MEMBERS:
		return add_members(c, value, et);
	case CONF_JOIN:
		return add_joins(c, value, et);
	case CONF_NUMBER:
	case CONF_DURATION:
	case CONF_SIZE:
		return parse_quantity(s, value, field, et);
	case CONF_WORD:
		return parse_word(s, value, field, et);
	case CONF_BOOL:
		return parse_bool(value, field, et);
	}
	return -EINVAL;
}

static void
forget_list(struct conf *c, const struct conf_setting *s)
{
	if (s->type == CONF_ADDRESSES)
		c->client_count = 0;
	if (s->type == CONF_MEMBERS)
		c->bootstrap_count = 0;
	if (s->type == CONF_JOIN)
		c->join_count = 0;
}

static int
set_index(struct conf *c, size_t i, const char *value, enum conf_source source,
    struct errtext *et)
{
	const struct conf_setting *s = &conf_settings[i];
	struct conf other;
	int ret;

	if (source < c->source[i]) {
		/* Overruled, but it must make sense. */
		other = *c;
		forget_list(&other, s);
		return store(&other, s, value, et);
	}
	other = *c;
	if (source > c->source[i])
		forget_list(&other, s);
	ret = store(&other, s, value, et);
	if (ret < 0)
		return ret;
	other.source[i] = (uint8_t)source;
	*c = other;
	return 0;
}

int
conf_set(struct conf *c, const char *name, const char *value,
    enum conf_source source, struct errtext *et)
{
	struct errtext why = {""};
	size_t i;

	for (i = 0; i < SETTINGS; i++)
		if (strcmp(name, conf_settings[i].name) == 0)
			break;
	if (i == SETTINGS ||
	    (source == CONF_FILE && conf_settings[i].flag_only))
		return errtext(et, -ENOENT, "no such setting '%.64s'", name);
	if (set_index(c, i, value, source, &why) < 0)
		return errtext(et, -EINVAL, "%s: %.200s", name, why.text);
	return 0;
}

void
conf_init(struct conf *c)
{
	struct errtext et;
	size_t i;

	memset(c, 0, sizeof(*c));
	c->ready_fd = UINT64_MAX;
	for (i = 0; i < SETTINGS; i++)
		if (conf_settings[i].value != NULL) {
			int ret = set_index(
			    c, i, conf_settings[i].value, CONF_DEFAULT, &et);

			assert(ret == 0);
			(void)ret;
		}
}

/* ---- sources ---------------------------------------------------------- */

int
conf_options(struct conf *c, int argc, char **argv, struct errtext *et)
{
	struct option option[SETTINGS + 1];
	char letters[2 * SETTINGS + 2], *p = letters;
	const struct conf_setting *s;
	int ch, index;
	size_t i;

	memset(option, 0, sizeof(option));
	*p++ = ':'; /* we say what is wrong ourselves */
	for (i = 0; i < SETTINGS; i++) {
		s = &conf_settings[i];
		option[i].name = s->name;
		option[i].has_arg =
		    s->type == CONF_BOOL ? no_argument : required_argument;
		option[i].val = (int)(256 + i);
		if (s->letter != 0) {
			*p++ = s->letter;
			if (s->type != CONF_BOOL)
				*p++ = ':';
		}
	}
	*p = '\0';
	optind = 0;
	opterr = 0;
	while ((ch = getopt_long(argc, argv, letters, option, &index)) != -1) {
		if (ch == ':')
			return errtext(et, -EINVAL,
			    "option '%.64s' needs an argument",
			    argv[optind - 1]);
		if (ch == '?')
			return errtext(et, -EINVAL, "no option '%.64s'",
			    optopt > 0 && optopt < 256
				? (char[]){'-', (char)optopt, '\0'}
				: argv[optind - 1]);
		for (i = 0; i < SETTINGS; i++)
			if (ch == (int)(256 + i) ||
			    (ch < 256 && ch == conf_settings[i].letter))
				break;
		if (conf_set(c, conf_settings[i].name,
			conf_settings[i].type == CONF_BOOL ? "yes" : optarg,
			CONF_FLAG, et) < 0)
			return -EINVAL;
	}
	if (optind < argc)
		return errtext(
		    et, -EINVAL, "'%.64s' is not an option", argv[optind]);
	return 0;
}

int
conf_environment(struct conf *c, struct errtext *et)
{
	const char *value;
	struct errtext why;
	size_t i;

	for (i = 0; i < SETTINGS; i++) {
		if (conf_settings[i].env == NULL)
			continue;
		value = getenv(conf_settings[i].env);
		if (value == NULL || value[0] == '\0')
			continue;
		if (set_index(c, i, value, CONF_ENVIRONMENT, &why) < 0)
			return errtext(et, -EINVAL, "environment %s: %.200s",
			    conf_settings[i].env, why.text);
	}
	return 0;
}

struct reading {
	struct conf *conf;
	const char *p, *end;
	unsigned line;
	unsigned bad_line; /* 0: none yet */
	struct errtext why;
};

static void
spoil(struct reading *r, const char *why)
{
	if (r->bad_line != 0)
		return;
	r->bad_line = r->line;
	(void)errtext(&r->why, 0, "%s", why);
}

/* fgets(3) over the bytes, for libinih. */
static char *
read_line(char *buf, int size, void *stream)
{
	struct reading *r = stream;
	const char *newline;
	size_t len;

	if (r->p == r->end || r->bad_line != 0)
		return NULL;
	r->line++;
	newline = memchr(r->p, '\n', (size_t)(r->end - r->p));
	len = (size_t)((newline != NULL ? newline : r->end) - r->p);
	if (memchr(r->p, '\0', len) != NULL) {
		spoil(r, "contains a NUL byte");
		return NULL;
	}
	if (len + 2 > (size_t)size) {
		spoil(r, "is too long; a list may stand on several lines");
		return NULL;
	}
	memcpy(buf, r->p, len);
	buf[len] = '\n';
	buf[len + 1] = '\0';
	r->p += len + (newline != NULL);
	return buf;
}

static int
one_setting(
    void *user, const char *section, const char *name, const char *value)
{
	struct reading *r = user;
	struct errtext why;

	if (section[0] != '\0') {
		spoil(r, "sections are not used");
		return 0;
	}
	if (conf_set(r->conf, name, value, CONF_FILE, &why) < 0) {
		spoil(r, why.text);
		return 0;
	}
	return 1;
}

int
conf_text(struct conf *c, const char *path, const char *text, size_t len,
    struct errtext *et)
{
	struct reading r = {.conf = c, .p = text, .end = text + len};
	int line;

	line = ini_parse_stream(read_line, &r, one_setting, &r);
	if (r.bad_line != 0)
		return errtext(et, -EINVAL, "%.100s:%u: %.140s", path,
		    r.bad_line, r.why.text);
	if (line > 0)
		return errtext(
		    et, -EINVAL, "%.100s:%d: not 'name = value'", path, line);
	return line < 0 ? errtext(et, -ENOMEM, "out of memory") : 0;
}

int
conf_file(struct conf *c, const char *path, struct errtext *et)
{
	char *text;
	size_t len;
	FILE *f;
	int ret;

	f = fopen(path, "re");
	if (f == NULL)
		return errtext(et, -errno, "cannot open '%.100s': %m", path);
	text = malloc(CONF_FILE_LEN_MAX + 1);
	if (text == NULL) {
		(void)fclose(f);
		return errtext(et, -ENOMEM, "out of memory");
	}
	len = fread(text, 1, CONF_FILE_LEN_MAX + 1, f);
	if (ferror(f))
		ret = errtext(et, -EIO, "cannot read '%.100s'", path);
	else if (len > CONF_FILE_LEN_MAX)
		ret = errtext(et, -EINVAL, "'%.100s' is too long", path);
	else
		ret = conf_text(c, path, text, len, et);
	free(text);
	(void)fclose(f);
	return ret;
}

/* ---- the whole -------------------------------------------------------- */

static int
judge_local(const struct conf *c, const char *text, struct errtext *et)
{
	struct net_addr addr;

	if (net_addr_parse(text, &addr, et) < 0)
		return -EINVAL;
	if (c->insecure || net_addr_is_local(&addr))
		return 0;
	return errtext(et, -EINVAL,
	    "address '%s' is reachable from other machines, and there is no "
	    "TLS: --insecure allows it",
	    text);
}

static int
judge_addresses(const struct conf *c, struct errtext *et)
{
	unsigned i;

	if (judge_local(c, c->peer, et) < 0)
		return -EINVAL;
	for (i = 0; i < c->client_count; i++)
		if (judge_local(c, c->client[i], et) < 0)
			return -EINVAL;
	for (i = 0; i < c->bootstrap_count; i++)
		if (judge_local(c, c->bootstrap[i].address, et) < 0)
			return -EINVAL;
	for (i = 0; i < c->join_count; i++)
		if (judge_local(c, c->join[i], et) < 0)
			return -EINVAL;
	return 0;
}

static int
complete(struct conf *c, struct errtext *et)
{
	char cwd[HOST_ADDR_MAX];
	unsigned i;
	int n;

	if (c->id == 0)
		return errtext(et, -EINVAL, "no server number: -n ID");
	if (c->dir[0] == '\0')
		return errtext(et, -EINVAL, "no data directory: -d DIR");
	for (i = 0; i < c->bootstrap_count; i++)
		if (c->bootstrap[i].id == c->id)
			break;
	if (c->bootstrap_count > 0 && i == c->bootstrap_count)
		return errtext(et, -EINVAL,
		    "bootstrap does not name this server, %llu",
		    (unsigned long long)c->id);
	if (c->bootstrap_count > 0 && c->join_count > 0)
		return errtext(et, -EINVAL,
		    "bootstrap begins a cluster, join enters one: give one "
		    "of them");
	if (c->peer[0] == '\0' && c->bootstrap_count == 0)
		return errtext(et, -EINVAL, "no address for peers: -p ADDR");
	if (c->peer[0] == '\0')
		memcpy(c->peer, c->bootstrap[i].address, sizeof(c->peer));
	if (c->name[0] == '\0')
		(void)snprintf(c->name, sizeof(c->name), "%llu",
		    (unsigned long long)c->id);
	if (c->client_count > 0)
		return 0;
	/* Others are told this address, so it does not depend on where they
	 * stand, unless that makes it too long for a socket. */
	n = -1;
	if (c->dir[0] != '/' && getcwd(cwd, sizeof(cwd)) != NULL)
		n = snprintf(c->client[0], sizeof(c->client[0]),
		    "unix:%s/%s/raftd.sock", cwd, c->dir);
	if (n < 0 || (size_t)n > SOCKET_PATH_MAX + strlen("unix:"))
		n = snprintf(c->client[0], sizeof(c->client[0]),
		    "unix:%s/raftd.sock", c->dir);
	if (n < 0 || (size_t)n >= sizeof(c->client[0]))
		return errtext(et, -EINVAL,
		    "'%s' is too long for a socket in it: give -c ADDR",
		    c->dir);
	c->client_count = 1;
	return 0;
}

int
conf_judge(struct conf *c, struct errtext *et)
{
	if (complete(c, et) < 0 || judge_addresses(c, et) < 0)
		return -EINVAL;
	if (c->election_ns < 2 * c->heartbeat_ns)
		return errtext(
		    et, -EINVAL, "election: shorter than two heartbeats");
	if (c->uncommitted_bytes_max < c->value_len_max + WIRE_OVERHEAD_MAX)
		return errtext(et, -EINVAL,
		    "uncommitted: no room for one value of value-max");
	if (c->client_output_max < c->value_len_max + WIRE_OVERHEAD_MAX)
		return errtext(et, -EINVAL,
		    "client-output: no room for one value of value-max");
	if (c->peer_backlog_max < 2 * (c->value_len_max + WIRE_OVERHEAD_MAX))
		return errtext(et, -EINVAL,
		    "peer-backlog: no room for two values of value-max");
	return 0;
}

static int
read_sources(struct conf *c, struct errtext *et)
{
	int ret;

	ret = conf_environment(c, et);
	if (ret == 0 && c->file[0] != '\0')
		ret = conf_file(c, c->file, et);
	if (ret == 0)
		ret = conf_judge(c, et);
	return ret;
}

int
conf_load(struct conf *c, int argc, char **argv)
{
	struct errtext et = {""};

	conf_init(c);
	if (conf_options(c, argc, argv, &et) < 0) {
		(void)fprintf(stderr,
		    "raftd: %s\nraftd: --help lists the options\n", et.text);
		return EXIT_USAGE;
	}
	if (c->help) {
		conf_usage(stdout);
		return EXIT_OK;
	}
	if (c->version) {
		(void)printf("raftd %s\n", RAFTKIT_VERSION);
		return EXIT_OK;
	}
	if (read_sources(c, &et) < 0) {
		(void)fprintf(stderr, "raftd: %s\n", et.text);
		return EXIT_CONFIG;
	}
	return c->check ? EXIT_OK : -1;
}

int
conf_reload(struct conf *running, int argc, char **argv, struct errtext *et)
{
	const struct conf_setting *s;
	struct conf c;
	size_t i;
	int ret;

	conf_init(&c);
	ret = conf_options(&c, argc, argv, et);
	if (ret == 0)
		ret = read_sources(&c, et);
	if (ret < 0)
		return ret;
	for (i = 0; i < SETTINGS; i++) {
		s = &conf_settings[i];
		if (!s->reload)
			continue;
		/* Only quantities and words can be reloaded. */
		assert(s->type >= CONF_NUMBER && s->type <= CONF_WORD);
		memcpy((char *)running + s->offset,
		    (const char *)&c + s->offset, sizeof(uint64_t));
		running->source[i] = c.source[i];
	}
	return 0;
}

/* ---- usage ------------------------------------------------------------ */

void
conf_synopsis(FILE *f)
{
	const struct conf_setting *s;
	char word[96];
	int column, len;
	size_t i;

	column = fprintf(f, "usage: raftd");
	for (i = 0; i < SETTINGS; i++) {
		s = &conf_settings[i];
		len = s->letter != 0
			  ? snprintf(word, sizeof(word), "[-%c", s->letter)
			  : snprintf(word, sizeof(word), "[--%s", s->name);
		if (len < 0)
			return;
		len += snprintf(word + len, sizeof(word) - (size_t)len, "%s%s]",
		    s->argument != NULL ? " " : "",
		    s->argument != NULL ? s->argument : "");
		if (column + 1 + len > 79)
			column = fprintf(f, "\n            ") - 1;
		column += fprintf(f, " %s", word);
	}
	(void)fprintf(f, "\n");
}

void
conf_usage(FILE *f)
{
	const struct conf_setting *s;
	char left[64];
	size_t i;

	conf_synopsis(f);
	(void)fprintf(f, "\n");
	for (i = 0; i < SETTINGS; i++) {
		s = &conf_settings[i];
		if (s->letter != 0)
			(void)snprintf(left, sizeof(left), "-%c, --%s %s",
			    s->letter, s->name,
			    s->argument != NULL ? s->argument : "");
		else
			(void)snprintf(left, sizeof(left), "    --%s %s",
			    s->name, s->argument != NULL ? s->argument : "");
		(void)fprintf(f, "  %-27s %s", left, s->help);
		if (s->value != NULL)
			(void)fprintf(f, "; default %s", s->value);
		(void)fprintf(f, "\n");
	}
}
