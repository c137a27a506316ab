#!/usr/bin/env python3
"""STARTTLS in each protocol: what came in the clear behind it is not obeyed
under TLS, whatever it was and wherever it was cut; and handshakes that are
none, cut short or held up harm nobody else."""
import os
import ssl
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "lib"))
from murder import Murder, plain  # noqa: E402
from net import connect  # noqa: E402
from tap import tap  # noqa: E402

SECONDS = 60


class Line:
    """A connection that speaks lines, and TLS later on."""

    def __init__(self, address):
        self.sock = connect(address, SECONDS)
        self.file = self.sock.makefile("rb")

    def send(self, octets):
        self.sock.sendall(octets)

    def until(self, *starts):
        """The line that begins so, or b"" at the end."""
        while True:
            line = self.file.readline()
            if line == b"" or line.startswith(starts):
                return line

    def secure(self, m):
        context = ssl.create_default_context(
            cafile=m.path("tls", "cert.pem"))
        context.check_hostname = False
        self.file.close()
        self.sock = context.wrap_socket(self.sock)
        self.file = self.sock.makefile("rb")

    def close(self):
        self.file.close()
        self.sock.close()


class Imap:
    hello, start, started = (b"* OK",), b"a STARTTLS\r\n", b"a OK"
    greeted = ()  # by the server when TLS is on
    tails = [b"b LOGIN user1 password\r\n", b"b LOG", b"b NOOP {1}\r\n",
             b"b LOGIN {5+}\r\nuser1 {8+}\r\npass", b"b NOOP\r\n" * 90]
    probe, answers = b"c LIST \"\" *\r\n", (b"b ", b"c ", b"* BYE")
    refused = b"c BAD"

    def before(self, line):
        line.until(*self.hello)


class Lmtp(Imap):
    hello, start, started = (b"220 ",), b"STARTTLS\r\n", b"220 "
    tails = [b"LHLO x\r\nMAIL FROM:<a@x>\r\nRCPT TO:<user1@x>\r\nDATA\r\n",
             b"LHLO x\r\nMAIL FR", b"DATA\r\n", b"NOOP\r\n" * 90]
    probe, answers = b"RCPT TO:<user1@x>\r\n", (b"2", b"3", b"4", b"5")
    refused = b"503"

    def before(self, line):
        """What was said in the clear is forgotten, too (RFC 3207 4.2)."""
        line.until(b"220 ")
        line.send(b"LHLO x\r\nMAIL FROM:<a@x>\r\n")
        line.until(b"250 ")
        line.until(b"250 ")


class ManageSieve(Imap):
    hello, start, started = (b"OK",), b"STARTTLS\r\n", b"OK"
    greeted = (b"OK",)
    tails = [b'AUTHENTICATE "PLAIN" "%s"\r\n' % plain("user1").encode(),
             b'AUTHENTICATE "PLAIN" {99+}\r\nxyz', b"NOO", b"NOOP\r\n" * 90]
    probe, answers = b"LISTSCRIPTS\r\n", (b"OK", b"NO", b"BYE", b'"')
    refused = b"NO"


class Mupdate(Imap):
    hello = (b"* OK",)
    greeted = (b"* OK",)
    tails = [b'b AUTHENTICATE "PLAIN" "%s"\r\n' % plain("user1").encode(),
             b'b FIND "us', b'b FIND {4+}\r\nus', b"b NOOP\r\n" * 90]
    probe, answers = b'c FIND "user.user1"\r\n', (b"b ", b"c ", b"* BYE")
    refused = b"c NO"


def injected(m, title, address, how):
    """All in one packet: whole commands, and some that are cut."""
    for tail in how.tails:
        line = Line(address)
        how.before(line)
        line.send(how.start + tail)
        tap.ok(line.until(how.started) != b"", "%s: STARTTLS" % title)
        line.secure(m)
        if how.greeted:
            line.until(*how.greeted)
        line.send(how.probe)
        got = line.until(*how.answers)
        if not tap.ok(got.startswith(how.refused), "%s: %r is not obeyed" %
                      (title, tail[:30])):
            print("# %r" % got)
        line.close()


def client_hello(m):
    """The first octets of a handshake."""
    come, go = ssl.MemoryBIO(), ssl.MemoryBIO()
    context = ssl.create_default_context(cafile=m.path("tls", "cert.pem"))
    conn = context.wrap_bio(come, go, server_hostname="localhost")
    try:
        conn.do_handshake()
    except ssl.SSLWantReadError:
        pass
    return go.read()


def begin(address, how):
    line = Line(address)
    how.before(line)
    line.send(how.start)
    line.until(how.started)
    return line


def no_handshake(m, title, address, how):
    hello = client_hello(m)
    held = [begin(address, how) for _ in range(5)]
    for i, line in enumerate(held):
        line.send(hello[:i * 50])
    for octets in (b"a NOOP\r\n" * 100, b"\x16\x03\x01\xff\xff" + b"\0" * 70000,
                   bytes(range(256)) * 10, b"\x80\x2e\x01\0\x02" + b"x" * 500,
                   hello + b"\x17\x03\x03\0\x05hello", hello + hello):
        line = begin(address, how)
        try:
            line.send(octets)
            ended = line.until(b"no such line") == b""
        except ConnectionError:
            ended = True
        tap.ok(ended, "%s: %r is no handshake" % (title, octets[:8]))
        line.close()
    for n in (0, 1, 100, len(hello)):
        line = begin(address, how)
        line.send(hello[:n])
        line.close()
    line = begin(address, how)
    line.secure(m)
    tap.ok(line.sock.version() is not None,
           "%s: others are not held up" % title)
    line.close()
    for line in held:
        line.close()


with Murder(backends=1, users=1) as m:
    where = [("backend IMAP", m.address("IMAP", "backend1"), Imap()),
             ("backend LMTP", m.address("LMTP", "backend1"), Lmtp()),
             ("frontend IMAP", m.address("IMAP"), Imap()),
             ("frontend LMTP", m.address("LMTP"), Lmtp()),
             ("ManageSieve", m.address("SIEVE"), ManageSieve()),
             ("MUPDATE", tuple(m.run.plan["mupdate"].split(":")), Mupdate())]
    for title, address, how in where:
        address = (address[0], int(address[1]))
        injected(m, title, address, how)
        no_handshake(m, title, address, how)
    for name in ("backend1", "frontend1", "mupdate"):
        wrong = [x for x in m.log(name).split("\n")
                 if "panic" in x or "Sanitizer" in x or "child died" in x]
        tap.equal(wrong, [], name + ": nothing went wrong inside")
tap.done()
