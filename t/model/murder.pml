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
 *   backendd/mblist_change.c
 *     CREATE:reserve      ask for the name; granted with a generation
 *     CREATE:make         the mailbox in the store
 *     CREATE:commit       the local list, durable; not shown yet
 *     CREATE:activate     the update server lists it
 *     CREATE:undo         any other answer: the local list as it was, then
 *                         release the name without waiting, then NO
 *     DELETE:deactivate   nobody sees it, nobody else may have it
 *     DELETE:commit       gone from the local list
 *     DELETE:release      the name is free
 *   backendd/mblist_rename.c
 *     RENAME:reserve      the new name
 *     RENAME:commit       old to new in the local list, in one
 *     RENAME:activate     the new name; its answer is waited for
 *     RENAME:release      the old name, only after that
 *     RENAME:undo         any other answer: new to old, release the new
 *   backendd/mblist_sync.c
 *     RECONCILE:list      what does the update server say is ours?
 *     RECONCILE:activate  here, and not so there
 *     RECONCILE:release   there, and not here; after all that is activated
 *     RECONCILE:back      a rename nobody was told of, and the name is taken
 *     RECONCILE:aside     here, but another's: to quarantine
 *   mupdated/list.c
 *     LIST:reserve LIST:activate LIST:deactivate LIST:delete
 *     LIST:takeover       by a generation that the list does not remember
 *     LIST:lease          a reservation ends, its owner being away
 *     LIST:sync           durable; only now is it answered and told
 *   mupdated/session*.c
 *     SESSION:fence       a host's new session ends its old one
 *   proxyd/front*.c
 *     FRONT:difference FRONT:entry FRONT:gone FRONT:barrier
 *
 * model.t runs this file once for each of its configurations, and once for
 * each of the M_ macros, the mutations: each leaves out one thing that matters,
 * and must fail.
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

mtype = { reserve, activate, deactivate, delete, list };
mtype = { idle, create_reserve, create_make, create_activate, create_undo,
	delete_deactivate, delete_commit, delete_release, rename_reserve,
	rename_commit, rename_activate, rename_release, rename_undo,
	sync_list, sync_activate, sync_activated, sync_release, sync_released };

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
byte held_op[BOTH], held_gen[BOTH], held_rec[BOTH]; /* answers */
#endif
byte granted;    /* the last generation */
byte first;      /* the first of this run; none below it is remembered... */
byte remembered; /* ...but those up to this, from a backup */

/* A backend's disk. */
byte l_gen[BOTH * NAMES];  /* of the mailbox's location; 0: no mailbox */
bit l_told[BOTH * NAMES];  /* the update server has acknowledged it */
byte l_from[BOTH * NAMES]; /* until then: the name it had before, + 1... */
byte l_back[BOTH * NAMES]; /* ...and that one's generation */
byte aside[BOTH * NAMES];  /* in quarantine, of this generation */

/* A backend's memory: the change under way, the comparison, what it found. */
bit conn[BOTH];
bit dead[BOTH]; /* for ever */
mtype op[BOTH] = idle;
byte op_name[BOTH], op_to[BOTH], op_gen[BOTH], op_answer[BOTH];
byte ops[BOTH];
mtype rec[BOTH] = idle;
byte rec_name[BOTH], rec_answer[BOTH];
byte snap_state[BOTH * NAMES], snap_gen[BOTH * NAMES]; /* as it was sent */
mtype want[BOTH * NAMES] = idle;                       /* to be done */

/*
 * On the wire.  An answer waits in op_answer or rec_answer; what breaks the
 * connection takes it away.
 */
#define FOR_OP 0
#define FOR_REC 1
#define FOR_NOBODY 2
chan request[BOTH] = [4] of { mtype, byte, byte, byte };
chan old[BOTH] = [4] of { mtype, byte, byte, byte }; /* of an old session */

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
	:: f_conn && len(stream) < 8 -> stream!revision, n, u[n].state
	:: f_conn && len(stream) >= 8 -> cut_stream()
	:: else
	fi
}

/* FRONT:difference: what can be seen, then what cannot, then the position. */
inline send(visible)
{
	for (f_r : f_position + 1 .. revision) {
		for (f_i : 0 .. NAMES - 1) {
			if
#ifdef M_GONE_IN_ORDER
			:: u_revision[f_i] == f_r && visible ->
#else
			:: u_revision[f_i] == f_r &&
			   (u[f_i].state == ACTIVE) == visible ->
#endif
				stream!f_r, f_i, u[f_i].state
			:: else
			fi
		}
	}
}

/* If not all changes since are known any more, all of it is sent. */
inline subscribe(all)
{
	f_conn = 1;
	f_differs = 1;
	if
	:: all -> f_position = 0
	:: else
	fi;
	send(1);
	send(0);
	stream!revision, NONE, 0
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
	:: STEP(f_noop && len(stream) < 8, answer_noop())
	od
}
#define FRONT_QUIET (f_conn && !looking && len(stream) == 0)
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

/* Octets that were received may be read yet. */
inline disconnect(b, received)
{
	conn[b] = 0;
	do
	:: nempty(request[b]) ->
		request[b]?d_command, d_name, d_gen, d_for;
		if
		:: received && len(old[b]) < 4 ->
			old[b]!d_command, d_name, d_gen, FOR_NOBODY
		:: else
		fi
	:: empty(request[b]) -> break
	od;
	if
	:: op_answer[b] == 0 &&
	   (op[b] == create_reserve || op[b] == create_activate ||
	       op[b] == delete_deactivate || op[b] == delete_release ||
	       op[b] == rename_reserve || op[b] == rename_activate ||
	       op[b] == rename_release) ->
		op_answer[b] = UNHEARD
	:: else
	fi;
	rec[b] = idle;
	rec_name[b] = 0;
	rec_answer[b] = 0;
#ifdef SYNC
	held_op[b] = 0;
	held_gen[b] = 0;
	held_rec[b] = 0;
#endif
	for (d_i : 0 .. NAMES - 1) {
		snap_state[AT(b, d_i)] = 0;
		snap_gen[AT(b, d_i)] = 0;
		want[AT(b, d_i)] = idle
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
	/* The loser comes again, and compares. */
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
	:: command == delete && u[n].state != ABSENT && u[n].host == b ->
		/* LIST:delete */
		put(n, ABSENT, 0, 0);
		answer = OK
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
	:: s_for == FOR_REC -> rec_answer[b] = answer
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
	:: s_for == FOR_REC -> held_rec[b] = answer
	:: else
	fi
}

inline let_go(b)
{
	op_answer[b] = (held_op[b] != 0 -> held_op[b] : op_answer[b]);
	op_gen[b] = (held_gen[b] != 0 -> held_gen[b] : op_gen[b]);
	rec_answer[b] = (held_rec[b] != 0 -> held_rec[b] : rec_answer[b]);
	held_op[b] = 0;
	held_gen[b] = 0;
	held_rec[b] = 0
}

/* LIST:sync */
inline sync()
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
#define UNSYNCED \
	(changed || held_op[A] || held_op[B] || held_rec[A] || held_rec[B])
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

proctype update_server()
{
	do
	:: STEP(nempty(request[A]), serve_next(A))
	:: STEP(nempty(request[B]), serve_next(B))
	:: STEP(nempty(old[A]), serve_old(A))
	:: STEP(nempty(old[B]), serve_old(B))
	:: STEP(ENDS(0), put(0, ABSENT, 0, 0))
#if NAMES > 1
	:: STEP(ENDS(1), put(1, ABSENT, 0, 0))
#endif
#if NAMES > 2
	:: STEP(ENDS(2), put(2, ABSENT, 0, 0))
#endif
#ifdef SYNC
	:: STEP(UNSYNCED, sync())
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
	rec[b] = sync_list;
	ask(list, 0, 0, FOR_REC)
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

inline store(n, g, is_told)
{
	l_gen[AT(b, n)] = g;
	l_told[AT(b, n)] = is_told;
	l_from[AT(b, n)] = 0;
	l_back[AT(b, n)] = 0
}

#define ANSWERED(o) (op[b] == o && op_answer[b] != 0)
#define IS_OK (op_answer[b] == OK)
#define MINE op_name[b]
#define TO op_to[b]

inline create_reserved()
{
	if
#ifdef M_ACTIVATE_FIRST
	:: IS_OK ->
		next(create_activate);
		ask(activate, MINE, op_gen[b], FOR_OP)
#else
	:: IS_OK -> next(create_make)
#endif
	:: else -> say_no()
	fi
}

inline create_commit()
{
#ifdef M_ACTIVATE_FIRST
	store(MINE, op_gen[b], 1);
	say_ok(EXISTS, 0)
#else
	store(MINE, op_gen[b], 0);
	next(create_activate);
	ask(activate, MINE, op_gen[b], FOR_OP)
#endif
}

inline create_activated()
{
	if
#ifdef M_ACTIVATE_FIRST
	:: IS_OK -> next(create_make)
#else
	:: IS_OK ->
		l_told[AT(b, MINE)] = 1;
		say_ok(EXISTS, 0)
#endif
#ifdef M_OK_ANYWAY
	:: else -> say_ok(EXISTS, 0)
#else
	:: else -> next(create_undo)
#endif
	fi
}

inline create_undone()
{
	store(MINE, 0, 0);
#ifndef M_NO_RELEASE
	ask(delete, MINE, 0, FOR_NOBODY);
#endif
	say_no()
}

/* The disk is full: nothing was made, or changed. */
inline make_failed(n)
{
	ask(delete, n, 0, FOR_NOBODY);
	say_no()
}

inline delete_failed()
{
	ask(activate, MINE, l_gen[AT(b, MINE)], FOR_NOBODY);
	say_no()
}

inline delete_deactivated()
{
	if
	:: IS_OK -> next(delete_commit)
	:: else -> say_no()
	fi
}

inline delete_committed()
{
	store(MINE, 0, 0);
#ifdef M_RELEASE_FIRST
	say_ok(GONE, 0)
#else
	next(delete_release);
	ask(delete, MINE, 0, FOR_OP)
#endif
}

inline rename_reserved()
{
	if
	:: IS_OK -> next(rename_commit)
	:: else -> say_no()
	fi
}

inline rename_committed()
{
	l_gen[AT(b, TO)] = op_gen[b];
	l_told[AT(b, TO)] = 0;
	l_from[AT(b, TO)] = MINE + 1;
	l_back[AT(b, TO)] = l_gen[AT(b, MINE)];
	store(MINE, 0, 0);
#ifdef M_DELETE_FIRST
	ask(delete, MINE, 0, FOR_NOBODY);
#endif
	next(rename_activate);
	ask(activate, TO, op_gen[b], FOR_OP);
#ifdef M_PIPELINED
	ask(delete, MINE, 0, FOR_NOBODY)
#else
	skip
#endif
}

inline rename_activated()
{
	if
	:: IS_OK ->
		store(TO, l_gen[AT(b, TO)], 1);
		next(rename_release);
		ask(delete, MINE, 0, FOR_OP)
#ifdef M_OK_ANYWAY
	:: else -> say_ok(GONE, EXISTS)
#else
	:: else -> next(rename_undo)
#endif
	fi
}

inline rename_undone()
{
	store(MINE, l_back[AT(b, TO)], 0);
	store(TO, 0, 0);
	/* Was it compared when it was not there? */
#ifdef M_UNDO_BACKWARDS
	ask(delete, TO, 0, FOR_NOBODY);
	ask(activate, MINE, l_gen[AT(b, MINE)], FOR_NOBODY);
#else
	ask(activate, MINE, l_gen[AT(b, MINE)], FOR_NOBODY);
	ask(delete, TO, 0, FOR_NOBODY);
#endif
	say_no()
}

/* --- a backend: comparing -------------------------------------------------- */

inline compare()
{
	for (d_i : 0 .. NAMES - 1) {
		if
		:: HAS(b, d_i) && (snap_state[AT(b, d_i)] != ACTIVE ||
		       !l_told[AT(b, d_i)] ||
		       snap_gen[AT(b, d_i)] != l_gen[AT(b, d_i)]) ->
			want[AT(b, d_i)] = activate
		:: !HAS(b, d_i) && snap_state[AT(b, d_i)] != ABSENT ->
			want[AT(b, d_i)] = delete
		:: else
		fi;
		snap_state[AT(b, d_i)] = 0;
		snap_gen[AT(b, d_i)] = 0
	};
	rec[b] = sync_activate;
	rec_name[b] = 0;
	rec_answer[b] = 0
}

#define REC rec_name[b]
#define WANTS(what) (want[AT(b, REC)] == what)

/* While a change is under way, that does the telling; then we look again. */
#ifdef M_SKIP_BUSY
#define WAITS false
#else
#define WAITS BUSY(b, REC)
#endif

inline rec_next(phase, after)
{
	rec_answer[b] = 0;
	if
	:: REC < NAMES - 1 ->
		REC++;
		rec[b] = phase
	:: else ->
		REC = 0;
		rec[b] = after
	fi
}

inline rec_activate()
{
	if
	:: WANTS(activate) && HAS(b, REC) && !BUSY(b, REC) ->
		/* RECONCILE:activate */
		want[AT(b, REC)] = idle;
		rec[b] = sync_activated;
		ask(activate, REC, l_gen[AT(b, REC)], FOR_REC)
	:: else -> rec_next(sync_activate, sync_release)
	fi
}

/* Not a mailbox of another, and not one that was changed meanwhile. */
inline rec_refused()
{
	if
#ifndef M_NO_BACK
	:: l_from[AT(b, REC)] != 0 && !HAS(b, l_from[AT(b, REC)] - 1) &&
	   !BUSY(b, l_from[AT(b, REC)] - 1) ->
		/* RECONCILE:back */
		d_i = l_from[AT(b, REC)] - 1;
		store(d_i, l_back[AT(b, REC)], 0);
		store(REC, 0, 0);
		REC = d_i;
		want[AT(b, REC)] = activate;
		rec[b] = sync_activate;
		rec_answer[b] = 0
#endif
	:: else ->
		/* RECONCILE:aside */
#ifndef M_DESTROY
		aside[AT(b, REC)] = l_gen[AT(b, REC)];
#endif
		store(REC, 0, 0);
		rec_next(sync_activate, sync_release)
	fi
}

inline rec_activated()
{
	if
	:: rec_answer[b] == OK ->
		if
		:: HAS(b, REC) && !BUSY(b, REC) ->
			store(REC, l_gen[AT(b, REC)], 1)
		:: else
		fi;
		rec_next(sync_activate, sync_release)
	:: rec_answer[b] == NO && HAS(b, REC) && !BUSY(b, REC) -> rec_refused()
	:: else -> rec_next(sync_activate, sync_release)
	fi
}

inline rec_release()
{
	if
#ifdef M_RELEASE_BLIND
	:: WANTS(delete) ->
#else
	:: WANTS(delete) && !HAS(b, REC) && !BUSY(b, REC) ->
#endif
		/* RECONCILE:release */
		ask(delete, REC, 0, FOR_NOBODY)
	:: else
	fi;
	want[AT(b, REC)] = idle;
	rec_next(sync_release, idle)
}

/* --- a backend ------------------------------------------------------------- */

#define FREE(n) (op[b] == idle && ops[b] > 0 && !dead[b] && !HAS(b, n))
#define HERE(n) (op[b] == idle && ops[b] > 0 && !dead[b] && HAS(b, n))

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

proctype backend(bit b)
{
	do
	:: STEP(MAY_CONNECT, connect())

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
	:: STEP(op[b] == create_make, create_commit())
	:: STEP(op[b] == create_make && MAY_FAIL, make_failed(MINE))
	:: STEP(ANSWERED(create_activate), create_activated())
	:: STEP(op[b] == create_undo, create_undone())

	:: STEP(ANSWERED(delete_deactivate), delete_deactivated())
	:: STEP(op[b] == delete_commit, delete_committed())
	:: STEP(op[b] == delete_commit && MAY_FAIL, delete_failed())
	:: STEP(ANSWERED(delete_release), say_ok(GONE, 0))

	:: STEP(ANSWERED(rename_reserve), rename_reserved())
	:: STEP(op[b] == rename_commit, rename_committed())
	:: STEP(op[b] == rename_commit && MAY_FAIL, make_failed(TO))
	:: STEP(ANSWERED(rename_activate), rename_activated())
	:: STEP(ANSWERED(rename_release), say_ok(GONE, EXISTS))
	:: STEP(op[b] == rename_undo, rename_undone())

	:: STEP(rec[b] == sync_list && rec_answer[b] != 0, compare())
	:: STEP(rec[b] == sync_activate && !WAITS, rec_activate())
	:: STEP(rec[b] == sync_activated && rec_answer[b] != 0 && !WAITS,
		rec_activated())
	:: STEP(rec[b] == sync_release && !WAITS, rec_release())
	od
}

/* --- what goes wrong ------------------------------------------------------- */

/* Its client has no answer. */
inline crash(b, received)
{
	disconnect(b, received);
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
	:: STEP(faults > 0 && !dead[A], faults--; crash(A, true))
	:: STEP(faults > 0 && !dead[B], faults--; crash(B, true))
	:: STEP(faults > 0 && conn[A], faults--; disconnect(A, true))
	:: STEP(faults > 0 && conn[B], faults--; disconnect(B, true))
	:: STEP(faults > 0 && conn[A] && len(request[A]) > 0,
		faults--; disconnect(A, false))
	:: STEP(faults > 0 && conn[B] && len(request[B]) > 0,
		faults--; disconnect(B, false))
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

#if NAMES == 1
#define ANY(p) (p(0))
#elif NAMES == 2
#define ANY(p) (p(0) || p(1))
#else
#define ANY(p) (p(0) || p(1) || p(2))
#endif

/* Nothing under way, and nothing to come. */
#define QUIET(b) \
	(len(request[b]) == 0 && len(old[b]) == 0 && op[b] == idle && \
	    rec[b] == idle && (conn[b] || dead[b]))
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
	(HAS(A, n) && l_told[AT(A, n)] && HAS(B, n) && l_told[AT(B, n)])
#endif
/* ...as long as nothing goes wrong, and but for what is being renamed. */
#define CALM(b) \
	(conn[b] && rec[b] == idle && len(request[b]) == 0 && len(old[b]) == 0)
#define RENAMES(b, n) (BUSY(b, n) && op_name[b] != op_to[b])
#define EARLY(b, n) \
	(CALM(b) && LISTED(b, n) && !HAS(b, n) && !RENAMES(b, n))
#define TOO_EARLY(n) (EARLY(A, n) || EARLY(B, n))

/* True, so that a failing assertion has a name. */
bit two_have_the_name = 1, listed_without_mailbox = 1, neither_name_listed = 1,
    neither_name_seen = 1, reservation_leaked = 1, list_lies = 1,
    ok_or_no_lied = 1, the_stale_one_won = 1, stuck = 1;

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
	:: SETTLED && ANY(STALE) -> assert(!the_stale_one_won)
	:: timeout && !SETTLED -> assert(!stuck)
	od
}
#endif

inline exists(b, n, g)
{
	l_gen[AT(b, n)] = g;
	l_told[AT(b, n)] = 1;
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
		sync();
#endif
	}
	atomic {
		run update_server();
		run backend(A);
		run backend(B);
		run chaos();
#ifdef FRONT
		run frontend();
#endif
#ifndef PROGRESS
		run judge()
#endif
	}
}
