#include <stdlib.h>

#include "backendd/notices.h"
#include "backendd/server.h"
#include "backendd/session_state.h"
#include "lib/must.h"
#include "lib/xalloc.h"

void
notices_begin(struct session *ss)
{
	struct notices *n = session_has(ss)->notices;

	if (n != NULL)
		return;
	n = session_extras(ss)->notices = xcalloc(1, sizeof(*n));
	n->ss = ss;
	buf_init(&n->lines, NOTICES_MAX);
	TAILQ_INSERT_TAIL(&ss->bd->noticed, n, link);
}

void
notices_end(struct session *ss)
{
	struct notices *n = session_has(ss)->notices;

	if (n == NULL)
		return;
	session_extras(ss)->notices = NULL;
	TAILQ_REMOVE(&ss->bd->noticed, n, link);
	buf_fini(&n->lines);
	free(n);
}

struct buf *
notices_lines(struct notices *n)
{
	return &n->lines;
}

/* What does not fit has made the buf fail: the rest is as good as lost. */
void
notices_put(struct notices *n)
{
	if (buf_failed(&n->lines)) {
		buf_fini(&n->lines);
		buf_init(&n->lines, NOTICES_MAX);
	}
	session_wake(n->ss); /* it may be in IDLE */
}

bool
notices_tell(struct session *ss, struct buf *out)
{
	struct notices *n = session_has(ss)->notices;

	if (n == NULL || buf_len(&n->lines) == 0)
		return true;
	if (buf_room(out) < buf_len(&n->lines))
		return false;
	buf_put_slice(out, buf_slice(&n->lines));
	buf_clear(&n->lines);
	buf_trim(&n->lines);
	return true;
}
