#!/usr/bin/python3
"""A change of the list, and at each of its steps something dies.

Between a backend and its update server stands a relay that holds the Nth
command of a change (or its answer) back for ever, and then cuts the link,
kills the backend's store process, or kills the update server.  Whatever was
answered, when all have met again:

  what is listed is on one backend's disk, what is on disk is listed, nothing
  is reserved, and the frontends show it;
  OK lasts, NO has changed nothing;
  of a RENAME all names are the old ones, or all are the new, and a client that
  looked all the time never saw neither.
"""
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "lib"))
from backend import tap  # noqa: E402
from murder import Murder  # noqa: E402
from sequence import (Lost, Play, Poller, Relay, external,  # noqa: E402
                      reach)

NAMES = ["old", "old.a", "old.b", "user.ann", "user.ann.Sent", "user.ann.x"]
OURS = ("old", "to", "new", "user.ann", "user.bob")


def quoted(name):
    return '"%s"' % external(name)


class Change:
    """What to do, how many commands it takes, what is to be so afterwards."""

    def __init__(self, text, commands, gone=(), made=(), acl=None, poll=None):
        self.text, self.commands = text, commands
        self.gone, self.made, self.acl, self.poll = gone, made, acl, poll

    def check(self, answer, held):
        before = all(n in held for n in self.gone) and \
            not any(n in held for n in self.made)
        after = not any(n in held for n in self.gone) and \
            all(n in held for n in self.made)
        if self.acl:
            after = "fred\tlr\t" in held["old"][2]
            before = "fred" not in held["old"][2]
        if answer == "OK":
            return after
        if answer == "NO":
            return before
        return before or after


CHANGES = [
    Change("CREATE %s backend1" % quoted("new"), [1, 2], made=["new"]),
    Change("DELETE " + quoted("old.a"), [1, 2], gone=["old.a"]),
    # Three names: of each kind of command the middle one.
    Change("RENAME %s %s" % (quoted("old"), quoted("to")), [2, 5, 8],
           gone=["old", "old.a", "old.b"], made=["to", "to.a", "to.b"],
           poll=("old.a", "to.a")),
    Change("RENAME %s %s" % (quoted("user.ann"), quoted("user.bob")),
           [2, 5, 8], gone=["user.ann", "user.ann.Sent", "user.ann.x"],
           made=["user.bob", "user.bob.Sent", "user.bob.x"],
           poll=("user.ann.x", "user.bob.x")),
    Change("DELETE " + quoted("user.ann"), [2, 5],
           gone=["user.ann", "user.ann.Sent", "user.ann.x"]),
    Change("SETACL %s fred lr" % quoted("old"), [1], acl=True),
]


class Stage:
    def __init__(self, murder, relay):
        self.play = Play(murder)
        self.relay = relay

    def clear(self, session, held):
        """Deepest first."""
        for name in sorted(held, reverse=True):
            if name.startswith(OURS) and name not in NAMES:
                session.try_for("DELETE " + quoted(name))

    def set_up(self, session):
        for name in NAMES:
            last = session.try_for("CREATE %s%s" % (
                quoted(name), "" if name.count(".") > 1 or
                name.startswith("old.") else " backend1"))
            if "OK" not in last and "ALREADYEXISTS" not in last:
                raise RuntimeError("CREATE %s: %s" % (name, last))
        session.try_for("SETACL %s fred \"\"" % quoted("old"))

    def begin(self):
        session = self.play.frontend()
        self.set_up(session)
        self.clear(session, session.listed())
        session.close()

    def change(self, text):
        """OK, NO or LOST."""
        session = self.play.backend()
        try:
            # To a backend there is no second argument.
            return session.do(text.replace(" backend1", ""))[-1][2:4]
        except Lost:
            return "LOST"
        finally:
            session.close()

    def one(self, change, n, hold, what, act=None):
        self.begin()
        poller = None
        if change.poll:
            poller = Poller(self.play, "frontend1", *change.poll)
            poller.start()
        self.relay.arm(n, hold, act)
        answer = self.change(change.text)
        unused = self.relay.disarm()
        held, there, fronts = self.play.meet()
        title = "%s, %s at %s %d: %s" % (change.text.replace('"', ""), what,
                                         hold, n, answer)
        if not tap.ok(held == there and not unused and all(
                f - {"INBOX"} == set(held) for f in fronts.values()),
                title + ", then all lists are alike"):
            print("# unused: %s\n# held: %s\n# there: %s\n# fronts: %s" % (
                unused, held, there, fronts))
        if not tap.ok(change.check(answer, held), title + ", and that is so"):
            print("# held:  %s" % held)
        if poller:
            neither = poller.stop()
            tap.equal(neither[:3], [], "%s, one name was always there "
                      "(%d looks)" % (title, poller.looks))


def all_of_them(stage):
    acts = {"kill store": lambda: stage.play.kill("backend1", "store"),
            "kill update server": lambda: stage.play.kill("mupdate", "list")}
    for change in CHANGES:
        for n in change.commands:
            for hold in ("command", "answer", "after"):
                stage.one(change, n, hold, "cut")
            for what in sorted(acts):
                stage.one(change, n, "answer", what, acts[what])


def refused(stage):
    """By one that cannot write: not by the rules."""
    for change in CHANGES[:2]:
        stage.one(change, 1, "refuse", "NO")
    session = stage.play.backend()
    for text in ("CREATE " + quoted("new"), "DELETE " + quoted("old.a")):
        stage.relay.arm(1, "refuse")
        last = session.do(text)[-1]
        tap.ok("UNAVAILABLE" in last, "refused: " + last)
    session.close()


def kept(stage):
    """What is half deleted is nobody else's to make."""
    answers = []

    def take_name():
        client = stage.play.update_server()
        answers.append(client.ask(b"RESERVE", b"old.a",
                                  b"backend2!default")[-1][1])
        client.close()
        stage.play.kill("backend1", "store")

    stage.begin()
    stage.relay.arm(1, "answer", take_name)
    stage.change("DELETE " + quoted("old.a"))
    stage.relay.disarm()
    tap.equal(answers, [b"NO"],
              "a name in the middle of a DELETE cannot be had")
    held, there, _ = stage.play.meet()
    tap.ok("old.a" in held and "old.a" in there, "and is back afterwards")


def main():
    relay = Relay(lambda: tuple(murder.run.plan["mupdate"].split(":")))
    murder = Murder(backends=2, frontends=1, users=0, settings=[
        "backend1:mupdate_server = " + relay.address,
        "backendd:special_use = \\Sent Sent",
        "backendd:publish_timeout = 5s", "proxyd:retry_delay = 50ms"])
    with murder:
        stage = Stage(murder, relay)
        all_of_them(stage)
        refused(stage)
        kept(stage)
        for name in murder.run.names():
            text = murder.log(name)
            tap.ok("Sanitizer" not in text and "panic" not in text and
                   "runtime error" not in text, name + ": nothing went wrong")
    tap.done()


main()
