/*
 * disk.c - faults of a server's disk.
 *
 * slow and eio go through strace(1), which changes what system calls of the
 * server do, on any lab.  full, stall and powerloss want a file system of the
 * server's own (raftlab up --disk), and never touch another: the mount in
 * DIR/N.disk has to be a different device than DIR.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "faults/fault.h"
#include "faults/spawn.h"
#include "faults/torn.h"
#include "raftctl/units.h"

/* ext4 and xfs have it alike; the flag says that no log is written out. */
#define DISK_SHUTDOWN _IOR('X', 125, uint32_t)
#define DISK_SHUTDOWN_NO_LOG 2u
#define SLOW_MS 100
#define ATTACH_MAX_MS 3000
#define BALLAST "ballast"

enum disk_what { FULL, SLOW, STALL, EIO_CALLS, POWERLOSS, TORN, WHATS };

static const struct {
	const char *name, *mechanism;
	bool wants_mount;
} whats[WHATS] = {
    {"full", "ballast", true},
    {"slow", "strace", false},
    {"stall", "fsfreeze", true},
    {"eio", "strace", false},
    {"powerloss", "shutdown", true},
    {"torn", "shutdown", true},
};

static enum disk_what
what_of(const struct fault *f)
{
	int i = 0;

	while (i + 1 < WHATS &&
	       strncmp(f->detail, whats[i].name, strlen(whats[i].name)) != 0)
		i++;
	return (enum disk_what)i;
}

static int
parse_more(
    struct fault *f, enum disk_what what, const char *word, struct errtext *et)
{
	static const char *const calls[] = {
	    "fdatasync", "fsync", "pwrite64", "pwritev", "openat"};
	uint64_t ms;

	if (what == SLOW && units_duration_ms(word, &ms) == 0 && ms > 0 &&
	    ms <= 60000) {
		f->delay_us = ms * 1000;
		return 0;
	}
	for (size_t i = 0;
	     what == EIO_CALLS && i < sizeof(calls) / sizeof(calls[0]); i++)
		if (strcmp(word, calls[i]) == 0) {
			(void)snprintf(f->word, sizeof(f->word), "%s", word);
			return 0;
		}
	return errtext(
	    et, -EINVAL, "'%s' is not for disk %s", word, whats[what].name);
}

int
disk_parse(const struct lab *lab, struct fault *f, int argc, char *const argv[],
    struct errtext *et)
{
	int what = 0, ret;

	if (argc < 2 || argc > 3)
		return errtext(et, -EINVAL, "wrong number of words, want %s",
		    f->kind->args);
	while (what < WHATS && strcmp(argv[0], whats[what].name) != 0)
		what++;
	if (what == WHATS)
		return errtext(
		    et, -EINVAL, "no such fault of disks: '%s'", argv[0]);
	f->delay_us = SLOW_MS * 1000;
	(void)snprintf(f->word, sizeof(f->word), "fdatasync,fsync");
	if ((ret = links_server(lab->count, argv[1], &f->server, et)) < 0 ||
	    (argc == 3 &&
		(ret = parse_more(f, (enum disk_what)what, argv[2], et)) < 0))
		return ret;
	(void)snprintf(
	    f->mechanism, sizeof(f->mechanism), "%s", whats[what].mechanism);
	(void)snprintf(f->detail, sizeof(f->detail), "%s %s%s%.32s", argv[0],
	    argv[1], argc == 3 ? " " : "", argc == 3 ? argv[2] : "");
	if (!whats[what].wants_mount)
		return have_program("strace")
			   ? 0
			   : errtext(et, -ENOTSUP, "strace is not installed");
	if (!lab->disk)
		return errtext(et, -ENOTSUP,
		    "the servers have no disks: use raftlab up --disk SIZE");
	return 0;
}

/* ---- the server's own file system --------------------------------------- */

static void
mount_path(const struct scene *s, const struct fault *f, char path[PATH_MAX])
{
	if (snprintf(path, PATH_MAX, "%s/%u.disk", s->lab.dir, f->server) >=
	    PATH_MAX)
		path[0] = '\0';
}

static bool
is_mounted(const struct scene *s, const struct fault *f)
{
	char path[PATH_MAX];
	struct stat lab, disk;

	mount_path(s, f, path);
	return stat(s->lab.dir, &lab) == 0 && stat(path, &disk) == 0 &&
	       lab.st_dev != disk.st_dev;
}

static int
disk_ioctl(const struct scene *s, const struct fault *f, unsigned long request,
    void *arg)
{
	char path[PATH_MAX];
	int fd, ret;

	mount_path(s, f, path);
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	ret = ioctl(fd, request, arg) < 0 ? -errno : 0;
	(void)close(fd);
	return ret;
}

/* Takes all the room there is, also what fallocate leaves. */
static int
fill_up(const struct scene *s, const struct fault *f)
{
	static const char zeros[4096];
	char path[PATH_MAX], name[PATH_MAX + 16];
	off_t len = 0;
	int fd, ret = 0;

	mount_path(s, f, path);
	(void)snprintf(name, sizeof(name), "%s/" BALLAST, path);
	fd = open(name, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	for (off_t step = 64 << 20; step >= 4096; step /= 2)
		while (fallocate(fd, 0, len, step) == 0)
			len += step;
	while (pwrite(fd, zeros, sizeof(zeros), len) == sizeof(zeros))
		len += (off_t)sizeof(zeros);
	if (errno != ENOSPC)
		ret = -errno;
	if (fsync(fd) < 0 && ret == 0 && errno != ENOSPC)
		ret = -errno;
	(void)close(fd);
	return ret;
}

/* Where its files are, and where what they held is kept. */
static void
torn_paths(const struct scene *s, const struct fault *f, char data[PATH_MAX],
    char copy[PATH_MAX])
{
	char name[32];

	if (snprintf(data, PATH_MAX, "%s/%u.disk/data", s->lab.dir,
		f->server) >= PATH_MAX)
		data[0] = '\0';
	(void)snprintf(name, sizeof(name), "torn.%u", f->server);
	journal_path(&s->lab, name, copy);
}

static int
lose_power(struct scene *s, struct fault *f)
{
	char data[PATH_MAX], copy[PATH_MAX];
	uint32_t flag = DISK_SHUTDOWN_NO_LOG;
	int ret;

	/* known before it is done: only then does undoing mount again */
	(void)snprintf(f->undo, sizeof(f->undo), "mount");
	ret = journal_put(s, f, NULL);
	if (ret < 0)
		return ret;
	/* from here nothing more is written */
	if (kill(f->target, SIGSTOP) < 0)
		return -errno;
	torn_paths(s, f, data, copy);
	if (what_of(f) == TORN && (ret = torn_keep(data, copy)) < 0)
		return ret;
	ret = disk_ioctl(s, f, DISK_SHUTDOWN, &flag);
	if (kill(f->target, SIGKILL) < 0 && ret == 0)
		ret = -errno;
	if (ret == 0)
		ret = proc_wait_gone(f->target, f->target_start, 10000);
	return ret;
}

/* The same fault tears the same sectors. */
static int
tear(struct scene *s, struct fault *f, struct errtext *et)
{
	char data[PATH_MAX], copy[PATH_MAX];
	unsigned written, differ;
	int ret;

	torn_paths(s, f, data, copy);
	ret = torn_write(copy, data, f->id, &written, &differ);
	if (ret < 0)
		return errtext(
		    et, ret, "cannot tear '%s': %s", data, strerror(-ret));
	torn_forget(copy);
	(void)snprintf(f->detail, sizeof(f->detail),
	    "torn %u: %u of %u sectors", f->server, written, differ);
	return 0;
}

/* Mounted again, its journal replayed: what a reboot would find. */
static int
power_up(struct scene *s, struct fault *f, struct errtext *et)
{
	char path[PATH_MAX], image[PATH_MAX + 8];
	const char *unmount[] = {"umount", path, NULL};
	const char *mount_it[] = {"mount", "-o", "loop", image, path, NULL};
	struct spawn with = {.hold_fd = s->lock_fd};
	int ret;

	if (proc_is(f->target, f->target_start)) {
		(void)kill(f->target, SIGKILL);
		(void)proc_wait_gone(f->target, f->target_start, 10000);
	}
	mount_path(s, f, path);
	(void)snprintf(
	    image, sizeof(image), "%s/%u.img", s->lab.dir, f->server);
	if (is_mounted(s, f) && (ret = spawn_check(&with, unmount, et)) < 0)
		return ret;
	if ((ret = spawn_check(&with, mount_it, et)) < 0)
		return ret;
	if (what_of(f) == TORN && (ret = tear(s, f, et)) < 0)
		return ret;
	return start_undo(s, f, et);
}

/* ---- strace -------------------------------------------------------------- */

static void
strace_body(const struct scene *s, const struct fault *f)
{
	char trace[80], inject[160], pid[16];

	(void)s;
	(void)snprintf(pid, sizeof(pid), "%d", (int)f->target);
	(void)snprintf(trace, sizeof(trace), "trace=%s", f->word);
	if (what_of(f) == SLOW)
		(void)snprintf(inject, sizeof(inject),
		    "inject=%s:delay_enter=%llu", f->word,
		    (unsigned long long)f->delay_us);
	else
		(void)snprintf(
		    inject, sizeof(inject), "inject=%s:error=EIO", f->word);
	(void)execlp("strace", "strace", "-q", "-f", "-o", "/dev/null", "-e",
	    trace, "-e", inject, "-p", pid, (char *)NULL);
}

/* Whether every thread of the server is traced. */
static bool
is_traced(pid_t pid)
{
	char path[64], line[256];
	int tracer = 0;
	FILE *f;

	(void)snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	f = fopen(path, "re");
	if (f == NULL)
		return false;
	while (fgets(line, sizeof(line), f) != NULL)
		if (sscanf(line, "TracerPid: %d", &tracer) == 1)
			break;
	(void)fclose(f);
	return tracer != 0;
}

static int
attach(struct scene *s, struct fault *f, struct errtext *et)
{
	uint64_t end = mono_ms() + ATTACH_MAX_MS;
	int ret = helper_start(s, f, strace_body, et);

	while (ret == 0 && proc_is(f->target, f->target_start) &&
	       !is_traced(f->target)) {
		if (mono_ms() > end || !proc_is(f->helper, f->helper_start))
			return errtext(et, -EPERM,
			    "strace cannot trace server %u: it needs root",
			    f->server);
		sleep_ms(5);
	}
	return ret;
}

/* ---- apply, undo --------------------------------------------------------- */

int
disk_apply(struct scene *s, struct fault *f, struct errtext *et)
{
	enum disk_what what = what_of(f);
	int ret = 0;

	if (!whats[what].wants_mount)
		return attach(s, f, et);
	if (!is_mounted(s, f))
		return errtext(
		    et, -ENOTSUP, "'%u.disk' is not mounted", f->server);
	if (geteuid() != 0)
		return errtext(
		    et, -EPERM, "disk %s needs root", whats[what].name);
	if (what == FULL)
		ret = fill_up(s, f);
	else if (what == STALL)
		ret = disk_ioctl(s, f, FIFREEZE, NULL);
	else
		ret = lose_power(s, f);
	if (ret < 0)
		return errtext(
		    et, ret, "disk %s: %s", whats[what].name, strerror(-ret));
	return 0;
}

int
disk_undo(struct scene *s, struct fault *f, struct errtext *et)
{
	char path[PATH_MAX], name[PATH_MAX + 16];
	enum disk_what what = what_of(f);
	int ret;

	if (!whats[what].wants_mount) {
		helper_stop(f);
		/* it dies of a failed write, as it should */
		if (f->helper != 0 && what == EIO_CALLS)
			return start_undo(s, f, et);
		return 0;
	}
	if (!is_mounted(s, f) && what != POWERLOSS)
		return 0;
	mount_path(s, f, path);
	(void)snprintf(name, sizeof(name), "%s/" BALLAST, path);
	switch (what) {
	case FULL:
		if (unlink(name) < 0 && errno != ENOENT)
			return errtext(et, -errno, "cannot remove '%s'", name);
		return start_undo(s, f, et);
	case STALL:
		/* EINVAL: it is not frozen */
		ret = disk_ioctl(s, f, FITHAW, NULL);
		if (ret < 0 && ret != -EINVAL)
			return errtext(et, ret, "cannot thaw '%s'", path);
		return 0;
	default:
		return f->here && f->undo[0] != '\0' ? power_up(s, f, et) : 0;
	}
}
