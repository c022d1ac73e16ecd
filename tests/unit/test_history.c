/*
 * test_history.c - histories from lines: what is accepted, and what is told
 * about what is not.
 */
#include "loadgen/history.h"
#include "loadgen/historygen.h"

#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct membudget budget;
static struct history h;
static struct history_read_opts opts;
static struct errtext et;

static void
setup(void)
{
	budget.used = 0;
	budget.max = (size_t)256 * 1024 * 1024;
	history_init(&h, &budget);
	memset(&opts, 0, sizeof(opts));
	et.text[0] = '\0';
}

static void
teardown(void)
{
	history_release(&h);
	ck_assert_uint_eq(budget.used, 0);
}

static int
read_bytes(const char *text, size_t len)
{
	FILE *f = tmpfile();
	int err;

	ck_assert_ptr_nonnull(f);
	ck_assert_uint_eq(fwrite(text, 1, len, f), len);
	ck_assert_int_eq(fflush(f), 0);
	ck_assert_int_eq(lseek(fileno(f), 0, SEEK_SET), 0);
	err = history_read(&h, fileno(f), &opts, &et);
	fclose(f);
	return err;
}

static int
read_text(const char *text)
{
	return read_bytes(text, strlen(text));
}

static void
is_value(uint32_t value, const char *want)
{
	const struct intern_item *it;

	ck_assert_uint_ne(value, HISTORY_NULL);
	it = &h.values.items[value];
	ck_assert_uint_eq(it->len, strlen(want));
	ck_assert_mem_eq(it->data, want, it->len);
}

#define CALL(p, f, rest)                                          \
	"{\"process\":" p ",\"type\":\"invoke\",\"f\":\"" f "\"," \
	"\"key\":\"k\"" rest "}\n"
#define DONE(p, type, rest) \
	"{\"process\":" p ",\"type\":\"" type "\"" rest "}\n"

START_TEST(test_each_operation_is_read)
{
	const struct history_op *op;

	ck_assert_int_eq(read_text(CALL("1", "put", ",\"value\":\"a\"")	 /* 1 */
			     DONE("1", "ok", ",\"rev\":7,\"group\":2")	 /* 2 */
			     CALL("1", "append", ",\"value\":\"b\"")	 /* 3 */
			     DONE("1", "info", "")			 /* 4 */
			     CALL("1", "cas", ",\"value\":[null,\"c\"]") /* 5 */
			     DONE("1", "ok", ",\"swapped\":false")	 /* 6 */
			     CALL("2", "get", "")			 /* 7 */
			     CALL("1", "delete", "")			 /* 8 */
			     DONE("2", "ok", ",\"value\":null")		 /* 9 */
			     DONE("1", "fail", "")),
	    0);
	ck_assert_uint_eq(h.ops_n, 5);
	op = h.ops;
	ck_assert_int_eq(op[0].f, HISTORY_PUT);
	ck_assert_int_eq(op[0].result, HISTORY_OK);
	is_value(op[0].arg, "a");
	ck_assert(op[0].has_rev);
	ck_assert_uint_eq(op[0].rev, 7);
	ck_assert_uint_eq(op[0].group, 2);
	ck_assert_uint_eq(op[0].call, 1);
	ck_assert_uint_eq(op[0].ret, 2);
	ck_assert_int_eq(op[1].f, HISTORY_APPEND);
	ck_assert_int_eq(op[1].result, HISTORY_UNKNOWN);
	ck_assert_int_eq(op[2].f, HISTORY_CAS);
	ck_assert(!op[2].swapped);
	ck_assert_uint_eq(op[2].arg, HISTORY_NULL);
	is_value(op[2].arg2, "c");
	ck_assert_int_eq(op[3].f, HISTORY_GET);
	ck_assert_uint_eq(op[3].out, HISTORY_NULL);
	ck_assert_uint_eq(op[3].ret, 9);
	ck_assert_int_eq(op[4].f, HISTORY_DELETE);
	ck_assert_int_eq(op[4].result, HISTORY_FAIL);
}
END_TEST

START_TEST(test_cas_without_swapped_took_effect)
{
	ck_assert_int_eq(read_text(CALL("1", "cas", ",\"value\":[\"a\",\"b\"]")
				 DONE("1", "ok", "")),
	    0);
	ck_assert(h.ops[0].swapped);
}
END_TEST

START_TEST(test_open_operations_are_unknown)
{
	ck_assert_int_eq(read_text(CALL("1", "put", ",\"value\":\"a\"")), 0);
	ck_assert_int_eq(h.ops[0].result, HISTORY_UNKNOWN);
	ck_assert_uint_eq(h.ops[0].ret, HISTORY_NEVER);
}
END_TEST

START_TEST(test_base64_and_escapes_are_the_same_bytes)
{
	ck_assert_int_eq(
	    read_text("{\"process\":1,\"type\":\"invoke\",\"f\":\"put\","
		      "\"key\":\"\\u00e9\\n\",\"value\":\"\\ud83d\\ude00\"}\n"
		      "{\"process\":2,\"type\":\"invoke\",\"f\":\"put\","
		      "\"key_b64\":\"w6kK\",\"value_b64\":\"8J+YgA==\"}\n"),
	    0);
	ck_assert_uint_eq(h.ops[0].key, h.ops[1].key);
	ck_assert_uint_eq(h.ops[0].arg, h.ops[1].arg);
	is_value(h.ops[0].arg, "\xf0\x9f\x98\x80");
}
END_TEST

START_TEST(test_empty_and_null_differ)
{
	ck_assert_int_eq(
	    read_text(CALL("1", "get", "") DONE("1", "ok", ",\"value\":\"\"")
		    CALL("1", "get", "") DONE("1", "ok", ",\"value\":null")),
	    0);
	is_value(h.ops[0].out, "");
	ck_assert_uint_eq(h.ops[1].out, HISTORY_NULL);
}
END_TEST

START_TEST(test_unknown_fields_are_skipped)
{
	ck_assert_int_eq(
	    read_text("{\"x\":{\"a\":[1,-2.5e3,{}],\"b\":null},\"process\":1,"
		      "\"y\":[[],\"\\\"\"],\"type\":\"invoke\",\"f\":\"get\","
		      "\"key\":\"k\",\"time\":5,\"index\":0}\r\n"),
	    0);
	ck_assert_uint_eq(h.ops_n, 1);
	ck_assert_uint_eq(h.ops[0].call_ns, 5);
}
END_TEST

START_TEST(test_last_line_may_lack_its_newline)
{
	ck_assert_int_eq(
	    read_text(CALL("1", "get", "") "{\"process\":1,\"type\":\"ok\","
					   "\"value\":\"x\"}"),
	    0);
	is_value(h.ops[0].out, "x");
}
END_TEST

START_TEST(test_register_needs_no_key)
{
	static const char line[] =
	    "{\"process\":1,\"type\":\"invoke\",\"f\":\"get\"}\n";

	ck_assert_int_eq(read_text(line), -EBADMSG);
	opts.keyless = opts.register_only = true;
	ck_assert_int_eq(read_text(line), 0);
	ck_assert_int_eq(
	    read_text("{\"process\":9,\"type\":\"invoke\",\"f\":\"delete\"}\n"),
	    -EBADMSG);
}
END_TEST

static const struct {
	const char *text, *says;
} wrong[] = {
    {"\n", "line 1: not a JSON object"},
    {"[]\n", "line 1: not a JSON object"},
    {"{", "line 1: a string"},
    {"{}\n", "line 1: no \"process\""},
    {CALL("1", "get", "") "{\"process\":1}\n", "line 2: no \"process\" or"},
    {CALL("1", "get", "") "x\n", "line 2: not a JSON object"},
    {CALL("1", "get", "") CALL("1", "get", ""), "line 2: process 1 invokes"},
    {DONE("1", "ok", ""), "line 1: process 1 completes"},
    {CALL("1", "incr", ""), "line 1: unknown"},
    {CALL("-1", "get", ""), "line 1: a whole number"},
    {CALL("1.0", "get", ""), "line 1: a whole number"},
    {CALL("01", "get", ""), "line 1: a whole number"},
    {CALL("9007199254740992", "get", ""), "line 1: number too large"},
    {CALL("\"1\"", "get", ""), "line 1: a whole number"},
    {CALL("1", "get", ",\"process\":1"), "line 1: 'process' given twice"},
    {CALL("1", "put", ",\"value\":\"a\",\"value_b64\":\"YQ==\""),
	"line 1: 'value_b64' given twice"},
    {CALL("1", "put", ""), "line 1: a put takes one value"},
    {CALL("1", "put", ",\"value\":null"), "line 1: a put needs a value"},
    {CALL("1", "put", ",\"value\":3"), "line 1: a string"},
    {CALL("1", "put", ",\"value\":\"a"), "line 1: "},
    {CALL("1", "put", ",\"value\":\"\\x\""), "line 1: unknown escape"},
    {CALL("1", "put", ",\"value\":\"\\ud800\""), "line 1: unpaired"},
    {CALL("1", "put", ",\"value\":\"\xff\""), "line 1: a string that is not"},
    {CALL("1", "put", ",\"value\":\"\xc0\x80\""), "line 1: a string that is"},
    {CALL("1", "put", ",\"value\":\"a\tb\""), "line 1: control character"},
    {CALL("1", "put", ",\"value_b64\":\"YQ=\""), "line 1: bad base64"},
    {CALL("1", "put", ",\"value_b64\":\"YR==\""), "line 1: bad base64"},
    {CALL("1", "cas", ",\"value\":[\"a\"]"), "line 1: a pair"},
    {CALL("1", "cas", ",\"value\":\"a\""), "line 1: a cas takes [old, new]"},
    {CALL("1", "get", ",\"value\":\"a\""), "line 1: a get takes no value"},
    {CALL("1", "get", ",\"rev\":3"), "line 1: \"swapped\", \"rev\""},
    {CALL("1", "get", "") DONE("1", "ok", ""), "line 2: a get's ok needs"},
    {CALL("1", "get", "") DONE("1", "ok", ",\"value\":null,\"swapped\":true"),
	"line 2: \"swapped\" belongs"},
    {CALL("1", "get", "") DONE("1", "ok", ",\"value\":null,\"f\":\"put\""),
	"line 2: \"f\" is not"},
    {CALL("1", "get", "") DONE("1", "ok", ",\"value\":null,\"key\":\"j\""),
	"line 2: \"key\" is not"},
    {CALL("1", "put", ",\"value\":\"a\"") DONE("1", "ok", ",\"value\":\"b\""),
	"line 2: \"value\" is not"},
    {CALL("1", "get", ",\"index\":4")
	    DONE("1", "ok", ",\"value\":null,\"index\":4"),
	"line 2: \"index\" is not above"},
    {CALL("1", "get", ",\"x\":[[[[[[[[[[[[[[[[[0]]]]]]]]]]]]]]]]]"),
	"line 1: nested too deeply"},
    {CALL("1", "get", ",\"x\":tru"), "line 1: not JSON"},
    {CALL("1", "get", "") "{\"process\":1,\"type\":\"ok\",\"val",
	"line 2: string without end"},
    {CALL("1", "get", "") CALL("2", "get", "} {"), "line 2: something"},
};

START_TEST(test_wrong_lines_are_told)
{
	ck_assert_int_eq(read_text(wrong[_i].text), -EBADMSG);
	ck_assert_msg(
	    strncmp(et.text, wrong[_i].says, strlen(wrong[_i].says)) == 0,
	    "\"%s\" is not \"%s\"", et.text, wrong[_i].says);
}
END_TEST

START_TEST(test_zero_byte_is_refused)
{
	static const char text[] = "{\"process\":1\0}\n";

	ck_assert_int_eq(read_bytes(text, sizeof(text) - 1), -EBADMSG);
}
END_TEST

START_TEST(test_long_values_cross_the_buffer)
{
	size_t n = 3 * 1024 * 1024, head;
	char *text = malloc(n + 200);

	ck_assert_ptr_nonnull(text);
	head = (size_t)snprintf(text, 200,
	    "{\"process\":1,\"type\":\"invoke\",\"f\":\"put\","
	    "\"key\":\"k\",\"value\":\"");
	memset(text + head, 'a', n);
	memcpy(text + head + n, "\"}\n", 4);
	ck_assert_int_eq(read_bytes(text, head + n + 3), 0);
	ck_assert_uint_eq(h.values.items[h.ops[0].arg].len, n);
	free(text);
}
END_TEST

START_TEST(test_memory_is_limited)
{
	struct historygen_opts o;
	struct history big;
	struct membudget room = {0, (size_t)256 * 1024 * 1024};
	FILE *f = tmpfile();

	ck_assert_ptr_nonnull(f);
	historygen_defaults(&o);
	o.ops = 20000;
	history_init(&big, &room);
	ck_assert_int_eq(historygen_run(&big, &o), 0);
	ck_assert_int_eq(historygen_print(&big, f), 0);
	history_release(&big);
	ck_assert_int_eq(fflush(f), 0);
	ck_assert_int_eq(lseek(fileno(f), 0, SEEK_SET), 0);
	budget.max = 2 * 1024 * 1024;
	ck_assert_int_eq(history_read(&h, fileno(f), &opts, &et), -ENOMEM);
	ck_assert_uint_le(budget.used, budget.max);
	fclose(f);
}
END_TEST

static bool
is_expired(void *arg)
{
	(void)arg;
	return true;
}

START_TEST(test_time_is_limited)
{
	char line[128], *text;
	size_t len, i;

	len = (size_t)snprintf(line, sizeof(line), "%s%s", CALL("1", "get", ""),
	    DONE("1", "ok", ",\"value\":null"));
	text = malloc(len * 5000 + 1);
	ck_assert_ptr_nonnull(text);
	for (i = 0; i < 5000; i++)
		memcpy(text + i * len, line, len);
	opts.expired_cb = is_expired;
	ck_assert_int_eq(read_bytes(text, len * 5000), -ETIMEDOUT);
	free(text);
}
END_TEST

/* What is printed is read as it was. */
START_TEST(test_print_and_read_agree)
{
	struct historygen_opts o;
	struct history other;
	const struct history_op *a, *b;
	FILE *f = tmpfile();
	size_t i;

	ck_assert_ptr_nonnull(f);
	historygen_defaults(&o);
	o.ops = 3000;
	o.with_rev = true;
	history_init(&other, &budget);
	ck_assert_int_eq(historygen_run(&other, &o), 0);
	ck_assert_int_eq(historygen_print(&other, f), 0);
	ck_assert_int_eq(fflush(f), 0);
	ck_assert_int_eq(lseek(fileno(f), 0, SEEK_SET), 0);
	ck_assert_int_eq(history_read(&h, fileno(f), &opts, &et), 0);
	ck_assert_uint_eq(h.ops_n, other.ops_n);
	ck_assert_uint_eq(h.events, other.events);
	for (i = 0; i < h.ops_n; i++) {
		a = &h.ops[i];
		b = &other.ops[i];
		ck_assert_uint_eq(a->call, b->call);
		ck_assert_uint_eq(a->ret, b->ret);
		ck_assert_uint_eq(a->call_ns, b->call_ns);
		ck_assert_uint_eq(a->process, b->process);
		ck_assert_uint_eq(a->f, b->f);
		ck_assert_uint_eq(a->result, b->result);
		ck_assert_uint_eq(a->key, b->key);
		ck_assert_int_eq(a->swapped, b->swapped);
		ck_assert_int_eq(a->has_rev, b->has_rev);
		ck_assert_uint_eq(a->rev, b->rev);
		ck_assert_int_eq(
		    a->arg == HISTORY_NULL, b->arg == HISTORY_NULL);
		ck_assert_int_eq(
		    a->out == HISTORY_NULL, b->out == HISTORY_NULL);
		if (a->out != HISTORY_NULL)
			ck_assert_mem_eq(h.values.items[a->out].data,
			    other.values.items[b->out].data,
			    h.values.items[a->out].len);
	}
	history_release(&other);
	fclose(f);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("history");
	TCase *tc = tcase_create("history");
	SRunner *r;
	int failed;

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, test_each_operation_is_read);
	tcase_add_test(tc, test_cas_without_swapped_took_effect);
	tcase_add_test(tc, test_open_operations_are_unknown);
	tcase_add_test(tc, test_base64_and_escapes_are_the_same_bytes);
	tcase_add_test(tc, test_empty_and_null_differ);
	tcase_add_test(tc, test_unknown_fields_are_skipped);
	tcase_add_test(tc, test_last_line_may_lack_its_newline);
	tcase_add_test(tc, test_register_needs_no_key);
	tcase_add_loop_test(tc, test_wrong_lines_are_told, 0,
	    (int)(sizeof(wrong) / sizeof(wrong[0])));
	tcase_add_test(tc, test_zero_byte_is_refused);
	tcase_add_test(tc, test_long_values_cross_the_buffer);
	tcase_add_test(tc, test_memory_is_limited);
	tcase_add_test(tc, test_time_is_limited);
	tcase_add_test(tc, test_print_and_read_agree);
	suite_add_tcase(s, tc);
	r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed == 0 ? 0 : 1;
}
