/*
 * creator: for whom each policy makes mailboxes; lines of "account", and what
 * is none.
 */
#include <string.h>

#include "backendd/conf.h"
#include "backendd/creator.h"
#include "backendd/server.h"
#include "lib/arena.h"
#include "lib/err.h"
#include "t/tap.h"

static char line1[] = "ann quota_storage=1025 quota_messages=5";
static char line2[] = "joe  partition=fast autocreate=off";
static char line3[] = "noone autocreate=trial";
static char *lines[] = { line1, line2, line3 };
static char auxprop[] = "auxprop";
static char saslauthd[] = "saslauthd";
static char place1[] = "default /a";
static char place2[] = "fast /b";
static char *places[] = { place1, place2 };

static const struct {
	enum backendd_autocreate policy;
	const char *user;
	enum creator_verdict login, mail;
} cases[] = {
	{ AUTOCREATE_TRIAL, "x", CREATOR_YES, CREATOR_YES },
	{ AUTOCREATE_YES, "x", CREATOR_YES, CREATOR_YES },
	{ AUTOCREATE_AUTO, "x", CREATOR_YES, CREATOR_YES },
	{ AUTOCREATE_RESERVE, "x", CREATOR_YES, CREATOR_ASK },
	{ AUTOCREATE_RESERVE, "ann", CREATOR_YES, CREATOR_YES },
	{ AUTOCREATE_OFF, "x", CREATOR_NO, CREATOR_NO },
	{ AUTOCREATE_NO, "ann", CREATOR_NO, CREATOR_NO },
	{ AUTOCREATE_TRIAL, "joe", CREATOR_NO, CREATOR_NO },
	{ AUTOCREATE_OFF, "noone", CREATOR_YES, CREATOR_YES },
};

static const char *const wrong[] = { "", "ann x=1", "ann partition=slow",
	"ann partition=", "ann quota_storage=x", "ann quota_messages=1k",
	"ann autocreate=maybe", "ann =" };

int
main(void)
{
	struct backendd_conf conf = { .quota_mailboxes = 9,
		.auth.pwcheck = auxprop,
		.accounts = { lines, NITEMS(lines) },
		.partitions = { places, NITEMS(places) } };
	struct backendd bd = { .conf = &conf };
	struct creator_settings s;
	struct arena a;
	struct err err;

	arena_init(&a);
	for (size_t i = 0; i < NITEMS(cases); i++) {
		conf.autocreate = (int)cases[i].policy;
		ok(creator_wants(&bd, cases[i].user, CREATOR_LOGIN) ==
		            cases[i].login &&
		        creator_wants(&bd, cases[i].user, CREATOR_MAIL) ==
		            cases[i].mail,
		    "policy %d, %s", conf.autocreate, cases[i].user);
	}
	conf.auth.pwcheck = saslauthd;
	conf.autocreate = AUTOCREATE_RESERVE;
	ok(creator_wants(&bd, "x", CREATOR_MAIL) == CREATOR_NO,
	    "saslauthd cannot be asked");
	ok(creator_check(&conf.accounts, &conf.partitions, &err) == 0,
	    "lines as they should be");
	for (size_t i = 0; i < NITEMS(wrong); i++) {
		char text[64];
		char *one[] = { text };
		struct conf_list list = { one, 1 };

		strcpy(text, wrong[i]);
		ok(creator_check(&list, &conf.partitions, &err) == -1,
		    "not \"%s\"", wrong[i]);
	}
	creator_settings(&bd, "x", &a, &s);
	ok(s.partition == NULL && s.has_quota &&
	        s.quota.limit[QUOTA_MAILBOX] == 9 &&
	        s.quota.limit[QUOTA_STORAGE] == QUOTA_UNLIMITED,
	    "what is everybody's");
	creator_settings(&bd, "ann", &a, &s);
	ok(s.quota.limit[QUOTA_STORAGE] == 2 &&
	        s.quota.limit[QUOTA_MESSAGE] == 5 &&
	        s.quota.limit[QUOTA_MAILBOX] == 9,
	    "and ann's, in units of 1024 octets");
	creator_settings(&bd, "joe", &a, &s);
	ok(s.partition != NULL && strcmp(s.partition, "fast") == 0,
	    "joe's partition");
	arena_reset(&a);
	return done_testing();
}
