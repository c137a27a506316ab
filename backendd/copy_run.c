#include <stdlib.h>
#include <string.h>

#include "backendd/copy_run.h"
#include "backendd/mailbox.h"
#include "backendd/msgset.h"
#include "backendd/quota.h"
#include "backendd/seen.h"
#include "backendd/server.h"
#include "backendd/session.h"
#include "backendd/target.h"
#include "backendd/view.h"
#include "imap/acl.h"
#include "imap/seqset.h"
#include "imap/write.h"
#include "lib/arena.h"
#include "lib/buf.h"
#include "lib/loop.h"
#include "lib/must.h"
#include "lib/xalloc.h"

enum {
	BATCH = STORE_ITEMS_MAX,  /* messages of one change */
	READ_BATCH = 64,          /* ...when they have to be read */
	READ_MAX = 1024 * 1024,   /* octets of those, unless it is one */
	TAGGED_MAX = 4 * 1024,    /* of a COPYUID in the tagged reply */
	COPYUID_MAX = 128 * 1024, /* of one at all */
	KEYWORD_UNKNOWN = -2      /* not looked up yet */
};

enum copy_way {
	WAY_MOVE,   /* store_move() */
	WAY_APPEND, /* store_append() from one mailbox to the other */
	WAY_READ    /* two stores: octets are read and written */
};

struct copying {
	struct session *ss;
	struct cmd *cmd;
	struct msgset *set;
	struct target *t;
	struct mailbox *m; /* the source, a hold */
	struct seen *seen; /* a \Seen of his own at the target, or NULL */
	struct quota_hold *hold;
	enum copy_kind kind;
	enum copy_way way;
	int keywords[STORE_KEYWORDS]; /* the target's, by the source's */

	struct store_append items[BATCH];
	bool was_seen[BATCH];
	uint32_t uids[BATCH];
	size_t n;
	uint64_t octets; /* of all of them */
	struct store_part parts[2 * READ_BATCH];
	struct store_chunk *chunk;

	struct seqset from, to; /* what has been copied, pair by pair */
	struct seqiter undo;
	const char *why; /* it failed, or NULL */
};

static void next_batch(struct copying *co);

/* ----------------------------------------------------------------- the end */

static void
done(struct copying *co, const char *code)
{
	struct session *ss = co->ss;
	const char *why = co->why;
	bool removes = co->kind == COPY_AND_REMOVE;

	quota_release(session_server(ss)->quotas, co->hold);
	store_chunk_free(&co->chunk);
	seen_close(&co->seen);
	mailbox_release(&co->t->m);
	mailbox_release(&co->m);
	free(co);
	if (why != NULL)
		session_done(ss, SESSION_NO, "UNAVAILABLE", why);
	else
		session_done(ss, SESSION_OK, code,
		    removes ? "Move completed" : "Copy completed");
}

static const char *
copyuid(struct copying *co)
{
	struct buf text;
	const char *code = NULL;

	buf_init(&text, COPYUID_MAX);
	buf_puts(&text, respcode_name(RESPCODE_COPYUID));
	buf_putc(&text, ' ');
	buf_put_number(&text, mailbox_numbers(co->t->m)->uidvalidity);
	buf_putc(&text, ' ');
	seqset_put(&text, &co->from);
	buf_putc(&text, ' ');
	seqset_put(&text, &co->to);
	if (!buf_failed(&text))
		code = arena_string(co->cmd->arena, buf_slice(&text));
	buf_fini(&text);
	return code;
}

/* A MOVE tells it before the EXPUNGEs (RFC 6851 4.3). */
static void
say_copyuid(struct session *ss, void *arg)
{
	struct copying *co = arg;
	struct buf *out = session_out(ss);

	buf_puts(out, "* OK [");
	buf_puts(out, copyuid(co));
	buf_puts(out, "] Done\r\n");
	session_flush(ss);
	done(co, NULL);
}

/* One who may not read there learns no UIDs (RFC 9051 6.4.7). */
static void
finish(struct copying *co)
{
	bool tells = co->from.n > 0 && (co->t->rights & ACL_READ);
	const char *code = tells ? copyuid(co) : NULL;
	size_t len = code == NULL ? 0 : strlen(code);

	if (len == 0)
		done(co, NULL);
	else if (co->kind == COPY_ONLY && len <= TAGGED_MAX)
		done(co, code);
	else
		session_wait_room(co->ss, len + 32, say_copyuid, co);
}

static void
on_undone(void *arg, const char *why)
{
	struct copying *co = arg;

	(void)why; /* the first failure is the one to tell */
	co->n = 0;
	while (co->n < BATCH && seqiter_next(&co->undo, &co->uids[co->n]))
		co->n++;
	if (co->n == 0)
		done(co, NULL);
	else
		store_expunge(mailbox_store(co->t->m), co->uids, co->n, 0,
		    on_undone, co);
}

/* What a MOVE has moved stays so, and is told. */
static void
fail(struct copying *co, const char *why)
{
	if (co->why == NULL)
		co->why = arena_printf(co->cmd->arena, "%s", why);
	if (co->kind == COPY_AND_REMOVE) {
		finish(co);
		return;
	}
	co->undo = seqiter_of(&co->to);
	on_undone(co, NULL);
}

/* -------------------------------------------------------------- one batch */

static void
on_removed(void *arg, const char *why)
{
	struct copying *co = arg;

	if (why != NULL)
		fail(co, why);
	else
		next_batch(co);
}

static void
remove_batch(struct copying *co)
{
	size_t n = 0;

	if (co->kind == COPY_ONLY || co->way == WAY_MOVE) {
		next_batch(co);
		return;
	}
	for (size_t i = 0; i < co->n; i++)
		if (co->items[i].outcome == STORE_DONE)
			co->uids[n++] = co->uids[i];
	if (n == 0)
		next_batch(co);
	else
		store_expunge(mailbox_store(co->m), co->uids, n, 0, on_removed,
		    co);
}

static void
on_seen(void *arg, const char *why)
{
	(void)why; /* the messages are there; \Seen is a hint */
	remove_batch(arg);
}

static void
on_copied(void *arg, const char *why)
{
	struct copying *co = arg;
	struct arena *a = co->cmd->arena;
	uint32_t *seen;
	size_t n = 0;

	store_chunk_free(&co->chunk);
	if (why != NULL) {
		fail(co, why);
		return;
	}
	quota_arrived(co->hold, co->octets, co->n);
	seen = xcalloc(co->n + 1, sizeof(seen[0]));
	for (size_t i = 0; i < co->n; i++) {
		if (co->items[i].outcome != STORE_DONE)
			continue;
		seqset_push(a, &co->from, co->uids[i]);
		seqset_push(a, &co->to, co->items[i].new_uid);
		if (co->was_seen[i])
			seen[n++] = co->items[i].new_uid;
	}
	if (n > 0 && co->seen != NULL)
		seen_change(co->seen, seen, n, true, on_seen, co);
	else
		remove_batch(co);
	free(seen);
}

/* False: the i-th could not be read, though it is there. */
static bool
take_read(struct copying *co, size_t i, size_t *n)
{
	const struct store_part *octets = &co->parts[2 * i];

	if (octets->why != NULL)
		return store_find(mailbox_store(co->m), co->uids[i]) == NULL;
	co->items[*n] = co->items[i];
	co->uids[*n] = co->uids[i];
	co->was_seen[*n] = co->was_seen[i];
	co->items[*n].octets = octets->octets;
	if (co->parts[2 * i + 1].why == NULL)
		co->items[*n].cache = co->parts[2 * i + 1].octets;
	++*n;
	return true;
}

/* What has been expunged meanwhile is left out. */
static void
on_read(void *arg, struct store_chunk *chunk)
{
	struct copying *co = arg;
	bool good = true;
	size_t n = 0;

	co->chunk = chunk;
	for (size_t i = 0; i < co->n; i++)
		good = take_read(co, i, &n) && good;
	co->n = n;
	if (!good)
		on_copied(co, "A message could not be read");
	else if (n > 0)
		store_append(mailbox_store(co->t->m), co->items, n, on_copied,
		    co);
	else
		on_copied(co, NULL);
}

static void
read_batch(struct copying *co)
{
	for (size_t i = 0; i < co->n; i++) {
		co->parts[2 * i] = (struct store_part){ .uid = co->uids[i],
			.what = STORE_OCTETS,
			.len = UINT64_MAX };
		co->parts[2 * i + 1] = (struct store_part){
			.uid = co->uids[i],
			.what = STORE_CACHE,
		};
	}
	store_read(mailbox_store(co->m), co->parts, 2 * co->n, on_read, co);
}

/* ---------------------------------------------------------------- gathering */

static void
set_keywords(struct copying *co, const struct store_msg *msg,
    struct store_append *item)
{
	struct store_mailbox *from = mailbox_store(co->m);

	for (unsigned i = 0; i < store_keywords(from); i++) {
		int k = co->keywords[i];

		if (!(msg->keywords[i / 64] >> (i % 64) & 1))
			continue;
		if (k == KEYWORD_UNKNOWN)
			k = co->keywords[i] =
			    store_keyword_add(mailbox_store(co->t->m),
			        slice_str(store_keyword(from, i)));
		if (k >= 0)
			item->keywords[k / 64] |= (uint64_t)1 << (k % 64);
	}
}

static void
gather_one(struct copying *co, const struct view *v,
    const struct store_msg *msg)
{
	struct store_append *item = &co->items[co->n];
	struct backendd *bd = session_server(co->ss);
	bool seen = view_is_seen(v, msg);
	uint32_t flags = msg->flags & STORE_FLAGS & ~(uint32_t)STORE_SEEN;

	if (seen)
		flags |= STORE_SEEN;
	flags &= target_flags(co->t->rights);
	co->was_seen[co->n] = flags & STORE_SEEN;
	if (co->seen != NULL)
		flags &= ~(uint32_t)STORE_SEEN;
	*item = (struct store_append){
		.flags = flags,
		.internaldate = msg->internaldate,
		.zone = msg->zone,
		.savedate = loop_wall(bd->loop).ms / 1000,
	};
	memcpy(item->emailid, msg->emailid, sizeof(item->emailid));
	if (co->t->rights & ACL_WRITE)
		set_keywords(co, msg, item);
	if (co->way != WAY_READ) {
		item->from = mailbox_store(co->m);
		item->from_uid = msg->uid;
	}
	co->uids[co->n++] = msg->uid;
}

static void
gather(struct copying *co)
{
	const struct view *v = session_view(co->ss);
	size_t most = co->way == WAY_READ ? READ_BATCH : BATCH;
	uint32_t uid;

	co->n = 0;
	co->octets = 0;
	while (co->n < most && (uid = msgset_next(co->set, v)) != 0) {
		const struct store_msg *msg = view_message(v, uid);

		co->octets += msg->size;
		gather_one(co, v, msg);
		if (co->way == WAY_READ && co->octets > READ_MAX)
			break;
	}
}

static void
next_batch(struct copying *co)
{
	struct store_mailbox *from = mailbox_store(co->m);
	struct store_mailbox *to = mailbox_store(co->t->m);

	gather(co);
	if (co->n == 0) {
		finish(co);
		return;
	}
	switch (co->way) {
	case WAY_MOVE:
		store_move(from, to, co->items, co->n, on_copied, co);
		break;
	case WAY_APPEND:
		store_append(to, co->items, co->n, on_copied, co);
		break;
	case WAY_READ:
		read_batch(co);
		break;
	}
}

static enum copy_way
choose_way(const struct copying *co)
{
	struct store_mailbox *from = mailbox_store(co->m);
	struct store_mailbox *to = mailbox_store(co->t->m);

	if (store_of(from) != store_of(to))
		return WAY_READ;
	return co->kind == COPY_AND_REMOVE && from != to ? WAY_MOVE
	                                                 : WAY_APPEND;
}

/*
 * Copied into the selected mailbox itself the copies are above what the client
 * counts, so the set never comes to them.
 */
void
copy_run(struct session *ss, enum copy_kind kind, struct msgset *set,
    struct target *t, struct quota_hold *hold)
{
	struct copying *co = xcalloc(1, sizeof(*co));

	co->ss = ss;
	co->cmd = session_cmd(ss);
	co->set = set;
	co->t = t;
	co->hold = hold;
	co->kind = kind;
	if (view_lost(session_view(ss))) {
		quota_release(session_server(ss)->quotas, hold);
		mailbox_release(&t->m);
		free(co);
		session_done(ss, SESSION_NO, "NONEXISTENT", "Mailbox is gone");
		return;
	}
	co->m = mailbox_hold(view_mailbox(session_view(ss)));
	co->way = choose_way(co);
	co->seen = target_seen(ss, t);
	for (size_t i = 0; i < STORE_KEYWORDS; i++)
		co->keywords[i] = KEYWORD_UNKNOWN;
	next_batch(co);
}
