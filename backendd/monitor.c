#include <stddef.h>
#include <string.h>

#include "backendd/announce.h"
#include "backendd/mblist.h"
#include "backendd/monitor.h"
#include "backendd/quota.h"
#include "backendd/server.h"
#include "backendd/store.h"
#include "lib/admin.h"
#include "lib/buf.h"

static uint64_t
sessions(void *arg)
{
	const struct backendd *bd = arg;

	return bd->nsessions;
}

static uint64_t
deliveries(void *arg)
{
	const struct backendd *bd = arg;

	return bd->ndeliveries;
}

static uint64_t
unsettled(void *arg)
{
	const struct backendd *bd = arg;

	return mblist_unsettled(bd->list);
}

static uint64_t
withheld(void *arg)
{
	const struct backendd *bd = arg;

	return mblist_counts(bd->list)->withheld;
}

static uint64_t
damaged(void *arg)
{
	const struct backendd *bd = arg;

	return mblist_counts(bd->list)->damaged;
}

static bool
stores_are_well(void *arg, struct buf *line)
{
	const struct backendd *bd = arg;

	for (size_t i = 0; i < bd->npartitions; i++) {
		const char *why = store_trouble(bd->partitions[i].store);

		if (why != NULL) {
			buf_printf(line, "partition %s: %s",
			    bd->partitions[i].name, why);
			return false;
		}
		if (store_is_full(bd->partitions[i].store)) {
			buf_printf(line, "partition %s: the disk is full",
			    bd->partitions[i].name);
			return false;
		}
	}
	buf_puts(line, "changes are stored");
	return true;
}

static bool
update_server_is_well(void *arg, struct buf *line)
{
	const struct backendd *bd = arg;
	const struct mblist_counts *n = mblist_counts(bd->list);

	if (bd->announce == NULL) {
		buf_puts(line, "none is configured");
		return true;
	}
	if (n->withheld > 0) {
		buf_printf(line,
		    "%llu mailboxes said to be here are not: see the log",
		    (unsigned long long)n->withheld);
		return false;
	}
	if (!announce_is_up(bd->announce)) {
		buf_puts(line, "it cannot be reached: the list of mailboxes "
		               "cannot be changed");
		return false;
	}
	buf_printf(line, "connected, %zu names to be told",
	    mblist_unsettled(bd->list));
	return true;
}

/* Of one of store_counts' members, over all partitions. */
static uint64_t
sum_of(const struct backendd *bd, size_t member)
{
	uint64_t n = 0, one;

	for (size_t i = 0; i < bd->npartitions; i++) {
		memcpy(&one,
		    (const char *)store_counts(bd->partitions[i].store) +
		        member,
		    sizeof one);
		n += one;
	}
	return n;
}

static uint64_t
damaged_messages(void *arg)
{
	return sum_of(arg, offsetof(struct store_counts, damaged_messages));
}

static uint64_t
damaged_mailboxes(void *arg)
{
	return sum_of(arg, offsetof(struct store_counts, damaged_mailboxes));
}

static uint64_t
rebuilt_mailboxes(void *arg)
{
	return sum_of(arg, offsetof(struct store_counts, rebuilt));
}

static uint64_t
lost_names(void *arg)
{
	return sum_of(arg, offsetof(struct store_counts, names_lost));
}

static uint64_t
freed_octets(void *arg)
{
	return sum_of(arg, offsetof(struct store_counts, freed_octets));
}

static void
register_stores(struct admin *a, struct backendd *bd)
{
	admin_gauge(a, "murder_damaged_messages",
	    "Times that a message turned out to be damaged when it was read.",
	    damaged_messages, bd);
	admin_gauge(a, "murder_damaged_mailboxes",
	    "Times that the index of a mailbox turned out to be damaged.",
	    damaged_mailboxes, bd);
	admin_gauge(a, "murder_rebuilt_mailboxes",
	    "Damaged mailboxes that were made anew from their messages.",
	    rebuilt_mailboxes, bd);
	admin_gauge(a, "murder_lost_names",
	    "Mailboxes rebuilt without their keywords, which were damaged.",
	    lost_names, bd);
	admin_gauge(a, "murder_freed_octets",
	    "Octets of data files that were of no use and have gone.",
	    freed_octets, bd);
}

void
monitor_register(struct admin *a, struct backendd *bd)
{
	const struct mblist_counts *n = mblist_counts(bd->list);
	const struct quota_counts *q = quota_counts(bd->quotas);

	admin_gauge(a, "murder_sessions", "IMAP sessions now.", sessions, bd);
	admin_gauge(a, "murder_deliveries", "LMTP sessions now.", deliveries,
	    bd);
	admin_gauge(a, "murder_unsettled",
	    "Names that the update server has not been told of yet.", unsettled,
	    bd);
	admin_gauge(a, "murder_withheld",
	    "Mailboxes published as being here that are not, kept until an "
	    "administrator accepts it.",
	    withheld, bd);
	admin_gauge(a, "murder_damaged",
	    "Mailboxes lost when the list was made anew from the spool.",
	    damaged, bd);
	admin_counter(a, "murder_quarantined_total",
	    "Mailboxes set aside because another server has their name.",
	    &n->quarantined);
	admin_counter(a, "murder_conflicts_total",
	    "Names found to be another server's, too.", &n->conflicts);
	admin_counter(a, "murder_compared_total",
	    "Comparisons of the list with the update server's.", &n->compared);
	admin_counter(a, "murder_quota_refused_total",
	    "What was refused because it would have exceeded a quota.",
	    &q->refused);
	admin_counter(a, "murder_quota_warnings_total",
	    "Times that a percentage of quota_warnings was reached.",
	    &q->warned);
	register_stores(a, bd);
	admin_health(a, "storage", stores_are_well, bd);
	admin_health(a, "update_server", update_server_is_well, bd);
}
