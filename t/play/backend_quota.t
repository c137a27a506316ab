#!/usr/bin/env python3
"""Quota roots of a stand-alone backendd (RFC 9208): limits that stay over a
restart and a RENAME, usage that follows every change, and what is refused."""
import os
import signal
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "lib"))
from backend import Backend  # noqa: E402
from imap import Client, has, hasnt, ok, plan  # noqa: E402
from murder import Murder  # noqa: E402

KIB = b"x" * 1022 + b"\r\n"


def letter(kib):
    head = b"Subject: x\r\n\r\n"
    return head + (KIB * kib)[len(head):]


def root_of(c, mailbox):
    return c.must("GETQUOTAROOT " + mailbox)


def usage(c, root):
    return [x for x in c.must("GETQUOTA " + root) if x.startswith("* QUOTA ")]


def test_commands(b, admin, c):
    has(c.must("CAPABILITY"), r" QUOTA .*QUOTASET.* QUOTA=RES-STORAGE "
        "QUOTA=RES-MESSAGE QUOTA=RES-MAILBOX", "capabilities")
    r = root_of(c, "INBOX")
    has(r, r"^\* QUOTAROOT INBOX$", "no root: QUOTAROOT says none")
    hasnt(r, r"^\* QUOTA ", "and there is no QUOTA")
    has(c.do("GETQUOTA INBOX"), r"^a\d+ NO \[NONEXISTENT\]", "GETQUOTA: none")
    has(c.do("SETQUOTA INBOX (STORAGE 10)"), r"^a\d+ NO \[NOPERM\]",
        "SETQUOTA is for administrators")
    r = admin.must("SETQUOTA user/fred (STORAGE 100 MESSAGE 20)")
    has(r, r"^\* QUOTA user/fred \(STORAGE 0 100 MESSAGE 0 20\)$",
        "SETQUOTA answers QUOTA")
    r = root_of(c, "INBOX")
    has(r, r"^\* QUOTAROOT INBOX INBOX$", "QUOTAROOT as its owner sees it")
    has(r, r"^\* QUOTA INBOX \(STORAGE 0 100 MESSAGE 0 20\)$", "and QUOTA")
    r = root_of(c, "not/yet/there")
    has(r, r"^\* QUOTAROOT not/yet/there INBOX$", "of what is to be made")
    has(admin.must("SETQUOTA user/fred (STORAGE 100)"),
        r"^\* QUOTA user/fred \(STORAGE 0 100\)$",
        "what is not named is not limited any more")
    r = admin.must("SETQUOTA user/fred ()")
    has(r, r"^\* QUOTA user/fred \(\)$", "a root may be without limits")
    has(admin.must("GETQUOTA user/fred"), r"^\* QUOTA user/fred \(\)$",
        "and is a root")
    has(root_of(c, "INBOX"), r"^\* QUOTAROOT INBOX INBOX$", "of its mailboxes")
    admin.must("SETQUOTA user/fred (STORAGE 100)")
    for bad in ("SETQUOTA user/fred STORAGE 1", "SETQUOTA user/fred (NONE 1)",
                "SETQUOTA user/fred (STORAGE)", "SETQUOTA user/fred",
                "SETQUOTA user/fred (STORAGE 1 STORAGE 2)", "GETQUOTA",
                "SETQUOTA user/fred (STORAGE -1)", "GETQUOTAROOT"):
        has(admin.do(bad), r"^a\d+ BAD", bad)
    has(admin.do("SETQUOTA user/nobody (STORAGE 1)"),
        r"^a\d+ NO \[NONEXISTENT\]", "a root is for some mailbox")
    d = b.client("joe")
    has(d.do('GETQUOTA "Other Users/fred"'), r"^a\d+ NO \[NONEXISTENT\]",
        "another's quota is not for all to see")
    has(d.do('GETQUOTAROOT "Other Users/fred"'), r"^a\d+ NO ",
        "nor is its root")
    admin.must("SETACL user/fred joe lr")
    has(d.must('GETQUOTAROOT "Other Users/fred"'),
        r'^\* QUOTA "Other Users/fred" \(STORAGE', "who may read sees both")
    admin.must('SETACL user/fred joe ""')
    d.close()


def test_usage(b, admin, c):
    c.must("CREATE box")
    has(c.append("INBOX", letter(10)), r" OK \[APPENDUID", "APPEND fits")
    has(usage(c, "INBOX"), r"\(STORAGE 10 100\)$", "and is counted")
    c.append("box", letter(20), r"\Deleted")
    has(usage(c, "INBOX"), r"\(STORAGE 30 100\)$", "below the root too")
    has(c.must("STATUS box (MESSAGES DELETED DELETED-STORAGE)"),
        r"^\* STATUS box \(MESSAGES 1 DELETED 1 DELETED-STORAGE 20480\)$",
        "STATUS says what EXPUNGE would free")
    c.must("SELECT box")
    has(c.must("COPY 1 INBOX"), r"COPYUID", "COPY fits")
    has(usage(c, "INBOX"), r"\(STORAGE 50 100\)$", "and is counted")
    c.must("EXPUNGE")
    has(usage(c, "INBOX"), r"\(STORAGE 30 100\)$", "EXPUNGE gives back")
    has(c.must("STATUS box (MESSAGES DELETED DELETED-STORAGE)"),
        r"\(MESSAGES 0 DELETED 0 DELETED-STORAGE 0\)$", "nothing more to free")
    c.must("UNSELECT")
    has(c.append("INBOX", letter(71)), r"^a\d+ NO \[OVERQUOTA\]",
        "APPEND over the limit")
    has(c.append("box", letter(71)), r"^a\d+ NO \[OVERQUOTA\]", "anywhere")
    has(usage(c, "INBOX"), r"\(STORAGE 30 100\)$", "nothing was stored")
    r = c.append("INBOX", letter(61))
    has(r, r"^\* NO \[OVERQUOTA\] Soft quota has been exceeded",
        "a percentage is told")
    has(r[-1:], r" OK \[APPENDUID", "and it is stored")
    ok("overquota root=user.fred resource=STORAGE percent=91 used=91 "
       "limit=100" in b.log(), "and logged")
    r = c.append("INBOX", letter(1))
    hasnt(r, r"^\* NO", "told once")
    c.must("SELECT INBOX")
    has(c.do("COPY 1 box"), r"^a\d+ NO \[OVERQUOTA\]", "COPY over the limit")
    has(c.do("MOVE 3 box"), r" OK .*Move completed",
        "MOVE within the root takes nothing")
    has(c.do("MOVE 1 INBOX"), r"^a\d+ NO \[OVERQUOTA\]",
        "but into the mailbox itself it may be many at once")
    c.must("UNSELECT")
    has(usage(c, "INBOX"), r"\(STORAGE 92 100\)$", "so nothing has changed")
    admin.must("CREATE shared")
    admin.must("SETACL shared fred lrswipkxte")
    admin.must("CREATE shared/small")
    admin.must("SETQUOTA shared (STORAGE 5)")
    c.must("SELECT INBOX")
    has(c.do('MOVE 1 "Shared Folders/shared"'), r"^a\d+ NO \[OVERQUOTA\]",
        "MOVE to another root")
    has(c.must('GETQUOTAROOT "Shared Folders/shared/small"'),
        r'^\* QUOTA "Shared Folders/shared" \(STORAGE 0 5\)$',
        "of a shared tree")
    c.must("UNSELECT")


def test_mailboxes(admin, c):
    admin.must("SETQUOTA user/fred (STORAGE 100 MAILBOX 3)")
    has(usage(c, "INBOX"), r"\(STORAGE 92 100 MAILBOX 2 3\)$", "MAILBOX")
    c.must("CREATE third")
    has(c.do("CREATE fourth"), r"^a\d+ NO \[OVERQUOTA\]", "CREATE over it")
    has(usage(c, "INBOX"), r"MAILBOX 3 3\)$", "counted")
    c.must("DELETE third")
    has(usage(c, "INBOX"), r"MAILBOX 2 3\)$", "DELETE gives back")
    c.must("CREATE third")
    admin.must("SETQUOTA user/fred/third (MESSAGE 2)")
    has(usage(c, "INBOX"), r"MAILBOX 2 3\)$", "a root below is its own")
    has(root_of(c, "third"), r"^\* QUOTAROOT third third$", "and named so")
    for i in range(2):
        c.append("third", letter(1))
    has(c.append("third", letter(1)), r"^a\d+ NO \[OVERQUOTA\]", "MESSAGE")


def test_rename(admin, c):
    """From one root to another: all of it is added there."""
    admin.must("CREATE shared/big")
    admin.must("CREATE shared/big/er")
    admin.must("SETQUOTA shared (STORAGE 500)")
    admin.must("SETACL shared/big fred lrswipkxte")
    admin.must("SETACL shared/big/er fred lrswipkxte")
    for box in ("big", "big/er"):
        c.append('"Shared Folders/shared/%s"' % box, letter(10))
    admin.must("SETQUOTA user/fred (STORAGE 110)")
    big = '"Shared Folders/shared/big"'
    has(c.do("RENAME %s big" % big), r"^a\d+ NO \[OVERQUOTA\]",
        "RENAME from another root")
    admin.must("SETQUOTA user/fred (STORAGE 112 MAILBOX 3)")
    has(c.do("RENAME %s big" % big), r"^a\d+ NO \[OVERQUOTA\]",
        "mailboxes count, too")
    admin.must("SETQUOTA user/fred (STORAGE 112)")
    c.must("RENAME %s big" % big)
    has(usage(c, "INBOX"), r"\(STORAGE 112 112\)$", "if it fits it is counted")
    has(usage(admin, "shared"), r"\(STORAGE 0 500\)$", "and not there")
    c.must("DELETE big/er")
    c.must("DELETE big")
    has(usage(c, "INBOX"), r"\(STORAGE 92 112\)$", "till it is gone")
    admin.must("SETQUOTA user/fred (STORAGE 100)")


def test_rename_inbox(b, admin):
    """An INBOX that is renamed leaves another in its place."""
    c = b.client("bert")
    admin.must("SETQUOTA user/bert (MAILBOX 2)")
    c.append("INBOX", letter(20))
    c.must("RENAME INBOX old")
    has(usage(c, "INBOX"), r"\(MAILBOX 2 2\)$", "RENAME INBOX makes a mailbox")
    has(c.do("RENAME INBOX older"), r"^a\d+ NO \[OVERQUOTA\]", "that counts")
    c.append("INBOX", letter(20))
    admin.must("CREATE shared/bert")
    admin.must("SETACL shared/bert bert lrswipkxte")
    admin.must("SETQUOTA shared/bert (STORAGE 19)")
    has(c.do('RENAME INBOX "Shared Folders/shared/bert/old"'),
        r"^a\d+ NO \[OVERQUOTA\]", "elsewhere its messages are counted")
    admin.must("SETQUOTA shared/bert (STORAGE 20)")
    c.must('RENAME INBOX "Shared Folders/shared/bert/old"')
    has(usage(admin, "shared/bert"), r"\(STORAGE 20 20\)$", "if they fit")
    has(usage(c, "INBOX"), r"\(MAILBOX 2 2\)$", "and none is more here")
    c.close()
    admin.must("SETACL user/bert admin x")
    admin.must("DELETE user/bert")


def deliver(b, kib, to="fred@test", size=""):
    m = b.lmtp()
    m.docmd("MAIL FROM:<a@example.org>" + size)
    code, text = m.docmd("RCPT TO:<%s>" % to)
    if code == 250:
        code, text = m.data(letter(kib))
    m.close()
    return "%d %s" % (code, text.decode())


def test_lmtp(b, admin, c):
    ok(deliver(b, 3).startswith("250 2.1.5"), "LMTP fits")
    ok(deliver(b, 30).startswith("452 4.2.2"), "over quota after DATA is 452")
    ok(deliver(b, 30, size=" SIZE=31000").startswith("452 4.2.2"),
       "and at RCPT, if MAIL said SIZE")
    admin.must("SETQUOTA user/fred (STORAGE 5)")
    has(usage(c, "INBOX"), r"\(STORAGE \d+ 5\)$", "more is used than allowed")
    ok(deliver(b, 1).startswith("452 4.2.2"), "then RCPT is refused")
    ok("recipient over quota" in b.log(), "and logged")


def test_at_once(b, admin):
    """What comes at one moment does not exceed a limit together."""
    boxes = ["user/joe/box%d" % i for i in range(8)]
    for box in boxes:
        admin.must("CREATE " + box)
        admin.must("SETACL %s anyone lrsp" % box)
    admin.must("SETQUOTA user/joe (MESSAGE 3)")
    m = b.lmtp()
    m.docmd("MAIL FROM:<a@example.org>")
    for i in range(8):
        m.docmd("RCPT TO:<joe+box%d@test>" % i)
    m.putcmd("DATA")
    m.getreply()
    m.send(letter(1) + b".\r\n")
    codes = sorted(m.getreply()[0] for i in range(8))
    ok(codes == [250] * 3 + [452] * 5, "of one message's recipients, too")
    m.close()
    has(usage(admin, "user/joe"), r"\(MESSAGE 3 3\)$", "so many are there")
    admin.must("SETQUOTA user/joe (MESSAGE 7)")
    clients = [b.client("joe") for i in range(8)]
    octets = letter(1)
    tags = [c.begin(b"APPEND INBOX {%d+}\r\n%s" % (len(octets), octets))
            for c in clients]
    said = [c.end(tag)[-1] for c, tag in zip(clients, tags)]
    ok(sum(" OK " in x for x in said) == 4 and
       sum(" NO [OVERQUOTA]" in x for x in said) == 4, "of many APPENDs")
    has(usage(admin, "user/joe"), r"\(MESSAGE 7 7\)$", "and not one more")
    admin.must("SETQUOTA user/joe (MAILBOX 12)")
    tags = [c.begin(b"CREATE new%d" % i) for i, c in enumerate(clients)]
    said = [c.end(tag)[-1] for c, tag in zip(clients, tags)]
    ok(sum(" OK " in x for x in said) == 3 and
       sum(" NO [OVERQUOTA]" in x for x in said) == 5, "of many CREATEs")
    has(usage(admin, "user/joe"), r"\(MAILBOX 12 12\)$", "so many are there")
    admin.must("SETQUOTA user/joe (MAILBOX 14)")
    for i in range(8):
        admin.must("CREATE elsewhere%d" % i)
        admin.must("SETACL elsewhere%d joe lrswipkxte" % i)
    tags = [c.begin(b'RENAME "Shared Folders/elsewhere%d" came%d' % (i, i))
            for i, c in enumerate(clients)]
    said = [c.end(tag)[-1] for c, tag in zip(clients, tags)]
    ok(sum(" OK " in x for x in said) == 2 and
       sum(" NO [OVERQUOTA]" in x for x in said) == 6, "of many RENAMEs")
    has(usage(admin, "user/joe"), r"\(MAILBOX 14 14\)$", "nor more")
    for c in clients:
        c.close()
    admin.must("SETACL user/joe admin x")
    admin.must("DELETE user/joe")


def test_restart(b, admin, c):
    before = usage(c, "INBOX") + usage(c, "third")
    b.stop(signal.SIGKILL)
    b.start()
    admin = b.client("admin")
    c = b.client("fred")
    ok(usage(c, "INBOX") + usage(c, "third") == before,
       "limits and usage after a crash")
    admin.must("SETQUOTA user/fred (STORAGE 1000)")
    c.must("RENAME third 3rd")
    has(c.do("GETQUOTA third"), "NO", "RENAME: not by the old name")
    has(usage(c, "3rd"), r"\(MESSAGE 2 2\)$", "but by the new one")
    c.close()
    admin.must("RENAME user/fred user/bert")
    has(usage(admin, "user/bert"), r"\(STORAGE \d\d 1000\)$", "of a user too")
    has(usage(admin, "user/bert/3rd"), r"\(MESSAGE 2 2\)$", "with all below")
    has(admin.do("GETQUOTA user/fred"), "NO", "nothing is left there")
    c = b.client("bert")
    has(root_of(c, "box"), r"^\* QUOTA INBOX \(STORAGE \d\d 1000\)$", "found")
    old = usage(c, "INBOX")
    c.append("INBOX", letter(7))
    ok(usage(c, "INBOX") != old, "and counted on")
    c.must("DELETE 3rd")
    c.must("CREATE 3rd")
    has(root_of(c, "3rd"), r"^\* QUOTAROOT 3rd INBOX$", "DELETE: it is gone")
    admin.must('SETACL user/bert admin x')
    admin.must("DELETE user/bert")
    has(admin.do("GETQUOTA user/bert"), "NO", "with its user")
    return admin


def test_damaged(b, admin):
    """A mailbox that cannot be read does not keep the rest from being
    counted."""
    c = b.client("fred")
    c.must("CREATE box")
    c.append("INBOX", letter(5))
    ids = {box: c.must("STATUS %s (MAILBOXID)" % box)[0].split("(")[2][:-2]
           for box in ("INBOX", "box")}
    admin.must("SETQUOTA user/fred (STORAGE 100)")
    admin.must("SETQUOTA user/fred/box (STORAGE 100)")
    b.stop()
    b.start()
    for top, names, _ in os.walk(b.path("spool")):
        if ids["box"] in names:
            os.rename(os.path.join(top, ids["box"]), b.path("box"))
            back = os.path.join(top, ids["box"])
    c = b.client("fred")
    has(usage(c, "INBOX"), r"\(STORAGE 5 100\)$", "what can be read is counted")
    has(usage(c, "box"), r"\(STORAGE 0 100\)$", "a root that cannot be read, too")
    has(c.do("CREATE box/below"), " OK ", "and what is below it may be used")
    os.rename(b.path("box"), back)
    c.close()


def test_defaults(b):
    c = b.client("ann")
    has(root_of(c, "INBOX"),
        r"^\* QUOTA INBOX \(STORAGE 0 512 MESSAGE 0 9 MAILBOX 2 7\)$",
        "a new user's quota")
    c.close()
    admin = b.client("admin")
    admin.must('CREATE "Other Users/bob" (PARTITION default)')
    has(admin.must('GETQUOTA "Other Users/bob"'), r"MAILBOX 1 7\)$",
        "whoever makes him")
    m = b.lmtp()
    m.docmd("MAIL FROM:<a@example.org>")
    m.docmd("RCPT TO:<ann@test>")
    ok(m.data(letter(600))[0] == 552, "over_quota = reject is 552")
    m.close()


def test_frontend():
    """What the backend answers is what the sender hears."""
    for said, code in (("later", "452 4.2.2"), ("reject", "552 5.2.2")):
        with Murder(backends=1, frontends=1, users=1,
                    settings=["backendd:over_quota = " + said]) as m:
            admin = Client(m.address("IMAP", "backend1")[1], "admin")
            admin.must('SETQUOTA "Other Users/user1" (STORAGE 2)')
            s = m.lmtp()
            s.docmd("MAIL FROM:<a@example.org>")
            s.docmd("RCPT TO:<user1@example.org>")
            answer = "%d %s" % tuple(
                x.decode() if isinstance(x, bytes) else x
                for x in s.data(letter(3)))
            ok(answer.startswith(code), "through a frontend: " + code)
            s.close()
            admin.close()


with Backend(users=["fred", "joe", "bert"],
             conf=["admin_altnamespace = no"]) as b:
    admin = b.client("admin")
    c = b.client("fred")
    test_commands(b, admin, c)
    test_usage(b, admin, c)
    test_mailboxes(admin, c)
    test_rename(admin, c)
    test_rename_inbox(b, admin)
    test_lmtp(b, admin, c)
    test_at_once(b, admin)
    admin = test_restart(b, admin, c)
    test_damaged(b, admin)

with Backend(users=["ann"], conf=[
        "quota_storage = 512k", "quota_messages = 9", "quota_mailboxes = 7",
        "over_quota = reject", "special_use = \\Sent Sent"]) as b:
    test_defaults(b)

test_frontend()
plan()
