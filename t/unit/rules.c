/*
 * rules: every cell of the state table, by whoever may ask; whatever the cell,
 * the result is an entry that may be in the list, and generations never fall
 * while a name stays with its host.
 */
#include <stdio.h>

#include "lib/conf.h"
#include "mupdated/rules.h"
#include "mupdated/runs.h"
#include "t/tap.h"

enum {
	KNOWN = 1000, /* the run is from here */
	LAST = 1800,  /* to here */
	LOST = 1900,  /* granted by a list that was lost */
	OLD = 1100,   /* the generation of what is there */
	NOW = 2000,
	BEFORE = 500, /* of no known run */
	AHEAD = 3000
};

enum before {
	ABSENT,
	RESERVED,
	ACTIVE,
	MOVING,
	BEFORE_MAX
};

enum who {
	OWNER,
	OTHER,
	SECOND, /* owns be1 by the configuration */
	ADMIN
};

static const char *const before_names[] = { "absent", "reserved", "active",
	"moving" };
static const char *const who_names[] = { "owner", "other", "second", "admin" };
static struct runs runs;

static struct rules_who
who_is(enum who who)
{
	static char item[] = "second:be1";
	static char *items[] = { item };
	static struct conf_list hosts = { .items = items, .count = 1 };
	static const char *const users[] = { "be1", "be2", "second", "admin" };

	return (struct rules_who){ .user = slice_str(users[who]),
		.hosts = &hosts,
		.everything = who == ADMIN };
}

static struct mboxrec
entry(enum before before)
{
	struct mboxrec r = { .location = slice_str("be1!p"),
		.revision = 1500,
		.generation = OLD };

	r.state = before == RESERVED ? MBOXREC_RESERVED
	          : before == ACTIVE ? MBOXREC_ACTIVE
	                             : MBOXREC_MOVING;
	if (before == RESERVED) {
		r.owner = slice_str("be1");
		r.since = 77;
		return r;
	}
	r.acl = slice_str("a\tl\t");
	r.mailboxid = slice_str("M1");
	r.special_uses = slice_str("\\Sent");
	r.type = 3;
	return r;
}

struct cell {
	enum mupdate_command command;
	enum before before;
	enum who who;
	const char *location; /* "" for commands without one */
	uint64_t generation;  /* XACTIVATE, XBREAK */
	enum rules_outcome outcome;
	enum mupdate_code code;
	uint64_t granted; /* the entry's afterwards; 0: not asked */
};

#define C(x)     MUPDATE_CMD_##x
#define L1       "be1!p"
#define L1Q      "be1!q"
#define L2       "be2!p"
#define PUT      RULES_PUT, MUPDATE_CODE_NONE
#define GONE     RULES_REMOVE, MUPDATE_CODE_NONE
#define KEEP     RULES_KEEP, MUPDATE_CODE_NONE
#define NO       RULES_REFUSE, MUPDATE_CODE_NONE
#define TAKEN    RULES_REFUSE, MUPDATE_CODE_TAKEN
#define FENCED   RULES_REFUSE, MUPDATE_CODE_FENCED
#define NOTOWNER RULES_REFUSE, MUPDATE_CODE_NOTOWNER
#define LIMIT    RULES_REFUSE, MUPDATE_CODE_LIMIT

/* clang-format off */
static const struct cell cells[] = {
	/* command       before    who     location  g        outcome   after */
	{ C(RESERVE),    ABSENT,   OWNER,  L1,       0,       PUT,      NOW },
	{ C(RESERVE),    ABSENT,   SECOND, L1,       0,       PUT,      NOW },
	{ C(RESERVE),    ABSENT,   ADMIN,  L1,       0,       PUT,      NOW },
	{ C(RESERVE),    ABSENT,   OTHER,  L1,       0,       NOTOWNER, 0 },
	{ C(RESERVE),    ABSENT,   OTHER,  L2,       0,       PUT,      NOW },
	{ C(RESERVE),    ABSENT,   OWNER,  "be1",    0,       PUT,      NOW },
	{ C(RESERVE),    ABSENT,   OWNER,  "be1!",   0,       PUT,      NOW },
	{ C(RESERVE),    ABSENT,   ADMIN,  "",       0,       NO,       0 },
	{ C(RESERVE),    RESERVED, OWNER,  L1,       0,       KEEP,     OLD },
	{ C(RESERVE),    RESERVED, OWNER,  L1Q,      0,       TAKEN,    0 },
	{ C(RESERVE),    RESERVED, OTHER,  L2,       0,       TAKEN,    0 },
	{ C(RESERVE),    ACTIVE,   OWNER,  L1,       0,       KEEP,     OLD },
	{ C(RESERVE),    ACTIVE,   OTHER,  L2,       0,       TAKEN,    0 },
	{ C(RESERVE),    MOVING,   OWNER,  L1,       0,       KEEP,     OLD },
	{ C(RESERVE),    MOVING,   OTHER,  L2,       0,       TAKEN,    0 },
	{ C(XRESERVE),   ABSENT,   OWNER,  L1,       0,       PUT,      NOW },
	{ C(XRESERVE),   ACTIVE,   OWNER,  L1,       0,       KEEP,     OLD },
	{ C(XRESERVE),   ACTIVE,   OTHER,  L2,       0,       TAKEN,    0 },

	{ C(ACTIVATE),   ABSENT,   OWNER,  L1,       0,       PUT,      NOW },
	{ C(ACTIVATE),   ABSENT,   OTHER,  L1,       0,       NOTOWNER, 0 },
	{ C(ACTIVATE),   RESERVED, OWNER,  L1,       0,       PUT,      OLD },
	{ C(ACTIVATE),   RESERVED, OWNER,  L1Q,      0,       PUT,      OLD },
	{ C(ACTIVATE),   RESERVED, OTHER,  L2,       0,       TAKEN,    0 },
	{ C(ACTIVATE),   RESERVED, ADMIN,  L2,       0,       PUT,      NOW },
	{ C(ACTIVATE),   ACTIVE,   OWNER,  L1,       0,       PUT,      OLD },
	{ C(ACTIVATE),   ACTIVE,   OTHER,  L2,       0,       TAKEN,    0 },
	{ C(ACTIVATE),   ACTIVE,   ADMIN,  L2,       0,       PUT,      NOW },
	{ C(ACTIVATE),   MOVING,   OWNER,  L1,       0,       PUT,      OLD },
	{ C(ACTIVATE),   MOVING,   OTHER,  L2,       0,       PUT,      NOW },

	{ C(XACTIVATE),  ABSENT,   OWNER,  L1,       0,       PUT,      NOW },
	{ C(XACTIVATE),  ABSENT,   OWNER,  L1,       OLD,     PUT,      OLD },
	{ C(XACTIVATE),  ABSENT,   OWNER,  L1,       AHEAD,   PUT,      AHEAD },
	{ C(XACTIVATE),  ABSENT,   OWNER,  L1,       UINT64_MAX, LIMIT, 0 },
	{ C(XACTIVATE),  ABSENT,   OTHER,  L1,       0,       NOTOWNER, 0 },
	{ C(XACTIVATE),  RESERVED, OWNER,  L1,       OLD,     PUT,      OLD },
	{ C(XACTIVATE),  RESERVED, OWNER,  L1,       0,       PUT,      OLD },
	{ C(XACTIVATE),  RESERVED, OWNER,  L1,       OLD - 1, FENCED,   0 },
	{ C(XACTIVATE),  RESERVED, OWNER,  L1,       OLD + 1, PUT,      OLD + 1 },
	{ C(XACTIVATE),  RESERVED, OTHER,  L2,       0,       TAKEN,    0 },
	{ C(XACTIVATE),  RESERVED, OTHER,  L2,       OLD,     TAKEN,    0 },
	{ C(XACTIVATE),  RESERVED, OTHER,  L2,       OLD + 1, TAKEN,    0 },
	{ C(XACTIVATE),  RESERVED, OTHER,  L2,       BEFORE,  TAKEN,    0 },
	{ C(XACTIVATE),  RESERVED, OTHER,  L2,       AHEAD,   TAKEN,    0 },
	{ C(XACTIVATE),  RESERVED, OTHER,  L2,       LOST,    PUT,      LOST },
	{ C(XACTIVATE),  ACTIVE,   OWNER,  L1,       OLD,     PUT,      OLD },
	{ C(XACTIVATE),  ACTIVE,   OWNER,  L1,       OLD - 1, FENCED,   0 },
	{ C(XACTIVATE),  ACTIVE,   OTHER,  L2,       0,       TAKEN,    0 },
	{ C(XACTIVATE),  ACTIVE,   OTHER,  L2,       LAST,    TAKEN,    0 },
	{ C(XACTIVATE),  ACTIVE,   OTHER,  L2,       AHEAD,   TAKEN,    0 },
	{ C(XACTIVATE),  ACTIVE,   OTHER,  L2,       LOST,    PUT,      LOST },
	{ C(XACTIVATE),  ACTIVE,   ADMIN,  L2,       0,       TAKEN,    0 },
	{ C(XACTIVATE),  MOVING,   OWNER,  L1,       OLD,     PUT,      OLD },
	{ C(XACTIVATE),  MOVING,   OTHER,  L2,       0,       TAKEN,    0 },

	{ C(DEACTIVATE), ABSENT,   OWNER,  L1,       0,       NO,       0 },
	{ C(DEACTIVATE), RESERVED, OWNER,  L1,       0,       NO,       0 },
	{ C(DEACTIVATE), RESERVED, ADMIN,  L2,       0,       NO,       0 },
	{ C(DEACTIVATE), ACTIVE,   OWNER,  L1,       0,       PUT,      OLD },
	{ C(DEACTIVATE), ACTIVE,   OWNER,  L1Q,      0,       PUT,      OLD },
	{ C(DEACTIVATE), ACTIVE,   OWNER,  L2,       0,       NOTOWNER, 0 },
	{ C(DEACTIVATE), ACTIVE,   ADMIN,  L2,       0,       PUT,      NOW },
	{ C(DEACTIVATE), ACTIVE,   OTHER,  L2,       0,       NOTOWNER, 0 },
	{ C(DEACTIVATE), MOVING,   OWNER,  L1,       0,       NO,       0 },

	{ C(DELETE),     ABSENT,   OWNER,  "",       0,       NO,       0 },
	{ C(DELETE),     RESERVED, OWNER,  "",       0,       GONE,     0 },
	{ C(DELETE),     ACTIVE,   OWNER,  "",       0,       GONE,     0 },
	{ C(DELETE),     ACTIVE,   SECOND, "",       0,       GONE,     0 },
	{ C(DELETE),     MOVING,   OWNER,  "",       0,       GONE,     0 },
	{ C(DELETE),     RESERVED, OTHER,  "",       0,       NOTOWNER, 0 },
	{ C(DELETE),     ACTIVE,   OTHER,  "",       0,       NOTOWNER, 0 },
	{ C(DELETE),     MOVING,   OTHER,  "",       0,       NOTOWNER, 0 },
	{ C(DELETE),     ACTIVE,   ADMIN,  "",       0,       GONE,     0 },

	{ C(XBREAK),     ABSENT,   ADMIN,  "",       OLD,     NO,       0 },
	{ C(XBREAK),     RESERVED, ADMIN,  "",       OLD,     GONE,     0 },
	{ C(XBREAK),     RESERVED, ADMIN,  "",       OLD + 1, FENCED,   0 },
	{ C(XBREAK),     MOVING,   ADMIN,  "",       OLD,     GONE,     0 },
	{ C(XBREAK),     ACTIVE,   ADMIN,  "",       OLD,     NO,       0 },
};
/* clang-format on */

static struct rules_verdict
apply(const struct cell *c, const char *acl)
{
	struct mboxrec old = entry(c->before);
	const struct rules_who who = who_is(c->who);
	const struct rules_now now = { .revision = NOW,
		.seconds = 88,
		.runs = &runs };
	struct rules_request rq = { .id = c->command,
		.name = slice_str("user.x"),
		.wanted.location = slice_str(c->location),
		.wanted.acl = slice_str(acl),
		.wanted.generation = c->generation };

	return rules_apply(&rq, c->before == ABSENT ? NULL : &old, &who, &now);
}

static bool
is_sound(const struct cell *c, const struct rules_verdict *v)
{
	const struct mboxrec *r = &v->record;
	bool reserved = r->state == MBOXREC_RESERVED;
	bool expected = c->command == MUPDATE_CMD_DEACTIVATE
	                    ? r->state == MBOXREC_MOVING
	                : c->command == MUPDATE_CMD_RESERVE ||
	                        c->command == MUPDATE_CMD_XRESERVE
	                    ? reserved
	                    : r->state == MBOXREC_ACTIVE;

	if (v->outcome == RULES_REFUSE)
		return v->text != NULL && v->text[0] != '\0';
	if (v->outcome != RULES_PUT)
		return true;
	return expected && r->revision == NOW &&
	       slice_is(r->location, c->location) &&
	       (reserved == (r->since == 88)) &&
	       (reserved == (r->owner.len > 0));
}

static void
test_cell(const struct cell *c)
{
	struct rules_verdict v = apply(c, "new\tl\t");

	ok(v.outcome == c->outcome && v.code == c->code && is_sound(c, &v) &&
	        (c->granted == 0 || v.record.generation == c->granted),
	    "%s: %s %s by %s, generation %llu", before_names[c->before],
	    mupdate_command_name(c->command), c->location, who_names[c->who],
	    (unsigned long long)c->generation);
}

/* What was taken so that the host would not notice. */
static void
test_taken(enum mupdate_command command, enum before before, enum who who,
    const char *location, bool taken)
{
	const struct cell c = { .command = command,
		.before = before,
		.who = who,
		.location = location };

	ok(apply(&c, "").taken == taken, "%s of what is %s by %s: %s told",
	    mupdate_command_name(command), before_names[before], who_names[who],
	    taken ? "its host is" : "nobody is");
}

static void
test_said_again(void)
{
	struct mboxrec old = entry(ACTIVE);
	const struct rules_who who = who_is(OWNER);
	const struct rules_now now = { .revision = NOW, .runs = &runs };
	struct rules_request rq = { .id = MUPDATE_CMD_ACTIVATE,
		.name = slice_str("user.x"),
		.wanted = old };

	ok(rules_apply(&rq, &old, &who, &now).outcome == RULES_KEEP,
	    "ACTIVATE of what is so is no change");
	rq.id = MUPDATE_CMD_XACTIVATE;
	ok(rules_apply(&rq, &old, &who, &now).outcome == RULES_KEEP,
	    "nor is XACTIVATE");
	rq.wanted.mailboxid = slice_str("M2");
	ok(rules_apply(&rq, &old, &who, &now).outcome == RULES_PUT,
	    "unless it says something new");
	old.generation = 0;
	rq.id = MUPDATE_CMD_ACTIVATE;
	ok(rules_apply(&rq, &old, &who, &now).record.generation == NOW,
	    "what has no generation is granted one");
}

/* Each goes on from where the one before it has got. */
static void
test_ahead(void)
{
	static const uint64_t year_ms = (uint64_t)366 * 24 * 3600 * 1000;
	const struct rules_who who = who_is(OWNER);
	struct rules_now now = { .revision = NOW,
		.seconds = 88,
		.runs = &runs };
	struct rules_request rq = { .id = MUPDATE_CMD_XACTIVATE,
		.name = slice_str("user.x"),
		.wanted = entry(ACTIVE) };
	const uint64_t most = ((88000 + year_ms + 1) << RUNS_MS_BITS) - 1;

	rq.wanted.generation = most;
	ok(rules_apply(&rq, NULL, &who, &now).outcome == RULES_PUT,
	    "a generation a year ahead of the clock");
	now.revision = most;
	rq.wanted.generation = most + 1;
	ok(rules_apply(&rq, NULL, &who, &now).code == MUPDATE_CODE_LIMIT,
	    "and none beyond, wherever the list is");
	now.revision = 2 * most;
	ok(rules_apply(&rq, NULL, &who, &now).outcome == RULES_PUT,
	    "unless the list has given it");
}

static void
test_names(void)
{
	static char big[2000];

	memset(big, 'x', sizeof(big) - 1);
	ok(rules_is_name(slice_str("user.f")) &&
	        rules_is_name(slice_str("\xc3\xa4")) &&
	        !rules_is_name(slice_str("")) &&
	        !rules_is_name(slice_str("a\001b")) &&
	        !rules_is_name(slice_str("a\x7f")) &&
	        !rules_is_name(slice_str(big)),
	    "names");
}

static void
test_attributes(void)
{
	static const char *const odd[] = { "\\", "Sent", "\\Sent ", " \\Sent",
		"\\Sent  \\Junk", "\\Sent\r\n* BYE", "\\Sent) \"/\" x",
		"\\\xc3\xa4" };
	const struct rules_who who = who_is(OWNER);
	const struct rules_now now = { .revision = NOW, .runs = &runs };
	struct rules_request rq = { .id = MUPDATE_CMD_XACTIVATE,
		.name = slice_str("user.x"),
		.wanted = entry(ACTIVE) };

	rq.wanted.special_uses = slice_str("\\Sent \\X-Own");
	ok(rules_apply(&rq, NULL, &who, &now).outcome == RULES_PUT,
	    "special uses");
	for (size_t i = 0; i < sizeof(odd) / sizeof(odd[0]); i++) {
		rq.wanted.special_uses = slice_str(odd[i]);
		ok(rules_apply(&rq, NULL, &who, &now).outcome == RULES_REFUSE,
		    "no special uses: %zu", i);
	}
	rq.wanted.special_uses = slice_str("");
	rq.wanted.mailboxid = slice_str("a) x\r\n");
	ok(rules_apply(&rq, NULL, &who, &now).outcome == RULES_REFUSE,
	    "no MAILBOXID");
}

int
main(void)
{
	runs.count = 1;
	runs.run[0] = (struct run){ KNOWN, LAST };
	for (size_t i = 0; i < sizeof(cells) / sizeof(cells[0]); i++)
		test_cell(&cells[i]);
	test_taken(MUPDATE_CMD_DELETE, ACTIVE, OWNER, "", false);
	test_taken(MUPDATE_CMD_DELETE, ACTIVE, ADMIN, "", true);
	test_taken(MUPDATE_CMD_DELETE, RESERVED, ADMIN, "", false);
	test_taken(MUPDATE_CMD_ACTIVATE, ACTIVE, ADMIN, L2, true);
	test_taken(MUPDATE_CMD_ACTIVATE, ACTIVE, OWNER, L1, false);
	test_taken(MUPDATE_CMD_ACTIVATE, MOVING, OTHER, L2, true);
	test_taken(MUPDATE_CMD_DEACTIVATE, ACTIVE, OWNER, L1, false);
	test_taken(MUPDATE_CMD_DEACTIVATE, ACTIVE, ADMIN, L1, false);
	test_taken(MUPDATE_CMD_DEACTIVATE, ACTIVE, ADMIN, L2, true);
	test_said_again();
	test_ahead();
	test_names();
	test_attributes();
	return done_testing();
}
