#include <stdlib.h>

#include "imap/mupdate_ext.h"
#include "lib/must.h"
#include "lib/xalloc.h"
#include "mupdated/feed.h"
#include "mupdated/list.h"

enum {
	LINE_MAX_OCTETS = 2 * 512 * 1024,
	OUT_MAX = 256 * 1024 /* then a connection has to wait */
};

/* Both forms behind one another, each without the tag it begins with. */
struct feed_line {
	TAILQ_ENTRY(feed_line) link;
	uint64_t number, revision;
	unsigned awaited; /* by subscribers, as their next */
	bool quiet;       /* in the map of these: not to be told yet */
	bool overtaken;   /* not to be told in the plain form any more */
	size_t len[FEED_FORMS], name_len;
	uint8_t octets[]; /* of both forms, and a quiet one's name */
};

static size_t
cost(const struct feed_line *line)
{
	return sizeof(*line) + line->len[FEED_PLAIN] + line->len[FEED_EXT] +
	       line->name_len;
}

void
feed_init(struct feed *f, size_t max)
{
	*f = (struct feed){ .max = max };
	TAILQ_INIT(&f->subscribers);
	TAILQ_INIT(&f->lines);
	map_init(&f->quiet);
	buf_init(&f->scratch, LINE_MAX_OCTETS);
}

static struct slice
quiet_name(const struct feed_line *line)
{
	return slice_of(line->octets + line->len[FEED_PLAIN] +
	                    line->len[FEED_EXT],
	    line->name_len);
}

/* From the beginning, what nobody awaits. */
static void
trim(struct feed *f)
{
	struct feed_line *line;

	while ((line = TAILQ_FIRST(&f->lines)) != NULL && line->awaited == 0) {
		TAILQ_REMOVE(&f->lines, line, link);
		f->octets -= cost(line);
		if (line->quiet)
			(void)map_remove(&f->quiet, quiet_name(line)); /* it */
		free(line);
	}
}

void
feed_fini(struct feed *f)
{
	MUST(TAILQ_EMPTY(&f->subscribers));
	trim(f);
	MUST(TAILQ_EMPTY(&f->lines));
	map_fini(&f->quiet);
	buf_fini(&f->scratch);
}

/* --- places ---------------------------------------------------------------- */

static void
move(struct subscriber *s, struct feed_line *to)
{
	if (s->next != NULL)
		s->next->awaited--;
	s->next = to;
	if (to != NULL)
		to->awaited++;
}

void
feed_join(struct feed *f, struct subscriber *s, enum feed_form form,
    struct slice tag, struct buf *out, uint64_t after)
{
	MUST(!s->joined && tag.len <= MUPDATE_TAG_MAX);
	memcpy(s->tag, tag.ptr, tag.len);
	s->tag[tag.len] = '\0';
	s->form = form;
	s->out = out;
	s->after = after;
	s->joined = true;
	f->count[form]++;
	TAILQ_INSERT_TAIL(&f->subscribers, s, link);
}

void
feed_live(struct subscriber *s)
{
	MUST(s->joined && !s->live);
	s->live = true;
}

static void
put_line(struct subscriber *s, const struct feed_line *line)
{
	size_t skip = s->form == FEED_EXT ? line->len[FEED_PLAIN] : 0;

	/* Made before it came, so there was nobody of its form. */
	if (line->revision <= s->after)
		return;
	if (line->overtaken && s->form == FEED_PLAIN)
		return;
	MUST(line->len[s->form] > 0);
	buf_puts(s->out, s->tag);
	buf_put(s->out, line->octets + skip, line->len[s->form]);
}

void
feed_take(struct feed *f, struct subscriber *s, enum feed_when when)
{
	if (!s->live)
		return;
	while (s->next != NULL && buf_len(s->out) < OUT_MAX) {
		if (s->next->quiet && s->form == FEED_PLAIN &&
		    when == FEED_IN_TIME)
			break;
		put_line(s, s->next);
		move(s, TAILQ_NEXT(s->next, link));
	}
	trim(f);
}

bool
feed_behind(const struct subscriber *s, uint64_t number)
{
	return s->live && s->next != NULL && s->next->number <= number;
}

uint64_t
feed_before(const struct subscriber *s)
{
	MUST(s->next != NULL);
	return s->next->number - 1;
}

void
feed_leave(struct feed *f, struct subscriber *s)
{
	if (!s->joined)
		return;
	move(s, NULL);
	TAILQ_REMOVE(&f->subscribers, s, link);
	f->count[s->form]--;
	s->joined = s->live = false;
	trim(f);
}

/* --- lines ----------------------------------------------------------------- */

static void
put_plain(struct buf *b, const struct list_event *ev)
{
	const struct slice none = slice_of(NULL, 0);
	const struct mboxrec *r = &ev->record;

	if (!ev->exists)
		mupdate_put_delete(b, none, ev->name);
	else if (r->state == MBOXREC_ACTIVE)
		mupdate_put_mailbox(b, none, ev->name, r->location, r->acl);
	else
		mupdate_put_reserve(b, none, ev->name, r->location);
}

static void
put_ext(struct buf *b, const struct list_event *ev)
{
	const struct slice none = slice_of(NULL, 0);

	if (ev->exists)
		mupdate_ext_put_entry(b, none, ev->name, &ev->record);
	else
		mupdate_ext_put_gone(b, none, ev->revision, ev->name);
}

/* A new name, and nothing is there yet: not what was deactivated. */
static bool
is_quiet(const struct feed *f, const struct list_event *ev)
{
	return f->count[FEED_PLAIN] > 0 && ev->exists &&
	       ev->record.state == MBOXREC_RESERVED && ev->record.owner.len > 0;
}

static struct feed_line *
line_new(struct feed *f, const struct list_event *ev)
{
	struct buf *b = &f->scratch;
	struct feed_line *line;
	size_t plain, name_len = is_quiet(f, ev) ? ev->name.len : 0;

	buf_clear(b);
	if (f->count[FEED_PLAIN] > 0)
		put_plain(b, ev);
	plain = buf_len(b);
	if (f->count[FEED_EXT] > 0)
		put_ext(b, ev);
	MUST(!buf_failed(b));
	line = xmalloc(sizeof(*line) + buf_len(b) + name_len);
	*line = (struct feed_line){ .number = ev->number,
		.revision = ev->revision,
		.quiet = name_len > 0,
		.len = { plain, buf_len(b) - plain },
		.name_len = name_len };
	memcpy(line->octets, buf_data(b), buf_len(b));
	if (name_len > 0)
		memcpy(line->octets + buf_len(b), ev->name.ptr, name_len);
	return line;
}

/* Those who hold up the beginning. */
static void
lose(struct feed *f)
{
	struct feed_line *first = TAILQ_FIRST(&f->lines);
	struct subscriber *s;

	TAILQ_FOREACH (s, &f->subscribers, link) {
		if (s->next != first)
			continue;
		move(s, NULL);
		s->lost = true;
		f->lost++;
		s->wake(s->arg);
	}
	trim(f);
}

void
feed_push(struct feed *f, const struct list_event *ev)
{
	struct feed_line *line = map_remove(&f->quiet, ev->name);
	struct subscriber *s;

	if (line != NULL) {
		line->quiet = false;
		line->overtaken = true;
	}
	if (TAILQ_EMPTY(&f->subscribers))
		return;
	line = line_new(f, ev);
	if (line->quiet)
		(void)map_put(&f->quiet, ev->name, line); /* there is none */
	TAILQ_INSERT_TAIL(&f->lines, line, link);
	f->octets += cost(line);
	TAILQ_FOREACH (s, &f->subscribers, link) {
		if (s->next == NULL && !s->lost)
			move(s, line);
		if (s->live)
			s->wake(s->arg);
	}
	trim(f);
	while (f->octets > f->max)
		lose(f);
}

/* --- what is told later ---------------------------------------------------- */

bool
feed_is_quiet(const struct feed *f)
{
	return map_count(&f->quiet) > 0;
}

static bool
ripen(void *arg, struct slice name, void *value)
{
	struct feed *f = arg;
	struct feed_line *line = value;

	(void)name; /* the line's own outlives it */
	line->quiet = false;
	(void)map_remove(&f->quiet, quiet_name(line)); /* it is line */
	return true;
}

void
feed_ripen(struct feed *f)
{
	struct subscriber *s;

	map_each(&f->quiet, ripen, f);
	TAILQ_FOREACH (s, &f->subscribers, link)
		if (s->live && s->next != NULL)
			s->wake(s->arg);
}
