#!/usr/bin/python3
"""A change of the list through a frontend, and something dies beside it.

A relay between the backend and its update server holds the Nth command's
answer back until the frontend's process that serves the client was killed, or
the one that has its copy of the list, or its link to the backend or to the
update server was cut; then the change goes on.  The same must hold as of
sequence.t; what the frontend cannot know it may not call NO.
"""
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "lib"))
from backend import tap  # noqa: E402
from murder import Murder  # noqa: E402
from sequence import CHANGES, SETTINGS, Relay, Stage, Through  # noqa: E402


def main():
    def place(group, name=None, what=None):
        def find():
            at = murder.run.plan[group]
            return tuple((at[name][what] if name else at).split(":"))
        return find

    relay = Relay(place("mupdate"))
    stream = Through(place("mupdate"))
    imap = [Through(place("backends", "backend%d" % n, "IMAP"))
            for n in (1, 2)]
    lmtp = [Through(place("backends", "backend%d" % n, "LMTP"))
            for n in (1, 2)]
    murder = Murder(backends=2, frontends=2, users=0, settings=SETTINGS + [
        "backend1:mupdate_server = " + relay.address,
        "frontend1:mupdate_server = " + stream.address] + [
        "frontend1:backend = backend%d %s lmtp=%s" % (
            n + 1, imap[n].address, lmtp[n].address) for n in (0, 1)])
    with murder:
        stage = Stage(murder, relay, tap, lambda play: play.frontend(),
                      "frontend2")
        acts = {
            "kill imap": lambda: stage.play.kill("frontend1", "imap") or True,
            "kill front": lambda: stage.play.kill("frontend1",
                                                  "front") or True,
            "cut stream": lambda: stream.cut() or True,
            "cut backend": lambda: imap[0].cut() or True,
        }
        for change in CHANGES:
            for n in change.commands:
                for what in sorted(acts):
                    stage.one(change, n, "answer", what, acts[what])
        stage.nothing_went_wrong()
    tap.done()


main()
