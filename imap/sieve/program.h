/*
 * program: what a script becomes, for sieve's own files.
 *
 * A flat list of instructions.  Control only ever goes forwards (jumps out of
 * tests and past blocks), so that a program ends after at most as many steps
 * as it has instructions.  Tests leave their answer in the run's `answer`.
 *
 * What is specific to an extension is in its file: functions of the type
 * sieve_function, named in words.c's table.
 */
#ifndef IMAP_SIEVE_PROGRAM_H
#define IMAP_SIEVE_PROGRAM_H

#include "imap/sieve/sieve.h"
#include "lib/arena.h"

enum {
	SIEVE_POSITIONAL = 3,  /* arguments without a tag */
	SIEVE_VARIABLES = 128, /* RFC 5229 3: at least */
	SIEVE_CAPTURES = 10    /* ${0} to ${9} */
};

enum sieve_extension_id {
	EXT_CORE,
	EXT_FILEINTO,
	EXT_REJECT,
	EXT_EREJECT,
	EXT_ENVELOPE,
	EXT_ENCODED,
	EXT_VARIABLES,
	EXT_MAILBOX,
	EXT_SUBADDRESS,
	EXT_IMAP4FLAGS,
	EXT_COPY,
	EXT_BODY,
	EXT_RELATIONAL,
	EXT_NUMERIC,
	EXT_OCTET,
	EXT_CASEMAP,
	EXT_COUNT
};

enum sieve_tag_group { /* bits; a group's tags exclude one another */
	GROUP_MATCH = 1 << 0,
	GROUP_COMPARATOR = 1 << 1,
	GROUP_PART = 1 << 2, /* of an address */
	GROUP_SIZE = 1 << 3,
	GROUP_COPY = 1 << 4,
	GROUP_CREATE = 1 << 5,
	GROUP_FLAGS = 1 << 6,
	GROUP_BODY = 1 << 7,
	GROUP_CASE = 1 << 8, /* RFC 5229 4.1: by precedence, highest first */
	GROUP_FIRST = 1 << 9,
	GROUP_QUOTE = 1 << 10,
	GROUP_LENGTH = 1 << 11
};

enum sieve_tag_id {
	TAG_NONE,
	TAG_IS,
	TAG_CONTAINS,
	TAG_MATCHES,
	TAG_COUNT,
	TAG_VALUE,
	TAG_COMPARATOR,
	TAG_ALL,
	TAG_LOCALPART,
	TAG_DOMAIN,
	TAG_USER,
	TAG_DETAIL,
	TAG_OVER,
	TAG_UNDER,
	TAG_COPY,
	TAG_CREATE,
	TAG_FLAGS,
	TAG_RAW,
	TAG_CONTENT,
	TAG_TEXT,
	TAG_LOWER,
	TAG_UPPER,
	TAG_LOWERFIRST,
	TAG_UPPERFIRST,
	TAG_QUOTEWILDCARD,
	TAG_LENGTH
};

enum sieve_comparator {
	COMPARATOR_CASEMAP,
	COMPARATOR_OCTET,
	COMPARATOR_NUMERIC
};

enum sieve_relation {
	RELATION_GT,
	RELATION_GE,
	RELATION_LT,
	RELATION_LE,
	RELATION_EQ,
	RELATION_NE
};

struct sieve_strings {
	const struct slice *at;
	unsigned count;
};

enum sieve_op {
	OP_CALL, /* the word's function */
	OP_TRUE,
	OP_FALSE,
	OP_NOT,
	OP_JUMP,
	OP_JUMP_TRUE,
	OP_JUMP_FALSE,
	OP_STOP
};

struct sieve_word;

struct sieve_instr {
	enum sieve_op op;
	unsigned line;
	unsigned target; /* jumps */
	const struct sieve_word *word;
	unsigned groups;         /* those with a tag here */
	enum sieve_tag_id match; /* TAG_IS unless said */
	enum sieve_tag_id part;  /* TAG_ALL unless said */
	enum sieve_tag_id size, body, letters, first;
	enum sieve_comparator comparator;
	enum sieve_relation relation;
	uint64_t number; /* the positional one, or :length's */
	unsigned npositional;
	struct sieve_strings args[SIEVE_POSITIONAL];
	struct sieve_strings flags, content;
};

struct sieve {
	struct arena arena; /* all of it */
	const struct sieve_instr *code;
	unsigned count;
	unsigned needs;    /* of enum sieve_need */
	uint32_t requires; /* bits: extensions */
};

/* A message being filtered. */
struct sieve_state {
	const struct sieve *program;
	const struct sieve_message *message;
	const struct sieve_world *world;
	const struct sieve_limits *limits;
	struct arena *results;
	size_t results_before;
	struct arena scratch; /* goes after each instruction */
	struct arena kept;    /* goes after the run */
	const struct sieve_instr *now;
	bool answer;
	bool failed;
	struct sieve_error *error;
	uint64_t steps;
	/* variables.c */
	struct {
		struct slice name, value;
	} variables[SIEVE_VARIABLES];
	unsigned nvariables;
	struct slice captures[SIEVE_CAPTURES];
	/* flags.c: names separated by spaces */
	struct slice flags;
	/* actions.c */
	struct sieve_action *actions;
	unsigned nactions, nredirects;
	bool keep_cancelled;
};

typedef void sieve_function(struct sieve_state *st,
    const struct sieve_instr *in);

/* What may be wrong with constant arguments: NULL, or static text. */
typedef const char *sieve_check(const struct sieve_instr *in);

enum sieve_word_kind {
	WORD_ACTION,
	WORD_TEST
};

struct sieve_word {
	const char *name;
	enum sieve_word_kind kind;
	unsigned extensions;    /* bits: any of them will do; 0: core */
	const char *positional; /* S string, L list, N number; o before: may
	                           be left out */
	unsigned groups;        /* tags it takes */
	unsigned needs;         /* of enum sieve_need */
	sieve_function *run;
	sieve_check *check; /* or NULL */
};

struct sieve_tag {
	const char *name;
	enum sieve_tag_id id;
	enum sieve_extension_id extension;
	enum sieve_tag_group group;
	uint8_t argument; /* 0, or as in positional */
};

/* words.c */
const struct sieve_word *sieve_word_find(struct slice name,
    enum sieve_word_kind kind);
const struct sieve_tag *sieve_tag_find(struct slice name);
/* EXT_COUNT if there is none. */
enum sieve_extension_id sieve_extension_find(struct slice name);

/* run.c: the run fails with this; the first failure stays. */
void sieve_fail(struct sieve_state *st, const char *why);

/* n more octets are going to be looked at; false, and failed: too many. */
bool sieve_spend(struct sieve_state *st, uint64_t n);

/* encoded.c: RFC 5228 2.4.2.4; NULL, or what is wrong. */
const char *sieve_decode(struct arena *a, struct slice *s);

/* variables.c: ${name} replaced, if the script uses variables. */
struct slice sieve_expand(struct sieve_state *st, struct slice s);
struct sieve_strings sieve_expand_all(struct sieve_state *st,
    struct sieve_strings list);
/* Does s, a constant, have something to expand? */
bool sieve_is_constant(struct slice s);
/* "" if it is not set. */
struct slice sieve_variable_get(struct sieve_state *st, struct slice name);
void sieve_variable_set(struct sieve_state *st, struct slice name,
    struct slice value);

/* flags.c: an action's flags, from its :flags or the internal variable. */
void sieve_flags_of(struct sieve_state *st, const struct sieve_instr *in,
    struct sieve_action *action);

/* actions.c: at the end of the script. */
void sieve_finish(struct sieve_state *st, struct sieve_result *result);

sieve_function sieve_keep, sieve_discard, sieve_redirect, sieve_fileinto,
    sieve_reject, sieve_ereject;
sieve_function sieve_address, sieve_header, sieve_exists, sieve_size,
    sieve_envelope, sieve_mailboxexists, sieve_body;
sieve_function sieve_set, sieve_string;
sieve_function sieve_setflag, sieve_addflag, sieve_removeflag, sieve_hasflag;
sieve_check sieve_check_redirect, sieve_check_set, sieve_check_envelope;

#endif
