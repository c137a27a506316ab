#!/usr/bin/env python3
"""A stand-alone backendd: COMPRESS=DEFLATE (RFC 4978), with and without TLS;
what does not inflate, and what inflates too much."""
import os
import re
import ssl
import sys
import zlib

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "lib"))
from backend import Backend, tap  # noqa
from daemon import children, resident  # noqa


class Squeezed:
    """A socket of which what is sent and what comes is compressed."""

    def __init__(self, sock):
        self.sock = sock
        self.out = zlib.compressobj(9, zlib.DEFLATED, -15)
        self.into = zlib.decompressobj(-15)
        self.have = b""
        self.raw_in = self.raw_out = 0

    def send(self, octets, flush=True):
        data = self.out.compress(octets)
        if flush:
            data += self.out.flush(zlib.Z_SYNC_FLUSH)
        self.raw_out += len(data)
        self.sock.sendall(data)

    def fill(self):
        data = self.sock.recv(65536)
        if not data:
            raise EOFError("connection lost")
        self.raw_in += len(data)
        self.have += self.into.decompress(data)

    def line(self):
        while b"\r\n" not in self.have:
            self.fill()
        line, self.have = self.have.split(b"\r\n", 1)
        return line

    def read(self, n):
        while len(self.have) < n:
            self.fill()
        octets, self.have = self.have[:n], self.have[n:]
        return octets

    def until(self, tag):
        lines = []
        while not lines or not lines[-1].startswith(tag + b" "):
            lines.append(self.line())
            m = re.search(rb"\{(\d+)\}$", lines[-1])
            if m:
                lines.append(self.read(int(m.group(1))))
        return lines


def plain_line(sock):
    line = b""
    while not line.endswith(b"\r\n"):
        octet = sock.recv(1)
        if not octet:
            raise EOFError("connection lost")
        line += octet
    return line


def plain(sock, command):
    """The lines up to the tagged one."""
    sock.sendall(command + b"\r\n")
    tag = command.split()[0] + b" "
    lines = []
    while not lines or not lines[-1].startswith(tag):
        lines.append(plain_line(sock))
    return lines


def begin(b, tls=False):
    """Logged in, and compressed."""
    c = b.imap()
    sock = c.sock
    if tls:
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        c.starttls(context)
        sock = c.sock
    plain(sock, b"a login fred password")
    lines = plain(sock, b"b capability")
    tap.ok(b" COMPRESS=DEFLATE" in lines[0], "COMPRESS=DEFLATE is offered")
    lines = plain(sock, b"c compress deflate")
    tap.ok(lines[-1].startswith(b"c OK"), "and begins")
    z = Squeezed(sock)
    z.owner = c  # or its socket is closed
    return z


def session(b, tls):
    z = begin(b, tls)
    z.send(b"d capability\r\n")
    lines = z.until(b"d")
    tap.ok(b"COMPRESS" not in lines[0] and lines[-1].startswith(b"d OK"),
           "behind it all is compressed")
    z.send(b"e compress deflate\r\n")
    tap.ok(z.until(b"e")[-1].startswith(b"e BAD"), "it begins once")
    text = b"".join(b"%d %s\r\n" % (i, os.urandom(20).hex().encode())
                    for i in range(40000))
    m = b"Subject: large\r\n\r\n" + text
    z.send(b"f append INBOX {%d+}\r\n" % len(m), flush=False)
    z.send(m, flush=False)
    z.send(b"\r\n")
    tap.ok(z.until(b"f")[-1].startswith(b"f OK"), "a large message comes in")
    z.send(b"g select INBOX\r\nh fetch * body[]\r\n")
    z.until(b"g")
    z.raw_in = 0
    lines = z.until(b"h")
    tap.ok(lines[1] == m and lines[-1].startswith(b"h OK"),
           "and goes out, octet for octet")
    tap.ok(z.raw_in < len(m) * 0.7, "compressed: %d of %d octets" %
           (z.raw_in, len(m)))
    m = b"Subject: nothing new\r\n\r\n" + b"0123456789abcdef\r\n" * 100000
    z.send(b"f2 append INBOX {%d+}\r\n%s\r\n" % (len(m), m))
    z.until(b"f2")
    z.raw_in = 0
    z.send(b"h2 fetch * body[]\r\n")
    lines = z.until(b"h2")
    tap.ok(m in lines and z.raw_in < 40000,
           "what says the same again and again: %d octets" % z.raw_in)
    for i in range(50):
        z.send(b"i%d noop\r\n" % i)
        if not z.until(b"i%d" % i)[-1].startswith(b"i%d OK" % i):
            tap.ok(False, "each command is answered")
    for octet in b"j noop\r\n":
        z.send(bytes([octet]))
    tap.ok(z.until(b"j")[-1].startswith(b"j OK"), "cuts do not matter")
    z.send(b"k idle\r\n")
    tap.ok(z.line().startswith(b"+"), "IDLE")
    z.send(b"done\r\n")
    tap.ok(z.until(b"k")[-1].startswith(b"k OK"), "and DONE")
    return z


def test_end_at_once(b):
    """The client ends its side with a last block, and goes on at once."""
    z = begin(b)
    z.sock.sendall(z.out.compress(b"d unauthenticate\r\n") +
                   z.out.flush(zlib.Z_FINISH) +
                   b"e login fred password\r\nf noop\r\n")
    said = b""
    while b"d OK" not in said:
        octet = z.sock.recv(1)
        if not octet:
            break
        said += z.into.decompress(octet)
    tap.ok(said.startswith(b"d OK"), "UNAUTHENTICATE in the last block")
    said = b""
    while b"f OK" not in said:
        data = z.sock.recv(65536)
        if not data:
            break
        said += data
    tap.ok(b"e OK" in said, "what follows it is not compressed")
    z = begin(b)
    z.send(b"d noop\r\n")
    z.until(b"d")
    z.sock.sendall(z.out.flush(zlib.Z_FINISH) + b"x" * 50000)
    tap.ok(lost(z), "an end that is none of UNAUTHENTICATE's is none")


def test_end(b):
    z = begin(b)
    z.send(b"d unauthenticate\r\n")
    tap.ok(z.until(b"d")[-1].startswith(b"d OK"), "UNAUTHENTICATE")
    lines = plain(z.sock, b"e login fred password")
    tap.ok(lines[-1].startswith(b"e OK"), "ends it (RFC 8437)")
    lines = plain(z.sock, b"f compress deflate")
    tap.ok(lines[-1].startswith(b"f OK"), "it may begin again")
    z = Squeezed(z.sock)
    z.send(b"g logout\r\n")
    tap.ok(z.line().startswith(b"* BYE"), "BYE is compressed")


def lost(z):
    try:
        while True:
            z.fill()
    except (EOFError, OSError, zlib.error):
        return True


def memory(b):
    """Octets that the store child has had."""
    return resident(dict(children(b.child.pid))["store"]) * 1024


def test_bombs(b):
    z = begin(b)
    z.sock.sendall(b"\xff\xff\xff\xff\xff\xff\xff\xff")
    tap.ok(lost(z), "what does not inflate ends the connection")
    z = begin(b)
    before = memory(b)
    bomb = zlib.compressobj(9, zlib.DEFLATED, -15)
    data = b"".join(bomb.compress(b"x" * 1000000) for _ in range(500))
    data += bomb.flush(zlib.Z_SYNC_FLUSH)
    try:
        z.sock.sendall(data)
    except OSError:
        pass
    tap.ok(lost(z), "a line of 500 MB in %d octets does, too" % len(data))
    grown = memory(b) - before
    tap.ok(grown < 8000000, "and is not kept (%d octets more)" % grown)
    z = begin(b)
    try:
        z.sock.sendall(b"\x00\x00\x00\xff\xff" * 200000)
    except OSError:
        pass
    z.send(b"d noop\r\n")
    tap.ok(z.until(b"d")[-1].startswith(b"d OK"), "empty blocks are no input")


with Backend(users=["fred"], tls=True) as b:
    session(b, False)
    session(b, True)
    test_end(b)
    test_end_at_once(b)
    test_bombs(b)
    for wrong in (b"c compress", b"c compress lzw", b"c compress deflate x"):
        c = b.imap()
        plain(c.sock, b"a login fred password")
        tap.ok(plain(c.sock, wrong)[-1].startswith(b"c BAD"), "BAD: %s" %
               wrong.decode())
    c = b.imap()
    tap.ok(plain(c.sock, b"c compress deflate")[-1].startswith(b"c BAD"),
           "not before login")
with Backend(users=["fred"], conf=["compress = no"]) as b:
    c = b.imap()
    tap.ok(b"COMPRESS" not in plain(c.sock, b"a login fred password")[-1],
           "compress = no: it is not offered")
    tap.ok(plain(c.sock, b"b compress deflate")[-1].startswith(b"b BAD"),
           "and does not begin")
tap.done()
