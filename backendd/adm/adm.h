/*
 * adm: what the commands of backendadm share.
 *
 * It is the store without a server: partitions are opened as backendd opens
 * them, so no backendd has them meanwhile, and are asked one thing at a time.
 * Mailboxes are known by what their partition says of them, whatever has become
 * of the list.  If a backendd has the partitions, and an admin_socket, that is
 * asked instead (remote.h).
 */
#ifndef BACKENDD_ADM_ADM_H
#define BACKENDD_ADM_ADM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "backendd/store.h"
#include "lib/cdefs.h"
#include "lib/out.h"
#include "lib/progress.h"
#include "lib/slice.h"

struct backendd_conf;
struct err;
struct jobs;
struct log;
struct loop;
struct remote;

enum adm_exit {
	ADM_OK,
	ADM_FAILED, /* or something is damaged */
	ADM_USAGE
};

struct adm_partition {
	char *name, *dir;
	struct store *store;
};

/* A mailbox, as its partition has it. */
struct adm_box {
	struct adm_partition *partition;
	char *name;         /* internal; "" if that is not known */
	const char *damage; /* static; NULL: none */
	char id[STORE_ID_MAX + 1];
};

struct adm {
	const struct backendd_conf *conf;
	struct loop *loop;
	struct jobs *jobs;
	struct log *log;
	int fd;                /* to a backendd that runs; -1: none */
	struct remote *remote; /* then */
	struct adm_partition *partitions;
	size_t npartitions;
	struct adm_box *boxes; /* by name */
	size_t nboxes;
	bool json, look_only;
	struct out out;

	char **words; /* arguments of the command */
	size_t nwords;
	bool mbox, all; /* --mbox, --all */

	size_t due; /* call backs */
	const char *why;
	struct store_mailbox *opened;
	struct store_chunk *chunk;
};

/* Blocks until the partitions have replayed their logs; finds all mailboxes. */
int adm_open(struct adm *a, struct err *err) MUST_CHECK;
void adm_close(struct adm *a);

/* By internal name or MAILBOXID; NULL, and it is said. */
struct adm_box *adm_find(struct adm *a, const char *name);

/* Expects an answer; then asks; then waits.  NULL, or why not. */
void adm_ask(struct adm *a);
const char *adm_wait(struct adm *a);
void adm_answer(void *arg, const char *why); /* a store_cb */

/* NULL, and it is said. */
struct store_mailbox *adm_open_box(struct adm *a, const struct adm_box *box);

/* The first octets of a message, or why not; until adm_forget(). */
const char *adm_read(struct adm *a, struct store_mailbox *mb, uint32_t uid,
    uint64_t most, struct slice *octets);
const char *adm_read_held(struct adm *a, struct store_mailbox *mb, uint32_t uid,
    uint64_t most, struct slice *octets);
void adm_forget(struct adm *a);

/* "backendadm: text" to standard error; ADM_FAILED. */
enum adm_exit adm_fail(const char *format, ...)
    __attribute__((format(printf, 1, 2)));

/* Line ends. */
struct buf;
void adm_to_lf(struct buf *out, struct slice in);
void adm_to_crlf(struct buf *out, struct slice in);

/* --- commands ---------------------------------------------------------------- */

enum adm_exit adm_list(struct adm *a);
enum adm_exit adm_verify(struct adm *a);
enum adm_exit adm_rebuild(struct adm *a);
enum adm_exit adm_expunged(struct adm *a);
enum adm_exit adm_undelete(struct adm *a);
enum adm_exit adm_export(struct adm *a);
enum adm_exit adm_import(struct adm *a);
enum adm_exit adm_restore(struct adm *a);

/* --- messages in files --------------------------------------------------------- */

/* A message on its way in or out. */
struct adm_message {
	struct slice octets; /* lines end in LF */
	uint32_t flags;      /* of enum store_flag */
	const char *const *keywords;
	size_t nkeywords;
	int64_t internaldate;
	uint32_t uid; /* out only */
};

struct adm_maildir;
struct adm_maildir *adm_maildir_new(const char *dir, struct err *err);
int adm_maildir_put(struct adm_maildir *d, const struct adm_message *m,
    struct err *err) MUST_CHECK;

/* Syncs and frees. */
int adm_maildir_end(struct adm_maildir **dp, struct err *err) MUST_CHECK;

/* A new file.  ferror() tells what went wrong. */
void adm_mbox_put(FILE *f, const struct adm_message *m);

/* Each message; false stops.  octets and keywords are borrowed. */
typedef bool adm_take(void *arg, const struct adm_message *m);
int adm_maildir_each(const char *dir, uint64_t most, adm_take *take, void *arg,
    struct err *err) MUST_CHECK;
int adm_mbox_each(const char *file, uint64_t most, adm_take *take, void *arg,
    struct err *err) MUST_CHECK;

#endif
