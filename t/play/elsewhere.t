#!/usr/bin/python3
"""A mailbox that is not where the frontend's list says, and trees that are on
several backends.

Between frontend2 and the update server what comes back can be held until the
frontend synchronises: so its list is behind, as on a slow network.
"""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "lib"))
from backend import tap  # noqa: E402
from middle import Middle  # noqa: E402
from mupdate import Client  # noqa: E402
from murder import Murder, await_that, message  # noqa: E402
from wire import Wire, parse  # noqa: E402

SHARED = '"Shared Folders/%s"'
LETTER = message("a letter")
LATER = "NO [UNAVAILABLE]"


def starts(last, word, what):
    if not tap.ok(last.startswith(word), what):
        print("# got: %r" % last)


def names(w):
    return {parse(line)[-1].decode() for line in w.want('LIST "" "*"')
            if line.startswith(b"* LIST")}


def count(w, mailbox):
    found = w.want("STATUS %s (MESSAGES)" % mailbox)
    return int(parse(found[0])[-1][1])


class Stage:
    """The murder, its backends' own doors, and who stands where."""

    def __init__(self, m, between):
        self.between = between
        self.admin = Wire(*m.address("IMAP", "frontend1"), user="admin")
        self.behind = Wire(*m.address("IMAP", "frontend2"), user="user1")
        self.boss = Wire(*m.address("IMAP", "frontend2"), user="admin")
        self.backend = {
            n: Wire(*m.address("IMAP", "backend%d" % n), user="admin")
            for n in (1, 2)}
        self.editor = Client(int(m.run.plan["mupdate"].split(":")[1]))
        self.editor.banner()
        self.editor.login("admin")

    def make(self, mailbox, n):
        self.backend[n].want("CREATE %s" % mailbox)
        self.backend[n].want("SETACL %s user1 lrswipkxtea" % mailbox)

    def have(self, name, n=1):
        """A new one, that frontend2 knows to be there."""
        mailbox = SHARED % name
        self.make(mailbox, n)
        self.behind.want("STATUS %s (MESSAGES)" % mailbox)
        return mailbox

    def vanish(self, mailbox, n=1):
        """Deleted, and frontend2 has not heard of it."""
        self.between.hold()
        self.backend[n].want("DELETE %s" % mailbox)

    def move(self, mailbox):
        """From backend1 to backend2, likewise."""
        self.vanish(mailbox)
        self.make(mailbox, 2)

    def haunt(self, name):
        """The list says that backend1 has it: a mailbox to ask about."""
        self.editor.ask(b"ACTIVATE", name.encode(),
                        b"backend1!default", b"user1\tlrswipkxtea\t")
        mailbox = SHARED % name
        await_that(lambda: mailbox.strip('"') in names(self.behind),
                   "it is listed")
        return mailbox


# How to ask; what OK is then.
COMMANDS = [
    ("SELECT", "SELECT %s", "OK [READ-WRITE]", "NO [NONEXISTENT]"),
    ("EXAMINE", "EXAMINE %s", "OK [READ-ONLY]", "NO [NONEXISTENT]"),
    ("STATUS", "STATUS %s (MESSAGES)", "OK", "NO [NONEXISTENT]"),
    ("COPY", "COPY 1 %s", "OK [COPYUID", "NO [TRYCREATE]"),
    ("COPY across", "COPY 1 %s", "OK [COPYUID", "NO [TRYCREATE]"),
    ("SETACL", "SETACL %s friend lr", "OK", "NO [NONEXISTENT]"),
    ("DELETEACL", "DELETEACL %s friend", "OK", "NO [NONEXISTENT]"),
    ("RENAME", "RENAME %s " + SHARED % "renamed", "OK", "NO [NONEXISTENT]"),
    ("DELETE", "DELETE %s", "OK", "NO [NONEXISTENT]"),
]


def prepare(s, what):
    """A selected mailbox to copy from."""
    if "COPY" in what:
        s.behind.want("SELECT " + SHARED % ("here" if what == "COPY"
                                            else "there"))


def stale(s):
    for name, n in (("here", 1), ("there", 2)):
        s.behind.append(s.have(name, n), LETTER)
    for i, (what, form, good, none) in enumerate(COMMANDS):
        w = s.boss if what == "RENAME" else s.behind
        prepare(s, what)
        mailbox = s.have("moved%d" % i)
        s.move(mailbox)
        starts(w.ask(form % mailbox)[1], good, "%s: has moved" % what)
        if "COPY" in what:
            tap.equal(count(s.behind, mailbox), 1, "and is there")
        prepare(s, what)
        mailbox = s.have("gone%d" % i)
        s.vanish(mailbox)
        starts(w.ask(form % mailbox)[1], none, "%s: is gone" % what)
        name = "ghost%d" % i
        mailbox = s.haunt(name)
        prepare(s, what)
        starts(w.ask(form % mailbox)[1], LATER,
               "%s: the list insists" % what)
        starts(s.behind.ask("NOOP")[1], "OK", "the session goes on")
    s.admin.want("DELETE " + SHARED % "renamed")


def append(s, before):
    """What was sent cannot be sent again; what was not can."""
    big = LETTER + b"x" * 300000 + b"\r\n"
    w = s.behind
    mailbox = s.have("flown")
    s.move(mailbox)
    starts(w.append(mailbox, big), LATER, "APPEND: sent before the refusal")
    starts(w.append(mailbox, big), "OK", "and again")
    mailbox = s.have("gone")
    s.vanish(mailbox)
    starts(w.append(mailbox, big), "NO [TRYCREATE]", "it is gone")
    starts(w.append(s.haunt("ghost"), big), LATER, "the list insists")
    starts(w.ask("NOOP")[1], "OK", "the session goes on")
    # As Cyrus IMAP does: no "+" when it has none, and no code.
    for word in ("does not exist", "has been moved to another server"):
        mailbox = s.have("waited%d" % len(word))
        s.move(mailbox)
        before.refuse(rb" APPEND ", b"NO Mailbox " + word.encode())
        tag = w.begin("APPEND %s {%d}" % (mailbox, len(LETTER)))
        tap.ok(w.response().startswith(b"+"), "APPEND: refused at once, it " +
               word)
        w.send(LETTER + b"\r\n")
        starts(w.answer(tag)[1], "OK [APPENDUID", "goes where it is")
        tap.equal(count(w, mailbox), 1, "and is there")


def half(s, before):
    """Refused in the midst of the message; and then the server is lost."""
    mailbox = s.have("half")
    for said, heard in ((b"NO [NOPERM] never", "NO [NOPERM] never"),
                        (b"NO Mailbox does not exist", LATER)):
        before.refuse(rb" APPEND ", said)
        tag = s.behind.begin("APPEND %s {%d+}" % (mailbox, len(LETTER)))
        await_that(lambda: before.refused is None, "the server has answered")
        before.cut()
        starts(s.behind.answer(tag)[1], heard, "APPEND: %s" % said.decode())
        s.behind.send(LETTER + b"\r\n")
        starts(s.behind.ask("NOOP")[1], "OK", "the session goes on")


def hidden(s):
    """To whom it is not to be shown it does not exist."""
    mailbox = s.have("hidden")
    s.admin.want("DELETEACL %s user1" % mailbox)
    s.admin.want("SETACL %s user2 lr" % mailbox)
    starts(s.behind.ask("STATUS %s (MESSAGES)" % mailbox)[1],
           "NO [NONEXISTENT]", "hidden: as if there were none")


def granted(s):
    """Rights given at the other frontend, of which this one has not heard."""
    mailbox = s.have("granted")
    s.admin.want("DELETEACL %s user1" % mailbox)
    for command, rights in (("MYRIGHTS", "lr"), ("GETACL", "lra")):
        s.between.hold()
        s.admin.want("SETACL %s user1 %s" % (mailbox, rights))
        found, last = s.behind.ask("%s %s" % (command, mailbox))
        starts(last, "OK", command + ": the right was given a moment ago")
        tap.ok(b" " + rights.encode() in b"".join(found), "and is told")


def spread(m, s):
    """RENAME and DELETE: all of a tree or nothing."""
    top, child, deep = (SHARED % n for n in ("top", "top/child", "top/b/deep"))
    s.admin.want("CREATE %s backend1" % top)
    s.admin.want("CREATE %s backend1" % child)
    s.admin.want("CREATE %s backend2" % deep)
    for mailbox in (top, child, deep):
        s.admin.want("SETACL %s user1 lrswipkxtea" % mailbox)
    before = names(s.admin)
    other = SHARED % "other"
    last = s.behind.ask("RENAME %s %s" % (top, other))[1]
    starts(last, "NO [CANNOT]", "RENAME of a tree on two backends")
    tap.ok(deep.strip('"') in last and "backend2" in last, "says what hinders")
    tap.equal(names(s.admin), before, "and nothing has changed")
    s.admin.want("DELETEACL %s user1" % deep)
    s.admin.want("DELETEACL %s anyone" % deep)
    last = s.behind.ask("RENAME %s %s" % (top, other))[1]
    tap.ok(last.startswith("NO [CANNOT]") and "deep" not in last,
           "but not to whom it is not shown")
    w = Wire(*m.address("IMAP", "frontend2"), user="user2")
    s.admin.want("DELETEACL %s anyone" % top)
    starts(w.ask("RENAME %s %s" % (top, other))[1], "NO [NONEXISTENT]",
           "nor who must not know of any of it")
    w.close()
    s.admin.want("RENAME %s %s" % (deep, SHARED % "other/b/deep"))
    starts(s.admin.ask("RENAME %s %s" % (top, other))[1], "OK",
           "part by part it goes")
    tap.equal(names(s.admin), {n.replace("/top", "/other") for n in before},
              "all of it")
    starts(s.admin.ask("DELETE %s" % other)[1], "OK",
           "DELETE of one mailbox is only that")
    tap.ok("Shared Folders/other/b/deep" in names(s.admin), "others stay")


def user(s):
    inbox, far = '"Other Users/user1"', '"Other Users/user1/far"'
    s.admin.want("CREATE %s backend2" % far)
    before = names(s.admin)
    for command in ("DELETE " + inbox,
                    'RENAME %s "Other Users/renamed"' % inbox):
        last = s.admin.ask(command)[1]
        starts(last, "NO [CANNOT]", command)
        tap.ok("user1/far" in last and "backend2" in last, "says what")
        tap.equal(names(s.admin), before, "and nothing has changed")
    starts(s.behind.ask("RENAME INBOX kept")[1], "OK",
           "RENAME of INBOX is of what is in it")
    s.admin.want("DELETE " + far)
    starts(s.admin.ask("DELETE " + inbox)[1], "OK", "then a user can go")
    tap.ok(not any("user1" in n for n in names(s.admin)), "with everything")


def as_cyrus_has_it(m):
    """Where administrators see other names than users do."""
    admin = Wire(*m.address("IMAP", "frontend1"), user="admin")
    admin.want("CREATE user/user1 backend1")
    admin.want("CREATE user/user1/far backend2")
    before = names(admin)
    for command in ("DELETE user/user1", "RENAME user/user1 user/renamed"):
        last = admin.ask(command)[1]
        starts(last, "NO [CANNOT]", command)
        tap.ok("user/user1/far" in last, "says what, as they see it")
        tap.equal(names(admin), before, "and nothing has changed")


middle, door, far = Middle(), Middle(), Middle()
middle.down()
with Murder(backends=2, frontends=2, users=2,
            settings=["frontend2:mupdate_server = 127.0.0.1:%d" % middle.port,
                      "frontend2:retry_delay = 10ms",
                      "frontend2:backend = backend1 127.0.0.1:%d" % door.port,
                      "frontend2:backend = backend2 127.0.0.1:%d"
                      % far.port]) as murder:
    middle.to = int(murder.run.plan["mupdate"].split(":")[1])
    middle.up()
    door.to = murder.address("IMAP", "backend1")[1]
    far.to = murder.address("IMAP", "backend2")[1]
    probe = Wire(*murder.address("IMAP", "frontend2"), user="user1")
    await_that(lambda: probe.ask("STATUS INBOX (MESSAGES)")[1][:2] == "OK",
               "frontend2 has the list")
    stage = Stage(murder, middle)
    stale(stage)
    append(stage, door)
    half(stage, door)
    hidden(stage)
    granted(stage)
    spread(murder, stage)
    user(stage)
with Murder(backends=2, users=0,
            settings=["proxyd:admin_altnamespace = no",
                      "backendd:admin_altnamespace = no"]) as murder:
    as_cyrus_has_it(murder)
tap.done()
