#!/usr/bin/env python3
"""mupdated under those who mean harm, or are broken: every syntax error, every
command where it does not belong, ends in the middle of anything, noise, limits,
subscribers that do not read.  The list and the others are unharmed."""

import os
import random
import socket
import struct
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "lib"))
from mboxdigest import Digest  # noqa: E402
from mupdate import Client, Server  # noqa: E402
from tap import tap  # noqa: E402

ok, same = tap.ok, tap.equal
L1 = b"be1!p"

# Every command: fewest and most arguments
COMMANDS = {
    b"ACTIVATE": (3, 3), b"DEACTIVATE": (2, 2), b"DELETE": (1, 1),
    b"FIND": (1, 1), b"LIST": (0, 1), b"NOOP": (0, 0), b"RESERVE": (2, 2),
    b"UPDATE": (0, 0), b"XACTIVATE": (7, 7), b"XBREAK": (2, 2),
    b"XDIGEST": (1, 1), b"XFIND": (1, 1), b"XLEASES": (0, 0),
    b"XLIST": (2, 31), b"XRESERVE": (2, 2), b"XUPDATE": (0, 2),
    b"LOGOUT": (0, 0), b"STARTTLS": (0, 0), b"AUTHENTICATE": (1, 2),
}


def is_well(server, what):
    """The list is what its digest says, and somebody can still change it."""
    c = server.connect("admin")
    d = Digest()
    for r in c.ask(b"XLIST", b"be1", *[b"%d" % b for b in range(30)])[:-1]:
        d.add(r[3], *r[4:])
    sums = c.ask(b"XDIGEST", b"be1")[0][4]
    good = sums[:30 * 16] == d.text()[:30 * 16]
    good = good and c.ask(b"RESERVE", b"user.well", L1)[-1][1] == b"OK"
    good = good and c.ask(b"DELETE", b"user.well")[-1][1] == b"OK"
    c.close()
    ok(good, what)


def reset(client):
    """An end without a word, as of a machine that has lost its power."""
    client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                           struct.pack("ii", 1, 0))
    client.close()


def test_arguments(server):
    c = server.connect("admin")
    for word, (least, most) in COMMANDS.items():
        if least > 0:
            same(c.ask(word, *[b"x"] * (least - 1))[-1][1:],
                 [b"BAD", b"Missing arguments"],
                 f"{word.decode()} with too few")
        same(c.ask(word, *[b"x"] * (most + 1))[-1][1:],
             [b"BAD", b"Extra arguments"], f"{word.decode()} with too many")
        if most == 0 or word == b"AUTHENTICATE":
            continue
        c.send(b"X %s atom\r\n" % word)
        same(c.response()[1:], [b"BAD", b"Badly formed arguments"],
             f"{word.decode()} with an atom")
    for line, text in (
        (b"\r\n", b"Need command"), (b"X\r\n", b"Null command"),
        (b" X NOOP\r\n", b"Need command"), (b"X  NOOP\r\n", None),
        (b"X SELECT\r\n", b"Unrecognized command"),
        (b"(X NOOP\r\n", b"Badly formed tag"),
        (b"X" * 65 + b" NOOP\r\n", b"Badly formed tag"),
        (b'X FIND "a\r\n', b"Badly formed arguments"),
        (b'X FIND "a"b\r\n', b"Badly formed arguments"),
        (b"X FIND {a}\r\n", b"Badly formed literal"),
        (b"X FIND {1\r\n", b"Badly formed arguments"),
        (b"X FIND {1+\r\n", b"Badly formed arguments"),
        (b"X FIND {1+}x\r\n", b"Badly formed literal"),
        (b"X FIND {3+}\r\na\0b\r\n", b"NUL in literal"),
        (b"X RESERVE {1+}\r\na{1+}\r\nb\r\n", b"Badly formed arguments"),
    ):
        c.send(line)
        got = c.response()
        ok(got[1] == b"BAD" and text in (got[2], None),
           f"{line[:30]} is {got[2].decode()}")
    same(c.ask(b"NOOP")[-1][1], b"OK", "and on it goes")
    c.close()


def test_out_of_place(server):
    """Every command in every state."""
    fit = {w: [b"x"] * least for w, (least, _) in COMMANDS.items()}
    fit[b"XACTIVATE"] = [b"n", L1, b"", b"0", b"", b"", b"0"]
    fit[b"XLIST"] = [b"h", b"0"]
    fit[b"XBREAK"] = [b"n", b"0"]
    stranger = server.connect()
    for word, args in fit.items():
        if word not in (b"LOGOUT", b"STARTTLS", b"AUTHENTICATE"):
            same(stranger.ask(word, *args)[-1][1:],
                 [b"NO", b"Please login first"],
                 f"{word.decode()} before login")
    for subscribe in (b"UPDATE", b"XUPDATE"):
        c = server.connect("admin")
        c.ask(subscribe, tag=b"U")
        for word, args in fit.items():
            if word not in (b"LOGOUT", b"NOOP"):
                same(c.ask(word, *args)[-1][1:],
                     [b"BAD", b"not legal when streaming"],
                     f"{word.decode()} after {subscribe.decode()}")
        same(c.ask(b"NOOP")[-1][1], b"OK", "and on it goes")
        c.close()
    same(stranger.login("admin")[1], b"OK", "and the stranger logs in")
    for word in (b"AUTHENTICATE", b"STARTTLS"):
        same(stranger.ask(word, *fit[word])[-1][1], b"BAD",
             f"no {word.decode()} then")
    stranger.close()


def test_ends(server):
    """In the middle of anything."""
    w = server.connect("admin")
    for i in range(3000):
        w.send(w.command(b"w", b"ACTIVATE", b"user.e%d" % i, L1, b"acl"))
    for i in range(3000):
        w.response()
    for data in (
        b"", b"X", b"X FIND {1", b"X FIND {100+}\r\nabc", b'X FIND "a',
        b"X FIND {5}\r\n", b"X LIST\r\n", b"X UPDATE\r\n", b"X XUPDATE\r\n",
        b"X XLEASES\r\n", b"X LIST\r\nX LIST\r\nX LIST\r\nX XUPDATE\r\n",
        b"X UPDATE\r\nX LOGOUT\r\n", b"X LOGOUT\r\nX NOOP\r\n",
        w.command(b"X", b"XLIST", b"be1", *[b"%d" % i for i in range(30)]),
        w.command(b"X", b"XDIGEST", b"be1") * 100,
        b"".join(w.command(b"X", b"ACTIVATE", b"user.e%d" % i, L1, b"x")
                 for i in range(500)),
    ):
        for finish in (Client.close, reset):
            c = server.connect("admin")
            c.send(data)
            finish(c)
            if not data.endswith(b"\r\n"):
                continue
            c = server.connect("admin")
            c.send(data)
            c.sock.recv(1)
            finish(c)
    for data in (b"A AUTHENTICATE", b'A AUTHENTICATE "PLAIN"\r\n',
                 b'A AUTHENTICATE "SCRAM-SHA-1" "biwsbj1hLHI9YQ=="\r\n',
                 b'A AUTHENTICATE "PLAIN" "AGFkbWluAHdyb25n"\r\n',
                 b"S STARTTLS\r\n", b"S STARTTLS\r\n\x16\x03\x01"):
        for finish in (Client.close, reset):
            c = server.connect()
            c.send(data)
            finish(c)
    same(w.ask(b"NOOP")[-1][1], b"OK", "others do not notice")
    w.close()
    is_well(server, "whoever ends, and when")


def test_noise(server, seed):
    """Commands half right, in pieces, from many at once."""
    chance = random.Random(seed)
    names = [b"user.z%d" % i for i in range(5)] + [b"", b"\x01", b"z" * 1100]
    numbers = [b"0", b"1", b"255", b"256", b"-1", b"%d" % (2 ** 64 - 1),
               b"99999999999999999999", b""]

    def noise():
        word = chance.choice(list(COMMANDS))
        least, most = COMMANDS[word]
        n = least if chance.random() < 0.9 else chance.randrange(most + 2)
        args = [chance.choice((names, numbers, [L1, b"be1!", b"!", b"x"]))
                for _ in range(n)]
        out = Client.command(b"X", word, *[chance.choice(a) for a in args])
        if chance.random() < 0.05:
            at = chance.randrange(len(out))
            out = out[:at] + bytes([chance.randrange(256)]) + out[at + 1:]
        return out

    users = ["admin", "be1", "front"]
    clients = []
    for _ in range(400):
        if len(clients) < 6:
            clients.append(server.connect(chance.choice(users)))
        c = chance.choice(clients)
        try:
            c.sock.setblocking(False)
            try:
                while c.sock.recv(65536):
                    pass
            except BlockingIOError:
                pass
            c.sock.setblocking(True)
            data = b"".join(noise() for _ in range(chance.randrange(1, 20)))
            c.send(data[:chance.randrange(1, len(data) + 1)])
        except (ConnectionError, OSError):
            clients.remove(c)
            c.close()
    for c in clients:
        c.close()
    is_well(server, f"noise, seed {seed}")


def test_limits(users):
    server = Server(users, admin="admin", max_strangers="3",
                    max_sessions_per_address="6", login_timeout="60s")
    server.start()
    first = server.connect("admin")
    strangers = [server.connect() for _ in range(3)]
    c = Client(server.ports["listen"])
    same(c.response(), [b"*", b"BYE", b"[LIMIT] too many connections that "
                        b"have not logged in"], "too many strangers")
    ok(c.gone(), "and it closes")
    c.close()
    same(strangers[0].login("admin")[1], b"OK", "one who logs in")
    strangers.append(server.connect())
    ok(True, "makes room for another")
    strangers[0].ask(b"NOOP")
    for s in strangers[1:]:
        s.login("admin")
    strangers.append(server.connect("admin"))
    c = Client(server.ports["listen"])
    same(c.response(), [b"*", b"BYE", b"[LIMIT] too many connections from "
                        b"your address"], "too many from one address")
    c.close()
    for s in strangers:
        s.close()
    same(first.ask(b"NOOP")[-1][1], b"OK", "others go on")
    # A stranger may not make us keep what a friend may.
    c = server.connect()
    c.send(b"X FIND {100000+}\r\n")
    same(c.response()[:2], [b"*", b"BYE"], "no long literals before login")
    c.close()
    server.stop()
    server.remove()


def memory(server):
    """Octets of our own that its processes hold; 0 if ASan keeps others."""
    with open(server.program, "rb") as f:
        if b"__asan_init" in f.read():
            return 0
    total = 0
    for pid in server.pids():
        with open(f"/proc/{pid}/smaps_rollup") as f:
            for line in f:
                if line.startswith("Private_Dirty:"):
                    total += int(line.split()[1]) * 1024
    return total


def test_who_does_not_read(server):
    """Answers are held up to a limit, then nothing more is taken."""
    w = server.connect("admin")
    acl = b"x" * 50000
    w.ask(b"ACTIVATE", b"user.big", L1, acl)
    before = memory(server)
    greedy = []
    for _ in range(8):
        c = server.connect("admin")
        c.sock.setblocking(False)
        data = c.command(b"X", b"FIND", b"user.big") * 4000
        try:
            while data:
                data = data[c.sock.send(data):]
        except BlockingIOError:
            pass
        greedy.append(c)
    for _ in range(20):
        w.ask(b"NOOP")
    grown = memory(server) - before
    ok(grown < 8 * 4 << 20, f"4 MiB each is enough for all of them: {grown}")
    for c in greedy:
        c.close()
    same(w.ask(b"FIND", b"user.big")[0][4], acl, "others are served")
    w.ask(b"DELETE", b"user.big")
    w.close()


def test_slow_subscriber(users):
    """Falls behind, is told, and comes back for the difference."""
    server = Server(users, admin="admin", max_backlog="1M")
    server.start()
    w = server.connect("admin")
    slow = [server.connect("admin") for _ in range(3)]
    fast = server.connect("admin")
    for s in slow:
        got = s.ask(b"XUPDATE", tag=b"U")
    fast.ask(b"XUPDATE", tag=b"U")
    epoch, position = got[0][2], got[-2][2]
    before = memory(server)
    entries = {}
    acl = b"x" * 50000
    for i in range(400):
        w.ask(b"ACTIVATE", b"user.s%d" % (i % 7), L1, b"%d" % i + acl)
        r = fast.response()
        entries[r[3]] = r[5]
    grown = memory(server) - before
    # The journal's and the list's buffers are in it.
    ok(grown < 16 << 20, f"20 MB of changes, {grown} octets kept")
    for s in slow:
        seen = {}
        while (r := s.response())[1] == b"XENTRY":
            seen[r[3]] = r[5]
            position = r[2]
        same(r[:2], [b"*", b"BYE"], "who does not read is told")
    c = server.connect("admin")
    got = c.ask(b"XUPDATE", epoch, position, tag=b"U")
    seen.update({r[3]: r[5] for r in got[1:-2]})
    same((got[0][1], seen), (b"XSINCE", entries),
         "and comes back for what it missed")
    ok(len(got) < 12, "which is each name once")
    for x in (*slow, fast, w, c):
        x.close()
    server.stop()
    server.remove()


def test_disk(users):
    """A disk that refuses: NO, nothing has changed, and reading goes on."""
    server = Server(users, admin="admin", writer="be1", reader="front",
                    lease_time="1s", admin_listen="127.0.0.1:0")
    server.start()
    w = server.connect("be1")
    w.ask(b"ACTIVATE", b"user.a", L1, b"a")
    w.ask(b"ACTIVATE", b"user.b", L1, b"b")
    g = int(w.ask(b"XRESERVE", b"user.c", L1)[0][3])
    sub = server.connect("front")
    got = sub.ask(b"XUPDATE", tag=b"U")
    epoch, position = got[0][2], got[-2][2]
    digest = w.ask(b"XDIGEST", b"be1")[0]
    same(server.http("/healthz"), (200, b"ok storage: changes are stored\n"),
         "/healthz")
    numbers = server.http("/metrics")[1]
    for line in (b"murder_mailboxes 3", b"murder_reservations 1",
                 b"murder_sessions 2", b"murder_subscribers 1",
                 b"murder_full_lists_total 1", b"murder_resumed_total 0"):
        ok(b"\n" + line + b"\n" in numbers, f"/metrics: {line.decode()}")
    server.refuse_writes(True)
    w.send(w.command(b"1", b"ACTIVATE", b"user.a", L1, b"new")
           + w.command(b"2", b"DELETE", b"user.b")
           + w.command(b"3", b"RESERVE", b"user.d", L1)
           + w.command(b"4", b"DEACTIVATE", b"nobody", L1)
           + w.command(b"5", b"XACTIVATE", b"user.c", L1, b"c", b"%d" % g,
                       b"", b"", b"0"))
    got = [w.response() for _ in range(5)]
    same([r[0] for r in got], [b"1", b"2", b"3", b"4", b"5"],
         "the disk refuses: answers, in order")
    ok(all(r[1] == b"NO" for r in got) and all(
        r[2].startswith(b"[UNAVAILABLE]") for r in got[:3] + got[4:]),
        "NO, and not for ever")
    same(server.http("/healthz")[0], 503, "/healthz says so")
    same(w.ask(b"FIND", b"user.a")[0][4], b"a", "what is read is as it was")
    same(w.ask(b"XDIGEST", b"be1")[0], digest, "so are the digests")
    same(sub.ask(b"NOOP", tag=b"N"), [[b"N", b"OK", b"Noop done"]],
         "subscribers hear nothing of it")
    server.refuse_writes(False)
    while w.ask(b"RESERVE", b"user.e", L1)[-1][1] == b"NO":
        time.sleep(0.1)
    ok(True, "the disk is well again")
    same(w.ask(b"ACTIVATE", b"user.a", L1, b"new")[-1][1], b"OK",
         "changes are stored")
    got = sub.ask(b"NOOP", tag=b"N")
    same([r[3] for r in got[:-1]], [b"user.e", b"user.a"],
         "subscribers hear of those")
    is_well(server, "digests of what is so")
    again = server.connect("front")
    got = again.ask(b"XUPDATE", epoch, position, tag=b"U")
    same((got[0][1], [r[3] for r in got[1:-2] if r[3] != b"user.well"]),
         (b"XSINCE", [b"user.a", b"user.e"]), "and who was away, too")
    # The owner goes while the disk refuses to let it end.
    server.refuse_writes(True)
    w.close()
    # One in a row of what cannot be stored: the leases' end will fail, too.
    a = server.connect("admin")
    while a.ask(b"RESERVE", b"user.f", L1)[-1][1] != b"NO":
        pass
    server.refuse_writes(False)
    left = {b"user.c", b"user.e"}
    while left:
        r = again.response()
        if r[1] == b"XGONE":
            left.discard(r[3])
    ok(True, "leases end when they can")
    for c in (sub, again, a):
        c.close()
    ok(server.stop() == 0, "it ends well")
    if tap.failed:
        sys.stderr.buffer.write(server.log()[-3000:])
    server.remove()


def test_hosts(server):
    c = server.connect("admin")
    for i in range(5000):
        c.send(c.command(b"X", b"RESERVE", b"user.h%d" % i, b"h%d!p" % i))
    got = [c.response() for _ in range(5000)]
    ok(all(r[1] == b"OK" for r in got[:4000]), "many hosts")
    same(got[-1][1:], [b"NO", b"[LIMIT] too many hosts"],
         "but not any number of them")
    for i in range(5000):
        c.send(c.command(b"X", b"DELETE", b"user.h%d" % i))
    for i in range(5000):
        c.response()
    same(c.ask(b"RESERVE", b"user.h", b"h5000!p")[-1][1], b"OK",
         "who holds nothing is not counted")
    c.ask(b"DELETE", b"user.h")
    c.close()


def main():
    seed = int(os.environ.get("SEED", random.SystemRandom().randrange(10**9)))
    print(f"# SEED={seed}")
    users = ["admin", "be1", "front"]
    server = Server(users, admin="admin", writer="be1", reader="front",
                    listen_tls="127.0.0.1:0")
    server.make_cert()
    server.start()
    test_arguments(server)
    test_out_of_place(server)
    test_ends(server)
    test_who_does_not_read(server)
    test_hosts(server)
    for i in range(3):
        test_noise(server, seed + i)
    ok(server.stop() == 0, "it ends well")
    if tap.failed:
        sys.stderr.buffer.write(server.log()[-3000:])
    server.remove()
    test_limits(users)
    test_slow_subscriber(users)
    test_disk(users)
    tap.done()


main()
