/*
 * sieve: what scripts do, what is wrong with them, and where they end.
 */
#include <stdlib.h>
#include <string.h>

#include "imap/sieve/sieve.h"
#include "lib/arena.h"
#include "lib/buf.h"
#include "lib/cdefs.h"
#include "t/tap.h"

static const char message[] =
    "From: \"Coyote, W.\" <coyote+ads@desert.example.org>\r\n"
    "To: roadrunner@acme.example.com, Other <other@acme.example.com>\r\n"
    "Subject: =?utf-8?q?I_have_a_pr=C3=A9sent?= for you\r\n"
    "X-Spam-Score: 7\r\n"
    "Received: one\r\n"
    "Received: two\r\n"
    "X-Empty:\r\n"
    "Content-Type: multipart/alternative; boundary=b\r\n"
    "\r\n"
    "--b\r\n"
    "Content-Transfer-Encoding: base64\r\n"
    "\r\n"
    "RmVlZCBtZSE=\r\n"
    "--b\r\n"
    "Content-Type: text/html\r\n"
    "\r\n"
    "<p>Feed me!</p>\r\n"
    "--b--\r\n";

static bool
exists(void *arg, struct slice mailbox)
{
	(void)arg;
	return slice_is(mailbox, "Work");
}

static void
put_action(struct buf *out, const struct sieve_action *a)
{
	static const char *const names[] = { [SIEVE_KEEP] = "keep",
		[SIEVE_FILEINTO] = "fileinto ",
		[SIEVE_REDIRECT] = "redirect ",
		[SIEVE_REJECT] = "reject ",
		[SIEVE_EREJECT] = "ereject ",
		[SIEVE_DISCARD] = "discard" };

	if (a->implicit)
		buf_puts(out, "implicit ");
	buf_puts(out, names[a->kind]);
	if (a->kind == SIEVE_FILEINTO)
		buf_put_slice(out, a->mailbox);
	buf_put_slice(out, a->address);
	buf_put_slice(out, a->text);
	if (a->create)
		buf_puts(out, " create");
	if (a->copy)
		buf_puts(out, " copy");
	for (unsigned i = 0; i < a->nflags; i++) {
		buf_puts(out, i == 0 ? " (" : " ");
		buf_put_slice(out, a->flags[i]);
	}
	if (a->nflags > 0)
		buf_puts(out, ")");
	buf_puts(out, ";");
}

static int
run(const struct sieve *s, struct slice octets, struct buf *out,
    struct sieve_error *error)
{
	struct sieve_message msg = { .octets = octets,
		.envelope_from = slice_str("coyote@desert.example.org"),
		.envelope_to = slice_str("roadrunner+a@acme.example.com") };
	struct sieve_world world = { .mailbox_exists = exists };
	struct sieve_result result;
	struct arena a;
	int r;

	arena_init(&a);
	r = sieve_run(s, &a, &msg, &world, &sieve_limits_default, &result,
	    error);
	for (unsigned i = 0; r == 0 && i < result.count; i++)
		put_action(out, &result.actions[i]);
	arena_reset(&a);
	return r;
}

/* The actions; "3: text" of a compile error, "run 3: text" of the other. */
static void
outcome(const char *script, struct buf *out)
{
	struct sieve_error error;
	struct sieve *s =
	    sieve_compile(slice_str(script), &sieve_limits_default, &error);

	buf_clear(out);
	if (s == NULL)
		buf_printf(out, "%u: %s", error.line, error.text);
	else if (run(s, slice_str(message), out, &error) == -1)
		buf_printf(out, "run %u: %s", error.line, error.text);
	buf_putc(out, '\0');
	sieve_free(&s);
}

static const struct {
	const char *script, *outcome;
} cases[] = {
	/* actions */
	{ "", "implicit keep;" },
	{ "# nothing\r\n/* at\nall */", "implicit keep;" },
	{ "keep;", "keep;" },
	{ "keep; keep;", "keep;" },
	{ "discard;", "discard;" },
	{ "discard; keep;", "keep;" },
	{ "stop; discard;", "implicit keep;" },
	{ "redirect \"a@b.c\";", "redirect a@b.c;" },
	{ "redirect \"A <a@b.c>\"; redirect \"a@B.c\";", "redirect a@b.c;" },
	{ "require \"fileinto\"; fileinto \"a\"; fileinto \"b\";"
	  "fileinto \"a\";",
	    "fileinto a;fileinto b;" },
	{ "require [\"fileinto\", \"copy\"]; fileinto :copy \"a\";",
	    "fileinto a copy;implicit keep;" },
	{ "require \"copy\"; redirect :copy \"a@b\";",
	    "redirect a@b copy;implicit keep;" },
	{ "require [\"fileinto\",\"mailbox\"]; fileinto :create \"a\";",
	    "fileinto a create;" },
	{ "require \"fileinto\"; fileinto \"inbox\"; keep;",
	    "fileinto inbox;" },
	{ "require \"reject\"; reject text: # why\r\nno\r\n..dot\r\n.\r\n;",
	    "reject no\r\n.dot\r\n;" },
	{ "require \"ereject\"; ereject \"no\"; stop;", "ereject no;" },
	{ "require \"reject\"; reject \"no\"; keep;",
	    "run 1: a message cannot be rejected and delivered" },
	{ "require \"reject\"; keep;\nreject \"no\";",
	    "run 2: a message cannot be rejected and delivered" },
	{ "redirect \"a@b\"; redirect \"b@b\"; redirect \"c@b\";"
	  "redirect \"d@b\"; redirect \"e@b\";",
	    "run 1: too many redirects" },
	/* control */
	{ "if true { discard; }", "discard;" },
	{ "if false { discard; }", "implicit keep;" },
	{ "if false { keep; } else { discard; }", "discard;" },
	{ "if false { keep; } elsif true { discard; } else { keep; }",
	    "discard;" },
	{ "if true { discard; } elsif true { keep; } else { keep; }",
	    "discard;" },
	{ "if false { keep; } elsif false { keep; } else { discard; }",
	    "discard;" },
	{ "if not true { keep; } if not false { discard; }", "discard;" },
	{ "if allof (true, true, false) { keep; } discard;", "discard;" },
	{ "if allof (true, not false) { discard; }", "discard;" },
	{ "if anyof (false, false, true) { discard; }", "discard;" },
	{ "if anyof (false, allof (true, false), not anyof (true)) "
	  "{ keep; } else { if true { if true { discard; } } }",
	    "discard;" },
	{ "if true { if false { keep; } else { discard; } } else { keep; }",
	    "discard;" },
	{ "if true { stop; } discard;", "implicit keep;" },
	{ "IF NOT FALSE { DISCARD; }", "discard;" },
	{ "if true { } discard;", "discard;" },
	/* header */
	{ "if header \"subject\" \"i have a pr\xc3\xa9sent for you\" "
	  "{ discard; }",
	    "discard;" },
	{ "if header :contains \"Subject\" [\"x\", \"PR\xc3\xa9SENT\"] "
	  "{ discard; }",
	    "discard;" },
	{ "if header :comparator \"i;octet\" :contains \"Subject\" \"i have\""
	  " { discard; }",
	    "implicit keep;" },
	{ "if header :matches \"subject\" \"I ?ave * for *\" { discard; }",
	    "discard;" },
	{ "if header :matches \"subject\" \"*pr?sent*\" { discard; }",
	    "discard;" },
	{ "if header :matches \"subject\" \"?\" { discard; }",
	    "implicit keep;" },
	{ "if header :matches [\"x-none\", \"received\"] \"tw*\""
	  "{ discard; }",
	    "discard;" },
	{ "if header :is \"x-empty\" \"\" { discard; }", "discard;" },
	{ "if header :contains \"x-none\" \"\" { discard; }",
	    "implicit keep;" },
	{ "if exists [\"from\", \"to\"] { discard; }", "discard;" },
	{ "if exists [\"from\", \"x-none\"] { discard; }", "implicit keep;" },
	{ "if size :over 100 { discard; }", "discard;" },
	{ "if size :over 1M { discard; }", "implicit keep;" },
	{ "if size :under 1K { discard; }", "discard;" },
	/* address, envelope, subaddress */
	{ "if address :is \"from\" \"COYOTE+ads@desert.example.org\""
	  "{ discard; }",
	    "discard;" },
	{ "if address :domain \"to\" \"acme.example.com\" { discard; }",
	    "discard;" },
	{ "if address :localpart \"to\" \"other\" { discard; }", "discard;" },
	{ "if address :contains \"from\" \"W.\" { discard; }",
	    "implicit keep;" },
	{ "require \"subaddress\"; if allof (address :user \"from\" "
	  "\"coyote\", address :detail \"from\" \"ads\") { discard; }",
	    "discard;" },
	{ "require \"subaddress\"; if address :detail \"to\" \"\" "
	  "{ discard; }",
	    "implicit keep;" },
	{ "require \"envelope\"; if envelope :domain \"from\" "
	  "\"desert.example.org\" { discard; }",
	    "discard;" },
	{ "require [\"envelope\", \"subaddress\"]; if envelope :detail "
	  "\"to\" \"a\" { discard; }",
	    "discard;" },
	/* relational */
	{ "require [\"relational\", \"comparator-i;ascii-numeric\"];"
	  "if header :value \"ge\" :comparator \"i;ascii-numeric\" "
	  "\"x-spam-score\" \"05\" { discard; }",
	    "discard;" },
	{ "require [\"relational\", \"comparator-i;ascii-numeric\"];"
	  "if header :value \"gt\" :comparator \"i;ascii-numeric\" "
	  "\"x-spam-score\" \"10\" { discard; }",
	    "implicit keep;" },
	{ "require [\"relational\", \"comparator-i;ascii-numeric\"];"
	  "if header :count \"eq\" :comparator \"i;ascii-numeric\" "
	  "\"received\" \"2\" { discard; }",
	    "discard;" },
	{ "require [\"relational\", \"comparator-i;ascii-numeric\"];"
	  "if address :count \"ge\" :comparator \"i;ascii-numeric\" "
	  "\"to\" \"2\" { discard; }",
	    "discard;" },
	{ "require \"relational\"; if header :value \"lt\" \"received\" "
	  "\"p\" { discard; }",
	    "discard;" },
	{ "require \"comparator-i;ascii-numeric\"; if header :is "
	  ":comparator \"i;ascii-numeric\" \"x-spam-score\" \"007x\" "
	  "{ discard; }",
	    "discard;" },
	/* mailbox, body, encoded-character */
	{ "require \"mailbox\"; if mailboxexists [\"inbox\", \"Work\"] "
	  "{ discard; }",
	    "discard;" },
	{ "require \"mailbox\"; if mailboxexists \"Play\" { discard; }",
	    "implicit keep;" },
	{ "require \"body\"; if body :contains \"feed ME\" { discard; }",
	    "discard;" },
	{ "require \"body\"; if body :raw :contains \"feed me\" { discard; }",
	    "discard;" },
	{ "require \"body\"; if body :raw :contains \"RmVl\" { discard; }",
	    "discard;" },
	{ "require \"body\"; if body :content \"text/plain\" :is "
	  "\"Feed me!\" { discard; }",
	    "discard;" },
	{ "require \"body\"; if body :content \"image\" :contains \"\" "
	  "{ discard; }",
	    "implicit keep;" },
	{ "require [\"fileinto\", \"encoded-character\"];"
	  "fileinto \"a${unicode: 40 e9}${hex:24 24}${hex:4x}\";",
	    "fileinto a@\xc3\xa9$$${hex:4x};" },
	/* imap4flags */
	{ "require \"imap4flags\"; setflag \"\\\\Seen $x\"; addflag "
	  "[\"$y\", \"\\\\seen\"]; removeflag \"$X\";",
	    "implicit keep (\\Seen $y);" },
	{ "require [\"imap4flags\", \"fileinto\"]; setflag \"\\\\Deleted\";"
	  "fileinto :flags [\"\\\\Flagged\", \"$a\"] \"b\"; keep;",
	    "fileinto b (\\Flagged $a);keep (\\Deleted);" },
	{ "require \"imap4flags\"; keep; setflag \"$x\"; keep;", "keep ($x);" },
	{ "require \"imap4flags\"; setflag \"b A\"; if hasflag [\"B\",\"c\"]"
	  "{ discard; }",
	    "discard;" },
	{ "require \"imap4flags\"; setflag \"b\"; if hasflag \"a\" "
	  "{ discard; }",
	    "implicit keep (b);" },
	{ "require [\"imap4flags\", \"variables\"]; setflag \"v\" \"a b\";"
	  "addflag \"v\" \"c\"; if hasflag :contains \"v\" \"C\" "
	  "{ keep :flags \"${v}\"; }",
	    "keep (a b c);" },
	{ "require [\"imap4flags\", \"relational\", "
	  "\"comparator-i;ascii-numeric\"]; setflag \"a b a\";"
	  "if hasflag :count \"eq\" :comparator \"i;ascii-numeric\" \"2\""
	  "{ discard; }",
	    "discard;" },
	{ "require \"imap4flags\"; setflag \"\\\\Recent \\\\Nonsense ok\";",
	    "implicit keep (ok);" },
	/* variables */
	{ "require [\"variables\", \"fileinto\"]; set \"A\" \"x\";"
	  "set \"b\" \"${a}y${A}\"; fileinto \"${b}${none}${0}z\";",
	    "fileinto xyxz;" },
	{ "require [\"variables\", \"fileinto\"]; if header :matches "
	  "\"subject\" \"I * a *\" { fileinto \"${1}-${2}-${9}\"; }",
	    "fileinto have-pr\xc3\xa9sent for you-;" },
	{ "require [\"variables\", \"fileinto\"]; if string :matches "
	  "\"a.b.c\" \"*.*\" { fileinto \"${0}:${1}:${2}\"; }",
	    "fileinto a.b.c:a:b.c;" },
	{ "require [\"variables\", \"fileinto\"]; if string :matches "
	  "\"abcd\" \"*?d\" { fileinto \"${1}:${2}:${3}\"; }",
	    "fileinto ab:c:;" },
	{ "require [\"variables\", \"fileinto\"]; if string :matches "
	  "\"abc\" \"??*\" { fileinto \"${1}:${2}:${3}\"; }",
	    "fileinto a:b:c;" },
	{ "require [\"variables\", \"fileinto\"]; set :upperfirst :lower "
	  "\"a\" \"juMBled\"; set :length \"b\" \"${a}\xc3\xa9\";"
	  "fileinto \"${a}${b}\";",
	    "fileinto Jumbled8;" },
	{ "require [\"variables\", \"fileinto\"]; set :quotewildcard \"a\" "
	  "\"R*?\\\\\"; fileinto \"${a}\";",
	    "fileinto R\\*\\?\\\\;" },
	{ "require \"variables\"; set \"a\" \"*\"; if string :matches \"x\" "
	  "\"${a}\" { discard; }",
	    "discard;" },
	{ "require \"fileinto\"; fileinto \"${a}\";", "fileinto ${a};" },
	{ "require \"variables\"; redirect \"${none}\";",
	    "run 1: redirect: not an address" },
	{ "require [\"variables\",\"fileinto\"];\nfileinto \"${none}\";",
	    "run 2: fileinto: no name of a mailbox" },
	/* wrong scripts */
	{ "keep", "1: a semicolon is missing" },
	{ "\n\nnonsense;", "3: an unknown command: nonsense" },
	{ "fileinto \"a\";", "1: its extension is not required: fileinto" },
	{ "require \"x\";", "1: an unknown extension: x" },
	{ "keep; require \"copy\";",
	    "1: require comes before all other commands" },
	{ "require;", "1: require takes one list of strings" },
	{ "if true keep;", "1: a block is missing" },
	{ "if true { keep;", "1: a block has no }" },
	{ "}", "1: a command is missing" },
	{ "else { keep; }", "1: no if before it: else" },
	{ "if true {} else {} else {}", "1: no if before it: else" },
	{ "if true {} keep; elsif true {}", "1: no if before it: elsif" },
	{ "if { keep; }", "1: a test is missing" },
	{ "if allof () {}", "1: a test is missing" },
	{ "if allof (true {}", "1: a list of tests has no )" },
	{ "if allof true {}", "1: a list of tests is missing" },
	{ "if nonsense {}", "1: an unknown test: nonsense" },
	{ "true;", "1: an unknown command: true" },
	{ "if keep {}", "1: an unknown test: keep" },
	{ "keep \"x\";", "1: too many arguments: keep" },
	{ "redirect;", "1: too few arguments: redirect" },
	{ "redirect [\"a@b\"];", "1: an argument of the wrong type: redirect" },
	{ "redirect \"nowhere\";", "1: not an address: redirect" },
	{ "redirect \"a@b\\nc\";", "redirect a@bnc;" },
	{ "redirect \"a@b\nc@d\";", "1: not an address: redirect" },
	{ "if size 100 {}", "1: neither :over nor :under: size" },
	{ "if size :over \"1\" {}", "1: an argument of the wrong type: size" },
	{ "if size :over 9999999999 {}", "1: a number is too large" },
	{ "if size :over 4G {}", "1: a number is too large" },
	{ "if header :over \"a\" \"b\" {}",
	    "1: a tag that does not belong here: over" },
	{ "if header :is :contains \"a\" \"b\" {}",
	    "1: a tag too many: contains" },
	{ "if header :comparator \"a\" {}",
	    "1: an unknown comparator, or not required: a" },
	{ "redirect :copy \"a@b\";",
	    "1: a tag of an extension not required: copy" },
	{ "require \"comparator-i;ascii-numeric\"; if header :contains "
	  ":comparator \"i;ascii-numeric\" \"a\" \"b\" {}",
	    "1: i;ascii-numeric cannot look into strings: header" },
	{ "require \"imap4flags\"; setflag \"a\" \"b\";",
	    "1: a variable's name without \"variables\": setflag" },
	{ "require \"variables\"; set \"1\" \"b\";",
	    "1: not a variable's name: set" },
	{ "require \"encoded-character\"; redirect \"${unicode:d800}\";",
	    "1: no such character" },
	{ "keep; \"open", "1: a string has no end" },
	{ "/* open", "1: a comment has no end" },
	{ "require \"reject\"; reject text:\r\nx\r\n",
	    "1: a text: has no end" },
	{ "keep $;", "1: an octet that fits nowhere" },
	{ "if header [\"a\" \"b\"] \"c\" {}", "1: a list of strings has no ]" },
	{ "if header [] \"c\" {}", "1: a string is missing in a list" },
	{ "keep; \xff", "0: the script is not UTF-8" },
};

static void
test_cases(void)
{
	struct buf b;

	buf_init(&b, 1 << 16);
	for (size_t i = 0; i < NITEMS(cases); i++) {
		outcome(cases[i].script, &b);
		is_str((const char *)buf_data(&b), cases[i].outcome, "outcome");
		if (strcmp((const char *)buf_data(&b), cases[i].outcome) != 0)
			printf("# %s\n", cases[i].script);
	}
	buf_fini(&b);
}

/* head, n times middle, tail */
static void
long_script(struct buf *b, const char *head, const char *middle, unsigned n,
    const char *tail)
{
	buf_puts(b, head);
	for (unsigned i = 0; i < n; i++)
		buf_puts(b, middle);
	buf_puts(b, tail);
}

static void
test_limits(void)
{
	static const struct {
		const char *head, *middle;
		unsigned n;
		const char *tail, *text;
	} longs[] = {
		{ "", "if ", 80000, "", "an unknown test: if" },
		{ "", "if true {", 20000, "",
		    "blocks and tests are nested too deeply" },
		{ "if ", "not ", 20000, "true {}",
		    "blocks and tests are nested too deeply" },
		{ "if ", "anyof (", 20000, "",
		    "blocks and tests are nested too deeply" },
		{ "", "keep;", 50000, "", "the script is too long" },
		{ "if header [\"a\"", ",\"a\"", 50000, "] \"b\" {}",
		    "the script is too long" },
		{ "keep ", ":a ", 100, ";", "too many arguments" },
		{ "", "#", 300000, "", "the script is too long" },
		{ "", "if true {} else {", 5000, "",
		    "blocks and tests are nested too deeply" },
	};

	for (size_t i = 0; i < NITEMS(longs); i++) {
		struct sieve_error error;
		struct sieve *s;
		struct buf b;

		buf_init(&b, 1 << 20);
		long_script(&b, longs[i].head, longs[i].middle, longs[i].n,
		    longs[i].tail);
		s = sieve_compile(buf_slice(&b), &sieve_limits_default, &error);
		ok(s == NULL, "refused: %s...", longs[i].middle);
		is_str(error.text, longs[i].text, "why");
		sieve_free(&s);
		buf_fini(&b);
	}
}

/* Scripts that would take long on a message made for it. */
static void
test_time(void)
{
	static const char *const scripts[] = {
		"if header :matches \"x\" \"*a*a*a*a*a*a*a*a*a*a*b\" {}",
		"require \"body\"; if body :raw :matches "
		"\"*a*a*a*a*a*a*a*a*a*a*b\" {}",
		"require \"body\"; if body :raw :contains [\"aaaaaaaaab\", "
		"\"aaaaaab\", \"x\", \"y\", \"z\", \"1\", \"2\", \"3\"] {}",
	};
	struct buf m, out;

	buf_init(&m, 1 << 24);
	buf_init(&out, 1 << 16);
	buf_puts(&m, "X: ");
	for (unsigned i = 0; i < 200000; i++)
		buf_putc(&m, 'a');
	buf_puts(&m, "\r\n\r\n");
	for (unsigned i = 0; i < 1000000; i++)
		buf_putc(&m, 'a');
	for (size_t i = 0; i < NITEMS(scripts); i++) {
		struct sieve_error error;
		struct sieve *s = sieve_compile(slice_str(scripts[i]),
		    &sieve_limits_default, &error);
		int r = run(s, buf_slice(&m), &out, &error);

		ok(r == 0 ||
		        strcmp(error.text, "the script takes too long") == 0,
		    "ends: %d", r);
		sieve_free(&s);
	}
	buf_fini(&m);
	buf_fini(&out);
}

/* What costs more than its octets is paid for, too. */
static void
test_work(void)
{
	static const struct {
		const char *head, *middle;
		unsigned n;
		const char *tail; /* of the script */
		const char *field;
		unsigned fields; /* of the message */
		const char *what;
	} works[] = {
		{ "if header [\"x\"", ",\"x\"", 9000, "] \"z\" {}", "a:\r\n",
		    16000, "many names, many fields" },
		{ "", "if header \"x\" \"z\" {}", 20, "",
		    "X: =?big5?q?a?= =?big5?q?a?=\r\n", 7500, "encoded words" },
		{ "require [\"variables\", \"imap4flags\"]; "
		  "set \"v\" \""
		  "a0 a1 a2 a3 a4 a5 a6 a7 a8 a9 "
		  "b0 b1 b2 b3 b4 b5 b6 b7 b8 b9 "
		  "c0 c1 c2 c3 c4 c5 c6 c7 c8 c9 "
		  "d0 d1 d2 d3 d4 d5 d6 d7 d8 d9 "
		  "e0 e1 e2 e3 e4 e5 e6 e7 e8 e9 "
		  "f0 f1 f2 f3 f4 f5 f6 f7 f8 f9 "
		  "g0 g1 g2 g3 g4 g5 g6 g7 g8 g9 "
		  "h0 h1 h2 h3 h4 h5 h6 h7 h8 h9 "
		  "\"; "
		  "if hasflag [\"v\"",
		    ",\"v\"", 9000, "] \"z\" {}", "a: b\r\n", 1,
		    "many lists of flags" },
		{ "require \"body\"; ", "if body \"z\" {}", 300, "",
		    "Content-Type: multipart/mixed; boundary=b\r\n\r\n"
		    "--b\r\n\r\n--b\r\n\r\n--b\r\n\r\n--b\r\n\r\n",
		    200, "many parts" },
	};

	for (size_t i = 0; i < NITEMS(works); i++) {
		struct sieve_error error;
		struct buf b, m, out;
		struct sieve *s;

		buf_init(&b, 1 << 20);
		buf_init(&m, 1 << 20);
		buf_init(&out, 1 << 16);
		long_script(&b, works[i].head, works[i].middle, works[i].n,
		    works[i].tail);
		long_script(&m, "", works[i].field, works[i].fields, "\r\n");
		s = sieve_compile(buf_slice(&b), &sieve_limits_default, &error);
		ok(s != NULL && run(s, buf_slice(&m), &out, &error) == -1, "%s",
		    works[i].what);
		is_str(error.text, "the script takes too long", "why");
		sieve_free(&s);
		buf_fini(&b);
		buf_fini(&m);
		buf_fini(&out);
	}
}

/* Doubling a variable over and over ends at the limit on one. */
static void
test_memory(void)
{
	struct sieve_error error;
	struct sieve *s;
	struct buf b, out;

	buf_init(&b, 1 << 20);
	buf_init(&out, 1 << 20);
	long_script(&b, "require \"variables\"; set \"a\" \"xxxxxxxx\";",
	    "set \"a\" \"${a}${a}${a}${a}\";", 200,
	    "if string :contains \"${a}\" \"x\" { discard; }");
	s = sieve_compile(buf_slice(&b), &sieve_limits_default, &error);
	ok(s != NULL && (run(s, slice_str(message), &out, &error) == 0),
	    "cut: %s", error.text);
	ok(slice_is(buf_slice(&out), "discard;"), "and still a string");
	sieve_free(&s);
	buf_fini(&b);
	buf_fini(&out);
}

static void
test_needs(void)
{
	struct sieve_error error;
	struct sieve *s =
	    sieve_compile(slice_str(
	                      "require [\"body\", \"mailbox\"]; if anyof (body "
	                      "\"x\", mailboxexists \"y\") {}"),
	        &sieve_limits_default, &error);

	ok(s != NULL &&
	        sieve_needs(s) == (SIEVE_NEEDS_BODY | SIEVE_NEEDS_MAILBOX),
	    "needs");
	sieve_free(&s);
}

int
main(void)
{
	test_cases();
	test_limits();
	test_time();
	test_work();
	test_memory();
	test_needs();
	return done_testing();
}
