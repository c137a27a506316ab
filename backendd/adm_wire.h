/*
 * adm_wire: what backendadm asks of a backendd that runs, over admin_socket.
 *
 * Messages of lib/ipc, their types below, their payloads of lib/wire.  One
 * request at a time; an answer is as many ADM_PARTs as it takes and then
 * ADM_DONE or ADM_REFUSED (text), with the request's id.  Each request is little
 * work, so what takes long is asked for in pieces, and how far it is only the
 * tool knows.  What is not of this form ends the connection.
 *
 * A connection has one mailbox open.
 */
#ifndef BACKENDD_ADM_WIRE_H
#define BACKENDD_ADM_WIRE_H

enum {
	ADM_VERSION = 1,
	ADM_ROWS_MAX = 512,    /* in an answer */
	ADM_PARTS_MAX = 256,   /* of ADM_READ, and messages of ADM_UNDELETE */
	ADM_PIECE = 32 * 1024, /* octets of messages in one ipc message */
	ADM_READ_MAX = 1024 * 1024,     /* octets that one ADM_READ gives */
	ADM_CHECK_MAX = 8 * 1024 * 1024 /* ...or looks at, giving none */
};

enum adm_request {
	/* u32 version.  Done: nothing. */
	ADM_HELLO = 1,

	/*
	 * str partition, u8 first.  Parts: slice mailboxid, slice name.  Done: u8 more: to be asked again, first being 0.
	 */
	ADM_LIST,

	/* str name.  Done: slice mailboxid.  What was open is closed. */
	ADM_OPEN,

	/*
	 * u32 uid, u32 keywords known.  Part: keyword names beyond those, slice
	 * each.  Parts: rows of messages from uid on (adm_wire_row).  Done:
	 * u8 more.
	 */
	ADM_ROWS,

	/*
	 * u8 check, u32 n, then n of: u32 uid, u8 held, u64 offset, u64 len.
	 * Parts: u32 which, u8 failed, slice octets or why; in order, one part
	 * in several pieces perhaps.  If check, only what failed is said.
	 */
	ADM_READ,

	/* u32 uid.  Part: held messages above uid (adm_wire_held).  Done: u8
	   more. */
	ADM_HELD,

	/*
	 * u32 n, then n of: u32 uid, u32 flags, u64 keywords[2].  Done: n of: u8
	 * outcome (enum store_outcome), u32 new uid.  All or none.
	 */
	ADM_UNDELETE,

	/* octets of a message to come, a piece.  Done: the next may be sent. */
	ADM_OCTETS,

	/*
	 * That was all of it.  u32 flags, u64 internaldate, u32 n, n slices of
	 * keywords.  Done: u32 uid.
	 */
	ADM_APPEND,

	/*
	 * str deleted mailbox, str name it is to have.  Done: nothing; it is
	 * published.
	 */
	ADM_RESTORE
};

enum adm_answer {
	ADM_PART = 100,
	ADM_DONE,
	ADM_REFUSED
};

/* Where the octets of a row are: u32 uid, u32 flags, u64 keywords[2], u64
 * internaldate, u16 zone, u64 size; of one that is held u64 expunged, too. */

#endif
