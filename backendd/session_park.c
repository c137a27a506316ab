/*
 * Sessions that have been silent for long let go of their mailbox, and take it
 * up again when something is said: by the client, or of the mailbox to a client
 * that is to hear of it.
 */
#include "backendd/server.h"
#include "backendd/session_state.h"
#include "backendd/view.h"
#include "lib/log.h"
#include "lib/loop.h"

bool
session_view_is_there(const struct session *ss)
{
	return ss->view != NULL && !view_lost(ss->view) &&
	       !view_is_parked(ss->view);
}

/* A context would have to be made again from all messages. */
void
session_park(struct session *ss)
{
	if (!session_view_is_there(ss) || !session_rests(ss) ||
	    ss->state == SESSION_HANDSHAKE || session_contexts(ss) != NULL)
		return;
	if (view_park(ss->view))
		log_debug(ss->bd->log, "session parked", "sid", session_sid(ss),
		    NULL);
}

static void
resumed(void *arg, const char *why)
{
	struct session *ss = arg;

	if (why == NULL) {
		/* It is parked again if that was all. */
		session_unlist(ss);
		session_enlist(ss);
		session_wake(ss);
		return;
	}
	log_err(ss->bd->log, "session not resumed", "sid", session_sid(ss),
	    "mailbox", view_name(ss->view), "why", why, NULL);
	session_bye(ss, "UNAVAILABLE", "The mailbox cannot be opened again");
}

bool
session_resume(struct session *ss)
{
	if (ss->view == NULL || view_lost(ss->view) ||
	    !view_is_parked(ss->view))
		return false;
	if (!view_is_resuming(ss->view))
		view_resume(ss->view, resumed, ss);
	return true;
}
