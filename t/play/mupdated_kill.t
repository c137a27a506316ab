#!/usr/bin/env python3
"""mupdated killed at any moment under pipelining writers: what was answered is
there, in the order in which it was sent; what subscribers were told is so;
numbers never come again."""

import os
import random
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "lib"))
from mboxdigest import Digest  # noqa: E402
from mupdate import Closed, Server  # noqa: E402
from tap import tap  # noqa: E402

ok = tap.ok
ROUNDS = 8
WRITERS = 4
NAMES = 12
WINDOW = 200


class Writer:
    """Sends without waiting, and knows what each command does."""

    def __init__(self, number, seed):
        self.number = number
        self.random = random.Random(seed)
        self.loc = b"be%d!p" % number
        self.states = [{}]  # after each command sent in this round
        self.answered = 0
        self.generations = []

    def begin(self, server, found):
        self.client = server.connect("be%d" % self.number)
        self.states = [found]
        self.answered = 0
        self.unread = []

    def names(self):
        return [b"user.w%d.m%d" % (self.number, i) for i in range(NAMES)]

    def next(self):
        now = dict(self.states[-1])
        name = self.random.choice(self.names())
        acl = b"a%d\tl\t" % self.random.randrange(1000)
        word = self.random.choice((b"RESERVE", b"ACTIVATE", b"XRESERVE",
                                   b"XACTIVATE", b"DELETE", b"DEACTIVATE"))
        state = now.get(name)
        if word in (b"RESERVE", b"XRESERVE"):
            args = (name, self.loc)
            now.setdefault(name, (b"reserved", b""))
        elif word == b"ACTIVATE":
            args = (name, self.loc, acl)
            now[name] = (b"active", acl)
        elif word == b"XACTIVATE":
            args = (name, self.loc, acl, b"0", b"", b"", b"0")
            now[name] = (b"active", acl)
        elif word == b"DEACTIVATE":
            args = (name, self.loc)
            if state and state[0] == b"active":
                now[name] = (b"moving", state[1])
        else:
            args = (name,)
            now.pop(name, None)
        self.states.append(now)
        return self.client.command(b"t%d" % len(self.states), word, *args)

    def send(self, n):
        try:
            self.client.send(b"".join(self.next() for _ in range(n)))
        except ConnectionError:
            pass

    def receive(self, n):
        """Answers to so many commands, or as many as come."""
        try:
            while n > 0:
                got = self.client.response()
                if got[1] == b"XGRANT":
                    self.unread.append(int(got[3]))
                    continue
                self.generations += self.unread
                self.unread = []
                self.answered += 1
                n -= 1
        except (Closed, ConnectionError):
            pass

    def fits(self, found):
        """Is it what it was after some command, none answered missing?"""
        return found in self.states[self.answered:]


class Reader:
    """A subscriber over all the kills."""

    def __init__(self):
        self.entries = {}
        self.position = ()

    def begin(self, server):
        self.client = server.connect("front")
        got = self.client.ask(b"XUPDATE", *self.position, tag=b"U")
        self.kind = got[0][1]
        self.epoch = got[0][2]
        for r in got[1:-1]:
            self.apply(r)

    def apply(self, r):
        if r[1] == b"XENTRY":
            self.entries[r[3]] = tuple(r[4:])
        elif r[1] == b"XGONE":
            self.entries.pop(r[3], None)
        self.position = (self.epoch, r[2])

    def drain(self):
        """What the dead server had still sent."""
        self.client.sock.settimeout(5)
        try:
            while True:
                self.apply(self.client.response())
        except (Closed, ConnectionError, TimeoutError):
            pass
        self.client.close()


def whole(server):
    c = server.connect("admin")
    got = c.ask(b"XUPDATE", tag=b"U")
    c.close()
    return {r[3]: tuple(r[4:]) for r in got[1:-2]}


def digests_fit(server, entries):
    c = server.connect("admin")
    good = True
    for n in range(WRITERS):
        host = b"be%d" % n
        d = Digest()
        for name, e in entries.items():
            if e[0].split(b"!")[0] == host:
                d.add(name, *e)
        got = c.ask(b"XDIGEST", host)[0]
        good = good and (int(got[3]), got[4]) == (d.count, d.text())
    c.close()
    return good


def main():
    seed = int(os.environ.get("SEED", random.SystemRandom().randrange(10**9)))
    print(f"# SEED={seed}")
    chance = random.Random(seed)
    users = ["be%d" % n for n in range(WRITERS)]
    server = Server(users + ["admin", "front"], admin="admin", writer=users,
                    reader="front", change_log="100000")
    server.start()
    writers = [Writer(n, seed + n) for n in range(WRITERS)]
    reader = Reader()
    entries = {}
    killed = answered = 0
    for turn in range(ROUNDS):
        reader.begin(server)
        entries = whole(server)
        ok(reader.entries == entries and (
            turn == 0 or reader.kind == b"XSINCE"),
            f"round {turn}: the subscriber has what the list is")
        for w in writers:
            w.begin(server, {n: (e[2], e[1]) for n, e in entries.items()
                             if n in w.names()})
            w.send(WINDOW)
        for _ in range(chance.randrange(40)):
            w = chance.choice(writers)
            n = chance.randrange(1, WINDOW)
            w.receive(n)
            w.send(n)
        before = max((g for w in writers for g in w.generations), default=0)
        server.kill()
        for w in writers:
            w.receive(10 ** 9)
            w.client.close()
            answered += w.answered
        reader.drain()
        server.start()
        killed += 1
        entries = whole(server)
        for w in writers:
            found = {n: (e[2], e[1]) for n, e in entries.items()
                     if n in w.names()}
            ok(w.fits(found), f"round {turn}: writer {w.number}, "
               f"{w.answered} of {len(w.states) - 1} answered")
        ok(digests_fit(server, entries), f"round {turn}: digests")
        c = server.connect("be0")
        g = int(c.ask(b"XRESERVE", b"user.probe%d" % turn, b"be0!p")[0][3])
        ok(g > before, f"round {turn}: a greater number")
        c.close()
    ok(answered > 500 * ROUNDS // 4, f"{answered} answers in all")
    ok(server.stop() == 0, "it ends well")
    server.remove()
    tap.done()


main()
