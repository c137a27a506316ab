#!/usr/bin/env python3
"""Annotations of mailboxes and of the server (RFC 5464), LIST's METADATA (RFC
9590) and MYRIGHTS (RFC 8440), special uses (RFC 6154): by the RFCs' examples;
they stay over a crash, go with RENAME and away with DELETE."""
import os
import re
import shutil
import signal
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "lib"))
from backend import Backend  # noqa: E402
from imap import Client, has, hasnt, ok, plan, simple  # noqa: E402

MINE = "/private/comment"
OURS = "/shared/comment"
VENDOR = "/private/vendor/x/color"


def test_server(b, admin, c):
    has(c.must("CAPABILITY"), r" LIST-METADATA METADATA ", "capabilities")
    admin.must('SETMETADATA "" (/shared/comment "Shared comment")')
    ok(c.said('GETMETADATA "" /shared/comment') ==
       ['* METADATA "" (/shared/comment "Shared comment")'],
       "4.2: of the server")
    has(c.do('SETMETADATA "" (/shared/comment "no")'),
        r"^a\d+ NO \[NOPERM\]", "which users may not change")
    c.must('SETMETADATA "" (/private/vendor/x/color red)')
    ok(c.said('GETMETADATA "" ' + VENDOR) ==
       ['* METADATA "" (%s "red")' % VENDOR], "but have some of their own")
    ok(admin.said('GETMETADATA "" ' + VENDOR) ==
       ['* METADATA "" (%s NIL)' % VENDOR], "that nobody else sees")
    ok(c.said('GETMETADATA "" /shared/admin') ==
       ['* METADATA "" (/shared/admin "mailto:help@example.org")'],
       "the administrator")
    has(admin.do('SETMETADATA "" (/shared/admin "mailto:x")'),
        r"^a\d+ NO \[CANNOT\]", "is the configuration's")


def test_examples(c):
    c.must('SETMETADATA INBOX (%s "My own comment")' % MINE)
    ok(c.said('GETMETADATA "INBOX" ' + MINE) ==
       ['* METADATA INBOX (%s "My own comment")' % MINE], "4.2: of a mailbox")
    tag = c.begin("SETMETADATA INBOX (%s {33}" % MINE)
    ok(c.line().startswith("+ "), "4.3: a literal")
    c.send(b"My new comment across\r\ntwo lines.)\r\n")
    has(c.end(tag), r" OK ", "is taken")
    has(c.said("GETMETADATA INBOX " + MINE),
        r"\{33\}\r\nMy new comment across\r\ntwo lines.\)$", "and given")
    c.must("SETMETADATA INBOX (%s NIL)" % MINE)
    ok(c.said("GETMETADATA INBOX " + MINE) ==
       ["* METADATA INBOX (%s NIL)" % MINE], "4.3: NIL removes it")
    c.must('SETMETADATA INBOX (%s "My new comment" %s "This one is for you!")'
           % (MINE, OURS))
    r = c.said("GETMETADATA INBOX (%s %s)" % (OURS, MINE))
    ok(r == ['* METADATA INBOX (%s "This one is for you!")' % OURS,
             '* METADATA INBOX (%s "My new comment")' % MINE],
       "4.3: several at once")
    c.must("SETMETADATA INBOX (%s {2199+}\r\n%s)" % (OURS, "x" * 2199))
    for order in ('(MAXSIZE 1024) "INBOX"', '"INBOX" (MAXSIZE 1024)'):
        r = c.must("GETMETADATA %s (%s %s)" % (order, OURS, MINE))
        ok(r[:-1] == ['* METADATA INBOX (%s "My new comment")' % MINE],
           "4.2.1: MAXSIZE leaves out what is longer")
        has(r, r"OK \[METADATA LONGENTRIES 2199\]", "and says so")
    c.must('SETMETADATA INBOX (/private/filters/values/small "SMALLER 5000" '
           '/private/filters/values/boss "FROM \\"boss@example.com\\"" '
           '/private/filters/values/boss/old "x" /private/filters/valuesx y)')
    ok(len(c.said("GETMETADATA INBOX (%s)" %
                  " ".join(["/private/filters/values/small"] * 100))) == 1,
       "what is asked for often is answered once")
    r = c.said("GETMETADATA INBOX (DEPTH infinity) (%s)" %
               " ".join(["/private/filters/values", "/private"] * 50))
    ok(len(r) > 3 and len(set(r)) == len(r), "by its parents, too")
    r = c.said("GETMETADATA (DEPTH 1) INBOX (/private/filters/values)")
    ok(sorted(r) == [
        '* METADATA INBOX (/private/filters/values/boss '
        '"FROM \\"boss@example.com\\"")',
        '* METADATA INBOX (/private/filters/values/small "SMALLER 5000")'],
       "4.2.2: DEPTH 1")
    ok(len(c.said("GETMETADATA INBOX (DEPTH infinity) "
                  "/private/filters/values")) == 3, "DEPTH infinity")
    ok(len(c.said("GETMETADATA (DEPTH infinity MAXSIZE 100) INBOX "
                  "(/private /shared)")) == 5, "all there are")
    c.must('SETMETADATA INBOX (/PRIVATE/Comment "case")')
    ok(c.said("GETMETADATA INBOX /private/COMMENT") ==
       ['* METADATA INBOX (/private/comment "case")'], "names have no case")
    c.must("SETMETADATA INBOX (/private/vendor/x/bin ~{3+}\r\na\0b)")
    has(c.must("GETMETADATA INBOX /private/vendor/x/bin"),
        "bin ~\\{3\\}\r\na\0b\\)$", "binary")
    c.must('SETMETADATA INBOX (/private/vendor/x/empty "")')
    ok(c.said("GETMETADATA INBOX /private/vendor/x/empty") ==
       ['* METADATA INBOX (/private/vendor/x/empty "")'],
       "empty is not NIL")


def test_wrong(c):
    for entry in ("comment", "/comment", "/private", "/shared/", "/private//x",
                  "/private/x/", '"/private/*"', "/private/a%b",
                  "/shared/vendor/x", '"/private/\xe9"', "/private/" +
                  "x" * 300):
        has(c.do("SETMETADATA INBOX (%s x)" % entry), r"^a\d+ BAD", entry[:60])
    for command in ("GETMETADATA", "GETMETADATA INBOX", "SETMETADATA INBOX",
                    "GETMETADATA INBOX ()", "SETMETADATA INBOX ()",
                    "SETMETADATA INBOX (%s)" % MINE,
                    "GETMETADATA (DEPTH 2) INBOX " + MINE,
                    "GETMETADATA (MAXSIZE x) INBOX " + MINE,
                    "GETMETADATA (NOSUCH 1) INBOX " + MINE,
                    "GETMETADATA INBOX %s %s" % (MINE, OURS),
                    "SETMETADATA INBOX %s x" % MINE):
        has(c.do(command), r"^a\d+ BAD", command)
        c.must("NOOP")
    has(c.do("SETMETADATA nosuch (%s x)" % MINE), r"^a\d+ NO \[NONEXISTENT\]",
        "no such mailbox")


def test_limits(c):
    c.must("CREATE full")
    r = c.do('SETMETADATA full (/private/a "x" /private/b {2001+}\r\n%s)' %
             ("x" * 2001))
    has(r, r"^a\d+ NO \[METADATA MAXSIZE 2000\]", "too long")
    ok(c.said("GETMETADATA full /private/a") ==
       ["* METADATA full (/private/a NIL)"], "then nothing is set")
    for i in range(12):
        c.must("SETMETADATA full (/private/n%d x)" % i)
    has(c.do("SETMETADATA full (/private/more x)"),
        r"^a\d+ NO \[METADATA TOOMANY\]", "too many")
    c.must("SETMETADATA full (/private/n3 yy)")
    c.must("SETMETADATA full (/shared/n3 yy)")
    c.must("SETMETADATA full (/private/n3 NIL)")
    c.must("SETMETADATA full (/private/more x)")
    c.must("CREATE full2")
    long = "x" * 1990
    done = 0
    for i in range(12):
        r = c.do("SETMETADATA full2 (/private/n%d {1990+}\r\n%s)" % (i, long))
        done += " OK" in r[-1]
    has(r, r"^a\d+ NO \[METADATA TOOMANY\]", "too much")
    ok(5 < done < 11, "in all of a user's")
    c.must("DELETE full2")
    c.must("SETMETADATA full (/private/n5 {1990+}\r\n%s)" % long)
    return long


def test_limits_kept(admin, c):
    """What is deleted, and kept for a while, does not count."""
    long = test_limits(c)
    old = [x.split('"')[-2] for x in admin.said('LIST "" *') if "full2" in x]
    ok(len(old) == 1, "it is kept")
    admin.must('RENAME "%s" "Other Users/fred/full2"' % old[0])
    has(c.do("SETMETADATA full (/private/n6 {1990+}\r\n%s)" % long),
        r"^a\d+ NO \[METADATA TOOMANY\]", "brought back it counts again")
    ok(len(c.must("GETMETADATA full2 (DEPTH infinity) /private")) > 5,
       "with all that was there")
    c.must("DELETE full2")
    c.must("SETMETADATA full (/private/n6 {1990+}\r\n%s)" % long)


def test_rights(admin, c, d):
    c.must("CREATE work")
    c.must('SETMETADATA work (%s "ours" %s "mine")' % (OURS, MINE))
    work = '"Other Users/fred/work"'
    has(d.do("GETMETADATA %s %s" % (work, OURS)),
        r"^a\d+ NO \[NONEXISTENT\]", "who may not look sees nothing")
    c.must("SETACL work joe l")
    has(d.do("GETMETADATA %s %s" % (work, OURS)), r"^a\d+ NO \[NOPERM\]",
        "to look is not enough")
    c.must("SETACL work joe lr")
    ok(d.said("GETMETADATA %s (%s %s)" % (work, OURS, MINE)) ==
       ['* METADATA %s (%s "ours")' % (work, OURS),
        "* METADATA %s (%s NIL)" % (work, MINE)],
       "who may read sees what is shared")
    has(d.do('SETMETADATA %s (%s "x")' % (work, OURS)),
        r"^a\d+ NO \[NOPERM\]", "and may not change it")
    d.must('SETMETADATA %s (%s "joe\'s")' % (work, MINE))
    c.must("SETACL work joe lrw")
    d.must('SETMETADATA %s (%s "both\'s")' % (work, OURS))
    ok(c.said("GETMETADATA work (%s %s)" % (OURS, MINE)) ==
       ['* METADATA work (%s "both\'s")' % OURS,
        '* METADATA work (%s "mine")' % MINE], "each has a private one")


def test_news(c, d):
    e = Client(c.s.getpeername()[1], "fred")
    has(e.must("ENABLE METADATA"), r"^\* ENABLED METADATA$", "ENABLE")
    d.must("ENABLE METADATA")
    c.must('SETMETADATA work (%s "new")' % OURS)
    ok(e.said("NOOP") == ["* METADATA work " + OURS],
       "4.4.2: others are told the name")
    ok(d.said("NOOP") == ['* METADATA "Other Users/fred/work" ' + OURS],
       "by its name for them")
    ok(e.said("NOOP") == [], "once")
    tag = e.begin("IDLE")
    e.line()
    c.must('SETMETADATA work (%s "newer")' % MINE)
    ok(e.line() == "* METADATA work " + MINE, "in IDLE at once")
    e.send(b"DONE\r\n")
    ok(len(e.end(tag)) == 1, "DONE")
    ok(d.said("NOOP") == [], "what is private is told to its user alone")
    c.must('SETMETADATA "" (%s x)' % VENDOR)
    ok(e.said("NOOP") == ['* METADATA "" ' + VENDOR], "of the server")
    e.must('SETMETADATA work (%s "own")' % MINE)
    ok(e.said("NOOP") == [] and c.said("NOOP") == [],
       "who did it, or did not ask, hears nothing")
    e.close()


def test_modseq(c):
    """RFC 7162 3.2: an annotation that changes is a change of the mailbox."""
    def modseq():
        return int(re.search(r"HIGHESTMODSEQ (\d+)", "".join(
            c.said("STATUS counted (HIGHESTMODSEQ)"))).group(1))

    c.must("CREATE counted")
    seen = [modseq()]
    for command in ('SETMETADATA counted (/shared/comment "x")',
                    'SETMETADATA counted (/private/comment "x")',
                    "SETMETADATA counted (/private/comment NIL)",
                    'SETMETADATA counted (/private/specialuse "\\\\Junk")'):
        c.must(command)
        seen.append(modseq())
    ok(all(a < b for a, b in zip(seen, seen[1:])), "HIGHESTMODSEQ goes up")
    c.must("GETMETADATA counted /private/comment")
    c.must("SETMETADATA \"\" (%s x)" % VENDOR)
    c.do("SETMETADATA counted (/shared/admin x)")
    ok(modseq() == seen[-1], "and not without a change")
    c.append("counted", b"Subject: x\r\n\r\nx\r\n")
    has(c.must("SELECT counted (CONDSTORE)"),
        r"HIGHESTMODSEQ %d\]" % (seen[-1] + 1), "it is the next MODSEQ")
    c.must("SETMETADATA counted (/shared/comment y)")
    ok(c.said("FETCH 1 (FLAGS) (CHANGEDSINCE %d)" % (seen[-1] + 1)) == [],
       "no message has it")
    c.must("UNSELECT")
    c.must("DELETE counted")


def test_special_use(c):
    for name in ("MyDrafts", "SentMail"):
        c.must("CREATE " + name)
    c.must(r"CREATE Drafts2 (USE (\Drafts))")
    ok(c.said("GETMETADATA Drafts2 /private/specialuse") ==
       [r'* METADATA Drafts2 (/private/specialuse "\\Drafts")'],
       "RFC 6154 5.4: special uses are entries")
    ok(c.said("GETMETADATA MyDrafts /private/specialuse") ==
       ["* METADATA MyDrafts (/private/specialuse NIL)"], "or NIL")
    c.must(r'SETMETADATA MyDrafts (/private/specialuse "\\Drafts \\Sent")')
    has(c.must('LIST "" MyDrafts'), r"\(.*\\Drafts \\Sent\)", "and can be set")
    c.must("SETMETADATA MyDrafts (/private/specialuse NIL)")
    hasnt(c.must('LIST "" MyDrafts'), r"\\Drafts", "and removed")
    has(c.do(r'SETMETADATA MyDrafts (/private/specialuse "\\Nonsense")'),
        r"^a\d+ NO \[USEATTR\]", "to what there is")
    has(c.do(r'SETMETADATA MyDrafts (/private/specialuse "\\Sent" %s x)' %
             MINE), r"^a\d+ NO \[CANNOT\]", "and alone")


def test_list(c, d):
    c.must("CREATE foo/bar")
    c.must('SETMETADATA MyDrafts (%s "#b71c1c")' % VENDOR)
    r = c.said('LIST "" (INBOX MyDrafts foo) RETURN (METADATA ("%s"))' %
               VENDOR)
    ok([x for x in r if "METADATA" in x] ==
       ["* METADATA INBOX (%s NIL)" % VENDOR,
        '* METADATA MyDrafts (%s "#b71c1c")' % VENDOR],
       "RFC 9590: METADATA of those that exist")
    ok("LIST" in r[0] and "METADATA" in r[1], "behind their LIST")
    c.must("SUBSCRIBE foo/bar")
    c.must("CREATE foo")
    r = c.said('LIST (SUBSCRIBED RECURSIVEMATCH) "" foo '
               'RETURN (METADATA (%s) MYRIGHTS)' % VENDOR)
    ok(len(r) == 1 and "CHILDINFO" in r[0], "of those that are selected")
    has(c.must('LIST "" foo RETURN (MYRIGHTS)'),
        r"^\* MYRIGHTS foo lrswipkxtecda$", "RFC 8440: MYRIGHTS")
    r = d.said('LIST "" "Other Users/fred/*" RETURN (MYRIGHTS)')
    ok([x for x in r if "MYRIGHTS" in x] ==
       ['* MYRIGHTS "Other Users/fred/work" lrw'], "of what is another's")
    for bad in ("METADATA", "METADATA ()", "METADATA (x)", "MYRIGHTS ()"):
        has(c.do('LIST "" * RETURN (%s)' % bad), r"^a\d+ BAD", bad)
    r = c.said('LIST "" * RETURN (STATUS (MESSAGES) METADATA (%s %s) '
               'MYRIGHTS CHILDREN SPECIAL-USE)' % (VENDOR, OURS))
    n = len([x for x in r if x.startswith("* LIST")])
    ok(len(r) == 4 * n, "all at once")
    c.must('SETMETADATA MyDrafts (%s "x")' % OURS)
    ok(c.said('LIST "" MyDrafts RETURN (METADATA (%s %s %s))' %
              (VENDOR, MINE, OURS))[1:] ==
       ['* METADATA MyDrafts (%s "#b71c1c" %s NIL %s "x")' %
        (VENDOR, MINE, OURS)], "the entries of a mailbox together")
    long = "y" * 5000
    c.must("SETMETADATA MyDrafts (%s {5000+}\r\n%s)" % (MINE, long))
    ok([len(x) > 5000 for x in c.said(
        'LIST "" MyDrafts RETURN (METADATA (%s %s %s))' %
        (VENDOR, MINE, OURS))] == [False, True, False],
       "but for those that are long")


def test_overquota(b, admin, c):
    c.must("CREATE big")
    admin.must('SETQUOTA "Other Users/fred/big" (MESSAGE 10)')
    entry = "/shared/vendor/murder/overquota"
    c.must("ENABLE METADATA")
    for i in range(8):
        c.append("big", simple("x"))
    ok(c.said("GETMETADATA big " + entry) ==
       ["* METADATA big (%s NIL)" % entry], "far from the quota")
    has(c.append("big", simple("x")), r"^\* METADATA big %s$" % entry,
        "a warning is told")
    ok(c.said("GETMETADATA big " + entry) ==
       ['* METADATA big (%s "MESSAGE 90")' % entry], "and can be read")
    has(c.do("SETMETADATA big (%s x)" % entry), r"^a\d+ NO \[CANNOT\]",
        "only")


def test_stays(b, c):
    entries = "(%s %s)" % (OURS, MINE)
    before = c.said("GETMETADATA work " + entries)
    b.stop(signal.SIGKILL)
    b.start()
    admin = b.client("admin")
    c = b.client("fred")
    ok(c.said("GETMETADATA work " + entries) == before, "after a crash")
    c.must("RENAME work job")
    ok(c.said("GETMETADATA job " + entries) ==
       [x.replace("work", "job") for x in before], "after a RENAME")
    c.must("CREATE work")
    ok(c.said("GETMETADATA work " + entries) ==
       ["* METADATA work (%s NIL)" % x for x in (OURS, MINE)],
       "the old name begins anew")
    c.must("DELETE job")
    c.must("CREATE job")
    ok(c.said("GETMETADATA job " + entries) ==
       ["* METADATA job (%s NIL)" % x for x in (OURS, MINE)],
       "after a DELETE")
    box = c.said("GETMETADATA INBOX " + entries)
    c.must("RENAME INBOX moved")
    ok(c.said("GETMETADATA INBOX " + entries) == box,
       "4.1: an INBOX keeps them")
    ok(c.said("GETMETADATA moved " + entries) ==
       [x.replace("INBOX", "moved") for x in box], "and its copy has them")
    c.must("SETMETADATA INBOX (%s other)" % MINE)
    ok(c.said("GETMETADATA moved " + entries) ==
       [x.replace("INBOX", "moved") for x in box], "for itself")
    c.must('SETMETADATA moved (%s "of a user")' % MINE)
    c.close()
    admin.must('RENAME "Other Users/fred" "Other Users/bert"')
    c = b.client("bert")
    ok(c.said("GETMETADATA moved " + MINE) ==
       ['* METADATA moved (%s "of a user")' % MINE],
       "a user who is renamed has them")
    ok(c.said('GETMETADATA "" ' + VENDOR) ==
       ['* METADATA "" (%s "x")' % VENDOR], "of the server, too")


with Backend(users=["fred", "joe", "bert"], conf=[
        "admin_contact = mailto:help@example.org"]) as b:
    admin = b.client("admin")
    c = b.client("fred")
    d = b.client("joe")
    test_server(b, admin, c)
    test_examples(c)
    test_wrong(c)
    test_rights(admin, c, d)
    test_news(c, d)
    test_modseq(c)
    test_special_use(c)
    test_list(c, d)
    test_overquota(b, admin, b.client("fred"))
    test_stays(b, c)

def test_atomic(b, c):
    """A NO has changed nothing: not the annotation of a mailbox whose store
    takes no changes, as its log cannot go on."""
    c.must("CREATE box")
    c.must("SETMETADATA box (%s old %s kept)" % (OURS, VENDOR))
    (log,) = [os.path.join(path, "log") for path, dirs, files
              in os.walk(b.dir) if {"log", "m", "trash"} <= set(dirs)]
    shutil.rmtree(log)
    octets = b"Subject: x\r\n\r\n" + b"x" * 60000 + b"\r\n"
    append = b"APPEND INBOX {%d+}\r\n%s" % (len(octets), octets)
    for i in range(600):  # a file of the log has 16 MB
        if " NO " in c.do(append)[-1]:
            break
    has(c.do("SETMETADATA box (%s new %s NIL)" % (OURS, VENDOR)),
        r"^a\d+ NO \[UNAVAILABLE\]", "its store takes no changes")
    ok(c.said("GETMETADATA box " + OURS) ==
       ['* METADATA box (%s "old")' % OURS] and
       c.said("GETMETADATA box " + VENDOR) ==
       ['* METADATA box (%s "kept")' % VENDOR], "so nothing was changed")
    has(c.do('SETMETADATA box (/private/specialuse "\\\\Junk")'),
        r"^a\d+ NO ", "nor is its special use")
    ok("Junk" not in "".join(c.said("GETMETADATA box /private/specialuse")),
       "which is as it was")


with Backend(users=["fred"]) as b:
    test_atomic(b, b.client("fred"))

limits = ["metadata_size = 2000", "metadata_entries = 12",
          "metadata_total = 16000"]
with Backend(users=["fred"], conf=limits + ["delete_delay = 0s"]) as b:
    test_limits(b.client("fred"))
with Backend(users=["fred"], conf=limits) as b:
    test_limits_kept(b.client("admin"), b.client("fred"))
plan()
