/*
 * clock.c - a server whose clocks are wrong.
 *
 * It is started anew with faults-clock.so preloaded: DIR/N.env has what
 * raftlab(1) puts into its environment, at each start until the fault ends.
 */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "faults/fault.h"
#include "raftctl/units.h"

#define SHIM "faults-clock.so"
#define OFFSET_MAX_MS (10ull * 365 * 24 * 3600 * 1000)
#define END_MAX_MS 10000

/* "+1h" "-5m" */
static bool
parse_offset(const char *word, int64_t *ns)
{
	uint64_t ms;

	if ((*word != '+' && *word != '-') ||
	    units_duration_ms(word + 1, &ms) < 0 || ms > OFFSET_MAX_MS)
		return false;
	*ns = (int64_t)ms * 1000000;
	*ns = *word == '-' ? -*ns : *ns;
	return true;
}

/* "+10%" "-0.5%" */
static bool
parse_rate(const char *word, int64_t *ppm)
{
	char *end;
	double v;

	if ((*word != '+' && *word != '-') ||
	    ((word[1] < '0' || word[1] > '9') && word[1] != '.'))
		return false;
	v = strtod(word, &end);
	if (strcmp(end, "%") != 0 || !(v >= -50 && v <= 100))
		return false;
	*ppm = (int64_t)(v * 10000 + (v < 0 ? -0.5 : 0.5));
	return true;
}

int
clock_parse(const struct lab *lab, struct fault *f, int argc,
    char *const argv[], struct errtext *et)
{
	int64_t offset = 0, rate = 0;
	int ret;

	if (argc < 2 || argc > 3)
		return errtext(et, -EINVAL, "wrong number of words, want %s",
		    f->kind->args);
	for (int i = 1; i < argc; i++)
		if (!parse_offset(argv[i], &offset) &&
		    !parse_rate(argv[i], &rate))
			return errtext(et, -EINVAL,
			    "'%s' is neither an offset, as +1h, nor a drift "
			    "from -50%% to +100%%",
			    argv[i]);
	ret = links_server(lab->count, argv[0], &f->server, et);
	(void)snprintf(f->mechanism, sizeof(f->mechanism), "preload");
	(void)snprintf(f->detail, sizeof(f->detail), "%.16s %.32s%s%.32s",
	    argv[0], argv[1], argc == 3 ? " " : "", argc == 3 ? argv[2] : "");
	(void)snprintf(
	    f->word, sizeof(f->word), "%" PRId64 ",%" PRId64, offset, rate);
	return ret;
}

/* Where make and make install put it; also from bin of the tree. */
static int
find_shim(char path[PATH_MAX])
{
	static const char *const places[] = {
	    "../lib/raftkit/" SHIM, "../.build/gcc/lib/raftkit/" SHIM};
	char self[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);

	self[n > 0 ? n : 0] = '\0';
	if (strrchr(self, '/') != NULL)
		strrchr(self, '/')[1] = '\0';
	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++)
		if (snprintf(path, PATH_MAX, "%s%s", self, places[i]) <
			PATH_MAX &&
		    access(path, R_OK) == 0)
			return 0;
	return -ENOENT;
}

bool
clock_usable(void)
{
	char path[PATH_MAX];

	return find_shim(path) == 0;
}

static void
env_path(const struct lab *lab, const struct fault *f, char path[PATH_MAX])
{
	if (snprintf(path, PATH_MAX, "%s/%u.env", lab->dir, f->server) >=
	    PATH_MAX)
		path[0] = '\0';
}

/* In order, so that it hands over what it leads. */
static void
end_server(pid_t pid, uint64_t start)
{
	(void)kill(pid, SIGTERM);
	if (proc_wait_gone(pid, start, END_MAX_MS) < 0) {
		(void)kill(pid, SIGKILL);
		(void)proc_wait_gone(pid, start, END_MAX_MS);
	}
}

int
clock_apply(struct scene *s, struct fault *f, struct errtext *et)
{
	char shim[PATH_MAX], path[PATH_MAX];
	int ret;
	FILE *to;

	if (find_shim(shim) < 0)
		return errtext(et, -ENOTSUP, "no ../lib/raftkit/" SHIM);
	env_path(&s->lab, f, path);
	/* known before it is done: only then does undoing remove it */
	(void)snprintf(f->undo, sizeof(f->undo), "%s", path);
	if ((ret = journal_put(s, f, et)) < 0)
		return ret;
	to = fopen(path, "we");
	if (to == NULL ||
	    fprintf(to, "LD_PRELOAD=%s\nFAULTS_CLOCK=%s\n", shim, f->word) < 0)
		ret = -EIO;
	if (to != NULL && fclose(to) != 0)
		ret = -EIO;
	if (ret < 0)
		return errtext(et, ret, "cannot write '%s'", path);
	end_server(f->target, f->target_start);
	return raftlab_do(s, "start", f->server, et);
}

int
clock_undo(struct scene *s, struct fault *f, struct errtext *et)
{
	uint64_t start;
	pid_t pid;

	if (f->undo[0] == '\0')
		return 0;
	if (unlink(f->undo) < 0 && errno != ENOENT)
		return errtext(et, -errno, "cannot remove '%s'", f->undo);
	if (f->here && lab_pid(&s->lab, f->server, &pid, &start) == 0)
		end_server(pid, start);
	return start_undo(s, f, et);
}
