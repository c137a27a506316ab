/*
 * thread: RFC 5256's two algorithms, rule by rule; and whatever comes in, each
 * message is in the response once.
 */
#include <stdlib.h>
#include <string.h>

#include "imap/thread.h"
#include "lib/arena.h"
#include "lib/buf.h"
#include "lib/cdefs.h"
#include "t/tap.h"
#include "t/thread_whole.h"

enum {
	MESSAGES = 10
};

static const uint64_t key[4] = { 1, 2, 3, 4 };

/* Message n is the n-th; its date is the number before its header. */
struct input {
	int64_t sent;
	const char *headers;
};

static const struct {
	const char *what;
	struct input in[MESSAGES];
	const char *references, *orderedsubject;
} cases[] = {
	{ "none", { { 0, NULL } }, "", "" },
	{ "one", { { 5, "Subject: x\r\n" } }, " (1)", " (1)" },
	{ "a chain, and the first message of it is not the first by date",
	    { { 9, "Message-ID: <a@x>\r\nSubject: s\r\n" },
	        { 5, "Message-ID: <b@x>\r\nReferences: <a@x>\r\n"
	             "Subject: Re: s\r\n" },
	        { 7, "Message-ID: <c@x>\r\nReferences: <a@x> <b@x>\r\n"
	             "Subject: Re: s\r\n" } },
	    " (1 2 3)", " (2 (3)(1))" },
	{ "RFC 5256 4: 4 and 44 are children of 6",
	    { { 1, "Message-ID: <2@x>\r\nSubject: a\r\n" },
	        { 2, "Message-ID: <3@x>\r\nSubject: b\r\n" },
	        { 4, "Message-ID: <4@x>\r\nReferences: <6@x>\r\n" },
	        { 3, "Message-ID: <6@x>\r\nReferences: <3@x>\r\n" },
	        { 6, "Message-ID: <7@x>\r\nReferences: <44@x>\r\n" },
	        { 5, "Message-ID: <23@x>\r\nIn-Reply-To: <4@x>\r\n" },
	        { 5, "Message-ID: <44@x>\r\nReferences: <3@x> <6@x>\r\n" },
	        { 9, "Message-ID: <96@x>\r\nReferences: <7@x>\r\n" } },
	    " (1)(2 4 (3 6)(7 5 8))", NULL },
	{ "siblings of a message that is not there",
	    { { 1, "Message-ID: <a@x>\r\nReferences: <0@x>\r\n" },
	        { 2, "Message-ID: <b@x>\r\nReferences: <0@x>\r\n" } },
	    " ((1)(2))", NULL },
	{ "one child of a message that is not there",
	    { { 1, "Message-ID: <a@x>\r\nReferences: <0@x> <00@x>\r\n" } },
	    " (1)", NULL },
	{ "a missing one in between is left out",
	    { { 1, "Message-ID: <a@x>\r\n" },
	        { 2, "Message-ID: <c@x>\r\nReferences: <a@x> <b@x>\r\n" },
	        { 3, "Message-ID: <d@x>\r\nReferences: <a@x> <b@x>\r\n" } },
	    " (1 (2)(3))", NULL },
	{ "missing ones below a missing one",
	    { { 1, "Message-ID: <c@x>\r\nReferences: <a@x> <b@x>\r\n" },
	        { 2, "Message-ID: <d@x>\r\nReferences: <a@x> <b@x>\r\n" },
	        { 3, "Message-ID: <e@x>\r\nReferences: <a@x>\r\n" } },
	    " ((1)(2)(3))", NULL },
	{ "In-Reply-To, if References names none",
	    { { 1, "Message-ID: <a@x>\r\n" },
	        { 2, "Message-ID: <b@x>\r\nReferences: nothing\r\n"
	             "In-Reply-To: your mail <a@x> of <joe@x>\r\n" } },
	    " (1 2)", NULL },
	{ "ids are the same however quoted, and differ in case",
	    { { 1, "Message-ID: <\"a\"@x>\r\n" },
	        { 2, "Message-ID: <b@x>\r\nReferences: <a@x>\r\n" },
	        { 3, "Message-ID: <c@x>\r\nReferences: <A@x>\r\n" } },
	    " (1 2)(3)", NULL },
	{ "of two with the same id the first has it",
	    { { 1, "Message-ID: <a@x>\r\n" }, { 2, "Message-ID: <a@x>\r\n" },
	        { 3, "Message-ID: <b@x>\r\nReferences: <a@x>\r\n" } },
	    " (1 3)(2)", NULL },
	{ "a loop is not made",
	    { { 1, "Message-ID: <a@x>\r\nReferences: <b@x>\r\n" },
	        { 2, "Message-ID: <b@x>\r\nReferences: <a@x>\r\n" },
	        { 3, "Message-ID: <c@x>\r\nReferences: <c@x>\r\n" } },
	    " (2 1)(3)", NULL },
	{ "its own References say more than another's",
	    { { 1, "Message-ID: <a@x>\r\n" }, { 2, "Message-ID: <b@x>\r\n" },
	        { 3, "Message-ID: <d@x>\r\nReferences: <a@x> <c@x>\r\n" },
	        { 4, "Message-ID: <c@x>\r\nReferences: <b@x>\r\n" } },
	    " (1)(2 4 3)", NULL },
	{ "and so says that it has none",
	    { { 1, "Message-ID: <a@x>\r\n" },
	        { 2, "Message-ID: <d@x>\r\nReferences: <a@x> <c@x>\r\n" },
	        { 3, "Message-ID: <c@x>\r\n" } },
	    " (1)(3 2)", NULL },
	{ "an only child of one that is not there stands for itself",
	    { { 1, "Message-ID: <a@x>\r\nReferences: <0@x>\r\n"
	           "Subject: s\r\n" },
	        { 2, "Subject: Re: s\r\n" } },
	    " (1 2)", NULL },
	{ "the same subject: a reply goes below what is none",
	    { { 1, "Subject: Hello\r\n" }, { 2, "Subject: Re: HELLO\r\n" },
	        { 3, "Subject: re: [x] hello (fwd)\r\n" } },
	    " (1 (2)(3))", " (1 (2)(3))" },
	{ "...whichever is older",
	    { { 2, "Subject: Hello\r\n" }, { 1, "Subject: Re: Hello\r\n" } },
	    " (1 2)", " (2 1)" },
	{ "the same subject, and no reply: siblings",
	    { { 1, "Subject: Hello\r\n" }, { 2, "Subject: Hello\r\n" },
	        { 3, "Subject: Hello\r\n" } },
	    " ((1)(2)(3))", " (1 (2)(3))" },
	{ "the same subject, all replies: siblings",
	    { { 1, "Subject: Re: Hello\r\n" },
	        { 2, "Subject: Re: Hello\r\n" } },
	    " ((1)(2))", " (1 2)" },
	{ "what joins siblings is their sibling, though they are replies",
	    { { 1, "Message-ID: <a@x>\r\nReferences: <0@x>\r\n"
	           "Subject: Re: s\r\n" },
	        { 2, "Message-ID: <b@x>\r\nReferences: <0@x>\r\n"
	             "Subject: Re: s\r\n" },
	        { 3, "Subject: s\r\n" } },
	    " ((1)(2)(3))", NULL },
	{ "...and if it came before them",
	    { { 1, "Subject: s\r\n" },
	        { 2, "Message-ID: <a@x>\r\nReferences: <0@x>\r\n"
	             "Subject: Re: s\r\n" },
	        { 3, "Message-ID: <b@x>\r\nReferences: <0@x>\r\n"
	             "Subject: Re: s\r\n" } },
	    " ((1)(2)(3))", NULL },
	{ "no subject is not the same subject, to REFERENCES",
	    { { 1, "To: x\r\n" }, { 2, "Subject: Re:\r\n" } }, " (1)(2)",
	    " (1 2)" },
	{ "two sets of siblings with one subject become one",
	    { { 1, "Message-ID: <a@x>\r\nReferences: <0@x>\r\nSubject: s\r\n" },
	        { 2, "Message-ID: <b@x>\r\nReferences: <0@x>\r\n"
	             "Subject: s\r\n" },
	        { 3, "Message-ID: <c@x>\r\nReferences: <1@x>\r\n"
	             "Subject: s\r\n" },
	        { 4, "Message-ID: <d@x>\r\nReferences: <1@x>\r\n"
	             "Subject: s\r\n" },
	        { 5, "Message-ID: <e@x>\r\nSubject: s\r\n" } },
	    " ((1)(2)(3)(4)(5))", NULL },
	{ "the same date: mailbox order",
	    { { 7, "Subject: b\r\n" }, { 7, "Subject: a\r\n" },
	        { 7, "Subject: c\r\n" } },
	    " (1)(2)(3)", " (1)(2)(3)" },
	{ "threads by the date of the first, dummies by their first child's",
	    { { 5, "Message-ID: <a@x>\r\nReferences: <0@x>\r\n" },
	        { 9, "Message-ID: <b@x>\r\nReferences: <0@x>\r\n" },
	        { 7, "Subject: z\r\n" }, { 3, "Subject: y\r\n" } },
	    " (4)((1)(2))(3)", NULL },
};

static void
run(struct buf *out, enum thread_algorithm how, const struct input *in,
    size_t n)
{
	struct thread *t = thread_new(how, key);
	bool good = true;

	for (size_t i = 0; i < n && in[i].headers != NULL; i++) {
		struct thread_message m = { (uint32_t)i + 1, in[i].sent,
			slice_str(in[i].headers) };

		good &= thread_add(t, &m);
	}
	buf_init(out, thread_size(t));
	thread_put(t, out);
	if (!good || buf_failed(out))
		buf_clear(out);
	thread_free(&t);
}

static void
check(enum thread_algorithm how, const struct input *in, const char *want,
    const char *what)
{
	struct buf out;
	char text[200];

	if (want == NULL)
		return;
	run(&out, how, in, MESSAGES);
	snprintf(text, sizeof(text), "* THREAD%s\r\n", want);
	ok(slice_is(buf_slice(&out), text), "%s: %.*s", what,
	    (int)buf_len(&out) - 2, (const char *)buf_data(&out));
	buf_fini(&out);
}

static void
test_cases(void)
{
	for (size_t i = 0; i < NITEMS(cases); i++) {
		check(THREAD_REFERENCES, cases[i].in, cases[i].references,
		    cases[i].what);
		check(THREAD_ORDEREDSUBJECT, cases[i].in,
		    cases[i].orderedsubject, cases[i].what);
	}
}

static uint32_t seed = 1;

static unsigned
below(unsigned n)
{
	seed = seed * 1664525 + 1013904223;
	return (seed >> 8) % n;
}

static void
test_random(void)
{
	bool good = true;

	for (unsigned round = 0; round < 2000; round++) {
		struct input in[60];
		unsigned n = 1 + below(60), ids = 1 + below(40);
		struct arena a;
		struct buf out;

		arena_init(&a);
		for (unsigned i = 0; i < n; i++) {
			char *text = arena_printf(&a,
			    "Message-ID: <%u@x>\r\nSubject: %ss%u\r\n"
			    "References:",
			    below(ids), below(2) ? "Re: " : "",
			    below(1 + ids / 4));

			for (unsigned k = below(5); k > 0; k--)
				text = arena_printf(&a, "%s <%u@x>", text,
				    below(ids));
			in[i].headers = arena_printf(&a, "%s\r\n", text);
			in[i].sent = below(20);
		}
		for (int how = 0; how < 2; how++) {
			run(&out,
			    how ? THREAD_REFERENCES : THREAD_ORDEREDSUBJECT, in,
			    n);
			good &= thread_whole(buf_slice(&out), n);
			buf_fini(&out);
		}
		arena_reset(&a);
	}
	ok(good, "each message is there once");
}

/* One long chain, in order and against it; a wide thread. */
static void
test_large(void)
{
	enum {
		N = 50000
	};
	struct arena a;

	arena_init(&a);
	for (int kind = 0; kind < 3; kind++) {
		struct thread *t = thread_new(THREAD_REFERENCES, key);
		struct buf out;
		bool good = true;

		for (uint32_t i = 1; i <= N; i++) {
			uint32_t me = kind == 1 ? N - i + 1 : i;
			const char *text = arena_printf(&a,
			    "Message-ID: <%u@x>\r\nReferences: <%u@x>\r\n",
			    (unsigned)me, kind == 2 ? 1 : (unsigned)me - 1);
			struct thread_message m = { i, i, slice_str(text) };

			good &= thread_add(t, &m);
		}
		buf_init(&out, thread_size(t));
		thread_put(t, &out);
		ok(good && !buf_failed(&out) &&
		        thread_whole(buf_slice(&out), N),
		    "%d messages, kind %d", N, kind);
		buf_fini(&out);
		thread_free(&t);
		arena_reset(&a);
	}
}

/*
 * One long chain, and messages that all hang on its end but have a child
 * already: whether that makes a loop takes as many steps as the chain is long.
 */
static void
test_far(void)
{
	enum {
		DEEP = 50000,
		TRIES = 10000
	};
	struct thread *t = thread_new(THREAD_REFERENCES, key);
	struct thread_message m = { 1, 1, { 0 } };
	uint32_t taken = 0;
	struct arena a;
	struct buf b;
	bool good;

	arena_init(&a);
	buf_init(&b, 16 * DEEP);
	buf_puts(&b, "References:");
	for (unsigned i = 1; i <= DEEP; i++)
		buf_printf(&b, " <%u@x>", i);
	buf_puts(&b, "\r\n");
	m.headers = buf_slice(&b);
	good = thread_add(t, &m);
	while (good && taken < TRIES) {
		m.number++;
		m.headers = slice_str(arena_printf(&a,
		    "Message-ID: <%u@y>\r\n"
		    "References: <%u@y> <%u@z> <%u@x>\r\n",
		    (unsigned)taken, (unsigned)taken, (unsigned)taken, DEEP));
		good = thread_add(t, &m);
		taken++;
	}
	ok(taken > 100 && taken < TRIES, "it gives up after %u", taken);
	thread_free(&t);
	buf_fini(&b);
	arena_reset(&a);
}

int
main(void)
{
	test_cases();
	test_random();
	test_large();
	test_far();
	return done_testing();
}
