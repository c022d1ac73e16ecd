/*
 * report.c - results as one page of HTML.
 */
#include "loadgen/report.h"

#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "loadgen/html.h"

/* A drawing, in its own units; the browser scales it. */
#define WIDTH 540
#define HEIGHT 220
#define LEFT 58
#define RIGHT 24
#define TOP 22
#define BOTTOM 34
#define PLOT_W (WIDTH - LEFT - RIGHT)
#define PLOT_H (HEIGHT - TOP - BOTTOM)
#define TICKS 5
#define DECADE_MIN (-3) /* 1 us, in ms */
#define DECADE_MAX 7

static const char style[] =
    "body{font:14px/1.45 system-ui,sans-serif;margin:2em auto;"
    "max-width:1500px;padding:0 1.5em;color:#1d2733;background:#fff}\n"
    "h1{font-size:1.5em;margin:0 0 .2em}h2{font-size:1.05em;"
    "margin:0 0 .4em;overflow-wrap:anywhere}"
    "h3{font-size:.85em;margin:.9em 0 .1em;color:#52606d;"
    "font-weight:600}\n"
    ".grid{display:grid;gap:1.2em;align-items:start;margin-top:1.4em;"
    "grid-template-columns:repeat(auto-fit,minmax(min(430px,100%),1fr))}\n"
    ".card{border:1px solid #d9e0e7;border-radius:8px;padding:1em;"
    "min-width:0}\n"
    ".wide{overflow-x:auto}svg{display:block;width:100%;height:auto}\n"
    "svg text{font:11px system-ui,sans-serif;fill:#52606d}\n"
    "table{border-collapse:collapse;font-variant-numeric:tabular-nums}\n"
    "td,th{padding:4px 12px;text-align:right;border-bottom:1px solid "
    "#e6ebf0;white-space:nowrap}th{font-weight:600;color:#52606d}\n"
    "td:first-child,th:first-child{text-align:left;padding-left:0}\n"
    ".axis{stroke:#9aa7b4}.rule{stroke:#e6ebf0}\n"
    ".ops{stroke:#1f6fb2;fill:none}.p50{stroke:#1b8a5a;fill:none}"
    ".p99{stroke:#c2410c;fill:none}.err{stroke:#b00020;fill:none}\n"
    "path{stroke-width:1.6;stroke-linejoin:round}"
    ".dot{stroke-width:4;stroke-linecap:round}\n"
    ".bar{fill:#8fb8da}.fault{fill:#d9304f;fill-opacity:.14}\n"
    "text.fault-name{fill:#b00020}text.p50{fill:#1b8a5a;stroke:none}"
    "text.p99{fill:#c2410c;stroke:none}"
    "text.err{fill:#b00020;stroke:none}\n"
    ".note{color:#52606d;margin:.2em 0}.bad{color:#b00020}\n";

struct scale {
	double seconds, ops; /* the largest */
	int low, high;	     /* decades of latency in ms */
	double share;	     /* of a step of a histogram, the largest */
	double kill_ms;
};

struct page {
	FILE *out;
	const struct report *report;
	struct scale scale;
};

/* ---- numbers ------------------------------------------------------------ */

/* Numbers of others: what is no finite number of a sane size is 0. */
static double
number(const json_t *o, const char *key)
{
	double v = json_number_value(json_object_get(o, key));

	return isfinite(v) && v >= 0 && v < 1e15 ? v : 0;
}

static double
latency(const json_t *run, const char *key)
{
	return number(json_object_get(run, "latency_ms"), key);
}

/* 1, 2 or 5 times a power of ten, so that a few of it reach v. */
static double
tick_of(double v)
{
	double raw = v / TICKS, base, f;

	if (!(raw > 0))
		return 1;
	base = pow(10, floor(log10(raw)));
	f = raw / base;
	return base * (f <= 1 ? 1 : f <= 2 ? 2 : f <= 5 ? 5 : 10);
}

static double
round_up(double v)
{
	double t = tick_of(v);

	return v > 0 ? ceil(v / t) * t : 1;
}

static void
put_number(FILE *out, double v)
{
	if (v >= 1e6)
		fprintf(out, "%.3gM", v / 1e6);
	else if (v >= 1e4)
		fprintf(out, "%.3gk", v / 1e3);
	else if (v >= 1000)
		fprintf(out, "%.0f", v);
	else
		fprintf(out, "%.3g", v);
}

static double
x_linear(double v, double max)
{
	double f = max > 0 ? v / max : 0;

	return LEFT + PLOT_W * (f < 0 ? 0 : f > 1 ? 1 : f);
}

static double
y_linear(double v, double max)
{
	double f = max > 0 ? v / max : 0;

	return TOP + PLOT_H * (1 - (f < 0 ? 0 : f > 1 ? 1 : f));
}

/* Where it is between the decades of latency, 0 to 1. */
static double
log_part(const struct scale *s, double ms)
{
	double f = (log10(ms) - s->low) / (s->high - s->low);

	return f < 0 ? 0 : f > 1 ? 1 : f;
}

/* ---- what all drawings have --------------------------------------------- */

static void
begin_svg(const struct page *g, const char *what)
{
	fprintf(g->out,
	    "<h3>%s</h3>\n<svg viewBox=\"0 0 %d %d\" role=\"img\" "
	    "aria-label=\"%s\">\n",
	    what, WIDTH, HEIGHT, what);
}

static void
end_svg(const struct page *g)
{
	fprintf(g->out,
	    "<path class=\"axis\" fill=\"none\" "
	    "d=\"M%d %dV%dH%d\"/>\n</svg>\n",
	    LEFT, TOP, HEIGHT - BOTTOM, WIDTH - RIGHT);
}

static void
rule_y(const struct page *g, double y)
{
	fprintf(g->out,
	    "<path class=\"rule\" d=\"M%d %.1fH%d\"/><text x=\"%d\" "
	    "y=\"%.1f\" text-anchor=\"end\">",
	    LEFT, y, WIDTH - RIGHT, LEFT - 6, y + 4);
}

static void
mark_x(const struct page *g, double x)
{
	fprintf(g->out,
	    "<path class=\"axis\" d=\"M%.1f %dv4\"/><text x=\"%.1f\" "
	    "y=\"%d\" text-anchor=\"middle\">",
	    x, HEIGHT - BOTTOM, x, HEIGHT - BOTTOM + 17);
}

static void
axis_y(const struct page *g, double max)
{
	double tick = tick_of(max), v;
	int i;

	for (i = 0; i <= 2 * TICKS && (v = tick * i) <= max * 1.0001; i++) {
		rule_y(g, y_linear(v, max));
		put_number(g->out, v);
		fputs("</text>\n", g->out);
	}
}

static void
axis_x(const struct page *g, double max, const char *unit)
{
	double tick = tick_of(max), v;
	int i;

	for (i = 0; i <= 2 * TICKS && (v = tick * i) <= max * 1.0001; i++) {
		mark_x(g, x_linear(v, max));
		put_number(g->out, v);
		fprintf(g->out, "%s</text>\n", i == 0 ? "" : unit);
	}
}

static void
put_decade(const struct page *g, int decade)
{
	double ms = pow(10, decade);

	if (ms < 0.999)
		fprintf(g->out, "%.0f \302\265s</text>\n", ms * 1000);
	else if (ms < 999)
		fprintf(g->out, "%.0f ms</text>\n", ms);
	else
		fprintf(g->out, "%.0f s</text>\n", ms / 1000);
}

/* ---- faults ------------------------------------------------------------- */

static void
put_fault(const struct page *g, const json_t *f, double x1, double x2)
{
	static const char *const keys[] = {"kind", "from", "to", "detail"};
	const json_t *v;
	size_t i;

	fprintf(g->out, "<g><title>");
	for (i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		v = json_object_get(f, keys[i]);
		if (json_is_string(v)) {
			html_cstr(g->out, json_string_value(v));
			fputc(' ', g->out);
		} else if (json_is_integer(v)) {
			fprintf(
			    g->out, "%lld ", (long long)json_integer_value(v));
		}
	}
	fprintf(g->out,
	    "</title><rect class=\"fault\" x=\"%.1f\" y=\"%d\" "
	    "width=\"%.1f\" height=\"%d\"/>",
	    x1, TOP, x2 - x1 < 1 ? 1.0 : x2 - x1, PLOT_H);
	v = json_object_get(f, "kind");
	/* a name only where there is room for it */
	if (json_is_string(v) &&
	    x2 - x1 > 7.0 * (double)json_string_length(v)) {
		fprintf(g->out,
		    "<text class=\"fault-name\" x=\"%.1f\" y=\"%d\">", x1 + 3,
		    TOP + 12);
		html_cstr(g->out, json_string_value(v));
		fputs("</text>", g->out);
	}
	fputs("</g>\n", g->out);
}

/* In seconds of a run; false: it was at another time. */
static bool
window_of(
    const json_t *f, double began, double end, double *since, double *until)
{
	*since = (number(f, "since") - began) / 1e3;
	*until = json_is_number(json_object_get(f, "until"))
		     ? (number(f, "until") - began) / 1e3
		     : end;
	*until = *until > end ? end : *until;
	return *since < end && *until >= 0 && *until >= *since;
}

static void
draw_faults(const struct page *g, const json_t *run)
{
	double began = number(run, "began_ms"), max = g->scale.seconds;
	double since, until, end = number(run, "seconds");
	const json_t *f;
	unsigned i;

	if (began <= 0)
		return;
	for (i = 0; i < g->report->fault_count; i++) {
		f = g->report->fault[i];
		if (!window_of(f, began, end, &since, &until))
			continue;
		put_fault(g, f, x_linear(since, max), x_linear(until, max));
	}
}

/* Of the run's time without a write, what lies in the window; the longest
 * that touches it counts as a whole. */
static void
put_outage(const struct page *g, const json_t *run, const json_t *f,
    double since, double until)
{
	static const char *const keys[] = {"kind", "detail"};
	double all = 0, longest = 0;
	const json_t *o, *v;
	size_t i;

	json_array_foreach(json_object_get(run, "outages"), i, o)
	{
		double from = number(o, "t"), ms = number(o, "ms");
		double to = from + ms / 1e3;

		if (from >= until || to <= since)
			continue;
		all +=
		    (to < until ? to : until) - (from > since ? from : since);
		longest = ms > longest ? ms : longest;
	}
	fputs("<tr>", g->out);
	for (i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		fputs("<td>", g->out);
		v = json_object_get(f, keys[i]);
		if (json_is_string(v))
			html_cstr(g->out, json_string_value(v));
		fputs("</td>", g->out);
	}
	fprintf(g->out,
	    "<td>%.1f</td><td>%.1f</td><td%s>%.0f</td><td>%.0f</td></tr>\n",
	    since, until - since, all > 0 ? " class=\"bad\"" : "", all * 1e3,
	    longest);
}

/* A row for each fault of the run's time. */
static void
put_outages(const struct page *g, const json_t *run)
{
	double began = number(run, "began_ms"), since, until;
	double end = number(run, "seconds");
	bool any = false;
	unsigned i;

	if (began <= 0 || !json_is_array(json_object_get(run, "outages")))
		return;
	for (i = 0; i < g->report->fault_count; i++) {
		const json_t *f = g->report->fault[i];

		if (!window_of(f, began, end, &since, &until))
			continue;
		if (!any)
			fputs("<div class=\"wide\"><table>\n<tr><th>fault</th>"
			      "<th>of</th><th>from s</th><th>lasted s</th>"
			      "<th>without a write, ms</th>"
			      "<th>longest, ms</th></tr>\n",
			    g->out);
		any = true;
		put_outage(g, run, f, since < 0 ? 0 : since, until);
	}
	if (any)
		fputs("</table></div>\n", g->out);
}

/* ---- over time ---------------------------------------------------------- */

struct point {
	double t, seconds, ops, errors, p50, p99;
};

/* Intervals put together from *i on; false at the end. */
static bool
next_point(const json_t *list, size_t *i, double *last_t, struct point *p)
{
	size_t n = json_array_size(list), end;
	const json_t *v;
	double t = *last_t;

	if (*i >= n)
		return false;
	memset(p, 0, sizeof(*p));
	for (end = *i + n / REPORT_POINTS_MAX + 1; *i < end && *i < n; ++*i) {
		v = json_array_get(list, *i);
		t = number(v, "t");
		p->ops += number(v, "ops");
		p->errors += number(v, "errors");
		p->p50 = fmax(p->p50, number(v, "p50"));
		p->p99 = fmax(p->p99, number(v, "p99"));
	}
	p->seconds = t > *last_t ? t - *last_t : 0;
	p->t = t;
	*last_t = t;
	return true;
}

static double
rate_of(const struct point *p)
{
	return p->seconds > 0 ? p->ops / p->seconds : 0;
}

static double
error_rate_of(const struct point *p)
{
	return p->seconds > 0 ? p->errors / p->seconds : 0;
}

static double
p50_of(const struct point *p)
{
	return p->p50;
}

static double
p99_of(const struct point *p)
{
	return p->p99;
}

/* A line with gaps where there is nothing to tell (is_log: no latency). */
static void
draw_line(const struct page *g, const json_t *run, const char *class,
    double (*value)(const struct point *), bool is_log)
{
	const json_t *list = json_object_get(run, "intervals");
	const struct scale *s = &g->scale;
	struct point p;
	double last = 0, v, x;
	bool is_down = false;
	size_t i = 0;

	fprintf(g->out, "<path class=\"%s%s\" d=\"", class,
	    json_array_size(list) < 2 ? " dot" : "");
	while (next_point(list, &i, &last, &p)) {
		v = value(&p);
		/* the rest of a second says little */
		if (p.seconds < 0.05 || (is_log && v <= 0)) {
			is_down = false;
			continue;
		}
		x = x_linear(p.t - p.seconds / 2, s->seconds);
		fprintf(g->out, "%s%.1f %.1f", is_down ? "L" : "M", x,
		    is_log ? TOP + PLOT_H * (1 - log_part(s, v))
			   : y_linear(v, s->ops));
		if (!is_down) /* one point is seen as well */
			fputs("h0", g->out);
		is_down = true;
	}
	fputs("\"/>\n", g->out);
}

static void
label(const struct page *g, const char *class, int x, const char *text)
{
	fprintf(g->out, "<text class=\"%s\" x=\"%d\" y=\"14\">%s</text>\n",
	    class, x, text);
}

static bool
has_errors(const json_t *run)
{
	return number(run, "unknown") > 0 ||
	       json_object_size(json_object_get(run, "errors")) > 0;
}

static void
draw_throughput(const struct page *g, const json_t *run)
{
	begin_svg(g, "Operations a second");
	axis_y(g, g->scale.ops);
	axis_x(g, g->scale.seconds, " s");
	draw_faults(g, run);
	draw_line(g, run, "ops", rate_of, false);
	if (has_errors(run)) {
		draw_line(g, run, "err", error_rate_of, false);
		label(g, "err", LEFT, "errors");
	}
	end_svg(g);
}

static void
draw_latency(const struct page *g, const json_t *run)
{
	const struct scale *s = &g->scale;
	int d;

	begin_svg(g, "Latency");
	for (d = s->low; d <= s->high; d++) {
		rule_y(g, TOP + PLOT_H * (1.0 - (double)(d - s->low) /
						    (s->high - s->low)));
		put_decade(g, d);
	}
	axis_x(g, s->seconds, " s");
	draw_faults(g, run);
	draw_line(g, run, "p50", p50_of, true);
	draw_line(g, run, "p99", p99_of, true);
	label(g, "p50", LEFT, "p50");
	label(g, "p99", LEFT + 34, "p99");
	end_svg(g);
}

/* ---- histograms --------------------------------------------------------- */

static double
step_number(const json_t *step, size_t i)
{
	double v = json_number_value(json_array_get(step, i));

	return isfinite(v) && v >= 0 && v < 1e15 ? v : 0;
}

static double
sum_of(const json_t *steps)
{
	double sum = 0;
	size_t i;

	for (i = 0; i < json_array_size(steps); i++)
		sum += step_number(json_array_get(steps, i), 2);
	return sum;
}

static void
draw_histogram(const struct page *g, const json_t *run)
{
	const json_t *steps = json_object_get(run, "histogram"), *step;
	const struct scale *s = &g->scale;
	double sum = sum_of(steps), x1, x2, y, from;
	size_t i;
	int d;

	if (sum <= 0)
		return;
	begin_svg(g, "How long operations took (share of all, percent)");
	axis_y(g, s->share);
	for (i = 0; i < json_array_size(steps); i++) {
		step = json_array_get(steps, i);
		from = step_number(step, 0);
		x1 = LEFT + (from > 0 ? PLOT_W * log_part(s, from) : 0);
		x2 = LEFT + PLOT_W * log_part(s, step_number(step, 1) + 1e-9);
		y = y_linear(step_number(step, 2) / sum * 100, s->share);
		fprintf(g->out,
		    "<rect class=\"bar\" x=\"%.1f\" y=\"%.1f\" "
		    "width=\"%.1f\" height=\"%.1f\"/>\n",
		    x1, y, x2 - x1 > 0.6 ? x2 - x1 - 0.4 : 0.6,
		    HEIGHT - BOTTOM - y);
	}
	for (d = s->low; d <= s->high; d++) {
		mark_x(g,
		    LEFT + (double)PLOT_W * (d - s->low) / (s->high - s->low));
		put_decade(g, d);
	}
	end_svg(g);
}

/* ---- failover ----------------------------------------------------------- */

static void
draw_kills(const struct page *g, const json_t *run)
{
	const json_t *o = json_object_get(run, "failover_ms"),
		     *list = json_object_get(o, "list");
	size_t i, n = json_array_size(list);
	double max = g->scale.kill_ms, width, v, y;

	begin_svg(g, "From a leader's death to the next put, ms");
	axis_y(g, max);
	width = (double)PLOT_W / (double)(n > 0 ? n : 1);
	for (i = 0; i < n; i++) {
		v = json_number_value(json_array_get(list, i));
		y = y_linear(isfinite(v) ? v : 0, max);
		fprintf(g->out,
		    "<rect class=\"bar\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" "
		    "height=\"%.1f\"><title>%.1f ms</title></rect>\n",
		    LEFT + width * ((double)i + 0.1), y, width * 0.8,
		    HEIGHT - BOTTOM - y, v);
	}
	fprintf(g->out,
	    "<text x=\"%d\" y=\"%d\" text-anchor=\"middle\">%zu kills, one "
	    "after the other</text>\n",
	    LEFT + PLOT_W / 2, HEIGHT - BOTTOM + 17, n);
	end_svg(g);
	fprintf(g->out,
	    "<p class=\"note\">median %.1f ms, worst %.1f ms; %.0f puts "
	    "acknowledged, <span%s>%.0f of them lost</span></p>\n",
	    number(o, "median"), number(o, "worst"),
	    number(run, "acknowledged"),
	    number(run, "lost") > 0 ? " class=\"bad\"" : "",
	    number(run, "lost"));
}

/* ---- the page ----------------------------------------------------------- */

static bool
is_run(const json_t *j)
{
	return json_is_array(json_object_get(j, "intervals"));
}

static void
widen_latency(struct scale *s, double ms)
{
	if (ms <= 0)
		return;
	if (floor(log10(ms)) < s->low)
		s->low = (int)floor(log10(ms));
	if (ceil(log10(ms)) > s->high)
		s->high = (int)ceil(log10(ms));
}

static void
widen(struct scale *s, const json_t *run)
{
	const json_t *list = json_object_get(run, "intervals"), *step;
	const json_t *steps = json_object_get(run, "histogram");
	struct point p;
	double last = 0, sum = sum_of(steps);
	size_t i = 0;

	while (next_point(list, &i, &last, &p)) {
		if (p.seconds >= 0.05)
			s->ops =
			    fmax(s->ops, fmax(rate_of(&p), error_rate_of(&p)));
		widen_latency(s, p.p50);
		widen_latency(s, p.p99);
	}
	s->seconds = fmax(s->seconds, last);
	for (i = 0; i < json_array_size(steps) && sum > 0; i++) {
		step = json_array_get(steps, i);
		s->share = fmax(s->share, step_number(step, 2) / sum * 100);
		widen_latency(s, step_number(step, 0));
		widen_latency(s, step_number(step, 1));
	}
	s->kill_ms = fmax(
	    s->kill_ms, number(json_object_get(run, "failover_ms"), "worst"));
}

static void
find_scale(struct page *g)
{
	struct scale *s = &g->scale;
	unsigned i;

	*s = (struct scale){.low = DECADE_MAX, .high = DECADE_MIN};
	for (i = 0; i < g->report->run_count; i++)
		widen(s, g->report->run[i].json);
	s->low = s->low < DECADE_MIN ? DECADE_MIN : s->low;
	s->high = s->high > DECADE_MAX ? DECADE_MAX : s->high;
	if (s->low >= s->high) {
		s->low = -1;
		s->high = 1;
	}
	s->ops = round_up(s->ops);
	s->share = round_up(s->share);
	s->kill_ms = round_up(s->kill_ms);
	s->seconds = s->seconds > 0 ? s->seconds : 1;
}

static void
put_mix(FILE *out, json_t *mix)
{
	const char *key, *sep = "";
	json_t *v;

	json_object_foreach(mix, key, v)
	{
		fprintf(out, "%s", sep);
		html_cstr(out, key);
		sep = " ";
		if (json_object_size(mix) > 1)
			fprintf(out, "&#160;%lld",
			    (long long)json_integer_value(v));
	}
}

static void
put_row(const struct page *g, const struct report_run *r, double first)
{
	static const char *const parts[] = {"p50", "p99", "p999", "max"};
	const json_t *c = json_object_get(r->json, "conditions");
	double rate = number(r->json, "ops_per_s"), errors = 0;
	const char *key;
	json_t *v;
	size_t i;

	fputs("<tr><td>", g->out);
	html_cstr(g->out, r->name);
	fprintf(g->out, "</td><td>%.0f</td><td>", rate);
	if (first > 0)
		fprintf(g->out, "%.2f", rate / first);
	fputs("</td>", g->out);
	for (i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
		fprintf(g->out, "<td>%.2f</td>", latency(r->json, parts[i]));
	json_object_foreach(json_object_get(r->json, "errors"), key, v)
	    errors += json_number_value(v);
	fprintf(g->out,
	    "<td%s>%.0f</td><td>%.0f</td><td>%.0f</td><td>%.0f</td><td>",
	    errors > 0 ? " class=\"bad\"" : "", errors,
	    number(r->json, "unknown"), number(c, "clients"),
	    number(c, "value_size"));
	put_mix(g->out, json_object_get(c, "mix"));
	fputs("</td><td>", g->out);
	v = json_object_get(c, "fsync_ms");
	if (json_is_object(v))
		fprintf(g->out, "%.2f", number(v, "p50"));
	fprintf(g->out, "</td></tr>\n");
}

static void
put_table(const struct page *g)
{
	const struct report *r = g->report;
	double first = 0;
	unsigned i;

	for (i = 0; i < r->run_count && !is_run(r->run[i].json); i++)
		continue;
	if (i == r->run_count)
		return;
	fputs("<div class=\"wide\"><table>\n<tr><th>run</th><th>ops/s</th>"
	      "<th>ratio</th><th>p50 ms</th><th>p99</th><th>p99.9</th>"
	      "<th>max</th><th>errors</th><th>unknown</th><th>clients</th>"
	      "<th>bytes</th><th>mix</th><th>fsync p50</th></tr>\n",
	    g->out);
	first = number(r->run[i].json, "ops_per_s");
	for (; i < r->run_count; i++)
		if (is_run(r->run[i].json))
			put_row(g, &r->run[i], first);
	fputs("</table></div>\n", g->out);
}

static void
put_card(const struct page *g, const struct report_run *r)
{
	const json_t *c = json_object_get(r->json, "conditions");
	const char *kernel = json_string_value(json_object_get(c, "kernel"));
	const char *version = json_string_value(json_object_get(c, "version"));

	fputs("<section class=\"card\"><h2>", g->out);
	html_cstr(g->out, r->name);
	fprintf(g->out, "</h2>\n<p class=\"note\">version ");
	html_cstr(g->out, version != NULL ? version : "?");
	fprintf(g->out, ", %.0f cores, ", number(c, "cores"));
	html_cstr(g->out, kernel != NULL ? kernel : "?");
	if (json_is_true(json_object_get(r->json, "interrupted")))
		fputs(", <span class=\"bad\">interrupted</span>", g->out);
	fputs("</p>\n", g->out);
	if (is_run(r->json)) {
		draw_throughput(g, r->json);
		draw_latency(g, r->json);
		draw_histogram(g, r->json);
		put_outages(g, r->json);
	}
	if (json_is_object(json_object_get(r->json, "failover_ms")))
		draw_kills(g, r->json);
	fputs("</section>\n", g->out);
}

int
report_write(FILE *out, const struct report *r)
{
	struct page g = {.out = out, .report = r};
	unsigned i;

	find_scale(&g);
	fprintf(out,
	    "<!DOCTYPE html>\n<html lang=\"en\"><head><meta "
	    "charset=\"utf-8\">\n<meta name=\"viewport\" "
	    "content=\"width=device-width\">\n<title>loadgen report</title>\n"
	    "<style>\n%s</style></head><body>\n<h1>loadgen report</h1>\n"
	    "<p class=\"note\">%u result%s, drawn with the same scales. "
	    "Latency is that of operations that succeeded%s.</p>\n",
	    style, r->run_count, r->run_count == 1 ? "" : "s",
	    r->fault_count > 0 ? "; while a fault lasted is shaded red" : "");
	put_table(&g);
	fputs("<div class=\"grid\">\n", out);
	for (i = 0; i < r->run_count; i++)
		put_card(&g, &r->run[i]);
	fputs("</div>\n</body></html>\n", out);
	return ferror(out) ? -EIO : 0;
}

int
report_judge_run(const json_t *j)
{
	if (!json_is_object(j))
		return -EBADMSG;
	if (json_is_array(json_object_get(j, "intervals")) &&
	    json_is_number(json_object_get(j, "ops_per_s")))
		return 0;
	return json_is_array(
		   json_object_get(json_object_get(j, "failover_ms"), "list"))
		   ? 0
		   : -EBADMSG;
}

int
report_judge_fault(const json_t *j)
{
	return json_is_number(json_object_get(j, "since")) &&
		       json_is_string(json_object_get(j, "kind"))
		   ? 0
		   : -EBADMSG;
}
