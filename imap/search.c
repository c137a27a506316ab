#include <string.h>

#include "imap/casefold.h"
#include "imap/charset.h"
#include "imap/flag.h"
#include "imap/parse.h"
#include "imap/search.h"
#include "imap/search_node.h"
#include "lib/arena.h"
#include "lib/buf.h"
#include "lib/cdefs.h"

enum {
	DAY_SECONDS = 24 * 60 * 60
};

/* What follows a key's name. */
enum argument {
	ARG_NONE,
	ARG_KEY,  /* one key more */
	ARG_KEYS, /* two */
	ARG_SET,
	ARG_KEYWORD,
	ARG_DATE,
	ARG_NUMBER,
	ARG_SECONDS, /* a number, not 0 */
	ARG_MODSEQ,
	ARG_ID,
	ARG_TEXT,
	ARG_HEADER, /* a field's name and a text */
	ARG_FIELD   /* a text; the field is the key's name */
};

static const struct key {
	const char *name;
	enum search_op op;
	enum argument argument;
	unsigned mask, value; /* OP_FLAGS */
} keys[] = {
	{ "ALL", OP_ALL, ARG_NONE, 0, 0 },
	{ "ANSWERED", OP_FLAGS, ARG_NONE, FLAG_ANSWERED, FLAG_ANSWERED },
	{ "BCC", OP_HEADER, ARG_FIELD, 0, 0 },
	{ "BEFORE", OP_BEFORE, ARG_DATE, 0, 0 },
	{ "BODY", OP_BODY, ARG_TEXT, 0, 0 },
	{ "CC", OP_HEADER, ARG_FIELD, 0, 0 },
	{ "DELETED", OP_FLAGS, ARG_NONE, FLAG_DELETED, FLAG_DELETED },
	{ "DRAFT", OP_FLAGS, ARG_NONE, FLAG_DRAFT, FLAG_DRAFT },
	{ "EMAILID", OP_EMAILID, ARG_ID, 0, 0 },
	{ "FLAGGED", OP_FLAGS, ARG_NONE, FLAG_FLAGGED, FLAG_FLAGGED },
	{ "FROM", OP_HEADER, ARG_FIELD, 0, 0 },
	{ "HEADER", OP_HEADER, ARG_HEADER, 0, 0 },
	{ "KEYWORD", OP_KEYWORD, ARG_KEYWORD, 0, 0 },
	{ "LARGER", OP_LARGER, ARG_NUMBER, 0, 0 },
	{ "MODSEQ", OP_MODSEQ, ARG_MODSEQ, 0, 0 },
	{ "NEW", OP_FLAGS, ARG_NONE, FLAG_RECENT | FLAG_SEEN, FLAG_RECENT },
	{ "NOT", OP_NOT, ARG_KEY, 0, 0 },
	{ "OLD", OP_FLAGS, ARG_NONE, FLAG_RECENT, 0 },
	{ "OLDER", OP_OLDER, ARG_SECONDS, 0, 0 },
	{ "ON", OP_ON, ARG_DATE, 0, 0 },
	{ "OR", OP_OR, ARG_KEYS, 0, 0 },
	{ "RECENT", OP_FLAGS, ARG_NONE, FLAG_RECENT, FLAG_RECENT },
	{ "SAVEDATESUPPORTED", OP_ALL, ARG_NONE, 0, 0 },
	{ "SAVEDATESUPPORTED", OP_SAVEDATESUPPORTED, ARG_NONE, 0, 0 },
	{ "SAVEDBEFORE", OP_SAVEDBEFORE, ARG_DATE, 0, 0 },
	{ "SAVEDON", OP_SAVEDON, ARG_DATE, 0, 0 },
	{ "SAVEDSINCE", OP_SAVEDSINCE, ARG_DATE, 0, 0 },
	{ "SEEN", OP_FLAGS, ARG_NONE, FLAG_SEEN, FLAG_SEEN },
	{ "SENTBEFORE", OP_SENTBEFORE, ARG_DATE, 0, 0 },
	{ "SENTON", OP_SENTON, ARG_DATE, 0, 0 },
	{ "SENTSINCE", OP_SENTSINCE, ARG_DATE, 0, 0 },
	{ "SINCE", OP_SINCE, ARG_DATE, 0, 0 },
	{ "SMALLER", OP_SMALLER, ARG_NUMBER, 0, 0 },
	{ "SUBJECT", OP_HEADER, ARG_FIELD, 0, 0 },
	{ "TEXT", OP_TEXT, ARG_TEXT, 0, 0 },
	{ "THREADID", OP_THREADID, ARG_ID, 0, 0 },
	{ "TO", OP_HEADER, ARG_FIELD, 0, 0 },
	{ "UID", OP_UID, ARG_SET, 0, 0 },
	{ "UNANSWERED", OP_FLAGS, ARG_NONE, FLAG_ANSWERED, 0 },
	{ "UNDELETED", OP_FLAGS, ARG_NONE, FLAG_DELETED, 0 },
	{ "UNDRAFT", OP_FLAGS, ARG_NONE, FLAG_DRAFT, 0 },
	{ "UNFLAGGED", OP_FLAGS, ARG_NONE, FLAG_FLAGGED, 0 },
	{ "UNKEYWORD", OP_UNKEYWORD, ARG_KEYWORD, 0, 0 },
	{ "UNSEEN", OP_FLAGS, ARG_NONE, FLAG_SEEN, 0 },
	{ "YOUNGER", OP_YOUNGER, ARG_SECONDS, 0, 0 },
};

/* A node that waits for children. */
struct frame {
	unsigned node;
	unsigned left; /* children still to come; 0: a list, until its end */
};

struct builder {
	struct parse *p;
	struct search *s;
	struct search_node *nodes;
	unsigned room, count;
	struct slice *keywords;
	unsigned nkeywords, ntexts;
	struct frame frames[SEARCH_DEPTH_MAX];
	unsigned depth;
	struct slice charset; /* len 0: UTF-8 */
};

static struct search_node *
add(struct builder *b, enum search_op op)
{
	struct search_node *nodes;

	if (b->count == SEARCH_KEYS_MAX) {
		parse_fail(b->p, "Too many search keys");
		return &b->nodes[b->count - 1];
	}
	if (b->count == b->room) {
		b->room = b->room == 0 ? 8 : b->room * 2;
		nodes = arena_array(b->p->arena, b->room, sizeof(*nodes));
		if (b->count > 0)
			memcpy(nodes, b->nodes, b->count * sizeof(*nodes));
		b->nodes = nodes;
	}
	b->nodes[b->count] = (struct search_node){ .op = op,
		.parent = b->depth > 0 ? b->frames[b->depth - 1].node : 0 };
	return &b->nodes[b->count++];
}

/* The node just added waits for its children. */
static void
open_frame(struct builder *b, unsigned left)
{
	if (b->depth == SEARCH_DEPTH_MAX)
		parse_fail(b->p, "Search keys too deep");
	else
		b->frames[b->depth++] = (struct frame){ b->count - 1, left };
}

static unsigned
keyword_number(struct builder *b, struct slice name)
{
	unsigned i = 0;

	while (i < b->nkeywords && !slice_equal_nocase(b->keywords[i], name))
		i++;
	if (i == SEARCH_KEYWORDS_MAX)
		parse_fail(b->p, "Too many keywords");
	else if (i == b->nkeywords)
		b->keywords[b->nkeywords++] = name;
	return i;
}

/* A string in the client's charset, folded. */
static void
parse_needle(struct builder *b, struct needle *needle)
{
	struct slice charset = b->charset, s = parse_astring(b->p);
	struct buf utf8, folded;

	if (charset.len == 0)
		charset = slice_str("utf-8");
	if (s.len > SEARCH_TEXT_MAX || b->ntexts == SEARCH_TEXTS_MAX) {
		parse_fail(b->p, "Too much text to search for");
		return;
	}
	b->ntexts++;
	buf_init(&utf8, 16 * SEARCH_TEXT_MAX);
	buf_init(&folded, 32 * SEARCH_TEXT_MAX);
	if (charset_convert(&utf8, charset, s) == -1)
		parse_fail(b->p, "Charset cannot be used");
	casefold_put(&folded, buf_slice(&utf8));
	if (buf_failed(&folded) || buf_len(&folded) > NEEDLE_MAX)
		parse_fail(b->p, "Too much text to search for");
	else
		needle_init(needle, b->p->arena,
		    arena_copy(b->p->arena, buf_slice(&folded)));
	buf_fini(&utf8);
	buf_fini(&folded);
}

/* [entry-name SP entry-type SP] number: we keep one modseq for all. */
static uint64_t
parse_modseq(struct builder *b)
{
	b->s->modseq = true;
	if (parse_peek(b->p) == '"') {
		(void)parse_string(b->p); /* which flag changed is not kept */
		parse_sp(b->p);
		(void)parse_atom(b->p); /* shared or private: neither */
		parse_sp(b->p);
	}
	return parse_number64(b->p);
}

static void
parse_set(struct builder *b, struct search_node *n)
{
	parse_seqset_saved(b->p, &n->sent);
	b->s->saved |= n->sent.saved;
	b->s->numbers |= n->op == OP_SEQ && n->sent.n > 0;
}

static void
parse_argument(struct builder *b, const struct key *k, struct search_node *n)
{
	struct parse *p = b->p;

	switch (k->argument) {
	case ARG_NONE:
		return;
	case ARG_KEY:
	case ARG_KEYS:
		open_frame(b, k->argument == ARG_KEY ? 1 : 2);
		return;
	case ARG_SET:
		parse_set(b, n);
		return;
	case ARG_KEYWORD:
		n->number = keyword_number(b, parse_atom(p));
		return;
	case ARG_DATE:
		n->number = (uint64_t)(parse_date(p) / DAY_SECONDS);
		return;
	case ARG_NUMBER:
		n->number = parse_number64(p);
		return;
	case ARG_SECONDS:
		n->number = parse_nz_number(p);
		return;
	case ARG_MODSEQ:
		n->number = parse_modseq(b);
		return;
	case ARG_ID:
		b->s->emailid |= n->op == OP_EMAILID;
		n->name = parse_astring(p);
		return;
	case ARG_HEADER:
		n->name = parse_astring(p);
		parse_sp(p);
		parse_needle(b, &n->needle);
		return;
	case ARG_FIELD:
		n->name = slice_str(k->name);
		parse_needle(b, &n->needle);
		return;
	case ARG_TEXT:
		parse_needle(b, &n->needle);
		return;
	}
}

static void
parse_named_key(struct builder *b)
{
	struct slice name = parse_until(b->p, " ()");
	struct search_node *n;
	size_t i = 0;

	while (i < NITEMS(keys) && !slice_is_nocase(name, keys[i].name))
		i++;
	if (i == NITEMS(keys)) {
		parse_fail(b->p, "Unknown search key");
		return;
	}
	n = add(b, keys[i].op);
	if (keys[i].op == OP_FLAGS || keys[i].op == OP_KEYWORD ||
	    keys[i].op == OP_UNKEYWORD || keys[i].op == OP_MODSEQ)
		b->s->flags = true;
	n->mask = keys[i].mask;
	n->number = keys[i].value;
	if (keys[i].argument != ARG_NONE)
		parse_sp(b->p);
	parse_argument(b, &keys[i], n);
}

static void
parse_key(struct builder *b)
{
	int c = parse_peek(b->p);

	if (c == '(') {
		parse_char(b->p, '(');
		add(b, OP_AND);
		open_frame(b, 0);
	} else if (c == '*' || c == '$' || (c >= '0' && c <= '9')) {
		parse_set(b, add(b, OP_SEQ));
	} else {
		parse_named_key(b);
	}
}

/* A key is complete, and with it perhaps those that waited for it. */
static void
close_frames(struct builder *b)
{
	while (b->depth > 0) {
		struct frame *f = &b->frames[b->depth - 1];

		if (f->left > 1) {
			f->left--;
			parse_sp(b->p);
			return;
		}
		if (f->left == 0 && b->depth > 1 && !parse_try(b->p, ')')) {
			parse_sp(b->p);
			return;
		}
		if (b->depth == 1 && parse_peek(b->p) != PARSE_END) {
			parse_sp(b->p);
			return;
		}
		b->depth--;
	}
}

static void
parse_keys(struct builder *b)
{
	add(b, OP_AND);
	open_frame(b, 0);
	while (b->depth > 0 && parse_error(b->p) == NULL) {
		unsigned depth = b->depth;

		parse_key(b);
		if (b->depth == depth)
			close_frames(b);
	}
}

static void
parse_charset(struct builder *b, enum search_charset how, bool *badcharset)
{
	if (how == SEARCH_CHARSET_NAMED) {
		if (!parse_try_word(b->p, "CHARSET"))
			return;
		parse_sp(b->p);
	}
	b->charset = parse_astring(b->p);
	parse_sp(b->p);
	if (parse_error(b->p) != NULL)
		return;
	b->s->charset = how == SEARCH_CHARSET_NAMED; /* SORT has to have one */
	if (!charset_is_known(b->charset)) {
		*badcharset = true;
		parse_fail(b->p, "Unknown charset");
	}
}

/* The keys that all have to be true: what of them is about flags. */
static void
find_flags(struct search *s)
{
	s->flags_only = true;
	for (unsigned i = 1; i < s->count; i++) {
		const struct search_node *n = &s->nodes[i];

		if (n->parent == 0 && n->op == OP_FLAGS &&
		    ((s->wanted_flags ^ n->number) & s->flags_mask & n->mask) ==
		        0) {
			s->flags_mask |= n->mask;
			s->wanted_flags |= (unsigned)n->number;
		} else if (n->parent != 0 || n->op != OP_ALL) {
			s->flags_only = false;
		}
	}
}

const char *
search_parse_keys(struct parse *p, struct search *s, enum search_charset how,
    bool *badcharset)
{
	struct builder b = { .p = p, .s = s };

	*badcharset = false;
	b.keywords =
	    arena_array(p->arena, SEARCH_KEYWORDS_MAX, sizeof(*b.keywords));
	parse_charset(&b, how, badcharset);
	parse_keys(&b);
	parse_end(p);
	s->nodes = b.nodes;
	s->count = b.count;
	s->keywords = b.keywords;
	s->nkeywords = b.nkeywords;
	if (parse_error(p) == NULL)
		find_flags(s);
	return parse_error(p);
}

const char *
search_parse(struct parse *p, struct search *s, bool *badcharset)
{
	search_parse_return(p, s);
	return search_parse_keys(p, s, SEARCH_CHARSET_NAMED, badcharset);
}

void
search_want_esearch(struct search *s)
{
	if (s->esearch)
		return;
	s->esearch = true;
	s->returns = SEARCH_RETURN_ALL;
}

void
search_bind(struct search *s, struct arena *a, uint32_t max_seq,
    uint32_t max_uid, const struct seqset *saved)
{
	for (unsigned i = 0; i < s->count; i++) {
		struct search_node *n = &s->nodes[i];

		if (n->op != OP_SEQ && n->op != OP_UID)
			continue;
		seqset_copy(a, &n->set, &n->sent);
		seqset_resolve(&n->set, n->op == OP_SEQ ? max_seq : max_uid);
		n->saved = n->sent.saved ? saved : NULL;
	}
}
