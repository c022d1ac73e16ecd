/*
 * tool.h - the program raftsnap, over the library: raftsnap(8).
 *
 *	tool.c		options, the table of commands
 *	input.c		where a snapshot comes from
 *	remote.c	a live server as such a place
 *	progress.c	how far long work has come; signals
 *	json.c		records as JSON
 *	commands.c	verify, info, ls, cat, export, diff
 *	save.c		save
 *	state.c		the state of a snapshot, loaded
 *	restore.c	restore
 *	import.c	import
 */
#ifndef RAFTSNAP_TOOL_H
#define RAFTSNAP_TOOL_H

#include <jansson.h>
#include <signal.h>
#include <stdio.h>

#include "raftctl/mp.h"
#include "raftsnap/image.h"
#include "raftsnap/snap.h"

enum {
	TOOL_OK = 0,
	TOOL_NO = 1,
	TOOL_USAGE = 64,
	TOOL_DATA = 65,
	TOOL_INPUT = 66,
	TOOL_UNAVAILABLE = 69,
	TOOL_OS = 71,
	TOOL_CREATE = 73,
	TOOL_IO = 74,
};

#define TOOL_MEMBERS_MAX 16

/* What the options said. */
struct tool_options {
	const char *command;			  /* its name */
	const char *dir;			  /* --dir */
	const char *server;			  /* --endpoints */
	const char *id;				  /* --id */
	const char *cluster;			  /* --cluster */
	const char *member[TOOL_MEMBERS_MAX + 1]; /* --member, NULL ends */
	uint64_t advance;			  /* --advance */
	uint64_t timeout_ms;			  /* --timeout */
	bool newest;				  /* --newest */
	bool json;				  /* --json */
	bool zero;				  /* --zero */
	const char *progress;			  /* --progress, or NULL */
};
extern struct tool_options snaptool;

int snaptool_main(int argc, char **argv);
/* Says why, and gives the status for it. */
int snaptool_fail(int error, const char *name, const char *why);

/* ---- input.c ----------------------------------------------------------- */

/* A file, standard input, the newest of a data directory, a server. */
struct remote;
struct tool_input {
	const char *name; /* for messages */
	char path[4096];  /* of the file, in a directory */
	int fd;
	struct remote *remote;
	uint64_t total; /* bytes, 0: not known */
	int copy;	/* descriptor that gets what is read, -1 none */
};

/*
 * name: a file, "-", a data directory, of which the newest valid one is
 * taken; NULL: what --dir or --endpoints says.  0, or a status and the reason
 * was said.
 */
int snaptool_open(const char *name, struct tool_input *);
void snaptool_close(struct tool_input *);
int64_t snaptool_get(void *input, void *, size_t);
/* The status for an error of reading it; why may be empty. */
int snaptool_input_fail(const struct tool_input *, int error, const char *why);
/* Whether --dir or --endpoints stands for the first operand. */
bool snaptool_has_source(void);
/* All of it to a descriptor. */
int snaptool_write(int fd, const void *, size_t);
int snaptool_put(void *fd, const void *, size_t);

/* ---- remote.c ---------------------------------------------------------- */

/* A snapshot of a server: a new one, or with --newest one that it has.  0 or
 * a status, and the reason was said. */
int remote_open(const char *endpoints, struct remote **, uint64_t *total);
int64_t remote_get(struct remote *, void *, size_t);
int remote_status(const struct remote *); /* after an error */
const char *remote_why(const struct remote *);
void remote_close(struct remote *);

/* ---- progress.c -------------------------------------------------------- */

extern volatile sig_atomic_t snaptool_signal; /* that ends us, or 0 */

void progress_init(void);
void progress_begin(const char *what, uint64_t total); /* 0: not known */
void progress_add(uint64_t bytes);
void progress_poke(void); /* if somebody asked */
void progress_end(void);

/* ---- json.c ------------------------------------------------------------ */

/* "key" if the bytes are UTF-8, "key_b64" if not. */
void json_put_bytes(json_t *, const char *name, const uint8_t *, size_t);
/* The other way: malloc'd; NULL: neither is there, or it is malformed. */
uint8_t *json_get_bytes(const json_t *, const char *name, size_t *len);
json_t *json_hex(const uint8_t *, size_t);
json_t *json_record(const struct image_record *);
void json_print(json_t *); /* takes it */

/* ---- state.c ----------------------------------------------------------- */

struct fsm;
struct state {
	struct fsm *fsm;
	struct snap_meta meta;
	struct snap_sum sum;
	uint8_t *config; /* that of meta */
};

/* Reads all of it, and judges all of it.  0 or a status. */
int state_load(const char *name, struct state *);
/* One without a record, of now. */
int state_new(struct state *);
void state_release(struct state *);
/* So that meta fits the state again, after it was changed. */
void state_seal(struct state *);
/* The callback of snap_save(); ctx is a struct state. */
int state_fill(void *ctx, struct snap_writer *);

/* ---- commands ---------------------------------------------------------- */

int snapcmd_verify(int argc, char **argv);
int snapcmd_info(int argc, char **argv);
int snapcmd_save(int argc, char **argv);
int snapcmd_ls(int argc, char **argv);
int snapcmd_cat(int argc, char **argv);
int snapcmd_export(int argc, char **argv);
int snapcmd_diff(int argc, char **argv);
int snapcmd_restore(int argc, char **argv);
int snapcmd_import(int argc, char **argv);

/* save.c: writes a file by its content, whole or not at all. */
typedef int (*save_fill)(void *ctx, int fd); /* a status */
int snaptool_save(const char *to, save_fill, void *ctx);

#endif
