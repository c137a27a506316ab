#include <stdlib.h>

#include "backendd/conf.h"
#include "backendd/search_progress.h"
#include "backendd/server.h"
#include "backendd/session.h"
#include "imap/write.h"
#include "lib/buf.h"
#include "lib/loop.h"
#include "lib/xalloc.h"

enum {
	ROOM = 4096
};

struct search_progress {
	struct session *ss;
	struct timer *timer;
	search_progress_count *count;
	void *arg;
};

/* RFC 9585 4: a tag with "]" cannot be told. */
static void
put(struct session *ss, uint32_t done, uint32_t total)
{
	struct slice tag = session_cmd(ss)->tag;
	struct write w;

	write_init(&w, session_out(ss), WRITE_SERVER);
	write_status(&w, slice_of(NULL, 0), WRITE_OK);
	write_code_open(&w, RESPCODE_INPROGRESS);
	write_sp(&w);
	write_open(&w);
	if (slice_find(tag, ']') < tag.len)
		write_word(&w, "NIL");
	else
		write_string(&w, tag);
	write_sp(&w);
	write_number(&w, done);
	write_sp(&w);
	write_number(&w, total);
	write_close(&w);
	write_code_close(&w);
	write_text(&w, "Still searching");
	write_end(&w);
	session_flush(ss);
}

static void
on_time(void *arg)
{
	struct search_progress *p = arg;
	uint32_t done, total;

	p->count(p->arg, &done, &total);
	if (done < total && session_room(p->ss) >= ROOM)
		put(p->ss, done, total);
	timer_set(p->timer, (int64_t)session_server(p->ss)->conf->progress_ms);
}

struct search_progress *
search_progress_new(struct session *ss, search_progress_count *count, void *arg)
{
	struct search_progress *p = xcalloc(1, sizeof(*p));

	p->ss = ss;
	p->count = count;
	p->arg = arg;
	p->timer = timer_new(session_server(ss)->loop, on_time, p);
	timer_set(p->timer, (int64_t)session_server(ss)->conf->progress_ms);
	return p;
}

void
search_progress_free(struct search_progress **pp)
{
	struct search_progress *p = *pp;

	*pp = NULL;
	if (p == NULL)
		return;
	timer_free(&p->timer);
	free(p);
}
