#!/usr/bin/python3
"""An update server that is out of its mind, or somebody else.

Whatever it says, the frontend's child lives, what it had it has, and when a
good server is back it is current.
"""
import os
import re
import socket
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "lib"))
from backend import tap  # noqa: E402
from frontend import Front  # noqa: E402
from murder import await_that  # noqa: E402

PLAIN = b'* AUTH "PLAIN"\r\n* OK MUPDATE "mu" "x" "1" "(master)"\r\n'
OURS = b'* XMURDER "1"\r\n' + PLAIN
LIST = b'U01 MAILBOX "a" "b1!" "anyone\tlrs\t"\r\n' \
    b'U01 MAILBOX "b" "b1!" "anyone\tlrs\t"\r\n'
DONE = b'U01 OK "done"\r\n'
ENTRY = b'U01 XENTRY "%s" "%s" "b1!" "anyone\tlrs\t" "active" "1" "" "" "0"' \
    b'\r\n'
FULL = b'U01 XFULL "e" "2"\r\n' + ENTRY % (b"1", b"a") + \
    ENTRY % (b"2", b"b") + b'U01 XAT "2"\r\n' + DONE


class Fake:
    """Says one thing to each who connects; counts them."""

    def __init__(self):
        self.count = 0
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.say(PLAIN, LIST + DONE)
        threading.Thread(target=self.accept, daemon=True).start()

    def say(self, banner, then, every=None):
        """then after login; every: octets in each fifth of a second."""
        self.banner, self.then, self.every = banner, then, every

    def accept(self):
        while True:
            s, _ = self.listener.accept()
            self.count += 1
            threading.Thread(target=self.serve, daemon=True,
                             args=(s, self.banner, self.then,
                                   self.every)).start()

    def serve(self, s, banner, then, every):
        try:
            s.sendall(banner)
            got = b""
            while not re.search(rb"A01 AUTH[^\n]*\n[^\n]*\n", got):
                more = s.recv(4096)
                if not more:
                    return
                got += more
            s.sendall(b'A01 OK "yes"\r\n')
            while b"UPDATE" not in got:
                got += s.recv(4096)
            if every is None:
                s.sendall(then)
            else:
                while then:
                    s.sendall(then[:every])
                    then = then[every:]
                    threading.Event().wait(0.2)
            while True:
                more = s.recv(4096)
                if not more:
                    return
                for tag in re.findall(rb"(N\d+) NOOP", more):
                    s.sendall(tag + b' OK "noop"\r\n')
        except OSError:
            pass
        finally:
            s.close()


# What, the banner, what follows the login, and what /healthz says of it.
MAD = [
    ("nothing that is MUPDATE", b"220 mail ready\r\n", b"", "not connected"),
    ("an end at once", b"* BYE \"busy\"\r\n", b"", "BYE"),
    ("no mechanism", b'* OK MUPDATE "mu" "x" "1" "(master)"\r\n', b"",
     "not connected"),
    ("NO to UPDATE", PLAIN, b'U01 NO "no"\r\n', "NO, BAD or BYE"),
    ("lines of ours without our banner", PLAIN, FULL, "does not belong"),
    ("a list before its beginning", OURS, ENTRY % (b"1", b"x") + DONE,
     "does not belong"),
    ("an end before the beginning", OURS, DONE, "does not belong"),
    ("a difference to another epoch", OURS,
     b'U01 XSINCE "other"\r\nU01 XAT "9"\r\n' + DONE, "epoch"),
    ("two beginnings", OURS, b'U01 XFULL "e" "2"\r\n' * 2,
     "does not belong"),
    ("a count that is none", OURS, b'U01 XFULL "e" "many"\r\n', "epoch"),
    ("an epoch without end", OURS, b'U01 XFULL "%s" "2"\r\n' % (b"e" * 70),
     ""),
    ("a revision that is none", OURS,
     b'U01 XFULL "e" "2"\r\n' + ENTRY % (b"-1", b"x"), "not in form"),
    ("too few words", OURS,
     b'U01 XFULL "e" "2"\r\nU01 XENTRY "1" "x"\r\n', ""),
    ("a position that is none", OURS,
     b'U01 XFULL "e" "2"\r\nU01 XAT "now"\r\n', "not in form"),
    ("a response nobody knows", PLAIN, b"U01 HELLO \"x\"\r\n", ""),
    ("a NUL", PLAIN, b"U01 MAILBOX \"a\0\" \"b\" \"c\"\r\n", "NUL"),
    ("a line without end", PLAIN, b"U01 MAILBOX \"" + b"a" * 20000, "long"),
    ("a string of a gigabyte", PLAIN,
     b"U01 MAILBOX {1000000000+}\r\n" + b"a" * 1000, ""),
    ("LF alone", PLAIN, b'U01 MAILBOX "a" "b" "c"\n', "CR without LF"),
]


def goes_on(f, fake, what, text):
    """It has tried again, and has had enough."""
    tried = fake.count
    f.reconnect()
    await_that(lambda: fake.count > tried, what)
    if not tap.ok(await_that(lambda: f.is_healthy("not connected", text),
                             what), "%s: %s" % (what, text)):
        print("# " + f.health()[1])


def play(f, fake):
    await_that(lambda: f.is_healthy("; connected to"), "current")
    pid = f.child("front")
    c = f.client()
    tap.equal(f.names(c), {"a", "b"}, "a good server")
    for what, banner, then, text in MAD:
        fake.say(banner, then)
        goes_on(f, fake, what, text)
    fake.say(PLAIN, b"x" * 100, every=1)
    goes_on(f, fake, "an octet now and then", "no answer in time")
    fake.say(PLAIN, LIST * 100, every=20)
    goes_on(f, fake, "a list that does not come on", "no answer in time")
    tap.equal(f.names(c), {"a", "b"}, "what was there is there")
    tap.equal(f.child("front"), pid, "and the child lives")
    odd = LIST + b"".join(b'U01 MAILBOX "%s" "b1!" ""\r\n' % n for n in (
        b"", b".", b"a..b", b"user.\xff", b"x" * 600, b"a\x1fb", b"*%"))
    fake.say(PLAIN, odd + b'U01 DELETE "b"\r\nU01 DELETE "none"\r\n' + DONE)
    f.reconnect()
    f.await_health("; connected to")
    tap.equal(f.names(c), {"a"}, "names that are none are left out")
    fake.say(OURS, FULL)
    f.reconnect()
    f.await_health("; connected to", "revision 2 of epoch e")
    tap.equal(f.names(c), {"a", "b"}, "a good server, and all is well")
    tap.equal(f.child("front"), pid, "with the same child")
    c.logout()
    f.stop()


server = Fake()
front = Front(server.port)
try:
    front.start()
    play(front, server)
finally:
    if tap.failed or sys.exc_info()[0]:
        print("# " + "\n# ".join(front.log().split("\n")[-30:]))
    front.remove()
tap.done()
