#include <string.h>

#include "imap/mboxname.h"
#include "imap/mboxrec.h"
#include "lib/ascii.h"
#include "lib/buf.h"
#include "lib/err.h"
#include "lib/must.h"
#include "lib/wire.h"

enum {
	VERSION_FIXED = 1,
	VERSION = 2
};

/* Which fields a record has; in the order in which they are written. */
enum field {
	HAS_LOCATION = 1 << 0,
	HAS_ACL = 1 << 1,
	HAS_OWNER = 1 << 2,
	HAS_SPECIAL_USES = 1 << 3,
	HAS_TYPE = 1 << 4,
	HAS_PENDING = 1 << 5,
	HAS_REVISION = 1 << 6,
	HAS_GENERATION = 1 << 7,
	HAS_CREATED = 1 << 8,
	HAS_UIDVALIDITY = 1 << 9,
	HAS_SINCE = 1 << 10,
	HAS_MAILBOXID = 1 << 11,
	HAS_MAX = 1 << 12
};

/* --- writing --------------------------------------------------------------- */

static unsigned
fields_of(const struct mboxrec *r)
{
	return (r->location.len > 0 ? HAS_LOCATION : 0u) |
	       (r->acl.len > 0 ? HAS_ACL : 0u) |
	       (r->owner.len > 0 ? HAS_OWNER : 0u) |
	       (r->special_uses.len > 0 ? HAS_SPECIAL_USES : 0u) |
	       (r->type != 0 ? HAS_TYPE : 0u) |
	       (r->pending != 0 ? HAS_PENDING : 0u) |
	       (r->revision != 0 ? HAS_REVISION : 0u) |
	       (r->generation != 0 ? HAS_GENERATION : 0u) |
	       (r->created != 0 ? HAS_CREATED : 0u) |
	       (r->uidvalidity != 0 ? HAS_UIDVALIDITY : 0u) |
	       (r->since != 0 ? HAS_SINCE : 0u) |
	       (r->mailboxid.len > 0 ? HAS_MAILBOXID : 0u);
}

/* A little above or below comes out small: 0, -1, 1, -2, ... */
static uint64_t
fold(uint64_t difference)
{
	return difference << 1 ^ (difference >> 63 == 0 ? 0 : UINT64_MAX);
}

static uint64_t
unfold(uint64_t n)
{
	return n >> 1 ^ ((n & 1) == 0 ? 0 : UINT64_MAX);
}

static void
put_string(struct buf *b, struct slice s)
{
	if (s.len > 0)
		wire_put_packed_slice(b, s);
}

static void
put_number(struct buf *b, uint64_t n)
{
	if (n != 0)
		wire_put_packed(b, n);
}

void
mboxrec_put(struct buf *b, const struct mboxrec *r)
{
	MUST(r->state >= MBOXREC_RESERVED && r->state <= MBOXREC_MOVING);
	wire_put_u8(b, VERSION);
	wire_put_u8(b, (uint8_t)r->state);
	wire_put_packed(b, fields_of(r));
	put_string(b, r->location);
	put_string(b, r->acl);
	put_string(b, r->owner);
	put_string(b, r->special_uses);
	put_number(b, r->type);
	put_number(b, r->pending);
	put_number(b, r->revision);
	/* It was granted at a revision not long before this one. */
	if (r->generation != 0)
		wire_put_packed(b, fold(r->revision - r->generation));
	put_number(b, r->created);
	put_number(b, r->uidvalidity);
	put_number(b, r->since);
	put_string(b, r->mailboxid);
}

/* --- reading --------------------------------------------------------------- */

static void
read_fixed(struct mboxrec *r, struct wire *w)
{
	r->type = wire_u8(w);
	r->pending = wire_u8(w);
	r->uidvalidity = wire_u32(w);
	r->created = wire_u64(w);
	r->revision = wire_u64(w);
	r->location = wire_slice(w);
	r->acl = wire_slice(w);
	r->mailboxid = wire_slice(w);
	r->special_uses = wire_slice(w);
}

static void
read_string(struct slice *s, struct wire *w, uint64_t has)
{
	if (!has)
		return;
	*s = wire_packed_slice(w);
	w->failed = w->failed || s->len == 0;
}

static uint64_t
read_number(struct wire *w, uint64_t has, uint64_t max)
{
	uint64_t n = has ? wire_packed(w) : 0;

	w->failed = w->failed || (has && n == 0) || n > max;
	return w->failed ? 0 : n;
}

static void
read_fields(struct mboxrec *r, struct wire *w)
{
	uint64_t has = wire_packed(w);

	w->failed = w->failed || has >= HAS_MAX;
	read_string(&r->location, w, has & HAS_LOCATION);
	read_string(&r->acl, w, has & HAS_ACL);
	read_string(&r->owner, w, has & HAS_OWNER);
	read_string(&r->special_uses, w, has & HAS_SPECIAL_USES);
	r->type = (uint8_t)read_number(w, has & HAS_TYPE, UINT8_MAX);
	r->pending = (uint8_t)read_number(w, has & HAS_PENDING, UINT8_MAX);
	r->revision = read_number(w, has & HAS_REVISION, UINT64_MAX);
	if (has & HAS_GENERATION)
		r->generation = r->revision - unfold(wire_packed(w));
	r->created = read_number(w, has & HAS_CREATED, UINT64_MAX);
	r->uidvalidity =
	    (uint32_t)read_number(w, has & HAS_UIDVALIDITY, UINT32_MAX);
	r->since = read_number(w, has & HAS_SINCE, UINT64_MAX);
	read_string(&r->mailboxid, w, has & HAS_MAILBOXID);
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
	if (version == VERSION)
		read_fields(r, &w);
	else if (version == VERSION_FIXED)
		read_fixed(r, &w);
	else
		w.failed = true;
	if (w.failed || state < MBOXREC_RESERVED || state > MBOXREC_MOVING)
		return err_set(err, "not a mailbox's record");
	if (!wire_done(&w))
		return err_set(err, "a mailbox's record is too long");
	return 0;
}

bool
mboxrec_is_reserved(struct slice s)
{
	return s.len >= 2 && s.ptr[1] == MBOXREC_RESERVED;
}

bool
mboxrec_equal(const struct mboxrec *a, const struct mboxrec *b)
{
	return a->state == b->state && a->type == b->type &&
	       a->pending == b->pending && a->uidvalidity == b->uidvalidity &&
	       a->created == b->created && a->revision == b->revision &&
	       a->generation == b->generation && a->since == b->since &&
	       slice_equal(a->owner, b->owner) &&
	       slice_equal(a->location, b->location) &&
	       slice_equal(a->acl, b->acl) &&
	       slice_equal(a->mailboxid, b->mailboxid) &&
	       slice_equal(a->special_uses, b->special_uses);
}

bool
mboxrec_is_mailboxid(struct slice s)
{
	for (size_t i = 0; i < s.len; i++)
		if (!ascii_alnum(s.ptr[i]) && s.ptr[i] != '-' &&
		    s.ptr[i] != '_')
			return false;
	return s.len > 0;
}

bool
mboxrec_is_special_use(struct slice s)
{
	if (s.len < 2 || s.ptr[0] != '\\')
		return false;
	for (size_t i = 1; i < s.len; i++)
		if (s.ptr[i] <= ' ' || s.ptr[i] >= 0x7f ||
		    strchr("(){%*\"\\]", s.ptr[i]) != NULL)
			return false;
	return true;
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

/* What is to be found by a tag is what its users may see. */
static bool
shows(struct slice id, struct slice rights)
{
	return id.ptr[0] != '-' && slice_find(rights, 'l') < rights.len;
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
		struct slice id = slice_first(rest, end), rights;

		if (end == rest.len)
			break; /* no rights */
		rest = slice_skip(rest, end + 1);
		end = slice_find(rest, '\t');
		rights = slice_first(rest, end);
		rest = slice_skip(rest, end == rest.len ? end : end + 1);
		/* A tag is short and without NULs; no identifier that a user
		 * could have is otherwise. */
		if (id.len > 0 && id.len <= 255 &&
		    slice_find(id, '\0') == id.len && shows(id, rights) &&
		    !is_among(id, tags, n) && !is_owner(id, name))
			tags[n++] = id;
	}
	return n;
}
