/*
 * letter_binary: a letter with NULs in it as one without (see imap/binary).
 */
#ifndef BACKENDD_LETTER_BINARY_H
#define BACKENDD_LETTER_BINARY_H

struct backendd;
struct letter;

/* Gives l; NULL: it cannot be, for a reason fit for a client. */
typedef void letter_binary_cb(void *arg, struct letter *l, const char *why);

/* Takes l.  Never calls back from inside. */
void letter_binary(struct backendd *bd, struct letter *l, letter_binary_cb *cb,
    void *arg);

#endif
