#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <unistd.h>

#include "backendd/adm_serve.h"
#include "backendd/adm_wire.h"
#include "backendd/conf.h"
#include "backendd/letter.h"
#include "backendd/mailbox.h"
#include "backendd/mblist.h"
#include "backendd/mblist_deleted.h"
#include "backendd/mblist_op.h"
#include "backendd/server.h"
#include "imap/flag.h"
#include "imap/mboxname.h"
#include "imap/mboxrec.h"
#include "lib/arena.h"
#include "lib/blob.h"
#include "lib/buf.h"
#include "lib/ipc.h"
#include "lib/list.h"
#include "lib/log.h"
#include "lib/must.h"
#include "lib/treedb.h"
#include "lib/wire.h"
#include "lib/xalloc.h"

#define ADM_MAGIC 0x61646d73u

enum {
	SESSIONS_MAX = 8,
	LIST_SLICE = 512, /* names looked at for one answer */
	ENTRIES_ROOM = IPC_MAX
};

TAILQ_HEAD(adm_sessions, adm_session);

struct adm_server {
	struct backendd *bd;
	struct adm_sessions sessions;
	size_t n;
	bool draining;
};

struct adm_session {
	struct mailbox_watcher watcher; /* first */
	unsigned magic;
	TAILQ_ENTRY(adm_session) link;
	struct adm_server *server;
	struct backendd *bd;
	struct ipc *ipc;
	uint64_t id;        /* of the request under way */
	bool busy;          /* there is one */
	bool greeted;       /* it speaks our version */
	bool gone;          /* the other side, or it is not to go on */
	struct arena arena; /* of the request */

	struct mailbox *m; /* NULL: none is open */
	bool lost;         /* m is to be let go of */
	char *name;

	struct buf cursor;     /* of the list */
	const char *from, *to; /* of ADM_RESTORE */
	const char *partition;
	struct store_part parts[ADM_PARTS_MAX];
	size_t nparts;
	bool check;
	uint32_t after; /* of ADM_HELD */
	struct store_append *items;
	size_t nitems;
	struct blob *blob; /* a message on its way in */
	struct letter *letter;
	struct mailbox_append append;
};

static struct adm_session *
session_of(void *arg)
{
	struct adm_session *s = arg;

	MUST(s->magic == ADM_MAGIC);
	return s;
}

/* ---- the end of a request ---- */

static void
let_go(struct adm_session *s)
{
	if (s->m != NULL && !s->lost)
		mailbox_unwatch(s->m, &s->watcher);
	s->lost = false;
	mailbox_release(&s->m);
	free(s->name);
	s->name = NULL;
}

static void
end(struct adm_session *s)
{
	struct adm_server *as = s->server;

	MUST(!s->busy);
	let_go(s);
	blob_free(&s->blob);
	letter_free(&s->letter);
	ipc_free(&s->ipc);
	buf_fini(&s->cursor);
	arena_reset(&s->arena);
	free(s->items);
	TAILQ_REMOVE(&as->sessions, s, link);
	as->n--;
	s->magic = 0;
	free(s);
}

static void
settle(struct adm_session *s)
{
	if (s->busy)
		return;
	arena_reset(&s->arena);
	if (s->lost)
		let_go(s);
	if (s->gone || s->server->draining)
		end(s);
}

/* Its socket's queue is full: it does not read, and has had its chance. */
static void
say(struct adm_session *s, uint32_t type, struct slice payload)
{
	if (!ipc_send(s->ipc, type, s->id, payload, -1))
		s->gone = true;
}

static void
done(struct adm_session *s, const struct buf *b)
{
	MUST(b == NULL || !buf_failed((struct buf *)(uintptr_t)b));
	say(s, ADM_DONE, b == NULL ? slice_of(NULL, 0) : buf_slice(b));
	s->busy = false;
	settle(s);
}

static void
done_u8(struct adm_session *s, bool value)
{
	struct buf b;

	buf_init(&b, 1);
	wire_put_u8(&b, value);
	done(s, &b);
	buf_fini(&b);
}

static void
refuse(struct adm_session *s, const char *why)
{
	say(s, ADM_REFUSED, slice_str(why));
	s->busy = false;
	settle(s);
}

/* What no tool of ours sends. */
static void
nonsense(struct adm_session *s)
{
	log_err(s->bd->log, "admin_socket: not understood", NULL);
	s->gone = true;
	s->busy = false;
	settle(s);
}

static const char *
text_of(struct adm_session *s, struct wire *w)
{
	return arena_string(&s->arena, wire_slice(w));
}

/* ---- which mailboxes there are ---- */

struct listing {
	struct adm_session *s;
	struct buf entry;
};

static bool
list_one(void *arg, const char *name, const struct mboxrec *rec)
{
	struct listing *l = arg;

	if (!slice_is(mboxrec_partition(rec->location), l->s->partition) ||
	    op_hides(l->s->bd->list, slice_str(name)))
		return true;
	buf_clear(&l->entry);
	wire_put_slice(&l->entry, rec->mailboxid);
	wire_put_str(&l->entry, name);
	say(l->s, ADM_PART, buf_slice(&l->entry));
	return true;
}

static void
on_list(struct adm_session *s, struct wire *w)
{
	struct listing l = { .s = s };
	bool all;

	s->partition = text_of(s, w);
	if (wire_u8(w) != 0)
		buf_clear(&s->cursor);
	if (!wire_done(w)) {
		nonsense(s);
		return;
	}
	buf_init(&l.entry, IPC_MAX);
	all = mblist_slice(s->bd->list, &s->cursor, LIST_SLICE, list_one, &l);
	buf_fini(&l.entry);
	done_u8(s, !all);
}

/* ---- one of them ---- */

static void
on_news(struct mailbox_watcher *w, const struct store_news *n)
{
	(void)w, (void)n;
}

static void
on_lost(struct mailbox_watcher *w)
{
	struct adm_session *s = session_of(w);

	s->lost = true;
	settle(s);
}

static const struct mailbox_watch_ops ops = { .news = on_news,
	.lost = on_lost };

static void
opened(void *arg, struct mailbox *m, const char *why)
{
	struct adm_session *s = session_of(arg);
	struct buf b;

	if (m != NULL && mailbox_is_going(m)) {
		why = "it is being removed";
		mailbox_release(&m);
	}
	if (m == NULL) {
		refuse(s, why);
		return;
	}
	s->m = m;
	s->watcher.ops = &ops;
	mailbox_watch(m, &s->watcher);
	log_info(s->bd->log, "opened by backendadm", "mailbox", s->name, NULL);
	buf_init(&b, STORE_ID_MAX + sizeof(uint32_t));
	wire_put_str(&b, store_id(mailbox_store(m)));
	done(s, &b);
	buf_fini(&b);
}

static void
on_open(struct adm_session *s, struct wire *w)
{
	const char *name = text_of(s, w);
	const struct mboxrec *rec;
	struct store *st;

	if (!wire_done(w)) {
		nonsense(s);
		return;
	}
	let_go(s);
	rec = mblist_get(s->bd->list, name, &s->arena);
	st = rec == NULL ? NULL : backendd_store(s->bd, rec);
	if (st == NULL) {
		refuse(s, rec == NULL ? "there is no such mailbox any more"
		                      : "its partition is not there");
		return;
	}
	s->name = xstrdup(name);
	mailbox_open(s->bd->mailboxes, st, rec->mailboxid, opened, s);
}

/* For what is asked of it; NULL, and it is said. */
static struct store_mailbox *
box_of(struct adm_session *s)
{
	if (s->m != NULL && !store_is_damaged(mailbox_store(s->m)))
		return mailbox_store(s->m);
	refuse(s, s->m == NULL ? "the mailbox has been removed, or was damaged"
	                       : "the index is damaged");
	return NULL;
}

static void
put_row(struct buf *b, const struct store_msg *m)
{
	wire_put_u32(b, m->uid);
	wire_put_u32(b, m->flags & STORE_FLAGS);
	for (size_t i = 0; i < STORE_KEYWORD_WORDS; i++)
		wire_put_u64(b, m->keywords[i]);
	wire_put_u64(b, (uint64_t)m->internaldate);
	wire_put_u16(b, (uint16_t)m->zone);
	wire_put_u64(b, m->size);
}

static void
on_rows(struct adm_session *s, struct wire *w)
{
	uint32_t uid = wire_u32(w), known = wire_u32(w), i, last;
	struct store_mailbox *mb;
	struct buf b;

	if (!wire_done(w)) {
		nonsense(s);
		return;
	}
	mb = box_of(s);
	if (mb == NULL)
		return;
	buf_init(&b, IPC_MAX);
	for (uint32_t k = known; k < store_keywords(mb); k++)
		wire_put_str(&b, store_keyword(mb, k));
	say(s, ADM_PART, buf_slice(&b));
	buf_clear(&b);
	last = store_numbers(mb)->exists;
	i = store_index(mb, uid);
	if (last - i > ADM_ROWS_MAX)
		last = i + ADM_ROWS_MAX;
	for (; i < last; i++)
		put_row(&b, store_at(mb, i));
	say(s, ADM_PART, buf_slice(&b));
	buf_fini(&b);
	done_u8(s, last < store_numbers(mb)->exists);
}

/* ---- octets ---- */

static void
say_octets(struct adm_session *s, uint32_t which, bool failed,
    struct slice octets)
{
	struct buf b;

	do {
		size_t n = octets.len < ADM_PIECE ? octets.len : ADM_PIECE;

		buf_init(&b, IPC_MAX);
		wire_put_u32(&b, which);
		wire_put_u8(&b, failed);
		wire_put_slice(&b, slice_first(octets, n));
		say(s, ADM_PART, buf_slice(&b));
		buf_fini(&b);
		octets = slice_skip(octets, n);
	} while (octets.len > 0);
}

static void
on_chunk(void *arg, struct store_chunk *chunk)
{
	struct adm_session *s = session_of(arg);
	struct store_mailbox *mb = mailbox_store(s->m);

	for (size_t i = 0; i < s->nparts; i++) {
		const struct store_part *p = &s->parts[i];

		if (s->check && !p->held && store_find(mb, p->uid) == NULL)
			continue; /* expunged meanwhile */
		if (p->why != NULL)
			say_octets(s, (uint32_t)i, true, slice_str(p->why));
		else if (!s->check)
			say_octets(s, (uint32_t)i, false, p->octets);
	}
	store_chunk_free(&chunk);
	done(s, NULL);
}

/* False: it is too much, or not understood. */
static bool
take_parts(struct adm_session *s, struct wire *w)
{
	uint64_t sum = 0, most;

	s->check = wire_u8(w) != 0;
	most = s->check ? ADM_CHECK_MAX : ADM_READ_MAX;
	s->nparts = wire_u32(w);
	if (s->nparts == 0 || s->nparts > ADM_PARTS_MAX)
		return false;
	for (size_t i = 0; i < s->nparts; i++) {
		struct store_part *p = &s->parts[i];

		*p = (struct store_part){ .uid = wire_u32(w) };
		p->held = wire_u8(w) != 0;
		p->offset = wire_u64(w);
		p->len = wire_u64(w);
		if (p->len > most || (sum += p->len) > most)
			return false;
	}
	return wire_done(w);
}

static void
on_read(struct adm_session *s, struct wire *w)
{
	struct store_mailbox *mb;

	if (!take_parts(s, w)) {
		nonsense(s);
		return;
	}
	mb = box_of(s);
	if (mb != NULL)
		store_read(mb, s->parts, s->nparts, on_chunk, s);
}

/* ---- what was expunged ---- */

static void
put_held(struct buf *b, const struct store_held *h)
{
	struct store_msg m = { .uid = h->uid,
		.flags = h->flags,
		.keywords = { h->keywords[0], h->keywords[1] },
		.internaldate = h->internaldate,
		.zone = h->zone,
		.size = h->size };

	put_row(b, &m);
	wire_put_u64(b, (uint64_t)h->expunged);
}

static void
on_held_list(void *arg, const struct store_held *held, size_t n,
    const char *why)
{
	struct adm_session *s = session_of(arg);
	size_t i = 0, last;
	struct buf b;

	if (why != NULL) {
		refuse(s, why);
		return;
	}
	while (i < n && held[i].uid <= s->after)
		i++;
	last = n - i > ADM_ROWS_MAX ? i + ADM_ROWS_MAX : n;
	buf_init(&b, IPC_MAX);
	for (; i < last; i++)
		put_held(&b, &held[i]);
	say(s, ADM_PART, buf_slice(&b));
	buf_fini(&b);
	done_u8(s, last < n);
}

static void
on_held(struct adm_session *s, struct wire *w)
{
	struct store_mailbox *mb;

	s->after = wire_u32(w);
	if (!wire_done(w)) {
		nonsense(s);
		return;
	}
	mb = box_of(s);
	if (mb != NULL)
		store_held(mb, on_held_list, s);
}

static void
undeleted(void *arg, const char *why)
{
	struct adm_session *s = session_of(arg);
	size_t back = 0;
	struct buf b;

	if (why != NULL) {
		refuse(s, why);
		return;
	}
	buf_init(&b, IPC_MAX);
	for (size_t i = 0; i < s->nitems; i++) {
		back += s->items[i].outcome == STORE_DONE;
		wire_put_u8(&b, (uint8_t)s->items[i].outcome);
		wire_put_u32(&b, s->items[i].new_uid);
	}
	log_info(s->bd->log, "messages brought back", "mailbox", s->name,
	    "messages", LOG_NUM(back), NULL);
	done(s, &b);
	buf_fini(&b);
}

static void
on_undelete(struct adm_session *s, struct wire *w)
{
	struct store_mailbox *mb = s->m == NULL ? NULL : mailbox_store(s->m);

	s->nitems = wire_u32(w);
	if (s->nitems == 0 || s->nitems > ADM_PARTS_MAX) {
		nonsense(s);
		return;
	}
	free(s->items);
	s->items = xcalloc(s->nitems, sizeof *s->items);
	for (size_t i = 0; i < s->nitems; i++) {
		struct store_append *a = &s->items[i];

		*a = (struct store_append){ .from = mb, .undelete = true };
		a->from_uid = wire_u32(w);
		a->flags = wire_u32(w) & STORE_FLAGS;
		for (size_t k = 0; k < STORE_KEYWORD_WORDS; k++)
			a->keywords[k] = wire_u64(w);
	}
	if (!wire_done(w)) {
		nonsense(s);
		return;
	}
	mb = box_of(s);
	if (mb != NULL)
		store_append(mb, s->items, s->nitems, undeleted, s);
}

/* ---- a message that comes in ---- */

static void
less_waits(void *arg)
{
	done(session_of(arg), NULL);
}

static void
on_octets(struct adm_session *s, struct slice octets)
{
	const struct backendd_conf *conf = s->bd->conf;

	if (s->blob == NULL)
		s->blob = blob_new(s->bd->jobs, conf->temp_directory,
		    conf->message_memory);
	if (octets.len > conf->message_size - blob_len(s->blob)) {
		blob_free(&s->blob);
		refuse(s, "it is longer than max_message");
		return;
	}
	blob_put(s->blob, octets);
	if (!blob_busy(s->blob, less_waits, s))
		done(s, NULL);
}

static void
appended(void *arg, const char *why)
{
	struct adm_session *s = session_of(arg);
	struct buf b;

	letter_free(&s->letter);
	if (why != NULL) {
		refuse(s, why);
		return;
	}
	log_info(s->bd->log, "imported by backendadm", "mailbox", s->name,
	    "uid", LOG_NUM(s->append.uid), NULL);
	buf_init(&b, sizeof(uint32_t));
	wire_put_u32(&b, s->append.uid);
	done(s, &b);
	buf_fini(&b);
}

static void
letter_made(void *arg, struct letter *letter)
{
	struct adm_session *s = session_of(arg);
	bool has_nul = letter_has_nul(letter);

	letter_free(&s->letter); /* of one that was refused */
	s->letter = letter;
	s->append.letter = letter;
	if (has_nul)
		refuse(s, "it has NUL octets");
	else if (box_of(s) != NULL)
		mailbox_append(s->m, &s->append, 1, appended, s);
}

static void
blob_ended(void *arg, const char *why)
{
	struct adm_session *s = session_of(arg);
	struct blob *blob = s->blob;

	s->blob = NULL;
	if (why != NULL) {
		blob_free(&blob);
		refuse(s, why);
		return;
	}
	letter_make(s->bd->loop, s->bd->jobs, blob, letter_made, s);
}

static void
on_append(struct adm_session *s, struct wire *w)
{
	struct mailbox_append *a = &s->append;
	struct slice *keywords;
	bool good = true;

	*a = (struct mailbox_append){ .flags = wire_u32(w) & STORE_FLAGS };
	a->internaldate = (int64_t)wire_u64(w);
	a->nkeywords = wire_u32(w);
	if (a->nkeywords > STORE_KEYWORDS) {
		nonsense(s);
		return;
	}
	keywords =
	    arena_alloc(&s->arena, (a->nkeywords + 1) * sizeof *keywords);
	for (size_t i = 0; i < a->nkeywords; i++) {
		keywords[i] = arena_copy(&s->arena, wire_slice(w));
		good &= flag_is_keyword(keywords[i]);
	}
	a->keywords = keywords;
	if (!wire_done(w) || !good || s->blob == NULL)
		nonsense(s);
	else
		blob_end(s->blob, blob_ended, s);
}

/* ---- a mailbox that was deleted ---- */

static void
restored(void *arg, enum mblist_result r, const char *text)
{
	struct adm_session *s = session_of(arg);

	if (r == MBLIST_OK) {
		log_info(s->bd->log, "restored by backendadm", "mailbox",
		    s->from, "as", s->to, NULL);
		done(s, NULL);
		return;
	}
	log_warn(s->bd->log, "not restored", "mailbox", s->from, "as", s->to,
	    "why", text[0] != '\0' ? text : mblist_text(r), NULL);
	refuse(s, mblist_text(r));
}

static void
on_restore(struct adm_session *s, struct wire *w)
{
	const char *from = text_of(s, w), *to = text_of(s, w);

	if (!wire_done(w)) {
		nonsense(s);
	} else if (!deleted_is(slice_str(from))) {
		refuse(s, "that is no deleted mailbox");
	} else if (mboxname_invalid(slice_str(to)) != NULL) {
		refuse(s, mboxname_invalid(slice_str(to)));
	} else if (mblist_is_aside(to)) {
		refuse(s, "mailboxes set aside only are named so");
	} else {
		s->from = from;
		s->to = to;
		mblist_rename(s->bd->list, from, to, restored, s);
	}
}

/* ---- requests ---- */

static void
on_hello(struct adm_session *s, struct wire *w)
{
	uint32_t version = wire_u32(w);

	s->greeted = wire_done(w) && version == ADM_VERSION;
	if (s->greeted)
		done(s, NULL);
	else
		refuse(s, "backendadm is of another version");
}

static void
dispatch(struct adm_session *s, enum adm_request type, struct slice payload)
{
	struct wire w;

	wire_init(&w, payload);
	switch (type) {
	case ADM_HELLO:
		on_hello(s, &w);
		return;
	case ADM_LIST:
		on_list(s, &w);
		return;
	case ADM_OPEN:
		on_open(s, &w);
		return;
	case ADM_ROWS:
		on_rows(s, &w);
		return;
	case ADM_READ:
		on_read(s, &w);
		return;
	case ADM_HELD:
		on_held(s, &w);
		return;
	case ADM_UNDELETE:
		on_undelete(s, &w);
		return;
	case ADM_OCTETS:
		on_octets(s, payload);
		return;
	case ADM_APPEND:
		on_append(s, &w);
		return;
	case ADM_RESTORE:
		on_restore(s, &w);
		return;
	}
	nonsense(s);
}

static void
on_message(void *arg, const struct ipc_message *m)
{
	struct adm_session *s = session_of(arg);

	if (m == NULL || m->fd != -1 || s->busy) {
		if (m != NULL && m->fd != -1)
			close(m->fd);
		s->gone = true;
		settle(s);
		return;
	}
	s->busy = true;
	s->id = m->id;
	if (!s->greeted && m->type != ADM_HELLO)
		nonsense(s);
	else
		dispatch(s, (enum adm_request)m->type, m->payload);
}

/* ---- life ---- */

struct adm_server *
adm_server_new(struct backendd *bd)
{
	struct adm_server *as = xcalloc(1, sizeof *as);

	as->bd = bd;
	TAILQ_INIT(&as->sessions);
	return as;
}

void
adm_server_accept(struct adm_server *as, int fd)
{
	struct adm_session *s = xcalloc(1, sizeof *s);

	s->magic = ADM_MAGIC;
	s->server = as;
	s->bd = as->bd;
	arena_init(&s->arena);
	buf_init(&s->cursor, TREEDB_KEY_MAX + 1);
	s->ipc = ipc_new(as->bd->loop, fd, on_message, s);
	TAILQ_INSERT_TAIL(&as->sessions, s, link);
	as->n++;
	if (as->n > SESSIONS_MAX) {
		s->gone = true;
		refuse(s, "too many of backendadm are at work; try later");
	} else {
		settle(s);
	}
}

void
adm_server_drain(struct adm_server *as)
{
	struct adm_session *s, *next;

	as->draining = true;
	TAILQ_FOREACH_SAFE (s, &as->sessions, link, next)
		settle(s);
}

size_t
adm_server_count(const struct adm_server *as)
{
	return as->n;
}

void
adm_server_free(struct adm_server **ap)
{
	struct adm_server *as = *ap;

	*ap = NULL;
	if (as == NULL)
		return;
	MUST(as->n == 0);
	free(as);
}
