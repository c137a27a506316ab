/*
 * Commands that a frontend does not have: what Cyrus IMAP's says to a backend
 * (protocols(7)), and extensions that only backends offer.
 */
#include "proxyd/handlers.h"
#include "proxyd/session.h"

static void
refuse(struct session *ss)
{
	session_done(ss, WRITE_BAD, RESPCODE_NONE, "Unknown command");
}

void
proxyd_NOTIFY(struct session *ss)
{
	refuse(ss);
}

void
proxyd_UNAUTHENTICATE(struct session *ss)
{
	refuse(ss);
}

void
proxyd_LOCALAPPEND(struct session *ss)
{
	refuse(ss);
}

void
proxyd_GETANNOTATION(struct session *ss)
{
	refuse(ss);
}

void
proxyd_SETANNOTATION(struct session *ss)
{
	refuse(ss);
}

void
proxyd_GETMETADATA(struct session *ss)
{
	refuse(ss);
}

void
proxyd_SETMETADATA(struct session *ss)
{
	refuse(ss);
}

void
proxyd_GETQUOTA(struct session *ss)
{
	refuse(ss);
}

void
proxyd_GETQUOTAROOT(struct session *ss)
{
	refuse(ss);
}

void
proxyd_SETQUOTA(struct session *ss)
{
	refuse(ss);
}

void
proxyd_SORT(struct session *ss)
{
	refuse(ss);
}

void
proxyd_UID_SORT(struct session *ss)
{
	refuse(ss);
}

void
proxyd_THREAD(struct session *ss)
{
	refuse(ss);
}

void
proxyd_UID_THREAD(struct session *ss)
{
	refuse(ss);
}

void
proxyd_REPLACE(struct session *ss)
{
	refuse(ss);
}

void
proxyd_UID_REPLACE(struct session *ss)
{
	refuse(ss);
}

void
proxyd_CANCELUPDATE(struct session *ss)
{
	refuse(ss);
}

void
proxyd_COMPRESS(struct session *ss)
{
	refuse(ss);
}

void
proxyd_ESEARCH(struct session *ss)
{
	refuse(ss);
}
