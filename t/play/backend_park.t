#!/usr/bin/env python3
"""Sessions that are silent are parked, here at once: they give up their
mailbox, it is closed, and their clients do not notice."""
import os
import shutil
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "lib"))
from backend import Backend  # noqa: E402
from imap import equal, has, hasnt, ok, plan, run, simple  # noqa: E402

WAIT_SECONDS = 60
server = Backend(users=["fred", "joe"], conf=["park_after = 1ms"])


def select(c, name, command="SELECT"):
    lines = c.must("%s %s" % (command, name))
    c.id = [x.split("(")[1].split(")")[0] for x in lines
            if "[MAILBOXID" in x][0]
    return lines


def parked(c):
    """c has been silent for so long that it is parked, as all are that have
    its mailbox selected, and that is closed."""
    end = time.monotonic() + WAIT_SECONDS
    while is_open(c.id):
        if time.monotonic() > end:
            raise EOFError("the mailbox is not closed")
        time.sleep(0.002)


def is_open(ident):
    """Has the store child anything of this mailbox open, or mapped?"""
    for pid in os.listdir("/proc"):
        try:
            with open("/proc/%s/stat" % pid) as f:
                parent = f.read().rsplit(")", 1)[1].split()[1]
            if int(parent) != server.child.pid:
                continue
            with open("/proc/%s/maps" % pid) as f:
                found = f.read()
            for fd in os.listdir("/proc/%s/fd" % pid):
                found += os.readlink("/proc/%s/fd/%s" % (pid, fd))
        except (OSError, IndexError, ValueError):
            continue
        if "/%s/" % ident in found:
            return True
    return False


def box(c, name, messages=4):
    c.must("CREATE " + name)
    for i in range(messages):
        c.append(name, simple("message %d" % (i + 1)))


def uids(lines):
    """{number: UID} of FETCH responses."""
    return {int(x.split()[1]): int(x.split("UID ")[1].split(")")[0].split()[0])
            for x in lines if " FETCH (" in x and "UID " in x}


def lines_until(c, want):
    """What is said without asking, up to a line that has this in it."""
    lines = []
    while not lines or want not in lines[-1]:
        lines.append(c.line())
    return lines


def deliver(name="fred"):
    m = server.lmtp()
    m.sendmail("a@example.org", [name], simple("delivered").decode())
    m.quit()


def test_numbers(c, d):
    """What a number meant before it means behind."""
    box(c, "numbers")
    select(c, "numbers")
    parked(c)
    select(d, "numbers")
    d.must(r"STORE 2 +FLAGS (\Deleted)")
    d.must("EXPUNGE")
    d.append("numbers", simple("new"))
    parked(c)
    r = c.must("FETCH 4 (UID)")
    equal(uids(r), {4: 4}, "the fourth is the fourth still")
    hasnt(r, "EXPUNGE", "no EXPUNGE with a FETCH")
    parked(c)
    has(c.do("FETCH 2 (UID FLAGS)"), r"^a\d+ NO \[EXPUNGEISSUED\]",
        "the second is gone, and counts")
    parked(c)
    r = c.said("NOOP")
    equal(r, ["* 2 EXPUNGE"], "now its EXPUNGE is told, and nothing twice")
    equal(uids(c.must("FETCH 1:* (UID)")), {1: 1, 2: 3, 3: 4, 4: 5},
          "numbers and UIDs as told")
    c.must("UNSELECT")


def test_idle(c, d):
    """Parked in IDLE, with the mailbox closed: news come at once."""
    box(c, "idle")
    select(c, "idle")
    tag = c.begin("IDLE")
    has([c.line()], r"^\+", "it idles")
    parked(c)
    d.append("idle", simple("new"))
    equal(lines_until(c, "RECENT")[0], "* 5 EXISTS", "a message")
    parked(c)
    select(d, "idle")
    d.must(r"STORE 1 +FLAGS (\Flagged $New)")
    r = lines_until(c, "FETCH")
    has(r[:1], r"^\* FLAGS \(.*\$New\)", "a keyword")
    has(r, r"^\* 1 FETCH \(UID 1 FLAGS \(.*\\Flagged \$New\)\)", "flags")
    d.must(r"STORE 2:3 +FLAGS.SILENT (\Deleted)")
    equal(len([lines_until(c, "FETCH") for _ in "23"]), 2, "and more")
    d.must("EXPUNGE")
    equal([c.line(), c.line()], ["* 3 EXPUNGE", "* 2 EXPUNGE"], "expunges")
    parked(c)
    c.send(b"DONE\r\n")
    equal(c.end(tag), [tag + " OK Idle completed"], "DONE")
    equal(uids(c.must("FETCH 1:* (UID)")), {1: 1, 2: 4, 3: 5},
          "and agree with the numbers")
    c.must("UNSELECT")


def test_delivery(c, d):
    select(c, "INBOX")
    tag = c.begin("IDLE")
    c.line()
    parked(c)
    deliver()
    has([c.line()], r"^\* 1 EXISTS", "a delivery is told at once")
    c.line()
    parked(c)
    deliver()
    has([c.line()], r"^\* 2 EXISTS", "and the next")
    has([c.line()], r"^\* 2 RECENT", "what is recent stays so")
    parked(c)
    c.send(b"DONE\r\n")
    c.end(tag)
    parked(c)
    has(c.must("FETCH 1:2 (FLAGS)"), r"^\* 1 FETCH \(FLAGS \(\\Recent\)\)",
        "to who has been told")
    select(d, "INBOX")
    hasnt(d.must("FETCH 1:* (FLAGS)"), "Recent", "and to nobody else")
    d.must("UNSELECT")
    c.must("UNSELECT")


def test_qresync(c, d):
    q = server.client("fred")
    q.must("ENABLE QRESYNC")
    box(c, "resync")
    has(select(q, "resync"), "HIGHESTMODSEQ", "with MODSEQs")
    parked(q)
    select(d, "resync")
    d.must(r"STORE 3 +FLAGS (\Seen)")
    d.must(r"STORE 1,2 +FLAGS (\Deleted)")
    d.must("EXPUNGE")
    parked(q)
    r = q.said("NOOP")
    has(r[:1], r"^\* VANISHED 1:2$", "VANISHED first")
    has(r, r"^\* 1 FETCH \(UID 3 MODSEQ \(\d+\) FLAGS \(.*\\Seen\)\)",
        "then flags, with MODSEQ")
    has(r, r"^\* OK \[HIGHESTMODSEQ \d+\]", "and the highest")
    equal(len(r), 3, "and no more")
    parked(q)
    equal(q.said("NOOP"), [], "nothing twice")
    tag = q.begin("IDLE")
    q.line()
    parked(q)
    select(d, "resync")
    d.must("UID MOVE 4 INBOX")
    has([q.line()], r"^\* VANISHED 4$", "in IDLE")
    q.send(b"DONE\r\n")
    q.end(tag)
    q.must("LOGOUT")
    d.must("UNSELECT")


def test_uidonly(c, d):
    u = server.client("fred")
    u.must("ENABLE UIDONLY")
    box(c, "only")
    select(u, "only")
    parked(u)
    select(d, "only")
    d.must(r"STORE 2 +FLAGS (\Answered)")
    d.must(r"STORE 4 +FLAGS.SILENT (\Deleted)")
    d.must("EXPUNGE")
    parked(u)
    r = u.said("NOOP")
    equal(r[0], "* VANISHED 4", "VANISHED")
    has(r, r"^\* 2 UIDFETCH \(FLAGS \(.*\\Answered\)\)$", "UIDFETCH")
    u.must("LOGOUT")


def test_notify(c, d):
    """Without IDLE, too."""
    n = server.client("fred")
    box(c, "news")
    select(n, "news")
    n.must("NOTIFY SET (selected (MessageNew (UID BODY.PEEK[HEADER.FIELDS "
           "(SUBJECT)]) MessageExpunge FlagChange)) "
           "(mailboxes other (MessageNew MessageExpunge))")
    parked(n)
    d.append("news", simple("told"))
    r = lines_until(n, "FETCH")
    has(r, r"^\* 5 EXISTS", "a new message")
    has(r, r"^\* 5 FETCH .*UID 5.*Subject: told", "is fetched unasked")
    parked(n)
    select(d, "news")
    d.must(r"STORE 2 +FLAGS (\Deleted)")
    has([n.line()], r"^\* 2 FETCH .*Deleted", "flags")
    d.must("EXPUNGE")
    equal(n.line(), "* 2 EXPUNGE", "an EXPUNGE")
    parked(n)
    n.must("NOTIFY SET (selected-delayed (MessageNew MessageExpunge))")
    parked(n)
    select(d, "news")
    d.must(r"STORE 1 +FLAGS (\Deleted)")
    d.must("EXPUNGE")
    parked(n)
    d.append("news", simple("again"))
    has([n.line()], r"^\* 5 EXISTS", "delayed: what is new")
    n.line()
    parked(n)
    equal(uids(n.must("FETCH 2:* (UID)")), {2: 3, 3: 4, 4: 5, 5: 6},
          "numbers hold")
    parked(n)
    equal(n.said("NOOP"), ["* 1 EXPUNGE"], "then the EXPUNGE")
    n.must("LOGOUT")


def test_seen(c, d):
    """A \\Seen of one's own, in another's mailbox."""
    box(c, "theirs")
    c.must("SETACL theirs joe lrs")
    j = server.client("joe")
    other = server.client("joe")
    name = '"Other Users/fred/theirs"'
    select(j, name)
    parked(j)
    select(other, name)
    other.must(r"STORE 2 +FLAGS (\Seen)")
    parked(j)
    has(j.said("NOOP"), r"^\* 2 FETCH \(UID 2 FLAGS \(.*\\Seen\)\)",
        "is told by number")
    j.must("LOGOUT")
    other.must("LOGOUT")


def test_input(c, d):
    """What comes to a parked session, however it is cut."""
    box(c, "input")
    select(c, "input")
    r = c.must("SEARCH RETURN (SAVE) 2:3")
    parked(c)
    select(d, "input")
    d.must(r"STORE 2 +FLAGS.SILENT (\Deleted)")
    d.must("EXPUNGE")
    parked(c)
    r = c.must("UID FETCH $ (UID)")
    hasnt(r, "UID 2", "what is gone of a saved search")
    equal(uids(r), {3: 3}, "and what is left")
    parked(c)
    c.send(b"x1 UID FE")
    c.send(b"TCH 3 (FLAGS)\r\nx2 NOOP\r\nx3 CHECK\r\n")
    has(c.end("x1"), r"^\* . FETCH \(UID 3 FLAGS", "a command in two pieces")
    c.end("x2")
    c.end("x3")
    parked(c)
    c.send(b"x4 APPEND input {16}\r\n")
    has([c.line()], r"^\+", "a literal may come")
    c.send(b"Subject: x\r\n\r\n..\r\n")
    has(c.end("x4"), r"^\* 4 EXISTS", "and is told")
    parked(c)
    has(c.do("CLOSE"), r"^a\d+ OK", "CLOSE")


def test_context(c, d):
    """A session with one is not parked, and is told."""
    box(c, "context")
    select(c, "context")
    tag = c.begin("SEARCH RETURN (ALL UPDATE) FLAGGED")
    c.end(tag)
    idle = c.begin("IDLE")
    c.line()
    select(d, "context")
    d.must(r"STORE 3 +FLAGS (\Flagged)")
    has(lines_until(c, "ESEARCH"), r'TAG "%s"\).* ADDTO \(0 3\)' % tag,
        "ADDTO")
    c.send(b"DONE\r\n")
    c.end(idle)
    c.must("UNSELECT")
    d.must("UNSELECT")


def test_lost(c, d):
    """The mailbox is deleted, or lost, while it is closed."""
    box(c, "lost")
    e = server.client("fred")
    select(e, "lost")
    parked(e)
    d.must("DELETE lost")
    has([e.line()], r"^\* BYE \[NONEXISTENT\]", "BYE at once")
    e.close()
    box(c, "broken")
    e = server.client("fred")
    select(e, "broken")
    parked(e)
    ident = [x for x in d.must("STATUS broken (MAILBOXID)")
             if "MAILBOXID" in x][0].split("(")[-1].split(")")[0]
    for where, names, _ in os.walk(server.path("spool", "m")):
        if ident in names:
            shutil.rmtree(os.path.join(where, ident))
    e.begin("FETCH 1 (FLAGS)")
    has([e.line()], r"^\* BYE \[UNAVAILABLE\]", "BYE when it is needed")
    e.close()


def test_log_out(c, d):
    box(c, "end")
    for words in "UNSELECT", "SELECT INBOX", "LOGOUT":
        e = server.client("fred")
        select(e, "end")
        parked(e)
        has(e.do(words), r"^a\d+ OK", "%s of a parked one" % words)
        e.close()
    e = server.client("fred")
    select(e, "end")
    parked(e)
    e.close()
    has(c.do("DELETE end"), r"^a\d+ OK", "hanging up lets go of it")


with server:
    run([test_numbers, test_idle, test_delivery, test_qresync, test_uidonly,
         test_notify, test_seen, test_input, test_context, test_lost,
         test_log_out],
        lambda: [server.client("fred"), server.client("fred")])
plan()
