#!/usr/bin/env python3
"""
A mailbox list that is restored from a backup is older than the mailboxes: what
was made, renamed and shared since is there all the same.
"""
import os
import shutil
import signal
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "lib"))
from backend import Backend  # noqa: E402
from tap import tap  # noqa: E402

OLDER = "list is older"
ROOT = '"Other Users/fred"'
MESSAGE = b"Subject: x\r\n\r\nmail\r\n"


def names(c):
    return sorted(line.decode().split('"/" ')[1].strip('"')
                  for line in c.list()[1])


def has_mail(c, name):
    return c.select(name)[1] == [b"1"] and \
        c.fetch("1", "(BODY.PEEK[])")[1][0][1] == MESSAGE


def make(c, *new):
    for name in new:
        c.create(name)
        c.append(name, None, None, MESSAGE)


def play_starts(b):
    """Ends of every kind, and nothing is restored: nobody says so."""
    for signo in (signal.SIGTERM, signal.SIGKILL):
        c = b.imap("fred")
        make(c, "New")
        c.delete("New")
        c.create("Half")
        b.stop(signo)
        b.start()
        c = b.imap("fred")
        c.delete("Half")
        c.logout()
    tap.ok(OLDER not in b.log(), "a list that is not restored is not older")


def play_restore(b):
    c, admin = b.imap("fred"), b.imap("admin")
    make(c, "Kept", "First", "Renamed", "Shared", "Taken", "Deleted")
    tap.equal(admin.setquota(ROOT, "(STORAGE 4321)")[0], "OK", "quota")
    b.stop()
    shutil.copytree(b.path("data", "list"), b.path("backup"))
    b.start()
    c, admin = b.imap("fred"), b.imap("admin")
    make(c, "Made", "Made/Below")
    c.rename("Renamed", "Other")
    c.rename("Taken", "Was-taken")
    make(c, "Taken")
    c.rename("Other", "Yet-another")
    c.rename("First", "Other")
    c.rename("Yet-another", "First")
    c.setacl("Shared", "ann", "lr")
    c.delete("Deleted")
    wanted = names(c)
    make(b.imap("ann"), "Hers")
    b.kill_store()
    b.stop(signal.SIGKILL)
    shutil.rmtree(b.path("data", "list"))
    shutil.copytree(b.path("backup"), b.path("data", "list"))
    before = b.log().count(OLDER)
    b.start()
    tap.equal(b.log().count(OLDER), before + 1, "it is said")
    c, admin = b.imap("fred"), b.imap("admin")
    found = names(c)
    tap.equal([n for n in found if n != "Deleted"], wanted,
              "all names are as they were")
    for name in ("Kept", "Made", "Made/Below", "First", "Other", "Was-taken", "Taken"):
        tap.ok(has_mail(c, name), "mail of %s" % name)
    tap.ok(has_mail(b.imap("ann"), "Hers"), "and of another user")
    tap.equal([n for n in names(admin) if "quarantine" in n], [],
              "none is set aside")
    tap.ok(b"ann lr" in c.getacl("Shared")[1][0], "who may read it")
    tap.ok(b"4321" in admin.getquota(ROOT)[1][0], "the quota")
    make(c, "Last")
    b.stop()
    b.start()
    tap.equal(b.log().count(OLDER), before + 1, "and then it is not any more")
    tap.ok(has_mail(b.imap("fred"), "Last"), "it goes on")


with Backend(users=["fred", "ann"], conf=["delete_delay = 0s"]) as b:
    play_starts(b)
    play_restore(b)
tap.done()
