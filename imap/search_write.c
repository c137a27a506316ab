/* search: the response. */
#include "imap/search.h"
#include "imap/write.h"
#include "lib/buf.h"

enum {
	NUMBER_OCTETS = 11, /* with what stands between two */
	HEAD_OCTETS = 64 * 1024
};

static void
put_number(struct write *w, const char *name, uint64_t n)
{
	write_sp(w);
	write_word(w, name);
	write_sp(w);
	write_number(w, n);
}

/* "1:5,7": only what ascends may be a range, in a sorted set, too. */
static void
put_ranges(struct write *w, const uint32_t *numbers, size_t count)
{
	for (size_t i = 0; i < count;) {
		size_t first = i++;

		while (i < count && numbers[i] == numbers[i - 1] + 1)
			i++;
		if (first > 0)
			write_word(w, ",");
		write_number(w, numbers[first]);
		if (i - first > 1) {
			write_word(w, ":");
			write_number(w, numbers[i - 1]);
		}
	}
}

static void
put_correlator(struct write *w, struct slice tag,
    const struct search_found *found)
{
	write_open(w);
	write_word(w, "TAG");
	write_sp(w);
	write_string(w, tag);
	if (found->mailbox.ptr != NULL) {
		write_sp(w);
		write_word(w, "MAILBOX");
		write_sp(w);
		write_mailbox(w, found->mailbox);
		put_number(w, "UIDVALIDITY", found->uidvalidity);
	}
	write_close(w);
}

/* "PARTIAL (1:100 4,7:9)" */
static void
put_partial(struct write *w, const struct search *s,
    const struct search_found *found)
{
	size_t from, to;

	write_sp(w);
	write_word(w, "PARTIAL");
	write_sp(w);
	write_open(w);
	partial_put(w->out, &s->window);
	write_sp(w);
	if (partial_window(&s->window, found->count, &from, &to))
		put_ranges(w, found->numbers + from, to - from);
	else
		write_word(w, "NIL");
	write_close(w);
}

static void
put_esearch(struct write *w, const struct search *s, struct slice tag,
    const struct search_found *found)
{
	unsigned returns = s->returns;

	write_untagged(w, "ESEARCH");
	write_sp(w);
	put_correlator(w, tag, found);
	if (found->by_uid) {
		write_sp(w);
		write_word(w, "UID");
	}
	if ((returns & SEARCH_RETURN_MIN) && found->count > 0)
		put_number(w, "MIN", found->numbers[0]);
	if ((returns & SEARCH_RETURN_MAX) && found->count > 0)
		put_number(w, "MAX", found->numbers[found->count - 1]);
	if (returns & SEARCH_RETURN_COUNT)
		put_number(w, "COUNT", found->count);
	if (returns & SEARCH_RETURN_PARTIAL)
		put_partial(w, s, found);
	if ((returns & SEARCH_RETURN_ALL) && found->count > 0) {
		write_sp(w);
		write_word(w, "ALL");
		write_sp(w);
		put_ranges(w, found->numbers, found->count);
	}
	if (found->modseq > 0 && found->count > 0)
		put_number(w, "MODSEQ", found->modseq);
}

static void
put_numbers(struct write *w, const struct search_found *found)
{
	write_untagged(w, found->sorted ? "SORT" : "SEARCH");
	for (size_t i = 0; i < found->count; i++) {
		write_sp(w);
		write_number(w, found->numbers[i]);
	}
	if (found->modseq > 0 && found->count > 0) {
		write_sp(w);
		write_open(w);
		write_word(w, "MODSEQ");
		write_sp(w);
		write_number(w, found->modseq);
		write_close(w);
	}
}

void
search_write(struct buf *out, const struct search *s, struct slice tag,
    const struct search_found *found)
{
	struct write w;

	if (s->esearch && !(s->returns & SEARCH_RETURNS_DATA))
		return;
	write_init(&w, out, WRITE_SERVER);
	w.utf8 = found->utf8;
	if (s->esearch)
		put_esearch(&w, s, tag, found);
	else
		put_numbers(&w, found);
	write_end(&w);
}

/* Where the run ends that begins at first: what stands side by side. */
static size_t
run_end(const struct search_updated *u, size_t first)
{
	size_t i = first + 1;

	while (i < u->count &&
	       (u->places == NULL || u->places[i] == u->places[i - 1] + 1))
		i++;
	return i;
}

static void
put_run(struct write *w, const struct search_updated *u, size_t first,
    size_t end)
{
	write_number(w, u->places == NULL ? 0 : u->places[first]);
	write_sp(w);
	put_ranges(w, u->numbers + first, end - first);
}

/*
 * What is removed goes from the last place to the first, so that none moves
 * another; what is added the other way round.
 */
static void
put_runs(struct write *w, const struct search_updated *u)
{
	if (u->what == SEARCH_ADDTO) {
		for (size_t i = 0; i < u->count; i = run_end(u, i)) {
			if (i > 0)
				write_sp(w);
			put_run(w, u, i, run_end(u, i));
		}
		return;
	}
	for (size_t end = u->count, first; end > 0; end = first) {
		first = end - 1;
		while (first > 0 &&
		       (u->places == NULL ||
		           u->places[first - 1] + 1 == u->places[first]))
			first--;
		put_run(w, u, first, end);
		if (first > 0)
			write_sp(w);
	}
}

void
search_write_update(struct buf *out, struct slice tag,
    const struct search_updated *u)
{
	struct search_found none = { 0 };
	struct write w;

	write_init(&w, out, WRITE_SERVER);
	write_untagged(&w, "ESEARCH");
	write_sp(&w);
	put_correlator(&w, tag, &none);
	write_word(&w, u->by_uid ? " UID " : " ");
	write_word(&w, u->what == SEARCH_ADDTO ? "ADDTO" : "REMOVEFROM");
	write_sp(&w);
	write_open(&w);
	put_runs(&w, u);
	write_close(&w);
	write_end(&w);
}

size_t
search_write_size(const struct search_found *found)
{
	return found->count * NUMBER_OCTETS + found->mailbox.len + HEAD_OCTETS;
}
