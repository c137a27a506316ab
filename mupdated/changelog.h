/*
 * changelog: the names changed lately, by revision, so that who missed a few
 * changes is told those and not the list.
 *
 * Bounded: the oldest go first, and the floor says up to where nothing is known
 * any more.  It keeps names and whether the change was a deletion; what is so
 * now is the list's to say.
 */
#ifndef MUPDATED_CHANGELOG_H
#define MUPDATED_CHANGELOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/slice.h"

struct changelog;

struct change {
	uint64_t revision;
	struct slice name; /* borrowed, until the next put */
	bool gone;
};

struct changelog *changelog_new(size_t max);
void changelog_free(struct changelog **cp);

/* Nothing is known, up to floor. */
void changelog_reset(struct changelog *c, uint64_t floor);

/* Revisions ascend.  Makes room first, by dropping the oldest. */
void changelog_put(struct changelog *c, const struct change *change);

/* The last put, if it was of this revision, was none; what it dropped stays
 * dropped. */
void changelog_take_back(struct changelog *c, uint64_t revision);

/* What the next put will drop; false if it will drop nothing. */
bool changelog_next_drop(const struct changelog *c, struct change *oldest);

/* For filling it at a start, in any order; changelog_sort() ends that. */
void changelog_offer(struct changelog *c, const struct change *change);
void changelog_sort(struct changelog *c);

/* What came after this revision, or later, is known. */
uint64_t changelog_floor(const struct changelog *c);

/* The first change after revision; false if there is none. */
bool changelog_after(const struct changelog *c, uint64_t revision,
    struct change *change);

size_t changelog_count(const struct changelog *c);

#endif
