/*
 * net.c - addresses and sockets.
 */
#include "raftd/net.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#define NET_BACKLOG 1024
/* A silent connection is asked whether anybody is there: machines vanish. */
#define NET_KEEPALIVE_S 60
#define NET_DESCRIPTORS_MAX 1048576 /* more is of no use to anybody */

static int
parse_port(const char *text, uint16_t *port)
{
	unsigned long n;
	char *end;

	if (text[0] < '0' || text[0] > '9')
		return -EINVAL;
	errno = 0;
	n = strtoul(text, &end, 10);
	if (errno != 0 || *end != '\0' || n > UINT16_MAX)
		return -EINVAL;
	*port = (uint16_t)n;
	return 0;
}

static int
parse_tcp(const char *text, struct net_addr *a, struct errtext *et)
{
	const char *colon = strrchr(text, ':'), *host = text;
	size_t len;

	if (colon == NULL)
		return errtext(et, -EINVAL,
		    "address '%s' is not unix:/path, /path or host:port", text);
	len = (size_t)(colon - text);
	if (text[0] == '[') {
		if (len < 3 || text[len - 1] != ']')
			return errtext(
			    et, -EINVAL, "address '%s' lacks its ']'", text);
		host++;
		len -= 2;
	} else if (memchr(text, ':', len) != NULL)
		return errtext(et, -EINVAL,
		    "address '%s': write IPv6 as [address]:port", text);
	if (len == 0)
		return errtext(et, -EINVAL, "address '%s' lacks a host", text);
	if (parse_port(colon + 1, &a->port) < 0)
		return errtext(et, -EINVAL,
		    "address '%s' lacks a port from 0 to 65535", text);
	memcpy(a->host, host, len);
	a->host[len] = '\0';
	return 0;
}

int
net_addr_parse(const char *text, struct net_addr *out, struct errtext *et)
{
	struct net_addr a = {0};
	const char *path = text;
	int ret;

	if (strlen(text) >= sizeof(a.text))
		return errtext(et, -EINVAL, "address is longer than %zu bytes",
		    sizeof(a.text) - 1);
	memcpy(a.text, text, strlen(text) + 1);
	if (strncmp(text, "unix:", 5) == 0)
		path = text + 5;
	if (path != text || text[0] == '/') {
		if (path[0] == '\0')
			return errtext(
			    et, -EINVAL, "address '%s' lacks a path", text);
		if (strlen(path) >= sizeof(a.path))
			return errtext(et, -EINVAL,
			    "path of address '%s' is longer than %zu bytes",
			    text, sizeof(a.path) - 1);
		a.is_unix = true;
		memcpy(a.path, path, strlen(path) + 1);
	} else {
		ret = parse_tcp(text, &a, et);
		if (ret < 0)
			return ret;
	}
	*out = a;
	return 0;
}

static void
sock_unix(const struct net_addr *a, struct net_sock *s)
{
	memset(s, 0, sizeof(*s));
	s->un.sun_family = AF_UNIX;
	memcpy(s->un.sun_path, a->path, sizeof(s->un.sun_path));
	s->len = sizeof(s->un);
}

int
net_addr_numeric(const struct net_addr *a, struct net_sock *out)
{
	struct net_sock s;

	memset(&s, 0, sizeof(s));
	if (a->is_unix) {
		sock_unix(a, &s);
	} else if (inet_pton(AF_INET, a->host, &s.in4.sin_addr) == 1) {
		s.in4.sin_family = AF_INET;
		s.in4.sin_port = htons(a->port);
		s.len = sizeof(s.in4);
	} else if (inet_pton(AF_INET6, a->host, &s.in6.sin6_addr) == 1) {
		s.in6.sin6_family = AF_INET6;
		s.in6.sin6_port = htons(a->port);
		s.len = sizeof(s.in6);
	} else
		return -EADDRNOTAVAIL;
	*out = s;
	return 0;
}

bool
net_addr_is_local(const struct net_addr *a)
{
	struct net_sock s;

	if (a->is_unix || strcmp(a->host, "localhost") == 0)
		return true;
	if (net_addr_numeric(a, &s) < 0)
		return false;
	if (s.sa.sa_family == AF_INET)
		return (ntohl(s.in4.sin_addr.s_addr) >> 24) == 127;
	return IN6_IS_ADDR_LOOPBACK(&s.in6.sin6_addr);
}

static int
socket_new(int family)
{
	int fd, one = 1;

	fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	if (family != AF_UNIX)
		(void)setsockopt(
		    fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	return fd;
}

/* Does anybody listen there? */
static bool
is_alive(const struct net_sock *s)
{
	int fd = socket_new(AF_UNIX);
	bool alive;

	if (fd < 0)
		return true;
	/* EAGAIN: its backlog is full, so it is there. */
	alive = connect(fd, &s->sa, s->len) == 0 || errno == EAGAIN;
	(void)close(fd);
	return alive;
}

static int
listen_unix(
    const struct net_addr *a, struct net_listener *out, struct errtext *et)
{
	struct net_sock s;
	struct stat st;
	mode_t mask;
	int fd, ret;

	sock_unix(a, &s);
	if (lstat(a->path, &st) == 0) {
		if (!S_ISSOCK(st.st_mode))
			return errtext(et, -EADDRINUSE,
			    "'%s' exists and is not a socket", a->path);
		if (is_alive(&s))
			return errtext(et, -EADDRINUSE,
			    "another server listens on '%s'", a->path);
		(void)unlink(a->path);
	}
	fd = socket_new(AF_UNIX);
	if (fd < 0)
		return errtext(et, fd, "socket: %s", strerror(-fd));
	mask = umask(0177);
	ret = bind(fd, &s.sa, s.len) < 0 ? -errno : 0;
	(void)umask(mask);
	if (ret == 0 &&
	    (lstat(a->path, &st) < 0 || listen(fd, NET_BACKLOG) < 0))
		ret = -errno;
	if (ret < 0) {
		(void)close(fd);
		return errtext(et, ret, "cannot listen on '%s': %s", a->path,
		    strerror(-ret));
	}
	*out = (struct net_listener){
	    .fd = fd,
	    .addr = *a,
	    .dev = st.st_dev,
	    .ino = st.st_ino,
	};
	return 0;
}

/* The port that the kernel chose, where 0 was asked for. */
static void
note_port(struct net_listener *l)
{
	struct net_sock s = {.len = sizeof(struct sockaddr_in6)};
	char port[8], *colon;

	if (l->addr.port != 0 || getsockname(l->fd, &s.sa, &s.len) < 0)
		return;
	l->addr.port = ntohs(
	    s.sa.sa_family == AF_INET6 ? s.in6.sin6_port : s.in4.sin_port);
	(void)snprintf(port, sizeof(port), "%u", l->addr.port);
	colon = strrchr(l->addr.text, ':');
	if (colon != NULL &&
	    (size_t)(colon + 1 - l->addr.text) + sizeof(port) <=
		sizeof(l->addr.text))
		memcpy(colon + 1, port, strlen(port) + 1);
}

static int
listen_tcp(
    const struct net_addr *a, struct net_listener *out, struct errtext *et)
{
	struct addrinfo hints = {
	    .ai_socktype = SOCK_STREAM,
	    .ai_flags = AI_NUMERICSERV | AI_PASSIVE,
	};
	struct addrinfo *list, *ai;
	char port[8];
	int fd = -1, ret, one = 1;

	(void)snprintf(port, sizeof(port), "%u", a->port);
	ret = getaddrinfo(a->host, port, &hints, &list);
	if (ret != 0)
		return errtext(et, -EADDRNOTAVAIL, "cannot resolve '%s': %s",
		    a->host, gai_strerror(ret));
	ret = -EADDRNOTAVAIL;
	for (ai = list; ai != NULL; ai = ai->ai_next) {
		fd = socket_new(ai->ai_family);
		if (fd < 0) {
			ret = fd;
			continue;
		}
		(void)setsockopt(
		    fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
		if (bind(fd, ai->ai_addr, ai->ai_addrlen) == 0 &&
		    listen(fd, NET_BACKLOG) == 0)
			break;
		ret = -errno;
		(void)close(fd);
		fd = -1;
	}
	freeaddrinfo(list);
	if (fd < 0)
		return errtext(et, ret, "cannot listen on '%s': %s", a->text,
		    strerror(-ret));
	*out = (struct net_listener){.fd = fd, .addr = *a};
	note_port(out);
	return 0;
}

int
net_listen(
    const struct net_addr *a, struct net_listener *out, struct errtext *et)
{
	return a->is_unix ? listen_unix(a, out, et) : listen_tcp(a, out, et);
}

void
net_listener_close(struct net_listener *l)
{
	struct stat st;

	if (l->fd < 0)
		return;
	if (l->addr.is_unix && lstat(l->addr.path, &st) == 0 &&
	    st.st_dev == l->dev && st.st_ino == l->ino)
		(void)unlink(l->addr.path);
	(void)close(l->fd);
	l->fd = -1;
}

int
net_accept(const struct net_listener *l)
{
	int fd, one = 1, idle = NET_KEEPALIVE_S, every = NET_KEEPALIVE_S / 6;

	do
		fd = accept4(l->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	while (fd < 0 && errno == EINTR);
	if (fd < 0)
		return -errno;
	if (!l->addr.is_unix) {
		(void)setsockopt(
		    fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
		(void)setsockopt(
		    fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof(one));
		(void)setsockopt(
		    fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof(idle));
		(void)setsockopt(
		    fd, IPPROTO_TCP, TCP_KEEPINTVL, &every, sizeof(every));
	}
	return fd;
}

int
net_dial(const struct net_sock *to, const struct net_sock *from, bool *done)
{
	int fd, one = 1, err;

	fd = socket_new(to->sa.sa_family);
	if (fd < 0)
		return fd;
	if (from != NULL) {
		(void)setsockopt(
		    fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof(one));
		/* Who filters by address wants it; without it goes too. */
		(void)bind(fd, &from->sa, from->len);
	}
	*done = true;
	if (connect(fd, &to->sa, to->len) == 0)
		return fd;
	err = errno;
	if (err == EINPROGRESS) {
		*done = false;
		return fd;
	}
	(void)close(fd);
	return -err;
}

int
net_dialled(int fd)
{
	socklen_t len = sizeof(int);
	int err = 0;

	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &len) < 0)
		return -errno;
	return -err;
}

void
net_user_timeout(int fd, uint64_t ns)
{
	unsigned ms = (unsigned)(ns / 1000000);

	/* Refused on a unix socket, which needs it not. */
	(void)setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &ms, sizeof(ms));
}

uint64_t
net_descriptors(void)
{
	struct rlimit r;

	if (getrlimit(RLIMIT_NOFILE, &r) < 0)
		return 1024;
	if (r.rlim_cur < r.rlim_max) {
		r.rlim_cur = r.rlim_max < NET_DESCRIPTORS_MAX
				 ? r.rlim_max
				 : NET_DESCRIPTORS_MAX;
		(void)setrlimit(RLIMIT_NOFILE, &r);
		(void)getrlimit(RLIMIT_NOFILE, &r);
	}
	return r.rlim_cur < NET_DESCRIPTORS_MAX ? r.rlim_cur
						: NET_DESCRIPTORS_MAX;
}
