/*
 * msgid, partial, mboxfilter: small grammars that several commands share.
 */
#include <string.h>

#include "imap/mboxfilter.h"
#include "imap/msgid.h"
#include "imap/parse.h"
#include "imap/partial.h"
#include "imap/seqset.h"
#include "lib/arena.h"
#include "lib/buf.h"
#include "lib/cdefs.h"
#include "t/tap.h"

static const struct {
	const char *value, *ids; /* one after another, each in [] */
} ids[] = {
	{ " <a@b>", "[a@b]" },
	{ "<a@b><c@d> <e@f>", "[a@b][c@d][e@f]" },
	{ "<a@b>\r\n\t<C@d>", "[a@b][C@d]" },
	/* RFC 5256 3 */
	{ "<\"01KF8JCEOCBS0045PS\"@xxx.yyy.com>",
	    "[01KF8JCEOCBS0045PS@xxx.yyy.com]" },
	{ "<01KF8JCEOCBS0045PS@xxx.yyy.com>",
	    "[01KF8JCEOCBS0045PS@xxx.yyy.com]" },
	{ "<\"a\\\"b\"@c>", "[a\"b@c]" },
	{ "<\"a>b\"@c>", "[a>b@c]" },
	{ "< a (why (not)) @ b >", "[a@b]" },
	{ "<lone\"quote@b> <c@d>", "[lonequote@b][c@d]" },
	{ "<noat> <@b> <a@> <a@b>", "[a@b]" },
	{ "Your mail of Monday <a@b> \"<fred>\" joe@x", "[a@b]" },
	{ "<cut <a@b>", "[a@b]" },
	{ "<a@b", "" },
	{ "<(((@>", "" },
	{ "<", "" },
	{ "", "" },
};

static void
test_ids(void)
{
	struct arena a;

	arena_init(&a);
	for (size_t i = 0; i < NITEMS(ids); i++) {
		struct msgid_iter it;
		struct slice id;
		struct buf out;

		buf_init(&out, 1000);
		msgid_init(&it, slice_str(ids[i].value));
		while (msgid_next(&it, &a, &id)) {
			buf_putc(&out, '[');
			buf_put_slice(&out, id);
			buf_putc(&out, ']');
		}
		ok(slice_is(buf_slice(&out), ids[i].ids), "ids of %s",
		    ids[i].value);
		buf_fini(&out);
	}
	arena_reset(&a);
}

static const struct {
	const char *text;
	size_t count, from, to; /* from == to: none */
} windows[] = {
	{ "1:500", 23764, 0, 500 },
	{ "501:1000", 23764, 500, 1000 },
	{ "1000:501", 23764, 500, 1000 },
	{ "23500:24000", 23764, 23499, 23764 },
	{ "24000:24500", 23764, 0, 0 },
	{ "-1:-100", 23764, 23664, 23764 },
	{ "-100:-1", 23764, 23664, 23764 },
	{ "-2:-2", 3, 1, 2 },
	{ "-3:-9", 3, 0, 1 },
	{ "-4:-9", 3, 0, 0 },
	{ "1:1", 0, 0, 0 },
	{ "4294967295:1", 7, 0, 7 },
};

static void
test_windows(void)
{
	static const char *const wrong[] = { "0:1", "1:0", "1", "1:*", "*:1",
		"-1:1", "1:-1", "--1:-2", "1:4294967296", "1,2" };
	struct arena a;

	arena_init(&a);
	for (size_t i = 0; i < NITEMS(windows); i++) {
		size_t from = 0, to = 0;
		struct partial r;
		struct parse p;
		struct buf out;
		bool some;

		buf_init(&out, 100);
		parse_init_text(&p, &a, slice_str(windows[i].text));
		partial_parse(&p, &r);
		parse_end(&p);
		partial_put(&out, &r);
		ok(parse_error(&p) == NULL && partial_given(&r) &&
		        slice_is(buf_slice(&out), windows[i].text),
		    "%s is written as it was read", windows[i].text);
		some = partial_window(&r, windows[i].count, &from, &to);
		ok(some == (windows[i].from < windows[i].to) &&
		        (!some ||
		            (from == windows[i].from && to == windows[i].to)),
		    "%s of %zu", windows[i].text, windows[i].count);
		buf_fini(&out);
	}
	for (size_t i = 0; i < NITEMS(wrong); i++) {
		struct partial r;
		struct parse p;

		parse_init_text(&p, &a, slice_str(wrong[i]));
		partial_parse(&p, &r);
		parse_end(&p);
		ok(parse_error(&p) != NULL, "%s is no window", wrong[i]);
	}
	arena_reset(&a);
}

static const struct {
	const char *text;
	enum mboxfilter_kind kind;
	const char *names; /* NULL: it is none */
} filters[] = {
	{ "selected", MBOXFILTER_SELECTED, "" },
	{ "Selected-Delayed", MBOXFILTER_SELECTED_DELAYED, "" },
	{ "inboxes", MBOXFILTER_INBOXES, "" },
	{ "personal", MBOXFILTER_PERSONAL, "" },
	{ "subscribed", MBOXFILTER_SUBSCRIBED, "" },
	{ "subtree \"folder2\"", MBOXFILTER_SUBTREE, "[folder2]" },
	{ "subtree-one folder2", MBOXFILTER_SUBTREE_ONE, "[folder2]" },
	{ "mailboxes (a b \"c d\" inbox x)", MBOXFILTER_MAILBOXES,
	    "[a][b][c d][INBOX][x]" },
	{ "mailboxes", MBOXFILTER_MAILBOXES, NULL },
	{ "mailboxes ()", MBOXFILTER_MAILBOXES, NULL },
	{ "subtrees x", MBOXFILTER_MAILBOXES, NULL },
	{ "personal x", MBOXFILTER_MAILBOXES, NULL },
	{ "", MBOXFILTER_MAILBOXES, NULL },
};

static void
test_filters(void)
{
	struct arena a;

	arena_init(&a);
	for (size_t i = 0; i < NITEMS(filters); i++) {
		struct mboxfilter f;
		struct parse p;
		struct buf out;

		buf_init(&out, 100);
		parse_init_text(&p, &a, slice_str(filters[i].text));
		mboxfilter_parse(&p, &f);
		parse_end(&p);
		for (size_t k = 0; k < f.nnames; k++) {
			buf_putc(&out, '[');
			buf_put_slice(&out, f.names[k]);
			buf_putc(&out, ']');
		}
		if (filters[i].names == NULL)
			ok(parse_error(&p) != NULL, "\"%s\" is none",
			    filters[i].text);
		else
			ok(parse_error(&p) == NULL &&
			        f.kind == filters[i].kind &&
			        slice_is(buf_slice(&out), filters[i].names),
			    "%s", filters[i].text);
		buf_fini(&out);
	}
	arena_reset(&a);
}

static void
test_saved(void)
{
	static const struct {
		const char *text;
		bool good;
		size_t ranges;
	} sets[] = { { "$", true, 0 }, { "1:5,$", true, 1 }, { "$,3", true, 1 },
		{ "$:5", false, 0 }, { "$3", false, 0 }, { "1,", false, 0 },
		{ "$$", false, 0 }, { "", false, 0 } };
	struct seqset set;
	struct arena a;

	arena_init(&a);
	for (size_t i = 0; i < NITEMS(sets); i++) {
		struct parse p;
		bool good;

		parse_init_text(&p, &a, slice_str(sets[i].text));
		parse_seqset_saved(&p, &set);
		parse_end(&p);
		good = parse_error(&p) == NULL;
		ok(good == sets[i].good &&
		        (!good || (set.saved && set.n == sets[i].ranges)),
		    "\"%s\", with \"$\"", sets[i].text);
	}
	ok(seqset_parse(&a, slice_str("$"), &set) != NULL,
	    "\"$\" has to be allowed");
	arena_reset(&a);
}

int
main(void)
{
	test_ids();
	test_windows();
	test_filters();
	test_saved();
	return done_testing();
}
