#include "backendd/handlers.h"
#include "backendd/letter.h"
#include "backendd/mailbox.h"
#include "backendd/quota.h"
#include "backendd/seen.h"
#include "backendd/server.h"
#include "backendd/session.h"
#include "backendd/target.h"
#include "imap/acl.h"
#include "imap/date.h"
#include "imap/flag.h"
#include "imap/parse.h"
#include "imap/seqset.h"
#include "lib/arena.h"
#include "lib/blob.h"
#include "lib/buf.h"

/* One APPEND: its messages become letters one after another, then all go in. */
struct appending {
	struct session *ss;
	struct cmd *cmd;
	struct target *t;
	struct seen *seen; /* \Seen of his own there; NULL: shared */
	/* cmd->nblobs of each. */
	struct mailbox_append *items;
	struct letter **letters;
	bool *seen_by_him;
	size_t n, made;
};

static void
finish(struct appending *ap)
{
	for (size_t i = 0; i < ap->made; i++)
		letter_free(&ap->letters[i]);
	seen_close(&ap->seen);
	if (ap->t != NULL)
		mailbox_release(&ap->t->m);
}

static const char *
appenduid(struct appending *ap)
{
	struct arena *a = ap->cmd->arena;
	struct seqset uids = { 0 };
	struct buf text;
	const char *code;

	for (size_t i = 0; i < ap->n; i++)
		seqset_push(a, &uids, ap->items[i].uid);
	buf_init(&text, ap->n * 12);
	seqset_put(&text, &uids);
	code = arena_printf(a, "APPENDUID %u %.*s",
	    (unsigned)mailbox_numbers(ap->t->m)->uidvalidity,
	    (int)buf_len(&text), (const char *)buf_data(&text));
	buf_fini(&text);
	return code;
}

/* One who may not read there learns no UIDs (RFC 4315 2.1). */
static void
answer(struct appending *ap)
{
	const char *code = (ap->t->rights & ACL_READ) ? appenduid(ap) : NULL;

	finish(ap);
	session_done(ap->ss, SESSION_OK, code, "Append completed");
}

static void
on_seen(void *arg, const char *why)
{
	(void)why; /* the message is there; that it was seen is a hint */
	answer(arg);
}

static void
on_appended(void *arg, const char *why)
{
	struct appending *ap = arg;
	uint32_t *seen = arena_array(ap->cmd->arena, ap->n, sizeof(*seen));
	size_t n = 0;

	if (why != NULL) {
		finish(ap);
		session_done(ap->ss, SESSION_NO, "UNAVAILABLE",
		    arena_printf(ap->cmd->arena, "%s", why));
		return;
	}
	for (size_t i = 0; i < ap->n; i++)
		if (ap->seen_by_him[i])
			seen[n++] = ap->items[i].uid;
	if (n > 0)
		seen_change(ap->seen, seen, n, true, on_seen, ap);
	else
		answer(ap);
}

static void
admitted(void *arg, bool fits)
{
	struct appending *ap = arg;

	if (fits) {
		mailbox_append(ap->t->m, ap->items, ap->n, on_appended, ap);
		return;
	}
	finish(ap);
	quota_refuse(ap->ss);
}

static void
ask_quota(struct appending *ap)
{
	struct quota_need need = { .messages = ap->n };

	for (size_t i = 0; i < ap->n; i++)
		need.octets += letter_octets(ap->letters[i]).len;
	quota_admit(ap->ss, ap->t->name, &need, admitted, ap);
}

static void next_letter(struct appending *ap);

static void
on_letter(void *arg, struct letter *l)
{
	struct appending *ap = arg;

	ap->letters[ap->made] = l;
	ap->items[ap->made].letter = l;
	ap->made++;
	if (!letter_has_nul(l)) {
		next_letter(ap);
		return;
	}
	finish(ap);
	session_done(ap->ss, SESSION_NO, NULL, "There is a NUL in the message");
}

static void
next_letter(struct appending *ap)
{
	struct backendd *bd = session_server(ap->ss);
	struct blob *b;

	if (ap->made == ap->n) {
		ask_quota(ap);
		return;
	}
	b = ap->cmd->blobs[ap->made];
	ap->cmd->blobs[ap->made] = NULL;
	letter_make(bd->loop, bd->jobs, b, on_letter, ap);
}

/* Flags that he may not set there are left out (RFC 4314 4). */
static void
on_open(void *arg, struct target *t)
{
	struct appending *ap = arg;

	ap->t = t;
	ap->seen = target_seen(ap->ss, t);
	for (size_t i = 0; i < ap->n; i++) {
		uint32_t *flags = &ap->items[i].flags;

		*flags &= target_flags(t->rights);
		if (ap->seen != NULL && (*flags & STORE_SEEN)) {
			ap->seen_by_him[i] = true;
			*flags &= ~(uint32_t)STORE_SEEN;
		}
		if (!(t->rights & ACL_WRITE))
			ap->items[i].nkeywords = 0;
	}
	next_letter(ap);
}

/* "[(flags) ][date-time ]{n}" */
static void
parse_message(struct parse *p, struct mailbox_append *item)
{
	struct flags flags = { 0 };
	struct date_time when = { 0 };
	bool binary;

	if (parse_peek(p) == '(') {
		parse_flag_list(p, &flags);
		parse_sp(p);
	}
	if (parse_peek(p) == '"') {
		parse_date_time(p, &when);
		parse_sp(p);
	}
	if (parse_stream(p, &binary) == 0)
		parse_fail(p, "The message is empty");
	item->flags = flags.system & STORE_FLAGS; /* the same bits */
	item->keywords = flags.keywords;
	item->nkeywords = flags.n;
	item->internaldate = when.seconds;
	item->zone = (int16_t)when.zone; /* within a day */
}

static void
append(struct session *ss, struct cmd *cmd, struct slice external)
{
	struct appending *ap = arena_alloc(cmd->arena, sizeof(*ap));
	size_t most = cmd->nblobs;

	ap->ss = ss;
	ap->cmd = cmd;
	ap->items = arena_array(cmd->arena, most, sizeof(*ap->items));
	ap->letters = arena_array(cmd->arena, most, sizeof(*ap->letters));
	ap->seen_by_him =
	    arena_array(cmd->arena, most, sizeof(*ap->seen_by_him));
	do {
		parse_sp(cmd->args);
		if (ap->n == most)
			parse_fail(cmd->args, "There is no message");
		else
			parse_message(cmd->args, &ap->items[ap->n++]);
	} while (parse_error(cmd->args) == NULL &&
	         parse_peek(cmd->args) != PARSE_END);
	parse_end(cmd->args);
	if (parse_error(cmd->args) != NULL || ap->n != most) {
		session_bad_syntax(ss);
		return;
	}
	target_open(ss, external, ACL_INSERT, on_open, ap);
}

void
backendd_APPEND(struct session *ss, struct cmd *cmd)
{
	append(ss, cmd, parse_mailbox(cmd->args));
}

/*
 * Cyrus IMAP's frontend, for its client's APPEND.  The second name is what its
 * client has selected, a hint for who can use one.
 */
void
backendd_LOCALAPPEND(struct session *ss, struct cmd *cmd)
{
	struct slice external = parse_mailbox(cmd->args);

	parse_sp(cmd->args);
	(void)parse_astring(cmd->args);
	append(ss, cmd, external);
}
