#!/usr/bin/python3
"""NO means that nothing changed, also when the backend is lost meanwhile.

The connection to the backend is cut before it has the command, or when it has
done it and answers.  The frontend finds out what became of it and says that;
if it cannot be found out, it says BYE and gives no answer.
"""
import os
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "lib"))
from backend import tap  # noqa: E402
from middle import Middle  # noqa: E402
from mupdate import Client  # noqa: E402
from murder import Murder, await_that  # noqa: E402
from wire import Wire, parse  # noqa: E402


def names(w):
    return {parse(line)[-1].decode() for line in w.want('LIST "" "*"')
            if line.startswith(b"* LIST")}


def acl(w, mailbox):
    line = next(x for x in w.want("GETACL " + mailbox)
                if x.startswith(b"* ACL"))
    words = [x.decode() for x in parse(line)[3:]]
    return dict(zip(words[::2], words[1::2]))


# What is asked, what is true of it when it was done, and of what is undone.
STEPS = [
    ("CREATE one", lambda w: "one" in names(w)),
    ("CREATE one/two", lambda w: "one/two" in names(w)),
    ("SETACL one friend lrs", lambda w: acl(w, "one").get("friend") == "lrs"),
    ("DELETEACL one friend", lambda w: "friend" not in acl(w, "one")),
    ("RENAME one three", lambda w: {"three", "three/two"} <= names(w) and
     not names(w) & {"one", "one/two"}),
    ("DELETE three/two", lambda w: "three/two" not in names(w)),
    ("DELETE three", lambda w: "three" not in names(w)),
]
WHERE = [("before the backend has it", False, rb" %s "),
         ("when it answers", True, rb"^\S+ OK ")]


def open_leg(w):
    """The frontend is connected to the backend."""
    w.want("STATUS INBOX (MESSAGES)")


def done(w, ask):
    for where, back, pattern in WHERE:
        for command, is_so in STEPS:
            word = command.split()[0].encode()
            open_leg(w)
            ask.trap(back, pattern % word if b"%" in pattern else pattern)
            found, last = w.ask(command)
            tap.ok(ask.trapped is None, "cut %s: %s" % (where, command))
            if not tap.ok(last.startswith("OK") and is_so(w),
                          "it is done, and the answer is OK"):
                print("# %r, %r" % (last, names(w)))


def refused(w, ask):
    """What would have been NO is NO."""
    w.want("CREATE there")
    w.want("CREATE other")
    for command, text in (("CREATE there", "ALREADYEXISTS"),
                          ("RENAME there other", "ALREADYEXISTS"),
                          ("SETACL there x q", "")):
        open_leg(w)
        ask.trap(True, rb"(?m)^\S+ (NO|BAD) ")
        _, last = w.ask(command)
        tap.ok(ask.trapped is None and not last.startswith("OK") and
               text in last, "%s: %s" % (command, last.strip()))
    tap.ok({"there", "other"} <= names(w), "and nothing has changed")


def bye(w, command, what):
    """BYE, and no answer."""
    tag = w.begin(command)
    lines = []
    try:
        while not lines or not lines[-1].startswith(tag):
            lines.append(w.response())
    except EOFError:
        pass
    tap.ok(lines and lines[-1].startswith(b"* BYE [UNAVAILABLE]"),
           "BYE when it cannot be found out, %s: %r" % (what, lines[-1:]))
    tap.ok(not any(x.startswith(tag) for x in lines), "and no answer")


def renounced(m, ask):
    """SETACL that takes the right to repeat it: NO would be a lie."""
    club = '"Shared Folders/club"'
    admin = Wire(*m.address("IMAP", "frontend1"), user="admin")
    admin.want("CREATE %s" % club)
    admin.want("SETACL %s user1 lrswipkxtea" % club)
    w = Wire(*m.address("IMAP", "frontend3"), user="user1")
    w.want("STATUS %s (MESSAGES)" % club)
    ask.trap(True, rb"(?m)^\S+ OK ")
    bye(w, "SETACL %s user1 lr" % club, "the right to ask being gone")
    tap.equal(acl(admin, club).get("user1"), "lr", "and it is done")
    admin.close()


def half_gone(m, w, ask):
    """The backend has it no more, and the list has not heard of it yet."""
    editor = Client(int(m.run.plan["mupdate"].split(":")[1]))
    editor.banner()
    editor.login("admin")
    name = b"user.user1.half"
    editor.ask(b"ACTIVATE", name, b"backend1!default",
               b"user1\tlrswipkxtea\t")
    await_that(lambda: "half" in names(w), "it is listed")
    open_leg(w)
    ask.trap(False, b" DELETE ")
    tag = w.begin("DELETE half")
    await_that(lambda: ask.trapped is None, "the first try is lost")
    threading.Timer(1, editor.ask, (b"DELETE", name)).start()
    lines = [w.response()]
    while not lines[-1].startswith(tag):
        lines.append(w.response())
    tap.ok(b" OK " in lines[-1], "gone from the backend, then from the list: "
           "%r" % lines[-1])
    tap.ok("half" not in names(w), "and it is gone")


def half_made(m, w, ask):
    """The backend has it, and the list has not heard of it yet."""
    update = Middle()
    update.to = int(m.run.plan["mupdate"].split(":")[1])
    conf = m.path("conf", "backend1.conf")
    with open(conf) as f:
        text = f.read()
    with open(conf, "w") as f:
        f.write(text.replace(m.run.plan["mupdate"],
                             "127.0.0.1:%d" % update.port))
    m.down("backend1")
    m.up("backend1")
    await_that(lambda: w.ask("CREATE before")[1].startswith("OK"),
               "the backend is back")
    ask.trap(True, rb"(?m)^\S+ OK ")
    tag = w.begin("CREATE fresh")
    await_that(lambda: ask.trapped is None, "the first answer is lost")
    update.down()
    editor = Client(update.to)
    editor.banner()
    editor.login("admin")
    editor.ask(b"DELETE", b"user.user1.fresh")
    threading.Timer(1, update.up).start()
    lines = [w.response()]
    while not lines[-1].startswith(tag):
        lines.append(w.response())
    tap.ok(b" OK " in lines[-1], "made by the backend, then listed: %r" %
           lines[-1])
    tap.ok("fresh" in names(w), "and it is there")


def unknown(m, ask):
    """The backend stays away."""
    w = Wire(*m.address("IMAP", "frontend3"), user="user1")
    open_leg(w)
    ask.trap(False, b" CREATE ", stays_down=True)
    bye(w, "CREATE never", "the backend being away")
    tap.ok("outcome of a change not known" in m.log("frontend3"),
           "the log says so")


between = Middle()
place = "backend1 127.0.0.1:%d" % between.port
with Murder(backends=1, frontends=3, users=1,
            settings=["frontend2:backend = " + place,
                      "frontend3:backend = " + place,
                      "proxyd:retry_delay = 10ms",
                      "frontend2:outcome_timeout = 60s",
                      "frontend3:outcome_timeout = 3s"]) as murder:
    between.to = murder.address("IMAP", "backend1")[1]
    client = Wire(*murder.address("IMAP", "frontend2"), user="user1")
    done(client, between)
    refused(client, between)
    renounced(murder, between)
    half_gone(murder, client, between)
    half_made(murder, client, between)
    unknown(murder, between)
tap.done()
