/*
 * endpoint.h - where a server takes clients.
 *
 *	unix:/path	/path	host:port	[::1]:port
 *
 * Lists are comma-separated.  Parsing only looks at the text; names are
 * resolved when they are needed, because the server that a name stands for
 * may not be there yet.
 */
#ifndef RAFTCTL_ENDPOINT_H
#define RAFTCTL_ENDPOINT_H

#include <stddef.h>
#include <sys/socket.h>

#include "raftctl/errtext.h"

#define ENDPOINT_TEXT_MAX 256 /* with the NUL */
#define ENDPOINTS_MAX 64      /* in one list */
#define ENDPOINT_ADDRS_MAX 8  /* that one name may stand for */

struct endpoint_addr {
	struct sockaddr_storage sa;
	socklen_t len;
};

struct endpoint {
	char text[ENDPOINT_TEXT_MAX]; /* as the user wrote it */
	char host[ENDPOINT_TEXT_MAX]; /* or the path */
	char port[8];		      /* empty for a path */
	unsigned count;		      /* addresses known, 0: not resolved */
	struct endpoint_addr addr[ENDPOINT_ADDRS_MAX];
};

/* One address of len bytes: 0, or -EINVAL with the reason. */
int endpoint_parse(
    const char *text, size_t len, struct endpoint *, struct errtext *);

/* A list: *list belongs to the caller, to be freed with free().  An empty
 * list is -EINVAL. */
int endpoint_parse_list(const char *text, struct endpoint **list,
    unsigned *count, struct errtext *);

/* Fill in the addresses, unless they are there.  May block on the resolver.
 * 0, or -EHOSTUNREACH with the resolver's reason. */
int endpoint_resolve(struct endpoint *, struct errtext *);

#endif
