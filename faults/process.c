/*
 * process.c - faults of a server's process.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "faults/fault.h"
#include "faults/spawn.h"

#define GONE_MAX_MS 10000
#define RAFTLAB_FD 9 /* as raftlab knows it */
#define CGROUP_CPU "/sys/fs/cgroup/cpu"
#define CGROUP_PERIOD_US 20000
#define DUTY_PERIOD_US 20000

/* ---- raftlab ----------------------------------------------------------- */

/* Beside us, or in bin of the tree we were built in, or on the path. */
void
find_program(const char *name, char path[PATH_MAX])
{
	static const char *const places[] = {"", "../../../bin/"};
	char self[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);

	self[n > 0 ? n : 0] = '\0';
	if (strrchr(self, '/') != NULL)
		strrchr(self, '/')[1] = '\0';
	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		if (snprintf(path, PATH_MAX, "%s%s%s", self, places[i], name) >=
		    PATH_MAX)
			continue;
		if (access(path, X_OK) == 0)
			return;
	}
	(void)snprintf(path, PATH_MAX, "%s", name);
}

/*
 * It holds the lock under a number that it closes for the server it starts:
 * if we are killed, whoever comes next waits for it, and not for the server.
 */
int
raftlab_do(
    const struct scene *s, const char *command, unsigned id, struct errtext *et)
{
	char path[PATH_MAX], number[16];
	const char *argv[] = {path, "-d", s->lab.dir, command, number, NULL};
	struct spawn with = {.hold_fd = s->lock_fd, .hold_as = RAFTLAB_FD};

	find_program("raftlab", path);
	(void)snprintf(number, sizeof(number), "%u", id);
	return spawn_check(&with, argv, et);
}

/* ---- helpers ----------------------------------------------------------- */

int
helper_start(struct scene *s, struct fault *f,
    void (*body)(const struct scene *, const struct fault *),
    struct errtext *et)
{
	char byte = 'g', state;
	int go[2], ret, null;
	pid_t pid;

	if (pipe2(go, O_CLOEXEC) < 0)
		return errtext(et, -errno, "cannot make a pipe");
	pid = fork();
	if (pid < 0) {
		ret = errtext(et, -errno, "cannot fork");
		goto out;
	}
	if (pid == 0) {
		(void)close(go[1]);
		/* without the word of our parent nothing is done */
		if (read(go[0], &byte, 1) != 1)
			_exit(0);
		(void)setsid();
		signals_default();
		null = open("/dev/null", O_RDWR | O_CLOEXEC);
		if (null < 0 || dup2(null, 0) < 0 || dup2(null, 1) < 0 ||
		    dup2(null, 2) < 0)
			_exit(1);
		for (int fd = 3; fd < 256; fd++)
			(void)close(fd);
		body(s, f);
		_exit(1);
	}
	f->helper = pid;
	ret = proc_start(pid, &state, &f->helper_start);
	if (ret == 0)
		ret = journal_put(s, f, et);
	if (ret == 0 && write(go[1], &byte, 1) != 1)
		ret = errtext(et, -errno, "the helper has died");
out:
	(void)close(go[0]);
	(void)close(go[1]);
	return ret;
}

void
helper_stop(struct fault *f)
{
	if (!proc_is(f->helper, f->helper_start))
		return;
	(void)kill(f->helper, SIGTERM);
	(void)kill(f->helper, SIGCONT);
	if (proc_wait_gone(f->helper, f->helper_start, 2000) < 0)
		(void)kill(f->helper, SIGKILL);
	(void)waitpid(f->helper, NULL, WNOHANG);
}

/* ---- kill, stop -------------------------------------------------------- */

static int
hit(const struct fault *f, int number, struct errtext *et)
{
	if (!proc_is(f->target, f->target_start))
		return errtext(et, -ESRCH, "server %u has gone", f->server);
	if (kill(f->target, number) < 0)
		return errtext(et, -errno, "cannot signal server %u: %s",
		    f->server, strerror(errno));
	return 0;
}

int
kill_apply(struct scene *s, struct fault *f, struct errtext *et)
{
	bool is_stop = strcmp(f->kind->name, "stop") == 0;
	int ret;

	(void)s;
	ret = hit(f, is_stop ? SIGTERM : SIGKILL, et);
	if (ret == 0 &&
	    proc_wait_gone(f->target, f->target_start, GONE_MAX_MS) < 0)
		return errtext(
		    et, -ETIMEDOUT, "server %u does not end", f->server);
	return ret;
}

/* Whatever ended it; a machine that was restarted starts no servers. */
int
start_undo(struct scene *s, struct fault *f, struct errtext *et)
{
	uint64_t start;
	pid_t pid;

	if (!f->here || !s->lab.same_boot ||
	    lab_pid(&s->lab, f->server, &pid, &start) == 0)
		return 0;
	return raftlab_do(s, "start", f->server, et);
}

/* ---- pause ------------------------------------------------------------- */

int
pause_apply(struct scene *s, struct fault *f, struct errtext *et)
{
	(void)s;
	return hit(f, SIGSTOP, et);
}

int
pause_undo(struct scene *s, struct fault *f, struct errtext *et)
{
	(void)s;
	if (!f->here || !proc_is(f->target, f->target_start))
		return 0;
	return hit(f, SIGCONT, et);
}

/* ---- cpu --------------------------------------------------------------- */

const char *
cpu_mechanism(void)
{
	return access(CGROUP_CPU "/cpu.cfs_period_us", F_OK) == 0 ||
		       access(CGROUP_CPU "/cgroup.procs", W_OK) == 0
		   ? "cgroup"
		   : "sigstop";
}

/* The server's group of the cpu controller, below the mount. */
static int
cgroup_of(pid_t pid, char *path, size_t size)
{
	char name[64], line[PATH_MAX];
	int ret = -ENOTSUP;
	FILE *f;

	(void)snprintf(name, sizeof(name), "/proc/%d/cgroup", (int)pid);
	f = fopen(name, "re");
	if (f == NULL)
		return -errno;
	while (fgets(line, sizeof(line), f) != NULL) {
		char *names = strchr(line, ':'), *at;

		if (names == NULL || (at = strchr(names + 1, ':')) == NULL)
			continue;
		*at++ = '\0';
		at[strcspn(at, "\n")] = '\0';
		/* "cpu", or one of "cpu,cpuacct" */
		if (strcmp(names + 1, "cpu") != 0 &&
		    strncmp(names + 1, "cpu,", 4) != 0 &&
		    strstr(names + 1, ",cpu,") == NULL)
			continue;
		if ((size_t)snprintf(path, size, CGROUP_CPU "%s",
			strcmp(at, "/") == 0 ? "" : at) < size)
			ret = 0;
		break;
	}
	(void)fclose(f);
	return ret;
}

static int
put_number(const char *dir, const char *name, long number)
{
	char path[PATH_MAX + 64];
	int ret = 0;
	FILE *f;

	(void)snprintf(path, sizeof(path), "%s/%s", dir, name);
	f = fopen(path, "we");
	if (f == NULL)
		return -errno;
	if (fprintf(f, "%ld\n", number) < 0)
		ret = -EIO;
	if (fclose(f) != 0 && ret == 0)
		ret = -errno;
	return ret;
}

static int
cgroup_apply(struct scene *s, struct fault *f, struct errtext *et)
{
	long quota = (long)(f->ppm * CGROUP_PERIOD_US / PPM);
	int ret = cgroup_of(f->target, f->before, sizeof(f->before));

	if (ret < 0 ||
	    (size_t)snprintf(f->undo, sizeof(f->undo), "%s/faults-%s-%u",
		f->before, s->lab.run, f->server) >= sizeof(f->undo))
		return errtext(
		    et, -ENOTSUP, "no cpu cgroup of server %u", f->server);
	if ((ret = journal_put(s, f, et)) < 0)
		return ret;
	if (mkdir(f->undo, 0755) < 0 && errno != EEXIST)
		ret = -errno;
	if (ret == 0)
		ret =
		    put_number(f->undo, "cpu.cfs_period_us", CGROUP_PERIOD_US);
	if (ret == 0)
		ret = put_number(
		    f->undo, "cpu.cfs_quota_us", quota < 1000 ? 1000 : quota);
	if (ret == 0)
		ret = put_number(f->undo, "cgroup.procs", f->target);
	if (ret < 0)
		return errtext(et, ret, "cannot limit in '%s': %s", f->undo,
		    strerror(-ret));
	return 0;
}

static void
duty_body(const struct scene *s, const struct fault *f)
{
	useconds_t run = (useconds_t)(f->ppm * DUTY_PERIOD_US / PPM);

	(void)s;
	while (proc_is(f->target, f->target_start)) {
		(void)kill(f->target, SIGSTOP);
		(void)usleep(DUTY_PERIOD_US - run);
		(void)kill(f->target, SIGCONT);
		(void)usleep(run);
	}
}

int
cpu_apply(struct scene *s, struct fault *f, struct errtext *et)
{
	if (strcmp(f->mechanism, "cgroup") == 0)
		return cgroup_apply(s, f, et);
	return helper_start(s, f, duty_body, et);
}

int
cpu_undo(struct scene *s, struct fault *f, struct errtext *et)
{
	int ret = 0;

	(void)s;
	helper_stop(f);
	if (!f->here)
		return 0;
	if (f->helper != 0 && proc_is(f->target, f->target_start))
		(void)kill(f->target, SIGCONT);
	if (f->undo[0] == '\0' || access(f->undo, F_OK) < 0)
		return 0;
	if (proc_is(f->target, f->target_start))
		ret = put_number(f->before, "cgroup.procs", f->target);
	/* a process that dies leaves its group a little later */
	for (int i = 0; i < 200; i++) {
		if (rmdir(f->undo) == 0 || errno == ENOENT)
			return 0;
		sleep_ms(5);
	}
	return errtext(
	    et, ret < 0 ? ret : -EBUSY, "cannot remove '%s'", f->undo);
}
