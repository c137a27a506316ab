/*
 * namespace: RFC 2342's response, made from the layout of names.
 */
#ifndef IMAP_NAMESPACE_H
#define IMAP_NAMESPACE_H

#include "imap/mboxname.h"
#include "imap/write.h"

/* "* NAMESPACE ((...)) ((...)) ((...))" CR LF */
void namespace_write(struct write *w, const struct mboxname_layout *layout);

#endif
