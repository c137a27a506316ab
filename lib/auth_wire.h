/*
 * auth_wire: what auth and its child say to each other over ipc.
 */
#ifndef LIB_AUTH_WIRE_H
#define LIB_AUTH_WIRE_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/auth.h"
#include "lib/cdefs.h"
#include "lib/slice.h"

struct ipc;

enum auth_message {
	AUTH_MECHANISMS = 1, /* from the child: secure, and plain */
	AUTH_START,          /* peer, mechanism, initial or not */
	AUTH_LOGIN,          /* peer, user, password */
	AUTH_EXISTS,         /* peer, user */
	AUTH_STEP,           /* response */
	AUTH_CANCEL,
	AUTH_ANSWER
};

enum {
	AUTH_OCTETS_MAX = 32 * 1024 /* of anything a client says at once */
};

/* All but MECHANISMS and ANSWER; what is not meant is empty. */
struct auth_request {
	struct auth_peer peer;
	struct slice mechanism, user;
	bool has_octets;
	struct slice octets; /* initial, response or password */
};

/* False: not sent.  What was made for it is wiped. */
bool auth_send_request(struct ipc *i, enum auth_message type, uint64_t id,
    const struct auth_request *r) MUST_CHECK;
bool auth_send_answer(struct ipc *i, uint64_t id,
    const struct auth_answer *a) MUST_CHECK;
bool auth_send_mechanisms(struct ipc *i, const char *secure,
    const char *plain) MUST_CHECK;

/*
 * Texts are given, for auth_request_fini(); slices are borrowed from payload.
 * A payload out of form comes from our own process, which is a bug.
 */
void auth_request_parse(struct auth_request *r, struct slice payload);
void auth_request_fini(struct auth_request *r);

struct auth_texts { /* free() them */
	char *first, *second, *third;
};
void auth_answer_parse(struct auth_answer *a, struct auth_texts *t,
    struct slice payload);
void auth_mechanisms_parse(struct auth_texts *t, struct slice payload);

#endif
