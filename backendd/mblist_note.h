/*
 * mblist_note: a RENAME under way, or a DELETE of a user, noted in the list, and
 * what becomes of it after a crash; for the mblist files only.
 *
 * What is kept for a user (users.h) is in another keeper than the list, so it
 * follows a commit of the list, and the note stays until it has.
 */
#ifndef BACKENDD_MBLIST_NOTE_H
#define BACKENDD_MBLIST_NOTE_H

#include <stdbool.h>

struct arena;
struct mblist;
struct op;

/* How far it has come. */
enum rename_stage {
	RENAME_BOTH, /* both names are listed: it is taken back */
	RENAME_NEW,  /* the old are not: what is the user's is to follow */
	RENAME_GONE  /* there are no new ones: what is the user's is to go */
};

struct rename_note {
	const char *from, *to; /* to: "" if there is none */
	enum rename_stage stage;
	bool inbox; /* from stays, and nothing below it is renamed */
};

/* Gathered for the next commit.  One for each from. */
void rename_note_put(struct mblist *l, const struct rename_note *n);
void rename_note_drop(struct mblist *l, const char *from);

/*
 * The user that what goes with an INBOX of this name is kept for: its owner, or
 * of one deleted that can be brought back the name itself.  NULL: nobody.
 */
const char *rename_user(struct mblist *l, struct arena *a, const char *name);

/*
 * What is kept for op->user becomes op->user_to's, or if that is NULL goes.
 * When that is durable, however long it takes, the note goes; then step.
 */
void rename_follow(struct op *op, void (*step)(struct op *op));

/* At start: all of them. */
void rename_recover(struct mblist *l);

#endif
