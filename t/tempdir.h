/*
 * tempdir: a directory for one test, gone afterwards.
 */
#ifndef T_TEMPDIR_H
#define T_TEMPDIR_H

/* Makes one under $TMPDIR, or where it is quick; dir has room for 64 octets. */
void tempdir_make(char dir[64]);

/* With all that is in it. */
void tempdir_remove(const char *dir);

#endif
