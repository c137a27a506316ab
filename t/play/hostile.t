#!/usr/bin/python3
"""Bad input: a clear answer, bounded memory and time, others unharmed.

All through a frontend, where not said otherwise.  A bystander with a session
of its own asks for something after each attack.
"""
import os
import socket
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "lib"))
from backend import Raw, tap  # noqa: E402
from daemon import BIN  # noqa: E402
from murder import Murder, deliver, plain  # noqa: E402
from wire import Wire  # noqa: E402

DEEP = 100 * 1000
MANY = 1000 * 1000
LONGEST = 30  # seconds that the bystander may wait for an answer
GROWTH = 100 * 1000  # kB that a process may grow by in all of this
HEAD = b"From: a@example.org\r\nSubject: hostile\r\nMIME-Version: 1.0\r\n"


def instrumented():
    """A sanitizer's own memory would be counted."""
    with open(os.path.join(BIN, "backendd"), "rb") as f:
        return b"__asan_init" in f.read()


class Bystander:
    def __init__(self, m):
        self.m = m
        self.w = Wire(*m.address("IMAP"), user="user1")
        self.w.want("SELECT INBOX")
        self.first = dict(self.sizes())

    def sizes(self):
        for name in ("backend1", "frontend1", "mupdate"):
            for title, _ in self.m.children(name):
                yield (name, title), self.m.resident(name, title)

    def ask(self, after):
        start = time.monotonic()
        good = self.w.ask("NOOP")[1].startswith("OK") and \
            self.w.ask("STATUS Sent (MESSAGES)")[1].startswith("OK")
        took = time.monotonic() - start
        tap.ok(good and took < LONGEST,
               "%s: others are served" % after)

    def done(self, pids):
        tap.equal(sorted(self.m.children("backend1") +
                         self.m.children("frontend1")), pids,
                  "no process died")
        for key, size in self.sizes():
            grown = size - self.first.get(key, 0)
            if instrumented():
                continue
            tap.ok(grown < GROWTH, "%s of %s grew by %d kB at most" % (
                key[1], key[0], grown))


def answered(line, words):
    return any(line.startswith(w) if w.isdigit() else w in line
               for w in words)


def refused(m, what, port, octets, words, user=None):
    """Sent raw, it is answered by one of these words, or the end."""
    r = Raw(port)
    try:
        r.line()
        if user:
            r.ask("l", "LOGIN %s password" % user)
        try:
            r.send(octets)
        except OSError:
            pass  # closed before it took all
        lines = []
        while True:
            line = r.line()
            lines.append(line)
            if line == "" or answered(line, words):
                break
    except ConnectionError:
        lines.append("")
    finally:
        r.close()
    tap.ok(answered(lines[-1], words), "%s: %s" % (what, lines[-1][:60]))


def commands(m, by):
    ports = {"frontend": m.address("IMAP")[1],
             "backend": m.address("IMAP", "backend1")[1]}
    bye = ("BYE",)
    no = (" NO", " BAD", "BYE")
    for where, port in ports.items():
        for what, octets, words, user in (
                ("a line of 2 MB", b"a NOOP " + b"x" * 2000000 + b"\r\n",
                 no, None),
                ("a line without end", b"x" * 2000000, no, None),
                ("a NUL", b"a NO\0OP\r\n", no, None),
                ("a lone LF", b"a NOOP\nb NOOP\n", no, None),
                ("a lone CR", b"a NOOP\rb NOOP\r\n", no, None),
                ("empty lines", b"\r\n" * 100, no, None),
                ("a literal of 2^32", b"a LOGIN {4294967296}\r\n", no, None),
                ("a literal of 2^64", b"a LOGIN {18446744073709551616}\r\n",
                 no, None),
                ("a literal of 10^40", b"a LOGIN {1" + b"0" * 40 + b"}\r\n",
                 no, None),
                ("{n+} of 4 GB", b"a LOGIN {4294967295+}\r\n" + b"x" * 100000,
                 bye, None),
                ("APPEND of 4 GB", b"a APPEND INBOX {4294967295}\r\n",
                 ("NO [TOOBIG]", " BAD", "BYE"), "user1"),
                ("APPEND {n+} of 4 GB",
                 b"a APPEND INBOX {4294967295+}\r\n" + b"x" * 100000,
                 no, "user1"),
                ("a NUL in APPEND",
                 b"a APPEND INBOX {10+}\r\nA: b\r\n\r\n\0y\r\n", no, "user1"),
                ("a NUL in a large APPEND", b"a APPEND INBOX {100000+}\r\n" +
                 b"x" * 99999 + b"\0\r\n", no, "user1"),
                ("many literals", b"a LIST " + b"{1+}\r\nx " * 100000,
                 no, "user1"),
                ("parentheses", b"a SELECT INBOX\r\nb SEARCH " +
                 b"(" * 60000 + b"\r\n", ("b NO", "b BAD", "BYE"), "user1"),
                ("NOT NOT", b"a SELECT INBOX\r\nb SEARCH " +
                 b"NOT " * 15000 + b"ALL\r\n", ("b ", "BYE"), "user1"),
                ("OR OR", b"a SELECT INBOX\r\nb SEARCH " + b"OR " * 15000 +
                 b"ALL " * 5000 + b"\r\n", ("b NO", "b BAD", "BYE"),
                 "user1"),
                ("a long set", b"a SELECT INBOX\r\nb FETCH " +
                 b"1:4294967295," * 5000 + b"1 FLAGS\r\n", ("b ", "BYE"),
                 "user1"),
                ("stars", b"b LIST \"\" \"" + b"*a%" * 15000 + b"\"\r\n",
                 ("b ", "BYE"), "user1"),
                ("a deep name", b"b CREATE " + b"a/" * 20000 + b"a\r\n",
                 ("b NO", "b BAD", "BYE"), "user1"),
                ("a long name", b"b CREATE " + b"a" * 60000 + b"\r\n",
                 ("b NO", "b BAD", "BYE"), "user1")):
            refused(m, "%s: %s" % (where, what), port, octets, words, user)
        by.ask("commands at a " + where)


def lmtp(m, by):
    for where, name in (("frontend", None), ("backend", "backend1")):
        port = m.address("LMTP", name)[1]
        begin = b"LHLO x\r\nMAIL FROM:<a@x.org>\r\n" \
            b"RCPT TO:<user2@x.org>\r\nDATA\r\n"
        for what, octets, words in (
                ("a line of 2 MB", b"NOOP " + b"x" * 2000000 + b"\r\n",
                 ("500", "421")),
                ("a NUL", b"NO\0OP\r\n", ("500", "421")),
                ("a lone LF in DATA", begin + b"x\n.\nMAIL FROM:<b@x>\r\n"
                 b".\r\n", ("550", "554", "500")),
                ("a NUL in DATA", begin + b"x\0y\r\n.\r\n",
                 ("550", "554", "500")),
                ("many recipients", b"LHLO x\r\nMAIL FROM:<a@x.org>\r\n"
                 + b"RCPT TO:<user2@x.org>\r\n" * 5000, ("452", "421")),
                ("MAIL with a long name", b"LHLO x\r\nMAIL FROM:<" +
                 b"a" * 60000 + b"@x.org>\r\n", ("500", "501", "553"))):
            refused(m, "%s: LMTP: %s" % (where, what), port, octets, words)
    by.ask("LMTP")


def sieve(m, by):
    login = ('AUTHENTICATE "PLAIN" "%s"\r\n' % plain("user1")).encode()

    def put(text):
        return login + b'PUTSCRIPT "x" {%d+}\r\n%s\r\n' % (len(text), text)

    port = m.address("SIEVE")[1]
    for what, octets in (
            ("a long line", login + b"x" * 1000000 + b"\r\n"),
            ("a literal of 4 GB", login + b'PUTSCRIPT "x" {4294967295+}\r\n'),
            ("nothing but if", put(b"if " * 80000)),
            ("if in if", put(b"if true { " * 20000 + b"}" * 20000)),
            ("anyof in anyof", put(b"if " + b"anyof(" * 30000 + b"true" +
                                   b")" * 30000 + b" { keep; }")),
            ("not not", put(b"if " + b"not " * 50000 + b"true { keep; }")),
            ("elsif", put(b"if true { } " + b"elsif true { } " * 15000 +
                          b"x;")),
            ("brackets", put(b"keep " + b"[" * 200000)),
            ("a comment without end", put(b"/*" * 100000)),
            ("a NUL", put(b"keep;\0"))):
        r = Raw(port)
        text = b""
        try:
            try:
                r.send(octets)
            except OSError:
                pass
            while b"NO" not in text and b"BYE" not in text:
                line = r.file.readline()
                if line == b"":
                    break
                if not line.startswith((b'"', b"OK")):
                    text += line
        except ConnectionError:
            pass
        r.close()
        tap.ok(b"NO" in text or b"BYE" in text,
               "ManageSieve: %s: %r" % (what, text[:60]))
    by.ask("ManageSieve")


def nested(kind):
    if kind == "multipart":
        parts = b"".join(b"Content-Type: multipart/mixed; boundary=%d\r\n"
                         b"\r\n--%d\r\n" % (n, n) for n in range(DEEP))
        return HEAD + parts + b"\r\ndeep\r\n"
    return HEAD + b"Content-Type: message/rfc822\r\n\r\n" * DEEP + b"deep\r\n"


MESSAGES = [
    ("nested multiparts", lambda: nested("multipart")),
    ("nested messages", lambda: nested("message")),
    ("a million header fields",
     lambda: HEAD + b"X: y\r\n" * MANY + b"\r\nbody\r\n"),
    ("a million addresses",
     lambda: HEAD + b"To: " + b"a@b.org,\r\n " * MANY + b"a@b\r\n\r\nx\r\n"),
    ("a million parts",
     lambda: HEAD + b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" +
     b"--b\r\n\r\n" * MANY + b"--b--\r\n"),
    ("a million parameters",
     lambda: HEAD + b"Content-Type: text/plain" + b";\r\n a=b" * MANY +
     b"\r\n\r\nx\r\n"),
    ("a field of 8 MB",
     lambda: HEAD + b"X-Long: " + b"x" * 8000000 + b"\r\n\r\nbody\r\n"),
    ("a boundary of 1 MB",
     lambda: HEAD + b"Content-Type: multipart/mixed; boundary=\"" +
     b"b" * MANY + b"\"\r\n\r\n--" + b"b" * MANY + b"\r\n\r\nx\r\n"),
    ("nested comments",
     lambda: HEAD + b"To: " + b"(" * MANY + b"\r\n\r\nx\r\n"),
    ("a million References",
     lambda: HEAD + b"References:" + b" <a@b>" * MANY + b"\r\n\r\nx\r\n"),
]


def messages(m, by):
    w = Wire(*m.address("IMAP"), user="user2")
    w.want("SELECT INBOX")
    before = len(list(w.fetch("1:*", "UID", uid=True)))
    mx = m.lmtp()
    for n, (what, make) in enumerate(MESSAGES, before + 1):
        octets = make()
        codes = deliver(mx, ["user2@example.org"], octets)
        if not tap.equal(codes, [250], what + ": is delivered"):
            if codes != [250]:
                continue
        w.want("NOOP")
        items = next(w.fetch(n, "(RFC822.SIZE)"))[1]
        size = int(items[b"RFC822.SIZE"])
        for item in ("ENVELOPE", "BODYSTRUCTURE",
                     "BODY.PEEK[HEADER.FIELDS (SUBJECT)]",
                     "BODY.PEEK[1.1.1.1]", "BODY.PEEK[1.MIME]"):
            found, last = w.ask("FETCH %d %s" % (n, item))
            tap.ok(last.startswith("OK") and sum(map(len, found)) < 4 * size,
                   "%s: %s: %d octets, %s" % (
                       what, item, sum(map(len, found)), last[:20].strip()))
        found = w.want("SEARCH SUBJECT hostile BODY deeper")
        tap.ok(any(f.startswith(b"* SEARCH") for f in found),
               what + ": SEARCH")
        got = next(w.fetch(n, "BODY.PEEK[]"))[1][b"BODY[]"]
        tap.ok(got.endswith(octets), what + ": back octet for octet")
        by.ask(what)
    mx.quit()
    w.close()


def never_read(m, by):
    """They ask for 20 MB each, again and again, and read nothing."""
    w = Wire(*m.address("IMAP"), user="user1")
    for _ in range(10):
        w.append("Sent", HEAD + b"\r\n" + (b"x" * 98 + b"\r\n") * 20000)
    held = []
    for name in ("frontend1", "backend1"):
        for _ in range(15):
            r = Raw(m.address("IMAP", name)[1])
            r.line()
            r.ask("l", "LOGIN user1 password")
            r.ask("s", "SELECT Sent")
            r.sock.setblocking(False)
            try:
                for n in range(200):
                    r.sock.send(b"f%d FETCH 1:* BODY.PEEK[]\r\n" % n)
            except BlockingIOError:
                pass
            held.append(r)
    for n in range(5):
        by.ask("clients that never read, time %d" % n)
    found = w.ask("STATUS Sent (MESSAGES)")[1]
    tap.ok(found.startswith("OK"), "the same user is served")
    for r in held:
        r.sock.close()
        r.file.close()
    w.close()


def never_write(m, by):
    """They connect, or say a little, and are sent away in time."""
    held = []
    for what in ("IMAP", "LMTP", "SIEVE"):
        for n in range(50):
            s = socket.create_connection(m.address(what))
            s.settimeout(60)
            s.sendall(b"a LOG"[:n % 6])
            held.append((what, s))
    by.ask("150 silent clients")
    closed = 0
    for what, s in held:
        if what == "IMAP":
            try:
                while s.recv(4096):
                    pass
                closed += 1
            except ConnectionError:
                closed += 1
            except TimeoutError:
                pass
        s.close()
    tap.equal(closed, 50, "those who do not log in are sent away")
    by.ask("after them")


with Murder(backends=1, frontends=1, users=2,
            settings=["proxyd:login_timeout = 5s"]) as murder:
    pids = sorted(murder.children("backend1") + murder.children("frontend1"))
    bystander = Bystander(murder)
    only = sys.argv[1:]
    for part in (commands, lmtp, sieve, messages, never_read, never_write):
        if not only or part.__name__ in only:
            try:
                part(murder, bystander)
            except (AssertionError, EOFError, OSError, StopIteration,
                    ValueError) as e:
                tap.ok(False, "%s: %r" % (part.__name__, e))
    bystander.done(pids)
tap.done()
