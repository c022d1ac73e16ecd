/*
 * holder.c - holds packets of an NFQUEUE and lets them go when they are due.
 *
 * Packets of one link keep their order unless they are to be reordered: a
 * later one waits for the one before, as on a wire.
 */
#include "faults/holder.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <libnetfilter_queue/libnetfilter_queue.h>
#include <linux/netfilter.h>

#include "faults/queue.h"

#define HELD_MAX 65536	       /* packets; more pass at once */
#define KERNEL_QUEUE_MAX 65536 /* the default of 1024 loses bursts */
#define BUFFER_LEN (8u << 20)  /* of the netlink socket */
#define HEADER_LEN 128	       /* what is copied of each packet */
#define PACKET_LEN 65535       /* the same when it is changed or doubled */
#define REORDER_NS 5000000ull  /* how long one waits to be overtaken */
#define CONF_CHECK_MS 500
#define READS_MAX 64 /* of the socket in one turn */

struct held {
	uint64_t due_ns, order;
	uint32_t id;
};

struct holder {
	struct queue_table table;
	bool whole; /* packets are copied whole */
	struct nfq_handle *nfq;
	struct nfq_q_handle *queue;
	int raw_fd;
	uint64_t seed, order;
	uint64_t last_ns[LAB_SERVERS_MAX + 1][LAB_SERVERS_MAX + 1];
	uint64_t free_ns[LAB_SERVERS_MAX + 1][LAB_SERVERS_MAX + 1];
	size_t count;
	struct held heap[HELD_MAX];
	unsigned char copy[PACKET_LEN + 1];
	char message[PACKET_LEN + 4096];
};

static volatile sig_atomic_t got_hup, got_term;

static void
note_signal(int number)
{
	if (number == SIGHUP)
		got_hup = 1;
	else
		got_term = 1;
}

static uint64_t
now_ns(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* splitmix64 */
static uint64_t
draw(struct holder *h)
{
	uint64_t z = h->seed += 0x9e3779b97f4a7c15;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
	z = (z ^ z >> 27) * 0x94d049bb133111eb;
	return z ^ z >> 31;
}

static bool
happens(struct holder *h, uint32_t ppm)
{
	return ppm != 0 && draw(h) % 1000000 < ppm;
}

/* ---- the heap, by time and then by arrival ----------------------------- */

static bool
earlier(const struct held *a, const struct held *b)
{
	return a->due_ns != b->due_ns ? a->due_ns < b->due_ns
				      : a->order < b->order;
}

static void
swap(struct holder *h, size_t i, size_t j)
{
	struct held t = h->heap[i];

	h->heap[i] = h->heap[j];
	h->heap[j] = t;
}

static void
push(struct holder *h, uint64_t due_ns, uint32_t id)
{
	size_t i = h->count++;

	assert(i < HELD_MAX);
	h->heap[i] = (struct held){due_ns, h->order++, id};
	while (i > 0 && earlier(&h->heap[i], &h->heap[(i - 1) / 2])) {
		swap(h, i, (i - 1) / 2);
		i = (i - 1) / 2;
	}
}

static uint32_t
pop(struct holder *h)
{
	uint32_t id = h->heap[0].id;
	size_t i = 0;

	assert(h->count > 0);
	h->heap[0] = h->heap[--h->count];
	for (;;) {
		size_t least = i, left = 2 * i + 1;

		for (size_t c = left; c < left + 2 && c < h->count; c++)
			if (earlier(&h->heap[c], &h->heap[least]))
				least = c;
		if (least == i)
			return id;
		swap(h, i, least);
		i = least;
	}
}

/* ---- bytes of packets -------------------------------------------------- */

static uint32_t
add_words(uint32_t sum, const unsigned char *p, size_t len)
{
	for (size_t i = 0; i + 1 < len; i += 2)
		sum += (uint32_t)p[i] << 8 | p[i + 1];
	if (len % 2 != 0)
		sum += (uint32_t)p[len - 1] << 8;
	while (sum >> 16 != 0)
		sum = (sum & 0xffff) + (sum >> 16);
	return sum;
}

/*
 * Change one byte of the data of a TCP or UDP packet and mend the checksum,
 * so that the receiver's kernel takes it for good.  False: no data in it.
 */
static bool
corrupt(struct holder *h, unsigned char *p, size_t len)
{
	size_t ip_len, head, at, sum_at;
	uint32_t sum;
	size_t data;

	if (len < sizeof(struct iphdr) || p[0] >> 4 != 4)
		return false;
	ip_len = (size_t)(p[0] & 15) * 4;
	if (p[9] == IPPROTO_TCP && len >= ip_len + sizeof(struct tcphdr)) {
		head = ip_len + (size_t)(p[ip_len + 12] >> 4) * 4;
		sum_at = ip_len + 16;
	} else if (p[9] == IPPROTO_UDP &&
		   len >= ip_len + sizeof(struct udphdr)) {
		head = ip_len + sizeof(struct udphdr);
		sum_at = ip_len + 6;
	} else {
		return false;
	}
	if (ip_len < sizeof(struct iphdr) || head >= len)
		return false;
	data = len - head;
	at = head + draw(h) % data;
	p[at] ^= (unsigned char)(1 + draw(h) % 255);
	p[sum_at] = p[sum_at + 1] = 0;
	/* addresses, protocol, length: the pseudo header */
	sum = add_words(0, p + 12, 8) + p[9] + (uint32_t)(len - ip_len);
	sum = add_words(sum, p + ip_len, len - ip_len);
	sum = ~sum & 0xffff;
	if (sum == 0)
		sum = 0xffff;
	p[sum_at] = (unsigned char)(sum >> 8);
	p[sum_at + 1] = (unsigned char)sum;
	return true;
}

static void
send_again(struct holder *h, const unsigned char *p, size_t len)
{
	struct sockaddr_in to = {.sin_family = AF_INET};

	if (h->raw_fd < 0 || len < sizeof(struct iphdr))
		return;
	memcpy(&to.sin_addr, p + 16, 4);
	(void)sendto(h->raw_fd, p, len, MSG_DONTWAIT,
	    (const struct sockaddr *)&to, sizeof(to));
}

/* ---- one packet -------------------------------------------------------- */

static uint64_t
due(struct holder *h, unsigned from, unsigned to, size_t len)
{
	const struct queue_link *l = &h->table.link[from][to];
	uint64_t now = now_ns(), at = now + l->delay_us * 1000;

	if (l->jitter_us > 0)
		at += draw(h) % (2 * l->jitter_us * 1000) - l->jitter_us * 1000;
	if (l->rate_bits > 0) {
		uint64_t *idle = &h->free_ns[from][to];

		*idle = *idle > now ? *idle : now;
		*idle += (uint64_t)len * 8 * 1000000000 / l->rate_bits;
		at += *idle - now;
	}
	if (happens(h, l->reorder_ppm))
		return at + REORDER_NS;
	if (at < h->last_ns[from][to])
		at = h->last_ns[from][to];
	h->last_ns[from][to] = at;
	return at;
}

static int
packet_cb(struct nfq_q_handle *queue, struct nfgenmsg *message,
    struct nfq_data *data, void *ctx)
{
	struct nfqnl_msg_packet_hdr *header = nfq_get_msg_packet_hdr(data);
	uint32_t mark = nfq_get_nfmark(data), id;
	unsigned from = mark >> 8 & 0xff, to = mark & 0xff;
	struct holder *h = ctx;
	const struct queue_link *l;
	unsigned char *p;
	uint64_t at;
	int len;

	(void)message;
	if (header == NULL)
		return 0;
	id = ntohl(header->packet_id);
	len = nfq_get_payload(data, &p);
	if (len < (int)sizeof(struct iphdr) || from > LAB_SERVERS_MAX ||
	    to > LAB_SERVERS_MAX || h->count == HELD_MAX)
		return nfq_set_verdict(queue, id, NF_ACCEPT, 0, NULL);
	l = &h->table.link[from][to];
	at = due(h, from, to, (size_t)p[2] << 8 | p[3]);
	if (h->whole && happens(h, l->dup_ppm))
		send_again(h, p, (size_t)len);
	if (h->whole && happens(h, l->corrupt_ppm)) {
		memcpy(h->copy, p, (size_t)len);
		if (corrupt(h, h->copy, (size_t)len))
			/* changed ones do not wait: the copy is not kept */
			return nfq_set_verdict(
			    queue, id, NF_ACCEPT, (uint32_t)len, h->copy);
	}
	if (at <= now_ns())
		return nfq_set_verdict(queue, id, NF_ACCEPT, 0, NULL);
	push(h, at, id);
	return 0;
}

static void
release(struct holder *h, bool all)
{
	uint64_t now = now_ns();

	while (h->count > 0 && (all || h->heap[0].due_ns <= now))
		(void)nfq_set_verdict(h->queue, pop(h), NF_ACCEPT, 0, NULL);
}

/* ---- the loop ---------------------------------------------------------- */

static int
read_conf(struct holder *h, const char *conf)
{
	unsigned from, to;
	struct queue_link l;
	FILE *f = fopen(conf, "re");

	if (f == NULL)
		return -errno;
	memset(&h->table, 0, sizeof(h->table));
	h->whole = false;
	while (fscanf(f,
		   "%u %u %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu32
		   " %" SCNu32 " %" SCNu32,
		   &from, &to, &l.delay_us, &l.jitter_us, &l.rate_bits,
		   &l.dup_ppm, &l.reorder_ppm, &l.corrupt_ppm) == 8) {
		if (from > LAB_SERVERS_MAX || to > LAB_SERVERS_MAX)
			continue;
		h->table.link[from][to] = l;
		if (l.dup_ppm > 0 || l.corrupt_ppm > 0)
			h->whole = true;
	}
	(void)fclose(f);
	return 0;
}

/* Whole packets come with checksums made and not joined to large ones. */
static int
set_mode(struct holder *h)
{
	uint32_t gso = NFQA_CFG_F_GSO;

	if (nfq_set_mode(h->queue, NFQNL_COPY_PACKET,
		h->whole ? PACKET_LEN : HEADER_LEN) < 0)
		return -errno;
	return nfq_set_queue_flags(h->queue, gso, h->whole ? 0 : gso) < 0
		   ? -errno
		   : 0;
}

static int
open_queue(struct holder *h, unsigned number)
{
	const int one = 1, mark = (int)QUEUE_MARK_OURS;

	h->nfq = nfq_open();
	if (h->nfq == NULL)
		return -errno;
	h->queue = nfq_create_queue(h->nfq, (uint16_t)number, packet_cb, h);
	if (h->queue == NULL)
		return -EPERM;
	(void)nfq_set_queue_maxlen(h->queue, KERNEL_QUEUE_MAX);
	(void)nfnl_rcvbufsiz(nfq_nfnlh(h->nfq), BUFFER_LEN);
	(void)setsockopt(
	    nfq_fd(h->nfq), SOL_NETLINK, NETLINK_NO_ENOBUFS, &one, sizeof(one));
	h->raw_fd = socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_RAW);
	if (h->raw_fd >= 0 &&
	    setsockopt(h->raw_fd, SOL_SOCKET, SO_MARK, &mark, sizeof(mark)) < 0)
		return -errno;
	return set_mode(h);
}

static void
turn(struct holder *h)
{
	struct timespec wait = {0, CONF_CHECK_MS * 1000000};
	struct pollfd p = {.fd = nfq_fd(h->nfq), .events = POLLIN};
	uint64_t now;

	if (h->count > 0) {
		now = now_ns();
		wait.tv_nsec =
		    h->heap[0].due_ns <= now ? 0
		    : h->heap[0].due_ns - now >= (uint64_t)wait.tv_nsec
			? wait.tv_nsec
			: (long)(h->heap[0].due_ns - now);
	}
	if (ppoll(&p, 1, &wait, NULL) == 1)
		for (int i = 0; i < READS_MAX; i++) {
			ssize_t n = recv(
			    p.fd, h->message, sizeof(h->message), MSG_DONTWAIT);

			if (n <= 0)
				break;
			(void)nfq_handle_packet(h->nfq, h->message, (int)n);
		}
	release(h, false);
}

int
holder_run(const char *conf, unsigned number, int ready_fd)
{
	struct sigaction act = {.sa_handler = note_signal};
	struct holder *h = calloc(1, sizeof(*h));
	uint64_t checked = 0;
	int ret;

	if (h == NULL)
		return -ENOMEM;
	h->raw_fd = -1;
	h->seed = now_ns();
	(void)sigaction(SIGHUP, &act, NULL);
	(void)sigaction(SIGTERM, &act, NULL);
	ret = read_conf(h, conf);
	if (ret == 0)
		ret = open_queue(h, number);
	if (ret == 0 && write(ready_fd, "r", 1) != 1)
		ret = -EPIPE;
	(void)close(ready_fd);
	while (ret == 0 && !got_term) {
		if (got_hup) {
			got_hup = 0;
			(void)read_conf(h, conf);
			(void)set_mode(h);
		}
		if (now_ns() - checked > CONF_CHECK_MS * 1000000ull) {
			checked = now_ns();
			if (access(conf, F_OK) < 0)
				break;
		}
		turn(h);
	}
	if (h->queue != NULL)
		release(h, true);
	/* the rest of it ends with the process, which is now */
	return ret;
}
