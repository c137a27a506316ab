/* sieve: the tables of extensions, commands, tests and tags. */
#include "imap/sieve/program.h"
#include "lib/cdefs.h"

#define EXT(e)   (1u << EXT_##e)
#define MATCHING (GROUP_MATCH | GROUP_COMPARATOR)

static const char *const extensions[EXT_COUNT] = {
	[EXT_CORE] = "",
	[EXT_FILEINTO] = "fileinto",
	[EXT_REJECT] = "reject",
	[EXT_EREJECT] = "ereject",
	[EXT_ENVELOPE] = "envelope",
	[EXT_ENCODED] = "encoded-character",
	[EXT_VARIABLES] = "variables",
	[EXT_MAILBOX] = "mailbox",
	[EXT_SUBADDRESS] = "subaddress",
	[EXT_IMAP4FLAGS] = "imap4flags",
	[EXT_COPY] = "copy",
	[EXT_BODY] = "body",
	[EXT_RELATIONAL] = "relational",
	[EXT_NUMERIC] = "comparator-i;ascii-numeric",
	[EXT_OCTET] = "comparator-i;octet",
	[EXT_CASEMAP] = "comparator-i;ascii-casemap",
};

static const struct sieve_word words[] = {
	{ "keep", WORD_ACTION, 0, "", GROUP_FLAGS, 0, sieve_keep, NULL },
	{ "discard", WORD_ACTION, 0, "", 0, 0, sieve_discard, NULL },
	{ "redirect", WORD_ACTION, 0, "S", GROUP_COPY, 0, sieve_redirect,
	    sieve_check_redirect },
	{ "fileinto", WORD_ACTION, EXT(FILEINTO), "S",
	    GROUP_COPY | GROUP_CREATE | GROUP_FLAGS, 0, sieve_fileinto, NULL },
	{ "reject", WORD_ACTION, EXT(REJECT), "S", 0, 0, sieve_reject, NULL },
	{ "ereject", WORD_ACTION, EXT(EREJECT), "S", 0, 0, sieve_ereject,
	    NULL },
	{ "set", WORD_ACTION, EXT(VARIABLES), "SS",
	    GROUP_CASE | GROUP_FIRST | GROUP_QUOTE | GROUP_LENGTH, 0, sieve_set,
	    sieve_check_set },
	{ "setflag", WORD_ACTION, EXT(IMAP4FLAGS), "oSL", 0, 0, sieve_setflag,
	    NULL },
	{ "addflag", WORD_ACTION, EXT(IMAP4FLAGS), "oSL", 0, 0, sieve_addflag,
	    NULL },
	{ "removeflag", WORD_ACTION, EXT(IMAP4FLAGS), "oSL", 0, 0,
	    sieve_removeflag, NULL },
	{ "address", WORD_TEST, 0, "LL", MATCHING | GROUP_PART, 0,
	    sieve_address, NULL },
	{ "header", WORD_TEST, 0, "LL", MATCHING, 0, sieve_header, NULL },
	{ "exists", WORD_TEST, 0, "L", 0, 0, sieve_exists, NULL },
	{ "size", WORD_TEST, 0, "N", GROUP_SIZE, 0, sieve_size, NULL },
	{ "envelope", WORD_TEST, EXT(ENVELOPE), "LL", MATCHING | GROUP_PART,
	    SIEVE_NEEDS_ENVELOPE, sieve_envelope, sieve_check_envelope },
	{ "mailboxexists", WORD_TEST, EXT(MAILBOX), "L", 0, SIEVE_NEEDS_MAILBOX,
	    sieve_mailboxexists, NULL },
	{ "body", WORD_TEST, EXT(BODY), "L", MATCHING | GROUP_BODY,
	    SIEVE_NEEDS_BODY, sieve_body, NULL },
	{ "string", WORD_TEST, EXT(VARIABLES), "LL", MATCHING, 0, sieve_string,
	    NULL },
	{ "hasflag", WORD_TEST, EXT(IMAP4FLAGS), "oLL", MATCHING, 0,
	    sieve_hasflag, NULL },
};

static const struct sieve_tag tags[] = {
	{ "is", TAG_IS, EXT_CORE, GROUP_MATCH, 0 },
	{ "contains", TAG_CONTAINS, EXT_CORE, GROUP_MATCH, 0 },
	{ "matches", TAG_MATCHES, EXT_CORE, GROUP_MATCH, 0 },
	{ "count", TAG_COUNT, EXT_RELATIONAL, GROUP_MATCH, 'S' },
	{ "value", TAG_VALUE, EXT_RELATIONAL, GROUP_MATCH, 'S' },
	{ "comparator", TAG_COMPARATOR, EXT_CORE, GROUP_COMPARATOR, 'S' },
	{ "all", TAG_ALL, EXT_CORE, GROUP_PART, 0 },
	{ "localpart", TAG_LOCALPART, EXT_CORE, GROUP_PART, 0 },
	{ "domain", TAG_DOMAIN, EXT_CORE, GROUP_PART, 0 },
	{ "user", TAG_USER, EXT_SUBADDRESS, GROUP_PART, 0 },
	{ "detail", TAG_DETAIL, EXT_SUBADDRESS, GROUP_PART, 0 },
	{ "over", TAG_OVER, EXT_CORE, GROUP_SIZE, 0 },
	{ "under", TAG_UNDER, EXT_CORE, GROUP_SIZE, 0 },
	{ "copy", TAG_COPY, EXT_COPY, GROUP_COPY, 0 },
	{ "create", TAG_CREATE, EXT_MAILBOX, GROUP_CREATE, 0 },
	{ "flags", TAG_FLAGS, EXT_IMAP4FLAGS, GROUP_FLAGS, 'L' },
	{ "raw", TAG_RAW, EXT_BODY, GROUP_BODY, 0 },
	{ "content", TAG_CONTENT, EXT_BODY, GROUP_BODY, 'L' },
	{ "text", TAG_TEXT, EXT_BODY, GROUP_BODY, 0 },
	{ "lower", TAG_LOWER, EXT_VARIABLES, GROUP_CASE, 0 },
	{ "upper", TAG_UPPER, EXT_VARIABLES, GROUP_CASE, 0 },
	{ "lowerfirst", TAG_LOWERFIRST, EXT_VARIABLES, GROUP_FIRST, 0 },
	{ "upperfirst", TAG_UPPERFIRST, EXT_VARIABLES, GROUP_FIRST, 0 },
	{ "quotewildcard", TAG_QUOTEWILDCARD, EXT_VARIABLES, GROUP_QUOTE, 0 },
	{ "length", TAG_LENGTH, EXT_VARIABLES, GROUP_LENGTH, 0 },
};

const struct sieve_word *
sieve_word_find(struct slice name, enum sieve_word_kind kind)
{
	for (size_t i = 0; i < NITEMS(words); i++)
		if (words[i].kind == kind &&
		    slice_is_nocase(name, words[i].name))
			return &words[i];
	return NULL;
}

const struct sieve_tag *
sieve_tag_find(struct slice name)
{
	for (size_t i = 0; i < NITEMS(tags); i++)
		if (slice_is_nocase(name, tags[i].name))
			return &tags[i];
	return NULL;
}

enum sieve_extension_id
sieve_extension_find(struct slice name)
{
	unsigned i = EXT_CORE + 1;

	while (i < EXT_COUNT && !slice_is(name, extensions[i]))
		i++;
	return (enum sieve_extension_id)i;
}

const char *
sieve_extensions(void)
{
	return "fileinto reject ereject envelope encoded-character variables "
	       "mailbox subaddress imap4flags copy body relational "
	       "comparator-i;ascii-numeric";
}
