#include <stdlib.h>

#include "backendd/assemble.h"
#include "backendd/catenate.h"
#include "backendd/conf.h"
#include "backendd/mailbox.h"
#include "backendd/mblist.h"
#include "backendd/server.h"
#include "backendd/session.h"
#include "backendd/summarise.h"
#include "backendd/target.h"
#include "backendd/view.h"
#include "imap/acl.h"
#include "imap/fetch.h"
#include "imap/imapurl.h"
#include "imap/mboxname.h"
#include "imap/mboxrec.h"
#include "imap/summary.h"
#include "lib/arena.h"
#include "lib/blob.h"
#include "lib/buf.h"
#include "lib/loop.h"
#include "lib/must.h"
#include "lib/xalloc.h"

enum {
	URL_SHOWN_MAX = 1024 /* octets of an address in BADURL */
};

struct catenating {
	struct session *ss;
	struct arena *arena; /* the command's */
	const struct catenate_part *parts;
	size_t n, next;
	struct assemble_piece *pieces; /* of each part */
	struct mailbox **holds;        /* of each part; or NULL */
	uint64_t total;
	struct task *turn;

	/* The part being looked up. */
	struct imapurl url;
	struct summarise_item summary;
	struct store_part header;

	struct catenate_result result;
	catenate_cb *cb;
	void *arg;
};

static void advance(struct catenating *c);

static void
finish(struct catenating *c)
{
	for (size_t i = 0; i < c->n; i++)
		mailbox_release(&c->holds[i]);
	c->cb(c->arg, &c->result);
	task_free(&c->turn);
	free(c);
}

static void
fail(struct catenating *c, const char *code, const char *why)
{
	c->result = (struct catenate_result){ .code = code, .why = why };
	finish(c);
}

/* The address as it was sent, as far as it may stand in a response code. */
static void
bad_url(struct catenating *c, const char *why)
{
	struct slice url = c->parts[c->next].url;
	size_t n = url.len < URL_SHOWN_MAX ? url.len : URL_SHOWN_MAX;
	char *shown = arena_string(c->arena, slice_first(url, n));

	for (size_t i = 0; i < n; i++)
		if (shown[i] == ']' || shown[i] < ' ' || shown[i] == 0x7f)
			shown[i] = '?';
	fail(c, arena_printf(c->arena, "BADURL \"%s\"", shown), why);
}

static void
add_piece(struct catenating *c, const struct assemble_piece *p)
{
	uint64_t len = p->kind == ASSEMBLE_STORED ? p->len : p->octets.len;

	if (len > session_server(c->ss)->conf->message_size - c->total) {
		fail(c, "TOOBIG", "Message too big");
		return;
	}
	c->total += len;
	c->pieces[c->next++] = *p;
	task_want(c->turn);
}

/* What PARTIAL leaves of len octets. */
static uint64_t
clip(const struct imapurl *u, uint64_t len, uint64_t *offset)
{
	*offset = u->offset < len ? u->offset : len;
	len -= *offset;
	return u->count > 0 && u->count < len ? u->count : len;
}

static void
add_range(struct catenating *c, uint64_t at, uint64_t len)
{
	struct assemble_piece p = { .kind = ASSEMBLE_STORED,
		.m = c->holds[c->next],
		.uid = c->url.uid };
	uint64_t offset;

	p.len = clip(&c->url, len, &offset);
	p.at = at + offset;
	add_piece(c, &p);
}

/* ------------------------------------------------------------ the section */

static void
on_header(void *arg, struct store_chunk *chunk)
{
	struct catenating *c = arg;
	struct assemble_piece p = { .kind = ASSEMBLE_OCTETS };
	bool failed = c->header.why != NULL;
	uint64_t offset, len;
	struct buf b;

	buf_init(&b, 2 * FETCH_HEADER_MAX);
	if (!failed)
		section_fields(&b, &c->url.section, c->header.octets);
	len = clip(&c->url, buf_len(&b), &offset);
	p.octets = arena_copy(c->arena,
	    slice_first(slice_skip(buf_slice(&b), offset), len));
	buf_fini(&b);
	store_chunk_free(&chunk);
	if (failed)
		bad_url(c, "The message could not be read");
	else
		add_piece(c, &p);
}

static void
on_summary(void *arg)
{
	struct catenating *c = arg;
	const struct summary *s = c->summary.summary;
	const struct store_msg *msg =
	    store_find(mailbox_store(c->holds[c->next]), c->url.uid);
	struct section_range r;

	if (s == NULL || msg == NULL || !summary_fits(s, msg->size)) {
		bad_url(c, "The message could not be read");
	} else if (!section_find(&c->url.section, &s->mime, &r)) {
		bad_url(c, "No such part");
	} else if (c->url.section.nfields > 0) {
		c->header = (struct store_part){ .uid = c->url.uid,
			.what = STORE_OCTETS,
			.offset = r.at,
			.len = r.len < FETCH_HEADER_MAX ? r.len
			                                : FETCH_HEADER_MAX };
		store_read(mailbox_store(c->holds[c->next]), &c->header, 1,
		    on_header, c);
	} else {
		add_range(c, r.at, r.len);
	}
}

/* The mailbox is held. */
static void
find_message(struct catenating *c)
{
	struct mailbox *m = c->holds[c->next];
	const struct store_msg *msg = store_find(mailbox_store(m), c->url.uid);

	if (c->url.uidvalidity != 0 &&
	    c->url.uidvalidity != mailbox_numbers(m)->uidvalidity) {
		bad_url(c, "Not this UIDVALIDITY");
	} else if (msg == NULL) {
		bad_url(c, "No such message");
	} else if (c->url.section.npath == 0 &&
	           c->url.section.text == SECTION_ALL) {
		add_range(c, 0, msg->size);
	} else {
		c->summary.uid = c->url.uid;
		summarise(m, c->arena, &c->summary, 1, on_summary, c);
	}
}

/* ------------------------------------------------------------ the mailbox */

static void
on_open(void *arg, struct target *t)
{
	struct catenating *c = arg;

	if (t == NULL) {
		bad_url(c, "The mailbox cannot be opened");
		return;
	}
	c->holds[c->next] = t->m;
	find_message(c);
}

static void
find_selected(struct catenating *c)
{
	struct view *v = session_view(c->ss);

	if (v == NULL || view_lost(v)) {
		bad_url(c, "No mailbox is selected");
		return;
	}
	c->holds[c->next] = mailbox_hold(view_mailbox(v));
	find_message(c);
}

static void
find_mailbox(struct catenating *c)
{
	struct session *ss = c->ss;
	struct mboxname_view who = { .layout = session_layout(ss),
		.user = slice_str(session_user(ss)) };
	const struct mboxrec *rec = NULL;
	unsigned rights = 0;
	struct slice text;
	const char *name;

	if (mboxname_from_external(c->arena, &who, c->url.mailbox, &text) ==
	    NULL) {
		name = arena_string(c->arena, text);
		rec = mblist_get(session_server(ss)->list, name, c->arena);
	}
	if (rec != NULL)
		rights =
		    session_rights(ss, name, arena_string(c->arena, rec->acl));
	/* Who may not look it up learns nothing. */
	if (!(rights & ACL_READ))
		bad_url(c, "No such mailbox");
	else
		target_open_record(ss, name, rec, on_open, c);
}

static void
advance(struct catenating *c)
{
	const struct catenate_part *part = &c->parts[c->next];
	struct assemble_piece p = { .kind = ASSEMBLE_OCTETS };
	const char *why;

	if (part->text != NULL) {
		p.octets = blob_slice(part->text);
		add_piece(c, &p);
		return;
	}
	why = imapurl_parse(c->arena, part->url, &c->url);
	if (why != NULL)
		bad_url(c, why);
	else if (c->url.mailbox.len == 0)
		find_selected(c);
	else
		find_mailbox(c);
}

/* ------------------------------------------------------------------ whole */

static void
on_assembled(void *arg, struct blob *b, const char *why)
{
	struct catenating *c = arg;

	if (b == NULL) {
		fail(c, NULL, why);
		return;
	}
	c->result.blob = b;
	finish(c);
}

static void
on_turn(void *arg)
{
	struct catenating *c = arg;

	if (c->next < c->n)
		advance(c);
	else if (c->total == 0) /* as a literal of none is refused */
		fail(c, "CLIENTBUG", "A message is empty");
	else
		assemble(session_server(c->ss), c->pieces, c->n,
		    session_memory_for(c->ss, c->total), on_assembled, c);
}

void
catenate(struct session *ss, const struct catenate_part *parts, size_t n,
    catenate_cb *cb, void *arg)
{
	struct catenating *c = xcalloc(1, sizeof(*c));

	MUST(n <= CATENATE_PARTS_MAX);
	c->ss = ss;
	c->arena = session_cmd(ss)->arena;
	c->parts = parts;
	c->n = n;
	c->pieces = arena_array(c->arena, n, sizeof(*c->pieces));
	c->holds = arena_array(c->arena, n, sizeof(*c->holds));
	c->cb = cb;
	c->arg = arg;
	c->turn = task_new(session_server(ss)->loop, on_turn, c);
	task_want(c->turn);
}
