#!/usr/bin/env python3
"""
backendadm beside a backend that serves: what it brings back, checks, takes
out and puts in, and what clients with the mailbox selected see of it.
"""
import glob
import json
import mailbox
import os
import stat
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "lib"))
from backend import Backend  # noqa: E402
from daemon import BIN  # noqa: E402
from tap import tap  # noqa: E402

DATE = '"01-Feb-2003 04:05:06 +0000"'
MANY = 600  # more than one answer of rows, and than one batch
LONG = b"Subject: long\r\n\r\n" + b"0123456789abcde\r\n" * 150000


def command(b, *words):
    return [os.path.join(BIN, "backendadm"), "-f", b.path("conf"), *words]


def adm(b, *words):
    p = subprocess.run(command(b, *words), capture_output=True, text=True,
                       stdin=subprocess.DEVNULL, timeout=120)
    return p.returncode, p.stdout, p.stderr


def rows(b, *words):
    code, out, err = adm(b, "--json", *words)
    tap.equal((code, err), (0, ""), " ".join(words))
    return [json.loads(line) for line in out.splitlines()]


def message(n):
    return b"Subject: message %d\r\nFrom: a@example.org\r\n\r\n%d\r\n" % (n, n)


def append_many(r, name, first, count, flags=""):
    """MULTIAPPEND."""
    text = b"m APPEND %s" % name.encode()
    for n in range(first, first + count):
        body = message(n)
        text += b" (%s) {%d+}\r\n%s" % (flags.encode(), len(body), body)
    r.send(text + b"\r\n")
    return r.until("m ")[-1]


def log_in(b, user="fred"):
    r = b.raw()
    r.line()
    r.ask("l", "LOGIN %s password" % user)
    return r


def play_socket(b):
    mode = os.stat(b.path("adm")).st_mode
    tap.ok(stat.S_ISSOCK(mode) and mode & 0o777 == 0o600,
           "nobody else may connect: %o" % mode)
    code, out, err = adm(b, "rebuild", "--all")
    tap.ok(code == 1 and "while backendd is stopped" in err,
           "rebuild is not for now: " + err)


def play_list(b):
    tap.equal([(r["mailbox"], r["partition"]) for r in rows(b, "list")],
              [("user.fred", "default"), ("user.fred.Work", "default")],
              "list")


def play_undelete(b):
    """Two sessions have it selected, one idle; one comes back later."""
    idle, busy = log_in(b), log_in(b)
    idle.ask("e", "ENABLE QRESYNC")
    idle.ask("s", "SELECT Work")
    busy.ask("s", "SELECT Work")
    before = idle.ask("t", "STATUS Work (HIGHESTMODSEQ UIDVALIDITY)")[0]
    modseq = int(before.split("HIGHESTMODSEQ ")[1].split(")")[0].split()[0])
    validity = int(before.split("UIDVALIDITY ")[1].split(")")[0].split()[0])
    held = rows(b, "expunged", "user.fred.Work")
    tap.equal([r["uid"] for r in held], list(range(2, MANY)), "expunged")
    tap.equal((held[0]["subject"], held[0]["from"]),
              ("message 1", "a@example.org"), "and what they are")
    idle.send("i IDLE\r\n")
    idle.until("+ ")
    back = rows(b, "undelete", "user.fred.Work", "7", "5")
    tap.equal(sorted(r["uid"] for r in back), [5, 7], "undelete")
    new = sorted(r["new_uid"] for r in back)
    tap.equal(new, [MANY + 1, MANY + 2], "with new UIDs")
    tap.equal(idle.until("* 4 EXISTS")[-1], "* 4 EXISTS",
              "who idles is told at once")
    idle.send("DONE\r\n")
    idle.until("i ")
    tap.ok("* 4 EXISTS" in busy.ask("n", "NOOP"), "others at the next command")
    code, out, err = adm(b, "undelete", "user.fred.Work", "7")
    tap.ok(code == 1 and "not held" in err, "once: " + err)
    code, out, err = adm(b, "undelete", "user.fred.Work", "--all")
    tap.equal((code, len(out.splitlines())), (0, MANY - 4), "the rest" + err)
    busy.ask("n", "NOOP")
    lines = busy.ask("f", "UID FETCH %d:* (FLAGS BODY.PEEK[TEXT])" % new[0])
    lines = [line for line in lines if "FETCH (" in line]
    tap.equal(len(lines), MANY - 2, "all can be read")
    tap.ok(all("\\Flagged" in line and "\\Deleted" not in line
               for line in lines), "with their flags, but not \\Deleted")
    late = log_in(b)
    late.ask("e", "ENABLE QRESYNC")
    lines = late.ask("s", "SELECT Work (QRESYNC (%d %d))" % (validity, modseq))
    tap.equal(len([line for line in lines if "FETCH (UID" in line]), MANY - 2,
              "QRESYNC has them as changed since")
    tap.ok(not [line for line in lines if "VANISHED" in line],
           "and nothing as gone")
    for r in (idle, busy, late):
        r.ask("z", "LOGOUT")
        r.close()


def play_verify(b):
    tap.equal([(r["mailbox"], r["messages"], r["damage"], r["damaged_uids"])
               for r in rows(b, "verify")],
              [("user.fred", 2, None, ""), ("user.fred.Work", MANY, None, "")],
              "verify")
    code, out, err = adm(b, "verify", "user.nobody")
    tap.ok(code == 1 and "no such mailbox" in err, "a mailbox there is not")


def play_export(b):
    code, out, err = adm(b, "export", "user.fred", b.path("out"))
    tap.equal((code, out), (0, "2 messages\n"), "export" + err)
    box = mailbox.Maildir(b.path("out"), factory=None)
    found = {m["Subject"]: (m.get_flags(), m.as_bytes()) for m in box}
    tap.equal(sorted(found), ["long", "message 1"], "both are there")
    tap.equal(found["long"][0], "Fa", "flags and keywords")
    tap.ok(found["long"][1] == LONG.replace(b"\r\n", b"\n"),
           "%d octets of one" % len(LONG))


def play_import(b):
    r = log_in(b)
    r.ask("c", "CREATE In")
    r.ask("s", "SELECT In")
    r.send("i IDLE\r\n")
    r.until("+ ")
    tap.equal(rows(b, "import", "user.fred.In", b.path("out")),
              [{"mailbox": "user.fred.In", "messages": 2}], "import")
    r.until("* 2 EXISTS")
    r.send("DONE\r\n")
    r.until("i ")
    lines = r.ask("f", "FETCH 1:* (FLAGS INTERNALDATE RFC822.SIZE EMAILID)")
    wanted = [line for line in lines if "SIZE %d" % len(LONG) in line]
    tap.ok(len(wanted) == 1 and "Junk" in wanted[0] and
           "\\Flagged" in wanted[0] and "01-Feb-2003" in wanted[0],
           "as it was: %s" % lines)
    r.ask("s", "SELECT INBOX")
    same = [line.split("EMAILID")[1] for line in
            r.ask("g", "FETCH 1:* (EMAILID)")[:-1]]
    tap.equal(sorted(line.split("EMAILID")[1].split(")")[0]
                     for line in lines[:-1]),
              sorted(s.split(")")[0] for s in same),
              "and it is the same message")
    b.reconfigure("max_message = 100k")
    code, out, err = adm(b, "import", "user.fred.In", b.path("out"))
    tap.ok(code == 1 and "max_message" in err, "not too long ones: " + err)
    b.reconfigure("max_message = 50M")
    r.ask("z", "LOGOUT")
    r.close()


def play_restore(b):
    r = log_in(b)
    r.ask("d", "DELETE In")
    name = [row["mailbox"] for row in rows(b, "list")
            if row["mailbox"].startswith("deleted.")]
    tap.equal(len(name), 1, "it is kept: %s" % name)
    tap.equal([row["messages"] for row in rows(b, "verify", name[0])], [2],
              "and can be looked at")
    code, out, err = adm(b, "restore", "user.fred.Work", "user.fred.Other")
    tap.ok(code == 1 and "no deleted mailbox" in err,
           "restore is not RENAME: " + err)
    code, out, err = adm(b, "restore", name[0], "user.fred.Work")
    tap.ok(code == 1, "nor takes it a name that is in use: " + err)
    code, out, err = adm(b, "restore", name[0])
    tap.equal((code, out), (0, "user.fred.In\n"), "restore" + err)
    tap.ok("* 2 EXISTS" in r.ask("s", "SELECT In"), "it is there")
    r.ask("z", "LOGOUT")
    r.close()


def play_removed(b):
    """What somebody deletes is not kept by a tool that looks at it."""
    r = log_in(b)
    r.ask("c", "CREATE Gone")
    append_many(r, "Gone", 0, 1)
    p = subprocess.Popen(command(b, "import", "--mbox", "user.fred.Gone",
                                 b.path("fifo")),
                         stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                         stderr=subprocess.PIPE, text=True)
    with open(b.path("fifo"), "wb") as f:
        f.write(b"From a Mon Jan  1 00:00:00 2001\nSubject: x\n\n1\n\n")
        tap.ok(r.ask("d", "DELETE Gone")[-1].startswith("d OK"),
               "DELETE does not wait for it")
    out, err = p.communicate(timeout=60)
    tap.ok(p.returncode == 1 and err != "", "which is told: " + err)
    r.ask("z", "LOGOUT")
    r.close()


def play_crash(b):
    """What was said to be back is, whenever the server dies."""
    r = log_in(b)
    r.ask("c", "CREATE Crash")
    tap.ok(append_many(r, "Crash", 0, 1500).startswith("m OK"), "1500 messages")
    r.ask("s", "SELECT Crash")
    r.ask("f", "STORE 1:* +FLAGS.SILENT (\\Deleted)")
    r.ask("x", "EXPUNGE")
    r.close()
    p = subprocess.Popen(command(b, "--json", "undelete", "user.fred.Crash",
                                 "--all"), stdin=subprocess.DEVNULL,
                         stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                         text=True)
    said = [json.loads(p.stdout.readline())]
    b.kill_store()
    said += [json.loads(line) for line in p.stdout]
    err = p.communicate(timeout=60)[1]
    if p.returncode != 0:
        tap.ok("backendd has gone" in err, "it is told: " + err.split("\n")[0])
    left = rows(b, "expunged", "user.fred.Crash")
    r = log_in(b)
    lines = r.ask("s", "SELECT Crash")
    exists = [int(line.split()[1]) for line in lines if "EXISTS" in line][0]
    tap.equal(exists + len(left), 1500, "each is back or can be brought back")
    tap.ok(exists >= len(said), "what was said is so (%d of %d, %d said)" %
           (exists, 1500, len(said)))
    uids = set(line.split("UID ")[1].split(" ")[0].rstrip(")")
               for line in r.ask("f", "UID FETCH 1:* (UID)")[:-1])
    tap.ok(all(str(row["new_uid"]) in uids for row in said), "by its UID")
    r.close()


def play_many_tools(b):
    """No more than so many at once; the others are told to come later."""
    os.mkfifo(b.path("fifo2"))
    held = []
    for n in range(8):
        held.append(subprocess.Popen(
            command(b, "import", "--mbox", "user.fred", b.path("fifo2")),
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True))
    while b.log().count("opened by backendadm mailbox=user.fred\n") < 8:
        if any(p.poll() is not None for p in held):
            break
    code, out, err = adm(b, "list")
    tap.ok(code == 1 and "too many" in err, "too many: " + err)
    for p in held:
        p.kill()
        p.communicate()


def play_damage(b):
    """In the middle of the long message."""
    r = log_in(b)
    r.ask("s", "SELECT INBOX")
    size = {line.split()[1]: int(line.split("SIZE ")[1].split(")")[0])
            for line in r.ask("f", "FETCH 1:* (RFC822.SIZE)")[:-1]}
    uid = max(size, key=size.get)
    r.ask("z", "LOGOUT")
    r.close()
    inbox = [row["mailboxid"] for row in rows(b, "list")
             if row["mailbox"] == "user.fred"][0]
    for path in glob.glob(b.path("spool/m/*/*", inbox, "data.*")):
        if os.path.getsize(path) > len(LONG):
            with open(path, "r+b") as f:
                f.seek(os.path.getsize(path) // 2)
                f.write(b"wrong")
    code, out, err = adm(b, "--json", "verify", "user.fred")
    row = json.loads(out)
    tap.equal((code, row["damage"], row["damaged_uids"]), (1, None, uid),
              "verify finds what is damaged" + err)
    code, out, err = adm(b, "export", "user.fred", b.path("out2"))
    tap.ok(code == 1 and "UID %s: Message is damaged" % uid in err and
           out == "%d messages\n" % (len(size) - 1),
           "export says so, and has the rest: " + err)


class Live(Backend):
    def lay_out(self):
        self.conf.append("admin_socket = " + self.path("adm"))
        super().lay_out()


def fill(b):
    r = log_in(b)
    r.ask("c", "CREATE Work")
    tap.ok(append_many(r, "Work", 0, MANY, "\\Flagged").startswith("m OK"),
           "%d messages" % MANY)
    r.ask("s", "SELECT Work")
    r.ask("f", "STORE 2:%d +FLAGS.SILENT (\\Deleted)" % (MANY - 1))
    r.ask("x", "EXPUNGE")
    r.send(b"m APPEND INBOX (\\Flagged Junk) %s {%d+}\r\n%s\r\n" %
           (DATE.encode(), len(LONG), LONG))
    r.until("m ")
    append_many(r, "INBOX", 1, 1)
    r.ask("z", "LOGOUT")
    r.close()
    os.mkfifo(b.path("fifo"))


with Live() as b:
    fill(b)
    play_socket(b)
    play_list(b)
    play_undelete(b)
    play_verify(b)
    play_export(b)
    play_import(b)
    play_restore(b)
    play_removed(b)
    play_many_tools(b)
    play_crash(b)
    play_damage(b)
tap.done()
