/*
 * play.c - waiting with faults in force.
 */
#include "faults/play.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "faults/spawn.h"

#define GRACE_MS 5000 /* to heal ourselves before the watchdog does */

/* ---- signals ------------------------------------------------------------ */

static void
block(sigset_t *set)
{
	(void)sigemptyset(set);
	(void)sigaddset(set, SIGINT);
	(void)sigaddset(set, SIGTERM);
	(void)sigaddset(set, SIGHUP);
	(void)sigprocmask(SIG_BLOCK, set, NULL);
}

/* Until the time (of mono_ms) or a signal: 0 or its number. */
static int
wait_until(const sigset_t *set, uint64_t end_ms)
{
	for (;;) {
		uint64_t now = mono_ms();
		uint64_t left = end_ms > now ? end_ms - now : 0;
		struct timespec t = {
		    (time_t)(left / 1000), (long)(left % 1000) * 1000000};
		int number = sigtimedwait(set, NULL, &t);

		if (number > 0)
			return number;
		if (errno == EAGAIN && mono_ms() >= end_ms)
			return 0;
	}
}

/* ---- the watchdog -------------------------------------------------------- */

struct watchdog {
	int fd; /* what we hold of its pipe */
	pid_t pid;
};

static void
watch(const struct lab *lab, int fd, pid_t owner, uint64_t start,
    uint64_t limit_ms)
{
	struct fault_filter filter = {.owner = owner, .owner_start = start};
	struct pollfd p = {.fd = fd, .events = POLLIN};
	uint64_t end = mono_ms() + limit_ms;
	unsigned ended;
	char byte;
	int null;

	(void)setsid();
	null = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (null >= 0)
		for (int i = 0; i < 3; i++)
			(void)dup2(null, i);
	for (;;) {
		uint64_t now = mono_ms();
		uint64_t left = end > now ? end - now : 0;

		if (left == 0 ||
		    poll(&p, 1, left > 60000 ? 60000 : (int)left) > 0)
			break;
	}
	/* a byte: all is done; nothing: it has died, or is late */
	if ((p.revents & POLLIN) != 0 && read(fd, &byte, 1) == 1)
		_exit(0);
	_exit(fault_end_all(lab, &filter, false, &ended, NULL) < 0);
}

static int
watchdog_start(struct watchdog *w, const struct lab *lab, uint64_t limit_ms,
    struct errtext *et)
{
	pid_t self = getpid();
	uint64_t start;
	char state;
	int fd[2];

	if (proc_start(self, &state, &start) < 0)
		return errtext(et, -ESRCH, "cannot read /proc/self/stat");
	if (pipe2(fd, O_CLOEXEC) < 0)
		return errtext(et, -errno, "cannot make a pipe");
	w->pid = fork();
	if (w->pid < 0) {
		(void)close(fd[0]);
		(void)close(fd[1]);
		return errtext(et, -errno, "cannot fork");
	}
	if (w->pid == 0) {
		(void)close(fd[1]);
		watch(lab, fd[0], self, start, limit_ms);
	}
	(void)close(fd[0]);
	w->fd = fd[1];
	return 0;
}

static void
watchdog_end(struct watchdog *w)
{
	/* it is told only when nothing is left to heal */
	(void)!write(w->fd, "d", 1);
	(void)close(w->fd);
	while (waitpid(w->pid, NULL, 0) < 0 && errno == EINTR)
		continue;
}

/* Not told: what we could not heal it tries once more. */
static void
watchdog_leave(struct watchdog *w)
{
	(void)close(w->fd);
	while (waitpid(w->pid, NULL, 0) < 0 && errno == EINTR)
		continue;
}

/* ---- one fault ----------------------------------------------------------- */

int
play_one(const struct lab *lab, int argc, char *const argv[], uint64_t for_ms,
    struct errtext *et)
{
	struct watchdog dog;
	uint64_t id = 0;
	int ret, ended, number;
	sigset_t set;

	block(&set);
	ret = watchdog_start(&dog, lab, for_ms + GRACE_MS, et);
	if (ret < 0)
		return ret;
	ret = fault_begin(lab, argc, argv, for_ms, true, &id, et);
	if (ret < 0) {
		watchdog_end(&dog);
		return ret;
	}
	number = wait_until(&set, mono_ms() + for_ms);
	ended = fault_end(lab, id, et);
	if (ended < 0) {
		watchdog_leave(&dog);
		return ended;
	}
	watchdog_end(&dog);
	return number;
}

/* ---- plans --------------------------------------------------------------- */

/* The word "leader" is whoever leads when the action's time has come. */
static int
find_leader(const struct lab *lab, char word[16], struct errtext *et)
{
	static char endpoints[LAB_SERVERS_MAX * 260], out[4096];
	char path[PATH_MAX];
	const char *argv[] = {
	    path, "-s", endpoints, "-t", "3s", "status", "-j", NULL};
	struct spawn with = {
	    .hold_fd = -1, .out = out, .out_size = sizeof(out)};
	size_t len = 0;
	json_int_t id = 0;
	json_t *j;

	for (unsigned i = 1; i <= lab->count; i++)
		len +=
		    (size_t)snprintf(endpoints + len, sizeof(endpoints) - len,
			"%s%s", i == 1 ? "" : ",", lab->server[i].client);
	find_program("raftctl", path);
	if (spawn_wait(&with, argv) != 0)
		return errtext(et, -ESRCH, "no leader is known");
	j = json_loads(out, JSON_DISABLE_EOF_CHECK, NULL);
	if (j != NULL)
		id = json_integer_value(json_object_get(j, "leader"));
	json_decref(j);
	if (id < 1 || id > (json_int_t)lab->count)
		return errtext(et, -ESRCH, "no leader is known");
	(void)snprintf(word, 16, "%d", (int)id);
	return 0;
}

static int
begin(const struct lab *lab, const struct action *a, uint64_t *id,
    struct errtext *et)
{
	char leader[16], copies[PLAN_WORDS_MAX][PLAN_WORD_LEN];
	char *argv[PLAN_WORDS_MAX + 1];
	int ret;

	memcpy(copies, a->word, sizeof(copies));
	for (int i = 0; i < a->argc; i++) {
		argv[i] = copies[i];
		if (strcmp(argv[i], "leader") != 0)
			continue;
		if ((ret = find_leader(lab, leader, et)) < 0)
			return ret;
		argv[i] = leader;
	}
	argv[a->argc] = NULL;
	return fault_begin(lab, a->argc, argv, a->for_ms, true, id, et);
}

struct window {
	uint64_t end_ms, id;
};

struct play {
	const struct lab *lab;
	uint64_t start_ms;
	unsigned open, refused;
	struct window window[FAULTS_MAX];
	struct fault_filter ours;
	int error; /* of healing */
	struct errtext *et;
};

static void
do_action(struct play *p, const struct action *a)
{
	struct window *w = &p->window[p->open];
	struct errtext why = {""};
	unsigned ended;
	int ret;

	if (strcmp(a->word[0], "heal") == 0) {
		ret = fault_end_all(p->lab, &p->ours, false, &ended, p->et);
		p->error = p->error < 0 ? p->error : ret;
		p->open = 0;
		return;
	}
	if (p->open == FAULTS_MAX)
		ret = errtext(&why, -EBUSY, "too many at once");
	else
		ret = begin(p->lab, a, &w->id, &why);
	if (ret < 0) {
		p->refused++;
		(void)fprintf(stderr, "faults: at %llums: %s %s: %s\n",
		    (unsigned long long)a->at_ms, a->word[0],
		    a->argc > 1 ? a->word[1] : "", why.text);
		return;
	}
	if (a->for_ms == 0)
		return;
	w->end_ms = a->at_ms + a->for_ms;
	p->open++;
}

/* The window that ends first; UINT64_MAX if none does. */
static uint64_t
next_end(const struct play *p, unsigned *which)
{
	uint64_t least = UINT64_MAX;

	for (unsigned i = 0; i < p->open; i++)
		if (p->window[i].end_ms < least) {
			least = p->window[i].end_ms;
			*which = i;
		}
	return least;
}

static int
loop(struct play *p, const struct plan *plan, const sigset_t *set)
{
	unsigned next = 0, which = 0;

	for (;;) {
		uint64_t end = next_end(p, &which), at = UINT64_MAX;
		int number, ret;

		if (next < plan->count)
			at = plan->action[next].at_ms;
		if (at == UINT64_MAX && end == UINT64_MAX)
			return 0;
		number = wait_until(set, p->start_ms + (end <= at ? end : at));
		if (number > 0)
			return number;
		/* what ends at this time makes room for what begins */
		if (end > at) {
			do_action(p, &plan->action[next++]);
			continue;
		}
		ret = fault_end(p->lab, p->window[which].id, p->et);
		p->error = p->error < 0 ? p->error : ret;
		p->window[which] = p->window[--p->open];
	}
}

int
play_plan(const struct lab *lab, const struct plan *plan, unsigned *refused,
    struct errtext *et)
{
	static struct play p;
	uint64_t last = 0;
	struct watchdog dog;
	unsigned ended;
	sigset_t set;
	char state;
	int number, ret;

	memset(&p, 0, sizeof(p));
	p.lab = lab;
	p.et = et;
	block(&set);
	for (unsigned i = 0; i < plan->count; i++)
		if (plan->action[i].at_ms + plan->action[i].for_ms > last)
			last = plan->action[i].at_ms + plan->action[i].for_ms;
	/* starting servers again takes time that the plan does not know */
	ret = watchdog_start(&dog, lab, last * 2 + 60000 + GRACE_MS, et);
	if (ret < 0)
		return ret;
	p.ours.owner = getpid();
	(void)proc_start(p.ours.owner, &state, &p.ours.owner_start);
	p.start_ms = mono_ms();
	number = loop(&p, plan, &set);
	ret = fault_end_all(lab, &p.ours, false, &ended, et);
	*refused = p.refused;
	if (ret < 0 || p.error < 0) {
		watchdog_leave(&dog);
		return ret < 0 ? ret : p.error;
	}
	watchdog_end(&dog);
	return number;
}
