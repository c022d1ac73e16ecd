/*
 * lab.c - a cluster of our own for a bench.
 */
#include "loadgen/lab.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "loadgen/hist.h"

#define LAB_WORDS_MAX 8
#define ARGS_MAX 128
#define FSYNC_BYTES 4096
#define FSYNC_SPACE 65536
#define FSYNC_COUNT_MAX 200
#define FSYNC_NS_MAX 400000000u

extern char **environ;

static uint64_t
now_ns(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/* ---- programs ---------------------------------------------------------- */

/* Programs that stand beside this one go before those of the path. */
static void
find_programs(char raftlab[PATH_MAX], char raftctl[PATH_MAX])
{
	char self[PATH_MAX - 16], *slash;
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);

	(void)snprintf(raftlab, PATH_MAX, "raftlab");
	(void)snprintf(raftctl, PATH_MAX, "raftctl");
	if (n <= 0)
		return;
	self[n] = '\0';
	slash = strrchr(self, '/');
	if (slash == NULL)
		return;
	*slash = '\0';
	(void)snprintf(raftctl, PATH_MAX, "%s/raftctl", self);
	if (access(raftctl, X_OK) == 0)
		(void)setenv("RAFTLAB_BIN", self, 0);
	else
		(void)snprintf(raftctl, PATH_MAX, "raftctl");
	(void)snprintf(raftlab, PATH_MAX, "%s/raftlab", self);
	if (access(raftlab, X_OK) < 0)
		(void)snprintf(raftlab, PATH_MAX, "raftlab");
}

/* out: its standard output, or -1: nothing.  In a process group of its own,
 * because ^C is for us, and we end it when the time has come. */
static pid_t
spawn(char **argv, int out)
{
	posix_spawn_file_actions_t fa;
	posix_spawnattr_t at;
	sigset_t set;
	pid_t pid = -1;

	(void)sigemptyset(&set);
	(void)posix_spawn_file_actions_init(&fa);
	(void)posix_spawnattr_init(&at);
	(void)posix_spawnattr_setflags(
	    &at, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGDEF);
	(void)sigaddset(&set, SIGINT);
	(void)sigaddset(&set, SIGTERM);
	(void)sigaddset(&set, SIGHUP);
	(void)sigaddset(&set, SIGPIPE);
	(void)posix_spawnattr_setsigdefault(&at, &set);
	(void)posix_spawn_file_actions_addopen(
	    &fa, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
	if (out >= 0)
		(void)posix_spawn_file_actions_adddup2(&fa, out, STDOUT_FILENO);
	else
		(void)posix_spawn_file_actions_addopen(
		    &fa, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
	if (posix_spawnp(&pid, argv[0], &fa, &at, argv, environ) != 0)
		pid = -1;
	(void)posix_spawnattr_destroy(&at);
	(void)posix_spawn_file_actions_destroy(&fa);
	return pid;
}

static int
wait_for(pid_t pid)
{
	int status;

	if (pid < 0)
		return -ENOENT;
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return -errno;
	return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -ECHILD;
}

static int
run_quietly(char **argv)
{
	return wait_for(spawn(argv, -1));
}

/* Up to LAB_OUT_MAX bytes, and a NUL. */
static int
read_all(int fd, char *text, const volatile int *stop)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};
	size_t len = 0;
	ssize_t n;

	for (;;) {
		if (stop != NULL && *stop != 0)
			return -EINTR;
		n = poll(&p, 1, 50);
		if (n == 0 || (n < 0 && errno == EINTR))
			continue;
		n = read(fd, text + len, LAB_OUT_MAX - len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		len += (size_t)n;
		if (len == LAB_OUT_MAX)
			return -E2BIG;
	}
	text[len] = '\0';
	return 0;
}

/* ---- the keeper -------------------------------------------------------- */

static bool
is_let_go(int control, int timeout_ms)
{
	struct pollfd p = {.fd = control, .events = POLLIN};

	return poll(&p, 1, timeout_ms) > 0;
}

/* Never returns. */
static void
keep(const struct lab *lab, char **up, int control, int out)
{
	char raftlab[PATH_MAX], raftctl[PATH_MAX], at[PATH_MAX + 8];
	char *down[] = {raftlab, (char[]){"-d"}, at, (char[]){"down"}, NULL};
	int status, err;
	pid_t pid;

	(void)setsid();
	(void)signal(SIGINT, SIG_IGN);
	(void)signal(SIGTERM, SIG_IGN);
	(void)signal(SIGHUP, SIG_IGN);
	(void)signal(SIGPIPE, SIG_IGN);
	find_programs(raftlab, raftctl);
	(void)snprintf(at, sizeof(at), "%s/lab", lab->dir);
	pid = spawn(up, out);
	close(out);
	/* raftlab takes down what it began when it is told to end */
	while (pid > 0 && waitpid(pid, &status, WNOHANG) == 0) {
		if (is_let_go(control, 10)) {
			(void)kill(pid, SIGTERM);
			(void)wait_for(pid);
			break;
		}
	}
	while (!is_let_go(control, -1))
		continue;
	(void)snprintf(at, sizeof(at), "%s/lab/lab", lab->dir);
	err = access(at, F_OK);
	(void)snprintf(at, sizeof(at), "%s/lab", lab->dir);
	err = err == 0 ? run_quietly(down) : 0;
	if (rmdir(at) < 0 && errno != ENOENT)
		err = -errno;
	if (rmdir(lab->dir) < 0)
		err = -errno;
	_exit(err < 0);
}

/* export RAFT_ENDPOINTS='...' */
static char *
endpoints_in(const char *text)
{
	static const char before[] = "RAFT_ENDPOINTS='";
	const char *p = strstr(text, before), *end;

	if (p == NULL)
		return NULL;
	p += sizeof(before) - 1;
	end = strchr(p, '\'');
	return end != NULL ? strndup(p, (size_t)(end - p)) : NULL;
}

static int
begin(struct lab *lab, const struct lab_config *c, int *out)
{
	char raftlab[PATH_MAX], raftctl[PATH_MAX], at[PATH_MAX + 8], n[16];
	char *up[ARGS_MAX + 1] = {
	    raftlab, (char[]){"up"}, (char[]){"-n"}, n, (char[]){"-d"}, at};
	char words[3][16];
	int control[2], pipe_out[2], i, k = 6;

	for (i = 0; i < 3 && c->raftlab_args[i] != NULL; i++) {
		(void)snprintf(
		    words[i], sizeof(words[i]), "%s", c->raftlab_args[i]);
		up[k++] = words[i];
	}
	up[k++] = (char[]){"--"};
	for (i = 0; c->raftd_args[i] != NULL; i++) {
		if (k == ARGS_MAX)
			return -E2BIG;
		up[k++] = c->raftd_args[i];
	}
	up[k] = NULL;
	find_programs(raftlab, raftctl);
	(void)snprintf(n, sizeof(n), "%u", c->servers);
	(void)snprintf(at, sizeof(at), "%s/lab", lab->dir);
	if (pipe2(control, O_CLOEXEC) < 0)
		return -errno;
	if (pipe2(pipe_out, O_CLOEXEC) < 0) {
		close(control[0]);
		close(control[1]);
		return -errno;
	}
	lab->keeper = fork();
	if (lab->keeper == 0) {
		close(control[1]);
		close(pipe_out[0]);
		keep(lab, up, control[0], pipe_out[1]);
	}
	close(control[0]);
	close(pipe_out[1]);
	lab->control = control[1];
	*out = pipe_out[0];
	if (lab->keeper < 0) {
		close(control[1]);
		close(pipe_out[0]);
		return -EAGAIN;
	}
	return 0;
}

int
lab_start(struct lab *lab, const struct lab_config *c, const volatile int *stop,
    struct errtext *et)
{
	char *text;
	int out, err;

	memset(lab, 0, sizeof(*lab));
	lab->keeper = -1;
	(void)snprintf(
	    lab->dir, sizeof(lab->dir), "%s/loadgen.XXXXXX", c->parent);
	if (mkdtemp(lab->dir) == NULL) {
		err = -errno;
		(void)errtext(et, err, "cannot create a directory in '%s': %s",
		    c->parent, strerror(-err));
		return err;
	}
	err = begin(lab, c, &out);
	if (err < 0) {
		(void)rmdir(lab->dir);
		(void)errtext(et, err, "cannot begin: %s", strerror(-err));
		lab->keeper = -1;
		return err;
	}
	text = malloc(LAB_OUT_MAX + 1);
	err = text == NULL ? -ENOMEM : read_all(out, text, stop);
	close(out);
	if (err == 0) {
		lab->endpoints = endpoints_in(text);
		err = lab->endpoints != NULL ? 0 : -ECHILD;
	}
	free(text);
	if (err < 0) {
		(void)errtext(et, err, "raftlab could not start a cluster");
		(void)lab_stop(lab);
	}
	return err;
}

int
lab_stop(struct lab *lab)
{
	int err;

	if (lab->keeper < 0)
		return 0;
	close(lab->control);
	err = wait_for(lab->keeper);
	lab->keeper = -1;
	free(lab->endpoints);
	lab->endpoints = NULL;
	return err;
}

/* ---- single servers ---------------------------------------------------- */

static void
lab_place(const struct lab *lab, char at[PATH_MAX + 8])
{
	(void)snprintf(at, PATH_MAX + 8, "%s/lab", lab->dir);
}

/* 0 if it does not run. */
static pid_t
pid_of(struct lab *lab, unsigned id)
{
	char raftlab[PATH_MAX], raftctl[PATH_MAX], at[PATH_MAX + 8];
	char *argv[] = {
	    raftlab, (char[]){"-d"}, at, (char[]){"ps"}, (char[]){"-j"}, NULL};
	json_int_t number, p, found = 0;
	char *text = malloc(LAB_OUT_MAX + 1), *line, *rest;
	json_t *j;
	int fd[2], pid;

	find_programs(raftlab, raftctl);
	lab_place(lab, at);
	if (text == NULL || pipe2(fd, O_CLOEXEC) < 0) {
		free(text);
		return 0;
	}
	pid = spawn(argv, fd[1]);
	close(fd[1]);
	if (pid < 0 || read_all(fd[0], text, NULL) < 0)
		text[0] = '\0';
	close(fd[0]);
	if (pid > 0)
		(void)wait_for(pid);
	for (line = strtok_r(text, "\n", &rest); line != NULL;
	     line = strtok_r(NULL, "\n", &rest)) {
		j = json_loads(line, 0, NULL);
		if (json_unpack(j, "{s:I,s:I}", "id", &number, "pid", &p) ==
			0 &&
		    number == (json_int_t)id)
			found = p;
		json_decref(j);
	}
	free(text);
	return found > 1 && found <= INT_MAX ? (pid_t)found : 0;
}

uint64_t
lab_kill(struct lab *lab, unsigned id)
{
	pid_t pid = pid_of(lab, id);
	uint64_t at = now_ns();

	return pid > 0 && kill(pid, SIGKILL) == 0 ? at : 0;
}

int
lab_start_server(struct lab *lab, unsigned id)
{
	char raftlab[PATH_MAX], raftctl[PATH_MAX], at[PATH_MAX + 8], n[16];
	char *argv[] = {
	    raftlab, (char[]){"-d"}, at, (char[]){"start"}, n, NULL};

	find_programs(raftlab, raftctl);
	lab_place(lab, at);
	(void)snprintf(n, sizeof(n), "%u", id);
	return run_quietly(argv);
}

int
lab_add(struct lab *lab)
{
	char raftlab[PATH_MAX], raftctl[PATH_MAX], at[PATH_MAX + 8];
	char *argv[] = {raftlab, (char[]){"-d"}, at, (char[]){"add"}, NULL};

	find_programs(raftlab, raftctl);
	lab_place(lab, at);
	return run_quietly(argv);
}

int
lab_raftctl(struct lab *lab, const char *const words[])
{
	char raftlab[PATH_MAX], raftctl[PATH_MAX];
	char *argv[16] = {raftctl, (char[]){"-s"}, lab->endpoints,
	    (char[]){"-t"}, (char[]){"60s"}};
	size_t n = 5;

	find_programs(raftlab, raftctl);
	while (*words != NULL && n < 15)
		argv[n++] = (char *)(uintptr_t)*words++;
	return run_quietly(argv);
}

int
lab_faults(struct lab *lab, const char *const words[])
{
	char raftlab[PATH_MAX], raftctl[PATH_MAX], at[PATH_MAX + 8], *slash;
	char copies[LAB_WORDS_MAX][32], faults[PATH_MAX];
	char *argv[LAB_WORDS_MAX + 4] = {faults, (char[]){"--lab"}, at};
	int n;

	find_programs(raftlab, raftctl);
	/* it stands where raftctl does */
	slash = strrchr(raftctl, '/');
	(void)snprintf(faults, sizeof(faults), "%.*s%s",
	    slash != NULL ? (int)(slash - raftctl) + 1 : 0, raftctl, "faults");
	lab_place(lab, at);
	for (n = 0; n < LAB_WORDS_MAX && words[n] != NULL; n++) {
		(void)snprintf(copies[n], sizeof(copies[n]), "%s", words[n]);
		argv[3 + n] = copies[n];
	}
	argv[3 + n] = NULL;
	return run_quietly(argv);
}

int
lab_wait_healthy(struct lab *lab)
{
	char raftlab[PATH_MAX], raftctl[PATH_MAX];
	char *argv[] = {raftctl, (char[]){"-s"}, lab->endpoints, (char[]){"-t"},
	    (char[]){"30s"}, (char[]){"wait"}, (char[]){"healthy"}, NULL};

	find_programs(raftlab, raftctl);
	return run_quietly(argv);
}

/* ---- what is measured -------------------------------------------------- */

static unsigned long long
ticks_of(long pid)
{
	unsigned long long user, sys;
	char path[64], line[1024], *p;
	FILE *f;

	(void)snprintf(path, sizeof(path), "/proc/%ld/stat", pid);
	f = fopen(path, "re");
	if (f == NULL)
		return 0;
	p = fgets(line, sizeof(line), f);
	(void)fclose(f);
	/* the name may hold blanks and parentheses */
	p = p != NULL ? strrchr(line, ')') : NULL;
	if (p == NULL ||
	    sscanf(p, ") %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %llu %llu",
		&user, &sys) != 2)
		return 0;
	return user + sys;
}

double
lab_cpu_s(struct lab *lab)
{
	char path[PATH_MAX + 32];
	unsigned long long sum = 0;
	unsigned id;
	long pid;
	FILE *f;

	for (id = 1; id <= LAB_SERVERS_MAX; id++) {
		(void)snprintf(
		    path, sizeof(path), "%s/lab/%u.pid", lab->dir, id);
		f = fopen(path, "re");
		if (f == NULL)
			break;
		if (fscanf(f, "%ld", &pid) == 1 && pid > 1)
			sum += ticks_of(pid);
		(void)fclose(f);
	}
	return (double)sum / (double)sysconf(_SC_CLK_TCK);
}

static void
time_syncs(int fd, struct hist *h)
{
	static uint8_t block[FSYNC_SPACE];
	uint64_t begin, t;
	unsigned i;

	memset(block, 'x', sizeof(block));
	if (pwrite(fd, block, sizeof(block), 0) != (ssize_t)sizeof(block) ||
	    fsync(fd) < 0)
		return;
	begin = now_ns();
	for (i = 0; i < FSYNC_COUNT_MAX; i++) {
		t = now_ns();
		if (t - begin > FSYNC_NS_MAX)
			return;
		if (pwrite(fd, block, FSYNC_BYTES,
			(off_t)(i * FSYNC_BYTES % FSYNC_SPACE)) !=
			FSYNC_BYTES ||
		    fdatasync(fd) < 0)
			return;
		hist_add(h, now_ns() - t);
	}
}

json_t *
lab_fsync(struct lab *lab)
{
	static struct hist h;
	char path[PATH_MAX + 16];
	int fd;

	hist_reset(&h);
	(void)snprintf(path, sizeof(path), "%s/sync", lab->dir);
	fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return json_null();
	(void)unlink(path);
	time_syncs(fd, &h);
	close(fd);
	return json_pack("{s:I,s:I,s:f,s:f,s:f}", "bytes",
	    (json_int_t)FSYNC_BYTES, "count", (json_int_t)h.count, "p50",
	    (double)hist_quantile(&h, 0.5) / 1e6, "p99",
	    (double)hist_quantile(&h, 0.99) / 1e6, "mean", hist_mean(&h) / 1e6);
}
