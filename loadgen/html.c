/*
 * html.c - text of others in pages of ours.
 */
#include "loadgen/html.h"

#include <string.h>

void
html_text(FILE *out, const uint8_t *p, size_t len, size_t len_max)
{
	size_t i, n = len < len_max ? len : len_max;

	for (i = 0; i < n; i++) {
		if (p[i] < 0x20 || p[i] >= 0x7f)
			fprintf(out, "\\x%02x", p[i]);
		else if (strchr("&<>\"'\\", p[i]) != NULL)
			fprintf(out, "&#%u;", p[i]);
		else
			fputc(p[i], out);
	}
	if (n < len)
		fputs("...", out);
}

void
html_cstr(FILE *out, const char *s)
{
	html_text(out, (const uint8_t *)s, strlen(s), SIZE_MAX);
}
