/*
 * view: what a part of the murder says there is, copied out, in order.
 */
#ifndef T_SIM_VIEW_H
#define T_SIM_VIEW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	VIEW_NAME = 96,
	VIEW_PLACE = 32,
	VIEW_ACL = 48,
	VIEW_ID = 65
};

struct box {
	char name[VIEW_NAME];
	char place[VIEW_PLACE]; /* location: "be1!default" */
	char acl[VIEW_ACL];
	char id[VIEW_ID];    /* MAILBOXID; "" where it is not known */
	uint64_t generation; /* of its location; 0 where it is not known */
	bool active;
};

struct view {
	struct box *boxes;
	size_t count, max;
};

void view_fini(struct view *v);
void view_add(struct view *v, const struct box *b);
const struct box *view_find(const struct view *v, const char *name);

/* False: it is down, or has no list yet.  prefix: of names; "": all. */
bool view_update(struct view *v);
bool view_backend(struct view *v, unsigned i, const char *prefix);
bool view_front(struct view *v, unsigned i, const char *prefix);

/* One name: is it active there?  False, too, if it cannot be asked. */
bool view_front_has(unsigned i, const char *name);
bool view_backend_has(unsigned i, const char *name);

/*
 * At the update server: is it active, and what commit is that state's at the
 * latest; is that commit durable?
 */
struct view_state {
	bool known, active;
	uint64_t commit, durable;
};
struct view_state view_update_state(const char *name);

/* Set aside under another name because somebody else has it (man backendd). */
bool view_is_quarantined(const char *name);

#endif
