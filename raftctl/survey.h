/*
 * survey.h - every member of a cluster, asked for its status at once.
 *
 * Who the members are is the leader's knowledge.  Without one, the servers
 * that the user named are asked instead.
 */
#ifndef RAFTCTL_SURVEY_H
#define RAFTCTL_SURVEY_H

#include "raftctl/cli.h"

struct survey_row {
	uint64_t id;	/* 0: not known */
	json_t *status; /* NULL: no answer */
	struct wire_error error;
	char endpoint[256]; /* that answered, or that was tried */
};

struct survey {
	struct survey_row *rows;
	unsigned count;
	bool members_known;
	struct wire_error members_error; /* if not */
};

/* WIRE_OK, or the reason why nobody could be asked. */
enum wire_status survey_run(struct cli *, struct survey *, struct wire_error *);
void survey_release(struct survey *);

/* A row as the record to print. */
json_t *survey_record(const struct survey_row *);

#endif
