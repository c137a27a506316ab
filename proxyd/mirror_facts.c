#include <string.h>

#include "lib/buf.h"
#include "lib/must.h"
#include "lib/treedb.h"
#include "lib/wire.h"
#include "proxyd/mirror_facts.h"

#define FACT_POSITION "position"

enum {
	FACT_MAX = 256 /* octets */
};

int
facts_get(struct treedb *list, const char *fact, uint64_t *n, struct err *err)
{
	struct buf b;
	struct wire w;
	int got;

	buf_init(&b, FACT_MAX);
	got = treedb_get_fact(list, fact, &b, err);
	wire_init(&w, buf_slice(&b));
	*n = wire_u64(&w);
	buf_fini(&b);
	return got == -1 ? -1 : 0;
}

int
facts_put(struct treedb *list, const char *fact, uint64_t n, struct err *err)
{
	struct buf b;
	int rc;

	buf_init(&b, FACT_MAX);
	wire_put_u64(&b, n);
	rc = treedb_put_fact(list, fact, buf_slice(&b), err);
	buf_fini(&b);
	return rc;
}

static void
note(struct mirror_status *st, struct slice epoch, uint64_t revision)
{
	MUST(epoch.len <= MIRROR_EPOCH_MAX);
	if (epoch.len > 0)
		memcpy(st->epoch, epoch.ptr, epoch.len);
	st->epoch[epoch.len] = '\0';
	st->revision = revision;
}

int
facts_get_position(struct treedb *list, struct mirror_status *st,
    struct err *err)
{
	struct slice epoch;
	uint64_t revision;
	struct buf b;
	struct wire w;
	int got;

	buf_init(&b, FACT_MAX);
	got = treedb_get_fact(list, FACT_POSITION, &b, err);
	wire_init(&w, buf_slice(&b));
	epoch = wire_slice(&w);
	revision = wire_u64(&w);
	if (wire_done(&w) && epoch.len <= MIRROR_EPOCH_MAX)
		note(st, epoch, revision);
	else
		note(st, slice_of(NULL, 0), 0);
	buf_fini(&b);
	return got == -1 ? -1 : 0;
}

int
facts_put_position(struct treedb *list, struct slice epoch, uint64_t revision,
    struct mirror_status *st, struct err *err)
{
	struct buf b;
	int rc;

	buf_init(&b, FACT_MAX);
	wire_put_slice(&b, epoch);
	wire_put_u64(&b, revision);
	rc = treedb_put_fact(list, FACT_POSITION, buf_slice(&b), err);
	buf_fini(&b);
	if (rc == 0)
		note(st, epoch, revision);
	return rc;
}
