/*
 * server.h - one running raftd: the host with its sockets, its storage
 * thread, its signals, and the loop that turns it.
 */
#ifndef RAFTD_SERVER_H
#define RAFTD_SERVER_H

#include "raftd/conf.h"

/* Serves until told to stop; returns the exit status.  argc and argv are
 * read again on SIGHUP. */
int server_run(struct conf *, int argc, char **argv);

#endif
