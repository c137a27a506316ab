"""What is done in each cell: a kind of frontend before a kind of backend.

A cell has a user of its own, with the INBOX on its backend, and works through
two frontends of its kind: what the first was told to do, the second shows.
Contents are looked at, not answers alone.
"""
import imaplib
import re

from murder import await_that, deliver, message
from sieve import Sieve, script
from tap import tap

RIGHTS = "lrswipkxtecda"
FRIEND = "user9"
DATE = "03-Feb-2026 10:11:12 +0100"


class Cell:
    def __init__(self, rig, frontend, backend, user):
        self.rig, self.user = rig, user
        self.first, self.second = frontend + "1", frontend + "2"
        self.frontend, self.backend = frontend, backend
        self.name = "%s frontend, %s backend" % (
            "our" if frontend == "ofe" else "Cyrus's",
            "our" if backend == "ours" else "Cyrus's")
        self.server = rig.backends[backend]
        self.texts = {}  # mailbox: the messages that ought to be there

    # --- what is looked at ----------------------------------------------------

    def ok(self, good, what):
        return tap.ok(good, "%s: %s" % (self.name, what))

    def equal(self, got, want, what):
        tap.equal(got, want, "%s: %s" % (self.name, what))

    def good(self, session, command, what=None):
        found, last = session.ask(command)
        if not self.ok(last.startswith("OK"), what or command):
            print("# %s" % last.strip(), flush=True)
        return found

    def bad(self, session, command, what):
        last = session.ask(command)[1]
        self.ok(last.startswith("NO"), what + " (%s)" % last.strip()[:60])

    def own(self, box):
        """The user's mailbox as the user writes it."""
        if box == "INBOX" or self.rig.altnamespace:
            return box.replace("/", self.rig.separator)
        return ("INBOX/" + box).replace("/", self.rig.separator)

    def others(self, box=None, viewer=None):
        """The same as somebody else writes it: an admin, if not named."""
        name = "user/" + self.user + ("/" + box if box else "")
        if self.rig.altnamespace and viewer is not None:
            name = "Other Users" + name[len("user"):]
        return name.replace("/", self.rig.separator)

    @staticmethod
    def count(session, name):
        """How many messages STATUS tells of."""
        lines = session.want('STATUS "%s" (MESSAGES)' % name)
        return int(re.search(rb"MESSAGES (\d+)", b"".join(lines)).group(1))

    def messages(self, session, name):
        """What is in a mailbox: (subject, text) of each message, sorted."""
        if self.count(session, name) == 0:
            return []
        session.want('EXAMINE "%s"' % name)
        found = []
        for _, items in session.fetch("1:*", "(UID BODY.PEEK[TEXT] BODY.PEEK["
                                      "HEADER.FIELDS (SUBJECT)])"):
            subject = items[b"BODY[HEADER.FIELDS (SUBJECT)]"].decode()
            found.append((subject.strip()[len("Subject: "):],
                          items[b"BODY[TEXT]"]))
        session.want("UNSELECT")
        return sorted(found)

    def listed(self, session, pattern):
        """The names that LIST shows."""
        return sorted(
            re.search(rb'\) "." "?([^"\r]*)"?\r\n$', line).group(1).decode()
            for line in session.want('LIST "" "%s"' % pattern))

    def own_listed(self, session):
        """Without what others share."""
        return [name for name in self.listed(session, "*")
                if not name.startswith(("help-", "user", "Other Users",
                                        "Shared Folders"))]

    def shared_name(self, name):
        """As everybody but an admin of Cyrus's writes it."""
        return "Shared Folders/" + name if self.rig.altnamespace else name

    # --- what is done -----------------------------------------------------------

    def deliver(self, subject, recipient, code=250):
        text = "To %s.\r\n.dot\r\n" % subject
        lmtp = self.rig.lmtp(self.first)
        answer = deliver(lmtp, [recipient], message(subject, text))
        lmtp.close()
        self.equal(answer, [code], "deliver to %s" % recipient)
        return subject, text.encode()

    def create(self):
        """An INBOX by an admin, at that backend; seen on the other frontend."""
        with_admin = self.rig.imap(self.first, "admin")
        self.good(with_admin, 'CREATE "%s" %s!default' % (
            self.others(), self.server), "CREATE with server and partition")
        self.user2 = self.rig.imap(self.second, self.user)
        self.good(self.user2, "SELECT INBOX",
                  "the other frontend has the INBOX at once")
        self.good(self.user2, "UNSELECT")
        self.user1 = self.rig.imap(self.first, self.user)
        self.good(self.user1, 'CREATE "%s"' % self.own("Work"))
        self.good(self.user1, 'CREATE "%s"' % self.own("Work/Old papers"))
        await_that(lambda: self.own_listed(self.user2) == sorted(
            ["INBOX", self.own("Work"), self.own("Work/Old papers")]),
            "%s: LIST on the other frontend" % self.name)
        with_admin.close()

    def mail(self):
        """By LMTP, and by APPEND with flags and a date; read elsewhere."""
        first = self.deliver("first-" + self.user, self.user)
        second = self.deliver("second-" + self.user, self.user + "@internal")
        self.equal(self.messages(self.user2, "INBOX"),
                   sorted([first, second]), "mail is there, octet for octet")
        octets = message("appended-" + self.user, "Appended.\r\n")
        last = self.user1.append('"%s"' % self.own("Work"), octets,
                                 "\\Flagged $Label1",
                                 DATE)
        self.ok(last.startswith("OK") and "APPENDUID" in last,
                "APPEND (%s)" % last.strip()[:40])
        self.good(self.user2, 'SELECT "%s"' % self.own("Work"))
        _, items = list(self.user2.fetch(
            "1", "(FLAGS INTERNALDATE RFC822.SIZE BODY.PEEK[])"))[0]
        self.equal(items[b"BODY[]"], octets, "APPEND's octets come back")
        self.equal(sorted(f for f in items[b"FLAGS"] if f != b"\\Recent"),
                   [b"$Label1", b"\\Flagged"], "its flags")
        self.equal(imaplib.Internaldate2tuple(
            b'INTERNALDATE "%s"' % items[b"INTERNALDATE"]),
            imaplib.Internaldate2tuple(b'INTERNALDATE "%s"' % DATE.encode()),
            "its date")
        self.good(self.user2, "UNSELECT")

    def address(self):
        """user+detail, where anybody may post."""
        self.good(self.user1, 'SETACL "%s" anyone p' % self.own("Work"))
        sent = self.deliver("detail-" + self.user, self.user + "+Work")
        self.ok(sent in self.messages(self.user2, self.own("Work")),
                "a detail is a mailbox of the user")
        self.good(self.user1, 'DELETEACL "%s" anyone' % self.own("Work"))
        self.user1.want('SELECT "%s"' % self.own("Work"))
        self.user1.want("STORE 2 +FLAGS.SILENT (\\Deleted)")
        self.user1.want("CLOSE")

    def selected(self):
        """SELECT, FETCH, STORE, SEARCH, COPY, MOVE, EXPUNGE."""
        u = self.user1
        self.good(u, "SELECT INBOX")
        self.good(u, "STORE 1 +FLAGS.SILENT (\\Answered)")
        self.equal(u.want("SEARCH ANSWERED")[0], b"* SEARCH 1\r\n", "SEARCH")
        self.good(u, 'COPY 1 "%s"' % self.own("Work/Old papers"))
        self.good(u, 'MOVE 2 "%s"' % self.own("Work/Old papers"))
        self.good(u, 'UID STORE 1:* FLAGS (\\Seen)')
        self.good(u, "CLOSE")
        self.equal(self.count(self.user2, "INBOX"), 1, "one is left")
        self.equal([s for s, _ in self.messages(
            self.user2, self.own("Work/Old papers"))],
            ["first-" + self.user, "second-" + self.user],
            "what was copied and moved")

    def condstore(self):
        """What is switched on at the frontend holds at the backend."""
        u = self.rig.imap(self.first, self.user)
        found = self.good(u, "ENABLE CONDSTORE")
        self.equal(found, [b"* ENABLED CONDSTORE\r\n"], "ENABLED, once")
        u.want("SELECT INBOX")
        _, items = list(u.fetch("1", "(UID MODSEQ)"))[0]
        modseq = int(items[b"MODSEQ"][0])
        self.equal([int(i[b"MODSEQ"][0]) > modseq for _, i in u.fetch_of(
            "STORE 1 +FLAGS ($Label2)")], [True], "STORE tells the new MODSEQ")
        tagged = u.ask("STORE 1 (UNCHANGEDSINCE %d) +FLAGS ($Label3)" %
                       modseq)[1]
        self.ok("[MODIFIED 1]" in tagged, "STORE UNCHANGEDSINCE (%s)" %
                tagged.strip()[:40])
        u.want("STORE 1 -FLAGS.SILENT ($Label2)")
        u.close()

    def idle(self):
        """What comes while a client of the other frontend idles."""
        u = self.user2
        u.want("SELECT INBOX")
        before = self.count(self.user1, "INBOX")
        tag = u.begin("IDLE")
        while not u.response().startswith(b"+"):
            pass
        self.deliver("idle-" + self.user, self.user)
        while True:
            line = u.response()
            if line.endswith(b" EXISTS\r\n"):
                break
        self.equal(line, b"* %d EXISTS\r\n" % (before + 1), "IDLE tells")
        u.send("DONE\r\n")
        self.ok(u.answer(tag)[1].startswith("OK"), "IDLE ends")
        u.want("UNSELECT")

    def share(self):
        """SETACL, and who may look then; RENAME; what was refused before."""
        friend = self.rig.imap(self.second, FRIEND)
        box = self.others("Work", FRIEND)
        self.bad(friend, 'SELECT "%s"' % box, "another may not SELECT")
        self.good(self.user1, 'SETACL "%s" %s lrs' % (self.own("Work"),
                                                     FRIEND))
        await_that(lambda: friend.ask('MYRIGHTS "%s"' % box)[0] == [
            b"* MYRIGHTS %s lrs\r\n" % self.astring(box)],
            "%s: MYRIGHTS on the other frontend" % self.name)
        self.equal([s for s, _ in self.messages(friend, box)],
                   ["appended-" + self.user], "SETACL lets another read")
        self.good(self.user1, 'DELETEACL "%s" %s' % (self.own("Work"),
                                                    FRIEND))
        self.bad(friend, 'SELECT "%s"' % box, "DELETEACL ends that")
        friend.close()

    @staticmethod
    def astring(name):
        octets = name.encode()
        return b'"%s"' % octets if b" " in octets else octets

    def rename(self):
        """A mailbox with one below it: both move, with what is in them."""
        before = self.messages(self.user1, self.own("Work/Old papers"))
        self.good(self.user1, 'RENAME "%s" "%s"' % (self.own("Work"),
                                                  self.own("Job")))
        self.equal(self.messages(self.user2, self.own("Job/Old papers")),
                   before, "what was below it is at the new name")
        self.equal([s for s, _ in self.messages(self.user2,
                                                self.own("Job"))],
                   ["appended-" + self.user], "and what was in it")
        await_that(lambda: self.own_listed(self.user2) == sorted(
            ["INBOX", self.own("Job"), self.own("Job/Old papers")]),
            "%s: LIST shows the new names" % self.name)

    def subscribe(self):
        self.good(self.user1, 'SUBSCRIBE "%s"' % self.own("Job"))
        lines = self.user2.want('LSUB "" "*"')
        self.ok(len(lines) == 1 and self.own("Job").encode() in lines[0],
                "LSUB on the other frontend")
        lines = self.user2.want('LIST (SUBSCRIBED) "" "*"')
        self.ok(len(lines) == 1 and self.own("Job").encode() in lines[0],
                "LIST (SUBSCRIBED)")
        lines = self.user2.want(
            'LIST "" "%s" RETURN (STATUS (MESSAGES))' % self.own("Job"))
        self.ok(any(line.startswith(b"* STATUS") and b"MESSAGES 1" in line
                    for line in lines), "LIST RETURN (STATUS)")

    def after(self):
        """The update server has come again: things go on."""
        u = self.user1
        self.good(u, 'CREATE "%s"' % self.own("Later"))
        self.equal(self.count(self.user2, self.own("Later")), 0,
                   "a new mailbox is on the other frontend at once")
        first = self.deliver("later-" + self.user, self.user)
        self.ok(first in self.messages(self.user2, "INBOX"),
                "what is delivered now is there")
        self.good(u, 'RENAME "%s" "%s"' % (self.own("Later"),
                                         self.own("Never")))
        self.good(self.user2, 'SELECT "%s"' % self.own("Never"))
        self.good(self.user2, "UNSELECT")
        self.good(u, 'DELETE "%s"' % self.own("Never"))

    def remove(self):
        """One mailbox, and then the user; on neither frontend any more."""
        box = self.own("Job/Old papers")
        self.good(self.user1, 'DELETE "%s"' % box)
        self.bad(self.user1, 'SELECT "%s"' % box, "it is gone here")
        await_that(lambda: box not in self.own_listed(self.user2),
                   "%s: and there" % self.name)
        self.bad(self.user2, 'SELECT "%s"' % box, "nor is it to be selected")
        self.user1.close()
        self.user2.close()
        admin = self.rig.imap(self.first, "admin")
        self.good(admin, 'SETACL "%s" admin %s' % (self.others(), RIGHTS))
        self.good(admin, 'DELETE "%s"' % self.others())
        admin.close()
        admin = self.rig.imap(self.second, "admin")
        await_that(lambda: not self.listed(admin, self.others() + "*"),
                   "%s: DELETE of a user" % self.name)
        admin.close()
        self.deliver("nobody", self.user, 550)


def across(rig, frontend, users):
    """
    One frontend, a backend of each: COPY from a mailbox on one to a mailbox
    on the other, by users that are (on ours, on Cyrus's).
    """
    cells = [Cell(rig, frontend, "ours", users[0]),
             Cell(rig, frontend, "cyrus", users[1])]
    sessions = []
    for cell in cells:
        cell.name = "%s frontend, both backends" % cell.name.split(" ")[0]
        admin = rig.imap(cell.first, "admin")
        cell.good(admin, 'CREATE "%s" %s!default' % (
            cell.others(), cell.server))
        admin.close()
        sessions.append(rig.imap(cell.first, cell.user))
    for i, cell in enumerate(cells):
        other = cells[1 - i]
        cell.good(sessions[i], 'CREATE "%s"' % cell.own("In"))
        cell.good(sessions[i], 'SETACL "%s" %s lrswipkxte' % (
            cell.own("In"), other.user))
    for i, cell in enumerate(cells):
        u, other = sessions[i], cells[1 - i]
        to = other.others("In", cell.user)
        texts = [message("%s-%d" % (cell.user, n), "Body %d\r\n" % n)
                 for n in range(70)]
        for n, text in enumerate(texts):
            last = u.append("INBOX", text, "\\Flagged" if n % 2 else "",
                            DATE)
            if not last.startswith("OK"):
                cell.ok(False, "APPEND: " + last)
        cell.good(u, "SELECT INBOX")
        tagged = u.ask('COPY 1:70 "%s"' % to)[1]
        cell.ok(tagged.startswith("OK"), "COPY to %s (%s)" % (
            to, tagged.strip()[:60]))
        cell.good(u, 'SELECT "%s"' % to)
        got = list(u.fetch("1:*", "(FLAGS INTERNALDATE BODY.PEEK[])"))
        cell.equal([items[b"BODY[]"] for _, items in got], texts,
                   "what was copied, octet for octet and in order")
        cell.equal([b"\\Flagged" in items[b"FLAGS"] for _, items in got],
                   [n % 2 == 1 for n in range(70)], "with its flags")
        cell.ok(all(imaplib.Internaldate2tuple(
            b'INTERNALDATE "%s"' % items[b"INTERNALDATE"]) ==
            imaplib.Internaldate2tuple(
                b'INTERNALDATE "%s"' % DATE.encode())
            for _, items in got), "and its date")
        cell.good(u, "SELECT INBOX")
        cell.good(u, 'UID MOVE 1:2 "%s"' % to)
        cell.equal(cell.count(sessions[1 - i], other.own("In")), 72,
                   "MOVE puts them there")
        if frontend == "ofe":  # Cyrus's until 3.12 is no more than a COPY
            cell.equal(cell.count(u, "INBOX"), 68, "and takes them away here")
    for session in sessions:
        session.close()
    shared(rig, cells)


def shared(rig, cells):
    """Mail to shared mailboxes; what a script of our frontend files there."""
    frontend = cells[0].first[:3]
    for cell in cells:
        admin = rig.imap(cell.first, "admin")
        name = "help-%s-%s" % (frontend, cell.backend)
        cell.shared = cell.shared_name(name)
        cell.good(admin, 'CREATE "%s" %s!default' % (name, cell.server))
        cell.good(admin, 'SETACL "%s" anyone lrsp' % name)
        admin.close()
        sent = cell.deliver("shared-" + name, "+" + name)
        user = rig.imap(cell.second, cell.user)
        cell.equal(cell.messages(user, cell.shared), [sent],
                   "mail to a shared mailbox")
        user.close()
    if frontend != "ofe":
        return
    ours, other = cells
    text = 'require ["fileinto", "imap4flags"];\r\nif header :contains ' \
        '"subject" "script-" { fileinto :flags ["\\\\Flagged", "$Label1"] ' \
        '"%s"; }\r\n' % other.shared
    ours.ok(script(rig, ours.user, text), "a script for a user of ours")
    session = Sieve(rig.address("SIEVE"), other.user)
    answer = session.use("keep;\r\n")[0]
    other.ok(answer.startswith("NO") and "itself" in answer,
             "for one of Cyrus's there is no ManageSieve here")
    session.close()
    admin = rig.imap(ours.first, "admin")
    ours.good(admin, 'SETACL "%s" %s lrswip' % (
        "help-ofe-cyrus", ours.user))
    admin.close()
    await_that(lambda: rig.may_insert(ours.first, ours.user, other.shared),
               "the frontend knows that")
    sent = ours.deliver("script-" + ours.user, ours.user)
    user = rig.imap(ours.second, ours.user)
    ours.ok(sent in ours.messages(user, other.shared),
            "a script files on Cyrus's backend")
    user.want('EXAMINE "%s"' % other.shared)
    _, items = list(user.fetch("2", "FLAGS"))[0]
    ours.equal(sorted(f for f in items[b"FLAGS"] if f != b"\\Recent"),
               [b"$Label1", b"\\Flagged"], "with flags")
    again = ours.deliver("script-" + ours.user, ours.user)
    ours.equal(ours.messages(user, other.shared).count(again), 1,
               "the same message again is not stored again")
    user.close()


BEFORE = ["create", "mail", "address", "selected", "condstore",
          "idle", "share"]
AFTER = ["after", "rename", "subscribe", "remove"]


def place(rig):
    """
    Where there is the most room: Cyrus's backend is on a small disk, so that
    is ours, if what ours says of its own was understood.
    """
    admin = rig.imap("cfe1", "admin")
    name = rig.separator.join(["user", FRIEND])
    found, last = admin.ask('CREATE "%s"' % name)
    tap.ok(re.match(r"OK \[MAILBOXID \([0-9a-f]{24}\)\]", last),
           "Cyrus's frontend places a user by free space (%s)" %
           last.strip()[:50])
    admin.close()


def restart_backend(rig):
    """Cyrus's compares its list with the update server's."""
    before = rig.names()
    rig.down("cbe")
    rig.up("cbe")
    tap.equal(rig.names(), before, "Cyrus's backend comes back with all")


def play(rig, cells):
    """cells: (kind of frontend, kind of backend)."""
    with rig:
        place(rig)
        made = [Cell(rig, frontend, backend, "user%d" % (i + 1))
                for i, (frontend, backend) in enumerate(cells)]
        for cell in made:
            for step in BEFORE:
                getattr(cell, step)()
        for frontend in sorted({frontend for frontend, _ in cells}):
            across(rig, frontend, ["user5", "user6"] if frontend == "cfe"
                   else ["user7", "user8"])
        rig.restart_update_server()
        restart_backend(rig)
        for cell in made:
            for step in AFTER:
                getattr(cell, step)()
    tap.done()
