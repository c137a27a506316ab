#include "backendd/condstore.h"
#include "backendd/handlers.h"
#include "backendd/mailbox.h"
#include "backendd/msgset.h"
#include "backendd/seen.h"
#include "backendd/session.h"
#include "backendd/target.h"
#include "backendd/view.h"
#include "imap/acl.h"
#include "imap/flag.h"
#include "imap/parse.h"
#include "imap/seqset.h"
#include "lib/arena.h"
#include "lib/buf.h"
#include "lib/must.h"

enum {
	BATCH = 1024, /* messages of one change of the store */
	/* "MODIFIED" and a set; a longer one is cut, which is as right: the
	 * client has been sent FETCH for those, or will be. */
	MODIFIED_MAX = 7 * 1024
};

enum store_op {
	OP_SET,
	OP_ADD,
	OP_REMOVE
};

/* STORE: messages are changed a batch at a time, each then answered. */
struct storing {
	struct session *ss;
	struct cmd *cmd;
	struct mailbox *m; /* a hold */
	struct msgset set;
	bool silent, conditional;
	enum store_op op;
	uint64_t unchanged_since;
	struct flags flags; /* as sent */

	/* What that means for each message. */
	uint32_t set_flags, clear_flags;
	uint64_t set_keywords[STORE_KEYWORD_WORDS];
	uint64_t clear_keywords[STORE_KEYWORD_WORDS];
	bool sets_seen, clears_seen; /* with a \Seen of his own */

	struct store_change *changes; /* the batch */
	uint32_t *uids;               /* for \Seen */
	size_t n, answered;
	unsigned waiting; /* call backs to come for the batch */
	struct seqset modified;
	const char *why; /* it failed, or NULL */
};

static void next_batch(struct storing *st);

static const char *
modified_code(struct storing *st)
{
	struct arena *a = st->cmd->arena;
	struct buf text;
	const char *code = NULL;

	buf_init(&text, MODIFIED_MAX);
	while (st->modified.n > 0) {
		buf_clear(&text);
		seqset_put(&text, &st->modified);
		if (!buf_failed(&text)) {
			code = arena_printf(a, "MODIFIED %.*s",
			    (int)buf_len(&text), (const char *)buf_data(&text));
			break;
		}
		st->modified.n /= 2;
	}
	buf_fini(&text);
	return code;
}

static void
finish(struct storing *st)
{
	struct session *ss = st->ss;
	const char *code = modified_code(st);

	mailbox_release(&st->m);
	if (code == NULL && msgset_passed_over(&st->set))
		code = "EXPUNGEISSUED";
	if (st->why != NULL)
		session_done(ss, SESSION_NO, "UNAVAILABLE", st->why);
	else
		session_done(ss, SESSION_OK, code, "Store completed");
}

static void
put_response(struct storing *st, const struct view *v,
    const struct store_msg *msg)
{
	struct buf *out = session_out(st->ss);

	if (!st->silent)
		view_put_fetch(v, msg, out);
	else
		view_put_modseq(v, msg, out);
}

/* Those that failed UNCHANGEDSINCE are told as they are (RFC 7162 3.1.3). */
static bool
is_answered(const struct storing *st, const struct view *v,
    const struct store_change *c)
{
	if (c->outcome == STORE_GONE || c->outcome == STORE_MODIFIED)
		return false;
	return !st->silent ||
	       ((view_says(v) & VIEW_SAYS_MODSEQ) && c->outcome == STORE_DONE);
}

static void
answer_batch(struct session *ss, void *arg)
{
	struct storing *st = arg;
	const struct view *v = session_view(ss);

	for (; st->answered < st->n; st->answered++) {
		const struct store_change *c = &st->changes[st->answered];
		const struct store_msg *msg = view_message(v, c->uid);

		if (msg == NULL || !is_answered(st, v, c))
			continue;
		if (session_room(ss) < VIEW_ROOM) {
			session_wait_room(ss, VIEW_ROOM, answer_batch, st);
			session_flush(ss);
			return;
		}
		put_response(st, v, msg);
	}
	session_flush(ss);
	next_batch(st);
}

/* The batch has one MODSEQ; news of it have already reached the view. */
static void
settle(struct storing *st)
{
	struct view *v = session_view(st->ss);
	uint64_t modseq = 0;

	for (size_t i = 0; i < st->n; i++) {
		const struct store_change *c = &st->changes[i];
		const struct store_msg *msg = view_message(v, c->uid);

		if (c->outcome == STORE_MODIFIED)
			seqset_add(st->cmd->arena, &st->modified,
			    st->set.by_uid ? c->uid : view_seq_of(v, c->uid));
		if (c->outcome == STORE_DONE && msg != NULL &&
		    (modseq == 0 || msg->modseq < modseq))
			modseq = msg->modseq;
	}
	if (modseq != 0)
		view_own_change(v, modseq);
}

static void
on_changed(void *arg, const char *why)
{
	struct storing *st = arg;

	if (why != NULL && st->why == NULL)
		st->why = arena_printf(st->cmd->arena, "%s", why);
	MUST(st->waiting > 0);
	if (--st->waiting > 0)
		return;
	if (st->why != NULL) {
		finish(st);
		return;
	}
	settle(st);
	st->answered = 0;
	answer_batch(st->ss, st);
}

/*
 * On behalf of one with a \Seen of his own, of the messages that may change.
 * Those that do get a new MODSEQ too.
 */
static void
change_seen(struct storing *st, struct view *v)
{
	size_t n = 0;

	for (size_t i = 0; i < st->n; i++) {
		const struct store_msg *msg =
		    view_message(v, st->changes[i].uid);

		if (msg->modseq > st->unchanged_since ||
		    view_is_seen(v, msg) == st->sets_seen)
			continue;
		st->changes[i].touch = true;
		st->uids[n++] = msg->uid;
	}
	if (n == 0)
		return;
	st->waiting++;
	seen_change(view_seen(v), st->uids, n, st->sets_seen, on_changed, st);
}

static void
next_batch(struct storing *st)
{
	struct view *v = session_view(st->ss);
	uint32_t uid;

	st->n = 0;
	while (st->n < BATCH && (uid = msgset_next(&st->set, v)) != 0) {
		struct store_change *c = &st->changes[st->n++];

		*c = (struct store_change){ .uid = uid,
			.set = st->set_flags,
			.clear = st->clear_flags };
		for (size_t i = 0; i < STORE_KEYWORD_WORDS; i++) {
			c->set_keywords[i] = st->set_keywords[i];
			c->clear_keywords[i] = st->clear_keywords[i];
		}
	}
	if (st->n == 0) {
		finish(st);
		return;
	}
	st->waiting = 1;
	if (st->sets_seen || st->clears_seen)
		change_seen(st, v);
	store_change(mailbox_store(st->m), st->changes, st->n,
	    st->unchanged_since, on_changed, st);
}

/* The keywords' bits; those that are new get theirs, if that is wanted. */
static const char *
keyword_bits(struct storing *st, uint64_t bits[STORE_KEYWORD_WORDS])
{
	struct store_mailbox *mb = mailbox_store(st->m);

	for (size_t i = 0; i < st->flags.n; i++) {
		int k = st->op == OP_REMOVE
		            ? store_keyword_find(mb, st->flags.keywords[i])
		            : store_keyword_add(mb, st->flags.keywords[i]);

		if (k != -1)
			bits[k / 64] |= (uint64_t)1 << (k % 64);
		else if (st->op != OP_REMOVE)
			return "Too many keywords in this mailbox";
	}
	return NULL;
}

/* Only of what may be changed: set them, clear them, or both. */
static const char *
make_masks(struct storing *st, unsigned rights)
{
	uint32_t allowed = target_flags(rights);
	uint32_t named = st->flags.system & allowed;
	uint64_t keywords[STORE_KEYWORD_WORDS] = { 0 };
	const char *why = NULL;

	if (rights & ACL_WRITE)
		why = keyword_bits(st, keywords);
	if (why != NULL)
		return why;
	if (st->op != OP_REMOVE)
		st->set_flags = named;
	if (st->op != OP_ADD)
		st->clear_flags = st->op == OP_SET ? allowed : named;
	for (size_t i = 0; i < STORE_KEYWORD_WORDS; i++) {
		if (st->op != OP_REMOVE)
			st->set_keywords[i] = keywords[i];
		if (st->op == OP_SET && (rights & ACL_WRITE))
			st->clear_keywords[i] = UINT64_MAX;
		else if (st->op == OP_REMOVE)
			st->clear_keywords[i] = keywords[i];
	}
	return NULL;
}

/* \Seen of his own is kept elsewhere. */
static void
split_seen(struct storing *st, const struct view *v)
{
	if (view_seen(v) == NULL)
		return;
	st->sets_seen = st->set_flags & STORE_SEEN;
	st->clears_seen = !st->sets_seen && (st->clear_flags & STORE_SEEN);
	st->set_flags &= ~(uint32_t)STORE_SEEN;
	st->clear_flags &= ~(uint32_t)STORE_SEEN;
}

/* May he change any of what he wants to? */
static bool
may_store(const struct storing *st, unsigned rights)
{
	uint32_t allowed = target_flags(rights);

	if (st->op == OP_SET && allowed != 0)
		return true;
	if (st->flags.n > 0 && (rights & ACL_WRITE))
		return true;
	return (st->flags.system & allowed) != 0 ||
	       (st->flags.n == 0 && st->flags.system == 0 && allowed != 0);
}

static void
begin(struct storing *st)
{
	struct session *ss = st->ss;
	struct view *v = session_view(ss);
	const char *why;

	if (view_access(v) == VIEW_READ_ONLY) {
		session_done(ss, SESSION_NO, "READ-ONLY",
		    "Mailbox is read-only");
		return;
	}
	if (!may_store(st, view_rights(v))) {
		session_done(ss, SESSION_NO, "NOPERM", "Permission denied");
		return;
	}
	if (st->conditional)
		condstore_enable(ss);
	st->m = mailbox_hold(view_mailbox(v));
	why = make_masks(st, view_rights(v));
	if (why != NULL) {
		mailbox_release(&st->m);
		session_done(ss, SESSION_NO, "LIMIT", why);
		return;
	}
	split_seen(st, v);
	st->changes =
	    arena_array(st->cmd->arena, BATCH, sizeof(st->changes[0]));
	st->uids = arena_array(st->cmd->arena, BATCH, sizeof(st->uids[0]));
	next_batch(st);
}

/* " (UNCHANGEDSINCE n)" */
static void
parse_modifiers(struct storing *st, struct parse *p)
{
	if (parse_peek(p) != '(')
		return;
	parse_open(p);
	while (parse_more(p)) {
		parse_word(p, "UNCHANGEDSINCE");
		parse_sp(p);
		st->unchanged_since = parse_number64(p);
		st->conditional = true;
	}
	parse_sp(p);
}

static void
parse_store(struct storing *st, struct parse *p)
{
	if (parse_try(p, '+'))
		st->op = OP_ADD;
	else if (parse_try(p, '-'))
		st->op = OP_REMOVE;
	if (parse_try_word(p, "FLAGS.SILENT"))
		st->silent = true;
	else
		parse_word(p, "FLAGS");
	parse_sp(p);
	parse_store_flags(p, &st->flags);
	parse_end(p);
}

static void
store(struct session *ss, struct cmd *cmd, bool by_uid)
{
	struct storing *st = arena_alloc(cmd->arena, sizeof(*st));
	const char *why;

	st->ss = ss;
	st->cmd = cmd;
	st->unchanged_since = UINT64_MAX;
	msgset_parse(&st->set, cmd->args, by_uid);
	parse_sp(cmd->args);
	parse_modifiers(st, cmd->args);
	parse_store(st, cmd->args);
	if (parse_error(cmd->args) != NULL) {
		session_bad_syntax(ss);
		return;
	}
	why = msgset_begin(&st->set, ss);
	if (why != NULL)
		session_done(ss, SESSION_BAD, NULL, why);
	else
		begin(st);
}

void
backendd_STORE(struct session *ss, struct cmd *cmd)
{
	store(ss, cmd, false);
}

void
backendd_UID_STORE(struct session *ss, struct cmd *cmd)
{
	store(ss, cmd, true);
}
