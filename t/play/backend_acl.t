#!/usr/bin/env python3
"""Rights (RFC 4314) in a stand-alone backendd: what the RFC's examples say,
identifiers, what each right is good for, and who cannot be shut out."""
import os
import signal
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "lib"))
from backend import Backend  # noqa: E402
from imap import has, hasnt, ok, plan, simple  # noqa: E402

OURS = '"Other Users/smith/Drafts"'


def test_lists(c):
    has(c.must("CAPABILITY"), r" ACL RIGHTS=kxten ", "capabilities")
    c.must("CREATE Drafts")
    ok(c.said("GETACL Drafts") == ["* ACL Drafts smith lrswipkxtecda"],
       "3.3: a new mailbox is its owner's")
    c.must("SETACL Drafts john lrswicda")
    has(c.must("GETACL Drafts"), r" john lrswikxtecda$",
        "2.1.1: c is k and x, d is t and e")
    c.must("SETACL Drafts john -a")
    c.must("SETACL Drafts david +lrswida")
    has(c.must("GETACL Drafts"),
        r"^\* ACL Drafts smith \S+ john lrswikxtecd david lrswitedan?$",
        "3.1: rights are added and removed")
    c.must("SETACL Drafts david lrn")
    has(c.must("GETACL Drafts"), r" david lrn$", "n is a right")
    c.must('SETACL Drafts david ""')
    hasnt(c.must("GETACL Drafts"), "david", "no rights, no entry")
    c.must("DELETEACL Drafts john")
    hasnt(c.must("GETACL Drafts"), "john", "3.2: DELETEACL")
    has(c.do("SETACL Drafts john lrZ"), r"^a\d+ BAD", "there is no such right")
    has(c.do('SETACL Drafts "" lr'), r"^a\d+ BAD", "nor such an identifier")
    has(c.do("SETACL nosuch john lr"), r"^a\d+ NO \[NONEXISTENT\]",
        "nor such a mailbox")
    r = c.said("LISTRIGHTS Drafts john")
    ok(r == ['* LISTRIGHTS Drafts john "" l r s w i p k x t e c d a n '
             '0 1 2 3 4 5 6 7 8 9'], "3.4: what may be given")
    has(c.must("LISTRIGHTS Drafts smith"),
        r"^\* LISTRIGHTS Drafts smith lkca r s w i p x t e d n",
        "and what its owner always has")
    ok(c.said("MYRIGHTS INBOX") == ["* MYRIGHTS INBOX lrswipkxtecda"],
       "3.5: MYRIGHTS")


def myrights(c, box=OURS):
    r = c.do("MYRIGHTS " + box)
    return r[0].split()[-1] if r[0].startswith("* ") else ""


def test_identifiers(c, d):
    ok(myrights(d) == "", "no rights, no mailbox")
    c.must("SETACL Drafts anyone lr")
    ok(myrights(d) == "lr", "anyone")
    c.must("SETACL Drafts john w")
    ok(myrights(d) == "lrw", "and oneself")
    c.must("SETACL Drafts -john r")
    ok(myrights(d) == "lw", "less what is taken")
    c.must("SETACL Drafts -anyone l")
    ok(myrights(d) == "", "from anyone, too")
    has(c.must("GETACL Drafts"), r" -john r -anyone l$", "GETACL tells it")
    c.must("DELETEACL Drafts -anyone")
    c.must("DELETEACL Drafts -john")
    c.must('SETACL Drafts smith ""')
    ok(myrights(c, "Drafts") == "lrkca", "an owner is not shut out")
    c.must("SETACL Drafts smith lrswipkxtea")
    c.must("DELETEACL Drafts anyone")
    c.must("DELETEACL Drafts john")


def test_each(c, d):
    """One right after another."""
    def give(rights):
        c.must('SETACL Drafts john "%s"' % rights)

    c.append("Drafts", simple("one"))
    give("l")
    has(d.must('LIST "" ' + OURS), r"^\* LIST ", "l: LIST")
    has(d.do("SELECT " + OURS), r"NO \[NOPERM\]", "l: no SELECT")
    has(d.do("STATUS %s (MESSAGES)" % OURS), r"NO \[NOPERM\]", "nor STATUS")
    has(d.do("GETACL " + OURS), r"NO \[NOPERM\]", "nor GETACL")
    give("lr")
    has(d.must("SELECT " + OURS), r"OK \[READ-ONLY\]", "r: SELECT, read-only")
    has(d.do(r"STORE 1 +FLAGS (\Flagged)"), r"^a\d+ NO", "r: no STORE")
    give("lrw")
    has(d.must("SELECT " + OURS), r"OK \[READ-WRITE\]", "w: read-write")
    has(d.must(r"STORE 1 +FLAGS (\Flagged)"), r"\\Flagged", "w: STORE")
    has(d.do("EXPUNGE"), r"NO", "w: no EXPUNGE")
    give("lrte")
    d.must("SELECT " + OURS)
    d.must(r"STORE 1 +FLAGS (\Deleted)")
    has(d.must("EXPUNGE"), r"^\* 1 EXPUNGE", "t and e: EXPUNGE")
    d.must("UNSELECT")
    has(d.append(OURS, simple("x")), r"NO \[NOPERM\]", "no i, no APPEND")
    give("li")
    has(d.append(OURS, simple("x")), r" OK ", "i: APPEND")
    has(d.do('CREATE "Other Users/smith/Drafts/x"'), r"NO \[NOPERM\]",
        "no k, no CREATE")
    give("lk")
    d.must('CREATE "Other Users/smith/Drafts/x"')
    has(d.do('DELETE "Other Users/smith/Drafts"'), r"NO \[NOPERM\]",
        "k: no DELETE")
    has(d.must('MYRIGHTS "Other Users/smith/Drafts/x"'), r" lkc$",
        "a mailbox has its parent's rights")
    give("lx")
    d.must("DELETE " + OURS)
    ok(True, "x: DELETE")
    c.must("CREATE Drafts")
    give("la")
    has(d.must("GETACL " + OURS), r"^\* ACL ", "a: GETACL")
    d.must("SETACL %s anyone lr" % OURS)
    give("")


def test_selected(b, c):
    """5.1.1: the rights of who has it selected are those of now."""
    c.must("SETACL Drafts anyone \"\"")
    c.must("SETACL Drafts john lrsw")
    c.append("Drafts", simple("one"))
    d, idle = b.client("john"), b.client("john")
    d.must("SELECT " + OURS)
    idle.must("SELECT " + OURS)
    idle.begin("IDLE")
    idle.line()
    c.must("SETACL Drafts john lrte")
    has([idle.line(), idle.line()],
        r"^\* OK \[PERMANENTFLAGS \(\\Deleted\)\]", "told at once in IDLE")
    r = d.do(r"STORE 1 +FLAGS (\Flagged)")
    has(r, r"^a\d+ NO \[NOPERM\]", "a right taken is gone")
    has(r, r"^\* OK \[PERMANENTFLAGS \(\\Deleted\)\]", "and that is told")
    r = d.must(r"STORE 1 +FLAGS.SILENT (\Deleted)")
    hasnt(r, "PERMANENTFLAGS", "once")
    c.must("RENAME Drafts Papers")
    c.must("SETACL Papers john lrt")
    has(d.do("EXPUNGE"), r"^a\d+ NO", "under another name too")
    c.must("DELETEACL Papers john")
    for s in d, idle:
        lines = []
        while not lines or "BYE" not in lines[-1]:
            lines.append(s.line())
        has(lines[-1:], r"^\* BYE \[NOPERM\]", "who may not read, leaves")
        s.close()
    c.must("RENAME Papers Drafts")


HIDDEN = ("SELECT %s", "EXAMINE %s", "STATUS %s (MESSAGES)", "CREATE %s",
          "DELETE %s", "RENAME %s mine", "RENAME own %s", "SUBSCRIBE %s",
          "GETACL %s", "MYRIGHTS %s", "LISTRIGHTS %s john",
          "SETACL %s john lr", "DELETEACL %s john", "GETQUOTAROOT %s",
          "GETQUOTA %s", "SETQUOTA %s (STORAGE 1)",
          "GETMETADATA %s /shared/comment",
          'SETMETADATA %s (/private/comment "x")', "UID COPY 1 %s",
          "UID MOVE 1 %s", 'LIST "" %s', 'LIST "" %s RETURN (CHILDREN)',
          'LIST "" %s RETURN (STATUS (MESSAGES) SPECIAL-USE MYRIGHTS)',
          'LIST (RECURSIVEMATCH SUBSCRIBED) "" %s RETURN (SUBSCRIBED)',
          "ESEARCH IN (mailboxes %s) ALL", "ESEARCH IN (subtree %s) ALL",
          "NOTIFY SET STATUS (mailboxes %s (MessageNew MessageExpunge))")


def test_hidden(b, c, d):
    """Who may not look a mailbox up hears what he would if there were none."""
    admin = b.client("admin")
    c.must("SETACL INBOX john lr")
    c.must("CREATE secret")
    c.must("SETACL secret john \"\"")
    c.append("secret", simple("x"))
    for root in ("smith", "smith/secret"):
        admin.must('SETQUOTA "Other Users/%s" (STORAGE 100)' % root)
    d.must("CREATE own")
    d.append("INBOX", simple("x"))
    d.must("SELECT INBOX")
    for command in HIDDEN:
        for below in "", "/below":
            heard = []
            for name in "secret", "nosuch":
                name = "Other Users/smith/" + name
                lines = d.do(command % ('"%s%s"' % (name, below)))
                heard.append([x.replace(name, "NAME").split(" ", 1)[1]
                              for x in lines])
                if command.startswith(("SELECT", "EXAMINE")):
                    d.must("SELECT INBOX")
            ok(heard[0] == heard[1], command % ("hidden" + below))
            if heard[0] != heard[1]:
                print("# %s\n# %s" % tuple(heard))
    admin.close()


def test_stays(b, c):
    c.must("SETACL Drafts anyone lrs")
    before = c.said("GETACL Drafts")
    b.stop(signal.SIGKILL)
    b.start()
    c = b.client("smith")
    ok(c.said("GETACL Drafts") == before, "after a crash")


with Backend(users=["smith", "john"]) as b:
    c = b.client("smith")
    d = b.client("john")
    test_lists(c)
    test_identifiers(c, d)
    test_each(c, d)
    test_selected(b, c)
    test_hidden(b, c, b.client("john"))
    test_stays(b, c)
plan()
