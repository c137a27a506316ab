#include "lib/auth_line.h"
#include "lib/log.h"
#include "lib/stream.h"
#include "proxyd/conf.h"
#include "proxyd/login.h"
#include "proxyd/worker.h"

struct auth_peer
login_peer(struct stream *client, const char *service)
{
	return (struct auth_peer){ .service = service,
		.address = stream_peer(client),
		.external = stream_tls_peer(client),
		.secure =
		    stream_is_secure(client) || stream_is_loopback(client) };
}

static struct login
accepted(struct worker *w, const struct auth_line_answer *a)
{
	const char *user = proxyd_user_of(w->conf, a->authcid, a->authzid);

	if (user == NULL)
		return (struct login){ LOGIN_NOT_ALLOWED, NULL,
			"You may not act for that user" };
	return (struct login){ LOGIN_OK, user, NULL };
}

struct login
login_take(struct worker *w, const char *sid, struct stream *client,
    const struct auth_line_answer *a)
{
	struct login l = { LOGIN_BAD, NULL, NULL };

	switch (a->result) {
	case AUTH_LINE_CHALLENGE:
		l.outcome = LOGIN_ASK;
		break;
	case AUTH_LINE_OK:
		return accepted(w, a);
	case AUTH_LINE_FAIL:
		log_info(w->log, "login failed", "sid", sid, "client",
		    stream_peer(client), "why", a->text, NULL);
		l.outcome = LOGIN_FAILED;
		l.text = "Wrong user name or password";
		break;
	case AUTH_LINE_UNAVAILABLE:
		l.outcome = LOGIN_UNAVAILABLE;
		l.text = "Logging in is not possible now, try again later";
		break;
	case AUTH_LINE_CANCELLED:
		l.text = "Cancelled";
		break;
	case AUTH_LINE_MALFORMED:
		l.text = "The response is not base64";
		break;
	}
	return l;
}
