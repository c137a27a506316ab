#include "imap/mboxname.h"
#include "imap/utf7.h"
#include "lib/arena.h"
#include "lib/ascii.h"
#include "lib/buf.h"
#include "lib/must.h"
#include "lib/utf8.h"

enum {
	UTF7_MAX = 4096, /* octets of an external name, either way */
	TEXT_MAX = 1024, /* an internal name, a prefix and a domain */
	KEY_LEVEL = 0x1f,
	KEY_DOMAIN = 0x1d
};

const struct mboxname_layout mboxname_layout_default = {
	.separator = '/',
	.altnamespace = true,
	.others = "Other Users",
	.shared = "Shared Folders",
	.domain = "",
};

/* A name being built; failure sticks. */
struct text {
	uint8_t octets[TEXT_MAX];
	size_t n;
	const char *why;
};

static void
fail(struct text *t, const char *why)
{
	if (t->why == NULL)
		t->why = why;
}

static void
putc_to(struct text *t, uint8_t c)
{
	if (t->n == TEXT_MAX)
		fail(t, "Mailbox name too long");
	else
		t->octets[t->n++] = c;
}

static void
put(struct text *t, struct slice s)
{
	for (size_t i = 0; i < s.len; i++)
		putc_to(t, s.ptr[i]);
}

static struct slice
slice_to(const struct text *t)
{
	return slice_of(t->octets, t->n);
}

/* ---- internal names ---- */

struct slice
mboxname_domain(struct slice name)
{
	size_t n = slice_find(name, '!');

	return slice_first(name, n < name.len ? n : 0);
}

struct slice
mboxname_local(struct slice name)
{
	size_t n = slice_find(name, '!');

	return n < name.len ? slice_skip(name, n + 1) : name;
}

/* The levels, taken off the front one by one; false after the last. */
static bool
take_level(struct slice *rest, uint8_t separator, struct slice *level)
{
	size_t n;

	if (rest->ptr == NULL)
		return false;
	n = slice_find(*rest, separator);
	*level = slice_first(*rest, n);
	*rest = n < rest->len ? slice_skip(*rest, n + 1) : slice_of(NULL, 0);
	return true;
}

static struct slice
first_level(struct slice s, uint8_t separator)
{
	return slice_first(s, slice_find(s, separator));
}

static bool
in_user_tree(struct slice local)
{
	return slice_starts(local, slice_str("user."));
}

static bool
domain_valid(struct slice domain)
{
	for (size_t i = 0; i < domain.len; i++) {
		uint8_t c = domain.ptr[i];

		if (!ascii_alnum(c) && c != '-' && c != '.' && c != '_')
			return false;
	}
	return domain.len > 0 && domain.ptr[0] != '.' &&
	       domain.ptr[domain.len - 1] != '.';
}

static bool
is_forbidden(uint8_t c)
{
	return c == '%' || c == '*' || c == '!' || c == '/' || c == '\0';
}

static const char *
local_invalid(struct slice local)
{
	struct slice rest = local, level;

	if (local.len == 0)
		return "Empty mailbox name";
	while (take_level(&rest, '.', &level))
		if (level.len == 0)
			return "Empty level in mailbox name";
	for (size_t i = 0; i < local.len; i++)
		if (is_forbidden(local.ptr[i]))
			return "Invalid character in mailbox name";
	if (!utf7_valid(local))
		return "Mailbox name is not modified UTF-7";
	if (slice_is(local, "user"))
		return "That is no mailbox but a prefix of names";
	return NULL;
}

const char *
mboxname_invalid(struct slice name)
{
	struct slice local = mboxname_local(name);

	if (name.len > MBOXNAME_MAX)
		return "Mailbox name too long";
	if (local.len < name.len && !domain_valid(mboxname_domain(name)))
		return "Invalid domain";
	return local_invalid(local);
}

bool
mboxname_is_inbox(struct slice name)
{
	struct slice local = mboxname_local(name);

	return in_user_tree(local) && local.len > 5 &&
	       slice_find(slice_skip(local, 5), '.') == local.len - 5;
}

bool
mboxname_is_tomb(struct slice name)
{
	return slice_starts(mboxname_local(name), slice_str("DELETED."));
}

struct slice
mboxname_parent(struct slice name)
{
	struct slice local = mboxname_local(name);
	size_t n = slice_rfind(local, '.');

	if (n == local.len || slice_is(slice_first(local, n), "user"))
		return slice_first(name, 0);
	return slice_first(name, name.len - local.len + n);
}

bool
mboxname_is_below(struct slice name, struct slice ancestor)
{
	return name.len > ancestor.len && slice_starts(name, ancestor) &&
	       name.ptr[ancestor.len] == '.' &&
	       slice_equal(mboxname_domain(name), mboxname_domain(ancestor));
}

struct slice
mboxname_rebase(struct arena *a, struct slice name, struct slice from,
    struct slice to)
{
	struct slice tail;
	uint8_t *out;

	MUST(slice_equal(name, from) || mboxname_is_below(name, from));
	tail = slice_skip(name, from.len);
	if (tail.len + to.len > MBOXNAME_MAX)
		return slice_of(NULL, 0);
	out = arena_alloc(a, to.len + tail.len + 1);
	if (to.len > 0)
		memcpy(out, to.ptr, to.len);
	if (tail.len > 0)
		memcpy(out + to.len, tail.ptr, tail.len);
	return slice_of(out, to.len + tail.len);
}

static uint8_t
key_octet(uint8_t c)
{
	return c == '.' ? KEY_LEVEL : c == '!' ? KEY_DOMAIN : c;
}

static uint8_t
name_octet(uint8_t c)
{
	return c == KEY_LEVEL ? '.' : c == KEY_DOMAIN ? '!' : c;
}

/* A domain's own dots are not levels. */
void
mboxname_key(struct buf *out, struct slice name)
{
	size_t domain = mboxname_domain(name).len, n = name.len;
	uint8_t *octets = buf_space(out, &n);

	if (n < name.len) {
		buf_put_slice(out, name); /* fails */
		return;
	}
	for (size_t i = 0; i < n; i++)
		octets[i] = i < domain ? name.ptr[i] : key_octet(name.ptr[i]);
	buf_grew(out, n);
}

void
mboxname_of_key(struct buf *out, struct slice key)
{
	for (size_t i = 0; i < key.len; i++)
		buf_putc(out, name_octet(key.ptr[i]));
}

struct slice
mboxname_key_in(struct arena *a, struct slice name)
{
	size_t domain = mboxname_domain(name).len;
	uint8_t *out = arena_alloc(a, name.len + 1);

	for (size_t i = 0; i < name.len; i++)
		out[i] = i < domain ? name.ptr[i] : key_octet(name.ptr[i]);
	return slice_of(out, name.len);
}

struct slice
mboxname_of_key_in(struct arena *a, struct slice key)
{
	uint8_t *out = arena_alloc(a, key.len + 1);

	for (size_t i = 0; i < key.len; i++)
		out[i] = name_octet(key.ptr[i]);
	return slice_of(out, key.len);
}

/* ---- users ---- */

/* A userid taken apart by the layout. */
struct userid {
	struct slice local, domain; /* domain empty: none, or the default */
};

static bool
is_default_domain(const struct mboxname_layout *layout, struct slice domain)
{
	return layout->domain != NULL &&
	       slice_is_nocase(domain, layout->domain);
}

static struct userid
userid_of(const struct mboxname_layout *layout, struct slice user)
{
	size_t at = slice_rfind(user, '@');
	struct userid u = { .local = user };

	if (!layout->virtual_domains || at == user.len)
		return u;
	u.local = slice_first(user, at);
	u.domain = slice_skip(user, at + 1);
	if (is_default_domain(layout, u.domain))
		u.domain = slice_first(u.domain, 0);
	else if (u.domain.len == 0)
		u.local = slice_first(user, 0); /* "fred@" is nobody */
	return u;
}

static void
put_domain(struct text *t, struct slice domain)
{
	if (domain.len == 0)
		return;
	if (!domain_valid(domain))
		fail(t, "Invalid domain");
	for (size_t i = 0; i < domain.len; i++)
		putc_to(t, ascii_lower(domain.ptr[i]));
	putc_to(t, '!');
}

/* "user.fred^smith" */
static void
put_root(struct text *t, struct slice local)
{
	if (local.len == 0)
		fail(t, "No such user");
	put(t, slice_str("user."));
	for (size_t i = 0; i < local.len; i++) {
		uint8_t c = local.ptr[i];

		if (c == '^')
			fail(t, "Invalid character in user name");
		putc_to(t, c == '.' ? '^' : c);
	}
}

static void
put_inbox(struct text *t, const struct mboxname_layout *layout,
    struct slice user)
{
	struct userid u = userid_of(layout, user);

	put_domain(t, u.domain);
	put_root(t, u.local);
}

/* What was built, into the arena if it is a name. */
static const char *
finish(struct arena *a, struct text *t, struct slice *name)
{
	if (t->why == NULL)
		t->why = mboxname_invalid(slice_to(t));
	*name = t->why == NULL ? arena_copy(a, slice_to(t)) : slice_of(NULL, 0);
	return t->why;
}

const char *
mboxname_of_user(struct arena *a, const struct mboxname_layout *layout,
    struct slice user, struct slice *name)
{
	struct text t = { .n = 0 };

	put_inbox(&t, layout, user);
	return finish(a, &t, name);
}

bool
mboxname_is_owned_by(const struct mboxname_layout *layout, struct slice name,
    struct slice user)
{
	struct text t = { .n = 0 };

	put_inbox(&t, layout, user);
	return t.why == NULL && (slice_equal(name, slice_to(&t)) ||
	                            mboxname_is_below(name, slice_to(&t)));
}

struct slice
mboxname_owner(struct arena *a, const struct mboxname_layout *layout,
    struct slice name)
{
	struct slice domain = mboxname_domain(name), owner;
	struct slice local = mboxname_local(name);
	struct text t = { .n = 0 };

	if (!in_user_tree(local))
		return slice_of(NULL, 0);
	owner = first_level(slice_skip(local, 5), '.');
	for (size_t i = 0; i < owner.len; i++)
		putc_to(&t, owner.ptr[i] == '^' ? '.' : owner.ptr[i]);
	if (layout->virtual_domains && domain.len > 0) {
		putc_to(&t, '@');
		put(&t, domain);
	}
	return t.why == NULL ? arena_copy(a, slice_to(&t)) : slice_of(NULL, 0);
}

/* ---- from external ---- */

/* Levels as clients write them, to internal ones. */
static void
put_levels(struct text *t, const struct mboxname_layout *layout, struct slice s)
{
	uint8_t separator = (uint8_t)layout->separator;

	for (size_t i = 0; i < s.len; i++) {
		uint8_t c = s.ptr[i];

		if (c == separator) {
			putc_to(t, '.');
			continue;
		}
		/* With "/" a "^" could not be told from a dot. */
		if (c == '!' || (c == '^' && separator == '/'))
			fail(t, "Invalid character in mailbox name");
		if (c == '@' && layout->virtual_domains)
			fail(t, "Invalid character in mailbox name");
		putc_to(t, c == '.' ? '^' : c);
	}
}

/* Is s this name and a separator?  Then *rest is what follows. */
static bool
under(struct slice s, const char *prefix, char separator, struct slice *rest)
{
	size_t n = strlen(prefix);

	if (s.len <= n || !slice_starts(s, slice_str(prefix)) ||
	    s.ptr[n] != (uint8_t)separator)
		return false;
	*rest = slice_skip(s, n + 1);
	return true;
}

static bool
is_inbox_level(struct slice level)
{
	return slice_is_nocase(level, "INBOX");
}

static void
from_own(struct text *t, const struct mboxname_view *view, struct slice s)
{
	const struct mboxname_layout *layout = view->layout;
	struct slice level = first_level(s, (uint8_t)layout->separator);
	struct slice rest = slice_skip(s, level.len); /* with separator */

	put_inbox(t, layout, view->user);
	if (!is_inbox_level(level)) {
		putc_to(t, '.');
		put_levels(t, layout, s);
		return;
	}
	/* INBOX/x beside INBOX is a tree of its own, as in Cyrus. */
	if (rest.len > 0 && layout->altnamespace)
		put(t, slice_str(".INBOX"));
	put_levels(t, layout, rest);
}

/* Takes "@domain" off the end; the viewer's own domain if there is none. */
static struct slice
take_domain(const struct mboxname_view *view, struct slice *s)
{
	const struct mboxname_layout *layout = view->layout;
	size_t at = slice_rfind(*s, '@');
	struct slice domain;

	if (!layout->virtual_domains || at == s->len)
		return userid_of(layout, view->user).domain;
	domain = slice_skip(*s, at + 1);
	*s = slice_first(*s, at);
	if (is_default_domain(layout, domain))
		return slice_first(domain, 0);
	return domain.len > 0 ? domain : slice_str("@"); /* invalid */
}

static void
from_others(struct text *t, const struct mboxname_view *view, struct slice s)
{
	put_domain(t, take_domain(view, &s));
	put(t, slice_str("user."));
	put_levels(t, view->layout, s);
}

static void
from_shared(struct text *t, const struct mboxname_view *view, struct slice s)
{
	char separator = view->layout->separator;

	if (slice_is(first_level(s, (uint8_t)separator), "user"))
		fail(t, "That is no mailbox but a prefix of names");
	put_domain(t, take_domain(view, &s));
	put_levels(t, view->layout, s);
}

static void
from_alt(struct text *t, const struct mboxname_view *view, struct slice s)
{
	const struct mboxname_layout *l = view->layout;
	struct slice rest;

	if (slice_is(s, l->others) || slice_is(s, l->shared))
		fail(t, "That is no mailbox but a prefix of names");
	else if (under(s, l->others, l->separator, &rest))
		from_others(t, view, rest);
	else if (under(s, l->shared, l->separator, &rest))
		from_shared(t, view, rest);
	else
		from_own(t, view, s);
}

static void
from_plain(struct text *t, const struct mboxname_view *view, struct slice s)
{
	char separator = view->layout->separator;
	struct slice rest;

	if (is_inbox_level(first_level(s, (uint8_t)separator)))
		from_own(t, view, s);
	else if (under(s, "user", separator, &rest))
		from_others(t, view, rest);
	else
		from_shared(t, view, s);
}

/*
 * Net-Unicode without what may not be in a mailbox name (RFC 6855 3), as UTF-7
 * in the arena.  NULL, or why it is none.
 */
static const char *
from_utf8(struct arena *a, struct slice *name)
{
	struct slice rest = *name;
	const char *why = NULL;
	struct buf utf7;
	uint32_t c;

	while (rest.len > 0 && why == NULL) {
		c = utf8_take(&rest);
		if (c == UINT32_MAX)
			why = "Mailbox name is not UTF-8";
		else if (c < 0x20 || (c >= 0x7f && c <= 0x9f) || c == 0x2028 ||
		         c == 0x2029)
			why = "Invalid character in mailbox name";
	}
	buf_init(&utf7, UTF7_MAX);
	if (why == NULL &&
	    (utf7_encode(&utf7, *name) == -1 || buf_failed(&utf7)))
		why = "Mailbox name too long";
	if (why == NULL)
		*name = arena_copy(a, buf_slice(&utf7));
	buf_fini(&utf7);
	return why;
}

/* Internal names are valid UTF-7. */
static struct slice
to_utf8(struct arena *a, struct slice external)
{
	struct buf utf8;
	struct slice s = slice_of(NULL, 0);

	buf_init(&utf8, UTF7_MAX);
	if (utf7_decode(&utf8, external) == 0 && !buf_failed(&utf8))
		s = arena_copy(a, buf_slice(&utf8));
	buf_fini(&utf8);
	return s;
}

const char *
mboxname_from_external(struct arena *a, const struct mboxname_view *view,
    struct slice external, struct slice *name)
{
	const char *why = view->utf8 ? from_utf8(a, &external) : NULL;
	struct text t = { .n = 0 };

	if (why != NULL)
		return why;
	if (external.len > 0 &&
	    external.ptr[external.len - 1] == (uint8_t)view->layout->separator)
		external = slice_first(external, external.len - 1);
	if (external.len == 0)
		fail(&t, "Empty mailbox name");
	else if (view->layout->altnamespace)
		from_alt(&t, view, external);
	else
		from_plain(&t, view, external);
	return finish(a, &t, name);
}

bool
mboxname_of_detail(struct arena *a, const struct mboxname_layout *layout,
    struct slice user, struct slice detail, struct slice *name)
{
	struct mboxname_layout relative = *layout;
	struct mboxname_view view = { .layout = &relative, .user = user };

	/* With altnamespace own names, without it shared ones have no prefix. */
	relative.altnamespace = user.len > 0;
	if (!layout->altnamespace && user.len > 0 &&
	    is_inbox_level(first_level(detail, (uint8_t)layout->separator)))
		relative.altnamespace = false; /* as its owner writes it */
	if (mboxname_from_external(a, &view, detail, name) != NULL)
		return false;
	return user.len == 0 ? mboxname_owner(a, layout, *name).ptr == NULL
	                     : mboxname_is_owned_by(layout, *name, user);
}

/* ---- to external ---- */

static void
show_levels(struct text *t, const struct mboxname_layout *layout,
    struct slice s)
{
	uint8_t separator = (uint8_t)layout->separator;

	for (size_t i = 0; i < s.len; i++) {
		uint8_t c = s.ptr[i];

		if (c == '@' && layout->virtual_domains)
			fail(t, "cannot be shown");
		if (c == '.')
			putc_to(t, separator);
		else if (c == '^' && separator == '/')
			putc_to(t, '.');
		else
			putc_to(t, c);
	}
}

static void
show_prefix(struct text *t, const struct mboxname_layout *layout,
    const char *prefix)
{
	put(t, slice_str(prefix));
	putc_to(t, (uint8_t)layout->separator);
}

/* An own mailbox must not look like something else. */
static bool
own_is_hidden(const struct mboxname_layout *layout, const struct text *t)
{
	struct slice s = slice_to(t);
	struct slice level = first_level(s, (uint8_t)layout->separator);

	if (slice_is(level, "INBOX"))
		return level.len == s.len;
	return is_inbox_level(level) || slice_is(level, layout->others) ||
	       slice_is(level, layout->shared);
}

/* rest: below the INBOX, empty for itself. */
static void
show_own(struct text *t, const struct mboxname_layout *layout,
    struct slice rest)
{
	if (rest.len == 0) {
		put(t, slice_str("INBOX"));
		return;
	}
	if (!layout->altnamespace)
		show_prefix(t, layout, "INBOX");
	show_levels(t, layout, rest);
	if (layout->altnamespace && own_is_hidden(layout, t))
		fail(t, "cannot be shown");
}

static void
show_shared(struct text *t, const struct mboxname_layout *layout,
    struct slice local)
{
	struct slice level = first_level(local, '.');

	if (slice_is(level, "user") ||
	    (!layout->altnamespace && is_inbox_level(level)))
		fail(t, "cannot be shown");
	if (layout->altnamespace)
		show_prefix(t, layout, layout->shared);
	show_levels(t, layout, local);
}

static void
show_domain(struct text *t, const struct mboxname_view *view,
    struct slice domain)
{
	const struct mboxname_layout *layout = view->layout;

	/* Kept in lower case, the default one not at all: no way back else. */
	if (domain.len > 0 && is_default_domain(layout, domain))
		fail(t, "cannot be shown");
	for (size_t i = 0; i < domain.len; i++)
		if (domain.ptr[i] != ascii_lower(domain.ptr[i]))
			fail(t, "cannot be shown");
	if (slice_equal_nocase(domain, userid_of(layout, view->user).domain))
		return;
	if (domain.len == 0 && layout->domain != NULL)
		domain = slice_str(layout->domain);
	if (domain.len == 0)
		fail(t, "cannot be shown");
	putc_to(t, '@');
	put(t, domain);
}

struct slice
mboxname_to_external(struct arena *a, const struct mboxname_view *view,
    struct slice name)
{
	const struct mboxname_layout *layout = view->layout;
	struct slice domain = mboxname_domain(name);
	struct slice local = mboxname_local(name);
	struct text t = { .n = 0 }, inbox = { .n = 0 };

	if (mboxname_invalid(name) != NULL ||
	    (domain.len > 0 && !layout->virtual_domains))
		return slice_of(NULL, 0);
	put_inbox(&inbox, layout, view->user);
	if (slice_equal(name, slice_to(&inbox))) {
		show_own(&t, layout, slice_first(name, 0));
	} else if (mboxname_is_below(name, slice_to(&inbox))) {
		show_own(&t, layout, slice_skip(name, inbox.n + 1));
	} else if (in_user_tree(local)) {
		show_prefix(&t, layout,
		    layout->altnamespace ? layout->others : "user");
		show_levels(&t, layout, slice_skip(local, 5));
		show_domain(&t, view, domain);
	} else {
		show_shared(&t, layout, local);
		show_domain(&t, view, domain);
	}
	if (t.why != NULL)
		return slice_of(NULL, 0);
	return view->utf8 ? to_utf8(a, slice_to(&t))
	                  : arena_copy(a, slice_to(&t));
}
