/*
 * spawn.c - fork, exec, feed, collect, wait.
 */
#include "faults/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

int
netns_enter(const char *name)
{
	char path[PATH_MAX];
	int fd, ret;

	(void)snprintf(path, sizeof(path), "/run/netns/%s", name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	ret = setns(fd, CLONE_NEWNET) < 0 ? -errno : 0;
	(void)close(fd);
	return ret;
}

bool
have_program(const char *name)
{
	const char *p = getenv("PATH");
	char path[PATH_MAX];

	while (p != NULL && *p != '\0') {
		size_t len = strcspn(p, ":");

		(void)snprintf(
		    path, sizeof(path), "%.*s/%s", (int)len, p, name);
		if (access(path, X_OK) == 0)
			return true;
		p += len + (p[len] == ':');
	}
	return false;
}

void
signals_default(void)
{
	sigset_t none;

	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	(void)signal(SIGPIPE, SIG_DFL);
}

static void
become(const struct spawn *s, const char *const argv[], int in, int out)
{
	if (s->netns != NULL && netns_enter(s->netns) < 0)
		_exit(126);
	signals_default();
	if (in < 0)
		in = open("/dev/null", O_RDONLY);
	if (out < 0)
		out = open("/dev/null", O_WRONLY);
	if (dup2(in, 0) < 0 || dup2(out, 1) < 0 || dup2(out, 2) < 0)
		_exit(126);
	if (s->hold_fd >= 0 && s->hold_as > 0 && s->hold_as != s->hold_fd) {
		if (dup2(s->hold_fd, s->hold_as) < 0)
			_exit(126);
	} else if (s->hold_fd >= 0) {
		(void)fcntl(s->hold_fd, F_SETFD, 0);
	}
	{
		/* execvp() does not change what it is given */
		union {
			const char *const *from;
			char *const *to;
		} args = {argv};

		(void)execvp(args.to[0], args.to);
	}
	_exit(127);
}

/* The input is small, a pipe holds it; so it is written first. */
static void
feed(int fd, const char *input)
{
	size_t len = strlen(input);

	while (len > 0) {
		ssize_t n = write(fd, input, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		input += n;
		len -= (size_t)n;
	}
}

static void
collect(int fd, char *out, size_t size)
{
	char rest[512];
	size_t len = 0;
	ssize_t n;

	for (;;) {
		if (len + 1 < size)
			n = read(fd, out + len, size - len - 1);
		else
			n = read(fd, rest, sizeof(rest));
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		if (len + 1 < size)
			len += (size_t)n;
	}
	out[len] = '\0';
}

int
spawn_wait(const struct spawn *s, const char *const argv[])
{
	int in[2] = {-1, -1}, out[2] = {-1, -1}, status, ret = 0;
	pid_t pid;

	if ((s->input != NULL && pipe2(in, O_CLOEXEC) < 0) ||
	    (s->out != NULL && pipe2(out, O_CLOEXEC) < 0)) {
		ret = -errno;
		goto out;
	}
	pid = fork();
	if (pid < 0) {
		ret = -errno;
		goto out;
	}
	if (pid == 0)
		become(s, argv, in[0], out[1]);
	if (s->out != NULL) {
		(void)close(out[1]);
		out[1] = -1;
	}
	if (s->input != NULL) {
		(void)close(in[0]);
		feed(in[1], s->input);
		(void)close(in[1]);
		in[0] = in[1] = -1;
	}
	if (s->out != NULL)
		collect(out[0], s->out, s->out_size);
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR) {
			ret = -errno;
			goto out;
		}
	ret = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
out:
	for (int i = 0; i < 2; i++) {
		if (in[i] >= 0)
			(void)close(in[i]);
		if (out[i] >= 0)
			(void)close(out[i]);
	}
	return ret;
}

int
spawn_check(const struct spawn *s, const char *const argv[], struct errtext *et)
{
	struct spawn with = *s;
	char text[512];
	int ret;

	with.out = text;
	with.out_size = sizeof(text);
	text[0] = '\0';
	ret = spawn_wait(&with, argv);
	if (ret == 0)
		return 0;
	text[strcspn(text, "\n")] = '\0';
	if (ret < 0)
		return errtext(
		    et, ret, "cannot run '%s': %s", argv[0], strerror(-ret));
	if (ret == 127)
		return errtext(et, -ENOENT, "'%s' is not installed", argv[0]);
	return errtext(et, -EIO, "%s: %s", argv[0],
	    text[0] != '\0' ? text : "it failed without a word");
}
