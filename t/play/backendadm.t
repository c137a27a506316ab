#!/usr/bin/env python3
"""
backendadm on the partition of a backend that has been stopped: what it finds,
repairs, brings back, and takes to other formats and back.
"""
import glob
import json
import mailbox
import os
import resource
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "lib"))
from backend import Backend  # noqa: E402
from daemon import BIN  # noqa: E402
from maildirs import Maildirs  # noqa: E402
from tap import tap  # noqa: E402

BODIES = [b"Subject: one\r\nFrom: a@example.org\r\n\r\nFrom here\r\n>From"
          b" there\r\nto\r\n",
          b"Subject: two\r\n\r\n" + b"x" * 70000 + b"\r\n",
          b"Subject: three\r\n\r\nlast\r\n"]
LITTLE = 512 * 1024 * 1024  # octets of memory
DATE = '"01-Feb-2003 04:05:06 +0000"'


def little_memory():
    """Not with ASan, which wants a great deal of address space."""
    if "asan" not in os.environ.get("B", ""):
        resource.setrlimit(resource.RLIMIT_AS, (LITTLE, LITTLE))


def adm(b, *words, **options):
    p = subprocess.run([os.path.join(BIN, "backendadm"), "-f",
                        b.path("conf"), *words], capture_output=True,
                       text=True, stdin=subprocess.DEVNULL, timeout=120,
                       **options)
    return p.returncode, p.stdout, p.stderr


def rows(b, *words):
    code, out, err = adm(b, "--json", *words)
    tap.equal(code, 0, " ".join(words) + err)
    return [json.loads(line) for line in out.splitlines()]


def fill(b):
    c = b.imap("fred")
    c.create("Work")
    flags = ["(\\Flagged)", "(\\Seen Junk)", "(\\Answered)"]
    for body, f in zip(BODIES, flags):
        c.append("INBOX", f, DATE, body)
    c.append("Work", None, None, BODIES[2])
    c.append("Work", "(\\Seen)", None, BODIES[0])
    c.select("Work")
    c.store("1:2", "+FLAGS", "(\\Deleted)")
    c.expunge()
    c.logout()


def play_mistakes(b):
    code, out, err = adm(b, "list")
    tap.ok(code == 1 and "another process" in err,
           "not beside a backend that runs: " + err)
    tap.ok("admin_socket" in err, "nor can that be asked: " + err)
    code, out, err = adm(b, "restore", "deleted.user.fred.1")
    tap.ok(code == 1 and "admin_socket" in err, "for which it is: " + err)
    tap.equal(adm(b)[0], 2, "no command")
    tap.equal(adm(b, "frobnicate")[0], 2, "a command there is not")
    tap.equal(adm(b, "export", "user.fred")[0], 2, "too few arguments")
    tap.equal(adm(b, "list", "--nonsense")[0], 2, "no such option")


def play_verify(b):
    names = [r["mailbox"] for r in rows(b, "list")]
    tap.equal(names, ["user.fred", "user.fred.Work"], "list")
    tap.equal([(r["mailbox"], r["messages"], r["damage"])
               for r in rows(b, "verify")],
              [("user.fred", 3, None), ("user.fred.Work", 0, None)], "verify")
    code, out, err = adm(b, "verify")
    tap.equal(out, "2 mailboxes, 3 messages: 0 mailboxes damaged\n",
              "verify for people")
    code, out, err = adm(b, "verify", "user.nobody")
    tap.ok(code == 1 and "no such mailbox" in err, "a mailbox there is not")


def play_undelete(b):
    held = rows(b, "expunged", "user.fred.Work")
    tap.equal([(r["uid"], r["subject"], r["from"]) for r in held],
              [(1, "three", ""), (2, "one", "a@example.org")], "expunged")
    code, out, err = adm(b, "undelete", "user.fred.Work")
    tap.ok(code == 2 and "--all" in err, "undelete wants UIDs")
    tap.equal(rows(b, "undelete", "user.fred.Work", "2"),
              [{"uid": 2, "new_uid": 3}], "undelete")
    code, out, err = adm(b, "undelete", "user.fred.Work", "2")
    tap.ok(code == 1 and "not held" in err, "once")
    tap.equal(rows(b, "undelete", "--all", "user.fred.Work"),
              [{"uid": 1, "new_uid": 4}], "the rest")


def play_out_and_in(b):
    maildir, mbox = b.path("maildir"), b.path("mbox")
    code, out, err = adm(b, "export", "user.fred", maildir)
    tap.equal((code, out), (0, "3 messages\n"), "export to a Maildir" + err)
    tap.equal(adm(b, "export", "user.fred", maildir)[0], 1,
              "which must be new")
    code, out, err = adm(b, "export", "--mbox", "user.fred", mbox)
    tap.equal((code, out), (0, "3 messages\n"), "export to an mbox" + err)
    box = mailbox.Maildir(maildir, factory=None)
    tap.equal(sorted((m["Subject"], m.get_flags()) for m in box),
              [("one", "F"), ("three", "R"), ("two", "Sa")],
              "python reads the Maildir")
    box = mailbox.mbox(mbox)
    tap.equal([(m["Subject"], m.get_flags(), m["X-Keywords"]) for m in box],
              [("one", "OF", None), ("two", "RO", "Junk"),
               ("three", "OA", None)], "and the mbox")
    for where, how in ((maildir, []), (mbox, ["--mbox"])):
        code, out, err = adm(b, "import", *how, "user.fred.Work", where)
        tap.equal((code, out), (0, "3 messages\n"), "import" + err)
    with open(b.path("odd"), "wb") as f:
        f.write(b"From a Mon Jan  1 00:00:00 2001\nSubject: odd\n"
                b"X-Keywords: a(b \\Seen \xfc x]y good\n\nodd\n")
    tap.equal(adm(b, "import", "--mbox", "user.fred.Work", b.path("odd"))[0],
              0, "keywords that are none are no hindrance")
    tap.equal(adm(b, "import", "user.fred", mbox)[0], 1,
              "an mbox is no Maildir")
    tap.equal(adm(b, "import", "--mbox", "user.fred", b.path("conf"))[0], 1,
              "nor is anything else an mbox")


def play_odd(b):
    """Files as others leave them."""
    source = b.path("odd-maildir")
    for sub in ("cur", "new", "tmp"):
        os.makedirs(os.path.join(source, sub))
    for name in ("cur/fifo", "dovecot-keywords"):
        os.mkfifo(os.path.join(source, name))
    with open(os.path.join(source, "cur/1.a.b"), "w") as f:
        f.write("Subject: plain\n\ntext\n")
    code, out, err = adm(b, "import", "user.fred", source)
    tap.equal((code, out), (0, "1 messages\n"), "a FIFO is no message" + err)
    with open(b.path("crlf"), "wb") as f:
        f.write(b"From a Mon Jan  1 00:00:00 2001\r\nSubject: crlf\r\n\r\n"
                b"text\r\n\r\nFrom a\r\nSubject: crlf\r\n\r\ntext\r\n\r\n"
                b"From a\nSubject: crlf\n\ntext\n")
    code, out, err = adm(b, "import", "--mbox", "user.fred", b.path("crlf"))
    tap.equal((code, out), (0, "3 messages\n"), "lines that end in CRLF" + err)
    with open(b.path("long"), "wb") as f:
        f.write(b"From a Mon Jan  1 00:00:00 2001\n\n")
        f.truncate(1 << 30)
    code, out, err = adm(b, "import", "--mbox", "user.fred", b.path("long"),
                         preexec_fn=little_memory)
    tap.ok(code == 1 and "max_message" in err, "a line without end: " + err)


def play_unknown():
    """A mailbox of which nothing but its directory is known."""
    with Maildirs() as b:
        b.imap("joe").create("Work")
        b.stop()
        for name in ("index", "mailbox"):
            os.truncate(b.path("spool/joe/Maildir/.Work/backendd-" + name), 9)
        code, out, err = adm(b, "rebuild", "--all")
        tap.ok(code == 1 and "damaged" in err and "user.joe" in out,
               "the others are rebuilt: %s%s" % (out, err))
        code, out, err = adm(b, "export", "", b.path("out"))
        tap.ok(code == 1 and "damaged" in err, "it cannot be named: " + err)


def play_back(b):
    b.start()
    c = b.imap("fred")
    c.select("INBOX")
    got = c.fetch("4:*", "(BODY.PEEK[])")[1][::2]
    tap.equal([m[1] for m in got], [b"Subject: plain\r\n\r\ntext\r\n"] +
              3 * [b"Subject: crlf\r\n\r\ntext\r\n"], "odd ones, too")
    tap.equal(c.select("Work")[1], [b"9"], "all are there")
    tap.ok(b"(good \\Recent)" in c.fetch("9", "(FLAGS)")[1][0] or
           b"(\\Recent good)" in c.fetch("9", "(FLAGS)")[1][0],
           "with keywords that can be sent")
    tap.ok(b"\\Deleted" not in c.fetch("1", "(FLAGS)")[1][0],
           "what came back is not deleted")
    wanted = {b"one": (b"\\Flagged", BODIES[0]), b"two": (b"Junk", BODIES[1]),
              b"three": (b"\\Answered", BODIES[2])}
    order = [b"one", b"two", b"three"]
    for uid in range(3, 9):
        data = c.fetch(str(uid), "(FLAGS INTERNALDATE BODY.PEEK[])")[1]
        text = data[0][0] + data[1]
        flag, body = wanted[order[(uid - 3) % 3]]
        tap.ok(data[0][1] == body and flag in text and
               b"01-Feb-2003 04:05:06" in text,
               "message %d is as it was: %s" % (uid, text))
    c.logout()
    b.stop()


def play_damage(b):
    data = [f for f in glob.glob(b.path("spool/m/*/*/*/data.0000"))
            if os.path.getsize(f) > 70000]
    with open(data[0], "r+b") as f:
        f.seek(30000)
        f.write(b"wrong")
    code, out, err = adm(b, "verify")
    tap.ok(code == 1 and "1 mailboxes damaged" in out and
           "damaged messages, UID" in out, "a damaged message: " + out)
    for f in glob.glob(b.path("spool/m/*/*/*/index")):
        os.unlink(f)
    code, out, err = adm(b, "verify")
    tap.ok("1 mailboxes damaged" in out, "the log had the indexes: " + out)
    for f in (glob.glob(b.path("spool/m/*/*/*/index")) +
              glob.glob(b.path("spool/log/*"))):
        os.unlink(f)
    code, out, err = adm(b, "verify")
    tap.ok(code == 1 and "2 mailboxes damaged" in out, "no index: " + out)
    ids = [os.path.basename(os.path.dirname(f))
           for f in glob.glob(b.path("spool/m/*/*/*/names"))]
    got = rows(b, "rebuild", *ids)
    tap.equal(sorted(r["messages"] for r in got), [7, 11],
              "rebuilt, with what had been expunged, not knowing of it")
    names = [r["mailbox"] for r in rows(b, "list")]
    tap.equal(names, ["user.fred", "user.fred.Work"], "names are there")
    code, out, err = adm(b, "rebuild")
    tap.ok(code == 2 and "--all" in err, "rebuild wants names")
    tap.equal(len(rows(b, "rebuild", "--all")), 2, "rebuild --all")


with Backend() as b:
    fill(b)
    play_mistakes(b)
    tap.equal(b.stop(), 0, "stopped")
    play_verify(b)
    play_undelete(b)
    play_out_and_in(b)
    play_odd(b)
    play_back(b)
    play_damage(b)
play_unknown()
tap.done()
