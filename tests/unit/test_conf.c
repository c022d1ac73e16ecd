/*
 * test_conf.c - options, environment and file of raftd.
 */
#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "raftd/conf.h"

static struct conf conf;
static struct errtext et;

static void
setup(void)
{
	for (size_t i = 0; i < conf_settings_count(); i++)
		if (conf_settings[i].env != NULL)
			(void)unsetenv(conf_settings[i].env);
	conf_init(&conf);
	et.text[0] = '\0';
}

/* What every server needs. */
static void
minimum(void)
{
	ck_assert_int_eq(conf_set(&conf, "id", "1", CONF_FLAG, &et), 0);
	ck_assert_int_eq(conf_set(&conf, "dir", "/d", CONF_FLAG, &et), 0);
	ck_assert_int_eq(
	    conf_set(&conf, "peer", "127.0.0.1:7001", CONF_FLAG, &et), 0);
}

static int
text(const char *s)
{
	return conf_text(&conf, "f.conf", s, strlen(s), &et);
}

static int
options(char *a, char *b, char *c, char *d)
{
	char name[] = "raftd", *argv[] = {name, a, b, c, d, NULL};
	int argc = 1;

	while (argv[argc] != NULL)
		argc++;
	return conf_options(&conf, argc, argv, &et);
}

START_TEST(test_names_of_settings_follow_one_rule)
{
	char env[64];

	for (size_t i = 0; i < conf_settings_count(); i++) {
		const struct conf_setting *s = &conf_settings[i];

		ck_assert_str_ne(s->help, "");
		ck_assert(s->type == CONF_BOOL || s->argument != NULL);
		for (size_t k = 0; k < i; k++) {
			ck_assert_str_ne(s->name, conf_settings[k].name);
			ck_assert(s->letter == 0 ||
				  s->letter != conf_settings[k].letter);
		}
		if (s->env == NULL)
			continue;
		(void)snprintf(env, sizeof(env), "RAFT_%s", s->name);
		for (char *p = env; *p != '\0'; p++)
			if (*p == '-')
				*p = '_';
			else if (*p >= 'a' && *p <= 'z')
				*p = (char)(*p - 'a' + 'A');
		ck_assert_str_eq(s->env, env);
	}
}
END_TEST

START_TEST(test_defaults)
{
	minimum();
	ck_assert_int_eq(conf_judge(&conf, &et), 0);
	ck_assert_uint_eq(conf.heartbeat_ns, 50000000);
	ck_assert_uint_eq(conf.election_ns, 500000000);
	ck_assert_uint_eq(conf.key_len_max, 4096);
	ck_assert_uint_eq(conf.value_len_max, 1 << 20);
	ck_assert_uint_eq(conf.log_level, HOST_INFO);
	ck_assert_uint_eq(conf.storage, CONF_STORAGE_THREAD);
	ck_assert_uint_eq(conf.client_count, 1);
	ck_assert_str_eq(conf.client[0], "unix:/d/raftd.sock");
	ck_assert_str_eq(conf.name, "1");
	ck_assert(!conf.insecure);
	ck_assert(!conf.no_fsync);
}
END_TEST

START_TEST(test_flag_beats_environment_beats_file)
{
	char heartbeat[] = "--heartbeat", value[] = "10ms";

	(void)setenv("RAFT_HEARTBEAT", "20ms", 1);
	(void)setenv("RAFT_ELECTION", "2s", 1);
	ck_assert_int_eq(options(heartbeat, value, NULL, NULL), 0);
	ck_assert_int_eq(conf_environment(&conf, &et), 0);
	ck_assert_int_eq(
	    text("heartbeat = 30ms\nelection = 3s\nvalue-max = 2M\n"), 0);
	ck_assert_uint_eq(conf.heartbeat_ns, 10000000);
	ck_assert_uint_eq(conf.election_ns, 2000000000);
	ck_assert_uint_eq(conf.value_len_max, 2 << 20);
}
END_TEST

START_TEST(test_list_of_a_stronger_source_replaces_and_of_the_same_adds)
{
	char c[] = "-c", a1[] = "/a", a2[] = "/b";

	ck_assert_int_eq(options(c, a1, c, a2), 0);
	ck_assert_int_eq(text("client = /x,/y,/z\n"), 0);
	ck_assert_uint_eq(conf.client_count, 2);
	ck_assert_str_eq(conf.client[1], "/b");
	conf_init(&conf);
	ck_assert_int_eq(text("bootstrap = 1=/a\nbootstrap = 2=/b,3=/c\n"), 0);
	ck_assert_uint_eq(conf.bootstrap_count, 3);
	ck_assert_uint_eq(conf.bootstrap[2].id, 3);
	ck_assert_str_eq(conf.bootstrap[2].address, "/c");
}
END_TEST

START_TEST(test_overruled_nonsense_is_nonsense)
{
	ck_assert_int_eq(
	    conf_set(&conf, "heartbeat", "10ms", CONF_FLAG, &et), 0);
	ck_assert_int_eq(text("heartbeat = soon\n"), -EINVAL);
	ck_assert_uint_eq(conf.heartbeat_ns, 10000000);
}
END_TEST

static const struct {
	const char *name, *value;
	int want;
} values[] = {
    {"heartbeat", "250ms", 0},
    {"heartbeat", "5s", 0},
    {"election", "2m", 0},
    {"heartbeat", "250", -EINVAL}, /* the unit matters */
    {"heartbeat", "250 ms", -EINVAL},
    {"heartbeat", "1.5s", -EINVAL},
    {"heartbeat", "-5s", -EINVAL},
    {"heartbeat", "+5s", -EINVAL},
    {"heartbeat", " 5s", -EINVAL},
    {"heartbeat", "", -EINVAL},
    {"heartbeat", "ms", -EINVAL},
    {"heartbeat", "0s", -EINVAL},   /* below the range */
    {"heartbeat", "100m", -EINVAL}, /* above it */
    {"election", "99999999999999999999s", -EINVAL},
    {"election", "18446744073709551615h", -EINVAL},
    {"value-max", "64K", 0},
    {"value-max", "64M", 0},
    {"value-max", "1B", 0},
    {"value-max", "65M", -EINVAL},
    {"value-max", "1048576", 0},
    {"value-max", "64k", -EINVAL},
    {"key-max", "4K", 0},
    {"key-max", "4097B", -EINVAL},
    {"id", "0", -EINVAL},
    {"id", "9223372036854775807", 0},
    {"id", "9223372036854775808", -EINVAL},
    {"id", "1x", -EINVAL},
    {"storage", "auto", 0},
    {"storage", "Auto", -EINVAL},
    {"log-level", "debug", 0},
    {"log-level", "", -EINVAL},
    {"insecure", "yes", 0},
    {"insecure", "0", 0},
    {"insecure", "maybe", -EINVAL},
    {"peer", "unix:/x", 0},
    {"peer", "[::1]:7001", 0},
    {"peer", "::1:7001", -EINVAL},
    {"peer", "localhost:7001", 0},
    {"peer", "localhost", -EINVAL},
    {"peer", ":7001", -EINVAL},
    {"peer", "h:65536", -EINVAL},
    {"peer", "h:-1", -EINVAL},
    {"peer", "unix:", -EINVAL},
    {"peer", "[::1:7001", -EINVAL},
    {"client", "/a,/b,/c,/d", 0},
    {"client", "/a,/b,/c,/d,/e", -EINVAL},
    {"client", "/a,,/b", -EINVAL},
    {"client", "/a,", -EINVAL},
    {"bootstrap", "1=/a,2=h:1", 0},
    {"bootstrap", "1=/a,1=/b", -EINVAL},
    {"bootstrap", "0=/a", -EINVAL},
    {"bootstrap", "/a", -EINVAL},
    {"bootstrap", "x=/a", -EINVAL},
    {"bootstrap", "1=", -EINVAL},
    {"name", "", -EINVAL},
    {"no-such", "1", -ENOENT},
};

START_TEST(test_values)
{
	struct conf before = conf;

	ck_assert_int_eq(
	    conf_set(&conf, values[_i].name, values[_i].value, CONF_FLAG, &et),
	    values[_i].want);
	if (values[_i].want < 0) {
		ck_assert_mem_eq(&conf, &before, sizeof(conf));
		ck_assert_str_ne(et.text, "");
	}
}
END_TEST

START_TEST(test_file_errors_name_file_and_line)
{
	ck_assert_int_eq(
	    text("# c\n\nheartbeat = 50ms\nelection = x\nid = y\n"), -EINVAL);
	ck_assert_ptr_nonnull(strstr(et.text, "f.conf:4: election: "));
	ck_assert_int_eq(text("a line\n"), -EINVAL);
	ck_assert_ptr_nonnull(strstr(et.text, "f.conf:1:"));
	ck_assert_int_eq(text("\nnope = 1\n"), -EINVAL);
	ck_assert_ptr_nonnull(strstr(et.text, "f.conf:2: no such setting"));
	ck_assert_int_eq(text("[raftd]\nid = 1\n"), -EINVAL);
	ck_assert_ptr_nonnull(strstr(et.text, "sections"));
	ck_assert_int_eq(text("ready-fd = 3\n"), -EINVAL);
	ck_assert_int_eq(text("help = yes\n"), -EINVAL);
}
END_TEST

START_TEST(test_file_line_that_is_too_long_is_refused)
{
	char line[600];

	memset(line, 'x', sizeof(line));
	memcpy(line, "name = ", 7);
	line[sizeof(line) - 1] = '\0';
	ck_assert_int_eq(text(line), -EINVAL);
	ck_assert_ptr_nonnull(strstr(et.text, "f.conf:1:"));
	ck_assert_int_eq(
	    conf_text(&conf, "f.conf", "id = 1\n\0\n", 9, &et), -EINVAL);
	ck_assert_ptr_nonnull(strstr(et.text, "f.conf:2: contains a NUL"));
}
END_TEST

START_TEST(test_file_comments_and_missing_last_newline)
{
	ck_assert_int_eq(
	    text("; one\n# two\nname = a b ; three\nelection = 1s"), 0);
	ck_assert_str_eq(conf.name, "a b");
	ck_assert_uint_eq(conf.election_ns, 1000000000);
}
END_TEST

START_TEST(test_environment_errors_name_the_variable)
{
	(void)setenv("RAFT_ELECTION", "500", 1);
	ck_assert_int_eq(conf_environment(&conf, &et), -EINVAL);
	ck_assert_ptr_nonnull(strstr(et.text, "RAFT_ELECTION"));
	(void)setenv("RAFT_ELECTION", "", 1); /* as if unset */
	ck_assert_int_eq(conf_environment(&conf, &et), 0);
}
END_TEST

START_TEST(test_options)
{
	char n[] = "-n", one[] = "1", d[] = "-d", dir[] = "x";
	char bad[] = "--nope", flag[] = "--insecure", help[] = "-h";
	char eq[] = "--election=1s", dashes[] = "--";

	ck_assert_int_eq(options(n, one, d, dir), 0);
	ck_assert_uint_eq(conf.id, 1);
	ck_assert_str_eq(conf.dir, "x");
	ck_assert_int_eq(options(flag, eq, help, NULL), 0);
	ck_assert(conf.insecure);
	ck_assert(conf.help);
	ck_assert_uint_eq(conf.election_ns, 1000000000);
	ck_assert_int_eq(options(bad, NULL, NULL, NULL), -EINVAL);
	ck_assert_ptr_nonnull(strstr(et.text, "--nope"));
	ck_assert_int_eq(options(n, NULL, NULL, NULL), -EINVAL);
	ck_assert_ptr_nonnull(strstr(et.text, "'-n' needs an argument"));
	ck_assert_int_eq(options(dashes, dir, NULL, NULL), -EINVAL);
}
END_TEST

static const struct {
	const char *name, *value, *complaint;
} contradictions[] = {
    {"peer", "192.0.2.1:7001", "--insecure"},
    {"client", "0.0.0.0:1", "--insecure"},
    {"client", "example.org:1", "--insecure"},
    {"bootstrap", "1=/a,2=192.0.2.2:1", "--insecure"},
    {"bootstrap", "2=/a", "does not name this server"},
    {"heartbeat", "400ms", "two heartbeats"},
    {"value-max", "64M", "no room"},
    {"peer-backlog", "2M", "no room"},
};

START_TEST(test_contradictions_are_refused)
{
	minimum();
	ck_assert_int_eq(conf_set(&conf, contradictions[_i].name,
			     contradictions[_i].value, CONF_FLAG, &et),
	    0);
	ck_assert_int_eq(conf_judge(&conf, &et), -EINVAL);
	ck_assert_ptr_nonnull(strstr(et.text, contradictions[_i].complaint));
}
END_TEST

START_TEST(test_insecure_allows_other_machines)
{
	minimum();
	ck_assert_int_eq(
	    conf_set(&conf, "client", "0.0.0.0:1", CONF_FLAG, &et), 0);
	ck_assert_int_eq(conf_set(&conf, "insecure", "yes", CONF_FILE, &et), 0);
	ck_assert_int_eq(conf_judge(&conf, &et), 0);
}
END_TEST

START_TEST(test_needed_settings_are_asked_for)
{
	ck_assert_int_eq(conf_judge(&conf, &et), -EINVAL);
	ck_assert_ptr_nonnull(strstr(et.text, "-n ID"));
	(void)conf_set(&conf, "id", "2", CONF_FLAG, &et);
	ck_assert_int_eq(conf_judge(&conf, &et), -EINVAL);
	ck_assert_ptr_nonnull(strstr(et.text, "-d DIR"));
	(void)conf_set(&conf, "dir", "/d", CONF_FLAG, &et);
	ck_assert_int_eq(conf_judge(&conf, &et), -EINVAL);
	ck_assert_ptr_nonnull(strstr(et.text, "-p ADDR"));
	/* The bootstrap tells our address. */
	(void)conf_set(&conf, "bootstrap", "1=/a,2=/b", CONF_FLAG, &et);
	ck_assert_int_eq(conf_judge(&conf, &et), 0);
	ck_assert_str_eq(conf.peer, "/b");
}
END_TEST

START_TEST(test_reload_takes_what_may_change_and_nothing_else)
{
	char path[] = "/tmp/test_conf.XXXXXX";
	char name[] = "raftd", f[] = "-f", *argv[] = {name, f, path, NULL};
	static const char first[] =
	    "id = 1\ndir = /d\npeer = /p\nlog-level = info\n";
	static const char second[] =
	    "id = 1\ndir = /e\npeer = /p\nlog-level = debug\ngrace = 9s\n";
	static const char third[] = "id = 1\nlog-level = loud\n";
	int fd = mkstemp(path);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_gt(write(fd, first, sizeof(first) - 1), 0);
	ck_assert_int_eq(conf_load(&conf, 3, argv), -1);
	ck_assert_int_gt(pwrite(fd, second, sizeof(second) - 1, 0), 0);
	ck_assert_int_eq(conf_reload(&conf, 3, argv, &et), 0);
	ck_assert_uint_eq(conf.log_level, HOST_DEBUG);
	ck_assert_uint_eq(conf.grace_ns, 9000000000);
	ck_assert_str_eq(conf.dir, "/d");
	ck_assert_int_eq(ftruncate(fd, 0), 0);
	ck_assert_int_gt(pwrite(fd, third, sizeof(third) - 1, 0), 0);
	ck_assert_int_eq(conf_reload(&conf, 3, argv, &et), -EINVAL);
	ck_assert_ptr_nonnull(strstr(et.text, ":2: log-level"));
	ck_assert_uint_eq(conf.log_level, HOST_DEBUG);
	(void)close(fd);
	(void)unlink(path);
}
END_TEST

/* The page's text from a setting's entry up to the next. */
static char *
entry(const char *page, const char *name)
{
	char head[80];
	const char *p, *end;

	(void)snprintf(head, sizeof(head), "\n.It Cm %s\n", name);
	p = strstr(page, head);
	ck_assert_msg(p != NULL, "the page lacks %s", name);
	end = strstr(p + 1, "\n.It ");
	if (end == NULL)
		end = strstr(p, "\n.El");
	ck_assert_ptr_nonnull(end);
	return strndup(p, (size_t)(end - p));
}

START_TEST(test_manual_page_has_every_setting)
{
	static char page[64 * 1024];
	FILE *f = fopen("man/raftd.conf.5", "re");
	unsigned found = 0, listed = 0;

	ck_assert_msg(f != NULL, "run it from the top folder");
	page[fread(page, 1, sizeof(page) - 1, f)] = '\0';
	(void)fclose(f);
	for (size_t i = 0; i < conf_settings_count(); i++) {
		const struct conf_setting *s = &conf_settings[i];
		char *text, want[80];

		if (s->flag_only)
			continue;
		text = entry(page, s->name);
		found++;
		ck_assert_msg(strstr(text, s->env), "%s: %s", s->name, s->env);
		ck_assert_msg(
		    (strstr(text, "\n.Em reload") != NULL) == s->reload,
		    "%s: reload", s->name);
		if (s->value != NULL && s->type != CONF_WORD) {
			(void)snprintf(
			    want, sizeof(want), "default %s;", s->value);
			ck_assert_msg(
			    strstr(text, want), "%s: %s", s->name, want);
		}
		free(text);
	}
	for (const char *p = page; (p = strstr(p, "\n.It Cm ")); p++)
		listed++;
	ck_assert_uint_eq(listed, found);
}
END_TEST

static Suite *
suite(void)
{
	Suite *s = suite_create("conf");
	TCase *t = tcase_create("conf");

	tcase_add_checked_fixture(t, setup, NULL);
	tcase_add_test(t, test_names_of_settings_follow_one_rule);
	tcase_add_test(t, test_defaults);
	tcase_add_test(t, test_flag_beats_environment_beats_file);
	tcase_add_test(
	    t, test_list_of_a_stronger_source_replaces_and_of_the_same_adds);
	tcase_add_test(t, test_overruled_nonsense_is_nonsense);
	tcase_add_loop_test(
	    t, test_values, 0, (int)(sizeof(values) / sizeof(values[0])));
	tcase_add_test(t, test_file_errors_name_file_and_line);
	tcase_add_test(t, test_file_line_that_is_too_long_is_refused);
	tcase_add_test(t, test_file_comments_and_missing_last_newline);
	tcase_add_test(t, test_environment_errors_name_the_variable);
	tcase_add_test(t, test_options);
	tcase_add_loop_test(t, test_contradictions_are_refused, 0,
	    (int)(sizeof(contradictions) / sizeof(contradictions[0])));
	tcase_add_test(t, test_insecure_allows_other_machines);
	tcase_add_test(t, test_needed_settings_are_asked_for);
	tcase_add_test(t, test_manual_page_has_every_setting);
	tcase_add_test(t, test_reload_takes_what_may_change_and_nothing_else);
	suite_add_tcase(s, t);
	return s;
}

int
main(void)
{
	SRunner *r = srunner_create(suite());
	int failed;

	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
