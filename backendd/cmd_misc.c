/*
 * CAPABILITY, LOGOUT, UNAUTHENTICATE, COMPRESS, ID, ENABLE, NAMESPACE.
 */
#include "backendd/handlers.h"
#include "backendd/server.h"
#include "backendd/session.h"
#include "imap/id.h"
#include "imap/namespace.h"
#include "imap/parse.h"
#include "imap/write.h"
#include "lib/arena.h"
#include "lib/buf.h"

/* True if nothing is left; else BAD was said. */
static bool
no_more(struct session *ss, struct cmd *cmd)
{
	parse_end(cmd->args);
	if (parse_error(cmd->args) == NULL)
		return true;
	session_bad_syntax(ss);
	return false;
}

void
backendd_CAPABILITY(struct session *ss, struct cmd *cmd)
{
	struct write w;

	if (!no_more(ss, cmd))
		return;
	write_init(&w, session_out(ss), WRITE_SERVER);
	write_untagged(&w, "CAPABILITY");
	write_sp(&w);
	write_word(&w, session_capabilities(ss));
	write_end(&w);
	session_done(ss, SESSION_OK, NULL, "Done");
}

void
backendd_LOGOUT(struct session *ss, struct cmd *cmd)
{
	struct write w;

	if (!no_more(ss, cmd))
		return;
	write_init(&w, session_out(ss), WRITE_SERVER);
	write_reply(&w, slice_of(NULL, 0), WRITE_BYE, RESPCODE_NONE,
	    "Logging out");
	session_set_view(ss, NULL);
	session_end(ss);
	session_done(ss, SESSION_OK, NULL, "Done");
}

void
backendd_UNAUTHENTICATE(struct session *ss, struct cmd *cmd)
{
	if (!no_more(ss, cmd))
		return;
	session_log_out(ss);
	session_done(ss, SESSION_OK, NULL, "Done");
}

/* RFC 4978 */
void
backendd_COMPRESS(struct session *ss, struct cmd *cmd)
{
	const char *why;

	parse_word(cmd->args, "DEFLATE");
	if (!no_more(ss, cmd))
		return;
	why = session_start_deflate(ss);
	session_done(ss, why == NULL ? SESSION_OK : SESSION_BAD, NULL,
	    why == NULL ? "DEFLATE active" : why);
}

void
backendd_ID(struct session *ss, struct cmd *cmd)
{
	struct id *theirs = arena_alloc(cmd->arena, sizeof(*theirs));
	struct id *ours = arena_alloc(cmd->arena, sizeof(*ours));
	struct write w;

	id_parse(cmd->args, theirs);
	if (!no_more(ss, cmd))
		return;
	session_set_client(ss, id_get(theirs, "x-session"),
	    id_get(theirs, "x-client-address"));
	ours->pairs[ours->n++] =
	    (struct id_pair){ slice_str("name"), slice_str("murder") };
	write_init(&w, session_out(ss), WRITE_SERVER);
	write_untagged(&w, "ID");
	write_sp(&w);
	id_write(&w, ours);
	write_end(&w);
	session_done(ss, SESSION_OK, NULL, "Done");
}

static const struct {
	const char *name;
	unsigned bit, more; /* more: what comes with it */
} enables[] = {
	{ "CONDSTORE", ENABLED_CONDSTORE, 0 },
	{ "IMAP4rev2", ENABLED_REV2, 0 },
	{ "METADATA", ENABLED_METADATA, 0 },
	{ "QRESYNC", ENABLED_QRESYNC, ENABLED_CONDSTORE },
	{ "UIDONLY", ENABLED_UIDONLY, 0 },
	{ "UTF8=ACCEPT", ENABLED_UTF8, 0 },
};

/* What is not known is passed over (RFC 5161 3.1). */
static unsigned
enable_bits(struct slice word, unsigned *more)
{
	for (size_t i = 0; i < NITEMS(enables); i++) {
		if (!slice_is_nocase(word, enables[i].name))
			continue;
		*more |= enables[i].more;
		return enables[i].bit;
	}
	return 0;
}

void
backendd_ENABLE(struct session *ss, struct cmd *cmd)
{
	unsigned bits = 0, more = 0;
	struct write w;

	do
		bits |= enable_bits(parse_atom(cmd->args), &more);
	while (parse_try(cmd->args, ' '));
	if (!no_more(ss, cmd))
		return;
	bits &= ~session_enabled(ss);
	session_enable(ss, bits | more);
	write_init(&w, session_out(ss), WRITE_SERVER);
	write_untagged(&w, "ENABLED");
	for (size_t i = 0; i < NITEMS(enables); i++) {
		if (!(bits & enables[i].bit))
			continue;
		write_sp(&w);
		write_word(&w, enables[i].name);
	}
	write_end(&w);
	session_done(ss, SESSION_OK, NULL, "Done");
}

void
backendd_NAMESPACE(struct session *ss, struct cmd *cmd)
{
	struct write w;

	if (!no_more(ss, cmd))
		return;
	write_init(&w, session_out(ss), WRITE_SERVER);
	namespace_write(&w, session_layout(ss));
	session_done(ss, SESSION_OK, NULL, "Done");
}
