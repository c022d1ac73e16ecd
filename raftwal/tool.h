/*
 * tool.h - the program raftwal: its options, its commands, its output.
 */
#ifndef RAFTWAL_TOOL_H
#define RAFTWAL_TOOL_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "raftctl/errtext.h"
#include "raftwal/disk.h"
#include "raftwal/show.h"

enum tool_output { OUTPUT_TEXT, OUTPUT_JSON, OUTPUT_RAW, OUTPUT_FIELDS };

/* Which options a command takes, as bits. */
enum tool_option {
	OPTION_RANGE = 1, /* --from --to --type */
	OPTION_FOLLOW = 2,
	OPTION_COUNT = 4,
	OPTION_ENCODING = 8,
	OPTION_RAW = 16, /* -o raw means something */
	OPTION_WRITE = 32,
	OPTION_PLAN = 64, /* --plan --confirm */
	OPTION_PEER = 128,
	OPTION_SERVER = 256,
	OPTION_HISTORY = 512,
	OPTION_GROUP = 1024,
	DIRS_TWO = 2048, /* takes two directories */
};

struct tool {
	const char *dir, *dir2;
	struct disk disk, disk2;
	enum tool_output output;
	bool json_errors;
	enum show_encoding encoding;
	uint64_t from, to;
	uint32_t group;
	bool has_group;
	const char *type; /* NULL: any */
	bool follow;
	uint64_t count; /* of records that tail shows */
	bool write;	/* --write: the directory is locked */
	const char *plan, *confirm;
	const char *peer;   /* --from-peer */
	const char *server; /* -s */
	bool history;
};

struct tool_command {
	const char *name, *args, *help;
	unsigned options; /* enum tool_option bits */
	int (*run)(struct tool *);
};

extern const struct tool_command tool_commands[];

int run_recover(struct tool *);
int run_repair(struct tool *);
int run_diff(struct tool *);
int run_compact(struct tool *);
int run_export(struct tool *);

/* Reads the options, runs the command, answers the exit status. */
int tool_main(int argc, char **argv);

/* Print an error as the options ask for and answer `status`. */
int tool_fail(const struct tool *, int status, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* The exit status for an error of the library. */
int tool_status(int error);
/* The same for what a command ended with; 0 and -EPIPE are no failure. */
int tool_finish(const struct tool *, int error, const struct errtext *);
/* 32 digits of an id, and their end. */
const char *tool_hex(const uint8_t id[16], char text[33]);
/* One object, one line; frees it.  -EPIPE when nobody reads any more. */
int tool_print_json(json_t *);

#endif
