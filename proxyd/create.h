/*
 * create: a mailbox that fileinto :create asks for.
 *
 * CREATE on a link of the user's, on the backend where the name belongs
 * (route_place), so the backend checks the user's rights; then a barrier, until
 * our copy of the list has it.
 */
#ifndef PROXYD_CREATE_H
#define PROXYD_CREATE_H

struct worker;

/* why is NULL when it is there, now. */
typedef void create_cb(void *arg, const char *why);

/*
 * name: internal; external: as that user writes it, in modified UTF-7.  Both
 * are copied.  Never calls back from inside; always does in the end.
 */
struct slice;
void create_mailbox(struct worker *w, const char *user,
    const struct slice *name, const struct slice *external, const char *sid,
    create_cb *cb, void *arg);

#endif
