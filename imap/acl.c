#include "imap/acl.h"
#include "imap/mboxname.h"
#include "imap/write.h"
#include "lib/arena.h"
#include "lib/buf.h"
#include "lib/cdefs.h"
#include "lib/must.h"

enum {
	RIGHTS_MAX = 64 /* octets of them all */
};

static const struct {
	char letter;
	unsigned rights;
} letters[] = {
	{ 'l', ACL_LOOKUP },
	{ 'r', ACL_READ },
	{ 's', ACL_SEEN },
	{ 'w', ACL_WRITE },
	{ 'i', ACL_INSERT },
	{ 'p', ACL_POST },
	{ 'k', ACL_CREATE },
	{ 'x', ACL_DELETE_MAILBOX },
	{ 't', ACL_DELETE_MESSAGES },
	{ 'e', ACL_EXPUNGE },
	/* RFC 4314 2.1.1: what the rights of RFC 2086 stand for */
	{ 'c', ACL_CREATE | ACL_DELETE_MAILBOX },
	{ 'd', ACL_DELETE_MESSAGES | ACL_EXPUNGE },
	{ 'a', ACL_ADMIN },
	{ 'n', ACL_ANNOTATE },
};

/* 0 if there is no such right. */
static unsigned
right_of(uint8_t letter)
{
	if (letter >= '0' && letter <= '9')
		return (unsigned)ACL_USER0 << (letter - '0');
	for (size_t i = 0; i < NITEMS(letters); i++)
		if (letter == (uint8_t)letters[i].letter)
			return letters[i].rights;
	return 0;
}

const char *
acl_parse_rights(struct slice s, enum acl_change *change, unsigned *rights)
{
	*change = ACL_SET;
	*rights = 0;
	if (s.len > 0 && (s.ptr[0] == '+' || s.ptr[0] == '-')) {
		*change = s.ptr[0] == '+' ? ACL_ADD : ACL_REMOVE;
		s = slice_skip(s, 1);
	}
	for (size_t i = 0; i < s.len; i++) {
		unsigned right = right_of(s.ptr[i]);

		if (right == 0)
			return "Unknown right";
		*rights |= right;
	}
	return NULL;
}

void
acl_put_rights(struct buf *out, unsigned rights)
{
	for (size_t i = 0; i < NITEMS(letters); i++)
		if (rights & letters[i].rights)
			buf_putc(out, (uint8_t)letters[i].letter);
	for (unsigned i = 0; i < 10; i++)
		if (rights & (unsigned)ACL_USER0 << i)
			buf_putc(out, (uint8_t)('0' + i));
}

void
acl_write_myrights(struct write *w, struct slice mailbox, unsigned rights)
{
	struct buf text;

	buf_init(&text, RIGHTS_MAX);
	acl_put_rights(&text, rights);
	write_untagged(w, "MYRIGHTS");
	write_sp(w);
	write_mailbox(w, mailbox);
	write_sp(w);
	write_astring(w, buf_slice(&text));
	write_end(w);
	buf_fini(&text);
}

void
acl_put_grantable(struct buf *out, unsigned required)
{
	for (size_t i = 0; i < NITEMS(letters); i++)
		if (!(required & letters[i].rights))
			buf_printf(out, " %c", letters[i].letter);
	for (unsigned i = 0; i < 10; i++)
		if (!(required & (unsigned)ACL_USER0 << i))
			buf_printf(out, " %u", i);
}

static struct slice
take_field(struct slice *s)
{
	size_t n = slice_find(*s, '\t');
	struct slice field = slice_first(*s, n);

	*s = slice_skip(*s, n < s->len ? n + 1 : n);
	return field;
}

/* Rights as another program wrote them: letters we lack are not errors. */
static unsigned
known_rights(struct slice s)
{
	unsigned rights = 0;

	for (size_t i = 0; i < s.len; i++)
		rights |= right_of(s.ptr[i]);
	return rights;
}

static struct acl_entry *
find(const struct acl *acl, struct slice identifier)
{
	for (size_t i = 0; i < acl->n; i++)
		if (slice_equal(acl->entries[i].identifier, identifier))
			return &acl->entries[i];
	return NULL;
}

static void
append(struct arena *a, struct acl *acl, struct slice identifier,
    unsigned rights)
{
	if (acl->n == acl->size) {
		size_t size = acl->size == 0 ? 4 : acl->size * 2;
		struct acl_entry *more = arena_array(a, size, sizeof(*more));

		if (acl->n > 0)
			memcpy(more, acl->entries, acl->n * sizeof(*more));
		acl->entries = more;
		acl->size = size;
	}
	acl->entries[acl->n++] = (struct acl_entry){ identifier, rights };
}

const char *
acl_parse(struct arena *a, struct slice s, struct acl *acl)
{
	*acl = (struct acl){ 0 };
	if (s.len > ACL_MAX)
		return "ACL too long";
	while (s.len > 0) {
		struct slice identifier = take_field(&s);
		unsigned rights = known_rights(take_field(&s));
		struct acl_entry *e = find(acl, identifier);

		if (acl_bad_identifier(identifier) != NULL)
			return "Malformed ACL";
		if (acl->n == ACL_ENTRIES_MAX)
			return "Too many entries";
		if (e != NULL)
			e->rights |= rights;
		else
			append(a, acl, identifier, rights);
	}
	return NULL;
}

/* Without the shown c and d: this is what is stored. */
static void
put_stored_rights(struct buf *out, unsigned rights)
{
	for (size_t i = 0; i < NITEMS(letters); i++)
		if ((rights & letters[i].rights) && letters[i].letter != 'c' &&
		    letters[i].letter != 'd')
			buf_putc(out, (uint8_t)letters[i].letter);
	for (unsigned i = 0; i < 10; i++)
		if (rights & (unsigned)ACL_USER0 << i)
			buf_putc(out, (uint8_t)('0' + i));
}

static void
put_entry(struct buf *out, struct slice identifier, unsigned rights)
{
	buf_put_slice(out, identifier);
	buf_putc(out, '\t');
	put_stored_rights(out, rights);
	buf_putc(out, '\t');
}

void
acl_put(struct buf *out, const struct acl *acl)
{
	for (size_t i = 0; i < acl->n; i++)
		put_entry(out, acl->entries[i].identifier,
		    acl->entries[i].rights);
}

const char *
acl_bad_identifier(struct slice identifier)
{
	if (identifier.len == 0 || slice_is(identifier, "-"))
		return "Empty identifier";
	if (identifier.len > ACL_IDENTIFIER_MAX)
		return "Identifier too long";
	for (size_t i = 0; i < identifier.len; i++)
		if (identifier.ptr[i] < ' ' || identifier.ptr[i] == 0x7f)
			return "Control character in identifier";
	return NULL;
}

static unsigned
changed(unsigned before, enum acl_change change, unsigned rights)
{
	switch (change) {
	case ACL_SET:
		return rights;
	case ACL_ADD:
		return before | rights;
	case ACL_REMOVE:
		return before & ~rights;
	}
	MUST(false);
	return before;
}

const char *
acl_modify(struct arena *a, struct acl *acl, struct slice identifier,
    enum acl_change change, unsigned rights)
{
	struct acl_entry *e = find(acl, identifier);

	rights = changed(e == NULL ? 0 : e->rights, change, rights);
	if (e != NULL && rights != 0) {
		e->rights = rights;
	} else if (e != NULL) {
		size_t i = (size_t)(e - acl->entries);

		memmove(e, e + 1, (acl->n - i - 1) * sizeof(*e));
		acl->n--;
	} else if (rights != 0) {
		if (acl->n == ACL_ENTRIES_MAX)
			return "Too many entries";
		append(a, acl, arena_copy(a, identifier), rights);
	}
	return NULL;
}

unsigned
acl_get(const struct acl *acl, struct slice identifier)
{
	const struct acl_entry *e = find(acl, identifier);

	return e == NULL ? 0 : e->rights;
}

/* Does a list entry for this identifier concern the user? */
static bool
concerns(struct slice identifier, struct slice user)
{
	if (slice_is(identifier, "anyone"))
		return true;
	if (user.len == 0)
		return slice_is(identifier, "anonymous");
	return slice_equal(identifier, user);
}

static void
weigh(struct slice identifier, unsigned rights, struct slice user,
    unsigned *given, unsigned *taken)
{
	/* A "-" always takes away, whatever users may be called. */
	if (identifier.ptr[0] != '-') {
		if (concerns(identifier, user))
			*given |= rights;
	} else if (concerns(slice_skip(identifier, 1), user)) {
		*taken |= rights;
	}
}

unsigned
acl_effective_text(struct slice text, struct slice user)
{
	unsigned given = 0, taken = 0;

	if (text.len > ACL_MAX)
		return 0;
	while (text.len > 0) {
		struct slice identifier = take_field(&text);
		unsigned rights = known_rights(take_field(&text));

		if (acl_bad_identifier(identifier) != NULL)
			return 0;
		weigh(identifier, rights, user, &given, &taken);
	}
	return given & ~taken;
}

unsigned
acl_of_user(const struct mboxname_view *who, bool is_admin, struct slice name,
    struct slice text)
{
	unsigned rights = acl_effective_text(text, who->user);

	if (mboxname_is_owned_by(who->layout, name, who->user))
		rights |= ACL_OWNER_IMPLICIT;
	if (!is_admin && mboxname_is_tomb(name))
		return 0;
	if (is_admin)
		rights |=
		    ACL_LOOKUP | ACL_CREATE | ACL_DELETE_MAILBOX | ACL_ADMIN;
	return rights;
}

void
acl_put_owner(struct buf *out, struct slice owner)
{
	put_entry(out, owner, ACL_ALL);
}
