#!/usr/bin/python3
"""The lists after something was lost: they are made equal without an admin.

Two backends, their update server and a frontend.  The update server's list is
wiped, or an older copy; a backend comes back from an older copy, with its
mailboxes moved away meanwhile; its own list is lost; all of it is.
"""
import os
import re
import shutil
import sys
import urllib.request

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "lib"))
from backend import tap  # noqa: E402
from daemon import free_ports  # noqa: E402
from murder import Murder, await_that  # noqa: E402
from sequence import Play, Session, external  # noqa: E402


def quoted(name):
    return '"%s"' % external(name)


class Scene:
    def __init__(self, murder, admin):
        self.murder = murder
        self.play = Play(murder)
        self.admin = admin

    def number(self, name):
        """Of backend1's metrics."""
        url = "http://127.0.0.1:%d/metrics" % self.admin
        text = urllib.request.urlopen(url, timeout=30).read().decode()
        return int(re.search(r"^%s (\d+)$" % name, text, re.M).group(1))

    def data(self, name):
        return self.murder.path("data", name)

    def do(self, backend, *commands):
        session = self.play.backend(backend)
        for text in commands:
            last = session.try_for(text)
            if not last.startswith("a OK"):
                tap.ok(False, "%s: %s" % (text, last))
        session.close()

    def save(self, name):
        """A copy, as of a moment when it is down."""
        self.murder.down(name)
        shutil.rmtree(self.data(name) + ".copy", ignore_errors=True)
        shutil.copytree(self.data(name), self.data(name) + ".copy",
                        symlinks=True)
        self.murder.up(name)

    def restore(self, name):
        shutil.rmtree(self.data(name))
        shutil.copytree(self.data(name) + ".copy", self.data(name),
                        symlinks=True)

    def met(self, what):
        held, there, fronts = self.play.meet()
        if not tap.ok(held == there and all(
                f - {"INBOX"} == set(held) for f in fronts.values()),
                what + ": all lists are alike"):
            print("# held: %s\n# there: %s\n# fronts: %s" % (
                sorted(held), sorted(there), fronts))
        return held

    def logged(self, name, text):
        return self.murder.log(name).count(text)

    def aside(self, backend):
        session = self.play.backend(backend)
        names = [n for n in session.listed() if n.startswith("quarantine.")]
        session.close()
        return sorted(names)

    def deliver(self, backend, name, subject):
        text = "Subject: %s\r\n\r\nbody\r\n" % subject
        session = self.play.backend(backend)
        session.must("SETACL %s admin lrswipkxtea" % quoted(name))
        session.send("a APPEND %s {%d+}\r\n%s\r\n" % (
            quoted(name), len(text), text))
        tap.ok(session.until("a ")[-1].startswith("a OK"), "a message in it")
        session.close()

    def messages(self, backend, name):
        session = self.play.backend(backend)
        line = session.do("STATUS %s (MESSAGES)" % quoted(name))[0]
        session.close()
        return line.rsplit("(MESSAGES ", 1)[-1].rstrip(")")


def begin(scene):
    scene.do("backend1", *["CREATE " + quoted(n) for n in
                           ("one", "one.a", "one.b", "both")])
    scene.do("backend2", *["CREATE " + quoted(n) for n in ("two", "two.a")])
    tap.equal(len(scene.met("at first")), 6, "six mailboxes")


def wiped_update_server(scene):
    scene.murder.down("mupdate")
    shutil.rmtree(scene.data("mupdate"))
    scene.murder.up("mupdate")
    tap.equal(len(scene.met("update server wiped")), 6,
              "all are published again")


def older_update_server(scene):
    scene.save("mupdate")
    scene.met("before")
    scene.do("backend1", "DELETE " + quoted("one.b"),
             "CREATE " + quoted("one.new"),
             "RENAME %s %s" % (quoted("one.a"), quoted("one.z")))
    scene.do("backend2", "SETACL %s fred lr" % quoted("two"))
    scene.murder.down("mupdate")
    scene.restore("mupdate")
    scene.murder.up("mupdate")
    held = scene.met("update server from an older copy")
    tap.ok("one.b" not in held and "one.a" not in held and
           "one.new" in held and "one.z" in held and
           "fred\tlr" in held["two"][2], "and as the backends have it")


def moved_away(scene):
    """From backend1 to backend2, while backend1 is dead."""
    scene.deliver("backend1", "both", "kept")
    scene.met("before it dies")
    scene.murder.down("backend1")
    admin = scene.play.update_server()
    for name in (b"both", b"one.z"):
        admin.ask(b"DELETE", name)
    admin.close()
    scene.do("backend2", "CREATE " + quoted("both"))
    before = scene.logged("backend1", "set aside")
    scene.murder.up("backend1")
    await_that(lambda: scene.aside("backend1"), "it is set aside")
    held = scene.met("back from the dead")
    tap.equal(held["both"][1], "backend2!default", "the other has it")
    tap.ok("one.z" in held, "what nobody else claims is published again")
    aside = scene.aside("backend1")
    tap.equal(len(aside), 1, "one is set aside: %s" % aside)
    tap.equal(scene.messages("backend1", aside[0]), "1",
              "with what is in it")
    tap.equal(scene.logged("backend1", "set aside") - before, 1,
                 "and that is logged")
    tap.equal(scene.number("murder_quarantined_total"), 1, "and counted")
    tap.ok(not [n for n in scene.play.published() if "quarantine" in n],
           "it is not published")
    return aside[0]


def nobody_else_sees(scene, aside):
    session = scene.play.backend("backend1")
    for text in ("CREATE " + quoted("quarantine.x"),
                 "RENAME %s %s" % (quoted("one"), quoted("quarantine.y"))):
        last = session.do(text)[-1]
        tap.ok(last.startswith("a NO [CANNOT]"), text + ": " + last)
    session.must("SETACL %s fred lrswipkxtea" % quoted(aside))
    session.close()
    fred = Session(scene.play.port("backend1"), "fred")
    tap.ok(aside not in fred.listed(), "users do not see it")
    last = fred.do("SELECT " + quoted(aside))[-1]
    tap.ok(last.startswith("a NO [NONEXISTENT]"), "nor open it: " + last)
    fred.close()


def brought_back(scene, aside):
    scene.do("backend1", "RENAME %s %s" % (quoted(aside), quoted("again")))
    held = scene.met("brought back")
    tap.equal(held.get("again", ("",) * 2)[1], "backend1!default",
              "under a free name, published")
    tap.equal(scene.messages("backend1", "again"), "1", "with its message")
    tap.equal(scene.aside("backend1"), [], "nothing is aside any more")


def older_backend(scene):
    """From an older copy of all it has."""
    scene.save("backend1")
    scene.met("before")
    scene.do("backend1", "DELETE " + quoted("one.new"),
             "CREATE " + quoted("late"),
             "RENAME %s %s" % (quoted("one.z"), quoted("one.y")))
    scene.met("after")
    scene.murder.down("backend1")
    scene.restore("backend1")
    scene.murder.up("backend1")
    held = scene.met("backend from an older copy")
    tap.ok("one.new" in held and "one.z" in held and "late" not in held and
           "one.y" not in held, "what it has is published, and no more")


def lost_list(scene):
    """The spool is there still."""
    before = scene.met("before")
    scene.do("backend1", "SETACL %s fred lrs" % quoted("one"),
             "RENAME %s %s" % (quoted("again"), quoted("there")))
    want = scene.met("then")
    scene.murder.down("backend1")
    shutil.rmtree(scene.data("backend1") + "/list")
    scene.murder.up("backend1")
    held = scene.met("a backend's own list is lost")
    tap.equal(held, want, "and made anew from the spool")
    tap.ok(set(before) != set(want) and "fred\tlrs" in held["one"][2],
           "with new names and ACLs")
    tap.ok(scene.logged("backend1", "mailbox list was lost"), "that is logged")


def lost_all(scene):
    """An empty backend under an old name must not empty the list."""
    there = scene.play.published()
    scene.murder.down("backend1")
    shutil.rmtree(scene.data("backend1"))
    scene.murder.up("backend1")
    await_that(lambda: scene.logged("backend1", "nothing is deleted"),
               "it says so")
    tap.equal(scene.play.published(), there, "nothing is deleted there")
    with open(scene.data("backend1") + "/accept-list", "w"):
        pass
    held = scene.met("accepted by an administrator")
    tap.ok(held and all(v[1] == "backend2!default" for v in held.values()),
           "what is lost is lost")
    tap.ok(not os.path.exists(scene.data("backend1") + "/accept-list"),
           "and the word is used up")


ADMIN = free_ports(1)[0]
with Murder(backends=2, frontends=1, users=0, settings=[
        "backend1:admin_listen = 127.0.0.1:%d" % ADMIN,
        "backendd:compare_interval = 500ms",
        "proxyd:retry_delay = 50ms"]) as murder:
    scene = Scene(murder, ADMIN)
    begin(scene)
    wiped_update_server(scene)
    older_update_server(scene)
    aside = moved_away(scene)
    nobody_else_sees(scene, aside)
    brought_back(scene, aside)
    older_backend(scene)
    lost_list(scene)
    lost_all(scene)
    for name in murder.run.names():
        text = murder.log(name)
        tap.ok("Sanitizer" not in text and "panic" not in text and
               "runtime error" not in text, name + ": nothing went wrong")
tap.done()
