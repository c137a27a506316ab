#include <stdlib.h>
#include <string.h>

#include <sasl/sasl.h>

#include "lib/ascii.h"
#include "lib/auth_cache.h"
#include "lib/auth_server.h"
#include "lib/auth_wire.h"
#include "lib/err.h"
#include "lib/log.h"
#include "lib/must.h"
#include "lib/xalloc.h"

enum {
	SERVER_CALLBACKS = 5,
	SSF_TLS = 128, /* what SASL is told of a connection that is safe */
	NAME_MAX_OCTETS = 1024
};

struct auth_server {
	const struct auth_conf *conf;
	struct log *log;
	sasl_callback_t callbacks[SERVER_CALLBACKS];
	struct auth_cache *cache;
	char *secure, *plain; /* mechanisms */
};

struct auth_try {
	struct auth_server *server;
	char *service;
	bool secure, external;
	sasl_conn_t *conn;
	char *authcid, *authzid; /* of the answer given */
	char *text;
};

/* --- what SASL asks us ---------------------------------------------------- */

static int
get_option(void *context, const char *plugin, const char *option,
    const char **result, unsigned *len)
{
	const struct auth_server *s = context;
	const struct {
		const char *name, *value;
	} options[] = {
		{ "auxprop_plugin", "sasldb" },
		{ "sasldb_path", s->conf->sasldb },
		{ "pwcheck_method", s->conf->pwcheck },
		{ "saslauthd_path", s->conf->saslauthd },
		{ "mech_list", s->conf->mechanisms },
		{ "log_level", "1" },
	};

	(void)plugin;
	for (size_t i = 0; i < NITEMS(options); i++) {
		if (strcmp(option, options[i].name) != 0 ||
		    options[i].value == NULL)
			continue;
		*result = options[i].value;
		if (len != NULL)
			*len = (unsigned)strlen(*result);
		return SASL_OK;
	}
	return SASL_FAIL;
}

static int
get_path(void *context, const char **path)
{
	const struct auth_server *s = context;

	*path = s->conf->plugin_path;
	return SASL_OK;
}

/* Nothing above SASL_LOG_ERR: more detailed levels may show passwords. */
static int
log_message(void *context, int level, const char *message)
{
	const struct auth_server *s = context;

	if (level == SASL_LOG_ERR && s->log != NULL)
		log_debug(s->log, "SASL reports an error", "text", message,
		    NULL);
	return SASL_OK;
}

/* Who may act as whom is for the daemon to say; it is told both names. */
static int
may_act_as(sasl_conn_t *conn, void *context, const char *requested,
    unsigned requested_len, const char *identity, unsigned identity_len,
    const char *realm, unsigned realm_len, struct propctx *props)
{
	(void)conn, (void)context, (void)requested, (void)requested_len;
	(void)identity, (void)identity_len, (void)realm, (void)realm_len;
	(void)props;
	return SASL_OK;
}

typedef int callback_fn(void);

/* SASL keeps functions of every kind as one type; void (*)(void) may be any. */
#define CALLBACK(fn) ((callback_fn *)(void (*)(void))(fn))

static void
callbacks_set(struct auth_server *s)
{
	sasl_callback_t *c = s->callbacks;

	*c++ = (sasl_callback_t){ SASL_CB_GETOPT, CALLBACK(get_option), s };
	*c++ = (sasl_callback_t){ SASL_CB_LOG, CALLBACK(log_message), s };
	*c++ =
	    (sasl_callback_t){ SASL_CB_PROXY_POLICY, CALLBACK(may_act_as), s };
	if (s->conf->plugin_path != NULL)
		*c++ =
		    (sasl_callback_t){ SASL_CB_GETPATH, CALLBACK(get_path), s };
	*c = (sasl_callback_t){ SASL_CB_LIST_END, NULL, NULL };
}

/* --- connections ---------------------------------------------------------- */

static sasl_conn_t *
conn_new(struct auth_server *s, const char *service, bool plaintext,
    bool secure)
{
	sasl_security_properties_t sec = { .max_ssf = 0,
		.maxbufsize = 0,
		.security_flags = SASL_SEC_NOANONYMOUS };
	sasl_ssf_t ssf = SSF_TLS;
	sasl_conn_t *conn;

	if (!plaintext)
		sec.security_flags |= SASL_SEC_NOPLAINTEXT;
	if (sasl_server_new(service, s->conf->realm, s->conf->realm, NULL, NULL,
	        s->callbacks, 0, &conn) != SASL_OK)
		return NULL;
	if (sasl_setprop(conn, SASL_SEC_PROPS, &sec) == SASL_OK &&
	    (!secure || sasl_setprop(conn, SASL_SSF_EXTERNAL, &ssf) == SASL_OK))
		return conn;
	sasl_dispose(&conn);
	return NULL;
}

static char *
mechanisms_list(struct auth_server *s, bool plaintext)
{
	sasl_conn_t *conn = conn_new(s, "imap", plaintext, plaintext);
	const char *list;
	char *text;

	if (conn == NULL || sasl_listmech(conn, NULL, "", " ", "", &list, NULL,
	                        NULL) != SASL_OK)
		list = "";
	text = xstrdup(list);
	if (conn != NULL)
		sasl_dispose(&conn);
	return text;
}

struct auth_server *
auth_server_new(const struct auth_conf *conf, struct log *log, struct err *err)
{
	struct auth_server *s = xcalloc(1, sizeof(*s));
	int r;

	s->conf = conf;
	s->log = log;
	callbacks_set(s);
	r = sasl_server_init(s->callbacks, "murder");
	if (r != SASL_OK) {
		free(s);
		err_set(err, "SASL: %s", sasl_errstring(r, NULL, NULL));
		return NULL;
	}
	s->cache = auth_cache_new();
	s->secure = mechanisms_list(s, true);
	s->plain = mechanisms_list(s, false);
	return s;
}

void
auth_server_free(struct auth_server **sp)
{
	struct auth_server *s = *sp;

	if (s == NULL)
		return;
	sasl_server_done();
	auth_cache_free(&s->cache);
	free(s->secure);
	free(s->plain);
	free(s);
	*sp = NULL;
}

const char *
auth_server_mechanisms(const struct auth_server *s, bool plaintext)
{
	return plaintext ? s->secure : s->plain;
}

struct auth_try *
auth_try_new(struct auth_server *s, const struct auth_peer *p)
{
	struct auth_try *t = xcalloc(1, sizeof(*t));

	t->server = s;
	t->service = xstrdup(p->service == NULL ? "imap" : p->service);
	t->secure = p->secure || s->conf->plaintext;
	t->external = p->external != NULL;
	t->conn = conn_new(s, t->service, t->secure, p->secure);
	if (t->conn != NULL && p->external != NULL &&
	    sasl_setprop(t->conn, SASL_AUTH_EXTERNAL, p->external) != SASL_OK)
		sasl_dispose(&t->conn);
	return t;
}

static void
answer_clear(struct auth_try *t)
{
	free(t->authcid);
	free(t->authzid);
	free(t->text);
	t->authcid = t->authzid = t->text = NULL;
}

void
auth_try_free(struct auth_try **tp)
{
	struct auth_try *t = *tp;

	if (t == NULL)
		return;
	answer_clear(t);
	if (t->conn != NULL)
		sasl_dispose(&t->conn);
	free(t->service);
	free(t);
	*tp = NULL;
}

/* --- answers -------------------------------------------------------------- */

/* "fred@murder" is fred, if murder is the realm of those who name none. */
static char *
canonical(const struct auth_try *t, struct slice name)
{
	const char *realm = t->server->conf->realm;
	size_t at = slice_rfind(name, '@');

	if (realm != NULL && at < name.len &&
	    slice_is_nocase(slice_skip(name, at + 1), realm))
		name = slice_first(name, at);
	return xstrndup(name.ptr, name.len);
}

static char *
property(struct auth_try *t, int which)
{
	const void *value = NULL;

	if (sasl_getprop(t->conn, which, &value) != SASL_OK || value == NULL)
		return NULL;
	return canonical(t, slice_str(value));
}

static void
answer_text(struct auth_try *t, struct auth_answer *a, enum auth_result result,
    const char *text)
{
	t->text = xstrdup(text);
	a->result = result;
	a->text = t->text;
}

/* Names are told apart only if the client did: acting as oneself is "". */
static void
answer_ok(struct auth_try *t, struct auth_answer *a)
{
	t->authcid = property(t, SASL_AUTHUSER);
	t->authzid = property(t, SASL_USERNAME);
	if (t->authcid == NULL || t->authcid[0] == '\0') {
		answer_text(t, a, AUTH_FAIL, "no name");
		return;
	}
	if (t->authzid != NULL && strcmp(t->authcid, t->authzid) == 0)
		t->authzid[0] = '\0';
	a->result = AUTH_OK;
	a->authcid = t->authcid;
	a->authzid = t->authzid == NULL ? "" : t->authzid;
}

static void
answer_of(struct auth_try *t, int r, const char *out, unsigned len,
    struct auth_answer *a)
{
	*a = (struct auth_answer){ .result = AUTH_FAIL };
	switch (r) {
	case SASL_OK:
		answer_ok(t, a);
		break;
	case SASL_CONTINUE:
		a->result = AUTH_CONTINUE;
		a->challenge = slice_of(out, len);
		break;
	case SASL_NOMEM:
	case SASL_UNAVAIL:
	case SASL_TRYAGAIN:
		answer_text(t, a, AUTH_UNAVAILABLE, sasl_errdetail(t->conn));
		break;
	default:
		answer_text(t, a, AUTH_FAIL, sasl_errdetail(t->conn));
	}
}

/* --- plain passwords ------------------------------------------------------ */

/* RFC 4616: [authzid] NUL authcid NUL passwd. */
static bool
plain_parse(struct slice s, struct slice *authzid, struct slice *authcid,
    struct slice *password)
{
	size_t i = slice_find(s, '\0'), j;

	if (i == s.len)
		return false;
	*authzid = slice_first(s, i);
	s = slice_skip(s, i + 1);
	j = slice_find(s, '\0');
	if (j == s.len)
		return false;
	*authcid = slice_first(s, j);
	*password = slice_skip(s, j + 1);
	return true;
}

static bool
cached(struct auth_try *t, struct slice authzid, struct slice authcid,
    struct slice password, struct mono now, struct auth_answer *a)
{
	struct auth_server *s = t->server;
	const char *name =
	    s->conf->cache_ms == 0
	        ? NULL
	        : auth_cache_find(s->cache, t->service, authcid, password, now);

	if (name == NULL)
		return false;
	*a = (struct auth_answer){ .result = AUTH_OK };
	t->authcid = xstrdup(name);
	t->authzid = canonical(t, authzid);
	if (strcmp(t->authcid, t->authzid) == 0)
		t->authzid[0] = '\0';
	a->authcid = t->authcid;
	a->authzid = t->authzid;
	return true;
}

static void
remember(struct auth_try *t, struct slice authcid, struct slice password,
    struct mono now, const struct auth_answer *a)
{
	struct auth_server *s = t->server;

	if (a->result == AUTH_OK && s->conf->cache_ms > 0)
		auth_cache_put(s->cache, t->service, authcid, password,
		    a->authcid, mono_after(now, (int64_t)s->conf->cache_ms));
}

static bool
is_offered(const struct auth_try *t, struct slice mechanism)
{
	struct slice list =
	    slice_str(auth_server_mechanisms(t->server, t->secure));
	size_t n;

	if (slice_is_nocase(mechanism, "EXTERNAL"))
		return t->external;
	while (list.len > 0) {
		n = slice_find(list, ' ');
		if (mechanism.len > 0 &&
		    slice_equal_nocase(slice_first(list, n), mechanism))
			return true;
		list = slice_skip(list, n < list.len ? n + 1 : n);
	}
	return false;
}

/* --- steps ---------------------------------------------------------------- */

static bool
may_go_on(struct auth_try *t, struct slice octets, struct auth_answer *a)
{
	answer_clear(t);
	*a = (struct auth_answer){ .result = AUTH_FAIL };
	if (t->conn == NULL)
		answer_text(t, a, AUTH_UNAVAILABLE, "SASL cannot start");
	else if (octets.len > AUTH_OCTETS_MAX)
		answer_text(t, a, AUTH_FAIL, "too long");
	else
		return true;
	return false;
}

static void
sasl_begin(struct auth_try *t, struct slice mechanism,
    const struct slice *initial, struct auth_answer *a)
{
	char *name = xstrndup(mechanism.ptr, mechanism.len);
	const char *out = NULL, *in = NULL;
	unsigned len = 0;
	int r;

	/* An empty initial response is one; SASL tells by the pointer. */
	if (initial != NULL)
		in = initial->len > 0 ? (const char *)initial->ptr : "";
	r = sasl_server_start(t->conn, name, in,
	    initial != NULL ? (unsigned)initial->len : 0, &out, &len);
	answer_of(t, r, out, len, a);
	free(name);
}

void
auth_try_start(struct auth_try *t, struct slice mechanism,
    const struct slice *initial, struct mono now, struct auth_answer *a)
{
	struct slice none = { NULL, 0 }, authzid, authcid, password;
	bool plain = initial != NULL && slice_is_nocase(mechanism, "PLAIN");

	if (!may_go_on(t, initial == NULL ? none : *initial, a))
		return;
	if (!is_offered(t, mechanism)) {
		answer_text(t, a, AUTH_FAIL, "the mechanism is not offered");
		return;
	}
	plain = plain && plain_parse(*initial, &authzid, &authcid, &password);
	if (plain && cached(t, authzid, authcid, password, now, a))
		return;
	sasl_begin(t, mechanism, initial, a);
	if (plain)
		remember(t, authcid, password, now, a);
}

void
auth_try_step(struct auth_try *t, struct slice response, struct mono now,
    struct auth_answer *a)
{
	const char *out = NULL;
	unsigned len = 0;
	int r;

	(void)now;
	if (!may_go_on(t, response, a))
		return;
	r = sasl_server_step(t->conn,
	    response.len > 0 ? (const char *)response.ptr : "",
	    (unsigned)response.len, &out, &len);
	answer_of(t, r, out, len, a);
}

/*
 * sasl_checkpass() takes a length and then, in auxprop, goes by the NUL: so it
 * gets one, and what has another inside is nobody's password.
 */
static void
password_check(struct auth_try *t, struct slice user, struct slice password,
    struct auth_answer *a)
{
	char *name = xstrndup(user.ptr, user.len);
	char *secret = xstrndup(password.ptr, password.len);
	int r = sasl_checkpass(t->conn, name, (unsigned)user.len, secret,
	    (unsigned)password.len);

	wipe(secret, password.len);
	free(secret);
	free(name);
	answer_of(t, r, NULL, 0, a);
}

static bool
is_text(struct slice s)
{
	return slice_find(s, '\0') == s.len;
}

void
auth_try_login(struct auth_try *t, struct slice user, struct slice password,
    struct mono now, struct auth_answer *a)
{
	struct slice none = { NULL, 0 };

	if (!may_go_on(t, user.len > password.len ? user : password, a))
		return;
	if (!t->secure || user.len == 0 || user.len > NAME_MAX_OCTETS ||
	    !is_text(user) || !is_text(password)) {
		answer_text(t, a, AUTH_FAIL,
		    t->secure ? "not a name and a password"
		              : "no plaintext here");
		return;
	}
	if (cached(t, none, user, password, now, a))
		return;
	password_check(t, user, password, a);
	remember(t, user, password, now, a);
}

/*
 * saslauthd knows passwords, not users, and SASL takes it for yes if a plug-in
 * asks for one.
 */
void
auth_try_exists(struct auth_try *t, struct slice user, struct auth_answer *a)
{
	char *name;
	int r;

	*a = (struct auth_answer){ .result = AUTH_FAIL };
	if (t->conn == NULL ||
	    strcmp(t->server->conf->pwcheck, "auxprop") != 0) {
		answer_text(t, a, AUTH_UNAVAILABLE, "users are not listed");
		return;
	}
	if (user.len == 0 || user.len > NAME_MAX_OCTETS || !is_text(user)) {
		answer_text(t, a, AUTH_FAIL, "no name");
		return;
	}
	name = xstrndup(user.ptr, user.len);
	r = sasl_user_exists(t->conn, t->service, NULL, name);
	free(name);
	if (r == SASL_OK)
		a->result = AUTH_OK;
	else if (r == SASL_NOUSER || r == SASL_DISABLED)
		answer_text(t, a, AUTH_FAIL, "no such user");
	else
		answer_text(t, a, AUTH_UNAVAILABLE,
		    sasl_errstring(r, NULL, NULL));
}
