/*
 * auth: lib/auth.h and lib/tls.h where everybody is who they say, in the clear.
 */
#include <stdlib.h>
#include <string.h>

#include "lib/auth.h"
#include "lib/buf.h"
#include "lib/err.h"
#include "lib/loop.h"
#include "lib/must.h"
#include "lib/tls.h"
#include "lib/tls_conn.h"
#include "lib/xalloc.h"

struct auth {
	struct loop *loop;
};

struct auth_exchange {
	struct timer *timer;
	auth_cb *cb;
	void *arg;
	char *name;
};

struct auth_client {
	char *name;
};

/* --- the server's side ----------------------------------------------------- */

struct auth *
auth_new(struct loop *l, struct log *log, const struct auth_conf *conf)
{
	struct auth *a = xcalloc(1, sizeof(*a));

	(void)log, (void)conf;
	a->loop = l;
	return a;
}

void
auth_free(struct auth **ap)
{
	free(*ap);
	*ap = NULL;
}

void
auth_neighbour(struct auth *a, unsigned index, int fd)
{
	(void)a, (void)index, (void)fd;
	MUST(false); /* there is no auth child here */
}

void
auth_reload(struct auth *a, const struct auth_conf *conf)
{
	(void)a, (void)conf;
}

const char *
auth_mechanisms(struct auth *a, const struct auth_peer *p)
{
	(void)a, (void)p;
	return "PLAIN";
}

static void
exchange_free(struct auth_exchange *x)
{
	timer_free(&x->timer);
	free(x->name);
	free(x);
}

static void
answer(void *arg)
{
	struct auth_exchange *x = arg;
	struct auth_answer a = { .result = AUTH_OK,
		.authcid = x->name,
		.authzid = "" };

	x->cb(x->arg, &a);
	exchange_free(x);
}

static struct auth_exchange *
begin(struct auth *a, struct slice name, auth_cb *cb, void *arg)
{
	struct auth_exchange *x = xcalloc(1, sizeof(*x));

	x->timer = timer_new(a->loop, answer, x);
	x->cb = cb;
	x->arg = arg;
	x->name = xstrndup(name.ptr, name.len);
	timer_set(x->timer, 0);
	return x;
}

struct auth_exchange *
auth_start(struct auth *a, const struct auth_peer *p, const char *mechanism,
    const struct slice *initial, auth_cb *cb, void *arg)
{
	(void)p, (void)mechanism;
	MUST(initial != NULL);
	return begin(a, *initial, cb, arg);
}

struct auth_exchange *
auth_login(struct auth *a, const struct auth_peer *p, struct slice user,
    struct slice password, auth_cb *cb, void *arg)
{
	(void)p, (void)password;
	return begin(a, user, cb, arg);
}

struct auth_exchange *
auth_exists(struct auth *a, const struct auth_peer *p, struct slice user,
    auth_cb *cb, void *arg)
{
	(void)p;
	return begin(a, user, cb, arg);
}

void
auth_step(struct auth_exchange *x, struct slice response)
{
	(void)x, (void)response;
	MUST(false); /* nothing is asked for */
}

void
auth_cancel(struct auth_exchange **xp)
{
	if (*xp != NULL)
		exchange_free(*xp);
	*xp = NULL;
}

/* --- the client's ---------------------------------------------------------- */

int
auth_client_new(struct auth_client **cp, const char *service, const char *host,
    const struct auth_secret *s, const char *offered, bool external,
    struct err *err)
{
	(void)service, (void)host, (void)external;
	if (strcmp(offered, "PLAIN") != 0)
		return err_set(err, "nothing fits");
	*cp = xcalloc(1, sizeof(**cp));
	(*cp)->name = xstrdup(s->authcid);
	return 0;
}

const char *
auth_client_mechanism(const struct auth_client *c)
{
	(void)c;
	return "PLAIN";
}

bool
auth_client_first(struct auth_client *c, struct buf *out)
{
	buf_puts(out, c->name);
	return true;
}

int
auth_client_step(struct auth_client *c, struct slice challenge, struct buf *out,
    struct err *err)
{
	(void)c, (void)challenge, (void)out;
	return err_set(err, "there is no second step");
}

void
auth_client_free(struct auth_client **cp)
{
	if (*cp != NULL)
		free((*cp)->name);
	free(*cp);
	*cp = NULL;
}

/* --- TLS: contexts may be made, and are not used --------------------------- */

struct tls {
	char nothing;
};

struct tls *
tls_server_new(const struct tls_material *m, struct err *err)
{
	(void)m, (void)err;
	return xcalloc(1, sizeof(struct tls));
}

struct tls *
tls_client_new(const struct tls_material *m, struct err *err)
{
	return tls_server_new(m, err);
}

void
tls_free(struct tls **tp)
{
	free(*tp);
	*tp = NULL;
}

struct tls_conn *
tls_conn_new(struct tls *t, int fd, const char *name, struct err *err)
{
	(void)t, (void)fd, (void)name;
	(void)err_set(err, "no TLS here"); /* it returns -1 */
	return NULL;
}

void
tls_conn_free(struct tls_conn **cp)
{
	MUST(*cp == NULL);
}

enum tls_result
tls_conn_handshake(struct tls_conn *c, struct err *err)
{
	(void)c;
	(void)err_set(err, "no TLS here"); /* it returns -1 */
	return TLS_FAILED;
}

enum tls_result
tls_conn_read(struct tls_conn *c, void *p, size_t *n, struct err *err)
{
	(void)p, (void)n;
	return tls_conn_handshake(c, err);
}

enum tls_result
tls_conn_write(struct tls_conn *c, const void *p, size_t *n, struct err *err)
{
	(void)p, (void)n;
	return tls_conn_handshake(c, err);
}

enum tls_result
tls_conn_close(struct tls_conn *c, struct err *err)
{
	return tls_conn_handshake(c, err);
}

const char *
tls_conn_text(struct tls_conn *c)
{
	(void)c;
	return NULL;
}

const char *
tls_conn_peer(struct tls_conn *c)
{
	(void)c;
	return NULL;
}
