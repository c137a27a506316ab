#!/usr/bin/env python3
"""A tree of Maildirs that mbsync, mutt and doveadm change while clients of
backendd do: messages, flags and keywords are the same to all afterwards."""
import os
import pty
import re
import select
import shutil
import subprocess
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "lib"))
from imap import ok, plan, simple  # noqa: E402
from maildirs import Maildirs, doveadm, files, make, put  # noqa: E402

LETTERS = {"\\Draft": "D", "\\Flagged": "F", "\\Answered": "R",
           "\\Seen": "S", "\\Deleted": "T"}
PATIENCE = 60
BUSY = 1
AGAIN = 3


def seen_by_imap(c, keywords=False):
    """Subject: letters, of the mailbox selected."""
    c.must("NOOP")
    got = {}
    for line in c.said("FETCH 1:* (FLAGS BODY.PEEK[HEADER.FIELDS "
                       "(SUBJECT)])"):
        flags = re.search(r"FLAGS \(([^)]*)\)", line)
        subject = re.search(r"Subject: ([^\r\n]*)", line)
        if flags and subject:
            given = flags.group(1).split()
            letters = "".join(sorted(LETTERS[f] for f in given
                                     if f in LETTERS))
            words = sorted(f for f in given if not f.startswith("\\"))
            got[subject.group(1)] = (letters, words) if keywords else letters
    return got


def in_files(path):
    """The same of the files; keywords are small letters."""
    return {s: re.sub("[a-z]", "", l) for s, (l, _) in files(path).items()}


def agree(call, want, what):
    """Waits until call() gives what want() does: each may take a look."""
    end = time.monotonic() + PATIENCE
    a, b = call(), want()
    while a != b and time.monotonic() < end:
        time.sleep(0.1)
        a, b = call(), want()
    if not ok(a == b, what):
        print("#", a, "\n#", b)


class Busy:
    """A client that goes on changing what others do not."""

    def __init__(self, sv):
        self.c = sv.client("joe")
        self.c.must("SELECT INBOX")
        self.n = 0

    def meanwhile(self, child):
        """Not for long: mbsync waits for a directory to come to rest."""
        start = time.monotonic()
        while child.poll() is None and time.monotonic() < start + PATIENCE:
            if time.monotonic() > start + BUSY:
                time.sleep(0.02)
                continue
            self.n += 1
            self.c.must("UID STORE 1:2 %sFLAGS (\\Flagged)" %
                        "+-"[self.n % 2])
            if self.n <= 6:
                self.c.append("INBOX", simple("busy %d" % self.n))
        return child.poll()


def test_mbsync(sv, busy):
    top, inbox = sv.path("mbsync"), sv.box("joe")
    far = top + "/far"
    make(far + "/INBOX")
    rc = top + "/rc"
    with open(rc, "w") as f:
        f.write("""\
MaildirStore near
Inbox %s
SubFolders Maildir++
AltMap yes

MaildirStore far
Path %s/
Inbox %s/INBOX
SubFolders Verbatim

Channel all
Far :far:
Near :near:
Patterns *
Create Both
Expunge Both
Sync All
SyncState *
""" % (inbox.rstrip("/"), far, far))

    def sync():
        child = subprocess.Popen(["mbsync", "-q", "-c", rc, "all"],
                                 stdout=subprocess.DEVNULL,
                                 stderr=subprocess.PIPE)
        busy.meanwhile(child)
        said = child.communicate()[1].decode()
        if said:
            print("# mbsync:", said.replace("\n", "\n# "))

    def quiet():
        subprocess.run(["mbsync", "-q", "-c", rc, "all"],
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                       timeout=PATIENCE)
        return in_files(far + "/INBOX")

    sync()
    c = sv.client("joe")
    c.must("SELECT INBOX")
    agree(quiet, lambda: seen_by_imap(c), "mbsync: what it took is as it is")
    ok(set(files(far + "/Work")) == {"work 0", "work 1"},
       "mbsync: mailboxes below")
    there = files(far + "/INBOX")
    name = there["one 3"][1]
    os.rename(name, os.path.join(far, "INBOX", "cur", os.path.basename(
        name).partition(":2,")[0] + ":2,FRS"))
    os.unlink(there["one 4"][1])
    put(far + "/INBOX", "new/1.1.far", b"Subject: from afar\n\ntext\n")
    sync()
    agree(quiet, lambda: seen_by_imap(c), "mbsync: what it brought is here")
    got = seen_by_imap(c)
    ok(got.get("one 3") == "FRS" and "one 4" not in got and
       "from afar" in got, "mbsync: flags, a message that goes, one that comes")
    agree(lambda: in_files(inbox), lambda: seen_by_imap(c),
          "mbsync: so are the files")
    c.close()


def mutt(sv, box, keys):
    """On a terminal of its own."""
    rc = sv.path("muttrc")
    with open(rc, "w") as f:
        f.write('set folder="%s"\nset mail_check=0\nset delete=yes\n'
                'set confirmappend=no\nset move=no\nset sort=date-received\n'
                'set mark_old=no\nset header_cache=""\nset quit=yes\n'
                % sv.dir)
    pid, fd = pty.fork()
    if pid == 0:
        os.environ.update(TERM="vt100", HOME=sv.dir)
        os.execvp("mutt", ["mutt", "-n", "-F", rc, "-f", box, "-e",
                           'push "%s"' % keys])
    return Child(pid, fd)


class Child:
    """
    What a process on a terminal says is thrown away.  mutt gives up writing,
    and forgets the other keys, if a file has another name meanwhile: then it
    is asked to write again, and to end.
    """

    def __init__(self, pid, fd):
        self.pid, self.fd, self.status = pid, fd, None
        self.again = time.monotonic() + AGAIN

    def poll(self):
        if self.status is None and time.monotonic() > self.again:
            self.again += AGAIN
            try:
                os.write(self.fd, b"$q")
            except OSError:
                pass  # it has just ended
        while self.status is None and select.select([self.fd], [], [], 0)[0]:
            try:
                if not os.read(self.fd, 65536):
                    break
            except OSError:
                break
        if self.status is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.status = status
                os.close(self.fd)
        return self.status

    def end(self):
        if self.poll() is None:
            os.kill(self.pid, 9)
            os.waitpid(self.pid, 0)


def test_mutt(sv, busy):
    c = sv.client("joe")
    c.must("SELECT INBOX")
    child = mutt(sv, sv.box("joe").rstrip("/"),
                 "<limit>~s 'one 5'<enter><flag-message>"
                 "<limit>~s 'one 6'<enter><delete-message>"
                 "<limit>all<enter><sync-mailbox><quit>")
    status = busy.meanwhile(child)
    child.end()
    ok(status == 0, "mutt ends")

    def changed():
        got = seen_by_imap(c)
        return "F" in got.get("one 5", "") and "one 6" not in got
    agree(changed, lambda: True, "mutt: a flag, and a message that goes")
    agree(lambda: in_files(sv.box("joe")), lambda: seen_by_imap(c),
          "mutt: the files are the same")
    c.close()


def test_doveadm(sv):
    """It gives no UIDs here, as all messages have one."""
    c = sv.client("joe")
    c.must("SELECT INBOX")
    said = doveadm(sv, "flags", "add", "\\Answered Theirs", "mailbox", "INBOX",
                   "subject", "one 7")
    c.must("UID STORE 8 +FLAGS (Ours)")
    doveadm(sv, "flags", "add", "\\Draft", "mailbox", "INBOX", "subject",
            "one 7")
    if not ok(said == "", "doveadm sets flags"):
        print("#", said)

    def words():
        return seen_by_imap(c, True).get("one 7")
    agree(words, lambda: ("DR", ["Ours", "Theirs"]),
          "doveadm: flags and keywords of both")

    def theirs():
        text = doveadm(sv, "-f", "tab", "fetch", "hdr.subject flags",
                       "mailbox", "INBOX")
        got = {}
        for line in text.splitlines()[1:]:
            subject, _, flags = line.partition("\t")
            given = flags.split()
            got[subject] = ("".join(sorted(
                LETTERS[f] for f in given if f in LETTERS)),
                sorted(f for f in given if not f.startswith("\\")))
        return got
    agree(theirs, lambda: seen_by_imap(c, True), "doveadm sees the same")
    c.close()


def main(sv):
    c = sv.client("joe")
    for n in range(8):
        c.append("INBOX", simple("one %d" % n))
    c.must("CREATE Work")
    for n in range(2):
        c.append("Work", simple("work %d" % n))
    c.close()
    busy = Busy(sv)
    if shutil.which("mbsync"):
        test_mbsync(sv, busy)
    if shutil.which("mutt"):
        test_mutt(sv, busy)
    busy.c.close()
    if shutil.which("doveadm"):
        test_doveadm(sv)


with Maildirs() as server:
    main(server)
plan()
