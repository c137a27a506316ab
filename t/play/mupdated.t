#!/usr/bin/env python3
"""mupdated on the wire: every cell of the protocol's table, the stream and its
barrier, what survives a restart and a kill, TLS, limits, who may what."""

import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "lib"))
from mupdate import DEADLINE, Client, Closed, Server  # noqa: E402
from tap import tap  # noqa: E402

ok, same = tap.ok, tap.equal
N = b"user.x"
L1 = b"be1!p"
L2 = b"be2!p"


def mailbox(name=N, loc=L1, acl=b"a\tlrs\t", tag=b"F"):
    return [tag, b"MAILBOX", name, loc, acl]


def reserve(name=N, loc=L1, tag=b"F"):
    return [tag, b"RESERVE", name, loc]


ABSENT, RESERVED, ACTIVE = [], [reserve()], [mailbox()]

# before, command, answer, after
CELLS = [
    (ABSENT, (b"RESERVE", N, L1), b"OK", [reserve()]),
    (RESERVED, (b"RESERVE", N, L2), b"NO", [reserve()]),
    (ACTIVE, (b"RESERVE", N, L2), b"NO", [mailbox()]),
    (ACTIVE, (b"RESERVE", N, L1), b"OK", [mailbox()]),
    (RESERVED, (b"RESERVE", N, L1), b"OK", [reserve()]),
    (ABSENT, (b"ACTIVATE", N, L1, b"b\tl\t"), b"OK",
     [mailbox(acl=b"b\tl\t")]),
    (RESERVED, (b"ACTIVATE", N, L1, b"b\tl\t"), b"OK",
     [mailbox(acl=b"b\tl\t")]),
    (RESERVED, (b"ACTIVATE", N, L2, b""), b"OK",
     [mailbox(loc=L2, acl=b"")]),
    (ACTIVE, (b"ACTIVATE", N, L1, b"b\tl\t"), b"OK",
     [mailbox(acl=b"b\tl\t")]),
    (ACTIVE, (b"ACTIVATE", N, L2, b""), b"OK",
     [mailbox(loc=L2, acl=b"")]),
    (ACTIVE, (b"DEACTIVATE", N, L1), b"OK", [reserve()]),
    (ACTIVE, (b"DEACTIVATE", N, L2), b"OK", [reserve(loc=L2)]),
    (RESERVED, (b"DEACTIVATE", N, L2), b"NO", [reserve()]),
    (RESERVED, (b"DEACTIVATE", N, L1), b"NO", [reserve()]),
    (ABSENT, (b"DEACTIVATE", N, L1), b"NO", []),
    (ACTIVE, (b"DELETE", N), b"OK", []),
    (RESERVED, (b"DELETE", N), b"OK", []),
    (ABSENT, (b"DELETE", N), b"NO", []),
    (ABSENT, (b"RESERVE", b"", L1), b"NO", []),
    (ABSENT, (b"RESERVE", N, b""), b"NO", []),
    (ABSENT, (b"RESERVE", N, b"x" * 300), b"NO", []),
    (ABSENT, (b"ACTIVATE", N, b"be1.test!", b""), b"OK",
     [mailbox(loc=b"be1.test!", acl=b"")]),
    (ABSENT, (b"RESERVE", b"a\x1fb", L1), b"NO", []),
]


def test_cells(server):
    c = server.connect("admin")
    for before, command, want, after in CELLS:
        c.ask(b"DELETE", N)
        if before == RESERVED:
            c.ask(b"RESERVE", N, L1)
        elif before == ACTIVE:
            c.ask(b"ACTIVATE", N, L1, b"a\tlrs\t")
        got = c.ask(*command)[-1][1]
        found = c.ask(b"FIND", N, tag=b"F")[:-1]
        name = before[0][1].decode() if before else "absent"
        same((got, found), (want, after), f"{name}: {command} {want}")
    c.ask(b"DELETE", N)
    c.close()


def test_banner(server):
    c = Client(server.ports["listen"])
    lines = c.banner()
    same(lines[0], [b"*", b"AUTH", b"PLAIN", b"SCRAM-SHA-1"],
         "mechanisms, quoted")
    same(lines[1], [b"*", b"STARTTLS"], "STARTTLS is offered")
    same(lines[2], [b"*", b"XMURDER", b"1"], "our extension")
    ok(lines[3][:4] == [b"*", b"OK", b"MUPDATE", b"mu.test"]
       and lines[3][6] == b"(master)", "the banner's last line")
    c.close()


def test_before_login(server):
    c = server.connect()
    for word in (b"NOOP", b"LIST", b"UPDATE"):
        same(c.ask(word)[-1][1], b"NO", f"{word} before login")
    same(c.ask(b"FIND", b"b NOOP\r\n", tag=b"a"),
         [[b"a", b"NO", b"Please login first"]],
         "a literal refused is not a command")
    c.send(b"\r\n")
    same(c.response()[:2], [b"*", b"BAD"], "an empty line")
    c.send(b"X SELECT INBOX\r\n")
    same(c.response()[:2], [b"X", b"BAD"], "no such command")
    same(c.login("admin", "wrong")[1], b"NO", "a wrong password")
    same(c.login("stranger")[1], b"NO", "a user without business here")
    c.send(b'A AUTHENTICATE "PLAIN"\r\n')
    same(c.line(), b"", "an empty challenge")
    c.send(b"*\r\n")
    same(c.response()[:2], [b"A", b"NO"], "a cancelled login")
    c.send(b'A AUTHENTICATE "PLAIN"\r\n')
    c.line()
    c.send(b"AGFkbWluAHBhc3N3b3Jk\r\n")
    same(c.response()[:2], [b"A", b"OK"], "a login in two steps")
    same(c.login("admin")[1], b"BAD", "no second login")
    same(c.ask(b"STARTTLS")[-1][1], b"BAD", "no TLS after login")
    c.send(b"L LOGOUT\r\n")
    same(c.response()[:2], [b"L", b"BYE"], "LOGOUT")
    ok(c.gone(), "and it closes")
    c.close()


def test_list(server):
    c = server.connect("admin")
    names = [b"d.org!user.b", b"user.a", b"user.a.Sent", b"user.a.Sent.2020",
             b"user.a.Sent Items", b"user.a-b", b"user.b"]
    for i, name in enumerate(reversed(names)):
        c.ask(b"ACTIVATE", name, L1 if i % 2 else b"be10!p", b"x")
    got = c.ask(b"LIST", tag=b"F")
    same([g[2] for g in got[:-1]], names, "LIST in the order of separators")
    got = c.ask(b"LIST", b"be1!")
    same(len(got), 4, "LIST of a location")
    for name in names:
        c.ask(b"DELETE", name)
    c.close()


def test_pipeline(server):
    c = server.connect("admin")
    n = 500
    out = b""
    for i in range(n):
        name = b"user.p%d" % i
        out += c.command(b"r%d" % i, b"RESERVE", name, L1)
        out += c.command(b"a%d" % i, b"ACTIVATE", name, L1, b"")
    out += c.command(b"l", b"LIST")
    c.send(out)
    got = [c.response() for _ in range(2 * n)]
    same([g[0] for g in got],
         [t + b"%d" % i for i in range(n) for t in (b"r", b"a")],
         "pipelined answers in order")
    ok(all(g[1] == b"OK" for g in got), "and all OK")
    same(len(c.until(b"l")), n + 1, "and all listed")
    for i in range(n):
        c.send(c.command(b"d%d" % i, b"DELETE", b"user.p%d" % i))
    got = [c.response() for _ in range(n)]
    ok(all(g[1] == b"OK" for g in got), "and deleted")
    c.close()


def test_stream(server):
    w = server.connect("admin")
    w.ask(b"ACTIVATE", b"user.s", L1, b"x")
    subs = [server.connect("front"), server.connect("admin")]
    for s in subs:
        same(s.ask(b"UPDATE", tag=b"U01"),
             [mailbox(b"user.s", L1, b"x", b"U01"),
              [b"U01", b"OK", b"streaming starts"]],
             "UPDATE: the list, then OK")
    w.ask(b"RESERVE", b"user.t", L1)
    w.ask(b"ACTIVATE", b"user.t", L1, b"y")
    w.ask(b"DELETE", b"user.s")
    for s in subs:
        same([s.response() for _ in range(2)],
             [mailbox(b"user.t", L1, b"y", b"U01"),
              [b"U01", b"DELETE", b"user.s"]],
             "changes are pushed, in order; no reservation that is over")
    w.ask(b"RESERVE", b"user.u", L1)
    same(subs[0].ask(b"NOOP", tag=b"N1"),
         [reserve(b"user.u", L1, b"U01"), [b"N1", b"OK", b"Noop done"]],
         "a reservation comes before a NOOP's OK")
    same(subs[1].response(), reserve(b"user.u", L1, b"U01"),
         "and in a while to who does not ask")
    w.ask(b"DELETE", b"user.u")
    for s in subs:
        same(s.response(), [b"U01", b"DELETE", b"user.u"], "and its end")
    same(subs[0].ask(b"LIST")[-1][1], b"BAD", "no LIST when streaming")
    # The barrier: whatever was sent before the NOOP comes before its OK.
    for i in range(50):
        w.send(w.command(b"w", b"ACTIVATE", b"user.t", L1, b"%d" % i))
        w.response()
        got = subs[1].ask(b"NOOP", tag=b"N1")
        if len(got) != 2 or got[0][4] != b"%d" % i:
            break
    same((i, len(got)), (49, 2), "NOOP is a barrier")
    subs[0].send(b"Q LOGOUT\r\n")
    same(subs[0].until(b"Q")[-1][1], b"BYE", "LOGOUT while streaming")
    w.ask(b"DELETE", b"user.t")
    for s in subs + [w]:
        s.close()


def test_roles(server):
    r = server.connect("front")
    same(r.ask(b"RESERVE", N, L1)[-1][1], b"NO", "a reader writes nothing")
    a = server.connect("admin")
    w = server.connect("be1")
    v = server.connect("second")
    for who, command, want, what in (
        (w, (b"RESERVE", N, L1), b"OK", "a writer reserves at its host"),
        (w, (b"RESERVE", b"user.y", L2), b"NO", "not at another"),
        (v, (b"RESERVE", b"user.y", L2), b"OK", "a configured host"),
        (v, (b"DELETE", N), b"NO", "nor deletes there"),
        (w, (b"ACTIVATE", N, L1, b""), b"OK", "activates at its host"),
        (v, (b"ACTIVATE", N, L2, b""), b"NO", "nor takes over"),
        (v, (b"DEACTIVATE", N, L2), b"NO", "nor deactivates"),
        (w, (b"DEACTIVATE", N, L1), b"OK", "unless it is let go"),
        (v, (b"ACTIVATE", N, L2, b""), b"OK", "then it may"),
        (a, (b"ACTIVATE", N, L1, b""), b"OK", "an admin may anyway"),
        (w, (b"DELETE", N), b"OK", "a writer deletes its own"),
        (a, (b"DELETE", b"user.y"), b"OK", "an admin any"),
    ):
        same(who.ask(*command)[-1][1], want, what)
    for c in (r, a, w, v):
        c.close()


def test_bad_input(server):
    calm = server.connect("admin")
    for data, what in (
        (b"a" * 20000, "a long line"),
        (b"a FIND {999999999+}\r\n", "a huge literal"),
        (b"a NOOP\n", "a bare LF"),
        (b"a NO\0OP\r\n", "a NUL"),
    ):
        c = server.connect("admin")
        c.send(data)
        same(c.response()[:2], [b"*", b"BYE"], what)
        c.close()
    c = server.connect("admin")
    c.send(b"a FIND {999999999}\r\n")
    same(c.response()[:2], [b"a", b"BAD"], "a huge synchronising literal")
    c.send(b"a FIND {6}\r\n")
    same(c.line(), b"+ go ahead", "a small one is asked for")
    c.send(b"user.x\r\n")
    same(c.response()[:2], [b"a", b"OK"], "and taken")
    same(c.ask(b"ACTIVATE", N, L1, b"x" * 100000)[-1][1], b"OK",
         "a long ACL")
    same(c.ask(b"FIND", N)[0][4], b"x" * 100000, "comes back")
    c.ask(b"DELETE", N)
    c.close()
    same(calm.ask(b"NOOP")[-1][1], b"OK", "others are unharmed")
    calm.close()


def test_tls(server):
    c = server.connect()
    c.send(b"S01 STARTTLS\r\n")
    same(c.response()[:2], [b"S01", b"OK"], "STARTTLS")
    c.start_tls()
    lines = c.banner()
    ok([b"*", b"STARTTLS"] not in lines, "the banner again, without it")
    same(c.login("admin")[1], b"OK", "login inside")
    same(c.ask(b"NOOP")[-1][1], b"OK", "commands inside")
    c.close()
    c = server.connect()
    c.send(b"S01 STARTTLS\r\nX NOOP\r\n")
    same(c.response()[:2], [b"S01", b"OK"], "STARTTLS with more behind it")
    c.start_tls()
    same(len(c.banner()), 3, "which is forgotten")
    c.close()
    c = Client(server.ports["listen_tls"], tls=True)
    c.banner()
    same(c.login("admin")[1], b"OK", "TLS from the start")
    c.close()


def test_restart(server):
    c = server.connect("admin")
    c.ask(b"ACTIVATE", b"user.keep", L1, b"k")
    c.ask(b"ACTIVATE", b"user.gone", L1, b"k")
    c.ask(b"DELETE", b"user.gone")
    ok(server.stop() == 0, "it ends well")
    same(c.response()[:2], [b"*", b"BYE"], "having said BYE")
    server.start()
    c = server.connect("admin")
    same(c.ask(b"LIST", tag=b"F")[:-1],
         [mailbox(b"user.keep", L1, b"k")], "the list is kept")
    c.close()


def test_kill(server):
    """What was answered OK is there; what was not may be."""
    told = set()
    for round in range(3):
        c = server.connect("admin")
        out = b""
        for i in range(2000):
            out += c.command(b"%d" % i, b"ACTIVATE",
                             b"user.k%d.m%d" % (round, i), L1, b"")
        c.send(out)
        for i in range(200 + 300 * round):
            got = c.response()
            if got[1] == b"OK":
                told.add(b"user.k%d.m%s" % (round, got[0]))
        server.kill()
        c.close()
        server.start()
    c = server.connect("admin")
    there = {g[2] for g in c.ask(b"LIST")[:-1]}
    ok(len(told) == 1500 and told <= there, "killed: what was OK is there")
    c.close()


def test_slow_subscriber(users):
    server = Server(users, admin="admin", max_backlog="1M",
                    admin_listen="127.0.0.1:0")
    server.start()
    s = server.connect("admin")
    s.ask(b"UPDATE", tag=b"U")
    w = server.connect("admin")
    acl = b"x" * 100000
    changes = 0
    while b"murder_lost_subscribers_total 0" in server.http("/metrics")[1]:
        w.ask(b"ACTIVATE", N, L1, b"%d" % changes + acl)
        changes += 1
    # It has some seconds to hear of it.
    got = s.response()
    seen = 0
    while got[1] == b"MAILBOX":
        seen += 1
        got = s.response()
    same(got[:2], [b"*", b"BYE"], "a subscriber that does not read is told")
    ok(seen < changes, "and dropped")
    same(w.ask(b"NOOP")[-1][1], b"OK", "the others go on")
    server.stop()
    server.remove()


def test_connection_limit(users):
    server = Server(users, admin="admin", max_sessions="2")
    server.start()
    a, b = server.connect("admin"), server.connect("admin")
    c = Client(server.ports["listen"])
    same(c.response()[:2], [b"*", b"BYE"], "one connection too many")
    same(a.ask(b"NOOP")[-1][1], b"OK", "the others go on")
    b.close()
    server.stop()
    server.remove()


def test_slow_login(users):
    """An octet now and then keeps nobody's connection."""
    server = Server(users, admin="admin", login_timeout="3s")
    server.start()
    a, c = server.connect("admin"), Client(server.ports["listen"])
    c.banner()
    c.sock.settimeout(0.2)
    octets = b""
    end = time.monotonic() + DEADLINE
    while not octets and time.monotonic() < end:
        try:
            octets = c.sock.recv(1000)
        except TimeoutError:
            c.send(b"X")
    same(octets[:5], b"* BYE", "who logs in too slowly has to go")
    same(a.ask(b"NOOP")[-1][1], b"OK", "who has logged in may stay")
    server.stop()
    server.remove()


def test_connection_limit_tls(users):
    server = Server(users, admin="admin", max_sessions="1",
                    listen_tls="127.0.0.1:0")
    server.make_cert()
    server.start()
    a = server.connect("admin")
    c = Client(server.ports["listen_tls"], tls=True)
    try:
        got = c.response()[1]
    except Closed:
        got = b"BYE"
    same(got, b"BYE", "too many by TLS are too many")
    same(a.ask(b"NOOP")[-1][1], b"OK", "the others go on here, too")
    server.stop()
    server.remove()


def main():
    users = ["admin", "be1", "second", "front", "stranger"]
    server = Server(users, admin="admin", writer=["be1", "second"],
                    reader="front", host="second:be2",
                    listen_tls="127.0.0.1:0")
    server.make_cert()
    server.start()
    test_banner(server)
    test_before_login(server)
    test_cells(server)
    test_list(server)
    test_pipeline(server)
    test_stream(server)
    test_roles(server)
    test_bad_input(server)
    test_tls(server)
    test_restart(server)
    test_kill(server)
    server.stop()
    if tap.failed:
        sys.stderr.buffer.write(server.log()[-3000:])
    server.remove()
    test_slow_subscriber(users)
    test_connection_limit(users)
    test_connection_limit_tls(users)
    test_slow_login(users)
    tap.done()


main()
