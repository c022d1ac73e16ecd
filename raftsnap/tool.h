/*
 * tool.h - the program raftsnap, over the library: raftsnap(8).
 */
#ifndef RAFTSNAP_TOOL_H
#define RAFTSNAP_TOOL_H

#include <stdio.h>

#include "raftsnap/snap.h"

enum {
	TOOL_OK = 0,
	TOOL_NO = 1,
	TOOL_USAGE = 64,
	TOOL_DATA = 65,
	TOOL_INPUT = 66,
	TOOL_OS = 71,
	TOOL_CREATE = 73,
	TOOL_IO = 74,
};

/* A file, or standard input for "-". */
struct tool_input {
	const char *name;
	int fd;
	uint64_t taken;
	int copy; /* descriptor that gets what is read, -1 none */
};

int tool_main(int argc, char **argv);

int tool_open(const char *name, struct tool_input *); /* 0 or a status */
void tool_close(struct tool_input *);
int64_t tool_get(void *input, void *, size_t);
/* Says why, and gives the status for it. */
int tool_fail(int error, const char *name, const char *why);

/* ---- commands ---------------------------------------------------------- */

int cmd_verify(int argc, char **argv);
int cmd_info(int argc, char **argv);
int cmd_save(int argc, char **argv);
int cmd_ls(int argc, char **argv);
int cmd_cat(int argc, char **argv);
int cmd_export(int argc, char **argv);
int cmd_diff(int argc, char **argv);
int cmd_restore(int argc, char **argv);

extern const char *tool_dir;	  /* --dir */
extern const char *tool_member[]; /* --member, ends with NULL */
extern const char *tool_id;	  /* --id */
extern const char *tool_cluster;  /* --cluster */

#endif
