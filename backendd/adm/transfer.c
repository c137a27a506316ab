#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "backendd/adm/adm.h"
#include "backendd/conf.h"
#include "lib/buf.h"
#include "lib/err.h"
#include "lib/loop.h"
#include "lib/must.h"
#include "lib/xalloc.h"

static void
show(struct adm *a, const char *name, uint64_t messages)
{
	if (a->json) {
		out_open(&a->out, NULL, '{');
		out_str(&a->out, "mailbox", slice_str(name));
		out_number(&a->out, "messages", messages);
		out_close(&a->out, '}');
		(void)out_end(&a->out); /* out_fini() tells */
	} else {
		printf("%llu messages\n", (unsigned long long)messages);
	}
}

/* ---- out ---- */

struct exporting {
	struct adm *adm;
	struct store_mailbox *mb;
	struct adm_maildir *maildir; /* one of these */
	FILE *mbox;
	const char *keywords[STORE_KEYWORDS];
};

static int
open_target(struct exporting *ex, const char *path, struct err *err)
{
	int fd;

	if (!ex->adm->mbox) {
		ex->maildir = adm_maildir_new(path, err);
		return ex->maildir == NULL ? -1 : 0;
	}
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	ex->mbox = fd == -1 ? NULL : fdopen(fd, "w");
	return ex->mbox == NULL ? err_sys(err, "making %s", path) : 0;
}

static int
close_target(struct exporting *ex, struct err *err)
{
	bool bad;

	if (ex->maildir != NULL)
		return adm_maildir_end(&ex->maildir, err);
	bad = fflush(ex->mbox) != 0 || fsync(fileno(ex->mbox)) == -1;
	if (bad)
		err_sys(err, "writing");
	if (fclose(ex->mbox) != 0 && !bad)
		return err_sys(err, "writing");
	return bad ? -1 : 0;
}

static void
take_keywords(struct exporting *ex, const struct store_msg *m,
    struct adm_message *out)
{
	unsigned n = store_keywords(ex->mb);

	out->keywords = ex->keywords;
	for (unsigned i = 0; i < n; i++)
		if (m->keywords[i / 64] >> i % 64 & 1)
			ex->keywords[out->nkeywords++] =
			    store_keyword(ex->mb, i);
}

static int
export_one(struct exporting *ex, uint32_t i, struct err *err)
{
	const struct store_msg *m = store_at(ex->mb, i);
	struct adm_message out = { .flags = m->flags & STORE_FLAGS,
		.internaldate = m->internaldate,
		.uid = m->uid };
	struct slice octets;
	const char *why;
	struct buf text;
	int result = 0;

	take_keywords(ex, m, &out);
	why = adm_read(ex->adm, ex->mb, out.uid, UINT64_MAX, &octets);
	if (why != NULL)
		return err_set(err, "%s", why);
	buf_init(&text, octets.len + 1);
	adm_to_lf(&text, octets);
	out.octets = buf_slice(&text);
	if (ex->maildir != NULL)
		result = adm_maildir_put(ex->maildir, &out, err);
	else
		adm_mbox_put(ex->mbox, &out);
	if (ex->mbox != NULL && ferror(ex->mbox))
		result = err_sys(err, "writing");
	buf_fini(&text);
	return result;
}

static enum adm_exit
export_all(struct exporting *ex, const char *name)
{
	uint32_t n = store_numbers(ex->mb)->exists, bad = 0;
	struct progress p;
	struct err err;

	progress_init(&p, ex->adm->loop, PROGRESS_SILENCE);
	for (uint32_t i = 0; i < n; i++) {
		if (export_one(ex, i, &err) == -1) {
			bad++;
			(void)adm_fail("%s, UID %lu: %s", name,
			    (unsigned long)store_at(ex->mb, i)->uid, err.text);
		}
		progress_step(&p, n);
	}
	progress_end(&p);
	if (close_target(ex, &err) == -1)
		return adm_fail("%s: %s", name, err.text);
	show(ex->adm, name, n - bad);
	return bad > 0 ? ADM_FAILED : ADM_OK;
}

enum adm_exit
adm_export(struct adm *a)
{
	struct adm_box *box = adm_find(a, a->words[0]);
	struct exporting *ex;
	enum adm_exit result;
	struct err err;

	if (box == NULL)
		return ADM_FAILED;
	ex = xcalloc(1, sizeof *ex);
	ex->adm = a;
	ex->mb = adm_open_box(a, box);
	if (ex->mb == NULL)
		result = ADM_FAILED;
	else if (open_target(ex, a->words[1], &err) == -1)
		result = adm_fail("%s", err.text);
	else
		result = export_all(ex, box->name);
	store_close(&ex->mb);
	free(ex);
	return result;
}

/* ---- in ---- */

struct importing {
	struct adm *adm;
	struct store_mailbox *mb;
	struct progress progress;
	uint64_t n;
	const char *why;
};

static bool
import_one(void *arg, const struct adm_message *m)
{
	struct importing *im = arg;
	struct store_append item = { .flags = m->flags,
		.internaldate = m->internaldate };
	struct buf text;

	buf_init(&text, 2 * m->octets.len + 1);
	adm_to_crlf(&text, m->octets);
	item.octets = buf_slice(&text);
	for (size_t i = 0; i < m->nkeywords; i++) {
		int k = store_keyword_add(im->mb, slice_str(m->keywords[i]));

		if (k != -1) /* else the table is full */
			item.keywords[k / 64] |= (uint64_t)1 << k % 64;
	}
	adm_ask(im->adm);
	store_append(im->mb, &item, 1, adm_answer, im->adm);
	im->why = adm_wait(im->adm);
	buf_fini(&text);
	if (im->why == NULL)
		im->n++;
	progress_step(&im->progress, im->n);
	return im->why == NULL;
}

enum adm_exit
adm_import(struct adm *a)
{
	struct adm_box *box = adm_find(a, a->words[0]);
	struct importing im = { .adm = a };
	uint64_t most = a->conf->message_size;
	int result;
	struct err err;

	im.mb = box == NULL ? NULL : adm_open_box(a, box);
	if (im.mb == NULL)
		return ADM_FAILED;
	progress_init(&im.progress, a->loop, PROGRESS_SILENCE);
	result =
	    a->mbox
	        ? adm_mbox_each(a->words[1], most, import_one, &im, &err)
	        : adm_maildir_each(a->words[1], most, import_one, &im, &err);
	progress_end(&im.progress);
	store_close(&im.mb);
	show(a, box->name, im.n);
	if (result == -1)
		return adm_fail("%s", err.text);
	if (im.why != NULL)
		return adm_fail("%s: %s", box->name, im.why);
	return ADM_OK;
}
