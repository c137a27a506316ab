#include <stdio.h>

#include "imap/mboxdigest.h"
#include "imap/mboxrec.h"
#include "imap/mupdate.h"
#include "imap/mupdate_ext.h"
#include "imap/mupdate_line.h"
#include "lib/ascii.h"
#include "lib/buf.h"
#include "lib/must.h"

enum {
	NUMBER_MAX = 24,  /* octets of one as text, and a NUL */
	ENTRY_PIECES = 12 /* an XENTRY has fewer */
};

static const char *const codes[MUPDATE_CODE_MAX] = {
	[MUPDATE_CODE_NONE] = "",
	[MUPDATE_CODE_TAKEN] = "[TAKEN] ",
	[MUPDATE_CODE_FENCED] = "[FENCED] ",
	[MUPDATE_CODE_NOTOWNER] = "[NOTOWNER] ",
	[MUPDATE_CODE_READONLY] = "[READONLY] ",
	[MUPDATE_CODE_LIMIT] = "[LIMIT] ",
	[MUPDATE_CODE_UNAVAILABLE] = "[UNAVAILABLE] ",
};

/* By enum mboxrec_state. */
static const char *const states[] = {
	[MBOXREC_RESERVED] = "reserved",
	[MBOXREC_ACTIVE] = "active",
	[MBOXREC_MOVING] = "moving",
};

enum mupdate_code
mupdate_ext_code(struct slice text)
{
	for (int i = MUPDATE_CODE_NONE + 1; i < MUPDATE_CODE_MAX; i++)
		if (slice_starts_nocase(text, codes[i]))
			return (enum mupdate_code)i;
	return MUPDATE_CODE_NONE;
}

const char *
mupdate_ext_code_text(enum mupdate_code code)
{
	MUST(code < MUPDATE_CODE_MAX);
	return codes[code];
}

/* --- writing --------------------------------------------------------------- */

static struct slice
number_text(char room[NUMBER_MAX], uint64_t n)
{
	char *p = room + NUMBER_MAX;

	do {
		*--p = (char)('0' + n % 10);
		n /= 10;
	} while (n > 0);
	return slice_of(p, (size_t)(room + NUMBER_MAX - p));
}

static void
begin(struct buf *b, struct slice tag, enum mupdate_response id)
{
	buf_put_slice(b, tag);
	buf_putc(b, ' ');
	buf_puts(b, mupdate_response_name(id));
}

static void
string(struct buf *b, struct slice s)
{
	buf_putc(b, ' ');
	mupdate_put_string(b, s);
}

/* What holds neither quotes nor controls. */
static void
word(struct buf *b, struct slice s)
{
	buf_put(b, " \"", 2);
	buf_put_slice(b, s);
	buf_putc(b, '"');
}

static void
number(struct buf *b, uint64_t n)
{
	char room[NUMBER_MAX];

	word(b, number_text(room, n));
}

static void
end(struct buf *b)
{
	buf_put(b, "\r\n", 2);
}

void
mupdate_ext_put_update(struct buf *b, const char *tag, struct slice epoch,
    uint64_t revision)
{
	char room[NUMBER_MAX];
	struct slice args[2] = { epoch, number_text(room, revision) };

	mupdate_put_command(b, tag, MUPDATE_CMD_XUPDATE, args,
	    epoch.len > 0 ? 2 : 0);
}

void
mupdate_ext_put_activate(struct buf *b, const char *tag, struct slice name,
    const struct mboxrec *r)
{
	char room[2][NUMBER_MAX];
	struct slice args[7] = { name, r->location, r->acl,
		number_text(room[0], r->generation), r->mailboxid,
		r->special_uses, number_text(room[1], r->type) };

	mupdate_put_command(b, tag, MUPDATE_CMD_XACTIVATE, args, 7);
}

void
mupdate_ext_put_list(struct buf *b, const char *tag, struct slice host,
    const uint8_t *buckets, size_t n)
{
	char room[MUPDATE_EXT_BUCKETS_MAX][NUMBER_MAX];
	struct slice args[1 + MUPDATE_EXT_BUCKETS_MAX] = { host };

	MUST(n > 0 && n <= MUPDATE_EXT_BUCKETS_MAX);
	for (size_t i = 0; i < n; i++)
		args[1 + i] = number_text(room[i], buckets[i]);
	mupdate_put_command(b, tag, MUPDATE_CMD_XLIST, args, 1 + n);
}

void
mupdate_ext_put_break(struct buf *b, const char *tag, struct slice name,
    uint64_t generation)
{
	char room[NUMBER_MAX];
	struct slice args[2] = { name, number_text(room, generation) };

	mupdate_put_command(b, tag, MUPDATE_CMD_XBREAK, args, 2);
}

void
mupdate_ext_put_since(struct buf *b, struct slice tag, struct slice epoch)
{
	begin(b, tag, MUPDATE_XSINCE);
	word(b, epoch);
	end(b);
}

void
mupdate_ext_put_full(struct buf *b, struct slice tag, struct slice epoch,
    uint64_t count)
{
	begin(b, tag, MUPDATE_XFULL);
	word(b, epoch);
	number(b, count);
	end(b);
}

void
mupdate_ext_put_entry(struct buf *b, struct slice tag, struct slice name,
    const struct mboxrec *r)
{
	size_t most = tag.len + name.len + r->location.len + r->acl.len +
	              r->mailboxid.len + r->special_uses.len;
	struct mupdate_line l;

	MUST(r->state >= MBOXREC_RESERVED && r->state <= MBOXREC_MOVING);
	if (!mupdate_line_begin(&l, b,
	        most + ENTRY_PIECES * MUPDATE_LINE_PIECE))
		return;
	mupdate_line_slice(&l, tag);
	mupdate_line_octets(&l, " XENTRY", 7);
	mupdate_line_quoted_number(&l, r->revision);
	mupdate_line_string(&l, name);
	mupdate_line_string(&l, r->location);
	mupdate_line_string(&l, r->acl);
	mupdate_line_word(&l, slice_str(states[r->state]));
	mupdate_line_quoted_number(&l, r->generation);
	mupdate_line_string(&l, r->mailboxid);
	mupdate_line_string(&l, r->special_uses);
	mupdate_line_quoted_number(&l, r->type);
	mupdate_line_end(&l);
}

void
mupdate_ext_put_gone(struct buf *b, struct slice tag, uint64_t revision,
    struct slice name)
{
	begin(b, tag, MUPDATE_XGONE);
	number(b, revision);
	string(b, name);
	end(b);
}

void
mupdate_ext_put_at(struct buf *b, struct slice tag, uint64_t revision)
{
	begin(b, tag, MUPDATE_XAT);
	number(b, revision);
	end(b);
}

void
mupdate_ext_put_grant(struct buf *b, struct slice tag, struct slice name,
    uint64_t generation)
{
	begin(b, tag, MUPDATE_XGRANT);
	string(b, name);
	number(b, generation);
	end(b);
}

void
mupdate_ext_put_digest(struct buf *b, struct slice tag, struct slice host,
    const struct mboxdigest *d)
{
	begin(b, tag, MUPDATE_XDIGEST);
	string(b, host);
	number(b, d->count);
	buf_put(b, " \"", 2);
	mboxdigest_put(b, d);
	buf_putc(b, '"');
	end(b);
}

void
mupdate_ext_put_lease(struct buf *b, struct slice tag,
    const struct mupdate_lease *lease)
{
	begin(b, tag, MUPDATE_XLEASE);
	string(b, lease->name);
	string(b, lease->location);
	string(b, lease->owner);
	number(b, lease->since);
	switch (lease->ends) {
	case MUPDATE_LEASE_HELD:
		word(b, slice_str(""));
		break;
	case MUPDATE_LEASE_ENDING:
		number(b, lease->expires);
		break;
	case MUPDATE_LEASE_NEVER:
		word(b, slice_str("never"));
		break;
	}
	number(b, lease->generation);
	end(b);
}

/* --- reading --------------------------------------------------------------- */

static bool
read_number(struct slice s, uint64_t *n)
{
	return ascii_number(s, UINT64_MAX, n);
}

static bool
read_type(struct slice s, uint8_t *type)
{
	uint64_t n;

	if (!ascii_number(s, UINT8_MAX, &n))
		return false;
	*type = (uint8_t)n;
	return true;
}

static bool
read_state(struct slice s, enum mboxrec_state *state)
{
	for (int i = MBOXREC_RESERVED; i <= MBOXREC_MOVING; i++) {
		if (slice_is(s, states[i])) {
			*state = (enum mboxrec_state)i;
			return true;
		}
	}
	return false;
}

bool
mupdate_ext_get_update(const struct mupdate_message *m, struct slice *epoch,
    uint64_t *revision)
{
	*epoch = slice_of(NULL, 0);
	*revision = 0;
	if (m->nargs == 0)
		return true;
	if (m->nargs != 2 || m->args[0].len == 0)
		return false;
	*epoch = m->args[0];
	return read_number(m->args[1], revision);
}

bool
mupdate_ext_get_activate(const struct mupdate_message *m, struct slice *name,
    struct mboxrec *r)
{
	MUST(m->nargs == 7);
	*name = m->args[0];
	*r = (struct mboxrec){ .state = MBOXREC_ACTIVE,
		.location = m->args[1],
		.acl = m->args[2],
		.mailboxid = m->args[4],
		.special_uses = m->args[5] };
	return read_number(m->args[3], &r->generation) &&
	       read_type(m->args[6], &r->type);
}

bool
mupdate_ext_get_list(const struct mupdate_message *m, struct slice *host,
    bool wanted[256])
{
	uint64_t n;

	MUST(m->nargs >= 2);
	*host = m->args[0];
	memset(wanted, 0, 256 * sizeof(*wanted));
	for (size_t i = 1; i < m->nargs; i++) {
		if (!ascii_number(m->args[i], MBOXDIGEST_BUCKETS - 1, &n))
			return false;
		wanted[n] = true;
	}
	return true;
}

bool
mupdate_ext_get_break(const struct mupdate_message *m, struct slice *name,
    uint64_t *generation)
{
	MUST(m->nargs == 2);
	*name = m->args[0];
	return read_number(m->args[1], generation);
}

bool
mupdate_ext_get_full(const struct mupdate_message *m, struct slice *epoch,
    uint64_t *count)
{
	MUST(m->nargs == 2);
	*epoch = m->args[0];
	return epoch->len > 0 && epoch->len <= MUPDATE_EXT_EPOCH_MAX &&
	       read_number(m->args[1], count);
}

bool
mupdate_ext_get_entry(const struct mupdate_message *m, struct slice *name,
    struct mboxrec *r)
{
	MUST(m->nargs == 9);
	*name = m->args[1];
	*r = (struct mboxrec){ .location = m->args[2],
		.acl = m->args[3],
		.mailboxid = m->args[6],
		.special_uses = m->args[7] };
	return read_number(m->args[0], &r->revision) &&
	       read_state(m->args[4], &r->state) &&
	       read_number(m->args[5], &r->generation) &&
	       read_type(m->args[8], &r->type);
}

bool
mupdate_ext_get_gone(const struct mupdate_message *m, struct slice *name,
    uint64_t *revision)
{
	MUST(m->nargs == 2);
	*name = m->args[1];
	return read_number(m->args[0], revision);
}

bool
mupdate_ext_get_at(const struct mupdate_message *m, uint64_t *revision)
{
	MUST(m->nargs == 1);
	return read_number(m->args[0], revision);
}

bool
mupdate_ext_get_grant(const struct mupdate_message *m, struct slice *name,
    uint64_t *generation)
{
	MUST(m->nargs == 2);
	*name = m->args[0];
	return read_number(m->args[1], generation);
}

bool
mupdate_ext_get_digest(const struct mupdate_message *m, struct slice *host,
    struct mboxdigest *d)
{
	MUST(m->nargs == 3);
	*host = m->args[0];
	return read_number(m->args[1], &d->count) &&
	       mboxdigest_parse(d, m->args[2]);
}

bool
mupdate_ext_get_lease(const struct mupdate_message *m,
    struct mupdate_lease *lease)
{
	MUST(m->nargs == 6);
	*lease = (struct mupdate_lease){ .name = m->args[0],
		.location = m->args[1],
		.owner = m->args[2],
		.ends = MUPDATE_LEASE_ENDING };
	if (m->args[4].len == 0)
		lease->ends = MUPDATE_LEASE_HELD;
	else if (slice_is(m->args[4], "never"))
		lease->ends = MUPDATE_LEASE_NEVER;
	else if (!read_number(m->args[4], &lease->expires))
		return false;
	return read_number(m->args[3], &lease->since) &&
	       read_number(m->args[5], &lease->generation);
}
