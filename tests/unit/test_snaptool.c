/*
 * test_snaptool.c - raftsnap's commands: what they refuse, and what they make.
 */
#include <check.h>
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "raftd/fsm/kvstore.h"
#include "raftsnap/tool.h"
#include "raftwal/identity.h"

#define ARGS_MAX 16

static char dir[32];

static void
setup(void)
{
	(void)snprintf(dir, sizeof(dir), "/tmp/rksnap.XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	ck_assert_int_eq(chdir(dir), 0);
	ck_assert_ptr_nonnull(freopen("out", "w", stdout));
	ck_assert_ptr_nonnull(freopen("err", "w", stderr));
}

static void
remove_all(const char *path)
{
	struct dirent *e;
	DIR *d = opendir(path);
	char sub[512];

	while (d != NULL && (e = readdir(d)) != NULL) {
		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
			continue;
		(void)snprintf(sub, sizeof(sub), "%s/%s", path, e->d_name);
		if (unlink(sub) < 0)
			remove_all(sub);
	}
	if (d != NULL)
		(void)closedir(d);
	(void)rmdir(path);
}

static void
teardown(void)
{
	remove_all(dir);
}

/* raftsnap with these words; the exit status. */
static int
run(const char *line)
{
	static char text[1024];
	char *argv[ARGS_MAX + 1] = {(char[]){"raftsnap"}}, *rest;
	int argc = 1;

	(void)snprintf(text, sizeof(text), "%s", line);
	for (char *w = strtok_r(text, " ", &rest); w != NULL;
	     w = strtok_r(NULL, " ", &rest)) {
		ck_assert_int_lt(argc, ARGS_MAX);
		argv[argc++] = w;
	}
	argv[argc] = NULL;
	(void)ftruncate(STDOUT_FILENO, 0);
	rewind(stdout);
	return snaptool_main(argc, argv);
}

/* What the last one printed. */
static const char *
output(void)
{
	static char text[65536];
	FILE *f = fopen("out", "r");
	size_t n;

	ck_assert_ptr_nonnull(f);
	n = fread(text, 1, sizeof(text) - 1, f);
	text[n] = '\0';
	(void)fclose(f);
	return text;
}

static void
lines(const char *name, const char *text)
{
	FILE *f = fopen(name, "w");

	ck_assert_ptr_nonnull(f);
	ck_assert_int_ge(fputs(text, f), 0);
	ck_assert_int_eq(fclose(f), 0);
}

static void
import_some(const char *to)
{
	char line[64];

	lines("some",
	    "{\"key\":\"a\",\"value\":\"1\"}\n\n"
	    "{\"key_b64\":\"/wA=\",\"value_b64\":\"AAEC\"}\n"
	    "{\"key\":\"b\",\"value\":\"\",\"create_rev\":5,\"mod_rev\":70,"
	    "\"version\":3,\"other\":[]}");
	(void)snprintf(line, sizeof(line), "import some %s", to);
	ck_assert_int_eq(run(line), TOOL_OK);
}

/* Writes a snapshot of what is in s, with any header. */
static int
fill_more(void *ctx, struct snap_writer *w)
{
	int error = state_fill(ctx, w);

	return error < 0 ? error : snap_write(w, "x", 1);
}

static void
write_snap(struct state *s, snap_fill fill)
{
	struct disk disk;

	ck_assert_int_eq(disk_real_open("made", true, true, &disk, NULL), 0);
	ck_assert_int_eq(snap_save(&disk, &s->meta, 0, fill, s, NULL), 0);
	disk_real_close(&disk);
}

static bool
is_there(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0;
}

static void
get(const char *path, struct state *s, uint8_t cluster[SNAP_ID_LEN])
{
	struct identity who;
	struct errtext et;
	struct disk disk;

	ck_assert_int_eq(state_load(path, s), TOOL_OK);
	ck_assert_int_eq(disk_real_open(path, false, false, &disk, &et), 0);
	ck_assert_int_eq(identity_read(&disk, &who, &et), 0);
	memcpy(cluster, who.cluster, SNAP_ID_LEN);
	disk_real_close(&disk);
	ck_assert_mem_eq(s->meta.cluster, cluster, SNAP_ID_LEN);
}

START_TEST(test_import_and_export_are_inverse)
{
	char first[4096];

	import_some("a.snap");
	ck_assert_int_eq(run("export a.snap"), TOOL_OK);
	(void)snprintf(first, sizeof(first), "%s", output());
	ck_assert_ptr_nonnull(strstr(first,
	    "{\"key\":\"b\",\"value\":\"\",\"create_rev\":5,\"mod_rev\":70,"
	    "\"version\":3}"));
	ck_assert_ptr_nonnull(strstr(first, "\"key_b64\":\"/wA=\""));
	lines("again", first);
	ck_assert_int_eq(run("import again b.snap"), TOOL_OK);
	ck_assert_int_eq(run("export b.snap"), TOOL_OK);
	ck_assert_str_eq(output(), first);
	ck_assert_int_eq(run("verify b.snap"), TOOL_OK);
}
END_TEST

START_TEST(test_import_goes_on_behind_given_revisions)
{
	struct state s;

	import_some("a.snap");
	ck_assert_int_eq(state_load("a.snap", &s), TOOL_OK);
	ck_assert_uint_eq(s.meta.rev, 70);
	ck_assert(kvstore_check(s.fsm));
	state_release(&s);
}
END_TEST

START_TEST(test_import_refuses_what_is_no_record)
{
	static const char *const bad[] = {
	    "no json\n",
	    "[1]\n",
	    "{\"key\":\"a\"}\n",
	    "{\"value\":\"a\"}\n",
	    "{\"key\":\"\",\"value\":\"a\"}\n",
	    "{\"key\":1,\"value\":\"a\"}\n",
	    "{\"key\":\"a\",\"key_b64\":\"YQ==\",\"value\":\"a\"}\n",
	    "{\"key_b64\":\"Y\",\"value\":\"a\"}\n",
	    "{\"key_b64\":\"Y=Q=\",\"value\":\"a\"}\n",
	    "{\"key_b64\":\"YQ==YQ==\",\"value\":\"a\"}\n",
	    "{\"key\":\"a\",\"value\":\"1\"}\n{\"key\":\"a\",\"value\":\"2\"}",
	    "{\"key\":\"a\",\"value\":\"1\",\"mod_rev\":3}\n",
	    "{\"key\":\"a\",\"value\":\"1\",\"mod_rev\":3,\"create_rev\":4,"
	    "\"version\":1}\n",
	    "{\"key\":\"a\",\"value\":\"1\",\"mod_rev\":9007199254740993,"
	    "\"create_rev\":4,\"version\":1}\n",
	    "{\"key\":\"a\",\"value\":\"1\",\"mod_rev\":-1,\"create_rev\":-1,"
	    "\"version\":1}\n",
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		lines("bad", bad[i]);
		ck_assert_int_eq(run("import bad c.snap"), TOOL_DATA);
		ck_assert(!is_there("c.snap") && !is_there("c.snap.tmp"));
	}
}
END_TEST

START_TEST(test_restore_makes_a_whole_cluster)
{
	uint8_t cluster[3][SNAP_ID_LEN];
	struct state from, s[3];
	char path[16];

	import_some("a.snap");
	ck_assert_int_eq(state_load("a.snap", &from), TOOL_OK);
	ck_assert_int_eq(
	    run("restore a.snap all -m 2=h:2 -m 1=h:1 -m 3=h:3"), TOOL_OK);
	for (int i = 0; i < 3; i++) {
		(void)snprintf(path, sizeof(path), "all/%d", i + 1);
		get(path, &s[i], cluster[i]);
		ck_assert_mem_eq(cluster[i], cluster[0], sizeof(cluster[i]));
		ck_assert_mem_eq(s[i].meta.digest, s[0].meta.digest,
		    sizeof(s[i].meta.digest));
		ck_assert_uint_gt(s[i].meta.config_len, 30);
		ck_assert_ptr_nonnull(
		    memmem(s[i].meta.config, s[i].meta.config_len, "h:3", 3));
		ck_assert(kvstore_check(s[i].fsm));
	}
	ck_assert_mem_ne(cluster[0], from.meta.cluster, SNAP_ID_LEN);
	/* No watcher of the cluster before sees time run back. */
	ck_assert_uint_eq(s[0].meta.rev, from.meta.rev + 1000000000000);
	ck_assert_uint_eq(s[0].fsm->floor, s[0].meta.rev);
	ck_assert_int_eq(run("diff a.snap all/2"), TOOL_OK);
	ck_assert_str_eq(output(), "");
	/* The next time it is another cluster. */
	ck_assert_int_eq(
	    run("restore a.snap more -m 2=h:2 -m 1=h:1 -m 3=h:3"), TOOL_OK);
	for (int i = 0; i < 3; i++)
		state_release(&s[i]);
	get("more/1", &s[0], cluster[1]);
	ck_assert_mem_ne(cluster[0], cluster[1], SNAP_ID_LEN);
	state_release(&s[0]);
	state_release(&from);
}
END_TEST

START_TEST(test_restore_one_by_one_is_one_cluster)
{
	uint8_t cluster[3][SNAP_ID_LEN];
	struct state s;

	import_some("a.snap");
	ck_assert_int_eq(run("restore a.snap one -n 1 -m 1=h:1 -m 2=h:2 "
			     "--cluster x --advance 0"),
	    TOOL_OK);
	ck_assert_int_eq(run("restore a.snap two -m 2=h:2 --id 2 -m 1=h:1 "
			     "--cluster x"),
	    TOOL_OK);
	ck_assert_int_eq(run("restore a.snap three -m 2=h:2 --id 2 -m 1=h:1 "
			     "--cluster y"),
	    TOOL_OK);
	get("one", &s, cluster[0]);
	ck_assert_uint_eq(s.meta.rev, 70);
	state_release(&s);
	get("two", &s, cluster[1]);
	state_release(&s);
	get("three", &s, cluster[2]);
	state_release(&s);
	ck_assert_mem_eq(cluster[0], cluster[1], SNAP_ID_LEN);
	ck_assert_mem_ne(cluster[0], cluster[2], SNAP_ID_LEN);
}
END_TEST

START_TEST(test_restore_refuses)
{
	import_some("a.snap");
	ck_assert_int_eq(run("restore a.snap new"), TOOL_USAGE);
	ck_assert_int_eq(run("restore a.snap new -m 1"), TOOL_USAGE);
	ck_assert_int_eq(run("restore a.snap new -m 0=h:1"), TOOL_USAGE);
	ck_assert_int_eq(run("restore a.snap new -m 1="), TOOL_USAGE);
	ck_assert_int_eq(
	    run("restore a.snap new -m 1=h:1 -m 1=h:2"), TOOL_USAGE);
	ck_assert_int_eq(run("restore a.snap new -m 1=h:1 -n 2"), TOOL_USAGE);
	ck_assert_int_eq(run("restore none new -m 1=h:1"), TOOL_INPUT);
	ck_assert_int_eq(
	    run("restore a.snap new -m 1=h:1 --advance 9007199254740992"),
	    TOOL_DATA);
	ck_assert(!is_there("new"));
	ck_assert_int_eq(mkdir("used", 0700), 0);
	lines("used/file", "x");
	ck_assert_int_eq(run("restore a.snap used -m 1=h:1"), TOOL_CREATE);
	ck_assert(!is_there("used/1") && is_there("used/file"));
	ck_assert_int_eq(run("restore a.snap a.snap -m 1=h:1"), TOOL_CREATE);
	ck_assert_int_eq(mkdir("empty", 0700), 0);
	ck_assert_int_eq(run("restore a.snap empty -m 1=h:1 -n 1"), TOOL_OK);
	ck_assert_int_eq(
	    run("restore a.snap empty -m 1=h:1 -n 1"), TOOL_CREATE);
}
END_TEST

/* All checksums are right, and what they are over is not. */
START_TEST(test_restore_judges_the_state_itself)
{
	struct state s;

	import_some("a.snap");
	ck_assert_int_eq(state_load("a.snap", &s), TOOL_OK);
	s.meta.digest[3] ^= 1;
	write_snap(&s, state_fill);
	ck_assert_int_eq(run("verify made"), TOOL_OK);
	ck_assert_int_eq(run("restore made new -m 1=h:1"), TOOL_DATA);
	state_seal(&s);
	write_snap(&s, fill_more);
	ck_assert_int_eq(run("restore made new -m 1=h:1"), TOOL_DATA);
	s.meta.rev++;
	write_snap(&s, state_fill);
	ck_assert_int_eq(run("restore made new -m 1=h:1"), TOOL_DATA);
	s.meta.rev--;
	write_snap(&s, state_fill);
	ck_assert(!is_there("new"));
	ck_assert_int_eq(run("restore made new -m 1=h:1"), TOOL_OK);
	state_release(&s);
}
END_TEST

START_TEST(test_diff_sees_records_and_tables)
{
	struct session *entered;
	struct state s;

	import_some("a.snap");
	lines("other", "{\"key\":\"a\",\"value\":\"2\"}\n"
		       "{\"key\":\"c\",\"value\":\"1\"}\n");
	ck_assert_int_eq(run("import other b.snap"), TOOL_OK);
	ck_assert_int_eq(run("diff a.snap a.snap"), TOOL_OK);
	ck_assert_str_eq(output(), "");
	ck_assert_int_eq(run("diff a.snap b.snap"), TOOL_NO);
	ck_assert_str_eq(output(),
	    "{\"change\":\"changed\",\"key\":\"a\"}\n"
	    "{\"change\":\"removed\",\"key\":\"b\"}\n"
	    "{\"change\":\"added\",\"key\":\"c\"}\n"
	    "{\"change\":\"removed\",\"key_b64\":\"/wA=\"}\n");
	/* The same records, and a session that only one of them knows. */
	ck_assert_int_eq(state_load("a.snap", &s), TOOL_OK);
	entered = session_enter(&s.fsm->sessions, SESSION_TIMED,
	    mp_span("me", 2), s.fsm->time, s.fsm->time, 1);
	ck_assert_ptr_nonnull(entered);
	state_seal(&s);
	write_snap(&s, state_fill);
	state_release(&s);
	ck_assert_int_eq(run("diff a.snap made"), TOOL_NO);
	ck_assert_str_eq(
	    output(), "{\"change\":\"changed\",\"table\":\"sessions\"}\n");
	/* And which a restored cluster goes on knowing. */
	ck_assert_int_eq(run("restore made new -m 1=h:1 -n 1"), TOOL_OK);
	ck_assert_int_eq(run("diff made new"), TOOL_OK);
}
END_TEST

/* The name of a lease is never given a second time. */
START_TEST(test_leases_go_along_and_their_numbers_forward)
{
	struct state s;

	import_some("a.snap");
	ck_assert_int_eq(state_load("a.snap", &s), TOOL_OK);
	s.fsm->leases.last_id = 7;
	ck_assert_ptr_nonnull(
	    lease_enter(&s.fsm->leases, 5, 1000, s.fsm->time + 900, false));
	state_seal(&s);
	write_snap(&s, state_fill);
	state_release(&s);
	ck_assert_int_eq(run("diff a.snap made"), TOOL_NO);
	ck_assert_str_eq(
	    output(), "{\"change\":\"changed\",\"table\":\"leases\"}\n");
	ck_assert_int_eq(run("info made"), TOOL_OK);
	ck_assert_ptr_nonnull(
	    strstr(output(), "\"sessions\":0,\"leases\":1,\"locks\":0"));
	ck_assert_int_eq(run("restore made new -m 1=h:1 -n 1"), TOOL_OK);
	ck_assert_int_eq(run("diff made new"), TOOL_OK);
	ck_assert_int_eq(state_load("new", &s), TOOL_OK);
	ck_assert_uint_eq(s.fsm->leases.count, 1);
	ck_assert_uint_eq(s.fsm->leases.last_id, 7 + 1000000000000);
	ck_assert(kvstore_check(s.fsm));
	state_release(&s);
}
END_TEST

START_TEST(test_save_takes_the_newest_that_is_valid)
{
	struct state s;
	FILE *f;

	import_some("a.snap");
	ck_assert_int_eq(state_load("a.snap", &s), TOOL_OK);
	s.meta.index = 7;
	write_snap(&s, state_fill);
	s.meta.index = 9;
	write_snap(&s, state_fill);
	state_release(&s);
	ck_assert_int_eq(run("save -d made b.snap"), TOOL_OK);
	ck_assert_int_eq(run("info b.snap"), TOOL_OK);
	ck_assert_ptr_nonnull(strstr(output(), "\"index\":9,"));
	f = fopen("made/snap/1-1-9.snap", "r+");
	ck_assert_ptr_nonnull(f);
	ck_assert_int_eq(fseek(f, 200, SEEK_SET), 0);
	ck_assert_int_ne(fputs("damage", f), EOF);
	ck_assert_int_eq(fclose(f), 0);
	ck_assert_int_eq(run("save -d made b.snap"), TOOL_OK);
	ck_assert_int_eq(run("info b.snap"), TOOL_OK);
	ck_assert_ptr_nonnull(strstr(output(), "\"index\":7,"));
	ck_assert_int_eq(run("save -d none b.snap"), TOOL_INPUT);
	ck_assert_int_eq(run("save -d made none/b.snap"), TOOL_CREATE);
	ck_assert_int_eq(run("save -d made -s h:1 b.snap"), TOOL_USAGE);
	ck_assert_int_eq(run("save -d made /dev/full"), TOOL_IO);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("snaptool");
	TCase *tc = tcase_create("snaptool");
	SRunner *sr = srunner_create(s);
	int failed;

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, test_import_and_export_are_inverse);
	tcase_add_test(tc, test_import_goes_on_behind_given_revisions);
	tcase_add_test(tc, test_import_refuses_what_is_no_record);
	tcase_add_test(tc, test_restore_makes_a_whole_cluster);
	tcase_add_test(tc, test_restore_one_by_one_is_one_cluster);
	tcase_add_test(tc, test_restore_refuses);
	tcase_add_test(tc, test_restore_judges_the_state_itself);
	tcase_add_test(tc, test_diff_sees_records_and_tables);
	tcase_add_test(tc, test_leases_go_along_and_their_numbers_forward);
	tcase_add_test(tc, test_save_takes_the_newest_that_is_valid);
	suite_add_tcase(s, tc);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed > 0;
}
