/*
 * mboxname_conf: the options that say what names of mailboxes look like to
 * clients; they must be the same on a frontend and its backends.
 */
#ifndef IMAP_MBOXNAME_CONF_H
#define IMAP_MBOXNAME_CONF_H

#include <stdbool.h>

#include "lib/conf.h"

struct mboxname_layout;

struct mboxname_conf {
	int separator; /* index into "slash dot" */
	bool altnamespace, admin_altnamespace;
	char *user_prefix, *shared_prefix;
};

/* Rows for these, T being the struct with a member "names". */
#define MBOXNAME_ITEMS(T)                                                     \
	{ "separator", CONF_CHOICE, offsetof(T, names.separator), "slash", 0, \
		0, "slash dot",                                               \
		"What separates levels of mailbox names for clients." },      \
	    { "altnamespace", CONF_BOOL, offsetof(T, names.altnamespace),     \
		    "yes", 0, 0, NULL,                                        \
		    "A user's mailboxes stand beside INBOX, not below it." }, \
	    { "admin_altnamespace", CONF_BOOL,                                \
		    offsetof(T, names.admin_altnamespace), "yes", 0, 0, NULL, \
		    "With altnamespace administrators see names so, too; no " \
		    "is as Cyrus IMAP has it." },                             \
	    { "user_prefix", CONF_STRING, offsetof(T, names.user_prefix),     \
		    "Other Users", 0, 0, NULL,                                \
		    "Where other users' mailboxes are shown." },              \
	{                                                                     \
		"shared_prefix", CONF_STRING,                                 \
		    offsetof(T, names.shared_prefix), "Shared Folders", 0, 0, \
		    NULL, "Where shared mailboxes are shown."                 \
	}

/* Borrows the strings. */
struct mboxname_layout mboxname_layout_of(const struct mboxname_conf *c);

/* The same, as administrators see names. */
struct mboxname_layout mboxname_admin_layout_of(const struct mboxname_conf *c);

#endif
