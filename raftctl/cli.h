/*
 * cli.h - the frame of the commands of raftctl: options, one connection, one
 * time limit, one way to fail.
 *
 * A command is a row of the table in cli.c.  Options stand before operands,
 * those of raftctl itself before or after the command's name.
 *
 * Documented in raftctl(1); the usage is printed from the table.
 */
#ifndef RAFTCTL_CLI_H
#define RAFTCTL_CLI_H

#include <stdbool.h>
#include <stdint.h>

#include "raftctl/client.h"
#include "raftctl/output.h"

#define CLI_OPTIONS_MAX 24 /* of one command */

struct cli {
	const char *program;
	const struct command *command;
	const char *endpoints;
	uint64_t group; /* 0: not given */
	uint64_t timeout_ms;
	uint64_t started_ns; /* the timeout is the whole command's */
	enum output_format format;
	enum output_encoding encoding;
	struct client_sync *sync; /* opened by the first call */
	int status;		  /* with CLI_EXIT */
};

/* An option of one command: --name, and -letter if that is not 0. */
struct cli_option {
	const char *name;
	int letter;
	const char *arg; /* NULL: takes none; "[N]": may have one */
	const char *help;
};

struct command {
	const char *name;
	const char *args; /* operands, as the usage shows them */
	const char *help;
	/* argv[0..argc) are what follows the command's name: options and
	 * operands.  Returns the exit status. */
	int (*run)(struct cli *, int argc, char **argv);
	const struct cli_option *options; /* ends with a NULL name */
};

/* The whole program. */
int cli_main(int argc, char **argv);
/* One more command in this process, which then ends: argv[0] is the program,
 * what *cli was told holds unless argv says otherwise.  The exit status. */
int cli_run_line(const struct cli *, int argc, char **argv);
/* The tables; each ends with a NULL name. */
const struct command *cli_commands(void);
const struct command *cli_find_command(const char *name); /* or NULL */
const struct cli_option *cli_globals(void);

/*
 * The next option of the command: its place in command->options, its value
 * in optarg; CLI_OPERANDS when operands begin, at argv[optind]; CLI_EXIT when
 * the command is over, with cli->status.  Options of raftctl itself are
 * dealt with inside.
 */
enum { CLI_OPERANDS = -1, CLI_EXIT = -2 };
int cli_next(struct cli *, int argc, char **argv);

/* ---- calls ------------------------------------------------------------ */

/* What is left of the time limit, at least 1. */
uint32_t cli_left_ms(const struct cli *);
bool cli_is_late(const struct cli *);
void cli_restart_clock(struct cli *); /* after a person had the turn */

/*
 * Call and wait, within the time limit.  WIRE_OK, or the error is reported
 * unless quiet.  The caller releases answer->result.
 */
enum wire_status cli_call(struct cli *, const char *method,
    const struct mp_buf *params, unsigned flags, struct client_answer *);
/* The same without a word about errors, within at most limit_ms. */
enum wire_status cli_ask(struct cli *, const char *method,
    const struct mp_buf *params, unsigned flags, uint64_t limit_ms,
    struct client_answer *);

/* The options map that ends the params: room for count pairs, and the group
 * if one was given. */
void cli_put_options(struct cli *, struct mp_buf *, uint32_t count);

/*
 * The same for a write.  request_id NULL: it is in the session of this
 * command.  Else it is carried out once under this name, whoever asks and
 * how often.
 */
void cli_put_write_options(
    struct cli *, struct mp_buf *, uint32_t count, const char *request_id);
enum wire_status cli_write(struct cli *, const char *method,
    const struct mp_buf *params, const char *request_id,
    struct client_answer *);
#define CLI_REQUEST_ID_MAX 60			      /* bytes */
int cli_judge_request_id(struct cli *, const char *); /* negative: go on */

/* How a read is to be answered: --read and --max-stale. */
struct cli_read {
	const char *mode; /* NULL: linearizable, the servers' default */
	bool bounded;
	uint64_t max_stale_ms;
};
int cli_take_read(struct cli *, struct cli_read *, const char *mode);
int cli_take_max_stale(struct cli *, struct cli_read *, const char *value);
int cli_judge_read(struct cli *, const struct cli_read *);
uint32_t cli_read_count(const struct cli_read *); /* options it puts */
void cli_put_read(struct mp_buf *, const struct cli_read *);
bool cli_reads_stale(const struct cli_read *);
/* --if-lock NAME=TOKEN, as pairs of the options.  Negative: go on. */
struct cli_if_lock {
	const char *name; /* NULL: not given */
	size_t name_len;
	uint64_t token;
};
int cli_take_if_lock(struct cli *, const char *arg, struct cli_if_lock *);
#define CLI_IF_LOCK_PAIRS 2
void cli_put_if_lock(struct mp_buf *, const struct cli_if_lock *);

/* ---- the ends --------------------------------------------------------- */

/* Report an error and give its exit status. */
int cli_error(struct cli *, const struct wire_error *);
__attribute__((format(printf, 3, 4))) int cli_fail(
    struct cli *, enum wire_status, const char *fmt, ...);
/* A file of the user's, by errno: code INPUT (66) or IO (74). */
enum { CLI_EXIT_INPUT = 66, CLI_EXIT_IO = 74 };
int cli_fail_file(struct cli *, int status, const char *verb, const char *name);
/* Bad usage: the reason, and where help is. */
__attribute__((format(printf, 2, 3))) int cli_usage(
    struct cli *, const char *fmt, ...);

/* ---- input ------------------------------------------------------------ */

/* A value as given: itself, '-' for standard input, '@FILE'.  Negative: go
 * on; else the exit status.  The caller frees owned. */
struct cli_bytes {
	const void *p;
	size_t len;
	void *owned;
};
int cli_read_value(struct cli *, const char *arg, bool raw, struct cli_bytes *);
/* The content of a file, or of standard input for "-". */
int cli_read_file(struct cli *, const char *name, struct cli_bytes *);

/* ---- records ---------------------------------------------------------- */

/* For commands whose answer is bytes or nothing: json or fields is asked
 * for. */
bool cli_wants_record(const struct cli *);
extern const struct output_column cli_record_columns[];
/* A record of the store, and the outcome of a put or delete, as JSON; never
 * NULL, an object without keys if the bytes are damaged. */
json_t *cli_record_json(struct cli *, struct mp_span raw);
json_t *cli_outcome_json(struct cli *, struct mp_span raw);
json_t *cli_txn_json(struct cli *, struct mp_span raw);
extern const struct output_column cli_txn_columns[];
void cli_print_outcome(struct cli *, struct mp_span raw);
/* Print one record in the format asked for, or as a table. */
void cli_print_one(struct cli *, json_t *, const struct output_column *);

/* ---- the commands ----------------------------------------------------- */

int cmd_get(struct cli *, int, char **);
int cmd_put(struct cli *, int, char **);
int cmd_del(struct cli *, int, char **);
int cmd_ls(struct cli *, int, char **);
int cmd_incr(struct cli *, int, char **);
int cmd_txn(struct cli *, int, char **);
int cmd_edit(struct cli *, int, char **);
int cmd_watch(struct cli *, int, char **);
int cmd_shell(struct cli *, int, char **);
int cmd_complete(struct cli *, int, char **);
int cmd_lease(struct cli *, int, char **);
int cmd_lock(struct cli *, int, char **);
int cmd_elect(struct cli *, int, char **);
int cmd_status(struct cli *, int, char **);
int cmd_members(struct cli *, int, char **);
int cmd_snapshot(struct cli *, int, char **);
int cmd_compact(struct cli *, int, char **);
int cmd_hash(struct cli *, int, char **);
int cmd_wait(struct cli *, int, char **);
int cmd_health(struct cli *, int, char **);
int cmd_doctor(struct cli *, int, char **);
int cmd_add(struct cli *, int, char **);
int cmd_change(struct cli *, int, char **); /* promote, demote, remove */
int cmd_replace(struct cli *, int, char **);
int cmd_set(struct cli *, int, char **);
int cmd_tune(struct cli *, int, char **);
int cmd_transfer(struct cli *, int, char **);
int cmd_reconcile(struct cli *, int, char **);
int cmd_recover(struct cli *, int, char **);

extern const struct cli_option cmd_get_options[];
extern const struct cli_option cmd_put_options[];
extern const struct cli_option cmd_del_options[];
extern const struct cli_option cmd_ls_options[];
extern const struct cli_option cmd_write_options[]; /* txn */
extern const struct cli_option cmd_incr_options[];
extern const struct cli_option cmd_watch_options[];
extern const struct cli_option cmd_lease_options[];
extern const struct cli_option cmd_lock_options[];
extern const struct cli_option cmd_elect_options[];
extern const struct cli_option cmd_all_options[];  /* status, hash */
extern const struct cli_option cmd_none_options[]; /* no own ones */
extern const struct cli_option cmd_add_options[];
extern const struct cli_option cmd_change_options[];
extern const struct cli_option cmd_tune_options[];
extern const struct cli_option cmd_reconcile_options[];

#endif
