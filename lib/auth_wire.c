#include <stdlib.h>

#include "lib/auth_wire.h"
#include "lib/buf.h"
#include "lib/ipc.h"
#include "lib/must.h"
#include "lib/wire.h"
#include "lib/xalloc.h"

/* All storage at once: growing would leave copies of secrets behind. */
static void
secret_init(struct buf *b)
{
	size_t n = IPC_MAX;

	buf_init(b, IPC_MAX);
	MUST(buf_space(b, &n) != NULL && n == IPC_MAX);
}

static bool
secret_send(struct buf *b, struct ipc *i, enum auth_message type, uint64_t id)
{
	bool sent =
	    !buf_failed(b) && ipc_send(i, (uint32_t)type, id, buf_slice(b), -1);

	/* It is ours, so that taking away its const is right. */
	wipe((void *)(uintptr_t)buf_data(b), buf_len(b));
	buf_fini(b);
	return sent;
}

static void
put_text(struct buf *b, const char *s)
{
	wire_put_u8(b, s != NULL);
	wire_put_str(b, s == NULL ? "" : s);
}

static char *
get_text(struct wire *w)
{
	bool there = wire_u8(w) != 0;
	struct slice s = wire_slice(w);

	return there ? xstrndup(s.ptr, s.len) : NULL;
}

bool
auth_send_request(struct ipc *i, enum auth_message type, uint64_t id,
    const struct auth_request *r)
{
	struct buf b;

	secret_init(&b);
	put_text(&b, r->peer.service);
	put_text(&b, r->peer.address);
	put_text(&b, r->peer.external);
	wire_put_u8(&b, r->peer.secure);
	wire_put_slice(&b, r->mechanism);
	wire_put_slice(&b, r->user);
	wire_put_u8(&b, r->has_octets);
	wire_put_slice(&b, r->octets);
	return secret_send(&b, i, type, id);
}

void
auth_request_parse(struct auth_request *r, struct slice payload)
{
	struct wire w;

	wire_init(&w, payload);
	r->peer.service = get_text(&w);
	r->peer.address = get_text(&w);
	r->peer.external = get_text(&w);
	r->peer.secure = wire_u8(&w) != 0;
	r->mechanism = wire_slice(&w);
	r->user = wire_slice(&w);
	r->has_octets = wire_u8(&w) != 0;
	r->octets = wire_slice(&w);
	MUST(wire_done(&w));
}

void
auth_request_fini(struct auth_request *r)
{
	free((void *)(uintptr_t)r->peer.service);
	free((void *)(uintptr_t)r->peer.address);
	free((void *)(uintptr_t)r->peer.external);
	*r = (struct auth_request){ .has_octets = false };
}

bool
auth_send_answer(struct ipc *i, uint64_t id, const struct auth_answer *a)
{
	struct buf b;

	secret_init(&b);
	wire_put_u8(&b, (uint8_t)a->result);
	wire_put_u8(&b, a->has_challenge);
	wire_put_slice(&b, a->challenge);
	put_text(&b, a->authcid);
	put_text(&b, a->authzid);
	put_text(&b, a->text);
	return secret_send(&b, i, AUTH_ANSWER, id);
}

void
auth_answer_parse(struct auth_answer *a, struct auth_texts *t,
    struct slice payload)
{
	struct wire w;
	unsigned result;

	wire_init(&w, payload);
	result = wire_u8(&w);
	a->has_challenge = wire_u8(&w) != 0;
	a->challenge = wire_slice(&w);
	a->authcid = t->first = get_text(&w);
	a->authzid = t->second = get_text(&w);
	a->text = t->third = get_text(&w);
	MUST(wire_done(&w) && result <= AUTH_UNAVAILABLE);
	a->result = (enum auth_result)result;
}

bool
auth_send_mechanisms(struct ipc *i, const char *secure, const char *plain)
{
	struct buf b;

	secret_init(&b);
	put_text(&b, secure);
	put_text(&b, plain);
	return secret_send(&b, i, AUTH_MECHANISMS, 0);
}

void
auth_mechanisms_parse(struct auth_texts *t, struct slice payload)
{
	struct wire w;

	wire_init(&w, payload);
	*t = (struct auth_texts){ .third = NULL };
	t->first = get_text(&w);
	t->second = get_text(&w);
	MUST(wire_done(&w) && t->first != NULL && t->second != NULL);
}
