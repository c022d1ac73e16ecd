/*
 * scene.c - begin and end faults: lock, journal, do; undo, journal, unlock.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "faults/fault.h"

int
scene_lock(struct scene *s, struct errtext *et)
{
	char path[PATH_MAX];
	int ret;

	s->lock_fd = -1;
	journal_path(&s->lab, "", path);
	if (mkdir(path, 0700) < 0 && errno != EEXIST)
		return errtext(et, -errno, "cannot create '%s'", path);
	journal_path(&s->lab, "LOCK", path);
	s->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (s->lock_fd < 0)
		return errtext(et, -errno, "cannot open '%s'", path);
	while (flock(s->lock_fd, LOCK_EX) < 0)
		if (errno != EINTR) {
			ret = -errno;
			goto fail;
		}
	ret = journal_open(s, et);
	if (ret == 0)
		return 0;
fail:
	scene_unlock(s);
	return ret;
}

void
scene_unlock(struct scene *s)
{
	if (s->lock_fd >= 0)
		(void)close(s->lock_fd);
	s->lock_fd = -1;
}

json_t *
fault_json(const struct fault *f, uint64_t until_ms)
{
	json_t *from = json_array(), *to = json_array();
	uint32_t received = 0;
	char id[32];

	for (unsigned i = 1; i <= LAB_SERVERS_MAX; i++) {
		if (f->links.to[i] != 0)
			(void)json_array_append_new(from, json_integer(i));
		received |= f->links.to[i];
	}
	for (unsigned i = 1; i <= LAB_SERVERS_MAX; i++)
		if ((received >> i & 1) != 0 || i == f->server)
			(void)json_array_append_new(to, json_integer(i));
	(void)snprintf(id, sizeof(id), "%llu", (unsigned long long)f->id);
	return json_pack("{s:s s:s s:o s:o s:I s:o s:s s:s}", "id", id, "kind",
	    f->kind->name, "from", from, "to", to, "since",
	    (json_int_t)f->since_ms, "until",
	    until_ms == 0 ? json_null() : json_integer((json_int_t)until_ms),
	    "mechanism", f->mechanism, "detail", f->detail);
}

static int
make_fault(struct scene *s, int argc, char *const argv[], uint64_t for_ms,
    bool is_owned, struct errtext *et)
{
	struct fault *f = &s->fault[s->count];
	char state;
	int ret;

	memset(f, 0, sizeof(*f));
	f->kind = kind_by_name(argv[0]);
	if (f->kind == NULL)
		return errtext(et, -EINVAL, "no such command: '%s'", argv[0]);
	ret = f->kind->parse(&s->lab, f, argc - 1, argv + 1, et);
	if (ret < 0)
		return ret;
	for (unsigned i = 0; f->kind->hits_process && i < s->count; i++)
		if (s->fault[i].kind->hits_process &&
		    s->fault[i].server == f->server)
			return errtext(et, -EBUSY,
			    "server %u has fault %llu (%s) already", f->server,
			    (unsigned long long)s->fault[i].id,
			    s->fault[i].kind->name);
	if (f->server != 0 && (ret = lab_pid(&s->lab, f->server, &f->target,
				   &f->target_start)) < 0)
		return errtext(et, ret, "server %u does not run", f->server);
	f->id = s->next_id;
	f->here = true;
	f->since_ms = wall_ms();
	f->until_ms = for_ms == 0 ? 0 : f->since_ms + for_ms;
	if (is_owned) {
		f->owner = getpid();
		(void)proc_start(f->owner, &state, &f->owner_start);
	}
	return 0;
}

/* Undone first, then forgotten; what cannot be undone stays known. */
static int
unmake(struct scene *s, struct fault *f, struct errtext *et)
{
	int ret;

	f->ending = true;
	ret = f->kind->undo(s, f, et);
	if (ret < 0)
		return ret;
	return journal_drop(s, f, et);
}

int
fault_begin(const struct lab *lab, int argc, char *const argv[],
    uint64_t for_ms, bool is_owned, uint64_t *id, struct errtext *et)
{
	static struct scene s;
	struct fault *f;
	int ret;

	s.lab = *lab;
	ret = scene_lock(&s, et);
	if (ret < 0)
		return ret;
	if (s.count == FAULTS_MAX) {
		ret = errtext(et, -EBUSY, "%d faults already", FAULTS_MAX);
		goto out;
	}
	ret = make_fault(&s, argc, argv, for_ms, is_owned, et);
	if (ret < 0)
		goto out;
	f = &s.fault[s.count++];
	s.next_id++;
	ret = journal_put(&s, f, et);
	if (ret < 0)
		goto out;
	ret = f->kind->apply(&s, f, et);
	if (ret < 0) {
		(void)unmake(&s, f, NULL);
		goto out;
	}
	/* by now it is known how it was done */
	ret = journal_put(&s, f, et);
	journal_event(&s, f, 0);
	*id = f->id;
out:
	scene_unlock(&s);
	return ret;
}

static int
end_one(struct scene *s, struct fault *f, struct errtext *et)
{
	int ret = unmake(s, f, et);

	if (ret == 0)
		journal_event(s, f, wall_ms());
	return ret;
}

int
fault_end(const struct lab *lab, uint64_t id, struct errtext *et)
{
	static struct scene s;
	int ret;

	s.lab = *lab;
	ret = scene_lock(&s, et);
	if (ret < 0)
		return ret;
	for (unsigned i = 0; i < s.count; i++)
		if (s.fault[i].id == id) {
			ret = end_one(&s, &s.fault[i], et);
			break;
		}
	scene_unlock(&s);
	return ret;
}

static bool
matches(const struct fault *f, const struct fault_filter *filter)
{
	if (filter->server != 0 && f->server != filter->server)
		return false;
	if (filter->kind != NULL && strcmp(f->kind->name, filter->kind) != 0)
		return false;
	return filter->owner == 0 || (f->owner == filter->owner &&
					 f->owner_start == filter->owner_start);
}

int
fault_end_all(const struct lab *lab, const struct fault_filter *filter,
    bool sweep, unsigned *ended, struct errtext *et)
{
	static struct scene s;
	int ret, first = 0;

	s.lab = *lab;
	*ended = 0;
	ret = scene_lock(&s, et);
	if (ret < 0)
		return ret;
	/* all network faults go in one step */
	for (unsigned i = 0; i < s.count; i++)
		s.fault[i].ending = matches(&s.fault[i], filter);
	for (int order = 0; order < UNDO_ORDERS; order++)
		for (unsigned i = 0; i < s.count; i++) {
			struct fault *f = &s.fault[i];

			if (!f->ending || (int)f->kind->order != order)
				continue;
			ret = end_one(&s, f, first == 0 ? et : NULL);
			if (ret == 0)
				++*ended;
			else if (first == 0)
				first = ret;
		}
	if (sweep && first == 0)
		first = net_sweep(&s, et);
	scene_unlock(&s);
	return first;
}
