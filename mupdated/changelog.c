#include <stdlib.h>

#include "lib/must.h"
#include "lib/xalloc.h"
#include "mupdated/changelog.h"

struct entry {
	uint64_t revision;
	uint32_t len;
	bool gone;
	uint8_t name[];
};

/* A ring; while it is filled at a start, a heap with the oldest on top. */
struct changelog {
	struct entry **entries;
	size_t max, size, head, count; /* size: of entries */
	uint64_t floor;
};

enum {
	SIZE_MIN = 64
};

struct changelog *
changelog_new(size_t max)
{
	struct changelog *c = xcalloc(1, sizeof(*c));

	MUST(max > 0);
	c->max = max;
	return c;
}

void
changelog_free(struct changelog **cp)
{
	struct changelog *c = *cp;

	if (c == NULL)
		return;
	changelog_reset(c, 0);
	free(c->entries);
	free(c);
	*cp = NULL;
}

static struct entry **
at(const struct changelog *c, size_t i)
{
	return &c->entries[(c->head + i) % c->size];
}

void
changelog_reset(struct changelog *c, uint64_t floor)
{
	for (size_t i = 0; i < c->count; i++)
		free(*at(c, i));
	c->head = c->count = 0;
	c->floor = floor;
}

static struct entry *
entry_new(const struct change *change)
{
	struct entry *e = xmalloc(sizeof(*e) + change->name.len);

	e->revision = change->revision;
	e->len = (uint32_t)change->name.len;
	e->gone = change->gone;
	if (change->name.len > 0)
		memcpy(e->name, change->name.ptr, change->name.len);
	return e;
}

static void
show(struct change *change, const struct entry *e)
{
	*change = (struct change){ .revision = e->revision,
		.name = slice_of(e->name, e->len),
		.gone = e->gone };
}

/* For one more. */
static void
grow(struct changelog *c)
{
	size_t size = c->size < SIZE_MIN ? SIZE_MIN : c->size * 2;
	struct entry **entries;

	if (c->count < c->size)
		return;
	if (size > c->max)
		size = c->max;
	entries = xcalloc(size, sizeof(struct entry *));
	for (size_t i = 0; i < c->count; i++)
		entries[i] = *at(c, i);
	free(c->entries);
	c->entries = entries;
	c->size = size;
	c->head = 0;
}

bool
changelog_next_drop(const struct changelog *c, struct change *oldest)
{
	if (c->count < c->max)
		return false;
	show(oldest, *at(c, 0));
	return true;
}

void
changelog_put(struct changelog *c, const struct change *change)
{
	if (c->count == c->max) {
		c->floor = (*at(c, 0))->revision;
		free(*at(c, 0));
		c->head = (c->head + 1) % c->size;
		c->count--;
	}
	grow(c);
	MUST(change->revision > c->floor);
	MUST(c->count == 0 ||
	     (*at(c, c->count - 1))->revision < change->revision);
	*at(c, c->count++) = entry_new(change);
}

void
changelog_take_back(struct changelog *c, uint64_t revision)
{
	if (c->count > 0 && (*at(c, c->count - 1))->revision == revision)
		free(*at(c, --c->count));
}

/* --- at a start ------------------------------------------------------------ */

static void
swap(struct changelog *c, size_t a, size_t b)
{
	struct entry *e = c->entries[a];

	c->entries[a] = c->entries[b];
	c->entries[b] = e;
}

static bool
older(const struct changelog *c, size_t a, size_t b)
{
	return c->entries[a]->revision < c->entries[b]->revision;
}

static void
sift_up(struct changelog *c, size_t i)
{
	while (i > 0 && older(c, i, (i - 1) / 2)) {
		swap(c, i, (i - 1) / 2);
		i = (i - 1) / 2;
	}
}

static void
sift_down(struct changelog *c)
{
	size_t i = 0;

	for (;;) {
		size_t least = i;

		for (size_t child = 2 * i + 1; child <= 2 * i + 2; child++)
			if (child < c->count && older(c, child, least))
				least = child;
		if (least == i)
			return;
		swap(c, i, least);
		i = least;
	}
}

void
changelog_offer(struct changelog *c, const struct change *change)
{
	MUST(c->head == 0);
	if (change->revision <= c->floor)
		return;
	if (c->count == c->max) {
		uint64_t oldest = c->entries[0]->revision;

		if (change->revision <= oldest) {
			c->floor = change->revision;
			return;
		}
		c->floor = oldest;
		free(c->entries[0]);
		c->entries[0] = entry_new(change);
		sift_down(c);
		return;
	}
	grow(c);
	c->entries[c->count] = entry_new(change);
	sift_up(c, c->count++);
}

static int
by_revision(const void *a, const void *b)
{
	const struct entry *x = *(struct entry *const *)a;
	const struct entry *y = *(struct entry *const *)b;

	return (x->revision > y->revision) - (x->revision < y->revision);
}

/* None is at or below the floor: that rose only over what went. */
void
changelog_sort(struct changelog *c)
{
	if (c->count > 0)
		qsort(c->entries, c->count, sizeof(struct entry *),
		    by_revision);
}

/* --- looking --------------------------------------------------------------- */

uint64_t
changelog_floor(const struct changelog *c)
{
	return c->floor;
}

bool
changelog_after(const struct changelog *c, uint64_t revision,
    struct change *change)
{
	size_t low = 0, high = c->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if ((*at(c, middle))->revision > revision)
			high = middle;
		else
			low = middle + 1;
	}
	if (low == c->count)
		return false;
	show(change, *at(c, low));
	return true;
}

size_t
changelog_count(const struct changelog *c)
{
	return c->count;
}
