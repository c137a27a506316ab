#include "lib/must.h"
#include "mupdated/feed.h"
#include "mupdated/list.h"

enum {
	LINE_MAX_OCTETS = 512 * 1024
};

void
feed_init(struct feed *f)
{
	TAILQ_INIT(&f->subscribers);
	buf_init(&f->line, LINE_MAX_OCTETS);
}

void
feed_fini(struct feed *f)
{
	MUST(TAILQ_EMPTY(&f->subscribers));
	buf_fini(&f->line);
}

void
feed_join(struct feed *f, struct subscriber *s, struct slice tag,
    struct buf *out, size_t max)
{
	MUST(!s->joined && tag.len <= MUPDATE_TAG_MAX);
	memcpy(s->tag, tag.ptr, tag.len);
	s->tag[tag.len] = '\0';
	s->out = out;
	s->max = max;
	s->joined = true;
	buf_init(&s->aside, max);
	TAILQ_INSERT_TAIL(&f->subscribers, s, link);
}

void
feed_live(struct subscriber *s)
{
	MUST(s->joined && !s->live);
	buf_put_slice(s->out, buf_slice(&s->aside));
	buf_fini(&s->aside);
	s->live = true;
}

void
feed_leave(struct feed *f, struct subscriber *s)
{
	if (!s->joined)
		return;
	TAILQ_REMOVE(&f->subscribers, s, link);
	buf_fini(&s->aside);
	s->joined = s->live = false;
}

static void
put_line(struct buf *b, struct slice tag, const struct list_event *ev)
{
	const struct mboxrec *r = &ev->record;

	if (!ev->exists)
		mupdate_put_delete(b, tag, ev->name);
	else if (r->state == MBOXREC_RESERVED)
		mupdate_put_reserve(b, tag, ev->name, r->location);
	else
		mupdate_put_mailbox(b, tag, ev->name, r->location, r->acl);
}

static void
push_to(struct subscriber *s, struct slice line)
{
	struct buf *to = s->live ? s->out : &s->aside;

	if (s->lost)
		return;
	if (line.len > s->max || buf_len(to) > s->max - line.len)
		s->lost = true;
	else
		buf_put_slice(to, line);
	s->wake(s->arg);
}

void
feed_push(struct feed *f, const struct list_event *ev)
{
	struct subscriber *s;

	TAILQ_FOREACH (s, &f->subscribers, link) {
		buf_clear(&f->line);
		put_line(&f->line, slice_str(s->tag), ev);
		MUST(!buf_failed(&f->line));
		push_to(s, buf_slice(&f->line));
	}
}
