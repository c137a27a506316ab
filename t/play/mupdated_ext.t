#!/usr/bin/env python3
"""XMURDER on the wire: positions and differences, generations and who is
fenced, leases, digests against a recomputation, sessions that are over."""

import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "lib"))
from mupdate import Closed, Server  # noqa: E402
from mboxdigest import Digest  # noqa: E402
from tap import tap  # noqa: E402

ok, same = tap.ok, tap.equal
USERS = ["admin", "be1", "be2", "front"]
L1 = b"be1!p"
L2 = b"be2!p"
ACL = b"a\tlrs\t"


def make(**options):
    server = Server(USERS, admin="admin", writer=["be1", "be2"],
                    reader="front", **options)
    server.start()
    return server


def end(server):
    ok(server.stop() == 0, "it ends well")
    server.remove()


def answer(got):
    """OK, or the code of a NO."""
    last = got[-1]
    if last[1] != b"NO":
        return last[1]
    return last[2].split(b"]")[0] + b"]" if last[2][:1] == b"[" else b"NO"


def reserve(c, name, loc):
    """Its generation, or why not."""
    got = c.ask(b"XRESERVE", name, loc)
    if got[-1][1] != b"OK":
        return answer(got)
    return int(got[0][3])


def activate(c, name, loc, generation=0, acl=ACL, mid=b"", special=b"",
             kind=b"0"):
    got = c.ask(b"XACTIVATE", name, loc, acl, b"%d" % generation, mid,
                special, kind)
    if got[-1][1] != b"OK":
        return answer(got)
    return int(got[0][3])


def find(c, name):
    """(location, acl, state, generation, mailboxid, special uses, type)"""
    got = c.ask(b"XFIND", name)
    if len(got) == 1:
        return None
    entry = got[0]
    return (entry[4], entry[5], entry[6], int(entry[7]), *entry[8:])


def state(c, name):
    entry = find(c, name)
    return entry and (entry[0], entry[2])


class Copy:
    """A subscriber that keeps what it is told, as one should."""

    def __init__(self, server, user="front"):
        self.server = server
        self.user = user
        self.entries = {}
        self.epoch = None
        self.revision = 0

    def apply(self, r):
        if r[1] == b"XENTRY":
            self.entries[r[3]] = tuple(r[4:])
        elif r[1] == b"XGONE":
            self.entries.pop(r[3], None)
        if r[1] in (b"XENTRY", b"XGONE"):
            return int(r[2])
        return None

    def connect(self):
        """The answers up to the OK."""
        c = self.client = self.server.connect(self.user)
        args = (self.epoch, b"%d" % self.revision) if self.epoch else ()
        got = c.ask(b"XUPDATE", *args, tag=b"U")
        self.kind = got[0][1]
        self.epoch = got[0][2]
        if self.kind == b"XFULL":
            self.entries = {}
        for r in got[1:-2]:
            self.apply(r)
        self.at = got[-2][1] == b"XAT"
        self.revision = int(got[-2][2])
        self.lines = got[1:-2]
        return got

    def sync(self):
        """Everything up to a NOOP's OK, each later than the one before."""
        ascending = True
        self.lines = self.client.ask(b"NOOP", tag=b"N")[:-1]
        for r in self.lines:
            revision = self.apply(r)
            ascending = ascending and revision > self.revision
            self.revision = revision
        return ascending

    def close(self):
        self.client.close()


def whole(server):
    """What the list is, of a fresh subscriber."""
    c = Copy(server, "admin")
    c.connect()
    c.close()
    return c.entries


def test_entries(server):
    c = server.connect("be1")
    g = reserve(c, b"user.e", L1)
    ok(g > 1 << 40, "a generation is a revision, and begins with the clock")
    same(find(c, b"user.e"), (L1, b"", b"reserved", g, b"", b"", b"0"),
         "reserved")
    same(reserve(c, b"user.e", L1), g, "reserved once more: the same")
    same(activate(c, b"user.e", L1, g, ACL, b"M1", b"\\Sent", b"7"), g,
         "active, and the generation stays")
    want = (L1, ACL, b"active", g, b"M1", b"\\Sent", b"7")
    same(find(c, b"user.e"), want, "with all that was said")
    same(reserve(c, b"user.e", L1), g, "reserving what is active: the same")
    same(find(c, b"user.e"), want, "which changes nothing")
    same(c.ask(b"ACTIVATE", b"user.e", L1, b"b\tl\t")[-1][1], b"OK",
         "RFC 3656's ACTIVATE")
    same(find(c, b"user.e"), (L1, b"b\tl\t", b"active", g, b"M1", b"\\Sent",
                              b"7"), "keeps what it does not know")
    same(c.ask(b"DEACTIVATE", b"user.e", L1)[-1][1], b"OK", "deactivated")
    same(find(c, b"user.e")[2:4], (b"moving", g), "is moving")
    same(c.ask(b"FIND", b"user.e", tag=b"F")[0],
         [b"F", b"RESERVE", b"user.e", L1], "to old peers it is reserved")
    same(activate(c, b"user.e", L1, g), g, "and active again")
    same(c.ask(b"DELETE", b"user.e")[-1][1], b"OK", "deleted")
    same(find(c, b"user.e"), None, "is not found")
    ok(reserve(c, b"user.e", L1) > g, "a later grant is a greater one")
    c.ask(b"DELETE", b"user.e")
    c.close()


def test_bad_arguments(server):
    c = server.connect("admin")
    for args in (
        (b"XUPDATE", b"epoch"), (b"XUPDATE", b"epoch", b"x"),
        (b"XUPDATE", b"", b"1"), (b"XUPDATE", b"e", b"1", b"2"),
        (b"XRESERVE", b"n"), (b"XACTIVATE", b"n", L1, b"", b"0", b"", b""),
        (b"XACTIVATE", b"n", L1, b"", b"-1", b"", b"", b"0"),
        (b"XACTIVATE", b"n", L1, b"", b"0", b"", b"", b"256"),
        (b"XDIGEST",), (b"XLIST", b"be1"), (b"XLIST", b"be1", b"256"),
        (b"XLIST", b"be1", b""), (b"XBREAK", b"n"),
        (b"XBREAK", b"n", b"g"), (b"XLEASES", b"x"), (b"XFIND",),
    ):
        same(answer(c.ask(*args)), b"BAD", b" ".join(args).decode())
    for args, code in (
        ((b"XACTIVATE", b"n", L1, b"", b"0", b"m" * 300, b"", b"0"),
         b"[LIMIT]"),
        ((b"XACTIVATE", b"n", L1, b"", b"0", b"", b"s" * 2000, b"0"),
         b"[LIMIT]"),
        ((b"XACTIVATE", b"n", L1, b"", b"%d" % (2 ** 64 - 1), b"", b"",
          b"0"), b"[LIMIT]"),
        ((b"XACTIVATE", b"n", b"", b"", b"0", b"", b"", b"0"), b"NO"),
        ((b"XRESERVE", b"", L1), b"NO"),
        ((b"XRESERVE", b"a\x01b", L1), b"NO"),
        ((b"XDIGEST", b"h" * 300), b"[LIMIT]"),
        ((b"XBREAK", b"nobody", b"1"), b"NO"),
    ):
        same(answer(c.ask(*args)), code, b" ".join(args)[:40].decode())
    same(state(c, b"n"), None, "and nothing has changed")
    same(c.ask(b"XFIND", b"\x01" + b"0" * 16)[-1][1], b"OK",
         "a name that cannot be is not there")
    c.close()
    c = server.connect()
    same(answer(c.ask(b"XFIND", b"n")), b"NO", "not before login")
    c.close()


# before, command, answer, after; of be1, whose entry it is, and be2
def fencing_cells(g):
    return [
        ("absent", ("be2", 0), "granted", (L2, b"active")),
        ("absent", ("be2", g), "kept", (L2, b"active")),
        ("reserved", ("be1", g), "kept", (L1, b"active")),
        ("reserved", ("be1", 0), "kept", (L1, b"active")),
        ("reserved", ("be1", g - 1), b"[FENCED]", (L1, b"reserved")),
        ("reserved", ("be2", 0), b"[TAKEN]", (L1, b"reserved")),
        ("reserved", ("be2", g - 1), b"[TAKEN]", (L1, b"reserved")),
        ("reserved", ("be2", g + 1), b"[TAKEN]", (L1, b"reserved")),
        ("active", ("be1", g - 1), b"[FENCED]", (L1, b"active")),
        ("active", ("be1", 0), "kept", (L1, b"active")),
        ("active", ("be2", 0), b"[TAKEN]", (L1, b"active")),
        ("active", ("be2", g), b"[TAKEN]", (L1, b"active")),
        ("moving", ("be1", g), "kept", (L1, b"active")),
        ("moving", ("be1", g - 1), b"[FENCED]", (L1, b"moving")),
        ("moving", ("be2", 0), b"[TAKEN]", (L1, b"moving")),
    ]


def test_fencing(server):
    """Generations g - 1 to g + 1 are of this run: the list knows them."""
    be = {"be1": server.connect("be1"), "be2": server.connect("be2")}
    loc = {"be1": L1, "be2": L2}
    admin = server.connect("admin")
    name = b"user.f"
    for i in range(len(fencing_cells(0))):
        g = reserve(be["be1"], name, L1)
        for other in (b"user.g", b"user.h"):  # g + 1 and g + 2
            activate(be["be1"], other, L1, 0, b"%d" % i)
        before, (who, _), want, after = fencing_cells(g)[i]
        if before in ("active", "moving"):
            activate(be["be1"], name, L1, g)
        if before == "moving":
            be["be1"].ask(b"DEACTIVATE", name, L1)
        if before == "absent":
            be["be1"].ask(b"DELETE", name)
        generation = fencing_cells(g)[i][1][1]
        got = activate(be[who], name, loc[who], generation)
        if want == "kept":
            good = got == g
        elif want == "granted":
            good = isinstance(got, int) and got > g
        else:
            good = got == want
        ok(good, f"{before}: XACTIVATE by {who} with g{generation - g:+}")
        same(state(admin, name), after, "and it is so")
        for n in (name, b"user.g", b"user.h"):
            admin.ask(b"DELETE", n)
    for c in (*be.values(), admin):
        c.close()


def test_codes(server):
    be1, be2 = server.connect("be1"), server.connect("be2")
    front, admin = server.connect("front"), server.connect("admin")
    name = b"user.c"
    g = reserve(be1, name, L1)
    for who, args, want in (
        (front, (b"XRESERVE", b"x", L1), b"[READONLY]"),
        (front, (b"RESERVE", b"x", L1), b"[READONLY]"),
        (front, (b"XACTIVATE", b"x", L1, b"", b"0", b"", b"", b"0"),
         b"[READONLY]"),
        (front, (b"XLEASES",), b"[NOTOWNER]"),
        (be1, (b"XLEASES",), b"[NOTOWNER]"),
        (be1, (b"XBREAK", name, b"%d" % g), b"[NOTOWNER]"),
        (be2, (b"XRESERVE", name, L1), b"[NOTOWNER]"),
        (be2, (b"XRESERVE", name, L2), b"[TAKEN]"),
        (be2, (b"RESERVE", name, L2), b"[TAKEN]"),
        (be2, (b"ACTIVATE", name, L2, b""), b"[TAKEN]"),
        (be2, (b"DELETE", name), b"[NOTOWNER]"),
        (be2, (b"DEACTIVATE", name, L2), b"[NOTOWNER]"),
        (be1, (b"ACTIVATE", name, L1, b""), b"OK"),
        (be1, (b"DEACTIVATE", name, L2), b"[NOTOWNER]"),
        (front, (b"XFIND", name), b"OK"),
        (front, (b"XDIGEST", b"be1"), b"OK"),
        (admin, (b"XBREAK", name, b"%d" % g), b"NO"),
        (be1, (b"DELETE", name), b"OK"),
    ):
        same(answer(who.ask(*args)), want, b" ".join(args)[:50].decode())
    for c in (be1, be2, front, admin):
        c.close()


def test_stream(server):
    w = server.connect("be1")
    activate(w, b"user.s", L1, 0, ACL, b"M")
    c = Copy(server)
    got = c.connect()
    same((got[0][1], c.at, got[-1][1]), (b"XFULL", True, b"OK"),
         "the whole list, the position, OK")
    same(int(got[0][3]), len(c.entries), "as many as were announced")
    g = reserve(w, b"user.t", L1)
    activate(w, b"user.t", L1, g)
    w.ask(b"DELETE", b"user.s")
    ok(c.sync(), "changes in the order of their revisions")
    same([(r[1], r[3]) for r in c.lines],
         [(b"XENTRY", b"user.t"), (b"XENTRY", b"user.t"),
          (b"XGONE", b"user.s")], "each of them, and the NOOP's OK")
    same(c.entries, whole(server), "and it is what the list is")
    same(answer(c.client.ask(b"XFIND", b"user.t")), b"BAD",
         "nothing else is legal now")
    plain = server.connect("front")
    plain.ask(b"UPDATE", tag=b"O")
    w.ask(b"DELETE", b"user.t")
    same(plain.ask(b"NOOP", tag=b"N"),
         [[b"O", b"DELETE", b"user.t"], [b"N", b"OK", b"Noop done"]],
         "others see RFC 3656's lines only")
    for x in (w, c, plain):
        x.close()


def test_resume(server):
    """Differences, over restarts and without."""
    w = server.connect("admin")
    names = [b"user.r%d" % i for i in range(50)]
    for n in names:
        activate(w, n, L1)
    c = Copy(server)
    c.connect()
    c.close()
    c.connect()
    same((c.kind, c.lines), (b"XSINCE", []), "nothing was missed")
    c.close()
    activate(w, names[0], L1, 0, b"x\tl\t")
    activate(w, names[1], L1, 0, b"y\tl\t")
    activate(w, names[0], L1, 0, b"z\tl\t")
    w.ask(b"DELETE", names[2])
    w.ask(b"DELETE", names[3])
    activate(w, names[3], L1)
    w.ask(b"DEACTIVATE", names[7], L1)
    activate(w, names[6], L1, 0, b"x\tl\t")
    activate(w, b"user.short", L1)
    w.ask(b"DELETE", b"user.short")
    c.connect()
    same(c.kind, b"XSINCE", "a difference")
    same([(r[1], r[3]) for r in c.lines],
         [(b"XENTRY", names[1]), (b"XENTRY", names[0]),
          (b"XENTRY", names[3]), (b"XENTRY", names[6]),
          (b"XGONE", names[2]), (b"XENTRY", names[7]),
          (b"XGONE", b"user.short")],
         "each name once, as it is now; what is active first")
    same(c.entries, whole(server), "makes the copy what the list is")
    c.close()
    w.close()
    server.stop()
    server.start()
    c.connect()
    same((c.kind, c.lines), (b"XSINCE", []), "a restart is no change")
    c.close()
    w = server.connect("admin")
    w.ask(b"DELETE", names[4])
    activate(w, names[5], L1, 0, b"x\tl\t")
    w.close()
    server.kill()
    server.start()
    c.connect()
    same(sorted((r[1], r[3]) for r in c.lines),
         [(b"XENTRY", names[5]), (b"XGONE", names[4])],
         "nor is a kill: what was deleted is known")
    same((c.kind, c.entries), (b"XSINCE", whole(server)), "all of it")
    old = Copy(server)
    old.epoch, old.revision = c.epoch, c.revision
    for epoch, revision, what in (
        (c.epoch, c.revision + (1 << 30), "a position in the future"),
        (c.epoch, 5, "one before the list was made"),
        (c.epoch, 0, "none"),
        (b"0" * 32, c.revision, "another epoch"),
        (b"x", c.revision, "no epoch"),
    ):
        old.epoch, old.revision = epoch, revision
        old.connect()
        same((old.kind, old.entries), (b"XFULL", c.entries), what)
        old.close()
    c.close()


def test_past_the_log():
    server = make(change_log="10")
    w = server.connect("admin")
    c = Copy(server)
    c.connect()
    c.close()
    for i in range(10):
        activate(w, b"user.%d" % i, L1)
    c.connect()
    same((c.kind, len(c.lines)), (b"XSINCE", 10), "just what the log has")
    c.close()
    for i in range(6):
        w.ask(b"DELETE", b"user.%d" % i)
    for i in range(5):
        activate(w, b"user.n%d" % i, L1)
    c.connect()
    same(c.kind, b"XFULL", "one more is too many")
    same(c.entries, whole(server), "and is the list")
    c.close()
    w.close()
    old = Copy(server)
    old.connect()
    old.close()
    server.stop()
    server.options["change_log"] = "1000"
    server.start()
    w = server.connect("admin")
    w.ask(b"DELETE", b"user.n0")
    old.connect()
    same((old.kind, len(old.lines)), (b"XSINCE", 1),
         "a longer log begins where the short one did")
    c.epoch, c.revision = old.epoch, c.revision - 11
    c.connect()
    same(c.kind, b"XFULL", "what that had forgotten stays so")
    old.close()
    c.close()
    w.close()
    end(server)


def test_restored(users):
    """A backup is put back: positions after it are not believed."""
    server = make()
    w = server.connect("be1")
    g = activate(w, b"user.a", L1)
    early = Copy(server)
    early.connect()
    early.close()
    server.stop()
    os.system(f"cp -a {server.dir}/list {server.dir}/backup")
    server.start()
    w = server.connect("be1")
    w.ask(b"DELETE", b"user.a")
    lost = reserve(w, b"user.b", L1)
    activate(w, b"user.b", L1, lost)
    late = Copy(server)
    late.connect()
    late.close()
    server.stop()
    os.system(f"rm -r {server.dir}/list && "
              f"mv {server.dir}/backup {server.dir}/list")
    server.start()
    late.connect()
    same((late.kind, list(late.entries)), (b"XFULL", [b"user.a"]),
         "a position after the backup: the whole list")
    early.connect()
    same(early.kind, b"XSINCE", "one before it: a difference")
    be1, be2 = server.connect("be1"), server.connect("be2")
    be1.ask(b"XDIGEST", b"be1")
    be2.ask(b"XDIGEST", b"be2")
    new = reserve(be2, b"user.b", L2)
    ok(new > lost, "later grants are greater, over that too")
    same(activate(be1, b"user.b", L1, lost), b"[TAKEN]",
         "an older grant that the list does not know takes nothing")
    same(activate(be2, b"user.b", L2, new), new, "the newer one has it")
    # be2 comes with a grant of the lost life, newer than that of be1's.
    same(activate(be2, b"user.a", L2, lost), lost,
         "a newer one that the list does not know takes the name")
    got = be1.response()
    same(got[:2], [b"*", b"BYE"], "and who had it must look")
    ok(got[2].startswith(b"[TAKEN]"), "being told why")
    same(state(be2, b"user.a"), (L2, b"active"), "it is so")
    be1 = server.connect("be1")
    same(activate(be1, b"user.a", L1, g), b"[TAKEN]", "the other is fenced")
    for c in (be1, be2, late, early):
        c.close()
    end(server)


def test_future():
    """A grant from ahead of our clock: later ones are greater still."""
    server = make()
    w = server.connect("be1")
    g = reserve(w, b"user.a", L1)
    ahead = g + (3600 << 20)
    same(activate(w, b"user.b", L1, ahead), ahead, "it is kept")
    got = reserve(w, b"user.c", L1)
    ok(got > ahead, "and what comes next is greater")
    c = Copy(server)
    c.epoch, c.revision = None, 0
    c.connect()
    c.close()
    c.revision = g + 1000
    c.connect()
    same(c.kind, b"XFULL", "what was jumped over was never given")
    c.close()
    server.kill()
    server.start()
    w = server.connect("be1")
    ok(reserve(w, b"user.d", L1) > got, "over a restart, too")
    w.close()
    end(server)


def synced(client):
    """The lines of an XUPDATE that was begun, up to its OK."""
    return client.until(b"U")[:-1]


def test_changes_meanwhile():
    """What is renamed, or changed again, while it is being sent."""
    server = make()
    w = server.connect("be1")
    big = b"x" * 100000  # and 200 of them fill any socket's buffers
    activate(w, b"user.old", L1)
    activate(w, b"user.z", L1)
    c = Copy(server)
    c.connect()
    c.close()
    for i in range(200):
        activate(w, b"user.m%03d" % i, L1, 0, big)
    activate(w, b"user.new", L1)
    w.ask(b"DELETE", b"user.old")
    client = server.connect("front")
    client.send(client.command(b"U", b"XUPDATE", c.epoch,
                               b"%d" % c.revision))
    same(client.response()[1], b"XSINCE", "a difference, not read yet")
    activate(w, b"user.new", L1, 0, b"b\tl\t")
    names = [(r[1], r[3]) for r in synced(client)[:-1]]
    ok(names.index((b"XENTRY", b"user.new"))
       < names.index((b"XGONE", b"user.old")),
       "what changes meanwhile is there before its other name goes")
    same(client.ask(b"NOOP", tag=b"N")[-1][1], b"OK", "and it streams")
    client.close()

    client = server.connect("front")
    client.send(client.command(b"U", b"XUPDATE"))
    same(client.response()[1], b"XFULL", "the whole list, not read yet")
    activate(w, b"user.a", L1)
    w.ask(b"DELETE", b"user.z")
    w.ask(b"DEACTIVATE", b"user.m199", L1)
    w.ask(b"DELETE", b"user.m000")
    got = synced(client)
    copy = Copy(server)
    for r in got[:-1]:
        copy.apply(r)
    ok(b"user.a" in copy.entries, "has a new name that sorts behind us")
    same(copy.entries, whole(server), "and is what the list is")
    same(len(client.ask(b"NOOP", tag=b"N")), 1, "nothing is told twice")
    w.ask(b"DELETE", b"user.a")
    r = client.response()
    ok(r[1] == b"XGONE" and int(r[2]) > int(got[-1][2]),
       "what comes next is after the position")
    client.close()

    client = server.connect("front")
    client.send(client.command(b"U", b"UPDATE"))
    names = {client.response()[2]}
    activate(w, b"user.a", L1)
    w.ask(b"DELETE", b"user.m001")
    lines = synced(client) + client.ask(b"NOOP", tag=b"N")[:-1]
    for r in lines:
        if r[1] == b"DELETE":
            names.discard(r[2])
        else:
            names.add(r[2])
    same(names, set(whole(server)), "old peers have it all after the OK")
    client.close()
    w.close()
    end(server)


def test_overtaken():
    """More changes than the log holds, while the list is sent."""
    server = make(change_log="20")
    w = server.connect("be1")
    big = b"x" * 100000
    for i in range(200):
        activate(w, b"user.m%03d" % i, L1, 0, big)
    client = server.connect("front")
    client.send(client.command(b"U", b"XUPDATE"))
    client.response()
    for i in range(50):
        activate(w, b"user.a%02d" % i, L1)
    got = synced(client)
    copy = Copy(server)
    for r in got[:-1] + client.ask(b"NOOP", tag=b"N")[:-1]:
        copy.apply(r)
    same(copy.entries, whole(server), "overtaken: the feed has it all")
    client.close()
    w.close()
    end(server)


def leases(c):
    return {r[2]: r[3:] for r in c.ask(b"XLEASES")[:-1]}


def test_leases():
    server = make(lease_time="1s")
    be1, be2 = server.connect("be1"), server.connect("be2")
    admin = server.connect("admin")
    sub = Copy(server)
    sub.connect()
    ga = reserve(be1, b"user.a", L1)
    gb = reserve(be1, b"user.b", L1)
    activate(be1, b"user.m", L1)
    be1.ask(b"DEACTIVATE", b"user.m", L1)
    activate(be1, b"user.live", L1)
    gc = reserve(be2, b"user.c", L2)
    got = leases(admin)
    same(sorted(got), [b"user.a", b"user.b", b"user.c", b"user.m"],
         "what is reserved, and what is moving")
    location, owner, since, expires, generation = got[b"user.a"]
    same((location, owner, expires, int(generation)), (L1, b"be1", b"", ga),
         "whose it is, and that they are here")
    ok(abs(int(since) - time.time()) < 60, "since when")
    same(got[b"user.m"][3], b"never", "what is moving has no end")
    same(answer(admin.ask(b"XBREAK", b"user.a", b"%d" % gb)), b"[FENCED]",
         "another generation is not broken")
    same(answer(admin.ask(b"XBREAK", b"user.a", b"%d" % ga)), b"OK",
         "an admin breaks one")
    same(answer(admin.ask(b"XBREAK", b"user.a", b"%d" % ga)), b"NO",
         "and it is gone")
    second = server.connect("be1")
    be1.close()
    sub.sync()
    ok(b"user.b" in sub.entries and leases(admin)[b"user.b"][3] == b"",
       "another session of the owner keeps it")
    second.close()
    # Nothing else happens, so this is the lease's end.
    r = sub.client.response()
    same((r[1], r[3]), (b"XGONE", b"user.b"), "without any it ends")
    same(sorted(leases(admin)), [b"user.c", b"user.m"],
         "others are as they were")
    same(state(admin, b"user.live"), (L1, b"active"), "so is what is active")
    same(activate(be2, b"user.c", L2, gc), gc, "and who is here goes on")
    reserve(be2, b"user.d", L2)
    be2.close()
    sub.close()
    admin.close()
    server.kill()
    server.options["lease_time"] = "1h"
    server.start()
    admin = server.connect("admin")
    lease = leases(admin).get(b"user.d")
    ok(lease is not None and lease[3] not in (b"", b"never"),
       "after a restart its time runs")
    admin.close()
    server.kill()
    server.options["lease_time"] = "1s"
    server.start()
    admin = server.connect("admin")
    plain = server.connect("front")
    got = plain.ask(b"UPDATE", tag=b"O")
    if any(r[1] == b"RESERVE" and r[2] == b"user.d" for r in got):
        same(plain.response(), [b"O", b"DELETE", b"user.d"], "and ends")
    else:
        ok(True, "and has ended")
    plain.close()
    admin.close()
    end(server)


def test_many_leases():
    """More than a slice of them, and others between."""
    server = make(lease_time="1s")
    be1, be2 = server.connect("be1"), server.connect("be2")
    for i in range(3000):
        be1.send(be1.command(b"r", b"RESERVE", b"user.m%d" % i, L1))
        be2.send(be2.command(b"r", b"ACTIVATE", b"user.n%d" % i, L2, b""))
    for i in range(3000):
        be1.response()
        be2.response()
    sub = server.connect("front")
    sub.ask(b"UPDATE", tag=b"O")
    be1.close()
    gone = {tuple(sub.response()[1:]) for _ in range(3000)}
    same(gone, {(b"DELETE", b"user.m%d" % i) for i in range(3000)},
         "all of an owner's end")
    same(len(be2.ask(b"LIST")), 3001, "and nobody else's")
    sub.close()
    be2.close()
    end(server)


def digest(c, host):
    got = c.ask(b"XDIGEST", host)
    return int(got[0][3]), got[0][4]


def test_digests(server):
    """Against what the entries of the list come to, by another program."""
    be1, be2 = server.connect("be1"), server.connect("be2")
    admin = server.connect("admin")
    for i in range(300):
        g = reserve(be1, b"user.d%d.x" % i, L1)
        if i % 3 == 0:
            activate(be1, b"user.d%d.x" % i, L1, g, b"u%d\tl\t" % i,
                     b"M%d" % i, b"\\Sent", b"%d" % (i % 256))
        if i % 9 == 0:
            be1.ask(b"DEACTIVATE", b"user.d%d.x" % i, L1)
        if i % 5 == 0:
            be1.ask(b"DELETE", b"user.d%d.x" % i)
    activate(be2, b"d.org!user.z.q", L2)

    def check(what):
        entries = whole(server)
        for host in (b"be1", b"be2", b"nobody"):
            d = Digest()
            for name, e in entries.items():
                if e[0].split(b"!")[0] == host:
                    d.add(name, *e)
            same(digest(admin, host), (d.count, d.text()),
                 f"digest of {host.decode()}, {what}")
        return entries

    entries = check("as changed")
    buckets = sorted({Digest.bucket(n) for n in entries})[:30]
    got = admin.ask(b"XLIST", b"be1", *[b"%d" % b for b in buckets])
    want = {n: e for n, e in entries.items()
            if e[0].startswith(b"be1!") and Digest.bucket(n) in buckets}
    same({r[3]: tuple(r[4:]) for r in got[:-1]}, want,
         "XLIST: a host's entries of some buckets")
    be1.close()
    be2.close()
    admin.close()
    server.kill()
    server.start()
    admin = server.connect("admin")
    check("as read at a start")
    admin.close()


def test_superseded(server):
    """A host that comes again: what its old session still says is unread."""
    old = server.connect("be1")
    digest(old, b"be1")
    bystander = server.connect("be1")
    new = server.connect("be1")
    digest(new, b"be1")
    old.send(old.command(b"r", b"XRESERVE", b"user.late", L1))
    try:
        got = old.response()
        same(got[:2], [b"*", b"BYE"], "the old session is over")
    except (Closed, ConnectionError):
        ok(True, "the old session is over")
    same(state(new, b"user.late"), None, "and what it said late is not done")
    same(bystander.ask(b"NOOP")[-1][1], b"OK",
         "a session that compared nothing goes on")
    # Whoever comes late to compare is the old one.
    late = server.connect("be1")
    digest(server_new := server.connect("be1"), b"be1")
    late.send(late.command(b"d", b"XDIGEST", b"be1")
              + late.command(b"r", b"XRESERVE", b"user.late", L1))
    same(late.response()[:2], [b"*", b"BYE"], "the older of two is over")
    same(state(server_new, b"user.late"), None, "with what it had sent")
    admin = server.connect("admin")
    digest(admin, b"be1")
    same(server_new.ask(b"NOOP")[-1][1], b"OK",
         "an admin who compares ends nobody's")
    for c in (old, bystander, new, late, server_new, admin):
        c.close()


def test_behind_its_back(server):
    """What is changed for a backend by others, it must come and see."""
    admin = server.connect("admin")
    name = b"user.back"
    for command, state_before, closes in (
        ((b"DELETE", name), "active", True),
        ((b"DELETE", name), "moving", True),
        ((b"DELETE", name), "reserved", False),
        ((b"ACTIVATE", name, L2, b""), "active", True),
        ((b"ACTIVATE", name, L2, b""), "reserved", True),
        ((b"ACTIVATE", name, L1, b"x"), "active", False),
    ):
        be1 = server.connect("be1")
        digest(be1, b"be1")
        g = reserve(be1, name, L1)
        if state_before != "reserved":
            activate(be1, name, L1, g)
        if state_before == "moving":
            be1.ask(b"DEACTIVATE", name, L1)
        same(admin.ask(*command)[-1][1], b"OK", "an admin's " + " ".join(
            c.decode() for c in command[:3]) + " of what is " + state_before)
        if closes:
            same(be1.response()[:2], [b"*", b"BYE"], "makes its host look")
        else:
            same(be1.ask(b"NOOP")[-1][1], b"OK", "leaves its host alone")
        admin.ask(b"DELETE", name)
        be1.close()
    be1 = server.connect("be1")
    digest(be1, b"be1")
    activate(be1, name, L1)
    same(be1.ask(b"DELETE", name)[-1][1], b"OK", "what it does itself")
    same(be1.ask(b"NOOP")[-1][1], b"OK", "it knows")
    be1.close()
    admin.close()


def main():
    server = make()
    test_entries(server)
    test_bad_arguments(server)
    test_fencing(server)
    test_codes(server)
    test_stream(server)
    test_digests(server)
    test_superseded(server)
    test_behind_its_back(server)
    test_resume(server)
    end(server)
    test_past_the_log()
    test_restored(USERS)
    test_future()
    test_changes_meanwhile()
    test_overtaken()
    test_leases()
    test_many_leases()
    tap.done()


main()
