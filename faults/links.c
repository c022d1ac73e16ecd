/*
 * links.c - which servers a fault stands between.
 */
#include "faults/links.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define GROUPS_MAX LAB_SERVERS_MAX

static_assert(LAB_SERVERS_MAX < 32, "a set of servers is 32 bits");

void
links_add(struct links *l, unsigned from, unsigned to)
{
	assert(from >= 1 && from <= LAB_SERVERS_MAX);
	assert(to >= 1 && to <= LAB_SERVERS_MAX);
	if (from != to)
		l->to[from] |= 1u << to;
}

void
links_add_both(struct links *l, unsigned a, unsigned b)
{
	links_add(l, a, b);
	links_add(l, b, a);
}

bool
links_has(const struct links *l, unsigned from, unsigned to)
{
	return (l->to[from] >> to & 1) != 0;
}

static int
read_id(const char **p, unsigned count, unsigned *id)
{
	char *end;
	unsigned long v;

	if (**p < '1' || **p > '9')
		return -EINVAL;
	v = strtoul(*p, &end, 10);
	if (v > count)
		return -EINVAL;
	*p = end;
	*id = (unsigned)v;
	return 0;
}

int
links_server(unsigned count, const char *word, unsigned *id, struct errtext *et)
{
	const char *p = word;

	if (read_id(&p, count, id) < 0 || *p != '\0')
		return errtext(et, -EINVAL,
		    "no server '%s': the lab has 1 to %u", word, count);
	return 0;
}

/* Groups as sets of bits; a server stands in one group only. */
static int
read_groups(unsigned count, const char *word, uint32_t group[GROUPS_MAX],
    unsigned *groups, struct errtext *et)
{
	const char *p = word;
	uint32_t seen = 0;
	unsigned n = 0, id;

	group[0] = 0;
	for (;;) {
		if (read_id(&p, count, &id) < 0 || (seen >> id & 1) != 0)
			goto bad;
		seen |= 1u << id;
		group[n] |= 1u << id;
		if (*p == '\0')
			break;
		if (*p == '|' && n + 1 < GROUPS_MAX)
			group[++n] = 0;
		else if (*p != ',')
			goto bad;
		p++;
	}
	*groups = n + 1;
	return 0;
bad:
	return errtext(et, -EINVAL,
	    "'%s' is not a division of servers 1 to %u, as 1,2|3", word, count);
}

static void
add_between(struct links *l, uint32_t a, uint32_t b)
{
	for (unsigned i = 1; i <= LAB_SERVERS_MAX; i++)
		for (unsigned j = 1; j <= LAB_SERVERS_MAX; j++)
			if ((a >> i & 1) != 0 && (b >> j & 1) != 0)
				links_add_both(l, i, j);
}

int
links_partition(
    struct links *l, unsigned count, const char *word, struct errtext *et)
{
	uint32_t group[GROUPS_MAX];
	unsigned groups;
	int ret;

	ret = read_groups(count, word, group, &groups, et);
	if (ret < 0)
		return ret;
	if (groups < 2)
		return errtext(et, -EINVAL, "'%s' is one group only", word);
	memset(l, 0, sizeof(*l));
	for (unsigned i = 0; i < groups; i++)
		for (unsigned j = i + 1; j < groups; j++)
			add_between(l, group[i], group[j]);
	return 0;
}

int
links_bridge(
    struct links *l, unsigned count, const char *word, struct errtext *et)
{
	uint32_t group[GROUPS_MAX];
	unsigned groups;
	int ret;

	ret = read_groups(count, word, group, &groups, et);
	if (ret < 0)
		return ret;
	if (groups != 3)
		return errtext(et, -EINVAL,
		    "'%s' is not three groups, the bridge in the middle", word);
	memset(l, 0, sizeof(*l));
	add_between(l, group[0], group[2]);
	return 0;
}

int
links_ring(
    struct links *l, unsigned count, const char *word, struct errtext *et)
{
	unsigned order[LAB_SERVERS_MAX], n = 0, id;
	uint32_t seen = 0;
	const char *p = word;

	for (;;) {
		if (read_id(&p, count, &id) < 0 || (seen >> id & 1) != 0)
			goto bad;
		seen |= 1u << id;
		order[n++] = id;
		if (*p == '\0')
			break;
		if (*p++ != ',')
			goto bad;
	}
	if (n < 4)
		goto bad;
	memset(l, 0, sizeof(*l));
	for (unsigned i = 0; i < n; i++)
		for (unsigned j = i + 2; j < n; j++)
			if (i != 0 || j != n - 1)
				links_add_both(l, order[i], order[j]);
	return 0;
bad:
	return errtext(et, -EINVAL,
	    "'%s' is not a ring of at least four servers, as 1,2,3,4", word);
}

void
links_isolate(struct links *l, unsigned count, unsigned id)
{
	memset(l, 0, sizeof(*l));
	for (unsigned i = 1; i <= count; i++)
		links_add_both(l, id, i);
}

int
links_parse(
    struct links *l, unsigned count, const char *word, struct errtext *et)
{
	const char *p = word;
	unsigned from, to;

	if (strchr(word, '|') != NULL)
		return links_partition(l, count, word, et);
	memset(l, 0, sizeof(*l));
	if (read_id(&p, count, &from) < 0)
		goto bad;
	if (*p == '\0') {
		for (to = 1; to <= count; to++)
			links_add(l, from, to);
		return 0;
	}
	if (*p++ != '>' || read_id(&p, count, &to) < 0 || *p != '\0' ||
	    from == to)
		goto bad;
	links_add(l, from, to);
	return 0;
bad:
	return errtext(et, -EINVAL,
	    "'%s' names no links of servers 1 to %u: N, A>B or A,B|C,D", word,
	    count);
}

void
links_text(const struct links *l, char text[LINKS_TEXT_MAX])
{
	size_t len = 0;

	text[0] = '\0';
	for (unsigned i = 1; i <= LAB_SERVERS_MAX; i++)
		for (unsigned j = 1; j <= LAB_SERVERS_MAX; j++)
			if (links_has(l, i, j))
				len += (size_t)snprintf(text + len,
				    LINKS_TEXT_MAX - len, "%s%u>%u",
				    len > 0 ? "," : "", i, j);
}

int
links_from_text(struct links *l, unsigned count, const char *text)
{
	const char *p = text;
	unsigned from, to;

	memset(l, 0, sizeof(*l));
	while (*p != '\0') {
		if (read_id(&p, count, &from) < 0 || *p++ != '>' ||
		    read_id(&p, count, &to) < 0 || from == to)
			return -EBADMSG;
		links_add(l, from, to);
		if (*p == ',')
			p++;
		else if (*p != '\0')
			return -EBADMSG;
	}
	return 0;
}
