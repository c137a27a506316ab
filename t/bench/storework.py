"""What is asked of a mail store when it is measured: one IMAP client that
sends commands whole and times their answers.

Every work takes an address and a user, and gives numbers; t/bench/run does it
itself, or has t/bench/cyrus_peer.py do it where Cyrus is.
"""
import base64
import random
import socket
import statistics
import time

WAIT_SECONDS = 600
BATCH = 200  # messages of one APPEND
WORDS = ("murder of crows sings over the quiet harbour while seven ships "
         "wait for wind and nobody counts what the tide has taken").split()
PADDING = "".join(" ".join(WORDS[(i * 7 + k) % len(WORDS)] for k in range(
    0, 33, 3)) + "\r\n" for i in range(1000))


class Failed(Exception):
    pass


class Client:
    def __init__(self, address, user=None):
        host, port = address.rsplit(":", 1)
        self.sock = socket.create_connection((host, int(port)), WAIT_SECONDS)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        self.count = 0
        self.until(b"*")
        if user is not None:
            self.command("LOGIN %s password" % user)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.sock.close()

    def until(self, begin):
        """All that comes, until a line that begins so has ended it."""
        said, tail = [], b""
        while True:
            some = self.sock.recv(1 << 18)
            if some == b"":
                raise Failed("connection lost: %r" % tail[-200:])
            said.append(some)
            tail = tail[-400:] + some
            last = tail[:-2].rsplit(b"\n", 1)[-1]
            if some.endswith(b"\n") and last.startswith(begin):
                return b"".join(said)

    def command(self, text, want=b"OK"):
        """Its answer, with the tagged line."""
        self.count += 1
        tag = b"t%d" % self.count
        if isinstance(text, str):
            text = text.encode()
        self.sock.sendall(tag + b" " + text + b"\r\n")
        said = self.until(tag + b" ")
        last = said[:-2].rsplit(b"\r\n", 1)[-1]
        if not last.startswith(tag + b" " + want):
            raise Failed("%r: %r" % (text[:80], last))
        return said

    def timed(self, texts):
        """Milliseconds for all of these, sent at once."""
        first = self.count + 1
        lines = []
        for text in texts:
            self.count += 1
            if isinstance(text, str):
                text = text.encode()
            lines.append(b"t%d %s\r\n" % (self.count, text))
        data = b"".join(lines)
        began = time.perf_counter()
        self.sock.sendall(data)
        said = self.until(b"t%d " % self.count)
        took = (time.perf_counter() - began) * 1000
        for n in (first, self.count):
            if (b"\nt%d OK" % n) not in b"\n" + said:
                raise Failed("%r: %r" % (texts[-1], said[-200:]))
        return took

    def has(self, capability):
        said = self.command("CAPABILITY").upper().split()
        return capability.upper().encode() in said


def message(i, size, rng):
    words = " ".join(rng.choice(WORDS) for _ in range(5))
    text = ("From: \"Sender %d\" <sender%d@example.org>\r\n"
            "To: user@example.org\r\nSubject: %s %d\r\n"
            "Message-ID: <%d.%x@bench.example.org>\r\n"
            "In-Reply-To: <%d@bench.example.org>\r\n"
            "Date: Sun, 22 Nov 2026 01:%02d:%02d +0000\r\n"
            "MIME-Version: 1.0\r\n" % (
                i % 97, i % 97, words, i, i, rng.getrandbits(64), i // 7,
                i // 60 % 60, i % 60))
    if i % 4 == 0:
        text += ("Content-Type: multipart/mixed; boundary=b%d\r\n\r\n"
                 "--b%d\r\nContent-Type: text/plain\r\n\r\n%s\r\n--b%d\r\n"
                 "Content-Type: application/pdf; name=x.pdf\r\n"
                 "Content-Transfer-Encoding: base64\r\n\r\n%s\r\n--b%d--\r\n" %
                 (i, i, words, i,
                  base64.b64encode(words.encode()).decode(), i))
    else:
        text += "Content-Type: text/plain\r\n\r\n"
    while len(text) < min(size, 2000):
        text += " ".join(rng.choice(WORDS) for _ in range(11)) + "\r\n"
    while len(text) < size:
        text += PADDING[:size - len(text) - 2] + "\r\n"
    return text.encode()


def fill(address, user, mailbox, count, size):
    """Messages; every hundredth is flagged."""
    rng = random.Random(count)
    with Client(address, user) as c:
        c.command("CREATE " + mailbox, b"")
        for first in range(0, count, BATCH):
            put(c, mailbox, [message(i, size, rng) for i in range(
                first, min(count, first + BATCH))])
        c.command("SELECT " + mailbox)
        c.command("STORE %s +FLAGS.SILENT (\\Flagged)" % ",".join(
            str(n) for n in range(1, count + 1, 100)))
    return {}


def put(c, mailbox, messages):
    """Milliseconds: of one APPEND, or of many at once, without MULTIAPPEND."""
    each = [b" {%d+}\r\n%s" % (len(m), m) for m in messages]
    if c.has("MULTIAPPEND"):
        each = [b"".join(each)]
    # Their answers are short: they wait in the socket until all is sent.
    return c.timed([b"APPEND " + mailbox.encode() + e for e in each])


def multiappend(address, user, mailbox, count, size, reps):
    """Messages a second."""
    rng = random.Random(1)
    rates = []
    with Client(address, user) as c:
        c.command("CREATE " + mailbox, b"")
        for rep in range(reps):
            batch = [message(rep * count + i, size, rng)
                     for i in range(count)]
            rates.append(count * 1000 / put(c, mailbox, batch))
    return {"rate": statistics.median(rates)}


def pour(address, user, mailbox, count, size):
    """Messages of much the same, without waiting for each."""
    rng = random.Random(1)
    same = message(1, size, rng)
    with Client(address, user) as c:
        c.command("CREATE " + mailbox, b"")
        for first in range(0, count, BATCH):
            put(c, mailbox, [same] * min(BATCH, count - first))
    return {}


def mailboxes(address, user, count):
    with Client(address, user) as c:
        for i in range(count):
            c.command("CREATE box%d" % i)
            put(c, "box%d" % i, [b"Subject: %d\r\n\r\nx\r\n" % i])
    return {}


def commands(address, user, before, texts, reps, anew=False):
    """Milliseconds until texts are answered; the median of reps."""
    took = []
    c = None
    for _ in range(reps):
        if c is None or anew:
            if c is not None:
                c.sock.close()
            c = Client(address, user)
            for text in before:
                c.command(text)
        took.append(c.timed(texts))
    c.sock.close()
    return {"ms": statistics.median(took)}


def resync(address, user, mailbox, changes, reps):
    """Milliseconds of a SELECT that learns so many changes."""
    took = []
    for rep in range(reps):
        with Client(address, user) as c:
            c.command("ENABLE QRESYNC")
            said = c.command("SELECT " + mailbox)
            exists = int(said.split(b" EXISTS")[0].rsplit(b" ", 1)[1])
            valid = number(said, b"[UIDVALIDITY ")
            modseq = number(said, b"[HIGHESTMODSEQ ")
            step = exists // changes
            some = [str(n) for n in range(1 + rep, exists, step)][:changes]
            c.command("STORE %s +FLAGS.SILENT (mark%d)" % (
                ",".join(some[::2]), rep))
            c.command("STORE %s +FLAGS.SILENT (\\Deleted)" % ",".join(
                some[1::2]))
            c.command("EXPUNGE")
        with Client(address, user) as c:
            c.command("ENABLE QRESYNC")
            took.append(c.timed(["SELECT %s (QRESYNC (%d %d))" % (
                mailbox, valid, modseq)]))
    return {"ms": statistics.median(took)}


def number(said, word):
    return int(said.split(word)[1].split(b"]")[0])


WORKS = {f.__name__: f for f in (fill, multiappend, pour, mailboxes,
                                 commands, resync)}


def do(work, address, **more):
    return WORKS[work](address, **more)
