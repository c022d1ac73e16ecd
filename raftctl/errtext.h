/*
 * errtext.h - the context of an error, for people: "segment 12 offset 4096:
 * checksum".  Libraries that return -errno take an optional one.
 */
#ifndef RAFTCTL_ERRTEXT_H
#define RAFTCTL_ERRTEXT_H

#include <stdarg.h>
#include <stdio.h>

struct errtext {
	char text[256];
};

/* Formats into et (which may be NULL) and returns err, so that
 * `return errtext(et, -EBADMSG, "...")` reads as one step. */
static inline __attribute__((format(printf, 3, 4))) int
errtext(struct errtext *et, int err, const char *fmt, ...)
{
	va_list ap;

	if (et != NULL) {
		va_start(ap, fmt);
		(void)vsnprintf(et->text, sizeof(et->text), fmt, ap);
		va_end(ap);
	}
	return err;
}

#endif
