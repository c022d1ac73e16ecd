/*
 * fuzz_conf.c - a configuration file, or a command line, of any bytes.
 *
 * The first byte tells which; the words of a command line end with NUL.
 * What conf_judge() lets through must be within the limits of the table, and
 * made of addresses that can be read.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "raftd/conf.h"
#include "raftd/net.h"

#define WORDS_MAX 24

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
must(bool condition)
{
	if (!condition)
		abort();
}

static void
check_address(const char *text)
{
	struct net_addr addr;

	must(net_addr_parse(text, &addr, NULL) == 0);
	must(strcmp(addr.text, text) == 0);
}

static void
check(const struct conf *c)
{
	must(c->id >= 1 && c->id <= INT64_MAX);
	must(c->dir[0] != '\0' && memchr(c->dir, '\0', sizeof(c->dir)));
	must(c->name[0] != '\0' && memchr(c->name, '\0', sizeof(c->name)));
	must(memchr(c->cluster, '\0', sizeof(c->cluster)));
	check_address(c->peer);
	must(c->client_count >= 1 && c->client_count <= CONF_CLIENTS_MAX);
	for (unsigned i = 0; i < c->client_count; i++)
		check_address(c->client[i]);
	must(c->bootstrap_count <= HOST_MEMBERS_MAX);
	for (unsigned i = 0; i < c->bootstrap_count; i++) {
		must(c->bootstrap[i].id != 0);
		check_address(c->bootstrap[i].address);
		for (unsigned k = 0; k < i; k++)
			must(c->bootstrap[k].id != c->bootstrap[i].id);
	}
	for (size_t i = 0; i < conf_settings_count(); i++) {
		const struct conf_setting *s = &conf_settings[i];
		uint64_t n;

		if ((s->type != CONF_NUMBER && s->type != CONF_DURATION &&
			s->type != CONF_SIZE) ||
		    c->source[i] == CONF_DEFAULT)
			continue;
		memcpy(&n, (const char *)c + s->offset, sizeof(n));
		must(n >= s->min && n <= s->max);
	}
	must(c->election_ns >= 2 * c->heartbeat_ns);
}

static int
command_line(struct conf *c, char *text, size_t len, struct errtext *et)
{
	char *argv[WORDS_MAX + 2], name[] = "raftd";
	int argc = 0;

	argv[argc++] = name;
	for (size_t at = 0; at < len && argc <= WORDS_MAX;
	     at += strlen(text + at) + 1)
		argv[argc++] = text + at;
	argv[argc] = NULL;
	return conf_options(c, argc, argv, et);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct errtext et = {""};
	struct conf c;
	char *text;
	int ret;

	if (size == 0)
		return 0;
	text = malloc(size);
	must(text != NULL);
	memcpy(text, data + 1, size - 1);
	text[size - 1] = '\0';
	conf_init(&c);
	if (data[0] == 'a')
		ret = command_line(&c, text, size - 1, &et);
	else
		ret = conf_text(&c, "f", text, size - 1, &et);
	must(ret == 0 || et.text[0] != '\0');
	if (ret == 0 && conf_judge(&c, &et) == 0)
		check(&c);
	free(text);
	return 0;
}
