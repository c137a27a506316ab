#include "imap/mboxname.h"
#include "imap/mboxrec.h"
#include "lib/buf.h"
#include "lib/err.h"
#include "lib/must.h"
#include "lib/wire.h"

enum {
	VERSION = 1
};

void
mboxrec_put(struct buf *b, const struct mboxrec *r)
{
	MUST(r->state >= MBOXREC_RESERVED && r->state <= MBOXREC_MOVING);
	wire_put_u8(b, VERSION);
	wire_put_u8(b, (uint8_t)r->state);
	wire_put_u8(b, r->type);
	wire_put_u8(b, r->pending);
	wire_put_u32(b, r->uidvalidity);
	wire_put_u64(b, r->created);
	wire_put_u64(b, r->revision);
	wire_put_slice(b, r->location);
	wire_put_slice(b, r->acl);
	wire_put_slice(b, r->mailboxid);
	wire_put_slice(b, r->special_uses);
}

int
mboxrec_parse(struct mboxrec *r, struct slice s, struct err *err)
{
	uint8_t version, state;
	struct wire w;

	wire_init(&w, s);
	version = wire_u8(&w);
	state = wire_u8(&w);
	*r = (struct mboxrec){ .state = (enum mboxrec_state)state };
	r->type = wire_u8(&w);
	r->pending = wire_u8(&w);
	r->uidvalidity = wire_u32(&w);
	r->created = wire_u64(&w);
	r->revision = wire_u64(&w);
	r->location = wire_slice(&w);
	r->acl = wire_slice(&w);
	r->mailboxid = wire_slice(&w);
	r->special_uses = wire_slice(&w);
	if (w.failed || version != VERSION || state < MBOXREC_RESERVED ||
	    state > MBOXREC_MOVING)
		return err_set(err, "not a mailbox's record");
	if (!wire_done(&w))
		return err_set(err, "a mailbox's record is too long");
	return 0;
}

bool
mboxrec_equal(const struct mboxrec *a, const struct mboxrec *b)
{
	return a->state == b->state && a->type == b->type &&
	       a->pending == b->pending && a->uidvalidity == b->uidvalidity &&
	       a->created == b->created && a->revision == b->revision &&
	       slice_equal(a->location, b->location) &&
	       slice_equal(a->acl, b->acl) &&
	       slice_equal(a->mailboxid, b->mailboxid) &&
	       slice_equal(a->special_uses, b->special_uses);
}

struct slice
mboxrec_host(struct slice location)
{
	return slice_first(location, slice_find(location, '!'));
}

struct slice
mboxrec_partition(struct slice location)
{
	size_t at = slice_find(location, '!');

	return slice_skip(location, at == location.len ? at : at + 1);
}

static bool
is_among(struct slice s, const struct slice *among, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (slice_equal(s, among[i]))
			return true;
	return false;
}

/* Whatever the layout: no name is one user's in one and another's in another. */
static bool
is_owner(struct slice id, struct slice name)
{
	struct mboxname_layout layout = mboxname_layout_default;

	if (mboxname_is_owned_by(&layout, name, id))
		return true;
	layout.virtual_domains = true;
	return mboxname_is_owned_by(&layout, name, id);
}

/* An identifier is every other of the strings between TABs. */
size_t
mboxrec_tags(const struct mboxrec *r, struct slice name, struct slice *tags,
    size_t max)
{
	struct slice rest = r->acl;
	size_t n = 0;

	while (rest.len > 0 && n < max) {
		size_t end = slice_find(rest, '\t');
		struct slice id = slice_first(rest, end);

		if (end == rest.len)
			break; /* no rights */
		rest = slice_skip(rest, end + 1);
		end = slice_find(rest, '\t');
		rest = slice_skip(rest, end == rest.len ? end : end + 1);
		/* A tag is short and without NULs; no identifier that a user
		 * could have is otherwise. */
		if (id.len > 0 && id.len <= 255 &&
		    slice_find(id, '\0') == id.len && !is_among(id, tags, n) &&
		    !is_owner(id, name))
			tags[n++] = id;
	}
	return n;
}
