#include <stdio.h>
#include <string.h>

#include "lib/auth.h"
#include "lib/daemon.h"
#include "lib/err.h"
#include "lib/jobs.h"
#include "lib/log.h"
#include "lib/must.h"
#include "lib/rand.h"
#include "lib/tls.h"
#include "proxyd/conf.h"
#include "proxyd/link.h"
#include "proxyd/route.h"
#include "proxyd/worker.h"

enum {
	JOB_THREADS = 2
};

/* Contexts of the files as they are now; nothing changes on failure. */
static int
set_tls(struct worker *w, struct err *err)
{
	struct tls_material server = { child_file(w->child, "tls_cert"),
		child_file(w->child, "tls_key"), child_file(w->child, "tls_ca"),
		false };
	struct tls_material backend = { child_file(w->child, "backend_cert"),
		child_file(w->child, "backend_key"),
		child_file(w->child, "backend_ca"),
		w->conf->backend_ca != NULL };
	struct tls *s = NULL, *b;

	if (w->conf->tls_cert != NULL &&
	    (s = tls_server_new(&server, err)) == NULL)
		return err_add(err, "tls_cert %s", w->conf->tls_cert);
	b = tls_client_new(&backend, err);
	if (b == NULL) {
		tls_free(&s);
		return err_add(err, "backend_cert or backend_ca");
	}
	tls_free(&w->server_tls);
	tls_free(&w->backend_tls);
	w->server_tls = s;
	w->backend_tls = b;
	return 0;
}

static void
make_links(struct worker *w)
{
	w->links = links_new(&(struct links_use){ .loop = w->loop,
	    .jobs = w->jobs,
	    .log = w->log,
	    .conf = w->conf,
	    .tls = w->backend_tls });
}

int
worker_start(struct worker *w, struct child *c, struct err *err)
{
	*w = (struct worker){ .child = c,
		.conf = child_conf(c),
		.loop = child_loop(c),
		.log = child_log(c) };
	if (set_tls(w, err) == -1)
		return -1;
	w->layout = mboxname_layout_of(&w->conf->names);
	w->admin_layout = mboxname_admin_layout_of(&w->conf->names);
	w->jobs = jobs_new(w->loop, JOB_THREADS);
	w->auth = auth_new(w->loop, w->log, &w->conf->auth);
	w->route = route_new(w->loop, w->log, w->conf);
	make_links(w);
	return 0;
}

void
worker_neighbour(struct worker *w, const char *name, unsigned index, int fd)
{
	if (strcmp(name, "auth") == 0)
		auth_neighbour(w->auth, index, fd);
	else {
		MUST(strcmp(name, "front") == 0);
		route_neighbour(w->route, fd);
	}
}

void
worker_reload(struct worker *w)
{
	struct err err;

	w->conf = child_conf(w->child);
	w->layout = mboxname_layout_of(&w->conf->names);
	w->admin_layout = mboxname_admin_layout_of(&w->conf->names);
	if (set_tls(w, &err) == -1)
		log_err(w->log, "certificate not reloaded", "why", err.text,
		    NULL);
	auth_reload(w->auth, &w->conf->auth);
	route_reload(w->route, w->conf);
	links_reload(w->links, w->conf, w->backend_tls);
}

const struct mboxname_layout *
worker_layout(const struct worker *w, const char *user)
{
	return proxyd_is_admin(w->conf, user) ? &w->admin_layout : &w->layout;
}

void
worker_new_sid(char sid[17])
{
	snprintf(sid, 17, "%016llx", (unsigned long long)rand_u64());
}
