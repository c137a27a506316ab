#!/usr/bin/env python3
"""A stand-alone backendd whose clients are lost in the middle: of what they
are sent (bodies, decoded parts, previews, compressed or not), and of what they
send (many messages, CATENATE, REPLACE).  It goes on, nothing half done stays,
and nothing is wrong inside."""
import base64
import os
import random
import re
import socket
import struct
import sys
import zlib

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "lib"))
from backend import Backend, tap  # noqa

SEED = int(os.environ.get("SEED", random.randrange(1 << 30)))
rand = random.Random(SEED)
print("# SEED=%d" % SEED)

LARGE = base64.encodebytes(os.urandom(900000)).replace(b"\n", b"\r\n")
PARTS = (b"Subject: parts\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n"
         b"--b\r\n\r\ntext\r\n--b\r\nContent-Transfer-Encoding: base64\r\n\r\n" +
         LARGE + b"\r\n--b--\r\n")
PLAIN = b"Subject: plain\r\n\r\n" + b"0123456789abcdef" * 60000 + b"\r\n"
SMALL = b"Subject: small\r\n\r\nsmall\r\n"


def connect(b):
    s = socket.create_connection(("127.0.0.1", b.imap_port), 30)
    s.sendall(b"a login fred password\r\nb select INBOX\r\n")
    have = b""
    while not re.search(rb"\r\nb [^\n]*\n$", have):
        have += s.recv(65536)
    return s


def cut(s):
    """What is unsent is lost."""
    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    s.close()


def take(s, n):
    while n > 0:
        got = len(s.recv(min(n, 65536)))
        if got == 0:
            return
        n -= got


def while_sent(b, command, squeezed=False):
    for limit in (0, 1, 100, 70000, 300000, 700000,
                  rand.randrange(1, 3000000)):
        s = connect(b)
        out = b"d " + command + b"\r\ne logout\r\n"
        if squeezed:
            s.sendall(b"c compress deflate\r\n")
            take(s, len(b"c OK DEFLATE active\r\n"))
            z = zlib.compressobj(6, zlib.DEFLATED, -15)
            out = z.compress(out) + z.flush(zlib.Z_SYNC_FLUSH)
            limit = limit // 2
        s.sendall(out)
        take(s, limit)
        cut(s)


def numbers(c):
    c.noop()
    return c.status("INBOX", "(MESSAGES SIZE)")[1][0]


def while_sending(b, command):
    places = [1, 20, len(command) // 2, len(command) - 1]
    places += [rand.randrange(1, len(command)) for _ in range(6)]
    for at in places:
        s = connect(b)
        s.sendall(command[:at])
        cut(s)


def test_sent(b, c):
    for command in (b"fetch 1:* body.peek[]", b"fetch 1:* binary.peek[2]",
                    b"fetch 1:* (binary.size[2] body.peek[2] preview)",
                    b"fetch 1:* (envelope body.peek[2.mime] rfc822)",
                    b"uid fetch 1:* (flags binary.peek[2]<100.800000>)"):
        while_sent(b, command)
        while_sent(b, command, True)
        tap.ok(c.noop()[0] == "OK", "cut off while it is sent: %s" %
               command.decode())


def literal(octets):
    return b"{%d+}\r\n%s" % (len(octets), octets)


def test_sending(b, c):
    before = numbers(c)
    nul = (b"Content-Transfer-Encoding: binary\r\n\r\n" +
           bytes(range(256)) * 2000)
    for what, command in (
            ("MULTIAPPEND", b"d append INBOX" +
             b"".join(b" " + literal(x) for x in (SMALL, PLAIN, SMALL, PARTS))),
            ("CATENATE", b"d append INBOX catenate (text " + literal(PLAIN) +
             b" url {14+}\r\n/INBOX/;UID=%d text " % 1 + literal(SMALL) +
             b")"),
            ("literal8", b"d append INBOX ~" + literal(nul)),
            ("REPLACE", b"d uid replace 1 INBOX " + literal(PLAIN))):
        while_sending(b, command)
        tap.equal(numbers(c), before, "cut off while it sends: " + what)


def test_answer_lost(b, c):
    """The command is whole: it is done, or it is not."""
    for i in range(20):
        s = connect(b)
        s.sendall(b'd append INBOX catenate (url "/INBOX/;UID=2" text ' +
                  literal(SMALL) + b")" + b" " + literal(SMALL) + b"\r\n")
        if i % 2:
            take(s, 1)
        cut(s)
        have = int(re.search(rb"MESSAGES (\d+)", numbers(c)).group(1))
        if have % 2 == 0: # there were five
            tap.ok(False, "%d messages" % have)
    tap.ok(True, "both messages or none")


with Backend(users=["fred"]) as b:
    c = b.imap("fred")
    for m in (SMALL, PLAIN, PARTS, PLAIN, PARTS):
        c.append("INBOX", None, None, m)
    c.select("INBOX")
    test_sent(b, c)
    test_sending(b, c)
    test_answer_lost(b, c)
tap.done()
