#include <stdlib.h>
#include <string.h>

#include <sasl/sasl.h>

#include "lib/ascii.h"
#include "lib/auth.h"
#include "lib/buf.h"
#include "lib/err.h"
#include "lib/must.h"
#include "lib/xalloc.h"

enum {
	CLIENT_CALLBACKS = 5,
	PASSWORD_MAX = 4096
};

struct auth_client {
	sasl_conn_t *conn;
	sasl_callback_t callbacks[CLIENT_CALLBACKS];
	char *authcid, *authzid, *realm;
	sasl_secret_t *password; /* NULL: none */
	size_t password_octets;  /* at password */
	char *mechanism;
	uint8_t *first; /* NULL: no initial response */
	size_t first_len;
};

/* --- what SASL asks us ---------------------------------------------------- */

static int
get_name(void *context, int id, const char **result, unsigned *len)
{
	const struct auth_client *c = context;

	*result = id == SASL_CB_USER ? c->authzid : c->authcid;
	if (len != NULL)
		*len = (unsigned)strlen(*result);
	return SASL_OK;
}

static int
get_secret(sasl_conn_t *conn, void *context, int id, sasl_secret_t **result)
{
	const struct auth_client *c = context;

	(void)conn, (void)id;
	if (c->password == NULL)
		return SASL_FAIL;
	*result = c->password;
	return SASL_OK;
}

/* The one configured, else the first that the server offers. */
static int
get_realm(void *context, int id, const char **offered, const char **result)
{
	const struct auth_client *c = context;

	(void)id;
	*result = c->realm;
	if (c->realm == NULL)
		*result =
		    offered != NULL && offered[0] != NULL ? offered[0] : "";
	return SASL_OK;
}

typedef int callback_fn(void);

/* SASL keeps functions of every kind as one type; void (*)(void) may be any. */
#define CALLBACK(fn) ((callback_fn *)(void (*)(void))(fn))

static void
callbacks_set(struct auth_client *c)
{
	sasl_callback_t *cb = c->callbacks;

	*cb++ = (sasl_callback_t){ SASL_CB_USER, CALLBACK(get_name), c };
	*cb++ = (sasl_callback_t){ SASL_CB_AUTHNAME, CALLBACK(get_name), c };
	*cb++ = (sasl_callback_t){ SASL_CB_PASS, CALLBACK(get_secret), c };
	*cb++ = (sasl_callback_t){ SASL_CB_GETREALM, CALLBACK(get_realm), c };
	*cb = (sasl_callback_t){ SASL_CB_LIST_END, NULL, NULL };
}

/* --- choosing ------------------------------------------------------------- */

static bool
is_in(struct slice name, const char *words)
{
	struct slice list = slice_str(words);
	size_t n;

	while (list.len > 0) {
		n = slice_find(list, ' ');
		if (n > 0 && slice_equal_nocase(slice_first(list, n), name))
			return true;
		list = slice_skip(list, n < list.len ? n + 1 : n);
	}
	return false;
}

/*
 * What is offered and allowed.  EXTERNAL alone if it can be used: a password
 * need not go where a certificate does.
 */
static void
choose(struct buf *b, const char *offered, const char *allowed, bool external)
{
	struct slice list = slice_str(offered), name;
	bool is_external;
	size_t n;

	external = external && is_in(slice_str("EXTERNAL"), offered) &&
	           (allowed == NULL || is_in(slice_str("EXTERNAL"), allowed));
	while (list.len > 0) {
		n = slice_find(list, ' ');
		name = slice_first(list, n);
		is_external = slice_is_nocase(name, "EXTERNAL");
		if (n > 0 && is_external == external &&
		    (allowed == NULL || is_in(name, allowed))) {
			buf_put_slice(b, name);
			buf_putc(b, ' ');
		}
		list = slice_skip(list, n < list.len ? n + 1 : n);
	}
	buf_putc(b, '\0');
}

static int
conn_new(struct auth_client *c, const char *service, const char *host,
    bool external, struct err *err)
{
	sasl_security_properties_t sec = { .max_ssf = 0,
		.security_flags = SASL_SEC_NOANONYMOUS };
	int r;

	/* Counted by SASL; the second and later ones only count. */
	r = sasl_client_init(NULL);
	if (r == SASL_OK)
		r = sasl_client_new(service, host, NULL, NULL, c->callbacks, 0,
		    &c->conn);
	if (r == SASL_OK)
		r = sasl_setprop(c->conn, SASL_SEC_PROPS, &sec);
	if (r == SASL_OK && external)
		r = sasl_setprop(c->conn, SASL_AUTH_EXTERNAL, c->authcid);
	return r == SASL_OK
	           ? 0
	           : err_set(err, "SASL: %s", sasl_errstring(r, NULL, NULL));
}

static int
client_start(struct auth_client *c, const char *mechanisms, struct err *err)
{
	const char *out = NULL, *mechanism = NULL;
	unsigned len = 0;
	int r = sasl_client_start(c->conn, mechanisms, NULL, &out, &len,
	    &mechanism);

	if (r != SASL_OK && r != SASL_CONTINUE)
		return err_set(err, "SASL: %s", sasl_errdetail(c->conn));
	c->mechanism = xstrdup(mechanism);
	if (out != NULL) {
		c->first = xmalloc(len + 1);
		memcpy(c->first, out, len);
		c->first_len = len;
	}
	return 0;
}

static int
secrets_take(struct auth_client *c, const struct auth_secret *s,
    struct err *err)
{
	size_t n = s->password == NULL ? 0 : strlen(s->password);

	if (n > PASSWORD_MAX)
		return err_set(err, "SASL: the password is too long");
	c->authcid = xstrdup(s->authcid == NULL ? "" : s->authcid);
	c->authzid = xstrdup(s->authzid == NULL ? "" : s->authzid);
	c->realm = s->realm == NULL ? NULL : xstrdup(s->realm);
	if (s->password == NULL)
		return 0;
	c->password_octets = sizeof(*c->password) + n + 1;
	c->password = xcalloc(1, c->password_octets);
	c->password->len = n;
	memcpy(c->password->data, s->password, n + 1);
	return 0;
}

int
auth_client_new(struct auth_client **cp, const char *service, const char *host,
    const struct auth_secret *s, const char *offered, bool external,
    struct err *err)
{
	struct auth_client *c = xcalloc(1, sizeof(*c));
	struct buf list;
	int r = -1;

	buf_init(&list, strlen(offered) + 2);
	choose(&list, offered, s->mechanisms, external);
	callbacks_set(c);
	if (buf_len(&list) <= 1)
		err_set(err, "SASL: no mechanism of \"%s\" will do", offered);
	else if (secrets_take(c, s, err) == 0 &&
	         conn_new(c, service, host, external, err) == 0)
		r = client_start(c, (const char *)buf_data(&list), err);
	buf_fini(&list);
	if (r == -1)
		auth_client_free(&c);
	*cp = c;
	return r;
}

const char *
auth_client_mechanism(const struct auth_client *c)
{
	return c->mechanism;
}

bool
auth_client_first(struct auth_client *c, struct buf *out)
{
	if (c->first == NULL)
		return false;
	buf_put(out, c->first, c->first_len);
	return true;
}

int
auth_client_step(struct auth_client *c, struct slice challenge, struct buf *out,
    struct err *err)
{
	const char *octets = NULL;
	unsigned len = 0;
	int r;

	if (challenge.len > UINT16_MAX)
		return err_set(err, "SASL: the challenge is too long");
	r = sasl_client_step(c->conn,
	    challenge.len > 0 ? (const char *)challenge.ptr : "",
	    (unsigned)challenge.len, NULL, &octets, &len);
	if (r != SASL_OK && r != SASL_CONTINUE)
		return err_set(err, "SASL: %s", sasl_errdetail(c->conn));
	buf_put(out, octets, octets == NULL ? 0 : len);
	return 0;
}

void
auth_client_free(struct auth_client **cp)
{
	struct auth_client *c = *cp;

	if (c == NULL)
		return;
	if (c->conn != NULL)
		sasl_dispose(&c->conn);
	if (c->password != NULL)
		wipe(c->password, c->password_octets);
	if (c->first != NULL)
		wipe(c->first, c->first_len);
	free(c->password);
	free(c->first);
	free(c->mechanism);
	free(c->authcid);
	free(c->authzid);
	free(c->realm);
	free(c);
	*cp = NULL;
}
