#!/usr/bin/python3
"""Hundreds of real messages, by LMTP and APPEND: back octet for octet.

For each: ENVELOPE and BODYSTRUCTURE are served and parse, the structure is
that which Python's email package sees where that finds no defect, and every
part has the size that the structure says.
"""
import email
import os
import re
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "lib"))
from backend import tap  # noqa: E402
from murder import Murder, deliver  # noqa: E402
from wire import Wire  # noqa: E402

TOP = os.path.join(HERE, "..", "..")
FEWEST = 300
TRACE = re.compile(rb"(Return-Path: [^\r]*\r\n)?Received: [^\r]*\r\n"
                   rb"([ \t][^\r]*\r\n)*")
SHOWN = 5


def corpus():
    where = os.environ.get("CORPUS") or os.path.join(
        TOP, os.environ.get("B", "build"), "corpus-mail")
    subprocess.run([os.path.join(TOP, "t", "corpus"), where], check=True)
    found = []
    mail = os.path.join(where, "mail")
    for name in sorted(os.listdir(mail) if os.path.isdir(mail) else []):
        with open(os.path.join(mail, name), "rb") as f:
            found.append(f.read())
    return found


class Tally:
    """One TAP line for many messages; shows the first that are wrong."""

    def __init__(self, what):
        self.what = what
        self.good = 0
        self.bad = []

    def add(self, good, why):
        if good:
            self.good += 1
        else:
            self.bad.append(why)

    def done(self, fewest):
        tap.ok(not self.bad and self.good >= fewest,
               "%s: %d of %d" % (self.what, self.good,
                                 self.good + len(self.bad)))
        for why in self.bad[:SHOWN]:
            print("#", why)


def shape(body):
    """BODYSTRUCTURE as nested lists of lower-case media types."""
    if isinstance(body[0], list):
        count = next(i for i, p in enumerate(body) if not isinstance(p, list))
        return [shape(p) for p in body[:count]]
    kind = (body[0] + b"/" + body[1]).decode("ascii", "replace").lower()
    if kind == "message/rfc822":
        return [kind, shape(body[8])]
    return kind


def python_shape(mail):
    if mail.is_multipart():
        below = [python_shape(p) for p in mail.get_payload()]
        if mail.get_content_type() == "message/rfc822":
            return ["message/rfc822"] + below
        return below
    return mail.get_content_type()


def flawless(mail):
    """Whether what Python makes of it is beyond doubt."""
    kinds = [p.get_content_type() for p in mail.walk()]
    return not any(p.defects for p in mail.walk()) and \
        all(re.fullmatch(r"[\w.+-]+/[\w.+-]+", k) and
            (k == "message/rfc822" or not k.startswith("message/"))
            for k in kinds)


def leaves(body, section=""):
    """(section, octets) of each part that has a size."""
    if isinstance(body[0], list):
        for i, part in enumerate(body):
            if not isinstance(part, list):
                break
            yield from leaves(part, "%s%d." % (section, i + 1))
    else:
        yield (section or "1.").rstrip("."), int(body[6])


class Check:
    def __init__(self, how):
        self.back = Tally(how + ": back octet for octet")
        self.size = Tally(how + ": RFC822.SIZE")
        self.served = Tally(how + ": ENVELOPE and BODYSTRUCTURE")
        self.subject = Tally(how + ": the subject is Python's")
        self.shape = Tally(how + ": the structure is Python's")
        self.parts = Tally(how + ": parts are as large as it says")

    def message(self, want, trace, items):
        octets = items[b"BODY[]"]
        name = want[:60]
        self.size.add(int(items[b"RFC822.SIZE"]) == len(octets), name)
        if trace:
            octets = octets[TRACE.match(octets).end():]
        self.back.add(octets == want, name)
        envelope, body = items[b"ENVELOPE"], items[b"BODYSTRUCTURE"]
        self.served.add(len(envelope) == 10 and len(body) >= 2, name)
        mail = email.message_from_bytes(want)
        if mail["Subject"] is not None and want.isascii():
            self.subject.add(envelope[1] == mail["Subject"].replace(
                "\r\n", "").replace("\n", "").strip(" \t").encode(),
                (envelope[1], mail["Subject"]))
        if flawless(mail):
            self.shape.add(shape(body) == python_shape(mail),
                           (name, shape(body), python_shape(mail)))
        return body

    def done(self, count):
        self.back.done(count)
        self.size.done(count)
        self.served.done(count)
        self.subject.done(FEWEST // 2)
        self.shape.done(FEWEST // 2)
        self.parts.done(count)


def look(m, mailbox, messages, trace, how):
    w = Wire(*m.address("IMAP"), user="user1")
    w.want("SELECT " + mailbox)
    check = Check(how)
    bodies = {}
    for n, items in w.fetch("1:*", "(RFC822.SIZE ENVELOPE BODYSTRUCTURE "
                                   "BODY.PEEK[])"):
        if b"BODY[]" in items:
            bodies[n] = check.message(messages[n - 1], trace, items)
    for n, body in bodies.items():
        parts = list(leaves(body))
        ask = " ".join("BODY.PEEK[%s]" % s for s, _ in parts)
        got = next(iter(w.fetch(n, "(%s)" % ask)))[1]
        for section, size in parts:
            have = got[b"BODY[%s]" % section.encode()]
            check.parts.add(have is not None and len(have) == size and
                            have in messages[n - 1], (n, section, size))
    w.close()
    check.done(len(messages))


messages = corpus()
tap.ok(len(messages) >= FEWEST, "%d different messages" % len(messages))
with Murder(users=2) as murder:
    wire = Wire(*murder.address("IMAP"), user="user1")
    wire.want("CREATE corpus")
    answers = [wire.append("corpus", octets) for octets in messages]
    tap.ok(all(a.startswith("OK [APPENDUID") for a in answers), "APPEND: all")
    wire.close()
    lmtp = murder.lmtp()
    codes = [deliver(lmtp, ["user1@example.org"], o) for o in messages]
    tap.ok(all(c == [250] for c in codes), "LMTP: all")
    lmtp.quit()
    look(murder, "corpus", messages, False, "APPEND")
    look(murder, "INBOX", messages, True, "LMTP")
tap.done()
