#include <string.h>

#include "backendd/append_run.h"
#include "backendd/catenate.h"
#include "backendd/conf.h"
#include "backendd/letter.h"
#include "backendd/letter_binary.h"
#include "backendd/mailbox.h"
#include "backendd/msgset.h"
#include "backendd/quota.h"
#include "backendd/seen.h"
#include "backendd/server.h"
#include "backendd/session.h"
#include "backendd/target.h"
#include "backendd/view.h"
#include "imap/acl.h"
#include "imap/date.h"
#include "imap/flag.h"
#include "imap/mboxname.h"
#include "imap/parse.h"
#include "imap/seqset.h"
#include "lib/arena.h"
#include "lib/blob.h"
#include "lib/buf.h"
#include "lib/must.h"

enum {
	FIRST_MESSAGES = 8,
	FIRST_PARTS = 4,
	TAGGED_MAX = 4 * 1024,     /* of an APPENDUID in the tagged reply */
	APPENDUID_MAX = 64 * 1024, /* of one at all */
};

/* How its octets come: one literal, or CATENATE's parts. */
struct message {
	size_t literal;              /* of cmd->blobs */
	struct catenate_part *parts; /* or NULL */
	size_t nparts, room;
	bool binary; /* a literal8 is in it: it may have NULs */
	bool seen_by_him;
	struct letter *letter; /* NULL: to be made */
};

struct append_run {
	struct session *ss;
	struct cmd *cmd;
	struct message *messages; /* n of each */
	struct mailbox_append *items;
	size_t n, room, made;
	size_t literals; /* parsed, of cmd->blobs */
	uint64_t octets; /* of those made */
	bool empty;      /* a literal of no octets: it cancels all */
	bool utf8;       /* UTF8 (...) */

	uint32_t replaces;
	struct mailbox *source; /* of that; a hold */
	struct target *t;
	struct seen *seen; /* \Seen of his own there; NULL: shared */
	struct quota_hold hold;
};

/* ---------------------------------------------------------------- the end */

static void
finish(struct append_run *ap)
{
	for (size_t i = 0; i < ap->n; i++)
		letter_free(&ap->messages[i].letter);
	seen_close(&ap->seen);
	mailbox_release(&ap->source);
	if (ap->t != NULL)
		mailbox_release(&ap->t->m);
}

static void
refuse(struct append_run *ap, const char *code, const char *why)
{
	struct arena *a = ap->cmd->arena;

	why = arena_printf(a, "%s", why);
	finish(ap);
	session_done(ap->ss, SESSION_NO, code, why);
}

static const char *
appenduid(struct append_run *ap)
{
	struct arena *a = ap->cmd->arena;
	struct seqset uids = { 0 };
	struct buf text;
	const char *code;

	for (size_t i = 0; i < ap->n; i++)
		seqset_push(a, &uids, ap->items[i].uid);
	buf_init(&text, APPENDUID_MAX);
	buf_printf(&text, "APPENDUID %u ",
	    (unsigned)mailbox_numbers(ap->t->m)->uidvalidity);
	seqset_put(&text, &uids);
	MUST(!buf_failed(&text)); /* they were given in order */
	code = arena_string(a, buf_slice(&text));
	buf_fini(&text);
	return code;
}

/* A REPLACE tells it before the EXPUNGE (RFC 8508 4.3). */
static void
say_appenduid(struct session *ss, void *arg)
{
	struct append_run *ap = arg;

	buf_printf(session_out(ss), "* OK [%s] Replacement Message ready\r\n",
	    appenduid(ap));
	session_flush(ss);
	finish(ap);
	session_done(ss, SESSION_OK, NULL, "Replace completed");
}

/* One who may not read there learns no UIDs (RFC 4315 2.1). */
static void
answer(struct append_run *ap)
{
	bool tells = ap->t->rights & ACL_READ;
	const char *code;

	if (tells && ap->replaces != 0) {
		session_wait_room(ap->ss, TAGGED_MAX, say_appenduid, ap);
		return;
	}
	code = tells && ap->replaces == 0 ? appenduid(ap) : NULL;
	finish(ap);
	session_done(ap->ss, SESSION_OK, code,
	    ap->replaces != 0 ? "Replace completed" : "Append completed");
}

static void
on_seen(void *arg, const char *why)
{
	(void)why; /* the message is there; that it was seen is a hint */
	answer(arg);
}

static void
on_stored(void *arg, const char *why)
{
	struct append_run *ap = arg;
	uint32_t *seen = arena_array(ap->cmd->arena, ap->n, sizeof(*seen));
	size_t n = 0;

	quota_release(session_server(ap->ss)->quotas, &ap->hold);
	if (why != NULL) {
		refuse(ap, "UNAVAILABLE", why);
		return;
	}
	if (ap->items[0].outcome == STORE_GONE) {
		refuse(ap, "EXPUNGEISSUED", "The message is gone");
		return;
	}
	for (size_t i = 0; i < ap->n; i++)
		if (ap->messages[i].seen_by_him)
			seen[n++] = ap->items[i].uid;
	if (n > 0)
		seen_change(ap->seen, seen, n, true, on_seen, ap);
	else
		answer(ap);
}

/* ---------------------------------------------------------------- letters */

static void next_letter(struct append_run *ap);

static void
keep_letter(struct append_run *ap, struct letter *l)
{
	ap->messages[ap->made].letter = l;
	ap->items[ap->made].letter = l;
	ap->octets += letter_octets(l).len;
	ap->made++;
}

static void
on_binary(void *arg, struct letter *l, const char *why)
{
	struct append_run *ap = arg;

	if (l == NULL) {
		refuse(ap, "UNKNOWN-CTE", why);
		return;
	}
	keep_letter(ap, l);
	next_letter(ap);
}

static void
take_binary(struct append_run *ap, struct letter *l)
{
	if (ap->messages[ap->made].binary) {
		letter_binary(session_server(ap->ss), l, on_binary, ap);
	} else {
		letter_free(&l);
		refuse(ap, NULL, "There is a NUL in the message");
	}
}

static void
on_letter(void *arg, struct letter *l)
{
	struct append_run *ap = arg;

	ap->messages[ap->made].letter = l;
	next_letter(ap);
}

static void
make_letter(struct append_run *ap, struct blob *b)
{
	struct backendd *bd = session_server(ap->ss);

	letter_make(bd->loop, bd->jobs, b, on_letter, ap);
}

/* What it is made of was not all sent, so nobody has counted it yet. */
static void
on_catenated(void *arg, const struct catenate_result *r)
{
	struct append_run *ap = arg;
	uint64_t most = session_server(ap->ss)->conf->append_size;
	struct blob *b = r->blob;

	if (b == NULL) {
		refuse(ap, r->code, r->why);
	} else if (ap->octets + blob_slice(b).len > most) {
		blob_free(&b);
		refuse(ap, "LIMIT", "Too many octets at once");
	} else {
		make_letter(ap, b);
	}
}

static void
store(void *arg, bool fits)
{
	struct append_run *ap = arg;

	if (!fits) {
		finish(ap);
		quota_refuse(ap->ss);
		return;
	}
	if (ap->replaces != 0)
		mailbox_replace(ap->source, ap->replaces, ap->t->m, ap->items,
		    on_stored, ap);
	else
		mailbox_append(ap->t->m, ap->items, ap->n, on_stored, ap);
}

/* RFC 8508 3.4: of a REPLACE only what it adds counts. */
static void
less_replaced(struct append_run *ap, struct quota_need *need)
{
	struct quotas *q = session_server(ap->ss)->quotas;
	struct arena *a = ap->cmd->arena;
	const char *source = view_name(session_view(ap->ss));
	const char *from = quota_root_of(q, source, a);
	const char *to = quota_root_of(q, ap->t->name, a);
	const struct store_msg *old =
	    store_find(mailbox_store(ap->source), ap->replaces);

	if (old == NULL || from == NULL || to == NULL || strcmp(from, to) != 0)
		return;
	need->messages = 0;
	need->octets = need->octets > old->size ? need->octets - old->size : 0;
}

static void
ask_quota(struct append_run *ap)
{
	struct quota_need need = { .messages = ap->n, .hold = &ap->hold };

	for (size_t i = 0; i < ap->n; i++)
		need.octets += letter_octets(ap->messages[i].letter).len;
	if (ap->replaces != 0)
		less_replaced(ap, &need);
	quota_admit(ap->ss, ap->t->name, &need, store, ap);
}

/* The blob of one that is a literal as it is. */
static struct blob *
take_blob(struct append_run *ap, const struct message *m)
{
	struct blob *b = ap->cmd->blobs[m->literal];

	ap->cmd->blobs[m->literal] = NULL;
	return b;
}

static void
next_letter(struct append_run *ap)
{
	struct message *m = &ap->messages[ap->made];
	struct letter *l;

	while (ap->made < ap->n && m->letter != NULL &&
	       !letter_has_nul(m->letter)) {
		keep_letter(ap, m->letter);
		m++;
	}
	if (ap->made == ap->n) {
		ask_quota(ap);
	} else if (m->letter != NULL) {
		l = m->letter;
		m->letter = NULL;
		take_binary(ap, l);
	} else if (m->parts != NULL) {
		catenate(ap->ss, m->parts, m->nparts, on_catenated, ap);
	} else {
		make_letter(ap, take_blob(ap, m));
	}
}

static void
on_letters(void *arg)
{
	struct append_run *ap = arg;

	for (size_t i = 0; i < ap->n; i++)
		if (ap->messages[i].parts == NULL)
			ap->messages[i].letter = letters_take(ap->cmd->letters,
			    ap->messages[i].literal);
	next_letter(ap);
}

/* CATENATE's parts have to be read first, one message after another. */
static void
make_letters(struct append_run *ap)
{
	struct backendd *bd = session_server(ap->ss);
	struct cmd *cmd = ap->cmd;

	if (cmd->letters == NULL)
		cmd->letters = letters_new(bd->jobs);
	for (size_t i = 0; i < ap->n; i++) {
		size_t number = ap->messages[i].literal;

		if (ap->messages[i].parts == NULL &&
		    !letters_has(cmd->letters, number))
			letters_add(cmd->letters, number, cmd->blobs[number]);
	}
	if (letters_ready(cmd->letters, on_letters, ap))
		on_letters(ap);
}

/* Flags that he may not set there are left out (RFC 4314 4). */
static void
on_open(void *arg, struct target *t)
{
	struct append_run *ap = arg;

	ap->t = t;
	ap->seen = target_seen(ap->ss, t);
	if (ap->replaces != 0 && view_lost(session_view(ap->ss))) {
		refuse(ap, "NONEXISTENT", "Mailbox is gone");
		return;
	}
	if (ap->replaces != 0)
		ap->source = mailbox_hold(view_mailbox(session_view(ap->ss)));
	for (size_t i = 0; i < ap->n; i++) {
		uint32_t *flags = &ap->items[i].flags;

		*flags &= target_flags(t->rights);
		if (ap->seen != NULL && (*flags & STORE_SEEN)) {
			ap->messages[i].seen_by_him = true;
			*flags &= ~(uint32_t)STORE_SEEN;
		}
		if (!(t->rights & ACL_WRITE))
			ap->items[i].nkeywords = 0;
	}
	if (ap->n > 1)
		make_letters(ap);
	else
		next_letter(ap);
}

void
append_run(struct append_run *ap, struct slice external, uint32_t replaces)
{
	ap->replaces = replaces;
	target_open(ap->ss, external, ACL_INSERT, on_open, ap);
}

/* ------------------------------------------------------- the first literal */

static bool
is_replace(const struct cmd *cmd)
{
	return cmd->what->id == COMMAND_REPLACE ||
	       cmd->what->id == COMMAND_UID_REPLACE;
}

/* RFC 8508 4.1: what UID STORE, UID EXPUNGE and APPEND need. */
static const char *
refuse_to_replace(const struct view *v)
{
	unsigned need = ACL_DELETE_MESSAGES | ACL_EXPUNGE;

	if (view_access(v) != VIEW_READ_WRITE)
		return "Mailbox is read-only";
	return (view_rights(v) & need) == need ? NULL : "Permission denied";
}

struct append_no
append_replaced(struct session *ss, struct msgset *set, uint32_t *uid)
{
	const struct view *v = session_view(ss);
	struct append_no no = { .why = "One message at a time", .bad = true };

	if (msgset_is_one(set))
		no.why = msgset_begin(set, ss);
	if (no.why != NULL)
		return no;
	*uid = msgset_next(set, v);
	no = (struct append_no){ refuse_to_replace(v), "NOPERM", false };
	if (no.why == NULL && *uid == 0)
		no = (struct append_no){ .why = "No such message" };
	return no;
}

/* What comes of it later does not matter here. */
static void
on_quota(void *arg, enum quota_verdict v)
{
	(void)arg, (void)v;
}

/* What is wrong with the arguments the handler says. */
struct append_no
append_refusal(struct session *ss, uint64_t size)
{
	struct cmd *cmd = session_cmd(ss);
	struct mboxname_view who = session_names(ss);
	struct quota_need need = { .octets = size, .messages = 1 };
	struct append_no none = { .why = NULL }, no = none;
	struct session_refusal refusal;
	struct slice external, text;
	struct msgset set;
	const char *name;
	uint32_t uid;

	if (is_replace(cmd)) {
		msgset_parse(&set, cmd->args,
		    cmd->what->id == COMMAND_UID_REPLACE);
		parse_sp(cmd->args);
	}
	external = parse_mailbox(cmd->args);
	if (parse_error(cmd->args) != NULL ||
	    mboxname_from_external(cmd->arena, &who, external, &text) != NULL)
		return none;
	name = arena_string(cmd->arena, text);
	if (session_find_mailbox(ss, name, ACL_INSERT, &refusal) == NULL)
		return (struct append_no){ refusal.why, refusal.code, false };
	/* What a REPLACE takes away is not known here. */
	if (is_replace(cmd))
		no = append_replaced(ss, &set, &uid);
	else if (quota_check(session_server(ss)->quotas, name, &need, on_quota,
	             NULL) == QUOTA_OVER)
		no = (struct append_no){ "Over quota", "OVERQUOTA", false };
	return no;
}

/* ------------------------------------------------------------------ parse */

/* One more message; false: there are too many. */
static bool
add_message(struct append_run *ap)
{
	struct arena *a = ap->cmd->arena;
	size_t room = ap->room == 0 ? FIRST_MESSAGES : 2 * ap->room;
	struct message *messages;
	struct mailbox_append *items;

	if (ap->n == STORE_ITEMS_MAX)
		return false;
	if (ap->n == ap->room) {
		messages = arena_array(a, room, sizeof(*messages));
		items = arena_array(a, room, sizeof(*items));
		if (ap->n > 0) {
			memcpy(messages, ap->messages,
			    ap->n * sizeof(*messages));
			memcpy(items, ap->items, ap->n * sizeof(*items));
		}
		ap->messages = messages;
		ap->items = items;
		ap->room = room;
	}
	ap->n++;
	return true;
}

/* The literal that comes now: which of cmd->blobs it is. */
static size_t
parse_literal(struct append_run *ap, struct message *m, bool *empty)
{
	bool binary;

	*empty |= parse_stream(ap->cmd->args, &binary) == 0;
	m->binary |= binary;
	return ap->literals++;
}

/* Behind "UTF8": " (~{n})". */
static size_t
parse_utf8(struct append_run *ap, struct message *m, bool *empty)
{
	struct parse *p = ap->cmd->args;
	size_t literal;

	ap->utf8 = true;
	parse_sp(p);
	parse_char(p, '(');
	literal = parse_literal(ap, m, empty);
	if (!m->binary)
		parse_fail(p, "literal8 expected");
	parse_char(p, ')');
	return literal;
}

/* "TEXT {n}", "URL x" or "UTF8 (~{n})", up to ")". */
static void
parse_part(struct append_run *ap, struct message *m, struct catenate_part *part)
{
	struct parse *p = ap->cmd->args;
	bool empty = false; /* a part may be */
	size_t literal;

	if (parse_try_word(p, "URL")) {
		parse_sp(p);
		part->url = parse_astring(p);
		return;
	}
	if (parse_try_word(p, "UTF8")) {
		literal = parse_utf8(ap, m, &empty);
	} else {
		parse_word(p, "TEXT");
		parse_sp(p);
		literal = parse_literal(ap, m, &empty);
	}
	if (parse_error(p) == NULL && literal < ap->cmd->nblobs)
		part->text = ap->cmd->blobs[literal];
}

/* Few have many: there may be thousands of messages. */
static struct catenate_part *
add_part(struct append_run *ap, struct message *m)
{
	struct catenate_part *parts;

	if (m->nparts == m->room) {
		m->room = m->room == 0 ? FIRST_PARTS : 2 * m->room;
		parts = arena_array(ap->cmd->arena, m->room, sizeof(*parts));
		if (m->nparts > 0)
			memcpy(parts, m->parts, m->nparts * sizeof(*parts));
		m->parts = parts;
	}
	return &m->parts[m->nparts++];
}

static void
parse_catenate(struct append_run *ap, struct message *m)
{
	struct parse *p = ap->cmd->args;

	parse_sp(p);
	parse_open(p);
	while (parse_more(p)) {
		if (m->nparts == CATENATE_PARTS_MAX)
			parse_fail(p, "Too many parts");
		else
			parse_part(ap, m, add_part(ap, m));
	}
	if (m->nparts == 0)
		parse_fail(p, "Nothing to catenate");
}

/* "[(flags) ][date-time ]message" */
static void
parse_message(struct append_run *ap)
{
	struct parse *p = ap->cmd->args;
	struct message *m = &ap->messages[ap->n - 1];
	struct mailbox_append *item = &ap->items[ap->n - 1];
	struct flags flags = { 0 };
	struct date_time when = { 0 };

	if (parse_peek(p) == '(') {
		parse_flag_list(p, &flags);
		parse_sp(p);
	}
	if (parse_peek(p) == '"') {
		parse_date_time(p, &when);
		parse_sp(p);
	}
	if (parse_try_word(p, "CATENATE"))
		parse_catenate(ap, m);
	else if (parse_try_word(p, "UTF8"))
		m->literal = parse_utf8(ap, m, &ap->empty);
	else
		m->literal = parse_literal(ap, m, &ap->empty);
	item->flags = flags.system & STORE_FLAGS; /* the same bits */
	item->keywords = flags.keywords;
	item->nkeywords = flags.n;
	item->internaldate = when.seconds;
	item->zone = (int16_t)when.zone; /* within a day */
}

struct append_run *
append_parse(struct session *ss, size_t most)
{
	struct cmd *cmd = session_cmd(ss);
	struct append_run *ap = arena_alloc(cmd->arena, sizeof(*ap));
	struct parse *p = cmd->args;
	const char *why = NULL, *code = NULL;

	ap->ss = ss;
	ap->cmd = cmd;
	do {
		parse_sp(p);
		if (ap->n == most || !add_message(ap))
			parse_fail(p, "Too many messages");
		else
			parse_message(ap);
	} while (parse_error(p) == NULL && parse_peek(p) != PARSE_END);
	parse_end(p);
	if (parse_error(p) != NULL || ap->literals != cmd->nblobs) {
		session_bad_syntax(ss);
		return NULL;
	}
	if (ap->utf8 && !(session_enabled(ss) & ENABLED_UTF8))
		why = "Say ENABLE UTF8=ACCEPT first";
	if (ap->empty) {
		/* RFC 3502: it takes all the others back. */
		code = "CLIENTBUG";
		why = "A message is empty: nothing was appended";
	}
	if (why == NULL)
		return ap;
	session_done(ss, SESSION_NO, code, why);
	return NULL;
}
