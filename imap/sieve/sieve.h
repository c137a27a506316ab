/*
 * sieve: RFC 5228 scripts, from text to program to actions.
 *
 * Pure: nothing is delivered here.  sieve_compile() checks a script whole and
 * gives a program or one error with its line; sieve_run() runs the program
 * over a message and gives the list of actions that the caller then carries
 * out.  A program is read-only, holds no pointer into the script, and may be
 * cached and run any number of times, from any thread.
 *
 * Extensions: fileinto, reject, ereject, envelope, encoded-character,
 * variables, mailbox, subaddress, imap4flags, copy, body, relational,
 * comparator-i;ascii-numeric.  A script must require what it uses.
 *
 * Whatever the script and the message, memory and time are bounded by the
 * limits; a script that passes one at run time fails, and the caller keeps the
 * message in INBOX, as for any run-time error.
 */
#ifndef IMAP_SIEVE_SIEVE_H
#define IMAP_SIEVE_SIEVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/cdefs.h"
#include "lib/slice.h"

struct arena;
struct sieve; /* a program */

struct sieve_limits {
	/* when compiling */
	size_t script_octets;
	unsigned nesting; /* blocks, tests and test lists in one another */
	unsigned nodes;   /* commands, tests and arguments */
	/* when running */
	unsigned actions; /* in all */
	unsigned redirects;
	uint64_t steps;         /* about one an octet compared */
	size_t variable_octets; /* of one; longer ones are cut */
	size_t memory_octets;   /* of one run */
};

extern const struct sieve_limits sieve_limits_default;

struct sieve_error {
	unsigned line; /* 1 is the first; 0: not at any line */
	char text[200];
};

/* NULL and *error, or a program the caller frees. */
struct sieve *sieve_compile(struct slice script,
    const struct sieve_limits *limits, struct sieve_error *error);

/* Frees and sets *sp to NULL; NULL is fine. */
void sieve_free(struct sieve **sp);

/* What the program's test and actions may need, so that no more is fetched. */
enum sieve_need {                     /* bits */
	SIEVE_NEEDS_BODY = 1 << 0,    /* it has a body test */
	SIEVE_NEEDS_MAILBOX = 1 << 1, /* ...a mailboxexists */
	SIEVE_NEEDS_ENVELOPE = 1 << 2
};
unsigned sieve_needs(const struct sieve *s);

/* Names for ManageSieve's SIEVE capability, separated by spaces. */
const char *sieve_extensions(void);

struct sieve_message {
	struct slice octets;        /* the whole message */
	uint64_t size_octets;       /* 0: as octets has it */
	struct slice envelope_from; /* "" for <>; no angle brackets */
	struct slice envelope_to;
	struct slice envelope_auth; /* len 0: none */
};

/*
 * Does this mailbox exist, so that the user may deliver into it?  The name is
 * as in the script: UTF-8, in the user's external form.
 */
typedef bool sieve_mailbox_exists(void *arg, struct slice mailbox);

struct sieve_world {
	sieve_mailbox_exists *mailbox_exists; /* NULL: only "INBOX" does */
	void *arg;
	uint8_t subaddress; /* separates user and detail; 0: '+' */
};

enum sieve_action_kind {
	SIEVE_KEEP,     /* mailbox is INBOX; flags */
	SIEVE_FILEINTO, /* mailbox, flags, create */
	SIEVE_REDIRECT, /* address */
	SIEVE_REJECT,   /* text: reason, in UTF-8 */
	SIEVE_EREJECT,  /* ...preferably as an SMTP answer */
	SIEVE_DISCARD   /* stands alone: nothing is to be done, on purpose */
};

struct sieve_action {
	enum sieve_action_kind kind;
	bool implicit;             /* KEEP: nobody asked for it */
	bool create;               /* FILEINTO with :create */
	bool copy;                 /* FILEINTO, REDIRECT with :copy */
	struct slice mailbox;      /* FILEINTO: as in the script */
	struct slice address;      /* REDIRECT */
	struct slice text;         /* REJECT, EREJECT */
	const struct slice *flags; /* KEEP, FILEINTO: "\Seen", "$Junk" */
	unsigned nflags;
	unsigned line; /* of the script; 0: implicit */
};

struct sieve_result {
	const struct sieve_action *actions; /* each mailbox, address once */
	unsigned count;                     /* never 0 after success */
};

/*
 * 0 and *result, in the arena; or -1 and *error: a run-time error, and nothing
 * is to be done but a keep.
 */
int sieve_run(const struct sieve *s, struct arena *a,
    const struct sieve_message *message, const struct sieve_world *world,
    const struct sieve_limits *limits, struct sieve_result *result,
    struct sieve_error *error) MUST_CHECK;

#endif
