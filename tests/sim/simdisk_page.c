/*
 * simdisk_page.c - the bytes of a simulated disk.
 */
#include "tests/sim/simdisk_inside.h"

uint8_t *
buffer_new(struct simdisk *d)
{
	if (d->pool_count > 0)
		return d->pool[--d->pool_count];
	d->memory += SIMDISK_PAGE;
	return must(malloc(SIMDISK_PAGE));
}

static void
buffer_free(struct simdisk *d, uint8_t *b)
{
	if (b == NULL)
		return;
	if (d->pool_count == d->pool_cap) {
		d->pool_cap = d->pool_cap == 0 ? 64 : d->pool_cap * 2;
		d->pool =
		    must(realloc(d->pool, d->pool_cap * sizeof(d->pool[0])));
	}
	d->pool[d->pool_count++] = b;
}

bool
is_zero(const uint8_t *p, size_t len)
{
	return len == 0 || (p[0] == 0 && memcmp(p, p + 1, len - 1) == 0);
}

struct page *
page_at(struct inode *n, size_t i)
{
	if (i >= n->pages) {
		size_t pages = n->pages == 0 ? 16 : n->pages;

		while (pages <= i)
			pages *= 2;
		n->page = must(realloc(n->page, pages * sizeof(n->page[0])));
		memset(n->page + n->pages, 0,
		    (pages - n->pages) * sizeof(n->page[0]));
		n->pages = pages;
	}
	return &n->page[i];
}

static void
page_list(struct inode *n, size_t i)
{
	struct page *p = &n->page[i];

	if (p->listed)
		return;
	p->listed = true;
	if (n->dirty_count == n->dirty_cap) {
		n->dirty_cap = n->dirty_cap == 0 ? 16 : n->dirty_cap * 2;
		n->dirty =
		    must(realloc(n->dirty, n->dirty_cap * sizeof(n->dirty[0])));
	}
	n->dirty[n->dirty_count++] = (uint32_t)i;
}

/* Before a sector changes: keep what was durable of it. */
static void
sector_dirty(struct simdisk *d, struct inode *n, size_t i, unsigned sector)
{
	struct page *p = page_at(n, i);
	uint8_t bit = (uint8_t)(1u << sector);
	size_t at = sector * SIMDISK_SECTOR;

	if (p->lost & bit) {
		/* Written anew after a failed sync: a sync counts again, and
		 * what is durable is still what it was. */
		p->lost &= (uint8_t)~bit;
		page_list(n, i);
		return;
	}
	if (p->dirty & bit)
		return;
	p->dirty |= bit;
	page_list(n, i);
	if (p->now == NULL && p->old == NULL)
		return; /* zeroes on both sides so far */
	if (p->old == NULL) {
		p->old = buffer_new(d);
		memset(p->old, 0, SIMDISK_PAGE);
	}
	if (p->now != NULL)
		memcpy(p->old + at, p->now + at, SIMDISK_SECTOR);
	else
		memset(p->old + at, 0, SIMDISK_SECTOR);
}

/* Within one page. */
void
page_write(struct simdisk *d, struct inode *n, size_t i, size_t at,
    const uint8_t *src, size_t len)
{
	struct page *p = page_at(n, i);

	if (p->now == NULL && is_zero(src, len))
		return;
	for (unsigned s = (unsigned)(at / SIMDISK_SECTOR);
	     s <= (at + len - 1) / SIMDISK_SECTOR; s++)
		sector_dirty(d, n, i, s);
	if (p->now == NULL) {
		p->now = buffer_new(d);
		memset(p->now, 0, SIMDISK_PAGE);
	}
	memcpy(p->now + at, src, len);
}

static void
page_drop(struct simdisk *d, struct page *p)
{
	buffer_free(d, p->now);
	buffer_free(d, p->old);
	p->now = p->old = NULL;
	p->dirty = p->lost = 0;
}

/* What was written is durable now. */
void
inode_synced(struct simdisk *d, struct inode *n, bool fails)
{
	size_t keep = 0;

	for (size_t k = 0; k < n->dirty_count; k++) {
		uint32_t i = n->dirty[k];
		struct page *p = &n->page[i];

		if (fails)
			p->lost |= p->dirty;
		else
			p->dirty &= p->lost;
		if (p->dirty != 0) {
			n->dirty[keep++] = i;
			continue;
		}
		buffer_free(d, p->old);
		p->old = NULL;
		p->listed = false;
	}
	n->dirty_count = keep;
	if (!fails)
		n->durable_size = n->size;
}

/* Everything beyond size reads as zeroes, should the file grow again. */
void
inode_cut(struct simdisk *d, struct inode *n, uint64_t size)
{
	static const uint8_t zeroes[SIMDISK_PAGE];
	size_t i = size / SIMDISK_PAGE, at = size % SIMDISK_PAGE;

	if (at != 0 && i < n->pages)
		page_write(d, n, i++, at, zeroes, SIMDISK_PAGE - at);
	for (; i < n->pages; i++)
		if (n->page[i].now != NULL)
			page_write(d, n, i, 0, zeroes, SIMDISK_PAGE);
}

/* Power fails: each sector that was not synced is the old or the new one. */
void
inode_crash(struct simdisk *d, struct inode *n)
{
	/* Most crashes are total or leave a torn edge: draw how likely a
	 * sector is to have reached the platter. */
	static const uint32_t chance[] = {0, 1000000, 500000, 100000, 900000};
	uint32_t ppm =
	    chance[prng_below(&d->prng, sizeof(chance) / sizeof(chance[0]))];

	for (size_t k = 0; k < n->dirty_count; k++) {
		struct page *p = &n->page[n->dirty[k]];

		for (unsigned s = 0; s < PAGE_SECTORS; s++) {
			uint8_t bit = (uint8_t)(1u << s);
			size_t at = s * SIMDISK_SECTOR;

			if (!(p->dirty & bit))
				continue;
			if (!(p->lost & bit) && prng_ppm(&d->prng, ppm)) {
				d->stat.sectors_kept++;
				continue;
			}
			d->stat.sectors_lost++;
			if (p->old != NULL)
				memcpy(
				    p->now + at, p->old + at, SIMDISK_SECTOR);
			else if (p->now != NULL)
				memset(p->now + at, 0, SIMDISK_SECTOR);
		}
		buffer_free(d, p->old);
		p->old = NULL;
		p->dirty = p->lost = 0;
		p->listed = false;
	}
	n->dirty_count = 0;
	if (n->size != n->durable_size && prng_ppm(&d->prng, 500000))
		n->size = n->durable_size;
	inode_cut(d, n, n->size);
	inode_synced(d, n, false);
}

struct inode *
inode_ref(struct inode *n)
{
	if (n != NULL)
		n->refs++;
	return n;
}

void
inode_unref(struct simdisk *d, struct inode *n)
{
	if (n == NULL || --n->refs > 0)
		return;
	for (size_t i = 0; i < n->pages; i++)
		page_drop(d, &n->page[i]);
	free(n->page);
	free(n->dirty);
	free(n);
}
