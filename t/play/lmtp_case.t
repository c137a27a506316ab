#!/usr/bin/python3
"""Addresses in capital letters: whose mail it is, when the list is behind.

Between frontend2 and the update server what comes back can be held until the
frontend synchronises.
"""
import os
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "lib"))
from backend import tap  # noqa: E402
from middle import Middle  # noqa: E402
from murder import Murder, await_that, deliver, message  # noqa: E402


def send(m, recipient, text):
    l = m.lmtp("frontend2")
    codes = deliver(l, [recipient], message(text))
    l.quit()
    return codes


def mailboxes(m):
    """Where the backend has put what was sent, one after another."""
    return re.findall(r" delivered .* mailbox=(\S+)", m.log("backend1"))


def make(m, between, name):
    """A user of whom the frontend has not heard."""
    between.hold()
    c = m.imap("admin", "backend1")
    status, said = c.create('"Other Users/%s"' % name)
    tap.equal(status, "OK", "%s is made: %r" % (name, said))
    c.logout()


between = Middle()
between.down()
with Murder(backends=1, frontends=2, users=1, settings=[
        "frontend2:mupdate_server = 127.0.0.1:%d" % between.port,
        "frontend2:retry_delay = 10ms"]) as m:
    between.to = int(m.run.plan["mupdate"].split(":")[1])
    between.up()
    await_that(lambda: send(m, "user1@x", "first") == [250],
               "the list is there")
    noops = between.noops
    tap.equal(send(m, "user1@x", "small"), [250], "small letters")
    tap.equal(between.noops, noops, "nobody is asked")
    tap.equal(send(m, "USER1@x", "capitals"), [250], "capitals")
    tap.equal(mailboxes(m), ["user.user1"] * 3, "are the same user's")

    make(m, between, "Fred")
    tap.equal(send(m, "Fred@x", "to Fred"), [250],
              "one who is written so and was just made is found")
    make(m, between, "joe")
    tap.equal(send(m, "Joe@x", "to joe"), [250],
              "and one who is written small")
    make(m, between, "USER1")
    tap.equal(send(m, "USER1@x", "to the other"), [250],
              "of two the one that is meant")
    tap.equal(mailboxes(m)[3:], ["user.Fred", "user.joe", "user.USER1"],
              "each has their own")
    tap.equal(send(m, "Nobody@x", "to nobody"), [550], "nobody is nobody")

    between.down()
    tap.equal(send(m, "USER1@x", "cut off"), [250], "cut off: who is known")
    tap.equal(send(m, "User1@x", "cut off too"), [250], "so or small")
    tap.equal(send(m, "Nobody@x", "later"), [451], "others later")
tap.done()
