#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "lib/err.h"
#include "lib/must.h"
#include "lib/tls.h"
#include "lib/tls_conn.h"
#include "lib/xalloc.h"

struct tls {
	SSL_CTX *ctx; /* counted: each connection holds it too */
	bool server;
};

struct tls_conn {
	SSL *ssl;
	char *text, *peer; /* made when asked for */
};

/* What OpenSSL says, and an empty queue for the next who asks. */
static int
err_ssl(struct err *err, const char *what)
{
	unsigned long first = ERR_get_error();
	const char *why = ERR_reason_error_string(first);

	ERR_clear_error();
	return err_set(err, "%s: %s", what,
	    why != NULL ? why : "OpenSSL does not say why");
}

/* --- contexts ------------------------------------------------------------- */

static BIO *
bio_of(struct slice s)
{
	BIO *b = BIO_new_mem_buf(s.ptr, (int)s.len);

	MUST(b != NULL);
	return b;
}

/* The leaf, then what else the PEM text holds as its chain. */
static int
cert_use(SSL_CTX *ctx, struct slice pem, struct err *err)
{
	BIO *b = bio_of(pem);
	X509 *x = PEM_read_bio_X509_AUX(b, NULL, NULL, NULL);
	int good = x != NULL && SSL_CTX_use_certificate(ctx, x) == 1;

	X509_free(x);
	while (good && (x = PEM_read_bio_X509(b, NULL, NULL, NULL)) != NULL) {
		good = SSL_CTX_add0_chain_cert(ctx, x) == 1;
		if (!good)
			X509_free(x);
	}
	BIO_free(b);
	if (!good)
		return err_ssl(err, "certificate");
	ERR_clear_error(); /* that there is no further certificate */
	return 0;
}

/* No pass phrase is asked for: there is nobody to ask. */
static int
no_phrase(char *room, int size, int writing, void *arg)
{
	(void)room, (void)size, (void)writing, (void)arg;
	return -1;
}

static int
key_use(SSL_CTX *ctx, struct slice pem, struct err *err)
{
	BIO *b = bio_of(pem);
	EVP_PKEY *k = PEM_read_bio_PrivateKey(b, NULL, no_phrase, NULL);
	int good = k != NULL && SSL_CTX_use_PrivateKey(ctx, k) == 1 &&
	           SSL_CTX_check_private_key(ctx) == 1;

	EVP_PKEY_free(k);
	BIO_free(b);
	return good ? 0 : err_ssl(err, "private key");
}

static int
ca_use(SSL_CTX *ctx, struct slice pem, struct err *err)
{
	BIO *b = bio_of(pem);
	X509_STORE *store = SSL_CTX_get_cert_store(ctx);
	X509 *x;
	int n = 0, good = 1;

	while (good && (x = PEM_read_bio_X509(b, NULL, NULL, NULL)) != NULL) {
		good = X509_STORE_add_cert(store, x) == 1 &&
		       SSL_CTX_add_client_CA(ctx, x) == 1;
		X509_free(x);
		n++;
	}
	BIO_free(b);
	if (!good || n == 0)
		return err_ssl(err, "CA certificates");
	ERR_clear_error();
	return 0;
}

static int
material_use(SSL_CTX *ctx, const struct tls_material *m, struct err *err)
{
	if (m->cert.len > INT32_MAX || m->key.len > INT32_MAX ||
	    m->ca.len > INT32_MAX)
		return err_set(err, "certificates: too large");
	if (m->cert.len > 0 && cert_use(ctx, m->cert, err) == -1)
		return -1;
	if (m->key.len > 0 && key_use(ctx, m->key, err) == -1)
		return -1;
	if (m->ca.len > 0 && ca_use(ctx, m->ca, err) == -1)
		return -1;
	return 0;
}

static int
server_verify(SSL_CTX *ctx, const struct tls_material *m, struct err *err)
{
	int mode = SSL_VERIFY_NONE;

	if (m->cert.len == 0 || m->key.len == 0)
		return err_set(err, "a server needs a certificate and a key");
	if (m->ca.len > 0)
		mode = SSL_VERIFY_PEER;
	else if (m->require)
		return err_set(err, "client certificates need a CA");
	if (m->require)
		mode |= SSL_VERIFY_FAIL_IF_NO_PEER_CERT;
	SSL_CTX_set_verify(ctx, mode, NULL);
	return 0;
}

static int
client_verify(SSL_CTX *ctx, const struct tls_material *m, struct err *err)
{
	SSL_CTX_set_verify(ctx, m->require ? SSL_VERIFY_PEER : SSL_VERIFY_NONE,
	    NULL);
	if (m->ca.len == 0 && SSL_CTX_set_default_verify_paths(ctx) != 1)
		return err_ssl(err, "the system's CA certificates");
	return 0;
}

/*
 * Many mail clients just close the connection; since every protocol here says
 * where a command ends, that is an end and not a failure.  Reading ahead makes
 * one system call of two; the buffer for it goes when it is empty.
 */
static void
ctx_settings(SSL_CTX *ctx)
{
	static const unsigned char id[] = "murder";

	MUST(SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) == 1);
	SSL_CTX_set_options(ctx,
	    SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
	        SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_IGNORE_UNEXPECTED_EOF);
	/* The chain is what the file says, not what the CA file completes. */
	SSL_CTX_set_mode(ctx, SSL_MODE_NO_AUTO_CHAIN |
	                          SSL_MODE_RELEASE_BUFFERS |
	                          SSL_MODE_ENABLE_PARTIAL_WRITE |
	                          SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	MUST(SSL_CTX_set_session_id_context(ctx, id, sizeof(id) - 1) == 1);
	SSL_CTX_set_num_tickets(ctx, 1);
	SSL_CTX_set_read_ahead(ctx, 1);
}

static struct tls *
tls_new(const struct tls_material *m, bool server, struct err *err)
{
	struct tls *t = xcalloc(1, sizeof(*t));
	int r;

	t->server = server;
	t->ctx =
	    SSL_CTX_new(server ? TLS_server_method() : TLS_client_method());
	MUST(t->ctx != NULL);
	ctx_settings(t->ctx);
	r = material_use(t->ctx, m, err);
	if (r == 0)
		r = server ? server_verify(t->ctx, m, err)
		           : client_verify(t->ctx, m, err);
	if (r == -1)
		tls_free(&t);
	return t;
}

struct tls *
tls_server_new(const struct tls_material *m, struct err *err)
{
	return tls_new(m, true, err);
}

struct tls *
tls_client_new(const struct tls_material *m, struct err *err)
{
	return tls_new(m, false, err);
}

void
tls_free(struct tls **tp)
{
	struct tls *t = *tp;

	if (t == NULL)
		return;
	SSL_CTX_free(t->ctx);
	free(t);
	*tp = NULL;
}

/* --- connections ---------------------------------------------------------- */

/*
 * An address is looked for in the certificate as one, and is no SNI.
 * SSL_set_tlsext_host_name() casts const away: through an integer, in silence.
 */
static int
name_expect(SSL *ssl, const char *name, struct err *err)
{
	X509_VERIFY_PARAM *p = SSL_get0_param(ssl);

	if (X509_VERIFY_PARAM_set1_ip_asc(p, name) == 1)
		return 0;
	ERR_clear_error();
	X509_VERIFY_PARAM_set_hostflags(p,
	    X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
	if (SSL_set1_host(ssl, name) != 1 ||
	    SSL_set_tlsext_host_name(ssl, (uintptr_t)name) != 1)
		return err_ssl(err, "expected name");
	return 0;
}

struct tls_conn *
tls_conn_new(struct tls *t, int fd, const char *name, struct err *err)
{
	struct tls_conn *c = xcalloc(1, sizeof(*c));

	c->ssl = SSL_new(t->ctx);
	MUST(c->ssl != NULL);
	if (SSL_set_fd(c->ssl, fd) != 1) {
		err_ssl(err, "TLS");
		tls_conn_free(&c);
		return NULL;
	}
	if (t->server)
		SSL_set_accept_state(c->ssl);
	else
		SSL_set_connect_state(c->ssl);
	if (!t->server && name != NULL && name_expect(c->ssl, name, err) == -1)
		tls_conn_free(&c);
	return c;
}

void
tls_conn_free(struct tls_conn **cp)
{
	struct tls_conn *c = *cp;

	if (c == NULL)
		return;
	SSL_free(c->ssl);
	free(c->text);
	free(c->peer);
	free(c);
	*cp = NULL;
}

/* Why verification failed says more than that it did. */
static int
failure(struct tls_conn *c, int saved, struct err *err)
{
	long v = SSL_get_verify_result(c->ssl);

	if (ERR_peek_error() == 0 && saved != 0) {
		errno = saved;
		return err_sys(err, "TLS");
	}
	if (ERR_peek_error() == 0)
		return err_set(err, "TLS: closed by peer");
	if (ERR_GET_REASON(ERR_peek_error()) ==
	    SSL_R_CERTIFICATE_VERIFY_FAILED) {
		ERR_clear_error();
		return err_set(err, "TLS: certificate: %s",
		    X509_verify_cert_error_string(v));
	}
	return err_ssl(err, "TLS");
}

static enum tls_result
result_of(struct tls_conn *c, int r, struct err *err)
{
	int saved = errno;

	switch (SSL_get_error(c->ssl, r)) {
	case SSL_ERROR_NONE:
		return TLS_DONE;
	case SSL_ERROR_WANT_READ:
		return TLS_WANT_READ;
	case SSL_ERROR_WANT_WRITE:
		return TLS_WANT_WRITE;
	case SSL_ERROR_ZERO_RETURN:
		return TLS_CLOSED;
	default:
		failure(c, saved, err);
		return TLS_FAILED;
	}
}

enum tls_result
tls_conn_handshake(struct tls_conn *c, struct err *err)
{
	ERR_clear_error();
	errno = 0;
	return result_of(c, SSL_do_handshake(c->ssl), err);
}

enum tls_result
tls_conn_read(struct tls_conn *c, void *p, size_t *n, struct err *err)
{
	enum tls_result result;
	int r;

	ERR_clear_error();
	errno = 0;
	r = SSL_read_ex(c->ssl, p, *n, n);
	if (r == 1)
		return TLS_DONE;
	result = result_of(c, r, err);
	/* A session ticket makes a client take a write buffer and keep it. */
	if (result == TLS_WANT_READ)
		SSL_free_buffers(c->ssl);
	return result;
}

enum tls_result
tls_conn_write(struct tls_conn *c, const void *p, size_t *n, struct err *err)
{
	int r;

	ERR_clear_error();
	errno = 0;
	r = SSL_write_ex(c->ssl, p, *n, n);
	return r == 1 ? TLS_DONE : result_of(c, r, err);
}

enum tls_result
tls_conn_close(struct tls_conn *c, struct err *err)
{
	int r;

	ERR_clear_error();
	errno = 0;
	r = SSL_shutdown(c->ssl);
	return r >= 0 ? TLS_DONE : result_of(c, r, err);
}

const char *
tls_conn_text(struct tls_conn *c)
{
	const char *version = SSL_get_version(c->ssl);
	const char *cipher = SSL_get_cipher_name(c->ssl);
	size_t n = strlen(version) + 1 + strlen(cipher) + 1;

	if (c->text == NULL) {
		c->text = xmalloc(n);
		BIO_snprintf(c->text, n, "%s %s", version, cipher);
	}
	return c->text;
}

/* NULL also if it holds a NUL: then it is not the name it looks like. */
static char *
subject_part(X509 *x, int nid)
{
	X509_NAME *name = X509_get_subject_name(x);
	int i = X509_NAME_get_index_by_NID(name, nid, -1), n;
	unsigned char *utf8 = NULL;
	char *text = NULL;

	if (i < 0)
		return NULL;
	n = ASN1_STRING_to_UTF8(&utf8,
	    X509_NAME_ENTRY_get_data(X509_NAME_get_entry(name, i)));
	if (n > 0 && memchr(utf8, '\0', (size_t)n) == NULL)
		text = xstrndup(utf8, (size_t)n);
	OPENSSL_free(utf8);
	return text;
}

const char *
tls_conn_peer(struct tls_conn *c)
{
	X509 *x = SSL_get0_peer_certificate(c->ssl);

	if (x == NULL || SSL_get_verify_result(c->ssl) != X509_V_OK ||
	    SSL_get_verify_mode(c->ssl) == SSL_VERIFY_NONE)
		return NULL;
	if (c->peer == NULL)
		c->peer = subject_part(x, NID_pkcs9_emailAddress);
	if (c->peer == NULL)
		c->peer = subject_part(x, NID_commonName);
	return c->peer;
}
