/*
 * What a session says that nobody asked for: with a command's reply, in IDLE,
 * and with NOTIFY at any time.
 */
#include "backendd/context.h"
#include "backendd/notices.h"
#include "backendd/notify.h"
#include "backendd/session_state.h"
#include "backendd/view.h"
#include "lib/buf.h"
#include "lib/stream.h"

/* The running command; NULL: the session rests. */
static const struct command *
running(const struct session *ss)
{
	return ss->w != NULL && ss->w->cmd != NULL ? ss->w->cmd->what : NULL;
}

static enum view_tell
with_command(const struct command *c)
{
	return (c->flags & CMD_USES) && !(c->flags & CMD_BREAKS)
	           ? VIEW_NUMBERS_HOLD
	           : VIEW_EVERYTHING;
}

/* Its answer is what it expunges, whatever else the client wants to hear. */
static bool
expunges(const struct command *c)
{
	return c != NULL &&
	       (c->id == COMMAND_EXPUNGE || c->id == COMMAND_UID_EXPUNGE ||
	           c->id == COMMAND_MOVE || c->id == COMMAND_UID_MOVE ||
	           c->id == COMMAND_REPLACE || c->id == COMMAND_UID_REPLACE);
}

/* May the view speak now, and how?  SELECT's own answer is what is new. */
static bool
view_may(const struct session *ss, enum view_tell *how)
{
	const struct command *c = running(ss);
	enum notify_selected selected = NOTIFY_SELECTED_NONE;
	bool notify;
	unsigned events;

	if (ss->view == NULL || view_lost(ss->view))
		return false;
	notify = notify_view(ss, &selected, &events);
	if (notify && selected == NOTIFY_SELECTED_NONE && !expunges(c))
		return false;
	*how = VIEW_EVERYTHING;
	if (c != NULL) {
		*how = with_command(c);
		return c->id != COMMAND_SELECT && c->id != COMMAND_EXAMINE;
	}
	if (!ss->idles && selected == NOTIFY_SELECTED_DELAYED)
		*how = VIEW_NUMBERS_HOLD;
	return ss->idles || notify;
}

/* False: there is no room for it. */
static bool
tell_flags(struct session *ss, struct buf *out)
{
	if (!view_owes_flags(ss->view))
		return true;
	if (buf_room(out) < SESSION_FLAGS_ROOM)
		return false;
	session_put_flags(ss, out);
	view_flags_told(ss->view);
	return true;
}

bool
session_tell_news(struct session *ss)
{
	struct buf *out = stream_out(ss->stream);
	enum view_tell how;

	if (view_may(ss, &how)) {
		if (!tell_flags(ss, out))
			return false;
		if (contexts_tell_gone(session_contexts(ss), out) !=
		    CONTEXTS_TOLD)
			return false;
		if (!view_tell(ss->view, how, out)) {
			if (buf_room(out) >= VIEW_ROOM)
				session_wake(ss);
			return false;
		}
		if (contexts_tell_new(session_contexts(ss), out) !=
		    CONTEXTS_TOLD)
			return false;
	}
	return notices_tell(ss, out) && notify_tell(ss, out) &&
	       buf_room(out) >= SESSION_REPLY_ROOM;
}

/* What there is no room for comes when there is. */
void
session_tell_unasked(struct session *ss)
{
	struct buf *out = stream_out(ss->stream);
	enum view_tell how;

	if (!notices_tell(ss, out) || !notify_tell(ss, out))
		return;
	if (!view_may(ss, &how) ||
	    (view_pending(ss->view, how) && session_resume(ss)) ||
	    !session_view_is_there(ss) || !tell_flags(ss, out) ||
	    contexts_tell_gone(session_contexts(ss), out) != CONTEXTS_TOLD)
		return;
	if (view_pending(ss->view, how)) {
		if (buf_room(out) < VIEW_ROOM)
			return;
		if (!view_tell(ss->view, how, out)) {
			if (buf_room(out) >= VIEW_ROOM)
				session_wake(ss);
			return;
		}
	}
	if (contexts_tell_new(session_contexts(ss), out) == CONTEXTS_TOLD &&
	    contexts_pending(session_contexts(ss)))
		session_wake(ss);
}
