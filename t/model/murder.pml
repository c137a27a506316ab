/*
 * murder: reserve, activate, rename, fence and reconcile; two backends, one
 * update server, one frontend; each may crash, and each connection break, at
 * any point.
 *
 * What is on a disk survives a crash; all else, and what is under way on a
 * connection, is lost, except that octets which the update server has received
 * but not read may still be read after its peer has come back.
 *
 * Steps, as the comments in the code name them:
 *
 *   backendd/mblist_create.c
 *     CREATE:reserve      ask for the name; granted with a generation
 *     CREATE:make         the mailbox in the store
 *     CREATE:commit       the local list, durable
 *     CREATE:publish      OK when the update server has acknowledged it
 *     CREATE:undo         it has not in time, or the name is another's by now:
 *                         the local list as it was, NO, then release the name
 *   backendd/mblist_delete.c
 *     DELETE:deactivate   nobody sees it, nobody else may have it
 *     DELETE:commit       gone from the local list
 *     DELETE:release      the name is free
 *   backendd/mblist_rename.c, mblist_note.c
 *     RENAME:reserve      the new name
 *     RENAME:both         listed here under both names, and a note of it
 *     RENAME:publish      the new name
 *     RENAME:commit       the old one unlisted here: now it counts
 *     RENAME:release      the old name
 *     RENAME:undo         the new one unlisted here, and released
 *     RENAME:recover      the same, after a crash
 *   backendd/mblist_settle.c
 *     SETTLE:want         the update server may not say of it what the list
 *                         says
 *     SETTLE:say          activate or delete, by what the list says now
 *     SETTLE:conflict     another has it: tell who waits, or
 *     SETTLE:aside        to quarantine
 *   backendd/mblist_sync.c
 *     RECONCILE:list      what does the update server say is ours?
 *     RECONCILE:want      what differs
 *     RECONCILE:release   what is there and not here, when that is said
 *   mupdated/rules.c, list.c, leases.c
 *     LIST:reserve LIST:activate LIST:deactivate LIST:delete
 *     LIST:takeover       by a generation that the list does not remember
 *     LIST:lease          a reservation ends, its owner being away
 *     LIST:sync           durable; only now is it answered and told
 *   mupdated/server.c
 *     SESSION:fence       a host's new session ends its old one
 *     SESSION:loser       who loses a name behind its back comes again
 *   proxyd/front*.c, mirror.c
 *     FRONT:difference    what can be seen, then what no longer can
 *     FRONT:entry FRONT:gone FRONT:barrier
 *
 * model.t runs this file once for each of its configurations, and once for
 * each of the M_ macros, the mutations: each leaves out one thing that matters,
 * and must fail.
 *
 * Not here: ACLs, subtrees, comparing by digest (here always in full) and again
 * from time to time, and the frontend's own repeating of a change whose answer
 * was lost.
 */

/* --- configurations: one of these, by -D ------------------------------------ */

#if defined(CREATE) /* both backends make and delete one name */
#define NAMES 1
#define OPS_A 2
#define OPS_B 1
#define MAY_CREATE(b, n) true
#define MAY_DELETE(b, n) (b == A)
#define MAY_FAIL true
#elif defined(DELETE) /* a mailbox is there; it may go, and come elsewhere */
#define NAMES 1
#define OPS_A 2
#define OPS_B 1
#define MAY_CREATE(b, n) true
#define MAY_DELETE(b, n) true
#define MAY_FAIL true
#define INIT put(0, ACTIVE, A, 1); exists(A, 0, 1)
#elif defined(DEATH) /* a backend goes, and never comes back */
#define NAMES 1
#define OPS_A 1
#define OPS_B 1
#define MAY_CREATE(b, n) true
#define DIES
#elif defined(RENAME) /* one is renamed, the other wants the name */
#define NAMES 2
#define OPS_A 1
#define OPS_B 1
#define MAY_CREATE(b, n) (b == B)
#define MAY_RENAME(b, n, m) (b == A)
#define MAY_FAIL true
#define INIT put(0, ACTIVE, A, 1); exists(A, 0, 1)
#define NEITHER !(LISTED(A, 0) || LISTED(A, 1))
#elif defined(FRONT) /* a frontend sees one renamed, and again */
#define NAMES 3
#ifdef BARRIER /* and a client looks for it */
#define OPS_A 1
#define LOOKS 1
#else
#define OPS_A 2
#define LOOKS 0
#endif
#define OPS_B 0
#define LATE (!conn[b])
#define MAY_RENAME(b, n, m) (b == A)
#define INIT \
	put(0, ACTIVE, A, 1); exists(A, 0, 1); dead[B] = 1; \
	f_state[0] = ACTIVE; f_position = revision
#define NEITHER !(LISTED(A, 0) || LISTED(A, 1) || LISTED(A, 2))
#define UNSEEN \
	!(f_state[0] == ACTIVE || f_state[1] == ACTIVE || f_state[2] == ACTIVE)
#elif defined(FENCE) /* an administrator takes the name from its owner */
#define NAMES 1
#define OPS_A 1
#define OPS_B 1
#define MAY_CREATE(b, n) true
#define CONFLICTS
#define FENCES
byte fences = 1;
#define INIT put(0, ACTIVE, A, 1); exists(A, 0, 1)
#elif defined(LOST) /* one is back from the dead; the list is lost */
#define NAMES 1
#define OPS_A 1
#define OPS_B 1
#define MAY_CREATE(b, n) true
#define MAY_DELETE(b, n) true
#define CONFLICTS
#define LOSES
#define INIT \
	put(0, ACTIVE, B, 2); exists(B, 0, 2); exists(A, 0, 1); \
	told[AT(A, 0)] = UNKNOWN
#define BACKUP put(0, ACTIVE, A, 1); remembered = 1
#endif

#ifndef NEITHER
#define NEITHER false
#endif
#ifndef UNSEEN
#define UNSEEN false
#endif
#ifndef FAULTS
#define FAULTS 2
#endif
#ifndef MAY_CREATE
#define MAY_CREATE(b, n) false
#endif
#ifndef MAY_DELETE
#define MAY_DELETE(b, n) false
#endif
#ifndef MAY_RENAME
#define MAY_RENAME(b, n, m) false
#endif
#ifndef LATE
#define LATE true /* waited for long enough */
#endif
#ifndef MAY_FAIL
#define MAY_FAIL false
#endif
#ifndef INIT
#define INIT skip
#endif
#ifndef BACKUP
#define BACKUP skip
#endif

#define BEFORE 3 /* generations that were granted before */
#define A 0
#define B 1
#define BOTH 2
#define NONE 255
#define AT(b, n) ((b) * NAMES + (n))

/* States of an entry; of an answer; of what a client was told. */
#define ABSENT 0
#define RESERVED 1
#define ACTIVE 2
#define MOVING 3 /* deactivated: data stands behind it */

#define NO 1
#define OK 2
#define UNHEARD 3 /* the connection broke */

#define UNKNOWN 0
#define EXISTS 1
#define GONE 2

mtype = { reserve, activate, deactivate, delete, list, find };
mtype = { idle, create_reserve, create_early, create_make, create_publish,
	create_undo, delete_deactivate, delete_commit, delete_release,
	rename_reserve, rename_both, rename_publish, rename_commit,
	rename_release, rename_undo, sync_list, sync_said,
	walk_seen, walk_unseen };

/* --- what is where --------------------------------------------------------- */

typedef entry {
	byte state;
	byte host;
	byte generation;
};

/* The update server's list; with SYNC what it reads, and what its disk has. */
entry u[NAMES];
#ifdef SYNC
entry disk[NAMES];
bit changed; /* u is not what disk is */
byte held_op[BOTH], held_gen[BOTH]; /* answers */
bit held_list[BOTH];
byte held_settle[BOTH * NAMES];
#endif
byte granted;    /* the last generation */
byte first;      /* the first of this run; none below it is remembered... */
byte remembered; /* ...but those up to this, from a backup */

/* A backend's disk. */
byte l_gen[BOTH * NAMES];  /* of the mailbox's location; 0: no mailbox */
byte l_note[BOTH * NAMES]; /* it is here under this name too, + 1: RENAME */
byte aside[BOTH * NAMES];  /* in quarantine, of this generation */
bit acked[BOTH * NAMES];   /* the update server has acknowledged it; kept for
                              judge alone */

/* A backend's memory: the change under way. */
bit conn[BOTH];
bit dead[BOTH]; /* for ever */
mtype op[BOTH] = idle;
byte op_name[BOTH], op_to[BOTH], op_gen[BOTH], op_answer[BOTH];
byte ops[BOTH];

/* mblist_settle: what is wanted of a name, and how far that is. */
#define READY 1  /* to be said */
#define ASKING 2 /* said */
#define FINDING 3 /* it was taken: by whom? */
byte want[BOTH * NAMES];
bit again[BOTH * NAMES];    /* wanted since it was said */
byte said_gen[BOTH * NAMES]; /* 0: DELETE */
byte answered[BOTH * NAMES];

/* mblist_sync: the comparison, and what there is to be deleted. */
mtype sync[BOTH] = idle;
bit listed[BOTH];
byte snap_state[BOTH * NAMES], snap_gen[BOTH * NAMES]; /* as it was sent */
bit lacking[BOTH * NAMES];

/* For whom an answer is; what breaks the connection takes it away. */
#define FOR_OP 0
#define FOR_SYNC 1
#define FOR_SETTLE 2
#define FOR_NOBODY 3
chan request[BOTH] = [5] of { mtype, byte, byte, byte };
chan old[BOTH] = [5] of { mtype, byte, byte, byte }; /* of an old session */

/* Answers to find. */
#define FREE_NOW 1
#define OURS 2
#define HELD 3      /* reserved by another */
#define OVERTAKEN 4 /* another's */
#define BEHIND 5    /* another's, by an older grant */

/* What the clients were told last, and before the change under way. */
byte told[BOTH * NAMES];
byte told_name[BOTH], told_to[BOTH];

byte faults = FAULTS;

#define HAS(b, n) (l_gen[AT(b, n)] != 0)
#define BUSY(b, n) \
	(op[b] != idle && (op_name[b] == n || op_to[b] == n))
#define LISTED(b, n) (u[n].state == ACTIVE && u[n].host == b)


/* Scratch, within one step. */
hidden mtype s_command, d_command;
hidden byte s_name, s_gen, s_for, s_i, answer, answer_gen;
hidden byte d_name, d_gen, d_for, d_i;

#if NAMES == 1
#define ANY(p) (p(0))
#define ALL(p) (p(0))
#elif NAMES == 2
#define ANY(p) (p(0) || p(1))
#define ALL(p) (p(0) && p(1))
#else
#define ANY(p) (p(0) || p(1) || p(2))
#define ALL(p) (p(0) && p(1) && p(2))
#endif

/* A step: all of it, when it may. */
#define STEP(when, what) d_step { when -> what; skip }

/* --- the frontend's stream ------------------------------------------------- */

#ifdef FRONT
/* What the update server knows of changes: of each name only the last. */
byte revision, u_revision[NAMES];

/* The frontend's copy, which it has on its disk, and how far that is. */
byte f_state[NAMES], f_position;
bit f_conn;
/* Revision, name, state; a name of NONE: that is all, or NOOP's OK. */
chan stream = [8] of { byte, byte, byte };
/* The list, or the difference, is sent in several turns, and holds it up. */
chan held_up = [6] of { byte, byte, byte };
mtype walk = idle;
byte walk_after, walk_from, walk_upto;
bit f_noop; /* on its way up */
/* What a difference takes away is kept for its end: the state, + 1. */
byte f_kept[NAMES];
bit f_differs;

/* A client's look for a name: first, after the barrier; it has been there. */
byte looks = LOOKS, look_name;
bit looking, looked, was_there;

hidden byte f_i, f_r, f_state_is, f_revision;

inline cut_stream()
{
	f_conn = 0;
	f_noop = 0;
	walk = idle;
	walk_after = 0;
	walk_from = 0;
	walk_upto = 0;
	do
	:: nempty(held_up) -> held_up?f_r, f_i, f_state_is
	:: empty(held_up) -> break
	od;
	f_differs = 0;
	looking = 0;
	looked = 0;
	was_there = 0;
	look_name = 0;
	do
	:: nempty(stream) -> stream?f_r, f_i, f_state_is
	:: empty(stream) -> break
	od;
	for (f_i : 0 .. NAMES - 1) {
		f_kept[f_i] = 0
	}
}

/* Changes made during a walk: are they to come behind it? */
#ifdef M_JOIN_EARLY
#define JOINED (walk != idle)
#else
#define JOINED (walk == walk_unseen)
#endif

/* Who does not read is cut off. */
inline tell(n)
{
	revision++;
	u_revision[n] = revision;
	if
	:: looking && look_name == n && u[n].state != ACTIVE -> was_there = 0
	:: else
	fi;
	if
	:: f_conn && walk == idle && len(stream) < 8 ->
		stream!revision, n, u[n].state
	:: f_conn && JOINED && len(held_up) < 6 ->
		held_up!revision, n, u[n].state
	:: f_conn && ((walk == idle && len(stream) >= 8) ||
	       (JOINED && len(held_up) >= 6)) -> cut_stream()
	:: else
	fi
}

/*
 * FRONT:difference: what can be seen, until that has caught up with what is so
 * now: from there on changes come in order, behind it.  Then what cannot be
 * seen, up to there; then the position.  If not all changes since are known any
 * more it is since the beginning of time: the whole list, and what is not in
 * it.
 */
inline subscribe(all)
{
	f_conn = 1;
	f_differs = 1;
	f_position = (all -> 0 : f_position);
	walk = walk_seen;
	walk_from = f_position;
	walk_after = f_position;
	walk_upto = revision
}

#ifdef M_JOIN_EARLY
#define WALK_END walk_upto
#else
#define WALK_END revision
#endif
#define WALKS_ON \
	((walk == walk_seen && walk_after < WALK_END) || \
	    (walk == walk_unseen && walk_after < walk_upto))

/* The name whose last change is the next, if it is one of this pass. */
inline walk_on()
{
	walk_after++;
	for (f_i : 0 .. NAMES - 1) {
		if
#ifdef M_GONE_IN_ORDER
		:: u_revision[f_i] == walk_after && walk == walk_seen ->
#else
		:: u_revision[f_i] == walk_after &&
		   (u[f_i].state == ACTIVE) == (walk == walk_seen) ->
#endif
			stream!walk_after, f_i, u[f_i].state
		:: else
		fi
	}
}

inline walk_ends()
{
	if
	:: walk == walk_seen ->
		walk = walk_unseen;
		walk_upto = WALK_END;
		walk_after = walk_from
	:: else ->
		walk = idle;
		stream!walk_upto, NONE, 0;
		do
		:: nempty(held_up) && len(stream) < 8 ->
			held_up?f_r, f_i, f_state_is;
			stream!f_r, f_i, f_state_is
		:: empty(held_up) -> break
		:: nempty(held_up) && len(stream) >= 8 -> cut_stream(); break
		od;
		walk_after = 0;
		walk_from = 0;
		walk_upto = 0
	fi
}

inline apply()
{
	stream?f_revision, f_i, f_state_is;
	if
	:: f_i == NONE && f_differs ->
		/* FRONT:gone */
		for (f_i : 0 .. NAMES - 1) {
			f_state[f_i] =
			    (f_kept[f_i] -> f_kept[f_i] - 1 : f_state[f_i]);
			f_kept[f_i] = 0
		};
		f_differs = 0;
		f_position = f_revision
	:: f_i == NONE && !f_differs -> looked = 1
#ifndef M_GONE_IN_ORDER
	:: f_i != NONE && f_differs && f_state_is != ACTIVE ->
		f_kept[f_i] = f_state_is + 1
#endif
	:: else ->
		/* FRONT:entry */
		f_state[f_i] = f_state_is;
		f_position = (f_differs -> f_position : f_revision)
	fi
}

inline look(n)
{
	looks--;
	looking = 1;
	look_name = n;
	was_there = (u[n].state == ACTIVE);
#ifdef M_NO_BARRIER
	looked = 1
#else
	f_noop = 1 /* FRONT:barrier */
#endif
}

/* After all that was told before it. */
inline answer_noop()
{
	f_noop = 0;
	stream!revision, NONE, 0
}

/* Here, or it does not exist; had the stream broken: cannot know now. */
inline see()
{
	if
	:: f_state[look_name] != ACTIVE -> assert(!was_there)
	:: else
	fi;
	looking = 0;
	looked = 0;
	was_there = 0;
	look_name = 0
}

proctype frontend()
{
	do
	:: STEP(!f_conn, subscribe(false))
	:: STEP(!f_conn, subscribe(true))
	:: STEP(nempty(stream), apply())
	:: STEP(f_conn && !looking && looks > 0 && f_state[1] != ACTIVE, look(1))
	:: STEP(f_conn && !looking && looks > 0 && f_state[2] != ACTIVE, look(2))
	:: STEP(looking && looked, see())
	/* the update server's part of it */
	:: STEP(f_noop && walk == idle && len(stream) < 8, answer_noop())
	:: STEP(WALKS_ON && len(stream) < 7, walk_on())
	:: STEP(walk != idle && !WALKS_ON && len(stream) < 7, walk_ends())
	od
}
#define FRONT_QUIET \
	(f_conn && !looking && len(stream) == 0 && walk == idle)
#define DIFFERS(n) (f_state[n] != u[n].state)
#else
#define FRONT_QUIET true
#define DIFFERS(n) false

inline tell(n)
{
	skip
}
#endif

/* --- the update server ----------------------------------------------------- */

inline put(at, is, by, number)
{
	u[at].state = is;
	u[at].host = by;
	u[at].generation = number;
#ifdef SYNC
	changed = 1;
#endif
	tell(at)
}

#define WAITS_ANSWER(b) \
	(op[b] == create_reserve || op[b] == create_early || \
	    op[b] == delete_deactivate || op[b] == rename_reserve)

/* Octets that were received may be read yet. */
inline disconnect(b, received)
{
	conn[b] = 0;
	do
	:: nempty(request[b]) ->
		request[b]?d_command, d_name, d_gen, d_for;
		if
		:: received && len(old[b]) < 5 ->
			old[b]!d_command, d_name, d_gen, FOR_NOBODY
		:: else
		fi
	:: empty(request[b]) -> break
	od;
	op_answer[b] =
	    (WAITS_ANSWER(b) && op_answer[b] == 0 -> UNHEARD : op_answer[b]);
	sync[b] = idle;
	listed[b] = 0;
#ifdef SYNC
	held_op[b] = 0;
	held_gen[b] = 0;
	held_list[b] = 0;
#endif
	for (d_i : 0 .. NAMES - 1) {
		snap_state[AT(b, d_i)] = 0;
		snap_gen[AT(b, d_i)] = 0;
		lacking[AT(b, d_i)] = 0;
		/* said again when it is back */
		want[AT(b, d_i)] = (want[AT(b, d_i)] != 0 -> READY : 0);
		again[AT(b, d_i)] = 0;
		answered[AT(b, d_i)] = 0;
		said_gen[AT(b, d_i)] = 0;
#ifdef SYNC
		held_settle[AT(b, d_i)] = 0;
#endif
	}
}

/* LIST:takeover: was it granted by this list, as far as that remembers? */
#ifdef M_ANY_TAKEOVER
#define REMEMBERED(g) false
#else
#define REMEMBERED(g) (g >= first || g <= remembered)
#endif
#ifdef M_NO_GENERATION
#define TAKES(n, g) true
#else
#define TAKES(n, g) (g > u[n].generation && !REMEMBERED(g))
#endif

inline take_over(b, n, g)
{
#ifndef M_SILENT_TAKEOVER
	/* SESSION:loser */
	disconnect(u[n].host, false);
#endif
	put(n, ACTIVE, b, g)
}

/* Leaves the answer in answer and answer_gen. */
inline serve(b, command, n, g)
{
	answer = NO;
	answer_gen = 0;
	if
	:: command == reserve && u[n].state == ABSENT -> /* LIST:reserve */
		granted++;
		put(n, RESERVED, b, granted);
		answer = OK;
		answer_gen = granted
	:: command == reserve && u[n].state != ABSENT && u[n].host == b ->
		answer = OK;
		answer_gen = u[n].generation
	:: command == activate && u[n].state == ABSENT -> /* LIST:activate */
		put(n, ACTIVE, b, g);
		answer = OK
	:: command == activate && u[n].state != ABSENT && u[n].host == b &&
	   g >= u[n].generation ->
		put(n, ACTIVE, b, g);
		answer = OK
	:: command == activate && u[n].state != ABSENT && u[n].host != b &&
	   TAKES(n, g) ->
		take_over(b, n, g);
		answer = OK
	:: command == deactivate && LISTED(b, n) -> /* LIST:deactivate */
		put(n, MOVING, b, u[n].generation);
		answer = OK
	:: command == deactivate && !LISTED(b, n) &&
	   !(u[n].state == MOVING && u[n].host == b) ->
		answer = OK /* a NO, and FIND says that nobody sees it here */
	:: command == delete && u[n].state != ABSENT && u[n].host == b ->
		/* LIST:delete */
		put(n, ABSENT, 0, 0);
		answer = OK
	:: command == delete && (u[n].state == ABSENT || u[n].host != b) ->
		answer = OK /* a NO, and FIND says that it is not ours */
	:: command == find ->
		answer = (u[n].state == ABSENT -> FREE_NOW :
		    (u[n].host == b -> OURS :
		    (u[n].state == RESERVED -> HELD :
		    (u[n].generation > g -> OVERTAKEN : BEHIND))));
		answer_gen = u[n].generation
	:: command == list ->
		for (s_i : 0 .. NAMES - 1) {
			if
			:: u[s_i].state != ABSENT && u[s_i].host == b ->
				snap_state[AT(b, s_i)] = u[s_i].state;
				snap_gen[AT(b, s_i)] = u[s_i].generation
			:: else
			fi
		};
		answer = OK
	:: else
	fi
}

inline reply(b)
{
	if
	:: s_for == FOR_OP ->
		op_answer[b] = answer;
		op_gen[b] = (answer_gen != 0 -> answer_gen : op_gen[b])
	:: s_for == FOR_SYNC -> listed[b] = 1
	:: s_for == FOR_SETTLE ->
		answered[AT(b, s_name)] = answer;
		/* of a find that says it is ours: which grant */
		said_gen[AT(b, s_name)] = (s_command == find && answer == OURS ->
		    answer_gen : said_gen[AT(b, s_name)])
	:: else
	fi
}

#ifdef SYNC
inline hold(b)
{
	if
	:: s_for == FOR_OP ->
		held_op[b] = answer;
		held_gen[b] = answer_gen
	:: s_for == FOR_SYNC -> held_list[b] = 1
	:: s_for == FOR_SETTLE ->
		held_settle[AT(b, s_name)] = answer;
		said_gen[AT(b, s_name)] = (s_command == find && answer == OURS ->
		    answer_gen : said_gen[AT(b, s_name)])
	:: else
	fi
}

inline let_go(b)
{
	op_answer[b] = (held_op[b] != 0 -> held_op[b] : op_answer[b]);
	op_gen[b] = (held_gen[b] != 0 -> held_gen[b] : op_gen[b]);
	listed[b] = listed[b] || held_list[b];
	held_op[b] = 0;
	held_gen[b] = 0;
	held_list[b] = 0;
	for (d_i : 0 .. NAMES - 1) {
		answered[AT(b, d_i)] = (held_settle[AT(b, d_i)] != 0 ->
		    held_settle[AT(b, d_i)] : answered[AT(b, d_i)]);
		held_settle[AT(b, d_i)] = 0
	}
}

/* LIST:sync */
inline sync_disk()
{
	for (s_i : 0 .. NAMES - 1) {
		disk[s_i].state = u[s_i].state;
		disk[s_i].host = u[s_i].host;
		disk[s_i].generation = u[s_i].generation
	};
	changed = 0;
	let_go(A);
	let_go(B)
}
#define HELD_BACK(n) (held_settle[AT(A, n)] || held_settle[AT(B, n)])
#define UNSYNCED \
	(changed || held_op[A] || held_op[B] || held_list[A] || held_list[B] || \
	    HELD_BACK(0))
#endif

inline serve_next(b)
{
	request[b]?s_command, s_name, s_gen, s_for;
	serve(b, s_command, s_name, s_gen);
#if defined(SYNC) && !defined(M_ANSWER_EARLY)
	hold(b)
#else
	reply(b)
#endif
}

inline serve_old(b)
{
	old[b]?s_command, s_name, s_gen, s_for;
	serve(b, s_command, s_name, s_gen)
}

/* LIST:lease */
#define OVERDUE(n) \
	(u[n].state == RESERVED && !conn[u[n].host] && len(old[u[n].host]) == 0)
#ifdef M_NO_LEASE
#define ENDS(n) false
#else
#define ENDS(n) OVERDUE(n)
#endif

/* Sessions, timers and the disk go on each for itself. */
proctype session(bit b)
{
	do
	:: STEP(nempty(request[b]), serve_next(b))
	:: STEP(nempty(old[b]), serve_old(b))
	od
}

proctype leases()
{
	do
	:: STEP(ENDS(0), put(0, ABSENT, 0, 0))
#if NAMES > 1
	:: STEP(ENDS(1), put(1, ABSENT, 0, 0))
#endif
#if NAMES > 2
	:: STEP(ENDS(2), put(2, ABSENT, 0, 0))
#endif
#ifdef SYNC
	:: STEP(UNSYNCED, sync_disk())
#endif
	od
}

/* --- a backend: its connection --------------------------------------------- */

inline ask(command, n, g, for_whom)
{
	if
	:: conn[b] -> request[b]!command, n, g, for_whom
	:: !conn[b] && for_whom == FOR_OP -> op_answer[b] = UNHEARD
	:: else
	fi
}

/* What was lost is answered before there is a new connection. */
#define MAY_CONNECT (!conn[b] && !dead[b] && op_answer[b] != UNHEARD)

inline connect()
{
	conn[b] = 1;
#ifndef M_OLD_SESSION
	/* SESSION:fence */
	do
	:: nempty(old[b]) -> old[b]?d_command, d_name, d_gen, d_for
	:: empty(old[b]) -> break
	od;
#endif
	/* RECONCILE:list */
	sync[b] = sync_list;
	ask(list, 0, 0, FOR_SYNC)
}

/* --- a backend: changes ---------------------------------------------------- */

inline begin(o, n, to)
{
	op[b] = o;
	op_name[b] = n;
	op_to[b] = to;
	ops[b]--;
	told_name[b] = told[AT(b, n)];
	told[AT(b, n)] = UNKNOWN;
	if
	:: to != n ->
		told_to[b] = told[AT(b, to)];
		told[AT(b, to)] = UNKNOWN
	:: else
	fi
}

inline end()
{
	op[b] = idle;
	op_name[b] = 0;
	op_to[b] = 0;
	op_gen[b] = 0;
	op_answer[b] = 0;
	told_name[b] = 0;
	told_to[b] = 0
}

inline say_ok(name_is, to_is)
{
	if
	:: op_to[b] != op_name[b] -> told[AT(b, op_to[b])] = to_is
	:: else
	fi;
	told[AT(b, op_name[b])] = name_is;
	end()
}

/* As if it had not been asked. */
inline say_no()
{
	if
	:: op_to[b] != op_name[b] -> told[AT(b, op_to[b])] = told_to[b]
	:: else
	fi;
	told[AT(b, op_name[b])] = told_name[b];
	end()
}

inline next(o)
{
	op[b] = o;
	op_answer[b] = 0
}

inline store(n, g)
{
	l_gen[AT(b, n)] = g;
	l_note[AT(b, n)] = 0;
	acked[AT(b, n)] = 0
}

/* SETTLE:want */
inline settle_want(n)
{
	if
	:: want[AT(b, n)] == 0 -> want[AT(b, n)] = READY
	:: want[AT(b, n)] == ASKING || want[AT(b, n)] == FINDING ->
		again[AT(b, n)] = 1
	:: else
	fi
}

#define ANSWERED(o) (op[b] == o && op_answer[b] != 0)
#define IS_OK (op_answer[b] == OK)
#define MINE op_name[b]
#define TO op_to[b]

/* What may have been heard has to be unsaid. */
inline unreserve(n)
{
	if
	:: op_answer[b] == UNHEARD -> settle_want(n)
	:: else
	fi
}

inline create_reserved()
{
	if
#ifdef M_ACTIVATE_FIRST
	:: IS_OK ->
		next(create_early);
		ask(activate, MINE, op_gen[b], FOR_OP)
#else
	:: IS_OK -> next(create_make)
#endif
	:: else ->
		unreserve(MINE);
		say_no()
	fi
}

inline create_was_early()
{
	if
	:: IS_OK -> next(create_make)
	:: else ->
		settle_want(MINE);
		say_no()
	fi
}

inline create_commit()
{
	store(MINE, op_gen[b]);
	next(create_publish);
	settle_want(MINE)
}

inline create_undone()
{
	store(MINE, 0);
#ifndef M_NO_RELEASE
	settle_want(MINE);
#endif
	say_no()
}

/* The disk is full: nothing was made, or changed. */
inline failed(n)
{
	settle_want(n);
	say_no()
}

inline delete_deactivated()
{
	if
	:: IS_OK -> next(delete_commit)
	:: else ->
		settle_want(MINE);
		say_no()
	fi
}

inline delete_committed()
{
	store(MINE, 0);
#ifdef M_RELEASE_FIRST
	say_ok(GONE, 0)
#else
	next(delete_release);
	settle_want(MINE)
#endif
}

inline rename_reserved()
{
	if
	:: IS_OK -> next(rename_both)
	:: else ->
		unreserve(TO);
		say_no()
	fi
}

inline rename_listed()
{
	store(TO, op_gen[b]);
	l_note[AT(b, TO)] = MINE + 1;
#if defined(M_DELETE_FIRST) || defined(M_PIPELINED)
	store(MINE, 0);
	l_note[AT(b, TO)] = 0;
#endif
#ifdef M_DELETE_FIRST
	ask(delete, MINE, 0, FOR_NOBODY);
#endif
	next(rename_publish);
	settle_want(TO);
#ifdef M_PIPELINED
	settle_want(MINE)
#endif
}

inline rename_committed()
{
	l_note[AT(b, TO)] = 0;
	store(MINE, 0);
	next(rename_release);
	settle_want(MINE)
}

inline rename_undone()
{
	store(TO, 0);
#ifdef M_UNDO_BACKWARDS
	settle_want(TO);
	settle_want(MINE);
#else
	settle_want(MINE);
	settle_want(TO);
#endif
	say_no()
}

/* --- a backend: the update server is made to say what the list says -------- */

#define WAITS_HERE(n) \
	((op[b] == create_publish && op_name[b] == n) || \
	    (op[b] == delete_release && op_name[b] == n) || \
	    (op[b] == rename_publish && op_to[b] == n) || \
	    (op[b] == rename_release && op_name[b] == n))
/* A name with a change under way is left alone, unless that waits for it. */
#ifdef M_SAY_BUSY
#define MAY_SAY(n) (want[AT(b, n)] == READY && conn[b])
#else
#define MAY_SAY(n) \
	(want[AT(b, n)] == READY && conn[b] && (!BUSY(b, n) || WAITS_HERE(n)))
#endif

/* SETTLE:say */
inline say(n)
{
	said_gen[AT(b, n)] = l_gen[AT(b, n)];
	want[AT(b, n)] = ASKING;
	again[AT(b, n)] = 0;
	if
	:: HAS(b, n) -> ask(activate, n, l_gen[AT(b, n)], FOR_SETTLE)
	:: !HAS(b, n) -> ask(delete, n, 0, FOR_SETTLE)
	fi
}

inline forget(n, state)
{
	want[AT(b, n)] = state;
	again[AT(b, n)] = 0;
	answered[AT(b, n)] = 0;
	said_gen[AT(b, n)] = 0
}

/* It is as it was said: who waits goes on. */
inline settled(n)
{
	acked[AT(b, n)] =
	    (l_gen[AT(b, n)] != 0 && l_gen[AT(b, n)] == said_gen[AT(b, n)] ->
	    1 : acked[AT(b, n)]);
	if
	:: again[AT(b, n)] -> forget(n, READY)
	:: else ->
		forget(n, 0);
		if
		:: op[b] == create_publish && op_name[b] == n ->
			say_ok(EXISTS, 0)
		:: op[b] == delete_release && op_name[b] == n ->
			say_ok(GONE, 0)
		:: op[b] == rename_publish && op_to[b] == n ->
#if defined(M_DELETE_FIRST) || defined(M_PIPELINED)
			say_ok(GONE, EXISTS)
#else
			next(rename_commit)
#endif
		:: op[b] == rename_release && op_name[b] == n ->
			say_ok(GONE, EXISTS)
		:: else
		fi
	fi
}

inline taken(n)
{
	if
	:: op[b] == create_publish -> next(create_undo)
	:: op[b] == rename_publish -> next(rename_undo)
	:: op[b] == delete_release -> say_ok(GONE, 0)
	:: op[b] == rename_release -> say_ok(GONE, EXISTS)
	fi
}

/* RECONCILE:aside */
inline set_aside(n)
{
	if
	:: BUSY(b, n) -> settle_want(n)
	:: !BUSY(b, n) && l_gen[AT(b, n)] == d_gen ->
#ifndef M_DESTROY
		aside[AT(b, n)] = l_gen[AT(b, n)];
#endif
		store(n, 0)
	:: else
	fi
}

#ifdef M_ASIDE_IF_OLDER
#define IS_ASIDE (d_name == OVERTAKEN)
#else
#define IS_ASIDE (d_name == OVERTAKEN || d_name == BEHIND)
#endif
#ifdef M_FORGET_AGAIN
#define ELSE_AGAIN(n) 0
#else
#define ELSE_AGAIN(n) (again[AT(b, n)] -> READY : 0)
#endif

/* SETTLE:conflict */
inline found_taken(n)
{
	d_name = answered[AT(b, n)];
	d_gen = said_gen[AT(b, n)];
	if
	:: d_name == OURS ->
		/* a later grant to this server: it is this mailbox's */
		l_gen[AT(b, n)] = (HAS(b, n) && l_gen[AT(b, n)] < d_gen ->
		    d_gen : l_gen[AT(b, n)]);
		forget(n, READY)
	:: d_name == FREE_NOW || (d_name == HELD && !WAITS_HERE(n)) ->
		forget(n, READY)
	:: d_name >= HELD && WAITS_HERE(n) ->
		forget(n, ELSE_AGAIN(n));
		taken(n)
	:: d_name > HELD && !WAITS_HERE(n) ->
		forget(n, ELSE_AGAIN(n));
		if
		:: IS_ASIDE -> set_aside(n)
		:: else
		fi
	fi
}

#define IS_SAID(n) (want[AT(b, n)] == ASKING && answered[AT(b, n)] != 0)

inline hear(n)
{
	if
	:: answered[AT(b, n)] == OK -> settled(n)
	:: else ->
		answered[AT(b, n)] = 0;
		want[AT(b, n)] = FINDING;
		ask(find, n, said_gen[AT(b, n)], FOR_SETTLE)
	fi
}

/* --- a backend: comparing -------------------------------------------------- */

#define SAME(n) \
	(snap_state[AT(b, n)] == ACTIVE && \
	    snap_gen[AT(b, n)] == l_gen[AT(b, n)])

#ifdef M_RELEASE_BLIND
#define MAY_BE_LACKING(n) true
#else
#define MAY_BE_LACKING(n) (!BUSY(b, n))
#endif

inline compare_one(n)
{
	if
	:: snap_state[AT(b, n)] == ABSENT && HAS(b, n) -> settle_want(n)
	:: snap_state[AT(b, n)] != ABSENT && HAS(b, n) && !SAME(n) ->
		settle_want(n)
	:: snap_state[AT(b, n)] != ABSENT && !HAS(b, n) && MAY_BE_LACKING(n) ->
		if
		:: snap_state[AT(b, n)] == RESERVED -> settle_want(n)
		:: snap_state[AT(b, n)] != RESERVED -> lacking[AT(b, n)] = 1
		fi
	:: snap_state[AT(b, n)] != ABSENT && !HAS(b, n) && !MAY_BE_LACKING(n) ->
		settle_want(n)
	:: else
	fi;
	snap_state[AT(b, n)] = 0;
	snap_gen[AT(b, n)] = 0
}

inline compare()
{
	for (d_i : 0 .. NAMES - 1) {
		compare_one(d_i)
	};
	listed[b] = 0;
	sync[b] = sync_said
}

/* What is here is said before what is not goes. */
#ifdef M_DELETE_UNSAID
#define SAID(n) true
#else
#define SAID(n) (want[AT(b, n)] == 0 || lacking[AT(b, n)])
#endif

/* RECONCILE:release */
inline release()
{
	for (d_i : 0 .. NAMES - 1) {
		if
		:: lacking[AT(b, d_i)] ->
			lacking[AT(b, d_i)] = 0;
#ifdef M_RELEASE_BLIND
			ask(delete, d_i, 0, FOR_NOBODY)
#else
			settle_want(d_i)
#endif
		:: else
		fi
	};
	sync[b] = idle
}

/* --- a backend ------------------------------------------------------------- */

#define FREE(n) (op[b] == idle && ops[b] > 0 && conn[b] && !HAS(b, n))
#define HERE(n) (op[b] == idle && ops[b] > 0 && conn[b] && HAS(b, n))

inline start_create(n)
{
	begin(create_reserve, n, n);
	ask(reserve, n, 0, FOR_OP)
}

inline start_delete(n)
{
	begin(delete_deactivate, n, n);
#ifdef M_RELEASE_FIRST
	ask(delete, n, 0, FOR_OP)
#else
	ask(deactivate, n, 0, FOR_OP)
#endif
}

inline start_rename(n, to)
{
	begin(rename_reserve, n, to);
	ask(reserve, to, 0, FOR_OP)
}

/* Apart, as they are in the code: none holds up another. */
proctype comparing(bit b)
{
	do
	:: STEP(MAY_CONNECT, connect())
	:: STEP(sync[b] == sync_list && listed[b], compare())
	:: STEP(sync[b] == sync_said && ALL(SAID), release())
	od
}

proctype changing(bit b)
{
	do
	:: STEP(MAY_CREATE(b, 0) && FREE(0), start_create(0))
	:: STEP(MAY_DELETE(b, 0) && HERE(0), start_delete(0))
#if NAMES > 1
	:: STEP(MAY_CREATE(b, 1) && FREE(1), start_create(1))
	:: STEP(MAY_DELETE(b, 1) && HERE(1), start_delete(1))
	:: STEP(MAY_RENAME(b, 0, 1) && HERE(0) && !HAS(b, 1),
		start_rename(0, 1))
	:: STEP(MAY_RENAME(b, 1, 0) && HERE(1) && !HAS(b, 0),
		start_rename(1, 0))
#endif
#if NAMES > 2
	:: STEP(MAY_RENAME(b, 2, 0) && HERE(2) && !HAS(b, 0),
		start_rename(2, 0))
	:: STEP(MAY_RENAME(b, 1, 2) && HERE(1) && !HAS(b, 2),
		start_rename(1, 2))
#endif

	:: STEP(ANSWERED(create_reserve), create_reserved())
	:: STEP(ANSWERED(create_early), create_was_early())
	:: STEP(op[b] == create_make, create_commit())
	:: STEP(op[b] == create_make && MAY_FAIL, failed(MINE))
#ifdef M_OK_ANYWAY
	:: STEP(op[b] == create_publish, say_ok(EXISTS, 0))
#else
	:: STEP(op[b] == create_publish && LATE, next(create_undo))
#endif
	:: STEP(op[b] == create_undo, create_undone())

	:: STEP(ANSWERED(delete_deactivate), delete_deactivated())
	:: STEP(op[b] == delete_commit, delete_committed())
	:: STEP(op[b] == delete_commit && MAY_FAIL, failed(MINE))
	:: STEP(op[b] == delete_release && LATE, say_ok(GONE, 0))

	:: STEP(ANSWERED(rename_reserve), rename_reserved())
	:: STEP(op[b] == rename_both, rename_listed())
	:: STEP(op[b] == rename_both && MAY_FAIL, failed(TO))
#if !defined(M_DELETE_FIRST) && !defined(M_PIPELINED)
	:: STEP(op[b] == rename_publish && LATE, next(rename_undo))
#endif
	:: STEP(op[b] == rename_commit, rename_committed())
	:: STEP(op[b] == rename_commit && MAY_FAIL, next(rename_undo))
	:: STEP(op[b] == rename_release && LATE, say_ok(GONE, EXISTS))
	:: STEP(op[b] == rename_undo, rename_undone())
	od
}

proctype settling(bit b)
{
	do
	:: STEP(MAY_SAY(0), say(0))
	:: STEP(IS_SAID(0), hear(0))
	:: STEP(want[AT(b, 0)] == FINDING && answered[AT(b, 0)] != 0,
		found_taken(0))
#if NAMES > 1
	:: STEP(MAY_SAY(1), say(1))
	:: STEP(IS_SAID(1), hear(1))
	:: STEP(want[AT(b, 1)] == FINDING && answered[AT(b, 1)] != 0,
		found_taken(1))
#endif
#if NAMES > 2
	:: STEP(MAY_SAY(2), say(2))
	:: STEP(IS_SAID(2), hear(2))
	:: STEP(want[AT(b, 2)] == FINDING && answered[AT(b, 2)] != 0,
		found_taken(2))
#endif
	od
}

/* --- what goes wrong ------------------------------------------------------- */

/* Its client has no answer; a RENAME that did not count is taken back. */
inline crash(b, received)
{
	disconnect(b, received);
	for (d_i : 0 .. NAMES - 1) {
		want[AT(b, d_i)] = 0;
#ifndef M_NO_BACK
		/* RENAME:recover */
		if
		:: l_note[AT(b, d_i)] != 0 ->
			l_gen[AT(b, d_i)] = 0;
			l_note[AT(b, d_i)] = 0;
			acked[AT(b, d_i)] = 0;
			want[AT(b, d_i)] = READY
		:: else
		fi
#endif
	};
	op[b] = idle;
	op_name[b] = 0;
	op_to[b] = 0;
	op_gen[b] = 0;
	op_answer[b] = 0;
	told_name[b] = 0;
	told_to[b] = 0
}

inline close_old(b)
{
	do
	:: nempty(old[b]) -> old[b]?d_command, d_name, d_gen, d_for
	:: empty(old[b]) -> break
	od
}

inline crash_update_server()
{
	disconnect(A, false);
	disconnect(B, false);
	close_old(A);
	close_old(B);
#ifdef FRONT
	cut_stream();
#endif
#ifdef SYNC
	for (d_i : 0 .. NAMES - 1) {
		u[d_i].state = disk[d_i].state;
		u[d_i].host = disk[d_i].host;
		u[d_i].generation = disk[d_i].generation
	};
	changed = 0
#endif
}

/* The list comes back as it was made first, or empty. */
#ifdef LOSES
byte losses = 1;

inline lose(backup)
{
	crash_update_server();
	losses--;
	for (d_i : 0 .. NAMES - 1) {
		put(d_i, ABSENT, 0, 0);
		told[AT(A, d_i)] = UNKNOWN;
		told[AT(B, d_i)] = UNKNOWN
	};
	told_name[A] = UNKNOWN;
	told_name[B] = UNKNOWN;
	told_to[A] = UNKNOWN;
	told_to[B] = UNKNOWN;
#ifdef M_REVISION_AGAIN
	granted = 0;
#endif
	first = granted + 1;
	remembered = 0;
	if
	:: backup -> BACKUP
	:: else
	fi
}
#endif

#ifdef FENCES
inline fence()
{
	fences--;
	told[AT(u[0].host, 0)] = UNKNOWN;
#ifndef M_SILENT_FENCE
	disconnect(u[0].host, false);
#endif
	put(0, ABSENT, 0, 0)
}
#endif

proctype chaos()
{
	do
#if !defined(FRONT) || defined(BARRIER)
	:: STEP(faults > 0 && !dead[A], faults--; crash(A, true))
	:: STEP(faults > 0 && !dead[B], faults--; crash(B, true))
	:: STEP(faults > 0 && conn[A], faults--; disconnect(A, true))
	:: STEP(faults > 0 && conn[B], faults--; disconnect(B, true))
	:: STEP(faults > 0 && conn[A] && len(request[A]) > 0,
		faults--; disconnect(A, false))
	:: STEP(faults > 0 && conn[B] && len(request[B]) > 0,
		faults--; disconnect(B, false))
#endif
	:: STEP(faults > 0, faults--; crash_update_server())
#ifdef FRONT
	:: STEP(faults > 0 && f_conn, faults--; cut_stream())
#endif
#ifdef DIES
	:: STEP(!dead[B], crash(B, true); dead[B] = 1)
#endif
#ifdef LOSES
	:: STEP(losses > 0, lose(false))
	:: STEP(losses > 0, lose(true))
#endif
#ifdef FENCES
	/* An administrator frees the name; who has it is to look again. */
	:: STEP(fences > 0 && (u[0].state == ACTIVE || u[0].state == MOVING),
		fence())
	:: STEP(fences > 0 && u[0].state == RESERVED,
		fences--; put(0, ABSENT, 0, 0))
#endif
#ifdef PROGRESS
	/* Time goes by, and fairness has to be assumed. */
	:: STEP(faults <= FAULTS, skip)
#else
	:: STEP(faults > 0, faults = 0)
#endif
	od
}

/* --- what must not be ------------------------------------------------------ */

/* Nothing under way, and nothing to come. */
#define QUIET(b) \
	(len(request[b]) == 0 && len(old[b]) == 0 && op[b] == idle && \
	    sync[b] == idle && (dead[b] || (conn[b] && UNWANTED(b))))
#if NAMES == 1
#define UNWANTED(b) (want[AT(b, 0)] == 0)
#elif NAMES == 2
#define UNWANTED(b) (want[AT(b, 0)] == 0 && want[AT(b, 1)] == 0)
#else
#define UNWANTED(b) \
	(want[AT(b, 0)] == 0 && want[AT(b, 1)] == 0 && want[AT(b, 2)] == 0)
#endif
#define SETTLED (FRONT_QUIET && QUIET(A) && QUIET(B) && !ANY(OVERDUE))

/* When settled. */
#define LEAKED(n) (u[n].state == RESERVED)
#define STUCK(n) (u[n].state == MOVING && !dead[u[n].host])
#define UNLISTED(b, n) (!dead[b] && HAS(b, n) && !LISTED(b, n))
#define EMPTY(b, n) (!dead[b] && LISTED(b, n) && !HAS(b, n))
#ifdef CONFLICTS
#define BROKEN(b, n) \
	(told[AT(b, n)] == EXISTS && !HAS(b, n) && aside[AT(b, n)] == 0)
#else
#define BROKEN(b, n) \
	(!dead[b] && \
	    ((told[AT(b, n)] == EXISTS && !(HAS(b, n) && LISTED(b, n))) || \
	        (told[AT(b, n)] == GONE && (HAS(b, n) || LISTED(b, n)))))
#endif
#define LIES(n) \
	(STUCK(n) || UNLISTED(A, n) || UNLISTED(B, n) || EMPTY(A, n) || \
	    EMPTY(B, n) || DIFFERS(n))
/* One mailbox under two names. */
#define TWICE(n) (l_note[AT(A, n)] != 0 || l_note[AT(B, n)] != 0)
#define BREACH(n) (BROKEN(A, n) || BROKEN(B, n))

/* The list was lost, and they came again: the later grant counts. */
#ifdef LOSES
#define WON(b, other, n) \
	(LISTED(b, n) && aside[AT(other, n)] > u[n].generation && \
	    aside[AT(other, n)] <= BEFORE)
#else
#define WON(b, other, n) false
#endif
#define STALE(n) (WON(A, B, n) || WON(B, A, n))

/* At any time. */
#ifdef CONFLICTS
#define TWO(n) false
#else
#define TWO(n) \
	(HAS(A, n) && acked[AT(A, n)] && HAS(B, n) && acked[AT(B, n)])
#endif
/* ...as long as nothing goes wrong, and but for what is being renamed. */
#define CALM(b) \
	(conn[b] && sync[b] == idle && UNWANTED(b) && \
	    len(request[b]) == 0 && len(old[b]) == 0)
#define RENAMES(b, n) (BUSY(b, n) && op_name[b] != op_to[b])
#define EARLY(b, n) \
	(CALM(b) && LISTED(b, n) && !HAS(b, n) && !RENAMES(b, n))
#define TOO_EARLY(n) (EARLY(A, n) || EARLY(B, n))

/* True, so that a failing assertion has a name. */
bit two_have_the_name = 1, listed_without_mailbox = 1, neither_name_listed = 1,
    neither_name_seen = 1, reservation_leaked = 1, list_lies = 1,
    ok_or_no_lied = 1, the_stale_one_won = 1, two_names = 1, stuck = 1;

#ifdef PROGRESS
/*
 * Whatever went wrong, when it is over all changes are answered, reservations
 * ended, lists compared, the frontend's copy is the list; and so it stays.
 */
ltl settles { <>[] (SETTLED) }
#else
proctype judge()
{
	do
	:: ANY(TWO) -> assert(!two_have_the_name)
	:: ANY(TOO_EARLY) -> assert(!listed_without_mailbox)
	:: NEITHER -> assert(!neither_name_listed)
	:: UNSEEN -> assert(!neither_name_seen)
	:: SETTLED && ANY(LEAKED) -> assert(!reservation_leaked)
	:: SETTLED && ANY(LIES) -> assert(!list_lies)
	:: SETTLED && ANY(BREACH) -> assert(!ok_or_no_lied)
	:: SETTLED && ANY(TWICE) -> assert(!two_names)
	:: SETTLED && ANY(STALE) -> assert(!the_stale_one_won)
	:: timeout && !SETTLED -> assert(!stuck)
	od
}
#endif

inline exists(b, n, g)
{
	l_gen[AT(b, n)] = g;
	acked[AT(b, n)] = 1;
	told[AT(b, n)] = EXISTS
}

init {
	d_step {
		granted = BEFORE;
		first = 1;
		ops[A] = OPS_A;
		ops[B] = OPS_B;
		for (d_i : 0 .. 2 * NAMES - 1) {
			told[d_i] = GONE
		};
		INIT;
#ifdef SYNC
		sync_disk();
#endif
	}
	atomic {
		run session(A);
		run session(B);
		run leases();
		run comparing(A);
		run changing(A);
		run settling(A);
		run comparing(B);
		run changing(B);
		run settling(B);
		run chaos();
#ifdef FRONT
		run frontend();
#endif
#ifndef PROGRESS
		run judge()
#endif
	}
}
