/*
 * lab.c - reads the files of raftlab.
 */
#include "faults/lab.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "raftctl/units.h"

#define LINE_LEN 1024

static void
chomp(char *line)
{
	line[strcspn(line, "\n")] = '\0';
}

static int
open_in(const struct lab *lab, const char *name, FILE **f)
{
	char path[PATH_MAX + 64];

	(void)snprintf(path, sizeof(path), "%s/%s", lab->dir, name);
	*f = fopen(path, "re");
	return *f == NULL ? -errno : 0;
}

static void
read_boot(char *boot, size_t size)
{
	FILE *f = fopen("/proc/sys/kernel/random/boot_id", "re");

	if (f == NULL || fgets(boot, (int)size, f) == NULL)
		(void)snprintf(boot, size, "unknown");
	chomp(boot);
	if (f != NULL)
		(void)fclose(f);
}

static int
read_lab(struct lab *lab, struct errtext *et)
{
	char line[LINE_LEN];
	uint64_t count;
	int ret = -EBADMSG;
	FILE *f;

	if (open_in(lab, "lab", &f) < 0)
		return errtext(et, -ENOENT, "no lab in '%s'", lab->dir);
	if (fgets(line, sizeof(line), f) == NULL ||
	    strcmp(line, "raftlab 1\n") != 0 ||
	    fgets(line, sizeof(line), f) == NULL)
		goto out;
	chomp(line);
	lab->same_boot = strcmp(line, lab->boot) == 0;
	if (fgets(line, sizeof(line), f) == NULL)
		goto out;
	chomp(line);
	if (units_u64(line, &count) < 0 || count == 0 ||
	    count > LAB_SERVERS_MAX)
		goto out;
	lab->count = (unsigned)count;
	ret = 0;
out:
	(void)fclose(f);
	return ret < 0 ? errtext(et, ret, "not a lab: '%s'", lab->dir) : 0;
}

/* ID, peer, client; tabs between. */
static int
read_address(struct lab *lab, char *line)
{
	char *peer = strchr(line, '\t'), *client, *colon;
	struct lab_server *s;
	uint64_t id, port;

	if (peer == NULL || (client = strchr(peer + 1, '\t')) == NULL)
		return -EBADMSG;
	*peer++ = '\0';
	*client++ = '\0';
	if (units_u64(line, &id) < 0 || id == 0 || id > lab->count ||
	    strlen(client) >= sizeof(lab->server[0].client))
		return -EBADMSG;
	s = &lab->server[id];
	(void)snprintf(s->client, sizeof(s->client), "%s", client);
	if (strncmp(peer, "unix:", 5) == 0 || *peer == '/')
		return 0;
	colon = strrchr(peer, ':');
	if (colon == NULL || (size_t)(colon - peer) >= sizeof(s->host) ||
	    units_u64(colon + 1, &port) < 0 || port == 0 || port > UINT16_MAX)
		return -EBADMSG;
	*colon = '\0';
	(void)snprintf(s->host, sizeof(s->host), "%s", peer);
	s->port = (unsigned)port;
	return 0;
}

static int
read_addresses(struct lab *lab, struct errtext *et)
{
	char line[LINE_LEN];
	int ret = 0;
	FILE *f;

	if (open_in(lab, "addresses", &f) < 0)
		return errtext(et, -EBADMSG, "no addresses in '%s'", lab->dir);
	while (ret == 0 && fgets(line, sizeof(line), f) != NULL) {
		chomp(line);
		ret = read_address(lab, line);
	}
	(void)fclose(f);
	if (ret < 0)
		return errtext(et, ret, "cannot read '%s/addresses'", lab->dir);
	return 0;
}

static void
name_run(struct lab *lab)
{
	uint32_t hash = 2166136261u;

	for (const char *p = lab->dir; *p != '\0'; p++)
		hash = (hash ^ (unsigned char)*p) * 16777619u;
	(void)snprintf(lab->run, sizeof(lab->run), "%08x", (unsigned)hash);
}

int
lab_open(struct lab *lab, const char *dir, struct errtext *et)
{
	FILE *f;
	int ret;

	memset(lab, 0, sizeof(*lab));
	if (dir == NULL)
		dir = getenv("RAFT_LAB");
	if (dir == NULL || *dir == '\0')
		return errtext(
		    et, -EINVAL, "no lab: give --lab DIR or set RAFT_LAB");
	if (realpath(dir, lab->dir) == NULL)
		return errtext(et, -ENOENT, "no lab in '%s'", dir);
	read_boot(lab->boot, sizeof(lab->boot));
	name_run(lab);
	if ((ret = read_lab(lab, et)) < 0 ||
	    (ret = read_addresses(lab, et)) < 0)
		return ret;
	if (open_in(lab, "netns", &f) == 0) {
		if (fgets(lab->netns, sizeof(lab->netns), f) != NULL)
			chomp(lab->netns);
		(void)fclose(f);
	}
	if (open_in(lab, "disk", &f) == 0) {
		lab->disk = true;
		(void)fclose(f);
	}
	return 0;
}

int
proc_start(pid_t pid, char *state, uint64_t *start)
{
	char path[64], line[LINE_LEN], *p;
	unsigned long long at;
	FILE *f;

	(void)snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	f = fopen(path, "re");
	if (f == NULL)
		return -ESRCH;
	p = fgets(line, sizeof(line), f);
	(void)fclose(f);
	/* the name may hold blanks and parentheses */
	p = p == NULL ? NULL : strrchr(line, ')');
	if (p == NULL || p[1] == '\0')
		return -ESRCH;
	*state = p[2];
	/* the state is field 3, the start field 22 */
	for (int field = 2; field < 22; field++) {
		p = strchr(p + 1, ' ');
		if (p == NULL)
			return -ESRCH;
	}
	at = strtoull(p + 1, NULL, 10);
	if (*state == 'Z' || *state == 'X')
		return -ESRCH;
	*start = at;
	return 0;
}

bool
proc_is(pid_t pid, uint64_t start)
{
	uint64_t now;
	char state;

	return pid > 1 && proc_start(pid, &state, &now) == 0 && now == start;
}

int
lab_pid(const struct lab *lab, unsigned id, pid_t *pid, uint64_t *start)
{
	char path[PATH_MAX + 32];
	unsigned long long at;
	int number, got;
	FILE *f;

	if (!lab->same_boot)
		return -ESRCH;
	(void)snprintf(path, sizeof(path), "%s/%u.pid", lab->dir, id);
	f = fopen(path, "re");
	if (f == NULL)
		return -ESRCH;
	got = fscanf(f, "%d %llu", &number, &at);
	(void)fclose(f);
	if (got != 2 || !proc_is(number, at))
		return -ESRCH;
	*pid = number;
	*start = at;
	return 0;
}

int
proc_wait_gone(pid_t pid, uint64_t start, unsigned limit_ms)
{
	uint64_t end = mono_ms() + limit_ms;

	while (proc_is(pid, start)) {
		if (mono_ms() > end)
			return -ETIMEDOUT;
		sleep_ms(5);
	}
	return 0;
}

void
sleep_ms(unsigned ms)
{
	struct timespec t = {ms / 1000, (long)(ms % 1000) * 1000000};

	(void)nanosleep(&t, NULL);
}

static uint64_t
clock_ms(clockid_t clock)
{
	struct timespec t;

	(void)clock_gettime(clock, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

uint64_t
wall_ms(void)
{
	return clock_ms(CLOCK_REALTIME);
}

uint64_t
mono_ms(void)
{
	return clock_ms(CLOCK_MONOTONIC);
}
