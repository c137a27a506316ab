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
import urllib.request

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "lib"))
from backend import tap  # noqa: E402
from murder import Murder, await_that  # noqa: E402
from sequence import CHANGES, SETTINGS, Relay, Stage, quoted  # noqa: E402


class Direct:
    """To a backend there is no second argument."""

    def __init__(self, play):
        self.session = play.backend()
        self.close = self.session.close

    def do(self, text):
        return self.session.do(text.replace(" backend1", ""))


def all_of_them(stage):
    acts = {"kill store": lambda: stage.play.kill("backend1", "store"),
            "kill update server": lambda: stage.play.kill("mupdate", "list")}
    for change in CHANGES:
        for n in change.commands:
            for hold in ("command", "answer", "after"):
                stage.one(change, n, hold, "cut")
            for what in sorted(acts):
                stage.one(change, n, "answer", what, acts[what])


def is_settled(stage):
    address = stage.play.murder.run.plan["admin"]["backend1"]
    with urllib.request.urlopen("http://%s/metrics" % address) as f:
        return "\nmurder_unsettled 0\n" in f.read().decode()


def refused(stage):
    """By one that cannot write: not by the rules."""
    for change in CHANGES[:2]:
        stage.one(change, 1, "refuse", "NO")
    session = stage.play.backend()
    for text in ("CREATE " + quoted("new"), "DELETE " + quoted("old.a")):
        # What was refused before is said again: that is not to be counted.
        await_that(lambda: is_settled(stage), "all has been said")
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
    murder = Murder(backends=2, frontends=1, users=0, settings=SETTINGS + [
        "backend1:mupdate_server = " + relay.address])
    with murder:
        stage = Stage(murder, relay, tap, Direct, "frontend1")
        all_of_them(stage)
        refused(stage)
        kept(stage)
        stage.nothing_went_wrong()
    tap.done()


main()
