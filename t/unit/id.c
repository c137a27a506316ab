/*
 * id, namespace, capability: short lists, read and written.
 */
#include <string.h>

#include "imap/capability.h"
#include "imap/id.h"
#include "imap/namespace.h"
#include "lib/arena.h"
#include "lib/buf.h"
#include "lib/cdefs.h"
#include "t/tap.h"
#include "t/wrote.h"

static struct arena a;
static struct buf out;
static struct write w;

static void
test_id(void)
{
	static const struct {
		const char *in, *want; /* NULL: refused */
	} cases[] = { { "nil", "NIL" }, { "()", "NIL" },
		{ "(\"name\" \"x\" \"os\" NIL)",
		    "(\"name\" \"x\" \"os\" NIL)" },
		{ "(\"name\")", NULL }, { "(name \"x\")", NULL },
		{ "(\"a name that is far longer than thirty\" NIL)", NULL } };

	for (size_t i = 0; i < NITEMS(cases); i++) {
		struct parse p;
		struct id id;

		parse_init_text(&p, &a, slice_str(cases[i].in));
		id_parse(&p, &id);
		parse_end(&p);
		if (cases[i].want == NULL) {
			ok(parse_error(&p) != NULL && id.n == 0, "no: %s",
			    cases[i].in);
			continue;
		}
		id_write(&w, &id);
		ok(wrote(&out, cases[i].want), "%s", cases[i].in);
	}
}

static void
test_pairs(void)
{
	struct slice s;
	struct parse p;
	struct id id;

	for (int i = 0; i <= ID_PAIRS_MAX; i++)
		buf_puts(&out, i == 0 ? "(\"a\" \"b\"" : " \"a\" \"b\"");
	buf_putc(&out, ')');
	s = arena_copy(&a, buf_slice(&out));
	buf_clear(&out);
	parse_init_text(&p, &a, s);
	id_parse(&p, &id);
	ok(parse_error(&p) != NULL, "too many pairs");
	parse_init_text(&p, &a, slice_str("(\"Name\" \"x\")"));
	id_parse(&p, &id);
	ok(slice_is(id_get(&id, "name"), "x") && id_get(&id, "os").ptr == NULL,
	    "asked");
}

static void
test_namespace(void)
{
	struct mboxname_layout l = mboxname_layout_default;

	namespace_write(&w, &l);
	ok(wrote(&out, "* NAMESPACE ((\"\" \"/\")) ((\"Other Users/\" \"/\")) "
	               "((\"Shared Folders/\" \"/\"))\r\n"),
	    "altnamespace");
	l.altnamespace = false;
	l.separator = '.';
	namespace_write(&w, &l);
	ok(wrote(&out, "* NAMESPACE ((\"INBOX.\" \".\")) ((\"user.\" \".\")) "
	               "((\"\" \".\"))\r\n"),
	    "without");
}

static void
test_capability(void)
{
	uint64_t set = CAPABILITY_BIT(IMAP4REV1) | CAPABILITY_BIT(STARTTLS) |
	               CAPABILITY_BIT(LOGINDISABLED) | CAPABILITY_BIT(IDLE);

	capability_put(&out, set, CAPABILITY_BEFORE | CAPABILITY_PLAIN, "");
	ok(wrote(&out, "IMAP4rev1 STARTTLS LOGINDISABLED"), "before TLS");
	capability_put(&out, set, CAPABILITY_BEFORE, "PLAIN LOGIN");
	ok(wrote(&out, "IMAP4rev1 AUTH=PLAIN AUTH=LOGIN"), "before login");
	capability_put(&out, set, CAPABILITY_AFTER, "PLAIN");
	ok(wrote(&out, "IMAP4rev1 IDLE"), "after it");
	for (size_t i = RESPCODE_NONE + 1; i < RESPCODE_MAX; i++)
		ok(respcode_find(slice_str(respcode_name((enum respcode)i))) ==
		        (enum respcode)i,
		    "%s", respcode_name((enum respcode)i));
	ok(respcode_find(slice_str("X")) == RESPCODE_NONE, "unknown");
}

int
main(void)
{
	arena_init(&a);
	buf_init(&out, 4096);
	write_init(&w, &out, WRITE_SERVER);
	test_id();
	test_pairs();
	test_namespace();
	test_capability();
	buf_fini(&out);
	arena_reset(&a);
	return done_testing();
}
