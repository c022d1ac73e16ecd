/*
 * conf.h - what raftd was told: options, environment, configuration file.
 *
 * One table, conf_settings, names every setting once; the parsers, the usage
 * text and the reload go by it.  A flag beats the environment, which beats
 * the file, which beats the default, whatever the order they are read in;
 * what is overruled must still be well-formed.
 *
 * Documented in raftd(8) and raftd.conf(5).
 */
#ifndef RAFTD_CONF_H
#define RAFTD_CONF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "raftctl/errtext.h"
#include "raftd/host.h"

#define CONF_CLIENTS_MAX 4
#define CONF_SETTINGS_MAX 48
#define CONF_FILE_LEN_MAX (1u << 20)

/* Exit statuses of raftd, from design to manual page: raftd(8). */
enum conf_exit {
	EXIT_OK = 0,
	EXIT_USAGE = 64,
	EXIT_DATA = 65,
	EXIT_BUG = 70,
	EXIT_OS = 71,
	EXIT_CREATE = 73,
	EXIT_IO = 74,
	EXIT_CONFIG = 78,
};

enum conf_source {
	CONF_DEFAULT,
	CONF_FILE,
	CONF_ENVIRONMENT,
	CONF_FLAG,
};

enum conf_storage {
	CONF_STORAGE_THREAD, /* a thread writes and syncs */
	CONF_STORAGE_INLINE, /* the event thread does */
	CONF_STORAGE_AUTO,   /* the event thread, when nothing else waits */
};

struct conf {
	uint64_t id;
	char dir[256];
	char peer[HOST_ADDR_MAX];
	char client[CONF_CLIENTS_MAX][HOST_ADDR_MAX];
	unsigned client_count;
	struct host_member bootstrap[HOST_MEMBERS_MAX];
	unsigned bootstrap_count;
	char join[HOST_MEMBERS_MAX][HOST_ADDR_MAX];
	unsigned join_count;
	char cluster[64];
	char name[64];
	char file[256];

	uint64_t heartbeat_ns, election_ns, request_timeout_ns, grace_ns;
	uint64_t key_len_max, value_len_max;
	uint64_t cache_bytes_max, inflight_bytes_max, uncommitted_bytes_max;
	uint64_t append_entries_max;
	uint64_t wal_segment_size;
	uint64_t snapshot_bytes, snapshot_entries, snapshot_rate;
	uint64_t scrub_ns, scrub_rate;
	uint64_t connections_max, client_requests_max, client_output_max;
	uint64_t peer_backlog_max;
	uint64_t storage;   /* enum conf_storage */
	uint64_t log_level; /* enum host_log_level */
	uint64_t ready_fd;  /* UINT64_MAX: none */
	uint64_t priority, min_insync;
	uint64_t lease_drift_ppm;
	uint64_t follower_reads; /* enum follower_reads */
	uint64_t in_sync_entries, in_sync_bytes, in_sync_ns;
	bool insecure, no_fsync, early_vote, no_joint;

	bool check, help, version;	   /* flags only */
	uint8_t source[CONF_SETTINGS_MAX]; /* enum conf_source */
};

enum conf_type {
	CONF_TEXT,
	CONF_ADDRESS,
	CONF_ADDRESSES, /* a list; may be given more than once */
	CONF_JOIN,	/* a list of other servers' */
	CONF_MEMBERS,	/* ID=ADDR,...; may be given more than once */
	CONF_NUMBER,
	CONF_DURATION,
	CONF_SIZE,
	CONF_WORD, /* one of words */
	CONF_BOOL, /* an option without an argument */
};

struct conf_setting {
	const char *name; /* --name and in the file */
	char letter;	  /* -x, or 0 */
	const char *env;
	enum conf_type type;
	size_t offset;	   /* in struct conf */
	size_t size;	   /* of a text */
	uint64_t min, max; /* of a number, a duration in ns, a size */
	const char *value; /* default, as it would be written; NULL none */
	const char *const *words;
	const char *argument; /* for the usage text */
	const char *help;
	bool flag_only; /* not in a file */
	bool reload;	/* SIGHUP */
};

extern const struct conf_setting conf_settings[];
size_t conf_settings_count(void);

/* Defaults. */
void conf_init(struct conf *);
/* -ENOENT no such setting, -EINVAL bad value, and et says why. */
int conf_set(struct conf *, const char *name, const char *value,
    enum conf_source, struct errtext *);
/* 0 or -EINVAL.  Resets getopt(3). */
int conf_options(struct conf *, int argc, char **argv, struct errtext *);
int conf_environment(struct conf *, struct errtext *);
/* 0, -EINVAL, or -errno of reading it. */
int conf_file(struct conf *, const char *path, struct errtext *);
/* The same over bytes; path is for messages. */
int conf_text(struct conf *, const char *path, const char *text, size_t len,
    struct errtext *);
/* Fill in what follows from the rest, and judge the whole: 0 or -EINVAL. */
int conf_judge(struct conf *, struct errtext *);

/*
 * All of it, in order.  -1: go on.  Else the exit status: help, version and
 * --check-config have printed what they print, an error is on stderr.
 */
int conf_load(struct conf *, int argc, char **argv);
/* Again, for SIGHUP: the settings that may change are taken over into
 * the running configuration.  0 or -errno, nothing taken over. */
int conf_reload(struct conf *, int argc, char **argv, struct errtext *);

void conf_usage(FILE *);
void conf_synopsis(FILE *);

#endif
