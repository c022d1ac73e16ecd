/*
 * json.c - raftsnap: records as JSON, and back.
 */
#include <stdlib.h>
#include <string.h>

#include "raftsnap/tool.h"

static const char digit[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijkl"
			    "mnopqrstuvwxyz0123456789+/";

static json_t *
base64(const uint8_t *p, size_t len)
{
	char *out = malloc((len + 2) / 3 * 4 + 1);
	size_t n = 0;
	json_t *j;

	if (out == NULL)
		return NULL;
	for (size_t i = 0; i < len; i += 3) {
		uint32_t v = (uint32_t)p[i] << 16;

		if (i + 1 < len)
			v |= (uint32_t)p[i + 1] << 8;
		if (i + 2 < len)
			v |= p[i + 2];
		out[n++] = digit[v >> 18];
		out[n++] = digit[v >> 12 & 63];
		out[n++] = i + 1 < len ? digit[v >> 6 & 63] : '=';
		out[n++] = i + 2 < len ? digit[v & 63] : '=';
	}
	j = json_stringn(out, n);
	free(out);
	return j;
}

/* The value of a digit; 64 for '=', -1 for anything else. */
static int
value_of(char c)
{
	const char *at = memchr(digit, c, 64);

	return at != NULL ? (int)(at - digit) : c == '=' ? 64 : -1;
}

static uint8_t *
unbase64(const char *text, size_t len, size_t *out_len)
{
	uint8_t *out;
	size_t n = 0;

	if (len % 4 != 0)
		return NULL;
	out = malloc(len / 4 * 3 + 1);
	for (size_t i = 0; out != NULL && i < len; i += 4) {
		uint32_t v = 0;
		unsigned pad = 0;

		for (size_t k = i; k < i + 4; k++) {
			int d = value_of(text[k]);

			pad += d == 64;
			if (d < 0 || (d == 64 && (k < i + 2 || i + 4 < len)) ||
			    (d != 64 && pad > 0)) {
				free(out);
				return NULL;
			}
			v = v << 6 | (uint32_t)(d & 63);
		}
		out[n++] = (uint8_t)(v >> 16);
		if (pad < 2)
			out[n++] = (uint8_t)(v >> 8);
		if (pad < 1)
			out[n++] = (uint8_t)v;
	}
	*out_len = n;
	return out;
}

void
json_put_bytes(json_t *o, const char *name, const uint8_t *p, size_t len)
{
	json_t *j = json_stringn((const char *)p, len);
	char other[32];

	if (j != NULL) {
		(void)json_object_set_new(o, name, j);
		return;
	}
	(void)snprintf(other, sizeof(other), "%s_b64", name);
	(void)json_object_set_new(o, other, base64(p, len));
}

uint8_t *
json_get_bytes(const json_t *o, const char *name, size_t *len)
{
	const json_t *plain = json_object_get(o, name), *coded;
	char other[32];
	uint8_t *out;

	(void)snprintf(other, sizeof(other), "%s_b64", name);
	coded = json_object_get(o, other);
	if (json_is_string(coded) && plain == NULL)
		return unbase64(
		    json_string_value(coded), json_string_length(coded), len);
	if (!json_is_string(plain) || coded != NULL)
		return NULL;
	*len = json_string_length(plain);
	out = malloc(*len + 1);
	if (out != NULL)
		memcpy(out, json_string_value(plain), *len);
	return out;
}

json_t *
json_hex(const uint8_t *p, size_t len)
{
	char text[2 * 32 + 1];

	for (size_t i = 0; i < len && i < 32; i++)
		(void)snprintf(text + 2 * i, 3, "%02x", p[i]);
	return json_string(text);
}

json_t *
json_record(const struct image_record *r)
{
	json_t *o = json_object();

	json_put_bytes(o, "key", r->key, r->key_len);
	json_put_bytes(o, "value", r->value, r->value_len);
	(void)json_object_set_new(
	    o, "create_rev", json_integer((json_int_t)r->create_rev));
	(void)json_object_set_new(
	    o, "mod_rev", json_integer((json_int_t)r->mod_rev));
	(void)json_object_set_new(
	    o, "version", json_integer((json_int_t)r->version));
	return o;
}

void
json_print(json_t *o)
{
	(void)json_dumpf(o, stdout, JSON_COMPACT | JSON_PRESERVE_ORDER);
	(void)putchar('\n');
	json_decref(o);
}
