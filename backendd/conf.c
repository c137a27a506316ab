#include <string.h>

#include "backendd/conf.h"
#include "backendd/creator.h"
#include "backendd/quota_warning.h"
#include "imap/mboxrec.h"
#include "imap/mupdate_conf.h"
#include "lib/err.h"
#include "lib/slice.h"
#include "lib/tls_conf.h"

#define AT(member) offsetof(struct backendd_conf, member)

/* clang-format off */
static const struct conf_item items[] = {
	DAEMON_ITEMS(struct backendd_conf),
	AUTH_ITEMS(struct backendd_conf),
	{ "hostname", CONF_STRING, AT(hostname), "localhost", 0, 0, NULL,
	    "Name of this server: in greetings, and as the update server's "
	    "list has it." },
	{ "directory", CONF_STRING, AT(directory), "/var/lib/murder/backendd",
	    0, 0, NULL, "Where the mailbox list and users' data are kept." },
	{ "partition", CONF_LIST, AT(partitions), NULL, 0, 0, NULL,
	    "NAME /DIRECTORY of a place for mailboxes; the first is the "
	    "default." },
	{ "maildir", CONF_LIST, AT(maildirs), NULL, 0, 0, NULL,
	    "NAME LAYOUT of a partition that is a tree of Maildirs, such as "
	    "old %u/Maildir." },
	{ "temp_directory", CONF_STRING, AT(temp_directory), "/tmp", 0, 0,
	    NULL, "Where large messages are kept until they are stored." },
	{ "job_threads", CONF_NUMBER, AT(job_threads), "8", 1, 256, NULL,
	    "Threads that read and write disks." },
	{ "listen", CONF_LIST, AT(listen), NULL, 0, 0, NULL,
	    "Address for IMAP, such as *:143; repeat for more." },
	{ "listen_tls", CONF_LIST, AT(listen_tls), NULL, 0, 0, NULL,
	    "Address for IMAP with TLS from the start, such as *:993." },
	{ "lmtp_listen", CONF_LIST, AT(lmtp_listen), NULL, 0, 0, NULL,
	    "Address for LMTP, such as 192.0.2.1:24." },
	{ "admin_socket", CONF_LIST, AT(admin_sockets), NULL, 0, 0, NULL,
	    "Path of a socket for backendadm, such as "
	    "/run/murder/backendadm; it is our user's and root's alone." },
	TLS_ITEMS(struct backendd_conf),
	MBOXNAME_ITEMS(struct backendd_conf),
	{ "virtual_domains", CONF_BOOL, AT(virtual_domains), "no", 0, 0, NULL,
	    "Users are user@domain, and each domain has its own mailboxes." },
	{ "default_domain", CONF_STRING, AT(default_domain), NULL, 0, 0, NULL,
	    "Domain whose users need not say it." },
	{ "admin", CONF_LIST, AT(admins), NULL, 0, 0, NULL,
	    "User who may see, make, delete and share every mailbox; repeat "
	    "for more." },
	{ "proxy_servers", CONF_LIST, AT(proxy_servers), NULL, 0, 0, NULL,
	    "Name by which a frontend logs in, to act for any user; repeat "
	    "for more." },
	{ "autocreate", CONF_CHOICE, AT(autocreate), "auto", 0, 0,
	    "auto yes no trial reserve off",
	    "For whom to make an INBOX at the first login or message; auto: "
	    "trial without an update server, off with one." },
	{ "account", CONF_LIST, AT(accounts), NULL, 0, 0, NULL,
	    "NAME KEY=VALUE ... of a user whose mailboxes are made otherwise "
	    "than others'; repeat for more." },
	{ "special_use", CONF_LIST, AT(special_use), NULL, 0, 0, NULL,
	    "\\USE NAME of a mailbox to make together with an INBOX, such as "
	    "\\Sent Sent; repeat for more." },
	MUPDATE_ITEMS(struct backendd_conf, mupdate_),
	MUPDATE_PASSWORD_ITEM(struct backendd_conf, mupdate_),
	MUPDATE_TLS_ITEMS(struct backendd_conf, mupdate_),
	{ "publish_timeout", CONF_DURATION, AT(publish_ms), "20s", 10, 0, NULL,
	    "How long a change of the list waits for the update server's "
	    "word before it is taken back, and how long it waits for the "
	    "connection to it before it is refused." },
	{ "compare_interval", CONF_DURATION, AT(compare_ms), "5m", 100, 0,
	    NULL,
	    "How often the list is compared with the update server's, beside "
	    "at each connection." },
	{ "list_shrink", CONF_NUMBER, AT(list_shrink), "50", 0, 100, NULL,
	    "Percent of the mailboxes published as being here that may be "
	    "lacking before an administrator is asked; ten always may." },
	{ "max_sessions", CONF_NUMBER, AT(max_sessions), "1000000", 1, 0,
	    NULL, "IMAP sessions; more have to wait." },
	{ "max_deliveries", CONF_NUMBER, AT(max_deliveries), "10000", 1, 0,
	    NULL, "LMTP sessions; more have to wait." },
	{ "max_message", CONF_SIZE, AT(message_size), "50M", 1024, 0, NULL,
	    "Octets of a message." },
	{ "message_memory", CONF_SIZE, AT(message_memory), "64k", 4096,
	    16777216, NULL,
	    "Octets of a message on its way in that are kept in memory." },
	{ "max_append_messages", CONF_NUMBER, AT(append_messages), "4096", 1,
	    4096, NULL, "Messages of one APPEND, or texts of its CATENATEs." },
	{ "max_append", CONF_SIZE, AT(append_size), "256M", 1024, 0, NULL,
	    "Octets of the messages of one APPEND, together." },
	{ "max_append_memory", CONF_SIZE, AT(append_memory), "64M", 0, 0, NULL,
	    "Octets of messages on their way in that are kept in memory, all "
	    "clients' together; what is more waits in temporary files." },
	{ "literals", CONF_CHOICE, AT(literals), "plus", 0, 0, "plus minus",
	    "What clients may send without waiting: LITERAL+, literals of any "
	    "size, or LITERAL-, at most 4096 octets." },
	{ "compress", CONF_BOOL, AT(compress), "yes", 0, 0, NULL,
	    "Let clients have the connection compressed, by COMPRESS." },
	{ "max_line", CONF_SIZE, AT(command_size), "64k", 8192, 1048576, NULL,
	    "Octets of a command, its literals not counted." },
	{ "max_literal", CONF_SIZE, AT(literal_size), "1M", 8192, 67108864,
	    NULL, "Octets of a command's literals, messages not counted." },
	{ "max_output", CONF_SIZE, AT(output_size), "512k", 262144, 67108864,
	    NULL, "Octets that may wait for a client to read them." },
	{ "login_timeout", CONF_DURATION, AT(login_ms), "60s", 1000, 0, NULL,
	    "How long a client may take to log in." },
	{ "idle_timeout", CONF_DURATION, AT(idle_ms), "30m", 1000, 0, NULL,
	    "How long a client may be silent." },
	{ "park_after", CONF_DURATION, AT(park_ms), "5m", 0, 0, NULL,
	    "How long a client is silent before its selected mailbox may be "
	    "closed until it is needed; 0: never." },
	{ "progress_interval", CONF_DURATION, AT(progress_ms), "10s", 1, 0,
	    NULL,
	    "How often a client is told how far a long search has come." },
	{ "message_timeout", CONF_DURATION, AT(message_ms), "30m", 1000, 0,
	    NULL, "How long a mail sender may take from MAIL to the end of "
	    "the message." },
	{ "lmtp_timeout", CONF_DURATION, AT(lmtp_idle_ms), "5m", 1000, 0,
	    NULL, "How long a mail sender may be silent." },
	{ "max_bad_commands", CONF_NUMBER, AT(bad_commands), "20", 1, 0, NULL,
	    "Bad commands in a row, or failed logins, before BYE." },
	{ "max_recipients", CONF_NUMBER, AT(max_recipients), "1000", 1,
	    10000, NULL, "Recipients of one message." },
	{ "quota_storage", CONF_SIZE, AT(quota_storage), "0", 0, 0, NULL,
	    "Octets a new user's mailboxes may have together; 0: no limit." },
	{ "quota_messages", CONF_NUMBER, AT(quota_messages), "0", 0, 0, NULL,
	    "Messages a new user may have; 0: no limit." },
	{ "quota_mailboxes", CONF_NUMBER, AT(quota_mailboxes), "0", 0, 0,
	    NULL, "Mailboxes a new user may have; 0: no limit." },
	{ "quota_warnings", CONF_STRING, AT(quota_warnings), "90", 0, 0, NULL,
	    "Percentages of a quota at which users and the log are told, "
	    "separated by spaces." },
	{ "over_quota", CONF_CHOICE, AT(over_quota), "later", 0, 0,
	    "later reject",
	    "Answer to mail for whom is over quota: 452, try again, or 552." },
	{ "metadata_size", CONF_SIZE, AT(metadata_size), "64k", 1024,
	    131072, NULL, "Octets of an annotation." },
	{ "metadata_entries", CONF_NUMBER, AT(metadata_entries), "100", 10,
	    10000, NULL,
	    "Annotations of a mailbox: those that are shared, and each "
	    "user's." },
	{ "metadata_total", CONF_SIZE, AT(metadata_total), "1M", 10240,
	    1073741824, NULL,
	    "Octets of all of a user's annotations, and of a mailbox's that "
	    "are shared." },
	{ "admin_contact", CONF_STRING, AT(admin_contact), NULL, 0, 0, NULL,
	    "URI by which users reach the administrator, such as "
	    "mailto:postmaster@example.org." },
	{ "max_scripts", CONF_NUMBER, AT(scripts_count), "32", 1, 10000, NULL,
	    "Sieve scripts of a user." },
	{ "max_script", CONF_SIZE, AT(script_size), "256k", 1024, 1048576,
	    NULL, "Octets of a Sieve script." },
	{ "duplicate_time", CONF_DURATION, AT(duplicate_ms), "3d", 60000, 0,
	    NULL,
	    "How long to remember what was delivered or answered, not to do "
	    "it twice." },
	{ "expunge_delay", CONF_DURATION, AT(expunge_delay_ms), "3d", 0, 0,
	    NULL,
	    "How long an administrator can bring back what was expunged; 0: "
	    "not at all." },
	{ "delete_delay", CONF_DURATION, AT(delete_delay_ms), "3d", 0, 0,
	    NULL,
	    "How long an administrator can bring back a mailbox that was "
	    "deleted; 0: not at all." },
	{ "compact_percent", CONF_NUMBER, AT(compact_percent), "30", 0, 99,
	    NULL,
	    "Percent of a data file that may be of no use before the rest of "
	    "it is moved and it is removed; 0: never." },
	{ "compact_rate", CONF_SIZE, AT(compact_rate), "20M", 0, 0, NULL,
	    "Octets a second that this moves; 0: as fast as can be." },
	{ "reserve", CONF_SIZE, AT(reserve), "160M", 0, 0, NULL,
	    "Octets of each partition's disk that messages leave free." },
};
/* clang-format on */

/* "NAME REST": both there, and a name that may stand in a location. */
static bool
is_partition(struct slice s)
{
	size_t space = slice_find(s, ' ');

	for (size_t i = 0; i < space; i++) {
		uint8_t c = s.ptr[i];

		if (c <= ' ' || c >= 0x7f || c == '!' || c == '"' ||
		    c == '\\' || c == '(' || c == ')')
			return false;
	}
	return space > 0 && space <= 64 && space + 1 < s.len;
}

static int
check_partitions(const struct backendd_conf *c, struct err *err)
{
	if (c->partitions.count == 0)
		return err_set(err,
		    "no partition: say \"partition = default /DIRECTORY\"");
	for (size_t i = 0; i < c->partitions.count; i++) {
		struct slice s = slice_str(c->partitions.items[i]);

		if (!is_partition(s))
			return err_set(err,
			    "partition = %s: not \"NAME /DIRECTORY\"",
			    c->partitions.items[i]);
		s = slice_first(s, slice_find(s, ' ') + 1);
		for (size_t j = 0; j < i; j++)
			if (slice_starts(slice_str(c->partitions.items[j]), s))
				return err_set(err,
				    "partition = %s: the name is used twice",
				    c->partitions.items[i]);
	}
	return 0;
}

/* "NAME LAYOUT", of a partition that there is. */
static int
check_maildirs(const struct backendd_conf *c, struct err *err)
{
	for (size_t i = 0; i < c->maildirs.count; i++) {
		struct slice s = slice_str(c->maildirs.items[i]);
		size_t space = slice_find(s, ' ');
		bool found = false;

		if (space + 1 >= s.len)
			return err_set(err, "maildir = %s: not \"NAME LAYOUT\"",
			    c->maildirs.items[i]);
		for (size_t j = 0; j < c->partitions.count; j++)
			found |= slice_starts(slice_str(c->partitions.items[j]),
			    slice_first(s, space + 1));
		if (!found)
			return err_set(err, "maildir = %s: no such partition",
			    c->maildirs.items[i]);
	}
	return 0;
}

static int
check(const void *conf, struct err *err)
{
	const struct backendd_conf *c = conf;

	if (check_partitions(c, err) == -1 || check_maildirs(c, err) == -1)
		return -1;
	for (size_t i = 0; i < c->special_use.count; i++) {
		const char *use = c->special_use.items[i];
		const char *space = strchr(use, ' ');

		if (space == NULL || space[1] == '\0' ||
		    !mboxrec_is_special_use(
		        slice_of(use, (size_t)(space - use))))
			return err_set(err,
			    "special_use = %s: not \"\\USE NAME\"", use);
	}
	if (creator_check(&c->accounts, &c->partitions, err) == -1)
		return -1;
	if (quota_warning_check(c->quota_warnings, err) == -1)
		return -1;
	if (tls_conf_check(c->tls_cert, c->tls_key, &c->listen_tls, err) == -1)
		return -1;
	if (strlen(c->hostname) > 150 || strchr(c->hostname, '!') != NULL)
		return err_set(err, "hostname = %s: too long, or has a '!'",
		    c->hostname);
	if (c->mupdate_server != NULL && c->mupdate_user == NULL &&
	    c->mupdate_cert == NULL)
		return err_set(err,
		    "mupdate_server needs mupdate_user and mupdate_password");
	return 0;
}

const struct conf_table backendd_conf_table = {
	.items = items,
	.count = NITEMS(items),
	.size = sizeof(struct backendd_conf),
	.check = check,
};
