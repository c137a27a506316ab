#include <string.h>

#include "backendd/spool/spool.h"
#include "lib/wire.h"

/* Keys are the names in trash. */
static void
mark(struct spool *sp, const char *path, bool gone)
{
	if (gone)
		map_put(&sp->gone, slice_str(path), sp);
	else
		map_remove(&sp->gone, slice_str(path));
}

static void
mark_box(struct spool *sp, const char *id, bool gone)
{
	char path[SPOOL_PATH];

	redo_trash_box(path, id);
	mark(sp, path, gone);
}

static void
mark_data(struct spool *sp, const char *id, uint32_t no, bool gone)
{
	char path[SPOOL_PATH];

	redo_trash(path, id, no);
	mark(sp, path, gone);
}

static void
learn_write(struct spool *sp, const char *id, struct wire *w)
{
	uint8_t file = wire_u8(w);
	uint32_t no = wire_u32(w);

	(void)wire_u64(w);
	(void)wire_slice(w);
	if (file == SPOOL_DATA)
		mark_data(sp, id, no, false);
}

static void
learn_mailbox(char id[STORE_ID_MAX + 1], struct wire *w)
{
	struct slice s = wire_slice(w);

	if (s.len > STORE_ID_MAX)
		w->failed = true;
	if (w->failed)
		return;
	if (s.len > 0)
		memcpy(id, s.ptr, s.len);
	id[s.len] = '\0';
}

/* What is no part ends it: the replay says so. */
static void
learn_part(struct spool *sp, char id[STORE_ID_MAX + 1], struct wire *w)
{
	switch ((enum redo_part)wire_u8(w)) {
	case PART_MAILBOX:
		learn_mailbox(id, w);
		return;
	case PART_WRITE:
		learn_write(sp, id, w);
		return;
	case PART_CREATE:
		(void)wire_slice(w);
		(void)wire_slice(w);
		mark_box(sp, id, false);
		return;
	case PART_NAMES:
		(void)wire_slice(w);
		return;
	case PART_DESTROY:
		mark_box(sp, id, true);
		return;
	case PART_DROP:
		mark_data(sp, id, wire_u32(w), true);
		return;
	}
	w->failed = true;
}

void
gone_learn(struct spool *sp, struct slice record)
{
	char id[STORE_ID_MAX + 1] = "";
	struct wire w;

	wire_init(&w, record);
	while (!w.failed && w.rest.len > 0)
		learn_part(sp, id, &w);
}

void
gone_forget(struct spool *sp)
{
	map_fini(&sp->gone);
	map_init(&sp->gone);
}

bool
gone_has(const struct spool *sp, const char *id)
{
	char path[SPOOL_PATH];

	if (map_count(&sp->gone) == 0)
		return false;
	redo_trash_box(path, id);
	return map_find(&sp->gone, slice_str(path)) != NULL;
}

bool
gone_has_data(const struct spool *sp, const char *id, uint32_t no)
{
	char path[SPOOL_PATH];

	if (map_count(&sp->gone) == 0)
		return false;
	redo_trash(path, id, no);
	return map_find(&sp->gone, slice_str(path)) != NULL;
}
