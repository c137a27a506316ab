/*
 * mblist_note: a RENAME under way, noted in the list, and what becomes of it
 * after a crash; for the mblist files only.
 */
#ifndef BACKENDD_MBLIST_NOTE_H
#define BACKENDD_MBLIST_NOTE_H

#include <stdbool.h>

struct mblist;

/* How far it has come. */
enum rename_stage {
	RENAME_BOTH, /* both names are listed: it is taken back */
	RENAME_NEW   /* the old are not: what is the user's is to follow */
};

struct rename_note {
	const char *from, *to;
	enum rename_stage stage;
	bool inbox; /* from stays, and nothing below it is renamed */
};

/* Gathered for the next commit.  One for each from. */
void rename_note_put(struct mblist *l, const struct rename_note *n);
void rename_note_drop(struct mblist *l, const char *from);

/* At start: all of them. */
void rename_recover(struct mblist *l);

#endif
