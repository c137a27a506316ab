/*
 * auth_line, over a SASL of our own: "ask" asks once, "last" has a last word.
 */
#include <string.h>

#include "lib/auth_line.h"
#include "t/tap.h"

/* --- lib/auth, as far as it is needed ---------------------------------------- */

struct auth_exchange {
	auth_cb *cb;
	void *arg;
	char mechanism[8];
};

static struct auth_exchange only;
static unsigned running;
static char said[100]; /* what reached SASL last */

static void
note(const struct slice *s)
{
	snprintf(said, sizeof(said), "%.*s", s == NULL ? 4 : (int)s->len,
	    s == NULL ? "none" : (const char *)s->ptr);
}

struct auth_exchange *
auth_start(struct auth *a, const struct auth_peer *p, const char *mechanism,
    const struct slice *initial, auth_cb *cb, void *arg)
{
	(void)a;
	(void)p;
	only = (struct auth_exchange){ .cb = cb, .arg = arg };
	snprintf(only.mechanism, sizeof(only.mechanism), "%s", mechanism);
	note(initial);
	running++;
	return &only;
}

struct auth_exchange *
auth_login(struct auth *a, const struct auth_peer *p, struct slice user,
    struct slice password, auth_cb *cb, void *arg)
{
	(void)password;
	return auth_start(a, p, "LOGIN", &user, cb, arg);
}

static void
end(enum auth_result r)
{
	running--;
	only.cb(only.arg,
	    &(struct auth_answer){ .result = r,
	        .authcid = "fred",
	        .has_challenge = strcmp(only.mechanism, "last") == 0,
	        .challenge = slice_str("bye"),
	        .text = "why" });
}

static void
ask(const char *challenge)
{
	only.cb(only.arg, &(struct auth_answer){ .result = AUTH_CONTINUE,
	                      .challenge = slice_str(challenge) });
}

void
auth_step(struct auth_exchange *x, struct slice response)
{
	(void)x;
	note(&response);
}

void
auth_cancel(struct auth_exchange **xp)
{
	running -= *xp != NULL;
	*xp = NULL;
}

/* --- the owner ------------------------------------------------------------------ */

static struct auth_line *x;
static char seen[200];

static void
see(void *arg, const struct auth_line_answer *a)
{
	static const char *const names[] = { "challenge", "ok", "fail",
		"unavailable", "cancelled", "malformed" };

	(void)arg;
	snprintf(seen, sizeof(seen), "%s %s %s", names[a->result],
	    a->coded == NULL ? "-" : a->coded,
	    a->authcid == NULL ? "-" : a->authcid);
	if (a->result != AUTH_LINE_CHALLENGE)
		x = NULL;
}

static void
start(const char *mechanism, const char *initial, enum auth_line_last last)
{
	const struct auth_peer peer = { .service = "imap" };
	struct slice s = { NULL, 0 };

	seen[0] = '\0';
	if (initial != NULL)
		s = slice_str(initial);
	x = auth_line_start(NULL, &peer, mechanism, s, last, see, NULL);
}

static void
put(const char *line)
{
	auth_line_put(x, slice_str(line));
}

static void
test_plain(void)
{
	start("ask", "aGk=", AUTH_LINE_LAST_APART);
	is_str(said, "hi", "the initial response is decoded");
	end(AUTH_OK);
	is_str(seen, "ok - fred", "and right");
	start("ask", "=", AUTH_LINE_LAST_APART);
	is_str(said, "", "an empty one");
	end(AUTH_FAIL);
	is_str(seen, "fail - -", "wrong");
	start("ask", NULL, AUTH_LINE_LAST_APART);
	is_str(said, "none", "none");
	end(AUTH_UNAVAILABLE);
	is_str(seen, "unavailable - -", "cannot be known");
	start("ask", "a?", AUTH_LINE_LAST_APART);
	ok(x == NULL && seen[0] == '\0', "not base64: nothing begins");
	x = auth_line_login(NULL, &(struct auth_peer){ .service = "imap" },
	    slice_str("joe"), slice_str("pw"), see, NULL);
	is_str(said, "joe", "by name and password");
	end(AUTH_OK);
	is_str(seen, "ok - fred", "and right");
}

static void
test_challenges(void)
{
	start("ask", NULL, AUTH_LINE_LAST_APART);
	ask("");
	is_str(seen, "challenge  -", "an empty challenge");
	put("aGk=");
	is_str(said, "hi", "its answer");
	ask("who?");
	is_str(seen, "challenge d2hvPw== -", "another");
	put("");
	is_str(said, "", "an empty answer");
	end(AUTH_OK);
	is_str(seen, "ok - fred", "and right");
}

static void
test_last_word(void)
{
	start("last", NULL, AUTH_LINE_LAST_WITH_RESULT);
	end(AUTH_OK);
	is_str(seen, "ok Ynll fred", "together with OK");
	start("last", NULL, AUTH_LINE_LAST_APART);
	end(AUTH_OK);
	is_str(seen, "challenge Ynll -", "apart, it is not OK yet");
	put("");
	is_str(seen, "ok - fred", "but after an empty line");
	start("last", NULL, AUTH_LINE_LAST_APART);
	end(AUTH_OK);
	put("aGk=");
	is_str(seen, "malformed - -", "there is no more to say");
	start("last", NULL, AUTH_LINE_LAST_APART);
	end(AUTH_OK);
	put("*");
	is_str(seen, "cancelled - -", "nor to take back");
}

static void
test_giving_up(void)
{
	char big[AUTH_LINE_MAX + 8];

	start("ask", NULL, AUTH_LINE_LAST_APART);
	ask("");
	put("*");
	is_str(seen, "cancelled - -", "by the client");
	start("ask", NULL, AUTH_LINE_LAST_APART);
	ask("");
	put("???");
	is_str(seen, "malformed - -", "not base64");
	memset(big, 'A', sizeof(big) - 1);
	big[sizeof(big) - 1] = '\0';
	start("ask", NULL, AUTH_LINE_LAST_APART);
	ask("");
	put(big);
	is_str(seen, "malformed - -", "too long");
	start("ask", NULL, AUTH_LINE_LAST_APART);
	auth_line_cancel(&x);
	ok(x == NULL && seen[0] == '\0', "by the owner, who is not called");
	ok(running == 0, "no exchange is left");
}

int
main(void)
{
	test_plain();
	test_challenges();
	test_last_word();
	test_giving_up();
	return done_testing();
}
