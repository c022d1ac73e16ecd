/*
 * links.h - sets of directed links between the servers of a lab, and the
 * words that name them.
 *
 *	N	what N sends to all others
 *	A>B	one direction of one link
 *	A,B|C,D	both directions between the groups
 *
 * A server that no group names keeps all its links.
 */
#ifndef FAULTS_LINKS_H
#define FAULTS_LINKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "faults/lab.h"
#include "raftctl/errtext.h"

#define LINKS_TEXT_MAX 2048 /* "16>15," for each link */

struct links {
	uint32_t to[LAB_SERVERS_MAX + 1]; /* by sender: bits of receivers */
};

void links_add(struct links *, unsigned from, unsigned to);
void links_add_both(struct links *, unsigned a, unsigned b);
bool links_has(const struct links *, unsigned from, unsigned to);

/* An id, 1 to count; what is the word for errors. */
int links_server(
    unsigned count, const char *word, unsigned *, struct errtext *);
/* All below: 0, or -EINVAL with the reason. */
int links_parse(
    struct links *, unsigned count, const char *word, struct errtext *);
int links_partition(
    struct links *, unsigned count, const char *word, struct errtext *);
/* A,B|C|D,E: the halves reach each other only through the middle. */
int links_bridge(
    struct links *, unsigned count, const char *word, struct errtext *);
/* In this order each reaches its two neighbours only. */
int links_ring(
    struct links *, unsigned count, const char *word, struct errtext *);
void links_isolate(struct links *, unsigned count, unsigned id);

/* "1>2,2>1" and back; the form in the journal. */
void links_text(const struct links *, char text[LINKS_TEXT_MAX]);
int links_from_text(struct links *, unsigned count, const char *);

#endif
