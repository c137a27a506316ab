#!/usr/bin/env python3
"""A long FETCH of messages whose summaries have to be made: they are made
ahead of what the client has taken, though not far ahead.  Meanwhile others
expunge messages, change flags and delete the mailbox, and the client goes
away."""
import os
import re
import socket
import struct
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "lib"))
from backend import Backend  # noqa
from imap import Client, equal, has, ok, plan  # noqa

# What is on its way to a client that does not read is 4 MB at most.
COUNT, LONG, BATCH = 1600, 8000, 200
SUBJECT = b"Subject: " + b"x" * LONG + b" %d\r\n\r\ntext\r\n"

server = Backend(users=["joe"])


def fill(c, box):
    c.must("CREATE " + box)
    for first in range(1, COUNT + 1, BATCH):
        each = [SUBJECT % i for i in range(first, first + BATCH)]
        c.must(b"APPEND " + box.encode() +
               b"".join(b" {%d+}\r\n%s" % (len(m), m) for m in each))


def caches():
    for path, _, names in os.walk(server.path("spool")):
        for name in names:
            if name == "cache":
                yield os.path.join(path, name)


def forget():
    for path in caches():
        with open(path, "r+b") as f:
            f.write(b"\xff" * os.path.getsize(path))


def remade():
    """The part of the summaries up to the last that was made again."""
    total = kept = 0
    for path in caches():
        with open(path, "rb") as f:
            octets = f.read()
        total += len(octets)
        kept += len(octets.rstrip(b"\xff"))
    return kept / total


def another(box):
    c = Client(server.imap_port, "joe")
    c.must("SELECT " + box)
    return c


def begin(c, command):
    forget()
    tag = c.begin(command)
    first = c.line()
    ok(first.startswith("* 1 FETCH "), "%s: it begins" % command)
    return tag, first


def numbers(lines):
    found = (re.match(r"\* (\d+) FETCH \(.*x (\d+)", x, re.S) for x in lines)
    return [(int(m.group(1)), int(m.group(2))) for m in found if m]


def some_went(lines, gone):
    """In order, each once, under its number; gone are those that are not."""
    got = numbers(lines)
    equal([n for n, m in got], [m for n, m in got], "each has its number")
    equal([n for n, _ in got],
          [n for n in range(1, COUNT + 1) if n not in gone],
          "all come in order, but for those that are gone")


def expunges(lines):
    return [int(x.split()[1]) for x in lines if x.endswith(" EXPUNGE")]


def test_expunge(d):
    c = another("one")
    tag, first = begin(c, "FETCH 1:* (ENVELOPE)")
    d.must("SELECT one")
    d.must(r"STORE 1500:1509,1600 +FLAGS.SILENT (\Deleted)")
    d.must("EXPUNGE")
    ok(remade() < 0.75, "a client that does not read stops it")
    lines = c.end(tag)
    has(lines[-1:], r"^a\d+ NO \[EXPUNGEISSUED\]", "some have gone")
    gone = [*range(1500, 1510), 1600]
    some_went([first] + lines, gone)
    equal(expunges(lines), [], "no EXPUNGE meanwhile")
    equal(sorted(expunges(c.must("NOOP"))), gone, "but then")
    c.close()


def test_uid(d):
    c = another("two")
    tag, first = begin(c, "UID FETCH 1:* (FLAGS ENVELOPE)")
    d.must("SELECT two")
    d.must(r"STORE 140,1400:1405 +FLAGS.SILENT (\Flagged)")
    d.must(r"STORE 1500:1509 +FLAGS.SILENT (\Deleted)")
    d.must("EXPUNGE")
    lines = c.end(tag)
    has(lines[-1:], r"^a\d+ OK ", "UIDs that are gone are no failure")
    flags = {}
    for x in lines:
        m = re.match(r"\* (\d+) FETCH \(.*?FLAGS \(([^)]*)\)", x, re.S)
        if m:
            flags[int(m.group(1))] = m.group(2)
    equal(sorted(n for n in flags if "Flagged" in flags[n]),
          [140, *range(1400, 1406)],
          "flags changed ahead of what was sent and behind that")
    gone = [*range(1500, 1510)]
    some_went([first] + lines, gone)
    last = [i for i, x in enumerate(lines) if "ENVELOPE" in x][-1]
    equal(sorted(expunges(lines[last:])), gone, "EXPUNGE comes behind them")
    equal(expunges(lines[:last]), [], "and not before")
    c.close()


def cut(c):
    c.s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                   struct.pack("ii", 1, 0))
    c.close()


def test_cut(d):
    for lines in (0, 1, 127, 129, 300):
        c = another("three")
        forget()
        c.begin("FETCH 1:* (ENVELOPE BODY)")
        for _ in range(lines):
            c.line()
        cut(c)
        has(d.must("STATUS three (MESSAGES)"), r"MESSAGES %d\b" % COUNT,
            "cut off after %d" % lines)
    d.must("SELECT three")
    equal([n for n, _ in numbers(d.must("FETCH 1:* (ENVELOPE)"))],
          list(range(1, COUNT + 1)), "another has all of them")


def test_seen(d):
    """Only of what is sent, or next to be."""
    c = another("three")
    begin(c, "FETCH 1:* (ENVELOPE BODY[TEXT])")
    cut(c)
    d.must("SELECT three")
    r = d.must("SEARCH SEEN")
    seen = [int(n) for n in r[0].split()[2:]] if len(r) > 1 else []
    equal(seen, list(range(1, len(seen) + 1)), "those that came first")
    ok(len(seen) < COUNT, "what was never sent is not seen")


def test_delete(d):
    c = another("three")
    tag, _ = begin(c, "FETCH 1:* (ENVELOPE)")
    d.must("SELECT INBOX")
    delete = d.begin("DELETE three")  # waits for who has it open
    try:
        last = c.end(tag)[-1]
    except EOFError:
        last = "* BYE"
    ok(re.match(r"a\d+ NO|\* BYE", last), "deleted meanwhile: %s" % last)
    has(d.end(delete)[-1:], r"^a\d+ OK ", "it is deleted")


with server:
    d = server.client("joe")
    for box in ("one", "two", "three"):
        fill(d, box)
    for test in (test_expunge, test_uid, test_cut, test_seen, test_delete):
        test(d)
plan()
