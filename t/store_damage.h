/*
 * store_damage: a mailbox with known messages, and whether what is served of
 * it is what was stored, when its files have been damaged.
 *
 * The law: what is served is what was stored, or it is said that it cannot be;
 * and when the mailbox is opened again all is there that anything is left of.
 */
#ifndef T_STORE_DAMAGE_H
#define T_STORE_DAMAGE_H

#include <stdbool.h>
#include <sys/types.h>

struct rig;

enum {
	DAMAGE_READABLE = 4 /* messages that are left */
};

/*
 * Six messages; the sixth is expunged, it is closed and opened again, and the
 * third is expunged.  between, or NULL: before it is opened, and then.
 */
typedef void damage_between(struct rig *r, bool opened);
void damage_make(struct rig *r, const char *id, damage_between *between);

/* As a session sees it, and then, if it is said to be damaged, as the next
 * one does.  *unreadable: messages that cannot be read. */
bool damage_is_safe(struct rig *r, const char *id, unsigned *unreadable);

enum damage_kind {
	DAMAGE_BIT,   /* one of the octet */
	DAMAGE_DIGIT, /* the same, so that a digit becomes another */
	DAMAGE_CUT,   /* the file ends before it */
	DAMAGE_LOST   /* there is no file */
};
void damage_file(const char *path, enum damage_kind kind, off_t at);

#endif
