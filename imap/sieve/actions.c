/* sieve: RFC 5228 4, RFC 5429, RFC 3894, RFC 5490. */
#include "imap/address.h"
#include "imap/sieve/program.h"
#include "lib/utf8.h"

/* Which names are the same mailbox: INBOX is in any case. */
static bool
is_same_mailbox(const struct sieve_action *a, const struct sieve_action *b)
{
	return slice_equal(a->mailbox, b->mailbox) ||
	       (slice_is_nocase(a->mailbox, "INBOX") &&
	           slice_is_nocase(b->mailbox, "INBOX"));
}

static bool
is_delivery(const struct sieve_action *a)
{
	return a->kind == SIEVE_KEEP || a->kind == SIEVE_FILEINTO ||
	       a->kind == SIEVE_REDIRECT;
}

static bool
is_rejection(const struct sieve_action *a)
{
	return a->kind == SIEVE_REJECT || a->kind == SIEVE_EREJECT;
}

/* RFC 5228 2.10.3: the same thing is done once. */
static struct sieve_action *
find_same(struct sieve_state *st, const struct sieve_action *action)
{
	for (unsigned i = 0; i < st->nactions; i++) {
		struct sieve_action *other = &st->actions[i];

		if (action->kind == SIEVE_REDIRECT) {
			if (other->kind == SIEVE_REDIRECT &&
			    slice_equal_nocase(other->address, action->address))
				return other;
		} else if (!is_rejection(action) &&
		           (other->kind == SIEVE_KEEP ||
		               other->kind == SIEVE_FILEINTO) &&
		           is_same_mailbox(other, action)) {
			return other;
		}
	}
	return NULL;
}

/* RFC 5429 2.1: a message is rejected or delivered, and rejected once. */
static bool
fits_others(struct sieve_state *st, const struct sieve_action *action)
{
	for (unsigned i = 0; i < st->nactions; i++)
		if (is_rejection(&st->actions[i]) ||
		    (is_rejection(action) && is_delivery(&st->actions[i])))
			return false;
	return true;
}

static void
add(struct sieve_state *st, struct sieve_action action)
{
	struct sieve_action *same = find_same(st, &action);

	if (same != NULL) {
		/* RFC 5232 3: the last flags win. */
		if (action.kind != SIEVE_REDIRECT) {
			same->flags = action.flags;
			same->nflags = action.nflags;
		}
		same->create |= action.create;
		return;
	}
	if (!fits_others(st, &action)) {
		sieve_fail(st, "a message cannot be rejected and delivered");
		return;
	}
	if (st->nactions == st->limits->actions) {
		sieve_fail(st, "too many actions");
		return;
	}
	if (st->now != NULL)
		action.line = st->now->line;
	st->actions[st->nactions++] = action;
}

void
sieve_keep(struct sieve_state *st, const struct sieve_instr *in)
{
	struct sieve_action action = { .kind = SIEVE_KEEP,
		.mailbox = slice_str("INBOX") };

	sieve_flags_of(st, in, &action);
	add(st, action);
	st->keep_cancelled = true;
}

void
sieve_discard(struct sieve_state *st, const struct sieve_instr *in)
{
	(void)in;
	st->keep_cancelled = true;
}

/* An argument, expanded, for the caller of sieve_run(). */
static struct slice
lasting(struct sieve_state *st, struct slice s)
{
	return arena_copy(st->results, sieve_expand(st, s));
}

void
sieve_fileinto(struct sieve_state *st, const struct sieve_instr *in)
{
	struct sieve_action action = { .kind = SIEVE_FILEINTO,
		.create = in->groups & GROUP_CREATE,
		.copy = in->groups & GROUP_COPY };

	action.mailbox = lasting(st, in->args[0].at[0]);
	if (action.mailbox.len == 0 || !utf8_valid(action.mailbox)) {
		sieve_fail(st, "fileinto: no name of a mailbox");
		return;
	}
	sieve_flags_of(st, in, &action);
	add(st, action);
	if (!action.copy)
		st->keep_cancelled = true;
}

/* One address with a host, and nothing in it that a peer could misread. */
static bool
is_address(struct slice s, struct slice *bare)
{
	struct address_list list;
	struct arena a;
	bool good;

	for (size_t i = 0; i < s.len; i++)
		if (s.ptr[i] < ' ' || s.ptr[i] >= 0x7f)
			return false;
	arena_init(&a);
	list = address_parse(&a, s);
	good = list.count == 1 && list.at[0].kind == ADDRESS_ONE &&
	       list.at[0].mailbox.len > 0 && list.at[0].host.len > 0 &&
	       s.len < 500;
	arena_reset(&a);
	*bare = s;
	if (good && slice_find(s, '<') < s.len) {
		bare->ptr += slice_rfind(s, '<') + 1;
		bare->len -= slice_rfind(s, '<') + 1;
		bare->len = slice_find(*bare, '>');
	}
	return good && slice_find(*bare, ' ') == bare->len &&
	       slice_find(*bare, '@') < bare->len;
}

const char *
sieve_check_redirect(const struct sieve_instr *in)
{
	struct slice s = in->args[0].at[0], bare;

	return sieve_is_constant(s) && !is_address(s, &bare) ? "not an address"
	                                                     : NULL;
}

void
sieve_redirect(struct sieve_state *st, const struct sieve_instr *in)
{
	struct sieve_action action = { .kind = SIEVE_REDIRECT,
		.copy = in->groups & GROUP_COPY };
	unsigned before = st->nactions;

	action.address = lasting(st, in->args[0].at[0]);
	if (!is_address(action.address, &action.address)) {
		sieve_fail(st, "redirect: not an address");
		return;
	}
	add(st, action);
	if (st->nactions > before)
		st->nredirects++;
	if (st->nredirects > st->limits->redirects)
		sieve_fail(st, "too many redirects");
	if (!action.copy)
		st->keep_cancelled = true;
}

static void
reject(struct sieve_state *st, const struct sieve_instr *in,
    enum sieve_action_kind kind)
{
	struct sieve_action action = { .kind = kind };

	action.text = lasting(st, in->args[0].at[0]);
	add(st, action);
	st->keep_cancelled = true;
}

void
sieve_reject(struct sieve_state *st, const struct sieve_instr *in)
{
	reject(st, in, SIEVE_REJECT);
}

void
sieve_ereject(struct sieve_state *st, const struct sieve_instr *in)
{
	reject(st, in, SIEVE_EREJECT);
}

/* One more than limits.actions is there, for what nobody asked for. */
void
sieve_finish(struct sieve_state *st, struct sieve_result *result)
{
	struct sieve_action *last = &st->actions[st->nactions];

	if (!st->keep_cancelled) {
		struct sieve_action keep = { .kind = SIEVE_KEEP,
			.implicit = true,
			.mailbox = slice_str("INBOX") };

		sieve_flags_of(st, NULL, &keep);
		if (find_same(st, &keep) == NULL) {
			*last = keep;
			st->nactions++;
		}
	} else if (st->nactions == 0) {
		*last = (struct sieve_action){ .kind = SIEVE_DISCARD };
		st->nactions++;
	}
	*result = (struct sieve_result){ st->actions, st->nactions };
}
