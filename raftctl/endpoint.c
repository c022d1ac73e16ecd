/*
 * endpoint.c - addresses of servers, as people write them.
 */
#include "raftctl/endpoint.h"

#include <errno.h>
#include <netdb.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

static bool
is_port(const char *s)
{
	unsigned long v = 0;

	if (*s == '\0' || strlen(s) > 5)
		return false;
	for (; *s != '\0'; s++) {
		if (*s < '0' || *s > '9')
			return false;
		v = v * 10 + (unsigned long)(*s - '0');
	}
	return v > 0 && v <= 65535;
}

static int
parse_path(struct endpoint *e, const char *path, struct errtext *et)
{
	struct sockaddr_un *un = (struct sockaddr_un *)&e->addr[0].sa;

	if (*path == '\0')
		return errtext(et, -EINVAL, "'%s' has no path", e->text);
	if (strlen(path) >= sizeof(un->sun_path))
		return errtext(et, -EINVAL,
		    "'%s' is longer than the %zu bytes of a socket's path",
		    e->text, sizeof(un->sun_path) - 1);
	un->sun_family = AF_UNIX;
	memcpy(un->sun_path, path, strlen(path) + 1);
	memcpy(e->host, path, strlen(path) + 1);
	e->addr[0].len = sizeof(*un);
	e->count = 1;
	return 0;
}

static int
parse_inet(struct endpoint *e, struct errtext *et)
{
	const char *host = e->text, *host_end, *colon;

	if (host[0] == '[') {
		host++;
		host_end = strchr(host, ']');
		if (host_end == NULL || host_end[1] != ':')
			return errtext(
			    et, -EINVAL, "'%s' is not [address]:port", e->text);
		colon = host_end + 1;
	} else {
		host_end = colon = strrchr(host, ':');
		if (colon == NULL)
			return errtext(et, -EINVAL,
			    "'%s' has no port: host:port or /path", e->text);
		if (memchr(host, ':', (size_t)(colon - host)) != NULL)
			return errtext(et, -EINVAL,
			    "'%s': write [address]:port for IPv6", e->text);
	}
	if (host_end == host)
		return errtext(et, -EINVAL, "'%s' has no host", e->text);
	if (!is_port(colon + 1))
		return errtext(
		    et, -EINVAL, "'%s' has no port of 1 to 65535", e->text);
	memcpy(e->host, host, (size_t)(host_end - host));
	memcpy(e->port, colon + 1, strlen(colon + 1) + 1);
	return 0;
}

int
endpoint_parse(
    const char *text, size_t len, struct endpoint *out, struct errtext *et)
{
	struct endpoint e;
	int r;

	memset(&e, 0, sizeof(e));
	if (len == 0)
		return errtext(et, -EINVAL, "an address is empty");
	if (len >= sizeof(e.text))
		return errtext(et, -EINVAL, "an address of %zu bytes", len);
	if (memchr(text, '\0', len) != NULL)
		return errtext(et, -EINVAL, "an address with a NUL in it");
	memcpy(e.text, text, len);
	if (strncmp(e.text, "srv:", 4) == 0)
		return errtext(et, -EINVAL,
		    "'%s': srv: addresses are not supported", e.text);
	if (strncmp(e.text, "unix:", 5) == 0)
		r = parse_path(&e, e.text + 5, et);
	else if (e.text[0] == '/')
		r = parse_path(&e, e.text, et);
	else
		r = parse_inet(&e, et);
	if (r == 0)
		*out = e;
	return r;
}

int
endpoint_parse_list(const char *text, struct endpoint **list, unsigned *count,
    struct errtext *et)
{
	struct endpoint *v;
	unsigned n = 0;
	const char *comma;
	size_t len;
	int r;

	v = calloc(ENDPOINTS_MAX, sizeof(*v));
	if (v == NULL)
		return -ENOMEM;
	for (;;) {
		comma = strchrnul(text, ',');
		len = (size_t)(comma - text);
		if (n == ENDPOINTS_MAX) {
			r = errtext(et, -EINVAL, "more than %d addresses",
			    ENDPOINTS_MAX);
			break;
		}
		r = endpoint_parse(text, len, &v[n], et);
		if (r < 0)
			break;
		n++;
		if (*comma == '\0')
			break;
		text = comma + 1;
	}
	if (r < 0) {
		free(v);
		return r;
	}
	*list = v;
	*count = n;
	return 0;
}

int
endpoint_resolve(struct endpoint *e, struct errtext *et)
{
	struct addrinfo hints, *res, *ai;
	int r;

	if (e->count > 0)
		return 0;
	memset(&hints, 0, sizeof(hints));
	hints.ai_socktype = SOCK_STREAM;
	hints.ai_flags = AI_NUMERICSERV;
	r = getaddrinfo(e->host, e->port, &hints, &res);
	if (r != 0)
		return errtext(et, -EHOSTUNREACH, "resolve %s: %s", e->host,
		    gai_strerror(r));
	for (ai = res; ai != NULL && e->count < ENDPOINT_ADDRS_MAX;
	     ai = ai->ai_next) {
		if (ai->ai_addrlen > sizeof(e->addr[0].sa))
			continue;
		memcpy(&e->addr[e->count].sa, ai->ai_addr, ai->ai_addrlen);
		e->addr[e->count].len = ai->ai_addrlen;
		e->count++;
	}
	freeaddrinfo(res);
	if (e->count == 0)
		return errtext(
		    et, -EHOSTUNREACH, "resolve %s: no address", e->host);
	return 0;
}
