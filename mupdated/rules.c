#include "lib/conf.h"
#include "lib/must.h"
#include "lib/treedb.h"
#include "mupdated/rules.h"
#include "mupdated/runs.h"

enum {
	/* A generation may be ahead of the clock by a year of revisions: a list
	 * was lost and the clock set back.  More is nonsense, and would use up
	 * the numbers: at once, or a year each time. */
	AHEAD_DAYS = 366,
	DAY_MS = 24 * 3600 * 1000
};

/* --- who ------------------------------------------------------------------- */

bool
rules_owns(const struct rules_who *who, struct slice host)
{
	if (slice_equal(host, who->user))
		return true;
	for (size_t i = 0; i < who->hosts->count; i++) {
		struct slice item = slice_str(who->hosts->items[i]);
		size_t at = slice_find(item, ':');

		if (slice_equal(slice_first(item, at), who->user) &&
		    slice_equal(slice_skip(item, at + 1), host))
			return true;
	}
	return false;
}

static bool
may(const struct rules_who *who, struct slice location)
{
	return who->everything || rules_owns(who, mboxrec_host(location));
}

/* Does the host of the entry learn of this only if it is told? */
static bool
is_behind_its_back(const struct rules_who *who, const struct mboxrec *old)
{
	struct slice host = mboxrec_host(old->location);

	return old->state != MBOXREC_RESERVED &&
	       !slice_equal(host, who->host) && !rules_owns(who, host);
}

/* --- what is fit ----------------------------------------------------------- */

static bool
has_controls(struct slice s)
{
	for (size_t i = 0; i < s.len; i++)
		if (s.ptr[i] < 0x20 || s.ptr[i] == 0x7f)
			return true;
	return false;
}

bool
rules_is_name(struct slice name)
{
	return name.len > 0 && name.len <= TREEDB_KEY_MAX &&
	       !has_controls(name);
}

static bool
is_location(struct slice location)
{
	return location.len > 0 && location.len <= MBOXREC_LOCATION_MAX &&
	       !has_controls(location);
}

/* With a space between them. */
static bool
are_special_uses(struct slice uses)
{
	bool more = uses.len > 0;

	while (more) {
		size_t end = slice_find(uses, ' ');

		if (!mboxrec_is_special_use(slice_first(uses, end)))
			return false;
		more = end < uses.len;
		if (more)
			uses = slice_skip(uses, end + 1);
	}
	return true;
}

static bool
are_attributes(const struct mboxrec *r)
{
	return (r->mailboxid.len == 0 || mboxrec_is_mailboxid(r->mailboxid)) &&
	       are_special_uses(r->special_uses);
}

/* --- verdicts -------------------------------------------------------------- */

static struct rules_verdict
refuse(enum mupdate_code code, const char *text)
{
	return (struct rules_verdict){ .outcome = RULES_REFUSE,
		.code = code,
		.text = text };
}

static struct rules_verdict
keep(const struct mboxrec *old)
{
	return (struct rules_verdict){ .outcome = RULES_KEEP, .record = *old };
}

static struct rules_verdict
put(const struct mboxrec *r, const struct rules_now *now)
{
	struct rules_verdict v = { .outcome = RULES_PUT, .record = *r };

	v.record.revision = now->revision;
	return v;
}

static bool
same_host(const struct mboxrec *a, const struct mboxrec *b)
{
	return slice_equal(mboxrec_host(a->location),
	    mboxrec_host(b->location));
}

/* --- the commands ---------------------------------------------------------- */

/* LIST:reserve, in t/model/murder.pml. */
static struct rules_verdict
reserve(const struct rules_request *rq, const struct mboxrec *old,
    const struct rules_who *who, const struct rules_now *now)
{
	struct mboxrec r = { .state = MBOXREC_RESERVED,
		.location = rq->wanted.location,
		.generation = now->revision,
		.owner = who->user,
		.since = now->seconds };

	if (old == NULL)
		return put(&r, now);
	if (slice_equal(old->location, r.location))
		return keep(old);
	return refuse(MUPDATE_CODE_TAKEN, "mailbox already exists");
}

static bool
says_nothing_new(const struct mboxrec *old, const struct mboxrec *r)
{
	return old->state == MBOXREC_ACTIVE && old->type == r->type &&
	       old->generation == r->generation &&
	       slice_equal(old->location, r->location) &&
	       slice_equal(old->acl, r->acl) &&
	       slice_equal(old->mailboxid, r->mailboxid) &&
	       slice_equal(old->special_uses, r->special_uses);
}

/* LIST:activate, RFC 3656's: it says nothing of what the extension knows. */
static struct rules_verdict
activate(const struct rules_request *rq, const struct mboxrec *old,
    const struct rules_who *who, const struct rules_now *now)
{
	struct mboxrec r = { .state = MBOXREC_ACTIVE,
		.location = rq->wanted.location,
		.acl = rq->wanted.acl,
		.generation = now->revision };
	struct rules_verdict v;

	if (old == NULL)
		return put(&r, now);
	if (same_host(old, &r)) {
		r.mailboxid = old->mailboxid;
		r.special_uses = old->special_uses;
		r.type = old->type;
		if (old->generation != 0)
			r.generation = old->generation;
		return says_nothing_new(old, &r) ? keep(old) : put(&r, now);
	}
	/* A mailbox that moves is deactivated first. */
	if (old->state != MBOXREC_MOVING && !may(who, old->location))
		return refuse(MUPDATE_CODE_TAKEN,
		    old->state == MBOXREC_ACTIVE
		        ? "mailbox is active on another server"
		        : "mailbox is reserved by another server");
	v = put(&r, now);
	v.taken = true;
	return v;
}

/*
 * LIST:takeover.  Ours to give back is what a list before ours granted: of no
 * run that we know, and not of times to come, which any writer could name.
 */
static struct rules_verdict
take_over(struct mboxrec *r, const struct mboxrec *old,
    const struct rules_now *now)
{
	struct rules_verdict v;

	if (r->generation <= old->generation || r->generation > now->revision ||
	    runs_know(now->runs, r->generation))
		return refuse(MUPDATE_CODE_TAKEN,
		    old->state == MBOXREC_ACTIVE
		        ? "mailbox is active on another server"
		        : "mailbox is reserved by another server");
	v = put(r, now);
	v.taken = true;
	return v;
}

/* None that we have given, and none that a list before ours can have given. */
static bool
is_absurd(uint64_t generation, const struct rules_now *now)
{
	uint64_t latest = now->seconds * 1000 + (uint64_t)AHEAD_DAYS * DAY_MS;

	return generation > now->revision &&
	       generation >> RUNS_MS_BITS > latest;
}

/* LIST:activate */
static struct rules_verdict
xactivate(const struct rules_request *rq, const struct mboxrec *old,
    const struct rules_now *now)
{
	struct mboxrec r = { .state = MBOXREC_ACTIVE,
		.location = rq->wanted.location,
		.acl = rq->wanted.acl,
		.generation = rq->wanted.generation,
		.mailboxid = rq->wanted.mailboxid,
		.special_uses = rq->wanted.special_uses,
		.type = rq->wanted.type };

	if (is_absurd(r.generation, now))
		return refuse(MUPDATE_CODE_LIMIT, "generation out of range");
	if (old != NULL && !same_host(old, &r))
		return take_over(&r, old, now);
	if (old != NULL && r.generation > 0 && r.generation < old->generation)
		return refuse(MUPDATE_CODE_FENCED,
		    "the name has been granted anew since");
	if (old != NULL && r.generation < old->generation)
		r.generation = old->generation;
	if (r.generation == 0)
		r.generation = now->revision;
	if (old != NULL && says_nothing_new(old, &r))
		return keep(old);
	return put(&r, now);
}

/* LIST:deactivate */
static struct rules_verdict
deactivate(const struct rules_request *rq, const struct mboxrec *old,
    const struct rules_who *who, const struct rules_now *now)
{
	struct rules_verdict v;
	struct mboxrec r;

	if (old == NULL)
		return refuse(MUPDATE_CODE_NONE, "mailbox does not exist");
	if (old->state != MBOXREC_ACTIVE)
		return refuse(MUPDATE_CODE_NONE,
		    "mailbox not currently active");
	r = *old;
	r.state = MBOXREC_MOVING;
	r.location = rq->wanted.location;
	if (r.generation == 0 || !same_host(old, &r))
		r.generation = now->revision;
	v = put(&r, now);
	v.taken = !same_host(old, &r) && is_behind_its_back(who, old);
	return v;
}

/* LIST:delete */
static struct rules_verdict
remove_entry(const struct mboxrec *old, const struct rules_who *who)
{
	struct rules_verdict v = { .outcome = RULES_REMOVE };

	if (old == NULL)
		return refuse(MUPDATE_CODE_NONE, "mailbox does not exist");
	v.record = *old;
	v.taken = is_behind_its_back(who, old);
	return v;
}

static struct rules_verdict
xbreak(const struct rules_request *rq, const struct mboxrec *old,
    const struct rules_who *who)
{
	if (old == NULL || old->state == MBOXREC_ACTIVE)
		return refuse(MUPDATE_CODE_NONE, "mailbox is not reserved");
	if (old->generation != rq->wanted.generation)
		return refuse(MUPDATE_CODE_FENCED,
		    "the name has been granted anew since");
	return remove_entry(old, who);
}

/* --- the table ------------------------------------------------------------- */

/* What the command says of the entry, before what the entry is. */
static struct rules_verdict
check_wanted(const struct rules_request *rq, const struct rules_who *who)
{
	const struct mboxrec *r = &rq->wanted;

	if (!is_location(r->location))
		return refuse(MUPDATE_CODE_NONE, "not a location");
	if (r->acl.len > MBOXREC_ACL_MAX)
		return refuse(MUPDATE_CODE_LIMIT, "ACL too long");
	if (r->mailboxid.len > RULES_MAILBOXID_MAX ||
	    r->special_uses.len > RULES_SPECIAL_USES_MAX)
		return refuse(MUPDATE_CODE_LIMIT, "attributes too long");
	if (!are_attributes(r))
		return refuse(MUPDATE_CODE_NONE, "not attributes");
	if (!may(who, r->location))
		return refuse(MUPDATE_CODE_NOTOWNER,
		    "location is of another server");
	return (struct rules_verdict){ .outcome = RULES_KEEP };
}

struct rules_verdict
rules_apply(const struct rules_request *rq, const struct mboxrec *old,
    const struct rules_who *who, const struct rules_now *now)
{
	bool ends =
	    rq->id == MUPDATE_CMD_DELETE || rq->id == MUPDATE_CMD_DEACTIVATE;
	bool says =
	    rq->id != MUPDATE_CMD_DELETE && rq->id != MUPDATE_CMD_XBREAK;
	struct rules_verdict v;

	if (!rules_is_name(rq->name))
		return refuse(MUPDATE_CODE_NONE, "not a mailbox name");
	if (ends && old != NULL && !may(who, old->location))
		return refuse(MUPDATE_CODE_NOTOWNER,
		    "mailbox is on another server");
	if (says && (v = check_wanted(rq, who)).outcome == RULES_REFUSE)
		return v;
	switch (rq->id) {
	case MUPDATE_CMD_RESERVE:
	case MUPDATE_CMD_XRESERVE:
		return reserve(rq, old, who, now);
	case MUPDATE_CMD_ACTIVATE:
		return activate(rq, old, who, now);
	case MUPDATE_CMD_XACTIVATE:
		return xactivate(rq, old, now);
	case MUPDATE_CMD_DEACTIVATE:
		return deactivate(rq, old, who, now);
	case MUPDATE_CMD_DELETE:
		return remove_entry(old, who);
	case MUPDATE_CMD_XBREAK:
		return xbreak(rq, old, who);
	default:
		must_fail("a command that changes", __FILE__, __LINE__,
		    __func__);
	}
}
