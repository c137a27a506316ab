#!/usr/bin/env python3
"""QRESYNC (RFC 7162): what a client that comes back is told, and what others
are told in place of EXPUNGE."""
import os
import re
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "lib"))
from backend import Backend  # noqa: E402
from imap import has, hasnt, ok, plan, run, simple  # noqa: E402


def client(*enable):
    c = server.client("joe")
    if enable:
        has(c.must("ENABLE " + " ".join(enable)),
            r"^\* ENABLED .*QRESYNC", "ENABLE " + " ".join(enable))
    return c


def fill(c, box, n):
    c.must("CREATE " + box)
    m = simple("x")
    one = b" (\\Answered) {%d+}\r\n%s" % (len(m), m)
    while n > 0:
        some = min(n, 500)
        c.must(b"APPEND " + box.encode() + one * some)
        n -= some


def code(lines, name):
    m = re.search(r"\[%s (\d+)\]" % name, "\n".join(lines))
    return int(m.group(1)) if m else None


def state(c, box):
    r = c.must("STATUS %s (UIDVALIDITY HIGHESTMODSEQ)" % box)
    m = re.search(r"UIDVALIDITY (\d+) HIGHESTMODSEQ (\d+)", "\n".join(r))
    return int(m.group(1)), int(m.group(2))


def only(lines, word):
    return [x for x in lines if " %s " % word in x or x.endswith(" " + word)]


def test_not_enabled():
    c = server.client("joe")
    has(c.must("CAPABILITY"), r" QRESYNC( |$)", "QRESYNC is offered")
    fill(c, "plain", 3)
    has(c.do("SELECT plain (QRESYNC (1 1))"), r"^a\d+ BAD",
        "not without ENABLE")
    has(c.do("FETCH 1 FLAGS"), r"^a\d+ BAD", "and nothing is selected")
    r = c.must("SELECT plain (CONDSTORE)")
    ok(code(r, "HIGHESTMODSEQ"), "CONDSTORE says HIGHESTMODSEQ")
    has(c.do("UID FETCH 1:* (FLAGS) (CHANGEDSINCE 1 VANISHED)"), r"^a\d+ BAD",
        "nor VANISHED")
    c.must(r"STORE 1 +FLAGS (\Deleted)")
    r = c.must("EXPUNGE")
    has(r, r"^\* 1 EXPUNGE$", "others still hear EXPUNGE")
    hasnt(r, "VANISHED", "and not VANISHED")
    c.close()


def test_enabling():
    """RFC 7162 3.1: who asks for a MODSEQ is told of all from then on."""
    for how in ("STATUS plain (HIGHESTMODSEQ)",
                'LIST "" plain RETURN (STATUS (HIGHESTMODSEQ))'):
        c = server.client("joe")
        c.must("SELECT plain")
        hasnt(c.must(r"STORE 1 +FLAGS (\Flagged)"), "MODSEQ", "not asked for")
        c.must(how)
        has(c.must(r"STORE 1 -FLAGS (\Flagged)"), r"MODSEQ \(\d+\)", how)
        c.close()


def test_syntax():
    c = client("QRESYNC", "CONDSTORE")
    for args in ("", "()", "(0 1)", "(1)", "(1 x)", "(1 1 1:*)",
                 "(1 1 1:3 (1,2 4))", "(1 1 1:3 (1,2))", "(1 1 (1 *))",
                 "(1 1 1:3 (1 1) 4)", "(1 1 1:3 1:4)", "(1 1 1:3 (1 1)",
                 "(1 1  1:3)"):
        has(c.do("SELECT plain (QRESYNC %s)" % args), r"^a\d+ BAD",
            "QRESYNC %s is BAD" % args)
    c.must("SELECT plain (QRESYNC (1 1))")
    has(c.do("FETCH 1:* (FLAGS) (CHANGEDSINCE 1 VANISHED)"), r"^a\d+ BAD",
        "VANISHED is not for FETCH")
    has(c.do("UID FETCH 1:* (FLAGS) (VANISHED)"), r"^a\d+ BAD",
        "and goes with CHANGEDSINCE")
    c.close()


def test_expunge():
    """RFC 7162 3.2.7, 3.2.9, 3.2.10: UIDs 503 to 509, so to speak."""
    c, d = client("QRESYNC"), server.client("joe")
    fill(c, "box", 11)
    c.must("SELECT box")
    d.must("SELECT box")
    r = c.must(r"UID STORE 3,4,7,11 +FLAGS.SILENT (\Deleted)")
    has(r, r"^\* 3 FETCH \(UID 3 MODSEQ \(\d+\)\)", "STORE tells MODSEQ")
    before = state(c, "box")[1]
    r = c.must("EXPUNGE")
    has(r, r"^\* VANISHED 3:4,7,11$", "EXPUNGE says VANISHED")
    hasnt(r, r"EXPUNGE$|\* OK", "and nothing else")
    ok((code(r[-1:], "HIGHESTMODSEQ") or 0) > before,
       "HIGHESTMODSEQ is in the reply, and higher")
    ok(only(d.must("NOOP"), "EXPUNGE") ==
       ["* 11 EXPUNGE", "* 7 EXPUNGE", "* 4 EXPUNGE", "* 3 EXPUNGE"],
       "others hear EXPUNGE")
    c.must(r"UID STORE 5,8 +FLAGS (\Deleted)")
    r = c.must("UID EXPUNGE 1:6")
    has(r, r"^\* VANISHED 5$", "UID EXPUNGE says VANISHED")
    ok(code(r[-1:], "HIGHESTMODSEQ"), "HIGHESTMODSEQ is in its reply")
    r = c.must("EXPUNGE")
    has(r, r"^\* VANISHED 8$", "only those not told before")
    hasnt(c.must("EXPUNGE")[-1:], "HIGHESTMODSEQ", "none, no HIGHESTMODSEQ")
    d.must("NOOP")
    d.must(r"STORE 1 +FLAGS (\Deleted)")
    c.must("NOOP")
    d.must("EXPUNGE")
    r = c.must("NOOP")
    has(r, r"^\* VANISHED 1$", "what others expunge has VANISHED")
    ok(code(r, "HIGHESTMODSEQ") == state(c, "box")[1],
       "and HIGHESTMODSEQ is told")
    d.must(r"STORE 1 +FLAGS (\Deleted)")
    before = state(d, "box")[1]
    r = c.must("CLOSE")
    hasnt(r, "HIGHESTMODSEQ|VANISHED", "CLOSE tells nothing")
    ok(state(d, "box")[1] > before, "and counts")
    c.close()
    d.close()


def test_delayed():
    """RFC 7162 6: no MODSEQ hides an expunge that is still to be told."""
    c, d = client("QRESYNC"), server.client("joe")
    fill(c, "late", 8)
    c.must("SELECT late")
    d.must("SELECT late")
    d.must(r"STORE 8 +FLAGS (\Deleted)")
    d.must("EXPUNGE")
    modseq = state(d, "late")[1]
    r = c.must(r"STORE 1:2 +FLAGS.SILENT (\Seen)")
    hasnt(r, "VANISHED", "STORE may not say VANISHED")
    ok(code(r, "HIGHESTMODSEQ") == modseq - 1, "and says up to where")
    c.must(r"STORE 3 +FLAGS.SILENT (\Seen)")
    r = c.must("NOOP")
    has(r, r"^\* VANISHED 8$", "NOOP may")
    ok(code(r, "HIGHESTMODSEQ") == state(d, "late")[1], "then all is known")
    hasnt(c.must("NOOP"), "HIGHESTMODSEQ", "and that is all")
    c.close()
    d.close()


def test_select():
    c, d = client("QRESYNC"), server.client("joe")
    fill(c, "sel", 20)
    valid, modseq = state(c, "sel")
    d.must("SELECT sel")
    d.must(r"STORE 2,12 +FLAGS (\Flagged)")
    d.must(r"STORE 4,6:8,20 +FLAGS (\Deleted)")
    d.must("EXPUNGE")
    r = c.must("SELECT sel (QRESYNC (%d %d))" % (valid + 1, modseq))
    has(r, r"^\* 15 EXISTS", "another UIDVALIDITY: selected")
    hasnt(r, "VANISHED|FETCH", "and nothing said")
    r = c.must("SELECT sel (QRESYNC (%d %d))" % (valid, modseq))
    has(r, r"^\* OK \[CLOSED\]", "CLOSED")
    has(r, r"^\* VANISHED \(EARLIER\) 4,6:8,20$", "what has gone")
    has(r, r"^\* 2 FETCH \(UID 2 MODSEQ \(\d+\) FLAGS \(.*\\Flagged\)\)$",
        "what has changed")
    has(r, r"^\* 8 FETCH \(UID 12 ", "by the numbers of now")
    ok(len(only(r, "FETCH")) == 2, "and no more")
    ok([x.split()[1] for x in r].index("VANISHED") <
       [x for x in range(len(r)) if " FETCH " in r[x]][0],
       "VANISHED comes before FETCH")
    high = code(r, "HIGHESTMODSEQ")
    ok(high == state(d, "sel")[1], "HIGHESTMODSEQ")
    d.append("sel", simple("new"))
    r = c.must("SELECT sel (QRESYNC (%d %d 5:8,12))" % (valid, modseq))
    has(r, r"^\* VANISHED \(EARLIER\) 6:8$", "known UIDs only: gone")
    ok([x.split()[4] for x in only(r, "FETCH")] == ["12"],
       "known UIDs only: changed")
    r = c.must("SELECT sel (QRESYNC (%d %d 1:20 (2:3,6 2:3,9)))" %
               (valid, modseq))
    has(r, r"^\* VANISHED \(EARLIER\) 4,6:8,20$", "up to number 3 it is right")
    r = c.must("SELECT sel (QRESYNC (%d %d 1:20 (3:5 3,5,9)))" %
               (valid, modseq))
    has(r, r"^\* VANISHED \(EARLIER\) 20$", "up to UID 9 all is known")
    ok(len(only(r, "FETCH")) == 2, "of expunges, not of changes")
    r = c.must("SELECT sel (QRESYNC (%d %d (3:5 3,5,9)))" % (valid, modseq))
    has(r, r"^\* VANISHED \(EARLIER\) 20$", "also without known UIDs")
    ok(len(only(r, "FETCH")) == 3, "then a new message is a change")
    r = c.must("EXAMINE sel (QRESYNC (%d %d))" % (valid, high))
    hasnt(r, "VANISHED", "nothing has gone since")
    has(r[-1:], "READ-ONLY", "EXAMINE")
    r = c.must("SELECT sel (QRESYNC (%d %d))" % state(d, "sel"))
    hasnt(r, "VANISHED|FETCH", "nothing at all since")
    c.close()
    d.close()


def test_fetch():
    """RFC 7162 3.2.6."""
    c, d = client("QRESYNC"), server.client("joe")
    fill(c, "fetch", 12)
    _, modseq = state(c, "fetch")
    d.must("SELECT fetch")
    d.must(r"STORE 1:2,5,11:12 +FLAGS (\Deleted)")
    d.must("EXPUNGE")
    d.must(r"UID STORE 4,6,8 +FLAGS ($NoJunk)")
    c.must("SELECT fetch")
    r = c.must("UID FETCH 1:8 (FLAGS) (CHANGEDSINCE %d VANISHED)" % modseq)
    has(r[:1], r"^\* VANISHED \(EARLIER\) 1:2,5$", "VANISHED comes first")
    ok([x.split()[4] for x in only(r, "FETCH")] == ["4", "6", "8"],
       "then what has changed")
    has(r, r"MODSEQ \(\d+\)", "with MODSEQ")
    r = c.must("UID FETCH 1:* (FLAGS) (CHANGEDSINCE %d VANISHED)" % modseq)
    has(r, r"^\* VANISHED \(EARLIER\) 1:2,5,11:12$",
        "* is as high as ever there was")
    r = c.must("UID FETCH 3:4 (FLAGS) (CHANGEDSINCE %d VANISHED)" % modseq)
    hasnt(r, "VANISHED", "none of these")
    d.must(r"UID STORE 9 +FLAGS (\Deleted)")
    d.must("EXPUNGE")
    r = c.must("UID FETCH 1:* (FLAGS) (CHANGEDSINCE %d VANISHED)" % modseq)
    has(r, r"^\* VANISHED \(EARLIER\) 1:2,5,11:12$",
        "what is still counted is not EARLIER")
    has(r, r"^\* VANISHED 9$", "but comes then")
    c.close()
    d.close()


def test_passed_over():
    """RFC 5530: EXPUNGEISSUED, and who may not change anything."""
    c, d = client("QRESYNC"), server.client("joe")
    fill(c, "over", 3)
    c.must("SELECT over")
    d.must("SELECT over")
    d.must(r"STORE 2 +FLAGS (\Deleted)")
    d.must("EXPUNGE")
    has(c.do(r"STORE 1:3 +FLAGS (\Seen)"), r"^a\d+ OK \[EXPUNGEISSUED\]",
        "STORE of what is gone")
    has(c.do("FETCH 1:3 FLAGS"), r"^a\d+ NO \[EXPUNGEISSUED\]",
        "FETCH of what is gone")
    c.must("EXAMINE over")
    for command in (r"STORE 1 +FLAGS (\Seen)", "EXPUNGE", "MOVE 1 plain"):
        has(c.do(command), r"^a\d+ NO \[READ-ONLY\]", command)
    c.must("CREATE none")
    c.must("SELECT none")
    for numbers in ("1", "*", "2:*", "1,1:*"):
        has(c.do("FETCH %s FLAGS" % numbers), r"^a\d+ BAD",
            "FETCH %s of nothing" % numbers)
    c.must("FETCH 1:* FLAGS")
    c.must("UID FETCH 1,5,* FLAGS")
    c.close()
    d.close()


def test_drained():
    """A session in IDLE is told BYE when the server ends, and no more."""
    c = client("QRESYNC")
    c.must("SELECT plain")
    c.begin("IDLE")
    c.line()
    status = server.stop()
    has([c.line()], r"^\* BYE \[UNAVAILABLE\]", "BYE")
    try:
        ok(False, "and then %s" % c.line())
    except EOFError:
        ok(True, "and the end")
    ok(status == 0, "and ends when told to")
    c.close()


def test_move():
    c = client("QRESYNC")
    fill(c, "from", 4)
    c.must("CREATE to")
    c.must("SELECT from")
    r = c.must("UID MOVE 2:3 to")
    has(r, r"^\* VANISHED 2:3$", "MOVE says VANISHED")
    ok(code(r, "HIGHESTMODSEQ") == state(c, "from")[1], "and HIGHESTMODSEQ")
    c.close()


def test_idle():
    c, d = client("QRESYNC"), server.client("joe")
    fill(c, "idle", 3)
    c.must("SELECT idle")
    d.must("SELECT idle")
    tag = c.begin("IDLE")
    c.line()
    d.must(r"STORE 2 +FLAGS (\Deleted)")
    has([c.line()], r"^\* 2 FETCH \(UID 2 MODSEQ", "IDLE: FETCH")
    d.must("EXPUNGE")
    has([c.line()], r"^\* VANISHED 2$", "IDLE: VANISHED")
    has([c.line()], r"^\* OK \[HIGHESTMODSEQ", "IDLE: HIGHESTMODSEQ")
    c.send(b"DONE\r\n")
    c.end(tag)
    c.close()
    d.close()


def test_large():
    """More than a line, a turn and a buffer hold."""
    c, d = client("QRESYNC"), server.client("joe")
    fill(c, "large", 12000)
    valid, modseq = state(c, "large")
    d.must("SELECT large")
    d.must(r"STORE %s +FLAGS.SILENT (\Deleted)" %
           ",".join(str(n) for n in range(1, 12001, 3)))
    d.must("EXPUNGE")
    d.must(r"STORE 1:* +FLAGS.SILENT (\Flagged)")
    r = c.must("SELECT large (QRESYNC (%d %d))" % (valid, modseq))
    gone = set()
    for line in r:
        if line.startswith("* VANISHED (EARLIER) "):
            for part in line.split()[3].split(","):
                first, _, last = part.partition(":")
                gone |= set(range(int(first), int(last or first) + 1))
    ok(gone == set(range(1, 12001, 3)), "all that has gone, over many lines")
    ok(max(len(x) for x in r) < 8192, "none of them very long")
    ok(len(only(r, "FETCH")) == 8000, "all that was changed")
    r = c.must("SELECT large (QRESYNC (%d %d 1:6 (1:3 2,3,5)))" %
               (valid, modseq))
    hasnt(r, "VANISHED", "little is said to who knows much")
    ok(len(only(r, "FETCH")) == 4, "and asks little")
    c.close()
    d.close()


server = Backend(users=["joe"])
with server:
    run([test_not_enabled, test_enabling, test_syntax, test_expunge,
         test_delayed, test_select, test_fetch, test_passed_over, test_move,
         test_idle, test_large, test_drained])
plan()
