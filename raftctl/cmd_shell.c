/*
 * cmd_shell.c - shell: the same commands at a prompt.
 *
 * Each line is carried out by a child process, as if it had been given to
 * raftctl, with the options of this one in force.  So ^C ends a command and
 * not the shell, and whatever a command does to its process stays there.
 */
#include <errno.h>
#include <histedit.h>
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "raftctl/complete.h"

#define LINE_LEN_MAX (2u << 20) /* a value fits */
#define HISTORY_LINES 1000

struct shell {
	struct cli *cli;
	int status; /* of the command before */
	bool quit;
	EditLine *el;
	History *history;
	char path[4096]; /* of the history; empty: none */
	char prompt[40];
};

/* ---- commands --------------------------------------------------------- */

static int
run_child(struct shell *s, int argc, char **argv)
{
	int status;
	pid_t pid;

	(void)fflush(stdout);
	pid = fork();
	if (pid < 0)
		return cli_fail(
		    s->cli, WIRE_BUG, "cannot fork: %s", strerror(errno));
	if (pid == 0) {
		(void)signal(SIGINT, SIG_DFL);
		_exit(cli_run_line(s->cli, argc, argv));
	}
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		continue;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static void
run_words(struct shell *s, int argc, const char **argv)
{
	char **words;

	if (argc == 0)
		return;
	if (strcmp(argv[0], "exit") == 0 || strcmp(argv[0], "quit") == 0) {
		s->quit = true;
		return;
	}
	if (strcmp(argv[0], "shell") == 0) {
		s->status = cli_usage(s->cli, "this is a shell already");
		return;
	}
	words = calloc((size_t)argc + 2, sizeof(*words));
	if (words == NULL)
		return;
	words[0] = strdup("raftctl");
	for (int i = 0; i < argc; i++)
		words[i + 1] = strdup(argv[i]);
	s->status = run_child(s, argc + 1, words);
	for (int i = 0; i <= argc; i++)
		free(words[i]);
	free(words);
}

/* A line that is whole; one whose quotes are open is an error here, where
 * nothing can be added to it. */
static void
run_line(struct shell *s, const char *line)
{
	Tokenizer *t = tok_init(NULL);
	const char **argv;
	int argc;

	if (t == NULL)
		return;
	if (line[strspn(line, " \t")] == '#')
		argc = 0;
	else if (tok_str(t, line, &argc, &argv) == 0)
		run_words(s, argc, argv);
	else
		s->status = cli_usage(s->cli, "a quote is open");
	tok_end(t);
}

/* ---- at a terminal ---------------------------------------------------- */

static char *
prompt(EditLine *el)
{
	struct shell *s;

	(void)el_get(el, EL_CLIENTDATA, &s);
	if (s->status == 0)
		(void)snprintf(s->prompt, sizeof(s->prompt), "raftctl> ");
	else
		(void)snprintf(
		    s->prompt, sizeof(s->prompt), "%d raftctl> ", s->status);
	return s->prompt;
}

/* Candidates as they come: how many, what they have in common. */
struct found {
	char *text[COMPLETE_MAX];
	size_t count, common;
};

static void
found_cb(const char *text, void *ctx)
{
	struct found *f = ctx;
	size_t n = 0;

	if (f->count == COMPLETE_MAX ||
	    (f->text[f->count] = strdup(text)) == NULL)
		return;
	if (f->count == 0) {
		f->common = strlen(text);
	} else {
		while (n < f->common && text[n] == f->text[0][n])
			n++;
		f->common = n;
	}
	f->count++;
}

static void
list(const struct found *f)
{
	putchar('\n');
	for (size_t i = 0; i < f->count; i++)
		printf("%s%s", f->text[i],
		    i + 1 == f->count ? "\n"
		    : i % 4 == 3      ? "\n"
				      : "  ");
	(void)fflush(stdout);
}

static unsigned char
finish_word(EditLine *el, const struct found *f, size_t len)
{
	char rest[WIRE_KEY_LEN_MAX + 80];
	bool whole = f->count == 1;

	if (f->count == 0)
		return CC_ERROR;
	if (!whole && f->common <= len) {
		list(f);
		return CC_REDISPLAY;
	}
	/* What ends with '=' wants a value yet. */
	if (whole && f->text[0][f->common - 1] == '=')
		whole = false;
	(void)snprintf(rest, sizeof(rest), "%.*s%s", (int)(f->common - len),
	    f->text[0] + len, whole ? " " : "");
	return rest[0] != '\0' && el_insertstr(el, rest) < 0 ? CC_ERROR
							     : CC_REFRESH;
}

static unsigned char
complete(EditLine *el, int ch)
{
	const LineInfo *line = el_line(el);
	Tokenizer *t = tok_init(NULL);
	struct found f = {.count = 0};
	unsigned char ret = CC_ERROR;
	const char **argv;
	int argc, word, at;
	struct shell *s;
	char **words;

	(void)ch;
	(void)el_get(el, EL_CLIENTDATA, &s);
	if (t == NULL || tok_line(t, line, &argc, &argv, &word, &at) < 0)
		goto out;
	/* Up to the word that the cursor stands in or behind. */
	words = calloc((size_t)word + 2, sizeof(*words));
	if (words == NULL)
		goto out;
	for (int i = 0; i <= word; i++) {
		words[i] = strdup(i < argc ? argv[i] : "");
		if (words[i] != NULL && i == word)
			words[i][at] = '\0';
	}
	complete_words(s->cli, word + 1, words, found_cb, &f);
	ret = finish_word(el, &f, (size_t)at);
	for (int i = 0; i <= word; i++)
		free(words[i]);
	free(words);
out:
	for (size_t i = 0; i < f.count; i++)
		free(f.text[i]);
	tok_end(t);
	return ret;
}

static int
open_terminal(struct shell *s)
{
	const char *home = getenv("HOME");
	HistEvent ev;

	s->el = el_init("raftctl", stdin, stdout, stderr);
	s->history = history_init();
	if (s->el == NULL || s->history == NULL)
		return -ENOMEM;
	(void)history(s->history, &ev, H_SETSIZE, HISTORY_LINES);
	(void)history(s->history, &ev, H_SETUNIQUE, 1);
	if (home != NULL && (size_t)snprintf(s->path, sizeof(s->path),
				"%s/.raftctl_history", home) >= sizeof(s->path))
		s->path[0] = '\0';
	if (s->path[0] != '\0')
		(void)history(s->history, &ev, H_LOAD, s->path);
	(void)el_set(s->el, EL_CLIENTDATA, s);
	(void)el_set(s->el, EL_EDITOR, "emacs");
	(void)el_set(s->el, EL_PROMPT, prompt);
	(void)el_set(s->el, EL_HIST, history, s->history);
	(void)el_set(s->el, EL_ADDFN, "raft-complete", "complete", complete);
	(void)el_set(s->el, EL_BIND, "^I", "raft-complete", NULL);
	(void)el_source(s->el, NULL);
	return 0;
}

/* Values may be secrets, so nobody else reads it. */
static void
save_history(struct shell *s)
{
	HistEvent ev;
	mode_t mask;

	if (s->path[0] == '\0')
		return;
	mask = umask(077);
	(void)history(s->history, &ev, H_SAVE, s->path);
	(void)umask(mask);
}

static void
at_terminal(struct shell *s)
{
	const char *line;
	char *copy;
	HistEvent ev;
	int len;

	while (!s->quit && (line = el_gets(s->el, &len)) != NULL && len > 0) {
		copy = strdup(line);
		if (copy == NULL)
			return;
		copy[strcspn(copy, "\n")] = '\0';
		if (copy[strspn(copy, " \t")] != '\0')
			(void)history(s->history, &ev, H_ENTER, copy);
		run_line(s, copy);
		free(copy);
	}
	if (!s->quit)
		putchar('\n');
	save_history(s);
}

/* ---- from a file or a pipe -------------------------------------------- */

/*
 * Byte by byte, as sh(1) does: what follows the line may be meant for the
 * command on it.  false: there are no more lines.
 */
static bool
next_line(struct mp_buf *b)
{
	uint8_t c;
	ssize_t n;

	mp_buf_reset(b);
	while ((n = read(STDIN_FILENO, &c, 1)) == 1 && c != '\n' &&
	       b->len < LINE_LEN_MAX)
		mp_put_raw(b, &c, 1);
	if (n <= 0 && b->len == 0)
		return false;
	mp_put_raw(b, "", 1);
	return !b->failed;
}

static void
from_input(struct shell *s)
{
	struct mp_buf line;

	mp_buf_init(&line);
	while (!s->quit && next_line(&line))
		run_line(s, (const char *)line.data);
	mp_buf_release(&line);
}

int
cmd_shell(struct cli *cli, int argc, char **argv)
{
	struct shell s = {.cli = cli};

	if (cli_next(cli, argc, argv) == CLI_EXIT)
		return cli->status;
	if (optind < argc)
		return cli_usage(cli, "shell takes no operand");
	if (!isatty(STDIN_FILENO)) {
		from_input(&s);
		return s.status;
	}
	(void)signal(SIGINT, SIG_IGN);
	(void)setlocale(LC_CTYPE, "");
	if (open_terminal(&s) < 0)
		s.status = cli_fail(cli, WIRE_BUG, "no memory");
	else
		at_terminal(&s);
	if (s.history != NULL)
		history_end(s.history);
	if (s.el != NULL)
		el_end(s.el);
	return s.status;
}
