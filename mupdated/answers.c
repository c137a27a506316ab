#include "imap/mupdate.h"
#include "imap/mupdate_ext.h"
#include "lib/must.h"
#include "lib/slice.h"
#include "mupdated/answers.h"

enum {
	MARKS_MAX = 16 * 1024 * 1024 /* octets: they are bounded by max */
};

struct mark {
	uint64_t number;
	size_t len;
	bool write, failed;
};

void
answers_init(struct answers *a, size_t max)
{
	buf_init(&a->octets, max);
	buf_init(&a->marks, MARKS_MAX);
}

void
answers_fini(struct answers *a)
{
	buf_fini(&a->octets);
	buf_fini(&a->marks);
}

bool
answers_empty(const struct answers *a)
{
	return buf_len(&a->marks) == 0;
}

size_t
answers_held(const struct answers *a)
{
	return buf_len(&a->octets) + buf_len(&a->marks);
}

struct buf *
answers_room(struct answers *a)
{
	return &a->octets;
}

void
answers_mark(struct answers *a, size_t len, uint64_t number, bool write)
{
	const struct mark m = { number, len, write, false };

	buf_put(&a->marks, &m, sizeof(m));
	MUST(!buf_failed(&a->marks) && !buf_failed(&a->octets));
}

/* Of unaligned octets. */
static struct mark
mark_at(const struct answers *a, size_t at)
{
	struct mark m;

	memcpy(&m, buf_data(&a->marks) + at, sizeof(m));
	return m;
}

/* Later reads may have seen it; later writes fail by themselves. */
void
answers_failed(struct answers *a, uint64_t number)
{
	struct buf fresh;

	if (answers_empty(a))
		return;
	buf_init(&fresh, MARKS_MAX);
	for (size_t at = 0; at < buf_len(&a->marks);
	     at += sizeof(struct mark)) {
		struct mark m = mark_at(a, at);

		if (m.number == number || (!m.write && m.number > number))
			m.failed = true;
		buf_put(&fresh, &m, sizeof(m));
	}
	MUST(!buf_failed(&fresh));
	buf_fini(&a->marks);
	a->marks = fresh;
}

static void
put_refusal(struct buf *out, struct slice answer)
{
	static const char text[] = "cannot store the change now";
	char line[sizeof(text) + 32];
	struct buf b;

	buf_init(&b, sizeof(line));
	buf_puts(&b, mupdate_ext_code_text(MUPDATE_CODE_UNAVAILABLE));
	buf_put(&b, text, sizeof(text));
	MUST(!buf_failed(&b));
	mupdate_put_reply(out, slice_first(answer, slice_find(answer, ' ')),
	    MUPDATE_NO, (const char *)buf_data(&b));
	buf_fini(&b);
}

bool
answers_settle(struct answers *a, struct buf *out, uint64_t number)
{
	bool good = true;

	while (good && !answers_empty(a)) {
		struct mark m = mark_at(a, 0);
		struct slice answer = slice_of(buf_data(&a->octets), m.len);

		if (!m.failed && m.number > number)
			break;
		if (!m.failed)
			buf_put_slice(out, answer);
		else if (m.write)
			put_refusal(out, answer);
		else
			good = false;
		buf_drop(&a->octets, m.len);
		buf_drop(&a->marks, sizeof(m));
	}
	if (answers_empty(a)) {
		buf_trim(&a->octets);
		buf_trim(&a->marks);
	}
	return good;
}
