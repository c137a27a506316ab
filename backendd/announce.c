#include <stdlib.h>

#include "backendd/announce.h"
#include "backendd/uplink.h"
#include "imap/mboxdigest.h"
#include "imap/mboxrec.h"
#include "imap/mupdate.h"
#include "imap/mupdate_ext.h"
#include "lib/arena.h"
#include "lib/buf.h"
#include "lib/list.h"
#include "lib/must.h"
#include "lib/xalloc.h"

#define ASKED_MAGIC 0xa110c3edu

struct announce {
	struct uplink *uplink;
	TAILQ_HEAD(, asked) asked;
	bool lost; /* a change, since announce_lost() */
};

enum verb {
	VERB_RESERVE,
	VERB_ACTIVATE,
	VERB_DEACTIVATE,
	VERB_DELETE,
	VERB_FIND,
	VERB_LIST,
	VERB_DIGEST,
	VERBS
};

/* What FIND says of a name. */
enum found {
	FOUND_NOTHING,
	FOUND_RESERVED, /* by us */
	FOUND_ACTIVE,   /* here */
	FOUND_ELSEWHERE,
	FOUNDS
};

enum verdict {
	VERDICT_OK,
	VERDICT_TAKEN,
	VERDICT_REFUSED,
	VERDICT_GO /* say the command */
};

/* Where FIND goes before the command: is there anything left to say? */
static const enum verdict before[VERBS][FOUNDS] = {
	[VERB_ACTIVATE] = { VERDICT_GO, VERDICT_GO, VERDICT_GO, VERDICT_TAKEN },
	[VERB_DEACTIVATE] = { VERDICT_OK, VERDICT_OK, VERDICT_GO,
	    VERDICT_TAKEN },
	[VERB_DELETE] = { VERDICT_OK, VERDICT_GO, VERDICT_GO, VERDICT_OK },
};

/* Where it follows a NO: what did that mean? */
static const enum verdict after[VERBS][FOUNDS] = {
	[VERB_RESERVE] = { VERDICT_REFUSED, VERDICT_REFUSED, VERDICT_TAKEN,
	    VERDICT_TAKEN },
	[VERB_ACTIVATE] = { VERDICT_REFUSED, VERDICT_REFUSED, VERDICT_REFUSED,
	    VERDICT_TAKEN },
	[VERB_DEACTIVATE] = { VERDICT_OK, VERDICT_OK, VERDICT_REFUSED,
	    VERDICT_TAKEN },
	[VERB_DELETE] = { VERDICT_OK, VERDICT_REFUSED, VERDICT_REFUSED,
	    VERDICT_OK },
};

enum step {
	STEP_COMMAND,
	STEP_FIND_BEFORE,
	STEP_FIND_AFTER
};

/* Something asked, in one command or in two. */
struct asked {
	unsigned magic;
	TAILQ_ENTRY(asked) link;
	struct announce *announce;
	struct arena arena;
	enum verb verb;
	enum step step;
	bool extended; /* in the words of XMURDER */
	struct slice name;
	struct mboxrec rec;
	const uint8_t *buckets;
	size_t nbuckets;
	enum found found;
	uint64_t generation;
	struct mboxdigest *digest; /* of VERB_DIGEST */
	bool digested;
	announce_entry_cb *entry;
	announce_cb *cb;
	announce_digest_cb *digest_cb;
	void *arg;
};

/* --- saying ---------------------------------------------------------------- */

static bool
is_find(const struct asked *q)
{
	return q->verb == VERB_FIND || q->step != STEP_COMMAND;
}

static void
put_list(struct asked *q, struct buf *out, const char *tag)
{
	struct slice prefix;

	if (q->nbuckets > 0) {
		mupdate_ext_put_list(out, tag, q->name, q->buckets,
		    q->nbuckets);
		return;
	}
	prefix = slice_str(
	    arena_printf(&q->arena, "%s!", arena_string(&q->arena, q->name)));
	mupdate_put_command(out, tag, MUPDATE_CMD_LIST, &prefix, 1);
}

static void
put(void *arg, struct buf *out, const char *tag)
{
	struct asked *q = arg;
	struct slice args[] = { q->name, q->rec.location, q->rec.acl };
	bool x = q->extended;

	MUST(q->magic == ASKED_MAGIC);
	if (is_find(q)) {
		mupdate_put_command(out, tag,
		    x ? MUPDATE_CMD_XFIND : MUPDATE_CMD_FIND, args, 1);
		return;
	}
	switch (q->verb) {
	case VERB_RESERVE:
		mupdate_put_command(out, tag,
		    x ? MUPDATE_CMD_XRESERVE : MUPDATE_CMD_RESERVE, args, 2);
		break;
	case VERB_ACTIVATE:
		if (x)
			mupdate_ext_put_activate(out, tag, q->name, &q->rec);
		else
			mupdate_put_command(out, tag, MUPDATE_CMD_ACTIVATE,
			    args, 3);
		break;
	case VERB_DEACTIVATE:
		mupdate_put_command(out, tag, MUPDATE_CMD_DEACTIVATE, args, 2);
		break;
	case VERB_DELETE:
		mupdate_put_command(out, tag, MUPDATE_CMD_DELETE, args, 1);
		break;
	case VERB_LIST:
		put_list(q, out, tag);
		break;
	case VERB_DIGEST:
		mupdate_put_command(out, tag, MUPDATE_CMD_XDIGEST, args, 1);
		break;
	case VERB_FIND:
	case VERBS:
		break;
	}
}

/* --- hearing --------------------------------------------------------------- */

static bool
read_entry(const struct mupdate_message *m, struct slice *name,
    struct mboxrec *rec)
{
	if (m->id == MUPDATE_XENTRY)
		return mupdate_ext_get_entry(m, name, rec);
	if (m->id != MUPDATE_MAILBOX && m->id != MUPDATE_RESERVE)
		return false;
	*name = m->args[0];
	*rec = (struct mboxrec){ .state = MBOXREC_RESERVED,
		.location = m->args[1] };
	if (m->id == MUPDATE_MAILBOX) {
		rec->state = MBOXREC_ACTIVE;
		rec->acl = m->args[2];
	}
	return true;
}

static void
note_found(struct asked *q, const struct mboxrec *rec)
{
	if (!slice_equal(mboxrec_host(rec->location),
	        mboxrec_host(q->rec.location)))
		q->found = FOUND_ELSEWHERE;
	else
		q->found = rec->state == MBOXREC_RESERVED ? FOUND_RESERVED
		                                          : FOUND_ACTIVE;
}

/* What cannot be understood is passed over. */
static void
heard_line(void *arg, const struct mupdate_message *m)
{
	struct asked *q = arg;
	struct slice name;
	struct mboxrec rec;

	MUST(q->magic == ASKED_MAGIC);
	if (m->id == MUPDATE_XGRANT) {
		if (!mupdate_ext_get_grant(m, &name, &q->generation))
			q->generation = 0;
	} else if (m->id == MUPDATE_XDIGEST) {
		if (q->digest != NULL)
			q->digested =
			    mupdate_ext_get_digest(m, &name, q->digest);
	} else if (read_entry(m, &name, &rec)) {
		if (q->step != STEP_COMMAND)
			note_found(q, &rec);
		else if (q->entry != NULL)
			q->entry(q->arg, name, &rec);
	}
}

static void
drop(struct asked *q)
{
	TAILQ_REMOVE(&q->announce->asked, q, link);
	q->magic = 0;
	arena_reset(&q->arena);
	free(q->digest);
	free(q);
}

static void
finish(struct asked *q, enum announce_result r, const char *text)
{
	struct announce_answer answer = { r, q->generation, text };

	if (q->verb == VERB_DIGEST)
		q->digest_cb(q->arg, &answer,
		    r == ANNOUNCE_OK ? q->digest : NULL);
	else if (q->cb != NULL)
		q->cb(q->arg, &answer);
	drop(q);
}

static void heard_end(void *arg, enum uplink_end end, const char *text);

static void
say(struct asked *q, enum step step)
{
	q->step = step;
	q->extended = uplink_has_xmurder(q->announce->uplink);
	q->found = FOUND_NOTHING;
	uplink_ask(q->announce->uplink, put, heard_line, heard_end, q);
}

static void
judge(struct asked *q, enum verdict v, const char *text)
{
	switch (v) {
	case VERDICT_OK:
		finish(q, ANNOUNCE_OK, text);
		break;
	case VERDICT_TAKEN:
		finish(q, ANNOUNCE_TAKEN, text);
		break;
	case VERDICT_REFUSED:
		finish(q, ANNOUNCE_REFUSED, text);
		break;
	case VERDICT_GO:
		say(q, STEP_COMMAND);
		break;
	}
}

/* The command's own NO: by its code, or by what FIND says then. */
static void
refused(struct asked *q, const char *text)
{
	enum mupdate_code code = mupdate_ext_code(slice_str(text));
	bool changes = q->verb <= VERB_DELETE;

	if (changes && code == MUPDATE_CODE_FENCED)
		finish(q, ANNOUNCE_FENCED, text);
	else if (changes && code == MUPDATE_CODE_TAKEN &&
	         q->verb != VERB_DELETE)
		finish(q, ANNOUNCE_TAKEN, text);
	else if (changes)
		say(q, STEP_FIND_AFTER);
	else
		finish(q, ANNOUNCE_REFUSED, text);
}

static void
heard_end(void *arg, enum uplink_end end, const char *text)
{
	struct asked *q = arg;

	MUST(q->magic == ASKED_MAGIC);
	if (end == UPLINK_LOST && q->verb <= VERB_DELETE)
		q->announce->lost = true;
	if (end == UPLINK_LOST)
		finish(q, ANNOUNCE_UNAVAILABLE, text);
	else if (q->step == STEP_COMMAND && end == UPLINK_NO)
		refused(q, text);
	else if (end == UPLINK_NO)
		finish(q, ANNOUNCE_REFUSED, text);
	else if (q->step == STEP_FIND_BEFORE)
		judge(q, before[q->verb][q->found], text);
	else if (q->step == STEP_FIND_AFTER)
		judge(q, after[q->verb][q->found], text);
	else if (q->verb == VERB_DIGEST && !q->digested)
		finish(q, ANNOUNCE_REFUSED, "no digest in the answer");
	else
		finish(q, ANNOUNCE_OK, text);
}

/* --- asking ---------------------------------------------------------------- */

static struct asked *
ask(struct announce *a, enum verb verb, const char *name)
{
	struct asked *q = xcalloc(1, sizeof(*q));

	q->magic = ASKED_MAGIC;
	q->announce = a;
	q->verb = verb;
	arena_init(&q->arena);
	q->name = arena_copy(&q->arena, slice_str(name));
	TAILQ_INSERT_TAIL(&a->asked, q, link);
	return q;
}

static void
begin(struct asked *q, enum step plainly, announce_cb *cb, void *arg)
{
	q->cb = cb;
	q->arg = arg;
	say(q,
	    uplink_has_xmurder(q->announce->uplink) ? STEP_COMMAND : plainly);
}

static struct asked *
ask_at(struct announce *a, enum verb verb, const char *name,
    const char *location)
{
	struct asked *q = ask(a, verb, name);

	q->rec.location = arena_copy(&q->arena, slice_str(location));
	return q;
}

void
announce_reserve(struct announce *a, const char *name, const char *location,
    announce_cb *cb, void *arg)
{
	begin(ask_at(a, VERB_RESERVE, name, location), STEP_COMMAND, cb, arg);
}

void
announce_activate(struct announce *a, const char *name,
    const struct mboxrec *rec, enum announce_title title, announce_cb *cb,
    void *arg)
{
	struct asked *q = ask(a, VERB_ACTIVATE, name);

	q->rec = *rec;
	q->rec.location = arena_copy(&q->arena, rec->location);
	q->rec.acl = arena_copy(&q->arena, rec->acl);
	q->rec.mailboxid = arena_copy(&q->arena, rec->mailboxid);
	q->rec.special_uses = arena_copy(&q->arena, rec->special_uses);
	begin(q, title == ANNOUNCE_HELD ? STEP_COMMAND : STEP_FIND_BEFORE, cb,
	    arg);
}

void
announce_deactivate(struct announce *a, const char *name, const char *location,
    announce_cb *cb, void *arg)
{
	begin(ask_at(a, VERB_DEACTIVATE, name, location), STEP_FIND_BEFORE, cb,
	    arg);
}

void
announce_delete(struct announce *a, const char *name, const char *location,
    announce_cb *cb, void *arg)
{
	begin(ask_at(a, VERB_DELETE, name, location), STEP_FIND_BEFORE, cb,
	    arg);
}

void
announce_find(struct announce *a, const char *name, announce_entry_cb *entry,
    announce_cb *cb, void *arg)
{
	struct asked *q = ask(a, VERB_FIND, name);

	q->entry = entry;
	begin(q, STEP_COMMAND, cb, arg);
}

void
announce_list(struct announce *a, const char *host, const uint8_t *buckets,
    size_t n, announce_entry_cb *entry, announce_cb *cb, void *arg)
{
	struct asked *q = ask(a, VERB_LIST, host);

	MUST(n <= MUPDATE_EXT_BUCKETS_MAX);
	q->buckets = arena_copy(&q->arena, slice_of(buckets, n)).ptr;
	q->nbuckets = n;
	q->entry = entry;
	begin(q, STEP_COMMAND, cb, arg);
}

void
announce_digest(struct announce *a, const char *host, announce_digest_cb *cb,
    void *arg)
{
	struct asked *q = ask(a, VERB_DIGEST, host);

	q->digest = xcalloc(1, sizeof(*q->digest));
	q->digest_cb = cb;
	begin(q, STEP_COMMAND, NULL, arg);
}

struct announce *
announce_new(struct loop *l, struct jobs *jobs, struct log *log,
    const struct uplink_conf *conf, void (*changed)(void *arg, bool up),
    void *arg)
{
	struct announce *a = xcalloc(1, sizeof(*a));

	TAILQ_INIT(&a->asked);
	a->lost = true;
	a->uplink = uplink_new(l, jobs, log, conf, changed, arg);
	return a;
}

void
announce_free(struct announce **ap)
{
	struct announce *a = *ap;
	struct asked *q;

	*ap = NULL;
	if (a == NULL)
		return;
	uplink_free(&a->uplink);
	while ((q = TAILQ_FIRST(&a->asked)) != NULL)
		drop(q);
	free(a);
}

bool
announce_is_up(const struct announce *a)
{
	return uplink_is_up(a->uplink);
}

bool
announce_has_digests(const struct announce *a)
{
	return uplink_has_xmurder(a->uplink);
}

bool
announce_lost(struct announce *a)
{
	bool lost = a->lost;

	a->lost = false;
	return lost;
}
