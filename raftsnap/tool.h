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

int snaptool_main(int argc, char **argv);

int snaptool_open(const char *name, struct tool_input *); /* 0 or a status */
void snaptool_close(struct tool_input *);
int64_t snaptool_get(void *input, void *, size_t);
/* Says why, and gives the status for it. */
int snaptool_fail(int error, const char *name, const char *why);

/* ---- commands ---------------------------------------------------------- */

int snapcmd_verify(int argc, char **argv);
int snapcmd_info(int argc, char **argv);
int snapcmd_save(int argc, char **argv);
int snapcmd_ls(int argc, char **argv);
int snapcmd_cat(int argc, char **argv);
int snapcmd_export(int argc, char **argv);
int snapcmd_diff(int argc, char **argv);
int snapcmd_restore(int argc, char **argv);

extern const char *snaptool_dir;      /* --dir */
extern const char *snaptool_member[]; /* --member, ends with NULL */
extern const char *snaptool_id;	      /* --id */
extern const char *snaptool_cluster;  /* --cluster */

#endif
