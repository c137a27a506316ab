/*
 * casefold_table: what each character becomes, for casefold only.
 */
#ifndef IMAP_CASEFOLD_TABLE_H
#define IMAP_CASEFOLD_TABLE_H

#include <stddef.h>
#include <stdint.h>

/*
 * text NULL: every character from first to last, or every second one, becomes
 * the one that is delta further.  Else text has what each of them becomes, in
 * UTF-8, with tabs between.
 */
struct casefold_span {
	uint32_t first, last;
	uint8_t step;
	int32_t delta;
	const char *text;
};

/* Ascending. */
extern const struct casefold_span casefold_spans[];
extern const size_t casefold_nspans;

#endif
