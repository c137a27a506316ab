/* search: the response. */
#include "imap/search.h"
#include "imap/write.h"
#include "lib/buf.h"

static void
put_number(struct write *w, const char *name, uint64_t n)
{
	write_sp(w);
	write_word(w, name);
	write_sp(w);
	write_number(w, n);
}

/* "1:5,7" */
static void
put_ranges(struct write *w, const struct search_found *found)
{
	for (size_t i = 0; i < found->count;) {
		size_t first = i++;

		while (i < found->count &&
		       found->numbers[i] == found->numbers[i - 1] + 1)
			i++;
		if (first > 0)
			write_word(w, ",");
		write_number(w, found->numbers[first]);
		if (i - first > 1) {
			write_word(w, ":");
			write_number(w, found->numbers[i - 1]);
		}
	}
}

static void
put_esearch(struct write *w, const struct search *s, struct slice tag,
    const struct search_found *found)
{
	write_untagged(w, "ESEARCH");
	write_sp(w);
	write_open(w);
	write_word(w, "TAG");
	write_sp(w);
	write_string(w, tag);
	write_close(w);
	if (found->by_uid) {
		write_sp(w);
		write_word(w, "UID");
	}
	if ((s->returns & SEARCH_RETURN_MIN) && found->count > 0)
		put_number(w, "MIN", found->numbers[0]);
	if ((s->returns & SEARCH_RETURN_MAX) && found->count > 0)
		put_number(w, "MAX", found->numbers[found->count - 1]);
	if (s->returns & SEARCH_RETURN_COUNT)
		put_number(w, "COUNT", found->count);
	if ((s->returns & SEARCH_RETURN_ALL) && found->count > 0) {
		write_sp(w);
		write_word(w, "ALL");
		write_sp(w);
		put_ranges(w, found);
	}
	if (found->modseq > 0 && found->count > 0)
		put_number(w, "MODSEQ", found->modseq);
}

void
search_write(struct buf *out, const struct search *s, struct slice tag,
    const struct search_found *found)
{
	struct write w;

	write_init(&w, out, WRITE_SERVER);
	if (s->esearch) {
		put_esearch(&w, s, tag, found);
		write_end(&w);
		return;
	}
	write_untagged(&w, "SEARCH");
	for (size_t i = 0; i < found->count; i++) {
		write_sp(&w);
		write_number(&w, found->numbers[i]);
	}
	if (found->modseq > 0 && found->count > 0) {
		write_sp(&w);
		write_open(&w);
		write_word(&w, "MODSEQ");
		write_sp(&w);
		write_number(&w, found->modseq);
		write_close(&w);
	}
	write_end(&w);
}
