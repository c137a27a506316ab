#include "lib/buf.h"
#include "lib/err.h"
#include "lib/must.h"
#include "lib/wire.h"
#include "mupdated/runs.h"

static void
make_room(struct runs *r)
{
	if (r->count < RUNS_MAX)
		return;
	r->run[1].first = r->run[0].first;
	memmove(&r->run[0], &r->run[1], (r->count - 1) * sizeof(r->run[0]));
	r->count--;
}

uint64_t
runs_begin(struct runs *r, uint64_t least, uint64_t wall_ms)
{
	uint64_t first = wall_ms << RUNS_MS_BITS;

	if (r->count > 0 && r->run[r->count - 1].last >= least)
		least = r->run[r->count - 1].last + 1;
	if (first < least)
		first = least;
	make_room(r);
	r->run[r->count++] = (struct run){ first, first };
	return first;
}

void
runs_gave(struct runs *r, uint64_t revision)
{
	MUST(r->count > 0 && r->run[r->count - 1].last < revision);
	r->run[r->count - 1].last = revision;
}

bool
runs_know(const struct runs *r, uint64_t revision)
{
	size_t low = 0, high = r->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (revision < r->run[middle].first)
			high = middle;
		else if (revision > r->run[middle].last)
			low = middle + 1;
		else
			return true;
	}
	return false;
}

/* Once there are as many runs as can be there will always be. */
bool
runs_know_well(const struct runs *r, uint64_t revision)
{
	bool joined = r->count == RUNS_MAX && revision <= r->run[0].last;

	return !joined && runs_know(r, revision);
}

void
runs_put(struct buf *b, const struct runs *r)
{
	for (size_t i = 0; i < r->count; i++) {
		wire_put_u64(b, r->run[i].first);
		wire_put_u64(b, r->run[i].last);
	}
}

int
runs_parse(struct runs *r, struct slice s, struct err *err)
{
	uint64_t before = 0;
	struct wire w;

	r->count = 0;
	wire_init(&w, s);
	while (w.rest.len > 0 && r->count < RUNS_MAX) {
		struct run *run = &r->run[r->count++];

		run->first = wire_u64(&w);
		run->last = wire_u64(&w);
		if (w.failed || run->first > run->last || run->first < before)
			return err_set(err, "damaged record of runs");
		before = run->last;
	}
	return wire_done(&w) ? 0 : err_set(err, "too many runs");
}
