#!/usr/bin/env python3
"""A backendd on a tree of Maildirs that other programs use too: what they do
shows up, what it does is as they expect it, and Dovecot reads the same."""
import glob
import os
import re
import shutil
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "lib"))
from imap import equal, has, hasnt, ok, plan  # noqa: E402
from maildirs import MESSAGE, Maildirs, doveadm, make, put  # noqa: E402

PATIENCE = 60


def tree(spool):
    """As Dovecot leaves it: UIDs, flags, keywords, a mailbox below."""
    top = os.path.join(spool, "joe", "Maildir")
    make(top)
    make(os.path.join(top, ".Work.Old"))
    below = os.path.join(top, ".Work.Old", "cur", "1000000000.M%dP2.host:2,")
    os.mkfifo(below % 1)
    os.mkdir(below % 2)
    os.symlink("../new", below % 3)
    put(top, "cur/1000000001.M1P1.host:2,S", MESSAGE % b"one")
    put(top, "cur/1000000002.M2P1.host:2,FSayz", MESSAGE % b"two")
    put(top, "new/1000000003.M3P1.host", MESSAGE % b"three")
    with open(top + "/dovecot-uidlist", "w") as f:
        f.write("3 V1234567 N12 G0123456789abcdef0123456789abcdef\n"
                "5 :1000000001.M1P1.host\n9 :1000000002.M2P1.host\n")
    with open(top + "/dovecot-keywords", "w") as f:
        f.write("0 $Forwarded\n1 to do\n24 a(b\n25 \\Seen\n")


def until(c, want, what):
    """What an idle session hears."""
    c.s.settimeout(PATIENCE)
    lines = []
    try:
        while not any(re.search(want, x) for x in lines):
            lines.append(c.line())
        ok(True, what)
    except OSError:
        has(lines, want, what)
    return lines


def test_found(sv):
    c = sv.client("joe")
    has(c.must('LIST "" *'), r"INBOX", "its INBOX is found")
    has(c.must('LIST "" *'), r"Work/Old", "and what is below it")
    r = c.must("SELECT INBOX")
    has(r, r"UIDVALIDITY 1234567\]", "UIDVALIDITY is Dovecot's")
    has(r, r"\* 3 EXISTS", "with its messages")
    r = c.must("UID FETCH 1:* (FLAGS RFC822.SIZE BODY.PEEK[])")
    has(r, r"\* 1 FETCH \(.*UID 5\b", "UIDs are Dovecot's")
    has(r, r"\* 2 FETCH \(.*UID 9\b", "each")
    has(r, r"UID 12\b", "and go on where it left off")
    has(r, r"\* 2 FETCH .*FLAGS \([^(]*\$Forwarded[^(]*\)", "keywords are")
    hasnt(r, r"a\(b", "but for what could not be sent")
    has(r, r"one\r\n\r\nfrom another program\r\n", "lines end in CRLF")
    c.close()


def test_idle(sv):
    c = sv.client("joe")
    c.must("SELECT INBOX")
    tag = c.begin("IDLE")
    c.line()
    box = sv.box("joe")
    put(box, "new/1000000004.M4P1.host", MESSAGE % b"four")
    until(c, r"\* 4 EXISTS", "mail delivered by others is heard of")
    os.rename(box + "cur/1000000001.M1P1.host:2,S",
              box + "cur/1000000001.M1P1.host:2,RS")
    until(c, r"\* 1 FETCH .*\\Answered", "and flags they set")
    os.unlink(glob.glob(box + "cur/1000000002.*")[0])
    until(c, r"\* 2 EXPUNGE", "and what they remove")
    c.send(b"DONE\r\n")
    c.end(tag)
    r = c.must("UID FETCH 1:* (UID)")
    has(r, r"UID 13\b", "with the next UID")
    c.close()


def test_changes(sv):
    c = sv.client("joe")
    has(c.append("INBOX", b"Subject: five\r\n\r\ntext\r\n", "\\Flagged Junk"),
        r"APPENDUID 1234567 14\]", "a message is appended")
    found = glob.glob(sv.box("joe") + "cur/*:2,Fc")
    ok(len(found) == 1, "its file has its flags in its name")
    ok(open(found[0], "rb").read() == b"Subject: five\n\ntext\n",
       "and lines as others have them")
    equal(open(sv.box("joe") + "dovecot-keywords").read(),
          "0 $Forwarded\n1 to do\n2 Junk\n24 a(b\n25 \\Seen\n",
          "the keyword is in dovecot-keywords, with what can be none here")
    ok(re.search(r"^14 :", open(sv.box("joe") + "dovecot-uidlist").read(),
                 re.M), "the UID in dovecot-uidlist")
    c.must("SELECT INBOX")
    c.must("UID STORE 14 +FLAGS (\\Seen)")
    ok(glob.glob(sv.box("joe") + "cur/*:2,FSc"), "flags change the name")
    c.must("CREATE Lists")
    ok(os.path.isdir(sv.box("joe", ".Lists/cur")), "a mailbox is a directory")
    c.must("UID COPY 14 Lists")
    c.must("UID MOVE 12 Lists")
    has(c.must("STATUS Lists (MESSAGES)"), r"MESSAGES 2\)", "with copies")
    c.must("RENAME Lists Mail")
    has(c.must("STATUS Mail (MESSAGES)"), r"MESSAGES 2\)", "renamed")
    c.close()


def test_inbox(sv):
    """RENAME of INBOX: its messages go, and it stays where others deliver."""
    c = sv.client("joe")
    had = c.said("STATUS INBOX (MESSAGES)")[0].split("MESSAGES ")[1]
    c.must("SELECT INBOX")
    c.must("RENAME INBOX Moved")
    has(c.must("STATUS Moved (MESSAGES)"), "MESSAGES " + re.escape(had),
        "a renamed INBOX has its messages")
    end = time.monotonic() + PATIENCE
    while not os.path.isdir(sv.box("joe", ".Moved")) and \
            time.monotonic() < end:
        time.sleep(0.05)
    ok(len(glob.glob(sv.box("joe", ".Moved/cur/*"))) ==
       int(had.rstrip(")")), "in the directory of its name")
    has(c.must("STATUS INBOX (MESSAGES)"), r"MESSAGES 0\)",
        "the new one is empty")
    c.must("SELECT INBOX")
    put(sv.box("joe"), "new/1000000020.M20P1.host", MESSAGE % b"twenty")
    tag = c.begin("IDLE")
    until(c, r"\* 1 EXISTS", "and has what is delivered")
    c.send(b"DONE\r\n")
    c.end(tag)
    c.must("UID STORE 1:* +FLAGS (\\Deleted)")
    c.must("EXPUNGE")
    c.must("SELECT Moved")
    c.must("UID FETCH 1:* (BODY.PEEK[])")
    c.must("UID STORE 1:* +FLAGS (\\Answered)")
    c.close()


def test_closed(sv):
    """Deliveries by others to a mailbox that nobody here has open."""
    c = sv.client("joe")
    has(c.must("STATUS Work/Old (MESSAGES)"), r"MESSAGES 0\)",
        "what is no file is no message")
    box = sv.box("joe", ".Work.Old/")
    put(box, "new/1000000007.M7P1.host", MESSAGE % b"seven")
    end = time.monotonic() + PATIENCE
    got = [""]
    while "MESSAGES 1)" not in got[0] and time.monotonic() < end:
        time.sleep(0.1)
        got = c.must("STATUS Work/Old (MESSAGES)")
    has(got, r"MESSAGES 1\)", "STATUS has mail delivered by others")
    put(box, "new/1000000008.M8P1.host", MESSAGE % b"eight")
    end = time.monotonic() + PATIENCE
    while not any("MESSAGES 2)" in x for x in got) and time.monotonic() < end:
        time.sleep(0.1)
        got = c.must('LIST "" % RETURN (STATUS (MESSAGES))') + \
            c.must('LIST "" Work/* RETURN (STATUS (MESSAGES))')
    has(got, r"MESSAGES 2\)", "LIST has")
    c.close()


def ours(sv):
    c = sv.client("joe")
    c.must("EXAMINE INBOX")
    got = {}
    for line in c.must("UID FETCH 1:* (UID FLAGS)"):
        m = re.search(r"UID (\d+)", line)
        f = re.search(r"FLAGS \(([^)]*)\)", line)
        if m and f:
            got[m.group(1)] = sorted(set(f.group(1).split()) - {"\\Recent"})
    c.close()
    return got


def theirs(sv):
    got = {}
    text = doveadm(sv, "-f", "tab", "fetch", "uid flags",
                   "mailbox", "INBOX")
    for line in text.splitlines()[1:]:
        uid, _, flags = line.partition("\t")
        got[uid] = sorted(set(flags.split()) - {"\\Recent"})
    return got


def test_dovecot(sv):
    mine = ours(sv)
    sv.stop()
    got = theirs(sv)
    if not ok(mine == got, "Dovecot has the same UIDs, flags and keywords"):
        print("# ours", mine, "\n# theirs", got)
    r = doveadm(sv, "mailbox", "status", "uidvalidity", "INBOX")
    ok("1234567" in r, "and UIDVALIDITY")
    doveadm(sv, "flags", "add", "\\Draft Work", "mailbox",
            "INBOX", "uid", "14")
    put(sv.box("joe"), "new/1000000009.M9P1.host", MESSAGE % b"nine")
    got = theirs(sv)
    sv.start()
    mine = ours(sv)
    if not ok(mine == got and "\\Draft" in mine["14"] and "Work" in mine["14"],
              "and what it changed is here"):
        print("# ours", mine, "\n# theirs", got)


def test_notes(sv):
    """The list is ahead of the notes in the tree, as a crash may leave it."""
    c = sv.client("joe")
    for name in ("Renamed", "Removed"):
        c.must("CREATE " + name)
        c.append(name, MESSAGE % b"noted")
    sv.stop()
    shutil.copytree(sv.path("spool"), sv.path("before"), symlinks=True,
                    ignore=shutil.ignore_patterns("*.M1P2.*"))
    sv.start()
    c = sv.client("joe")
    c.must("RENAME Renamed New")
    c.must("DELETE Removed")
    sv.stop()
    shutil.rmtree(sv.path("spool"))
    os.rename(sv.path("before"), sv.path("spool"))
    sv.start()
    c = sv.client("joe")
    hasnt(c.must('LIST "" *'), r'"/" (Renamed|Removed)$',
          "a mailbox is not found again by the name that it had")
    has(c.must("STATUS New (MESSAGES)"), r"MESSAGES 1\)", "but by its own")
    c.close()


def test_end(sv):
    """It is ended, below, with things to be written of what was open."""
    c = sv.client("joe")
    c.append("INBOX", MESSAGE % b"end")
    c.must("SELECT INBOX")
    c.must("FETCH 1:* (ENVELOPE)")


with Maildirs(tree) as server:
    test_found(server)
    test_idle(server)
    test_changes(server)
    test_closed(server)
    if shutil.which("doveadm"):
        test_dovecot(server)
    test_inbox(server)
    test_notes(server)
    test_end(server)
plan()
