#include <stdio.h>
#include <stdlib.h>

#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "lib/must.h"
#include "lib/xalloc.h"
#include "t/cert.h"

struct cert {
	EVP_PKEY *key;
	X509 *x;
	char *pem, *key_pem;
};

static char *
text_of(BIO *b)
{
	char *p, *text;
	long n = BIO_get_mem_data(b, &p);

	MUST(n > 0);
	text = xstrndup(p, (size_t)n);
	BIO_free(b);
	return text;
}

static void
subject_part(X509_NAME *name, const char *part, const char *text)
{
	MUST(X509_NAME_add_entry_by_txt(name, part, MBSTRING_ASC,
	         (const unsigned char *)text, -1, -1, 0) == 1);
}

static void
extension(X509 *x, int nid, const char *text)
{
	X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, NULL, nid, text);

	MUST(e != NULL && X509_add_ext(x, e, -1) == 1);
	X509_EXTENSION_free(e);
}

struct cert *
cert_new(const struct cert *ca, const char *name, const char *email)
{
	struct cert *c = xcalloc(1, sizeof(*c));
	BIO *b = BIO_new(BIO_s_mem()), *k = BIO_new(BIO_s_mem());
	const struct cert *issuer = ca == NULL ? c : ca;
	char san[200];

	c->key = EVP_EC_gen("P-256");
	c->x = X509_new();
	MUST(c->key != NULL && c->x != NULL && b != NULL && k != NULL);
	X509_set_version(c->x, X509_VERSION_3);
	ASN1_INTEGER_set(X509_get_serialNumber(c->x), ca == NULL ? 1 : 2);
	X509_gmtime_adj(X509_getm_notBefore(c->x), -3600);
	X509_gmtime_adj(X509_getm_notAfter(c->x), 86400);
	X509_set_pubkey(c->x, c->key);
	subject_part(X509_get_subject_name(c->x), "CN", name);
	if (email != NULL)
		subject_part(X509_get_subject_name(c->x), "emailAddress",
		    email);
	X509_set_issuer_name(c->x, X509_get_subject_name(issuer->x));
	snprintf(san, sizeof(san), "DNS:%s", name);
	if (ca == NULL)
		extension(c->x, NID_basic_constraints, "critical,CA:TRUE");
	else
		extension(c->x, NID_subject_alt_name, san);
	MUST(X509_sign(c->x, issuer->key, EVP_sha256()) > 0);
	MUST(PEM_write_bio_X509(b, c->x) == 1);
	MUST(PEM_write_bio_PrivateKey(k, c->key, NULL, NULL, 0, NULL, NULL) ==
	     1);
	c->pem = text_of(b);
	c->key_pem = text_of(k);
	return c;
}

void
cert_free(struct cert **cp)
{
	struct cert *c = *cp;

	if (c == NULL)
		return;
	X509_free(c->x);
	EVP_PKEY_free(c->key);
	free(c->pem);
	free(c->key_pem);
	free(c);
	*cp = NULL;
}

struct slice
cert_pem(const struct cert *c)
{
	return slice_str(c->pem);
}

struct slice
cert_key(const struct cert *c)
{
	return slice_str(c->key_pem);
}
