/*
 * net.h - addresses and sockets: unix:/path, /path, host:port, [::1]:port.
 *
 * Every descriptor made here is non-blocking and close-on-exec.
 */
#ifndef RAFTD_NET_H
#define RAFTD_NET_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/un.h>

#include "raftctl/errtext.h"
#include "raftd/host.h"

struct net_addr {
	char text[HOST_ADDR_MAX]; /* as it was written */
	bool is_unix;
	char path[sizeof(((struct sockaddr_un *)NULL)->sun_path)];
	char host[HOST_ADDR_MAX]; /* name or number, without brackets */
	uint16_t port;
};

/* A socket address of any kind that we use. */
struct net_sock {
	union {
		struct sockaddr sa;
		struct sockaddr_in in4;
		struct sockaddr_in6 in6;
		struct sockaddr_un un;
	};
	socklen_t len;
};

/* 0 or -EINVAL; et says what is wrong with it. */
int net_addr_parse(const char *text, struct net_addr *, struct errtext *);
/* Bytes to it never leave this machine: unix, 127/8, ::1, "localhost". */
bool net_addr_is_local(const struct net_addr *);
/* Without asking anybody: 0, or -EADDRNOTAVAIL when it is a name. */
int net_addr_numeric(const struct net_addr *, struct net_sock *);

struct net_listener {
	int fd;
	struct net_addr addr; /* with the real port if it was 0 */
	dev_t dev; /* of a unix socket, so that we remove only ours */
	ino_t ino;
};

/*
 * Bind and listen.  May ask the resolver, so only at start.  The socket of a
 * dead server is replaced; -EADDRINUSE if a living one holds it.
 */
int net_listen(
    const struct net_addr *, struct net_listener *, struct errtext *);
/* Closes and removes the socket's name if it is still ours. */
void net_listener_close(struct net_listener *);

/* A descriptor or -errno. */
int net_accept(const struct net_listener *);

/*
 * Begin to connect; *done tells whether it already is.  from (or NULL) is
 * bound first.  Returns a descriptor or -errno.
 */
int net_dial(
    const struct net_sock *to, const struct net_sock *from, bool *done);
/* 0 or -errno: how a connect ended. */
int net_dialled(int fd);
/* Unacknowledged bytes break a TCP connection after so long. */
void net_user_timeout(int fd, uint64_t ns);

/* Raise the descriptor limit as far as it goes; returns it. */
uint64_t net_descriptors(void);

#endif
