#!/usr/bin/env python3
"""STATUS and LIST's STATUS of many mailboxes, open or not, before and after a
restart: the same numbers as SELECT and FETCH find."""
import os
import re
import signal
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "lib"))
from backend import Backend  # noqa: E402
from imap import has, ok, plan, simple  # noqa: E402

BOXES = 270  # more than are looked up at a time
ITEMS = ("MESSAGES RECENT UIDNEXT UIDVALIDITY UNSEEN DELETED SIZE "
         "DELETED-STORAGE HIGHESTMODSEQ MAILBOXID")


def by_name(lines):
    """mailbox: {item: value}, of STATUS responses."""
    found = {}
    for x in lines:
        m = re.match(r'\* STATUS ("[^"]*"|\S+) \((.*)\)$', x)
        if m:
            found[m.group(1).strip('"')] = dict(
                re.findall(r"([A-Z-]+) (\([^)]*\)|\d+)", m.group(2)))
    return found


def listed(c, pattern="*", items=ITEMS):
    return by_name(c.must('LIST "" "%s" RETURN (STATUS (%s))' %
                          (pattern, items)))


def one_by_one(c, names):
    found = {}
    for name in names:
        found.update(by_name(c.must('STATUS "%s" (%s)' % (name, ITEMS))))
    return found


def fill(c):
    for i in range(BOXES):
        c.must("CREATE box%d" % i)
    for i in range(0, BOXES, 20):
        for k in range(i // 20 % 4):
            c.append("box%d" % i, simple("%d" % k, "x" * 10 * k),
                     ("", r"\Seen", r"\Deleted")[k % 3])


def looked_at(c, name):
    """The numbers as SELECT and FETCH have them."""
    r = c.must("EXAMINE " + name)
    n = {"MESSAGES": [x.split()[1] for x in r if x.endswith(" EXISTS")][0]}
    for item in ("UIDNEXT", "UIDVALIDITY", "HIGHESTMODSEQ"):
        n[item] = re.search(r"\[%s (\d+)\]" % item, "\n".join(r)).group(1)
    sizes, flags = [], []
    if n["MESSAGES"] != "0":
        for x in c.must("FETCH 1:* (FLAGS RFC822.SIZE)"):
            if "FETCH" in x and x.startswith("* "):
                sizes.append(int(re.search(r"SIZE (\d+)", x).group(1)))
                flags.append(x)
    gone = [s for s, f in zip(sizes, flags) if "\\Deleted" in f]
    n["SIZE"] = str(sum(sizes))
    n["UNSEEN"] = str(len([f for f in flags if "\\Seen" not in f]))
    n["DELETED"] = str(len(gone))
    n["DELETED-STORAGE"] = str(sum(gone))
    c.must("UNSELECT")
    return n


def test(c, what):
    a = listed(c)
    ok(len(a) == BOXES + 1, "%s: one of each mailbox" % what)
    ok(one_by_one(c, list(a)[:60]) == {k: a[k] for k in list(a)[:60]},
       "%s: STATUS says what LIST says" % what)
    wrong = []
    for i in range(0, BOXES, 20):
        name = "box%d" % i
        seen = looked_at(c, name)
        if {k: a[name][k] for k in seen} != seen:
            wrong.append((name, seen, a[name]))
    ok(wrong == [], "%s: and SELECT" % what)
    for x in wrong[:3]:
        print("#", x)
    return a


def test_changes(c):
    before = listed(c, "box40")["box40"]
    c.append("box40", simple("more"))
    after = listed(c, "box40")["box40"]
    ok(int(after["MESSAGES"]) == int(before["MESSAGES"]) + 1 and
       int(after["UIDNEXT"]) == int(before["UIDNEXT"]) + 1, "a new message")
    c.must("SELECT box40")
    c.must(r"STORE 1:* +FLAGS.SILENT (\Seen \Deleted)")
    now = listed(c, "box40")["box40"]
    ok(now["UNSEEN"] == "0" and now["RECENT"] == "0" and
       now["DELETED"] == now["MESSAGES"] and
       now["DELETED-STORAGE"] == now["SIZE"], "flags")
    c.must("CLOSE")
    now = listed(c, "box40")["box40"]
    ok(now["MESSAGES"] == "0" and now["SIZE"] == "0", "none left")


def test_others(c, d):
    """\\Seen of a mailbox that is another's is each user's own."""
    c.must("SETACL box60 joe lrs")
    name = "Other Users/fred/box60"
    n = listed(d, name, "MESSAGES UNSEEN")[name]
    ok(n["UNSEEN"] == n["MESSAGES"], "joe has seen nothing")
    d.must('SELECT "%s"' % name)
    d.must(r"STORE 1 +FLAGS.SILENT (\Seen)")
    d.must("UNSELECT")
    m = listed(d, name, "MESSAGES UNSEEN")[name]
    ok(int(m["UNSEEN"]) == int(n["UNSEEN"]) - 1, "and now one")
    c.must("SETACL box60 joe l")
    ok(listed(d, name) == {}, "no STATUS without the right r")


with Backend(users=["fred", "joe"]) as b:
    c = b.client("fred")
    fill(c)
    first = test(c, "open")
    b.stop(signal.SIGKILL)
    b.start()
    c = b.client("fred")
    ok(test(c, "after a crash") == first, "nothing has changed")
    test_changes(c)
    test_others(c, b.client("joe"))
    for bad in ("STATUS box0", "STATUS box0 ()", "STATUS box0 (NOSUCH)",
                'LIST "" * RETURN (STATUS)', 'LIST "" * RETURN (STATUS ())'):
        has(c.do(bad), r"^a\d+ BAD", bad)
plan()
