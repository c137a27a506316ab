#!/usr/bin/env python3
"""
What backendd keeps, and what it refuses when it has no room: a mailbox that
was deleted comes back with all that was kept for its user; a disk that is full
but for the reserve is a NO and a 452 until there is room.
"""
import os
import smtplib
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "lib"))
from backend import Backend  # noqa: E402
from murder import await_that  # noqa: E402
from tap import tap  # noqa: E402

MESSAGE = b"Subject: kept\r\n\r\nbody\r\n"


def names(c):
    ok, lines = c.list('""', '"*"')
    tap.equal(ok, "OK", "LIST")
    return [line.decode().split(') "/" ')[1].strip('"')
            for line in lines if line]


def rights(admin, name):
    tap.equal(admin.setacl('"%s"' % name, "admin", "lrswipkxtea")[0], "OK",
              "the admin may")


def play_deleted(b):
    fred = b.imap("fred")
    fred.create("Work")
    fred.append("Work", "(\\Flagged)", None, MESSAGE)
    fred.append("INBOX", None, None, MESSAGE)
    fred.subscribe("Work")
    tap.equal(fred.delete("Work")[0], "OK", "a user deletes a mailbox")
    tap.equal(fred.select("Work")[0], "NO", "it has gone")
    tap.ok(not [n for n in names(fred) if "deleted" in n.lower()],
           "and the user sees nothing of it")
    admin = b.imap("admin")
    kept = [n for n in names(admin) if "/deleted/" in n]
    tap.equal(len(kept), 1, "an administrator sees it: %s" % kept)
    tap.equal(admin.create('"Shared Folders/deleted/x"')[0], "NO",
              "nobody makes one there")
    ok, text = admin.rename('"%s"' % kept[0], '"Other Users/fred/Work"')
    tap.equal(ok, "OK", "and brings it back: %s" % text)
    tap.equal(fred.select("Work")[1], [b"1"], "with its message")
    tap.ok(b"\\Flagged" in fred.fetch("1", "(FLAGS)")[1][0], "and its flags")
    play_user(b, play_names(b, admin))


def play_names(b, admin):
    """Nothing gets below the names of what is deleted or set aside."""
    tree = ["Shared Folders/tree", "Shared Folders/tree/abc"]
    for name in tree:
        tap.equal(admin.create('"%s"' % name)[0], "OK", "CREATE")
    for name in "deleted", "quarantine":
        ok, text = admin.rename('"Shared Folders/tree"',
                                '"Shared Folders/%s"' % name)
        tap.ok(ok == "NO" and b"[CANNOT]" in text[0],
               "RENAME to %s: %s" % (name, text))
    b.stop()
    b.start()
    admin = b.imap("admin")
    tap.ok(set(tree) <= set(names(admin)), "they stay")
    return admin


def play_user(b, admin):
    rights(admin, "Other Users/fred")
    tap.equal(admin.delete('"Other Users/fred"')[0], "OK",
              "a user's INBOX is deleted, and what is below it")
    fred = b.imap("fred")
    tap.equal(fred.lsub('""', '"*"')[1], [None],
              "a new user of the name has no subscriptions")
    fred.logout()
    rights(admin, "Other Users/fred")
    tap.equal(admin.delete('"Other Users/fred"')[0], "OK", "he goes again")
    kept = sorted(n for n in names(admin) if "/deleted/user/fred" in n)
    first = [n for n in kept if n.count("/") == 4][0]
    ok, text = admin.rename('"%s"' % first, '"Other Users/fred"')
    tap.equal(ok, "OK", "the first is brought back: %s" % text)
    fred = b.imap("fred")
    tap.equal(fred.select("INBOX")[1], [b"1"], "with his mail")
    tap.ok(b"Work" in fred.lsub('""', '"*"')[1][0], "and his subscriptions")


def play_reaped(b):
    """What is kept goes when its time is over."""
    b.reconfigure("delete_delay = 1s")
    admin = b.imap("admin")
    # They are looked for once a minute, and when this has changed.
    tap.ok(await_that(lambda: b"/deleted/" not in b"".join(
        line or b"" for line in admin.list('""', '"*"')[1]), "they go", 45),
           "they go for good")


def deliver(b):
    m = b.lmtp()
    try:
        m.sendmail("a@example.org", ["fred"], MESSAGE)
        return 250, b""
    except smtplib.SMTPDataError as e:
        return e.smtp_code, e.smtp_error
    except smtplib.SMTPRecipientsRefused as e:
        return e.recipients["fred"]
    finally:
        m.close()


def play_full(b):
    fred = b.imap("fred")
    b.reconfigure("reserve = 8000000000G")
    ok, text = fred.append("INBOX", None, None, MESSAGE)
    tap.ok(ok == "NO" and b"[UNAVAILABLE]" in text[0],
           "a full disk is a NO: %s" % text)
    code, text = deliver(b)
    tap.ok(code == 452 and b"4.3.1" in text, "and a 452: %s" % text)
    fred.select("INBOX")
    tap.equal(fred.store("1", "+FLAGS", "(\\Deleted)")[0], "OK",
              "flags are changed")
    tap.equal(fred.expunge()[0], "OK", "and messages expunged")
    b.reconfigure("reserve = 1M")
    tap.equal(fred.append("INBOX", None, None, MESSAGE)[0], "OK",
              "when there is room, all is well")
    tap.equal(deliver(b)[0], 250, "for mail, too")


with Backend(conf=["delete_delay = 1h"]) as b:
    play_deleted(b)
    play_full(b)
    play_reaped(b)
tap.done()
