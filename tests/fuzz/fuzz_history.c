/*
 * fuzz_history.c - arbitrary history files, read, judged both ways and drawn.
 *
 * Whatever comes, the limits hold, all memory comes back, and a history that
 * can be explained can be explained in each part that ends earlier.  If the
 * first byte says so, the rest is not text but a compact form of operations
 * of few values on one key, which reaches the search at once.
 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "loadgen/historygen.h"
#include "loadgen/lincheck.h"
#include "loadgen/linhtml.h"
#include "loadgen/ordercheck.h"

#define MEM_MAX ((size_t)16 * 1024 * 1024)
#define CONFIGS_MAX 2000

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

/* The first n events only; what is then open is unknown. */
static int
read_lines(struct history *h, const uint8_t *data, size_t size, bool keyless)
{
	struct history_read_opts opts = {.keyless = keyless};
	struct errtext et;
	int fd, err;

	fd = memfd_create("history", MFD_CLOEXEC);
	if (fd < 0 || write(fd, data, size) != (ssize_t)size ||
	    lseek(fd, 0, SEEK_SET) != 0)
		abort();
	err = history_read(h, fd, &opts, &et);
	close(fd);
	return err;
}

/* Each byte an event: the process, what it does, with what. */
static void
play(struct history *h, const uint8_t *data, size_t size)
{
	static const char *const values[] = {"a", "b", "ab", "", "c", NULL};
	struct history_call call;
	struct history_done done;
	bool is_open[4] = {false};
	size_t i;
	uint8_t b;

	for (i = 0; i + 1 < size; i += 2) {
		b = data[i];
		memset(&call, 0, sizeof(call));
		memset(&done, 0, sizeof(done));
		call.process = done.process = b & 3;
		call.key = (struct history_bytes){"k", 1};
		call.f = (enum history_f)((b >> 2) % HISTORY_F_N);
		call.arg.data = values[data[i + 1] % 6];
		call.arg2.data = values[data[i + 1] / 6 % 6];
		if (call.arg.data != NULL)
			call.arg.len = strlen(call.arg.data);
		if (call.arg2.data != NULL)
			call.arg2.len = strlen(call.arg2.data);
		done.result = (enum history_result)((b >> 2) % 3);
		done.out = call.arg;
		done.swapped = b >> 7;
		done.has_rev = b >> 6 & 1;
		done.rev = data[i + 1] / 8;
		if (is_open[b & 3])
			is_open[b & 3] = history_complete(h, &done, NULL) != 0;
		else
			is_open[b & 3] = history_invoke(h, &call, NULL) == 0;
	}
}

/* Ends the history earlier: what was not complete by then is open. */
static void
cut(struct history *h, uint64_t events)
{
	size_t i;

	while (h->ops_n > 0 && h->ops[h->ops_n - 1].call > events)
		h->ops_n--;
	for (i = 0; i < h->ops_n; i++) {
		if (h->ops[i].ret == HISTORY_NEVER || h->ops[i].ret <= events)
			continue;
		h->ops[i].ret = HISTORY_NEVER;
		h->ops[i].result = HISTORY_UNKNOWN;
		h->ops[i].out = HISTORY_NULL;
		h->ops[i].has_rev = h->ops[i].swapped = false;
	}
	h->events = events;
}

static enum lincheck_verdict
judge(const struct history *h, bool initial_any)
{
	struct lincheck_opts opts = {
	    .configs_max = CONFIGS_MAX, .initial_any = initial_any};
	struct linhtml_view view;
	struct lincheck_result res;
	char *text = NULL;
	size_t len;
	FILE *f;

	lincheck(h, &opts, &res);
	if (res.verdict == LINCHECK_VIOLATION) {
		assert(res.window_n > 0 && res.to <= h->events);
		memset(&view, 0, sizeof(view));
		view.title = view.verdict = "violation";
		view.window = res.window;
		view.window_n = res.window_n;
		view.culprit = res.culprit;
		f = open_memstream(&text, &len);
		assert(f != NULL && linhtml_write(f, h, &view) == 0);
		fclose(f);
		assert(strstr(text, "<script") == NULL);
		free(text);
	}
	lincheck_release(h, &res);
	return res.verdict;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct membudget budget = {0, MEM_MAX};
	enum lincheck_verdict whole;
	struct ordercheck_result order;
	struct history h;

	history_init(&h, &budget);
	if (size > 0 && data[0] == 0xff)
		play(&h, data + 1, size - 1);
	else
		(void)read_lines(&h, data, size, size % 2 == 0);
	whole = judge(&h, false);
	if (whole == LINCHECK_OK)
		assert(judge(&h, true) != LINCHECK_VIOLATION);
	(void)ordercheck(&h, &order);
	if (h.events > 1) {
		cut(&h, h.events / 2 + size % (h.events / 2 + 1));
		assert(whole != LINCHECK_OK ||
		       judge(&h, false) != LINCHECK_VIOLATION);
	}
	history_release(&h);
	assert(budget.used == 0);
	return 0;
}
