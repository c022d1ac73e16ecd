/*
 * linhtml.c - a verdict as a page.
 */
#include "loadgen/linhtml.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "loadgen/html.h"

#define ROW_HEIGHT 34
#define BAR_HEIGHT 22
#define LEFT 110
#define STEP 26		  /* between events */
#define LABEL_LEN_MAX 24  /* bytes of a value in the drawing */
#define TITLE_LEN_MAX 400 /* and where the pointer rests */

struct page {
	FILE *out;
	const struct history *h;
	const struct linhtml_view *view;
	size_t *shown; /* operations, by invocation */
	size_t shown_n;
	uint64_t *processes;
	size_t processes_n;
	uint64_t *events; /* of what is shown, in order */
	size_t events_n;
};

static const char style[] =
    "body{font:14px sans-serif;margin:2em;color:#222}\n"
    "h1{font-size:1.3em}.violation{color:#b00020}.ok{color:#1b6e20}\n"
    "svg{font:11px monospace;overflow:visible}.scroll{overflow-x:auto}\n"
    "table{border-collapse:collapse;font:12px monospace}\n"
    "td,th{padding:2px 10px 2px 0;text-align:left}\n"
    ".op rect{fill:#dfe6ee;stroke:#8aa}.in rect{fill:#ffe2a8;"
    "stroke:#c80}\n"
    ".bad rect{fill:#f8b4b4;stroke:#b00020;stroke-width:2}\n"
    "tr.bad{background:#f8d7d7}.unknown rect{stroke-dasharray:4 3}\n";

static void
put_value(const struct page *g, uint32_t value, size_t len_max)
{
	const struct intern_item *it;

	if (value == HISTORY_NULL) {
		fputs("null", g->out);
		return;
	}
	it = &g->h->values.items[value];
	fputs("&#34;", g->out);
	html_text(g->out, it->data, it->len, len_max);
	fputs("&#34;", g->out);
}

/* put "a", or get -> "a" */
static void
put_op(const struct page *g, const struct history_op *op, size_t len_max)
{
	fputs(history_f_name(op->f), g->out);
	if (op->f == HISTORY_PUT || op->f == HISTORY_APPEND ||
	    op->f == HISTORY_CAS) {
		fputc(' ', g->out);
		put_value(g, op->arg, len_max);
	}
	if (op->f == HISTORY_CAS) {
		fputc(' ', g->out);
		put_value(g, op->arg2, len_max);
	}
	if (op->result == HISTORY_UNKNOWN) {
		fputs(" ?", g->out);
	} else if (op->result == HISTORY_FAIL) {
		fputs(" failed", g->out);
	} else if (op->f == HISTORY_GET) {
		fputs(" &#8594; ", g->out);
		put_value(g, op->out, len_max);
	} else if (op->f == HISTORY_CAS) {
		fputs(op->swapped ? " &#8594; swapped" : " &#8594; refused",
		    g->out);
	}
}

static bool
in_window(const struct page *g, size_t op)
{
	size_t i;

	for (i = 0; i < g->view->window_n; i++)
		if (g->view->window[i] == op)
			return true;
	return false;
}

static int
compare_u64(const void *va, const void *vb)
{
	uint64_t a = *(const uint64_t *)va, b = *(const uint64_t *)vb;

	return (a > b) - (a < b);
}

static size_t
unique(uint64_t *v, size_t n)
{
	size_t i, k = 0;

	if (n > 0)
		qsort(v, n, sizeof(*v), compare_u64);
	for (i = 0; i < n; i++)
		if (k == 0 || v[i] != v[k - 1])
			v[k++] = v[i];
	return k;
}

static size_t
rank(const uint64_t *v, size_t n, uint64_t x)
{
	const uint64_t *at = bsearch(&x, v, n, sizeof(*v), compare_u64);

	return at != NULL ? (size_t)(at - v) : n;
}

/* The operations of the key from a little before the window to a little
 * after it. */
static int
choose(struct page *g)
{
	const struct linhtml_view *view = g->view;
	size_t i, first, last, n;
	uint32_t key = g->h->ops[view->culprit].key;

	first = view->window[0];
	last = view->window[view->window_n - 1];
	for (n = 0; n < LINHTML_CONTEXT_MAX && first > 0;)
		if (g->h->ops[--first].key == key)
			n++;
	for (n = 0; n < LINHTML_CONTEXT_MAX && last + 1 < g->h->ops_n;)
		if (g->h->ops[++last].key == key)
			n++;
	g->shown = calloc(LINHTML_OPS_MAX, sizeof(*g->shown));
	g->processes = calloc(LINHTML_OPS_MAX, sizeof(*g->processes));
	g->events = calloc(2 * LINHTML_OPS_MAX, sizeof(*g->events));
	if (g->shown == NULL || g->processes == NULL || g->events == NULL)
		return -ENOMEM;
	for (i = first; i <= last && g->shown_n < LINHTML_OPS_MAX; i++) {
		if (g->h->ops[i].key != key)
			continue;
		g->shown[g->shown_n++] = i;
		g->processes[g->processes_n++] = g->h->ops[i].process;
		g->events[g->events_n++] = g->h->ops[i].call;
		if (g->h->ops[i].ret != HISTORY_NEVER)
			g->events[g->events_n++] = g->h->ops[i].ret;
	}
	g->processes_n = unique(g->processes, g->processes_n);
	g->events_n = unique(g->events, g->events_n);
	return 0;
}

static void
draw_op(const struct page *g, size_t k)
{
	const struct history_op *op = &g->h->ops[k];
	size_t x1, x2, y;
	bool is_open;

	is_open = op->ret == HISTORY_NEVER || op->result == HISTORY_UNKNOWN;
	x1 = LEFT + STEP * rank(g->events, g->events_n, op->call);
	x2 = LEFT + STEP * (is_open ? g->events_n
				    : rank(g->events, g->events_n, op->ret));
	y = ROW_HEIGHT * rank(g->processes, g->processes_n, op->process);
	if (is_open && op->ret != HISTORY_NEVER)
		x2 = LEFT + STEP * rank(g->events, g->events_n, op->ret);
	fprintf(g->out, "<g class=\"op%s%s%s\"><title>",
	    k == g->view->culprit ? " bad"
	    : in_window(g, k)	  ? " in"
				  : "",
	    op->result == HISTORY_UNKNOWN ? " unknown" : "",
	    op->result == HISTORY_FAIL ? " failed" : "");
	put_op(g, op, TITLE_LEN_MAX);
	fprintf(g->out, " (events %llu to ", (unsigned long long)op->call);
	if (op->ret == HISTORY_NEVER)
		fputs("the end", g->out);
	else
		fprintf(g->out, "%llu", (unsigned long long)op->ret);
	fprintf(g->out,
	    ")</title><rect x=\"%zu\" y=\"%zu\" width=\"%zu\" "
	    "height=\"%d\" rx=\"3\"/>"
	    "<text x=\"%zu\" y=\"%zu\">",
	    x1, y, x2 - x1 + STEP / 2, BAR_HEIGHT, x1 + 4, y + BAR_HEIGHT - 7);
	put_op(g, op, LABEL_LEN_MAX);
	fputs("</text></g>\n", g->out);
}

static void
draw(const struct page *g)
{
	size_t i;

	fprintf(g->out,
	    "<div class=\"scroll\"><svg xmlns=\"http://www.w3.org/2000/svg\" "
	    "width=\"%zu\" height=\"%zu\">\n",
	    LEFT + STEP * (g->events_n + 8), ROW_HEIGHT * g->processes_n);
	for (i = 0; i < g->processes_n; i++)
		fprintf(g->out, "<text x=\"0\" y=\"%zu\">process %llu</text>\n",
		    ROW_HEIGHT * i + BAR_HEIGHT - 7,
		    (unsigned long long)g->processes[i]);
	for (i = 0; i < g->shown_n; i++)
		draw_op(g, g->shown[i]);
	fputs("</svg></div>\n", g->out);
}

static void
list(const struct page *g)
{
	static const char *const results[] = {"unknown", "ok", "failed"};
	const struct history_op *op;
	size_t i, k;

	fputs("<h2>The window</h2>\n<table>\n<tr><th>process</th>"
	      "<th>from</th><th>to</th><th>result</th><th>operation</th>"
	      "</tr>\n",
	    g->out);
	for (i = 0; i < g->view->window_n && i < LINHTML_OPS_MAX; i++) {
		k = g->view->window[i];
		op = &g->h->ops[k];
		fprintf(g->out, "<tr%s><td>%llu</td><td>%llu</td><td>",
		    k == g->view->culprit ? " class=\"bad\"" : "",
		    (unsigned long long)op->process,
		    (unsigned long long)op->call);
		if (op->ret != HISTORY_NEVER)
			fprintf(g->out, "%llu", (unsigned long long)op->ret);
		fprintf(g->out, "</td><td>%s</td><td>", results[op->result]);
		put_op(g, op, TITLE_LEN_MAX);
		fputs("</td></tr>\n", g->out);
	}
	fputs("</table>\n", g->out);
}

int
linhtml_write(
    FILE *out, const struct history *h, const struct linhtml_view *view)
{
	const struct intern_item *key;
	struct page g;
	int err = 0;

	memset(&g, 0, sizeof(g));
	g.out = out;
	g.h = h;
	g.view = view;
	fprintf(out, "<!DOCTYPE html>\n<html lang=\"en\"><head>"
		     "<meta charset=\"utf-8\">\n<title>");
	html_cstr(out, view->title);
	fprintf(out, "</title>\n<style>\n%s</style></head><body>\n<h1>", style);
	html_cstr(out, view->title);
	fprintf(out, ": <span class=\"%s\">%s</span></h1>\n", view->verdict,
	    view->verdict);
	if (view->why != NULL) {
		fputs("<p>", out);
		html_cstr(out, view->why);
		fputs(".</p>\n", out);
	}
	fprintf(out, "<p>%zu operations, %u keys.</p>\n", h->ops_n,
	    h->keys.items_n);
	if (view->window_n > 0) {
		key = &h->keys.items[h->ops[view->culprit].key];
		fputs("<p>Key <b>&#34;", out);
		html_text(out, key->data, key->len, TITLE_LEN_MAX);
		fputs("&#34;</b>. Time runs to the right, one step an event. "
		      "Yellow: what cannot be brought into an order; red: "
		      "where it shows; dashed: of unknown outcome.</p>\n",
		    out);
		err = choose(&g);
		if (err == 0) {
			draw(&g);
			list(&g);
		}
	}
	fputs("</body></html>\n", out);
	free(g.shown);
	free(g.processes);
	free(g.events);
	if (err < 0)
		return err;
	return ferror(out) ? -EIO : 0;
}
