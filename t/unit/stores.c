/*
 * stores: actions that are one store, keys that tell stores apart, answers.
 */
#include <stdio.h>
#include <string.h>

#include "lib/arena.h"
#include "lib/ascii.h"
#include "lib/cdefs.h"
#include "proxyd/stores.h"
#include "t/tap.h"

static void
add(struct arena *a, struct stores *s, const char *mailbox, const char *flags)
{
	struct store_wish w = { .mailbox = slice_str(mailbox),
		.flags = slice_str(flags),
		.why = "test" };

	snprintf(w.server, sizeof(w.server), "backend1");
	stores_add(a, s, &w);
}

static void
test_merge(void)
{
	struct stores s = { 0 };
	struct arena a;
	char name[24];

	arena_init(&a);
	add(&a, &s, "user.fred", "\\Seen  $Junk");
	add(&a, &s, "user.fred.x", "");
	add(&a, &s, "user.fred", "$JUNK \\Flagged");
	ok(s.n == 2, "two mailboxes are two stores");
	ok(slice_is(s.at[0].flags, "\\Seen $Junk \\Flagged"),
	    "a mailbox named twice has all flags, each once");
	ok(slice_is(s.at[1].mailbox, "user.fred.x") && s.at[1].flags.len == 0,
	    "the other has none");
	add(&a, &s, "user.fred.x", "\\Seen");
	ok(slice_is(s.at[1].flags, "\\Seen"), "flags join those of none");
	add(&a, &s, "user.fred.x", "");
	ok(s.n == 2 && slice_is(s.at[1].flags, "\\Seen"),
	    "and none change nothing");
	add(&a, &s, "USER.fred", "");
	ok(s.n == 3, "names are octets");
	for (unsigned i = 0; i < 40; i++) {
		snprintf(name, sizeof(name), "user.fred.%u", i);
		add(&a, &s, name, "");
	}
	ok(s.n == 43 && slice_is(s.at[0].flags, "\\Seen $Junk \\Flagged") &&
	        slice_is(s.at[42].mailbox, "user.fred.39"),
	    "many");
	arena_reset(&a);
}

static void
test_keys(void)
{
	static const struct {
		uint8_t digest;
		const char *recipient, *target, *action;
	} cases[] = {
		{ 0, "a@x", "user.a", "store" },
		{ 1, "a@x", "user.a", "store" },
		{ 0, "b@x", "user.a", "store" },
		{ 0, "a@x", "user.b", "store" },
		{ 0, "a@x", "user.a", "redirect" },
		{ 0, "a@xu", "ser.a", "store" },
		{ 0, "", "a@xuser.a", "store" },
		{ 0, "a@x", "user.astore", "" },
	};
	char keys[NITEMS(cases)][STORES_KEY], again[STORES_KEY];
	uint8_t digest[32] = { 0 };
	size_t digits = 0;

	for (size_t i = 0; i < NITEMS(cases); i++) {
		digest[31] = cases[i].digest;
		stores_key(keys[i], digest, slice_str(cases[i].recipient),
		    slice_str(cases[i].target), cases[i].action);
		stores_key(again, digest, slice_str(cases[i].recipient),
		    slice_str(cases[i].target), cases[i].action);
		ok(memcmp(keys[i], again, STORES_KEY) == 0,
		    "%zu: the same at every attempt", i);
		for (size_t k = 0; k < i; k++)
			ok(memcmp(keys[i], keys[k], STORES_KEY) != 0,
			    "%zu is not %zu", i, k);
	}
	for (size_t i = 0; i < STORES_KEY; i++)
		digits += ascii_hex((uint8_t)keys[0][i]) != -1;
	ok(digits == STORES_KEY, "in hexadecimal digits");
}

static void
test_worse(void)
{
	static const int order[] = { 0, 250, 550, 451 };

	for (size_t i = 0; i < NITEMS(order); i++)
		for (size_t k = 0; k < NITEMS(order); k++)
			ok(stores_worse(order[i], order[k]) ==
			        order[i > k ? i : k],
			    "%d and %d", order[i], order[k]);
	ok(stores_worse(452, 451) == 452, "the first of two alike");
}

int
main(void)
{
	test_merge();
	test_keys();
	test_worse();
	return done_testing();
}
