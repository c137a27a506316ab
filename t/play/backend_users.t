#!/usr/bin/env python3
"""Whose mailboxes are made when they are first needed: the policies, what the
lines of "account" say, and two servers at the same moment."""
import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "lib"))
from backend import Backend  # noqa: E402
from imap import has, ok, plan  # noqa: E402
from murder import Murder  # noqa: E402


def rcpt(b, user):
    m = b.lmtp()
    m.docmd("MAIL FROM:<a@example.org>")
    code = m.docmd("RCPT TO:<%s@test>" % user)[0]
    m.close()
    return code


def has_inbox(b, user):
    admin = b.client("admin")
    r = admin.must('LIST "" "Other Users/%s"' % user)
    admin.close()
    return any(x.startswith("* LIST") for x in r)


def test_trial():
    with Backend(users=["fred", "bert"], conf=[
            "autocreate = trial", r"special_use = \Sent Sent",
            r"special_use = \Trash Deleted Items",
            "account = noone autocreate=off",
            "account = vip quota_storage=2G quota_messages=7"]) as b:
        ok(rcpt(b, "stranger") == 250, "trial: mail for any name")
        ok(has_inbox(b, "stranger"), "makes an INBOX")
        ok(rcpt(b, "noone") == 550, "but for whom a line forbids it")
        c = b.client("fred")
        r = c.must('LSUB "" "*"')
        has(r, r' "?Sent"?$', "a login does, with what belongs to it")
        has(r, r' "Deleted Items"$', "subscribed")
        has(c.must('LIST (SPECIAL-USE) "" "*"'),
            r'^\* LIST \(.*\\Trash\) "/" "Deleted Items"$', "and marked")
        c.close()


def test_reserve():
    with Backend(users=["fred", "bert"], conf=[
            "autocreate = reserve", "quota_messages = 3",
            "account = ann quota_messages=5 quota_storage=1M"]) as b:
        ok(rcpt(b, "stranger") == 550, "reserve: a stranger gets no mail")
        ok(not has_inbox(b, "stranger"), "and has no INBOX")
        ok(rcpt(b, "ann") == 250, "who has a line does")
        ok(rcpt(b, "bert") == 250, "and who can log in, as SASL knows")
        ok(has_inbox(b, "bert"), "has an INBOX")
        c = b.client("fred")
        c.must("SELECT INBOX")
        has(c.must("GETQUOTAROOT INBOX"), r"^\* QUOTA INBOX \(MESSAGE 0 3\)$",
            "with everybody's quota")
        admin = b.client("admin")
        has(admin.must('GETQUOTA "Other Users/ann"'),
            r"\(STORAGE 0 1024 MESSAGE 0 5\)$", "or his own")


def test_unknown():
    """saslauthd cannot be asked: who has not logged in is not known."""
    with Backend(users=["fred"], conf=["autocreate = reserve",
                                       "sasl_pwcheck = saslauthd"]) as b:
        ok(rcpt(b, "fred") == 550, "saslauthd: no mail before a login")


def test_off():
    with Backend(users=["fred"], conf=["autocreate = off"]) as b:
        ok(rcpt(b, "fred") == 550, "off: no mail")
        c = b.client("fred")
        has(c.do("SELECT INBOX"), r"^a\d+ NO \[NONEXISTENT\]", "no INBOX")
        admin = b.client("admin")
        admin.must('CREATE "Other Users/fred"')
        c.must("SELECT INBOX")
        ok(rcpt(b, "fred") == 250, "till an administrator makes it")


def test_partition():
    with Backend(users=["fred"]) as b:
        b.stop()
        with open(b.path("conf"), "a") as f:
            f.write("partition = second %s\naccount = vip partition=second\n" %
                    b.path("spool2"))
        b.start()
        rcpt(b, "vip")
        rcpt(b, "other")
        boxes = [sum(len(d) for _, d, _ in os.walk(b.path(s, "m")))
                 for s in ("spool", "spool2")]
        ok(boxes[0] > 0 and boxes[1] > 0, "a partition of his own")


ROUNDS = 10


def test_two():
    """Both are asked before either can know of the other."""
    with Murder(backends=2, frontends=0, users=1,
                settings=["backendd:autocreate = trial"]) as m:
        lmtp = [m.lmtp("backend1"), m.lmtp("backend2")]
        codes = []
        for i in range(ROUNDS):
            for s in lmtp:
                s.docmd("RSET")
                s.docmd("MAIL FROM:<a@example.org>")
            for s in lmtp:
                s.putcmd("RCPT TO:<new%d@example.org>" % i)
            codes.append(sorted(s.getreply()[0] for s in lmtp))
        ok(all(c in ([250, 451], [250, 250]) for c in codes),
           "two at once: nobody is told that there is no such user")
        ok([250, 451] in codes, "and one is told to come again")
        found = []
        for name in ("backend1", "backend2"):
            c = m.imap("admin", name)
            found += [line.decode().rsplit("/", 1)[1].strip('"')
                      for line in c.list('""', '"Other Users/new%"')[1]
                      if line is not None]
        ok(sorted(found) == sorted("new%d" % i for i in range(ROUNDS)),
           "each is on one of the two")
        for s in lmtp:
            s.close()


test_trial()
test_reserve()
test_unknown()
test_off()
test_partition()
test_two()
plan()
