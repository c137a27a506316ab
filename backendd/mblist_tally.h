/*
 * mblist_tally: the digest of what the update server should say of this
 * server, kept up to date with the list.
 *
 * It is counted in slices after the start, and again if the disk has made the
 * keeper take changes back.  While that goes on, changes of what has been
 * counted are counted, and those of the rest are found when it is reached.
 */
#ifndef BACKENDD_MBLIST_TALLY_H
#define BACKENDD_MBLIST_TALLY_H

struct mblist;
struct mboxdigest;
struct mboxrec;
struct tally;

/* Begins to count. */
struct tally *tally_new(struct mblist *l);
void tally_free(struct tally **tp);

/* A record is about to change; NULL: none was, or none will be. */
void tally_change(struct tally *t, const char *name, const struct mboxrec *was,
    const struct mboxrec *will_be);

/* Something was taken back: count again. */
void tally_reset(struct tally *t);

/* NULL while it is being counted.  Borrowed until something changes. */
const struct mboxdigest *tally_get(const struct tally *t);

/*
 * Called once, when it has been counted; never from inside.  One at a time;
 * NULL: not any more.
 */
typedef void tally_cb(void *arg);
void tally_await(struct tally *t, tally_cb *cb, void *arg);

#endif
