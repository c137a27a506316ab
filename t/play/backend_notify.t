#!/usr/bin/env python3
"""NOTIFY (RFC 5465): what is told between commands, of which mailboxes, and
to whom."""
import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "lib"))
from backend import Backend  # noqa: E402
from imap import equal, has, hasnt, ok, plan, run, simple  # noqa: E402


def silent(c, what):
    """Nothing is on its way: what comes next is the answer to a NOOP that
    the server hears after all that."""
    r = c.must("NOOP")
    ok(len(r) == 1, what)
    for line in r[:-1]:
        print("#  ", line[:300])


def settle(c):
    """All that c has done has been seen by the server's loop."""
    c.must("NOOP")


def hears(c, want, what):
    """The next thing said, without asking."""
    try:
        has([c.line()], want, what)
    except TimeoutError:
        ok(False, what + " (nothing came)")
        raise


def test_syntax(c):
    has(c.must("CAPABILITY"), " NOTIFY( |$)", "NOTIFY is offered")
    for args in ("", "NONE x", "SET", "SET STATUS", "SET (personal)",
                 "SET (personal (MessageNew))",
                 "SET (personal (MessageExpunge))",
                 "SET (personal (FlagChange))",
                 "SET (personal (MessageNew (UID) MessageExpunge))",
                 "SET (selected (MailboxName))",
                 "SET (selected (MessageNew (BODY[x) MessageExpunge))",
                 "SET (selected NONE) (selected-delayed (MessageNew "
                 "MessageExpunge)) (selected (MessageNew MessageExpunge))",
                 "SET (subtree-one x (MailboxName))",
                 "SET (nowhere (MailboxName))", "SET (mailboxes (MailboxName))",
                 "SET (personal NONE) x", "SET personal NONE"):
        has(c.do("NOTIFY " + args), r"^a\d+ BAD", "NOTIFY %s: BAD" % args)
    r = c.do("NOTIFY SET (personal (MailboxName Nonsense))")
    has(r, r"^a\d+ NO \[BADEVENT \(MessageNew MessageExpunge FlagChange "
        r"MailboxName SubscriptionChange MailboxMetadataChange "
        r"ServerMetadataChange\)\]", "an unknown event is NO [BADEVENT]")
    has(c.do("NOTIFY SET (selected (MessageNew MessageExpunge "
             "AnnotationChange))"), r"^a\d+ NO \[BADEVENT",
        "there are no message annotations")
    c.must("NOTIFY SET (mailboxes (a b) NONE) (personal NONE)")
    c.must("NOTIFY NONE")


def test_selected(c, d):
    d.must("CREATE box")
    d.append("box", simple("one"))
    c.must("SELECT box")
    d.must("SELECT box")
    d.append("box", simple("two"))
    r = c.must("NOTIFY SET (selected (MessageNew (UID FLAGS "
               "BODY.PEEK[HEADER.FIELDS (Subject)]) MessageExpunge "
               "FlagChange))")
    has(r, r"^\* 2 EXISTS$", "NOTIFY SET is a NOOP, too")
    d.append("box", simple("three"))
    hears(c, r"^\* 3 EXISTS$", "a new message")
    c.line()  # RECENT
    hears(c, r"^\* 3 FETCH \(UID 3 FLAGS \(.*\) BODY\[HEADER.FIELDS "
          r"\(Subject\)\] \{\d+\}\r\nSubject: three\r\n\r\n\)$",
          "and what was asked of it")
    d.must("NOOP")
    d.must(r"STORE 1 +FLAGS (\Flagged)")
    hears(c, r"^\* 1 FETCH \(UID 1 FLAGS \(.*\\Flagged\)\)$", "flags")
    d.must(r"STORE 1 +FLAGS.SILENT (\Deleted)")
    c.line()
    d.must("EXPUNGE")
    hears(c, r"^\* 1 EXPUNGE$", "an expunge")
    tag = c.begin("IDLE")
    c.line()
    d.append("box", simple("four"))
    hears(c, r"^\* 3 EXISTS$", "in IDLE: a new message")
    c.line()
    hears(c, r"^\* 3 FETCH \(UID 4 ", "and its FETCH")
    d.append("box", simple("five"))
    hears(c, r"^\* 4 EXISTS$", "and again")
    c.line()
    c.line()
    c.send(b"DONE\r\n")
    has(c.end(tag)[-1:], r"^a\d+ OK", "IDLE ends as ever")
    r = c.must("SELECT box")
    hasnt(r, "FETCH", "what is there at SELECT is not new")
    d.append("box", simple("six"))
    hears(c, r"^\* 5 EXISTS$", "what comes then")
    c.line()
    hears(c, r"^\* 5 FETCH \(UID 6 ", "is")
    c.must("NOTIFY SET (selected (MessageNew MessageExpunge))")
    d.must("NOOP")
    d.must(r"STORE 1 +FLAGS (\Answered)")
    settle(d)
    silent(c, "flags that were not asked for are not told")
    d.append("box", simple("seven"))
    hears(c, r"^\* 6 EXISTS$", "others are")
    c.line()
    silent(c, "and no FETCH without a list")


def test_delayed(c, d):
    c.must("SELECT box")
    c.must("NOTIFY SET (selected-delayed (MessageNew MessageExpunge "
           "FlagChange))")
    d.must("SELECT box")
    d.must(r"STORE 1 +FLAGS (\Deleted)")
    hears(c, r"^\* 1 FETCH", "delayed: flags at once")
    d.must("EXPUNGE")
    d.append("box", simple("x"))
    hears(c, r"^\* 7 EXISTS$|^\* 6 EXISTS$", "and what is new")
    c.line()
    hasnt(c.must("FETCH 2 UID"), "EXPUNGE", "no expunge with FETCH")
    has(c.must("NOOP"), r"^\* 1 EXPUNGE$", "but with NOOP")


def places(lines, *wants):
    """Where in lines the first with each of them is."""
    return [next((i for i, x in enumerate(lines) if w in x), None)
            for w in wants]


def test_update(c, d):
    """7: a search's UPDATE says what is wanted of new messages."""
    c = server.client("joe")
    c.must("CREATE bossy")
    c.append("bossy", simple("first"))
    c.must("SELECT bossy")
    d.must("SELECT bossy")
    c.must("SEARCH RETURN (COUNT UPDATE (UID BODY.PEEK[HEADER.FIELDS (TO FROM "
           "SUBJECT)])) FROM a@example.org UNFLAGGED")
    tag = "a%d" % c.n
    added = '(TAG "%s") ADDTO (0 2)' % tag
    d.append("bossy", simple("from the boss"))
    r = c.must("NOOP")
    at = places(r, "2 EXISTS", "2 FETCH (UID 2 BODY[HEADER.FIELDS", added)
    ok(None not in at and at == sorted(at) and "from the boss" in r[at[1]],
       "EXISTS, FETCH, ADDTO: before the answer to NOOP")
    has(r[-1:], "OK Noop", "which comes last")
    equal(places(c.must("NOOP"), "FETCH", "ADDTO"), [None, None], "once")
    idle = c.begin("IDLE")
    c.line()
    d.append("bossy", b"From: b@example.org\r\n\r\nx\r\n")
    d.append("bossy", simple("again"))
    r = []
    while not r or "ADDTO" not in r[-1]:
        r.append(c.line())
    ok("ADDTO (0 4)" in r[-1], "in IDLE, the one that is found")
    has(r[-2:-1], r"^\* 4 FETCH \(UID 4 BODY", "fetched before that")
    equal(places(r, "3 FETCH"), [None], "and not the other")
    d.must(r"STORE 1 +FLAGS.SILENT (\Flagged)")
    d.must(r"STORE 1 -FLAGS.SILENT (\Flagged)")
    settle(d)
    d.append("bossy", simple("last"))
    while "ADDTO (0 5)" not in r[-1]:
        r.append(c.line())
    hasnt(r, r"^\* 1 FETCH \(UID 1 BODY", "flags are no reason to fetch")
    c.send(b"DONE\r\n")
    has(c.end(idle), r"^%s OK" % idle, "IDLE ends")
    c.begin("IDLE")
    c.line()
    tag = "a%d" % c.n
    d.append("bossy", simple("at the end"))
    c.send(b"DONE\r\n")
    r = c.end(tag) + c.must("NOOP")
    at = places(r, "6 FETCH (UID 6 BODY", "ADDTO (0 6)")
    ok(None not in at and at == sorted(at), "as it ends, too")
    c.must("NOTIFY SET (selected (MessageNew MessageExpunge FlagChange))")
    d.append("bossy", simple("told"))
    r = []
    while not r or "ADDTO (0 7)" not in r[-1]:
        r.append(c.line())
    equal(len([x for x in r if "7 FETCH (UID 7 BODY" in x]), 1,
          "with NOTIFY, without a command")
    for bad in "UPDATE (", "UPDATE ()", "UPDATE (NOTHING)", "UPDATE (UID":
        has(c.do("SEARCH RETURN (%s) ALL" % bad), r"^a\d+ BAD", bad)
    c.must("SEARCH RETURN (UPDATE(UID FLAGS) COUNT) ALL")
    c.close()
    d.must("UNSELECT")


def test_none(c, d):
    c.must("SELECT box")
    c.must("NOTIFY NONE")
    d.must("SELECT box")
    d.append("box", simple("x"))
    d.must(r"STORE 1:2 +FLAGS (\Deleted)")
    d.must("EXPUNGE")
    silent(c, "NONE: nothing, not even with NOOP")
    r = c.must(r"STORE 3 +FLAGS (\Deleted)")
    has(r, r"^\* 3 FETCH", "one's own changes are answered")
    r = c.must("EXPUNGE")
    has(r, r"^\* 3 EXPUNGE$", "and one's own expunges")
    c.must("NOTIFY SET (selected (MessageNew MessageExpunge FlagChange))")
    c.must("UNSELECT")


def test_others(c, d):
    for name in ("Lists", "Lists/Lemonade", "misc"):
        d.must("CREATE " + name)
    d.append("Lists/Lemonade", simple("x"))
    r = c.must("NOTIFY SET STATUS (selected (MessageNew (UID) "
               "MessageExpunge)) (subtree Lists (MessageNew MessageExpunge))")
    has(r, r"^\* STATUS Lists/Lemonade \(MESSAGES 1 UIDNEXT 2 "
        r"UIDVALIDITY \d+\)$", "STATUS of each")
    has(r, r"^\* STATUS Lists \(MESSAGES 0 ", "of the subtree")
    hasnt(r, "misc|INBOX", "and no others")
    d.append("Lists/Lemonade", simple("y"))
    hears(c, r"^\* STATUS Lists/Lemonade \(UIDVALIDITY \d+ UIDNEXT 3 "
          r"MESSAGES 2\)$", "a message in another mailbox")
    d.append("misc", simple("y"))
    d.must("SELECT Lists/Lemonade")
    d.must(r"STORE 1 +FLAGS (\Seen)")
    settle(d)
    silent(c, "other mailboxes and other events: nothing")
    d.must(r"STORE 1 +FLAGS.SILENT (\Deleted)")
    d.must("EXPUNGE")
    hears(c, r"^\* STATUS Lists/Lemonade \(UIDVALIDITY \d+ UIDNEXT 3 "
          r"MESSAGES 1\)$", "an expunge")
    c.must("NOTIFY SET (mailboxes (misc nothere) (MessageNew MessageExpunge "
           "FlagChange))")
    d.must("SELECT misc")
    d.must(r"STORE 1 +FLAGS (\Seen)")
    hears(c, r"^\* STATUS misc \(UIDVALIDITY \d+ UNSEEN 0\)$", "flags")
    c.must("ENABLE CONDSTORE")
    d.must(r"STORE 1 -FLAGS (\Seen)")
    hears(c, r"^\* STATUS misc \(UIDVALIDITY \d+ UNSEEN 1 HIGHESTMODSEQ "
          r"\d+\)$", "with CONDSTORE")
    c.must("SELECT misc")
    d.append("misc", simple("z"))
    settle(d)
    silent(c, "of the selected one only what SELECTED says: nothing")
    c.must("RENAME misc rest")
    d.append("rest", simple("z"))
    settle(d)
    silent(c, "nor by another name")
    hasnt(c.must("NOTIFY SET STATUS (personal (MessageNew MessageExpunge))"),
          r"^\* STATUS (misc|rest) ", "nor STATUS")
    c.must("RENAME rest misc")
    c.must("UNSELECT")
    c.must("NOTIFY SET (personal (MessageNew MessageExpunge))")
    d.must("CREATE fresh")
    d.append("fresh", simple("x"))
    hears(c, r"^\* STATUS fresh \(UIDVALIDITY \d+ UIDNEXT 2 MESSAGES 1",
          "a mailbox that was made since")
    c.must("NOTIFY SET (subscribed (MessageNew MessageExpunge))")
    d.append("fresh", simple("x"))
    settle(d)
    silent(c, "not subscribed")
    d.must("SUBSCRIBE fresh")
    d.append("fresh", simple("x"))
    hears(c, r"^\* STATUS fresh ", "subscribed")
    d.must("UNSUBSCRIBE fresh")
    d.append("fresh", simple("x"))
    settle(d)
    silent(c, "and not any more")


def test_names(c, d):
    c.must("NOTIFY SET (personal (MailboxName SubscriptionChange))")
    d.must("CREATE new")
    hears(c, r'^\* LIST \(\\HasNoChildren\) "/" new$', "CREATE")
    d.must("CREATE new/below")
    hears(c, r'^\* LIST \(\\HasNoChildren\) "/" new/below$', "one below")
    hears(c, r'^\* LIST \(\\HasChildren\) "/" new$', "and its parent")
    d.must("RENAME new newer")
    hears(c, r'^\* LIST \(\\HasChildren\) "/" newer \("OLDNAME" \(new\)\)$',
          "RENAME, once for the tree")
    d.must("SUBSCRIBE newer")
    hears(c, r'^\* LIST \(\\Subscribed \\HasChildren\) "/" newer$',
          "SUBSCRIBE")
    d.must("UNSUBSCRIBE newer")
    hears(c, r'^\* LIST \(\\HasChildren\) "/" newer$', "UNSUBSCRIBE")
    d.must("DELETE newer/below")
    hears(c, r'^\* LIST \(\\NonExistent\) "/" newer/below$', "DELETE")
    hears(c, r'^\* LIST \(\\HasNoChildren\) "/" newer$', "and its parent")
    d.must("CREATE above/one")
    hears(c, r'^\* LIST \(\\HasNoChildren\) "/" above/one$', "below no mailbox")
    hears(c, r'^\* LIST \(\\NonExistent \\HasChildren\) "/" above$',
          "that is affected, too")
    d.must("DELETE above/one")
    hears(c, r'^\* LIST \(\\NonExistent\) "/" above/one$', "DELETE")
    hears(c, r'^\* LIST \(\\NonExistent\) "/" above$', "nothing is left of it")
    c.must("CREATE mine")
    c.must("DELETE mine")
    silent(c, "one's own changes are no news")
    c.must("NOTIFY SET (mailboxes other (MailboxName))")
    d.must("CREATE none")
    settle(d)
    silent(c, "what was not asked for")
    d.must("CREATE other")
    hears(c, r'^\* LIST \(\\HasNoChildren\) "/" other$', "what was")


def test_rights(c, d):
    """ann hears of joe's mailbox while she may."""
    a = server.client("ann")
    name = '"Other Users/joe/common"'
    d.must("CREATE common")
    a.must("NOTIFY SET (subtree \"Other Users/joe\" (MessageNew "
           "MessageExpunge)) (mailboxes %s (MailboxName))" % name)
    d.append("common", simple("x"))
    settle(d)
    silent(a, "nothing of what one may not see")
    d.must("SETACL common ann lr")
    hears(a, r'^\* LIST \(\\HasNoChildren\) "/" %s$' % name, "rights given")
    d.append("common", simple("x"))
    hears(a, r"^\* STATUS %s \(UIDVALIDITY \d+ UIDNEXT 3 MESSAGES 2" % name,
          "messages then")
    d.must("SETACL common ann l")
    d.append("common", simple("x"))
    settle(d)
    silent(a, "nothing without r")
    r = a.must("NOTIFY SET (mailboxes %s (MessageNew MessageExpunge))" % name)
    has(r, r'^\* LIST \(\\NoAccess\) "/" %s$' % name, "NoAccess")
    d.must("SETACL common ann lr")
    d.append("common", simple("x"))
    hears(a, r"^\* STATUS ", "r given back")
    d.must("DELETEACL common ann")
    hears(a, r'^\* LIST \(\\NoAccess\) "/" %s$' % name, "all rights taken")
    d.append("common", simple("x"))
    settle(d)
    silent(a, "and nothing more")
    a.must("NOTIFY SET (mailboxes %s (SubscriptionChange))" % name)
    other = server.client("ann")
    other.must("UNSUBSCRIBE " + name)
    hears(a, r'^\* LIST \(\\NonExistent\) "/" %s$' % name,
          "UNSUBSCRIBE does not tell what it is")
    other.close()
    a.close()


def test_metadata(c, d):
    c.must("NOTIFY SET (mailboxes misc (MailboxMetadataChange)) "
           "(personal (ServerMetadataChange))")
    d.must('SETMETADATA misc (/private/comment "x")')
    hears(c, r'^\* METADATA misc /private/comment$', "an annotation")
    d.must('SETMETADATA Lists (/private/comment "x")')
    settle(d)
    silent(c, "of another mailbox")
    d.must('SETMETADATA "" (/private/comment "x")')
    hears(c, r'^\* METADATA "" /private/comment$', "of the server")


def test_overflow(c, d):
    """A client that does not listen: what it is told has an end."""
    c.must("NOTIFY SET (personal (MailboxName)) (mailboxes misc (MessageNew "
           "MessageExpunge))")
    tag = c.begin("APPEND INBOX {10}")  # in a command: nothing may be told
    ok(c.line().startswith("+"), "a literal is awaited")
    long = "n" * 150
    for n in range(400):
        d.begin("CREATE %s%d" % (long, n))
    for n in range(400):
        d.end("a%d" % (d.n - 399 + n))
    c.send(b"A: b\r\n\r\nc\r\n\r\n"[:10] + b"\r\n")
    r = c.end(tag)
    has(r, r"^\* OK \[NOTIFICATIONOVERFLOW\]", "NOTIFICATIONOVERFLOW")
    d.append("misc", simple("x"))
    settle(d)
    silent(c, "and then no more is told")


def test_too_many(c, d):
    """What is refused changes nothing."""
    for n in range(2001):
        tag = d.begin("CREATE many/%d" % n)
    d.end(tag)
    d.append("misc", simple("x"))
    c.must("SELECT misc")
    c.must("NOTIFY SET (selected (MessageNew MessageExpunge))")
    has(c.do("NOTIFY SET (personal (MessageNew MessageExpunge))"),
        r"^a\d+ NO \[NOTIFICATIONOVERFLOW\]", "too many mailboxes")
    d.must("SELECT misc")
    d.must(r"STORE 1 +FLAGS (\Flagged)")
    settle(d)
    silent(c, "flags are not told of, as before")
    d.append("misc", simple("y"))
    hears(c, r"^\* \d+ EXISTS$", "new messages are")


def clients():
    return server.client("joe"), server.client("joe")


server = Backend(users=["joe", "ann"])
with server:
    joe, other = run(
        [lambda c, d: test_syntax(c), test_selected, test_delayed, test_update,
         test_none,
         test_others, test_names, test_rights, test_metadata, test_overflow,
         test_too_many],
        clients)
    joe.must("UNAUTHENTICATE")
plan()
