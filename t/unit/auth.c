/*
 * auth: each mechanism from the client's side through the ipc to a sasldb and
 * back; what is refused; what happens when a child goes.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/auth.h"
#include "lib/buf.h"
#include "lib/daemon.h"
#include "lib/err.h"
#include "lib/ipc.h"
#include "lib/log.h"
#include "lib/loop.h"
#include "lib/must.h"
#include "lib/xalloc.h"
#include "t/tap.h"
#include "t/tempdir.h"

/* --- a parent, as far as the child sees it -------------------------------- */

struct child {
	struct loop *loop;
	struct log *log;
	struct {
		struct daemon_conf daemon;
		struct auth_conf auth;
	} conf;
};

struct loop *
child_loop(struct child *c)
{
	return c->loop;
}

struct log *
child_log(struct child *c)
{
	return c->log;
}

const void *
child_conf(struct child *c)
{
	return &c->conf;
}

void
child_drained(struct child *c)
{
	loop_stop(c->loop);
}

/* --- the world ------------------------------------------------------------ */

struct world {
	char dir[64], db[80];
	struct child child;
	struct daemon_child kind;
	void *state;
	struct loop *loop;
	struct auth *auth;
	struct auth_exchange *exchange;
	struct auth_client *client;
	struct timer *guard;
	int spare; /* our end, if there is no child */
	enum auth_result result;
	char authcid[100], authzid[100], text[300];
	size_t steps;
	bool ended;
};

/* The password goes by standard input. */
static void
user_make(const char *db, const char *realm, const char *user,
    const char *password)
{
	int fds[2], status;
	pid_t pid;

	MUST(pipe(fds) == 0);
	fflush(stdout);
	pid = fork();
	MUST(pid != -1);
	if (pid == 0) {
		dup2(fds[0], 0);
		close(fds[1]);
		execl("/usr/sbin/saslpasswd2", "saslpasswd2", "-p", "-c", "-f",
		    db, "-u", realm, user, (char *)NULL);
		_exit(127);
	}
	close(fds[0]);
	MUST(write(fds[1], password, strlen(password)) ==
	     (ssize_t)strlen(password));
	close(fds[1]);
	MUST(waitpid(pid, &status, 0) == pid && status == 0);
}

static void
too_late(void *arg)
{
	struct world *w = arg;

	printf("# too late\n");
	loop_stop(w->loop);
}

static void
world_init(struct world *w)
{
	struct err err;

	*w = (struct world){ .loop = loop_new(), .spare = -1 };
	tempdir_make(w->dir);
	snprintf(w->db, sizeof(w->db), "%s/sasldb", w->dir);
	user_make(w->db, "murder", "fred", "secret");
	user_make(w->db, "murder", "proxy", "proxy secret");
	user_make(w->db, "example.org", "jane", "other secret");
	w->child.loop = w->loop;
	w->child.log = log_new("auth.t", LOG_LEVEL_ERR, true);
	w->child.conf.auth = (struct auth_conf){ .children = 1,
		.sasldb = w->db,
		.pwcheck = xstrdup("auxprop"),
		.realm = xstrdup("murder"),
		.cache_ms = 60000,
		.fail_ms = 1 };
	w->kind = auth_child(offsetof(__typeof__(w->child.conf), auth));
	MUST(w->kind.count(&w->child.conf) == 1);
	MUST(w->kind.start(&w->child, &w->state, &err) == 0);
	w->auth = auth_new(w->loop, w->child.log, &w->child.conf.auth);
	w->guard = timer_new(w->loop, too_late, w);
}

/* The child ends with its process; here it is told that its clients go. */
static void
never_ends(void *arg)
{
	loop_stop(arg);
}

static void
turns(struct world *w)
{
	struct timer *t = timer_new(w->loop, never_ends, w->loop);

	timer_set(t, 20);
	loop_run(w->loop);
	timer_free(&t);
}

static void
neighbours(struct world *w)
{
	struct err err;
	int fds[2];

	MUST(ipc_pair(fds, &err) == 0);
	w->kind.neighbour(w->state, "imap", 0, fds[0]);
	auth_neighbour(w->auth, 0, fds[1]);
	turns(w);
}

static void
world_fini(struct world *w)
{
	auth_free(&w->auth);
	turns(w);
	timer_free(&w->guard);
	unlink(w->db);
	rmdir(w->dir);
	free(w->child.conf.auth.pwcheck);
	free(w->child.conf.auth.realm);
	log_free(&w->child.log);
	loop_free(&w->loop);
}

/* --- exchanges ------------------------------------------------------------ */

static void
answered(void *arg, const struct auth_answer *a)
{
	struct world *w = arg;
	struct buf out;
	struct err err;

	w->result = a->result;
	w->steps++;
	if (a->result == AUTH_CONTINUE && w->client != NULL) {
		buf_init(&out, 65536);
		if (auth_client_step(w->client, a->challenge, &out, &err) ==
		    -1) {
			printf("# %s\n", err.text);
			auth_cancel(&w->exchange);
			loop_stop(w->loop);
		} else {
			auth_step(w->exchange, buf_slice(&out));
		}
		buf_fini(&out);
		return;
	}
	w->ended = true;
	if (a->result != AUTH_CONTINUE)
		w->exchange = NULL;
	snprintf(w->authcid, sizeof(w->authcid), "%s",
	    a->authcid == NULL ? "" : a->authcid);
	snprintf(w->authzid, sizeof(w->authzid), "%s",
	    a->authzid == NULL ? "" : a->authzid);
	snprintf(w->text, sizeof(w->text), "%s",
	    a->text == NULL ? "" : a->text);
	loop_stop(w->loop);
}

static void
wait_end(struct world *w)
{
	timer_set(w->guard, 60000);
	loop_run(w->loop);
	timer_stop(w->guard);
}

static const struct auth_peer safe = { "imap", "192.0.2.1:4000", NULL, true };
static const struct auth_peer unsafe = { "imap", "192.0.2.1:4000", NULL,
	false };
static const struct auth_peer with_cert = { "imap", "192.0.2.1:4000",
	"proxy@example.org", true };

static enum auth_result
login(struct world *w, const struct auth_peer *p, const char *user,
    const char *password)
{
	w->ended = false;
	w->exchange = auth_login(w->auth, p, slice_str(user),
	    slice_str(password), answered, w);
	MUST(!w->ended);
	wait_end(w);
	MUST(w->ended);
	return w->result;
}

static enum auth_result
exchange(struct world *w, const struct auth_peer *p,
    const struct auth_secret *s)
{
	struct buf first;
	struct slice initial;
	struct err err;

	w->ended = false;
	w->steps = 0;
	if (auth_client_new(&w->client, "imap", "localhost", s,
	        auth_mechanisms(w->auth, p), p->external != NULL, &err) == -1) {
		printf("# %s\n", err.text);
		return AUTH_CONTINUE; /* never the last answer */
	}
	buf_init(&first, 65536);
	if (auth_client_first(w->client, &first)) {
		initial = buf_slice(&first);
		w->exchange = auth_start(w->auth, p,
		    auth_client_mechanism(w->client), &initial, answered, w);
	} else {
		w->exchange = auth_start(w->auth, p,
		    auth_client_mechanism(w->client), NULL, answered, w);
	}
	buf_fini(&first);
	wait_end(w);
	auth_client_free(&w->client);
	return w->result;
}

static bool
offers(struct world *w, const struct auth_peer *p, const char *mechanism)
{
	char text[1000];

	snprintf(text, sizeof(text), " %s ", auth_mechanisms(w->auth, p));
	return strstr(text, mechanism) != NULL;
}

/* --- tests ---------------------------------------------------------------- */

static const char *const mechanisms[] = { "PLAIN", "LOGIN", "CRAM-MD5",
	"DIGEST-MD5", "SCRAM-SHA-1", "SCRAM-SHA-256" };

static void
test_mechanisms(struct world *w)
{
	printf("# offered: %s\n", auth_mechanisms(w->auth, &with_cert));
	for (size_t i = 0; i < NITEMS(mechanisms); i++) {
		struct auth_secret s = { "fred", "secret", NULL, "murder",
			mechanisms[i] };

		ok(exchange(w, &safe, &s) == AUTH_OK, "%s: %s", mechanisms[i],
		    w->text);
		is_str(w->authcid, "fred", "the canonical name");
		is_str(w->authzid, "", "acting as oneself");
		s.password = "wrong";
		ok(exchange(w, &safe, &s) == AUTH_FAIL, "%s: %s", mechanisms[i],
		    w->text);
		s.authcid = "nobody";
		ok(exchange(w, &safe, &s) == AUTH_FAIL, "%s: %s", mechanisms[i],
		    w->text);
	}
}

static void
test_proxies(struct world *w)
{
	struct auth_secret plain = { "proxy", "proxy secret", "fred", NULL,
		"PLAIN" };
	struct auth_secret scram = { "proxy", "proxy secret",
		"jane@example.org", NULL, "SCRAM-SHA-256" };
	struct auth_secret external = { "proxy@example.org", NULL, "fred", NULL,
		NULL };

	for (int i = 0; i < 2; i++) { /* the second from the cache */
		ok(exchange(w, &safe, &plain) == AUTH_OK, "PLAIN for another");
		is_str(w->authcid, "proxy", "whose credentials");
		is_str(w->authzid, "fred", "whom to act as");
	}
	ok(exchange(w, &safe, &scram) == AUTH_OK, "SCRAM for another");
	is_str(w->authcid, "proxy", "whose credentials");
	is_str(w->authzid, "jane@example.org", "whom to act as");
	ok(exchange(w, &with_cert, &external) == AUTH_OK, "EXTERNAL: %s",
	    w->text);
	is_str(w->authcid, "proxy@example.org", "whose credentials");
	is_str(w->authzid, "fred", "whom to act as");
	ok(!offers(w, &safe, " EXTERNAL "), "not without a certificate");
}

/* In a buffer where other octets follow. */
static enum auth_result
login_octets(struct world *w, const char *octets, size_t name, size_t n)
{
	w->ended = false;
	w->exchange = auth_login(w->auth, &safe, slice_of(octets, name),
	    slice_of(octets + name, n), answered, w);
	wait_end(w);
	return w->result;
}

static void
test_login(struct world *w)
{
	ok(login_octets(w, "fredsecret", 4, 6) == AUTH_OK, "octets");
	ok(login_octets(w, "fredsecret", 4, 5) == AUTH_FAIL, "fewer");
	ok(login_octets(w, "fredsecret\0more", 4, 11) == AUTH_FAIL,
	    "more, behind a NUL");
	ok(login_octets(w, "fred\0xsecret", 6, 6) == AUTH_FAIL,
	    "a name with a NUL");
	ok(login(w, &safe, "fred", "secret") == AUTH_OK, "a login: %s",
	    w->text);
	is_str(w->authcid, "fred", "its name");
	ok(login(w, &safe, "fred@murder", "secret") == AUTH_OK, "with realm");
	is_str(w->authcid, "fred", "which is left out");
	ok(login(w, &safe, "jane@example.org", "other secret") == AUTH_OK,
	    "of another realm");
	is_str(w->authcid, "jane@example.org", "which is not");
	ok(login(w, &safe, "jane", "other secret") == AUTH_FAIL,
	    "who is not in ours");
	ok(login(w, &safe, "fred", "wrong") == AUTH_FAIL, "wrong: %s", w->text);
	ok(login(w, &safe, "fred", "secret") == AUTH_OK, "right all the same");
	ok(login(w, &safe, "fred", "") == AUTH_FAIL, "no password");
	ok(login(w, &safe, "", "") == AUTH_FAIL, "no name");
	ok(login(w, &safe, "nobody", "secret") == AUTH_FAIL, "nobody");
}

static void
test_unsafe(struct world *w)
{
	struct slice initial = slice_of("\0fred\0secret", 12);

	ok(!offers(w, &unsafe, " PLAIN ") && !offers(w, &unsafe, " LOGIN "),
	    "without TLS no PLAIN: %s", auth_mechanisms(w->auth, &unsafe));
	ok(offers(w, &unsafe, " SCRAM-SHA-256 "), "but SCRAM");
	ok(login(w, &unsafe, "fred", "secret") == AUTH_FAIL, "no login: %s",
	    w->text);
	w->exchange =
	    auth_start(w->auth, &unsafe, "PLAIN", &initial, answered, w);
	wait_end(w);
	ok(w->result == AUTH_FAIL, "nor when tried: %s", w->text);
	w->exchange =
	    auth_start(w->auth, &safe, "NONESUCH", &initial, answered, w);
	wait_end(w);
	ok(w->result == AUTH_FAIL, "no such mechanism");
}

/* A password that was right is right for a while, another never is. */
static void
test_cache(struct world *w)
{
	struct mono start;
	enum {
		MANY = 2000
	};
	int good = 0;

	MUST(login(w, &safe, "fred", "secret") == AUTH_OK);
	unlink(w->db); /* so who is answered now is remembered */
	ok(login(w, &safe, "fred", "secret") == AUTH_OK, "remembered");
	ok(login(w, &safe, "fred", "wrong") != AUTH_OK, "only with it");
	ok(login(w, &safe, "proxy", "secret") != AUTH_OK, "and only him");
	start = loop_now(w->loop);
	for (int i = 0; i < MANY; i++)
		good += login(w, &safe, "fred", "secret") == AUTH_OK;
	ok(good == MANY, "%d in %d ms", MANY,
	    (int)(loop_now(w->loop).ms - start.ms));
	w->kind.reload(w->state);
	turns(w);
	ok(login(w, &safe, "fred", "secret") != AUTH_OK,
	    "not across a reload: %s", w->text);
}

/* What the child gives up while the client thinks is told at the next step. */
static void
rest(struct world *w)
{
	w->client = NULL;
	w->ended = false;
	w->exchange = auth_start(w->auth, &safe, "PLAIN", NULL, answered, w);
	wait_end(w);
	MUST(w->ended && w->result == AUTH_CONTINUE);
	w->ended = false;
}

static void
test_resting(struct world *w)
{
	struct slice plain = slice_of("\0fred\0secret", 12);

	rest(w);
	w->kind.reload(w->state);
	turns(w);
	ok(!w->ended, "the child gave up, and nobody was called");
	auth_step(w->exchange, plain);
	wait_end(w);
	ok(w->result == AUTH_UNAVAILABLE, "told at the next step: %s", w->text);
	rest(w);
	neighbours(w);
	ok(!w->ended, "the child went, and nobody was called");
	auth_step(w->exchange, plain);
	wait_end(w);
	ok(w->result == AUTH_UNAVAILABLE, "told at the next step: %s", w->text);
	rest(w);
	w->kind.reload(w->state);
	turns(w);
	auth_cancel(&w->exchange);
	rest(w);
	auth_step(w->exchange, plain);
	wait_end(w);
	ok(w->result == AUTH_OK, "and the next one goes well: %s", w->text);
}

static enum auth_result
exists(struct world *w, const char *user)
{
	w->ended = false;
	w->exchange = auth_exists(w->auth, &safe, slice_str(user), answered, w);
	MUST(!w->ended);
	wait_end(w);
	MUST(w->ended);
	return w->result;
}

static void
test_exists(struct world *w)
{
	char saslauthd[] = "saslauthd", *pwcheck = w->child.conf.auth.pwcheck;

	ok(exists(w, "fred") == AUTH_OK, "there is a fred: %s", w->text);
	ok(exists(w, "nobody") == AUTH_FAIL, "and no nobody: %s", w->text);
	ok(exists(w, "") == AUTH_FAIL, "nor one without a name");
	w->child.conf.auth.pwcheck = saslauthd;
	ok(exists(w, "fred") == AUTH_UNAVAILABLE, "saslauthd cannot say: %s",
	    w->text);
	w->child.conf.auth.pwcheck = pwcheck;
}

static void
test_gone(struct world *w)
{
	struct err err;
	int fds[2];

	w->exchange = auth_login(w->auth, &safe, slice_str("fred"),
	    slice_str("secret"), answered, w);
	auth_cancel(&w->exchange);
	ok(w->exchange == NULL, "cancelled");
	turns(w);
	/* Its successor never answers, and goes. */
	MUST(ipc_pair(fds, &err) == 0);
	auth_neighbour(w->auth, 0, fds[1]);
	is_str(auth_mechanisms(w->auth, &safe), "", "nobody has answered");
	w->exchange = auth_login(w->auth, &safe, slice_str("fred"),
	    slice_str("secret"), answered, w);
	turns(w);
	close(fds[0]);
	wait_end(w);
	ok(w->result == AUTH_UNAVAILABLE, "gone: %s", w->text);
	ok(login(w, &safe, "fred", "secret") == AUTH_UNAVAILABLE,
	    "no child: %s", w->text);
}

int
main(void)
{
	/* What the child has ends with its process, here as elsewhere. */
	static struct world w;

	world_init(&w);
	ok(login(&w, &safe, "fred", "secret") == AUTH_UNAVAILABLE,
	    "before any child has come");
	neighbours(&w);
	test_login(&w);
	test_mechanisms(&w);
	test_proxies(&w);
	test_unsafe(&w);
	test_resting(&w);
	test_exists(&w);
	test_cache(&w);
	test_gone(&w);
	world_fini(&w);
	return done_testing();
}
