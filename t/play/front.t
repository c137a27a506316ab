#!/usr/bin/python3
"""The frontend's copy of the list, whatever becomes of the update server.

One proxyd, a mupdated of its own, and a network between them that can be
broken.  All mailboxes are shared ones on a backend that is not there: what is
played is where a frontend thinks they are.  A reader lists them all the time;
it must never see a name missing that is not gone, an emptied or half-filled
list, or neither name of one that is renamed.
"""
import imaplib
import os
import re
import shutil
import subprocess
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "lib"))
from backend import tap  # noqa: E402
from frontend import Front  # noqa: E402
from middle import Middle  # noqa: E402
from murder import SECONDS, await_that  # noqa: E402
from mupdate import Client, Server  # noqa: E402
from wire import Wire  # noqa: E402

HOST = b"b1!default"
ACL = b"anyone\tlrsp\t"
MANY = 2000  # mailboxes of a list that is large for a play


class Update:
    """A mupdated whose list the play writes."""

    def __init__(self):
        self.server = Server(["admin", "frontend1"], admin="admin",
                             reader="frontend1")
        self.names = set()
        self.up()

    def up(self):
        self.server.start()
        self.port = self.server.ports["listen"]
        self.writer = Client(self.port)
        self.writer.banner()
        self.writer.login("admin")

    def down(self):
        self.writer.close()
        self.server.kill()

    def send(self, commands):
        """Pipelined, each to be answered OK."""
        for at in range(0, len(commands), 200):
            part = commands[at:at + 200]
            self.writer.send(b"".join(Client.command(b"X", *c)
                                      for c in part))
            for c in part:
                got = self.writer.until(b"X")
                if got[-1][1] != b"OK":
                    raise RuntimeError("%s: %s" % (c, got))

    def add(self, *names):
        self.send([(b"ACTIVATE", n.encode(), HOST, ACL) for n in names])
        self.names.update(names)

    def remove(self, *names):
        self.send([(b"DELETE", n.encode()) for n in names])
        self.names.difference_update(names)

    def close(self):
        self.server.end()
        self.server.remove()


class Reader(threading.Thread):
    """Lists all the time; keeps what must never be."""

    def __init__(self, front, kept, pairs=()):
        super().__init__(daemon=True)
        self.front = front
        self.kept = set(kept)   # always there
        self.pairs = pairs      # of which one or the other always is
        self.wrong = None
        self.done = 0
        self.unknown = 0
        self.stopping = threading.Event()
        self.start()

    def run(self):
        try:
            c = self.front.client()
            while not self.stopping.is_set() and self.wrong is None:
                self.look(c)
                self.stopping.wait(0.01)  # leave others some of the machine
            c.logout()
        except (OSError, imaplib.IMAP4.error, RuntimeError) as e:
            self.wrong = repr(e)

    def look(self, c):
        seen = self.front.names(c)
        if seen is None:
            self.unknown += 1
            return
        missing = self.kept - seen
        if missing:
            self.wrong = "%d of %d missing: %s" % (
                len(missing), len(self.kept), sorted(missing)[:3])
        for old, new in self.pairs:
            if old not in seen and new not in seen:
                self.wrong = "neither %s nor %s" % (old, new)
        self.done += 1

    def end(self, what):
        self.stopping.set()
        self.join(SECONDS)
        if not tap.ok(self.wrong is None and self.done > 0,
                      "%s: %d lists seen, %d not to be had" % (
                          what, self.done, self.unknown)):
            print("# %s" % self.wrong)

    def more(self, n=3):
        """Waits until it has looked so often again."""
        so_far = self.done
        await_that(lambda: self.done >= so_far + n or self.wrong,
                   "the reader reads on")


def numbered(first, last):
    return ["m%05d" % n for n in range(first, last)]


def same_list(f, u, what):
    c = f.client()
    got = f.names(c)
    c.logout()
    if not tap.ok(got == u.names, what):
        print("# %d names, should be %d" % (len(got or ()), len(u.names)))


# --- scenes -----------------------------------------------------------------

def filling(f, u, m):
    """From nothing, slowly: what has come is served, no more is claimed."""
    m.stall()
    f.start()
    status, text = f.health()
    tap.ok(status == 503 and "not ok list: filling" in text,
           "an empty copy is not well: %r" % text)
    asked = []
    for command in ('LIST "" "*"', 'SELECT "Shared Folders/m00001"',
                    "CREATE new", 'STATUS "Shared Folders/x" (MESSAGES)',
                    'MYRIGHTS "Shared Folders/x"'):
        w = Wire("127.0.0.1", f.imap, "reader")
        asked.append((command, w, w.begin(command)))
    tap.equal(f.rcpt("nobody"), 451, "RCPT cannot be answered yet")
    for command, w, tag in asked:
        found, last = w.answer(tag)
        tap.ok(last.startswith("NO [UNAVAILABLE]") and not found,
               "nor %s" % command)
        w.close()
    c = f.client()
    m.cut_behind(100 * 1000)
    m.flow()
    await_that(lambda: m.limit < 0, "the list was cut in the midst")
    f.await_health("not ok list: filling", "not connected", status=503)
    some = int(re.search(r"filling, (\d+)",
                         f.health()[1] + "filling, 0").group(1))
    tap.ok(0 < some < MANY, "%d mailboxes of half a list" % some)
    tap.ok(f.names(c) is None, "no list")
    first = sorted(u.names)[0]
    status, got = c.select('"Shared Folders/%s"' % first)
    tap.ok(b"It is not known" not in got[0] and b"no such" not in got[0],
           "but of those that came it is known where they are: %r" % got)
    m.cut_behind(None)
    m.cut()
    f.await_current(len(u.names))
    same_list(f, u, "then all of it")
    tap.equal(f.rcpt("nobody"), 550, "RCPT of nobody is refused now")
    status, got = c.select('"Shared Folders/none"')
    tap.ok(status == "NO" and b"[NONEXISTENT]" in got[0],
           "and what does not exist does not")
    c.logout()


def cut_off(f, u, m):
    """Served on; what cannot be known is not guessed."""
    reader = Reader(f, u.names)
    m.down()
    text = f.await_health("ok list", "not connected")
    tap.ok("current" in text and "seconds ago" in text,
           "cut off it serves and says how old: %r" % text)
    c = f.client()
    status, got = c.select('"Shared Folders/none"')
    tap.ok(status == "NO" and b"[UNAVAILABLE]" in got[0],
           "a miss cannot be known: %r" % got)
    tap.equal(f.rcpt("nobody"), 451, "nor by LMTP")
    c.logout()
    tap.ok("update server lost" in f.log(), "the log says so")
    await_that(lambda: int(f.metrics()["murder_list_stale_seconds"]) >= 2,
               "/metrics counts the seconds")
    u.add("late")
    m.up()
    f.await_current(len(u.names))
    same_list(f, u, "back, it has what it missed")
    # A peer that is there and says nothing is noticed by NOOP.
    m.stall()
    f.await_health("not connected", "no answer in time")
    reader.more()
    m.flow()
    m.cut()
    f.await_current(len(u.names))
    reader.end("reads go on")


def shared(f, m):
    """Many that miss at once are answered by one or two NOOPs."""
    noops = m.noops
    before = int(f.metrics()["murder_list_barriers_total"])
    codes = []
    m.stall()
    askers = [threading.Thread(target=lambda: codes.append(f.rcpt("none")))
              for _ in range(20)]
    for a in askers:
        a.start()
    await_that(lambda: int(f.metrics()["murder_list_barriers_total"]) ==
               before + 20, "all have asked")
    m.flow()
    for a in askers:
        a.join(SECONDS)
    tap.equal(codes, [550] * 20, "20 misses are certain")
    tap.ok(m.noops - noops <= 3, "by %d NOOPs" % (m.noops - noops))


def resume(f, u, m):
    """After 100 missed changes about 100 lines come."""
    m.down()
    f.await_health("not connected")
    u.add(*numbered(MANY, MANY + 60))
    u.remove(*numbered(10, 50))
    before = m.octets
    m.up()
    f.await_current(len(u.names))
    came = m.octets - before
    tap.ok(came < 20 * 1000, "100 missed changes: %d octets came" % came)
    same_list(f, u, "and the copy is the list")
    tap.ok("mailbox list has caught up" in f.log(), "the log says so")


def killed(f, u, m):
    """The front dies at any moment of a stream, and of a full load."""
    reader = Reader(f, u.names)
    for n in range(6):
        u.add(*numbered(10000 + n * 100, 10000 + n * 100 + 100))
        f.kill_front()
        u.remove(*numbered(10000 + n * 100, 10000 + n * 100 + 50))
    f.await_current(len(u.names))
    same_list(f, u, "killed in the stream, the copy is the list")
    reader.end("and no reader saw less")
    # Full loads: another update server, each time killed elsewhere.
    reader = Reader(f, u.names - set(numbered(0, 200)))
    for n in range(5):
        m.down()
        u.down()
        shutil.rmtree(u.server.dir + "/list")
        u.up()
        names = sorted(u.names)
        u.add(*names)
        u.remove(*[x for x in names if x in numbered(n * 40, n * 40 + 40)])
        m.to = u.port
        m.cut_behind(n * 60 * 1000 + 5000)
        m.up()
        await_that(lambda: m.limit < 0, "the list comes")
        f.kill_front()
        m.cut_behind(None)
        f.await_current(len(u.names))
        same_list(f, u, "another epoch, killed at %d kB" % (n * 60 + 5))
    reader.end("and no reader saw less")


def server_killed(f, u, m):
    reader = Reader(f, u.names)
    for n in range(4):
        u.down()
        u.up()
        m.to = u.port
        u.add("again%d" % n)
        f.await_current(len(u.names))
    same_list(f, u, "the update server killed four times")
    reader.end("reads go on")


def renames(f, u, m):
    """As backends do it: the new name, then the old one goes."""
    pairs = [("r%d" % n, "s%d" % n) for n in range(0, 300)]
    u.add(*[old for old, _ in pairs])
    f.await_current(len(u.names))
    reader = Reader(f, set(), pairs)
    for _ in range(3):
        for old, new in pairs:
            u.send([(b"RESERVE", new.encode(), HOST),
                    (b"ACTIVATE", new.encode(), HOST, ACL),
                    (b"DELETE", old.encode())])
        pairs = [(b, a) for a, b in pairs]
    reader.more()
    m.down()
    for old, new in pairs:  # the difference says the new ones last
        u.send([(b"ACTIVATE", new.encode(), HOST, ACL),
                (b"DELETE", old.encode()),
                (b"ACTIVATE", new.encode(), HOST, ACL + b"x\tl\t")])
    m.up()
    u.names = {n for n in u.names if n[0] not in "rs"} | \
        {new for _, new in pairs}
    u.add("renamed")
    f.await_current(len(u.names))
    same_list(f, u, "all are renamed")
    reader.more()
    reader.end("of a rename always a name is seen")


def emptied(f, u, m):
    """An update server that lost its list does not take ours with it."""
    kept = set(u.names)
    reader = Reader(f, kept)
    m.down()
    u.down()
    shutil.rmtree(u.server.dir + "/list")
    u.up()
    u.names = set()
    u.add("fresh")
    m.to = u.port
    m.up()
    accept = f.path("data/accept-list")
    text = f.await_health("held back", accept)
    tap.ok("%d removals of %d" % (len(kept), len(kept)) in text,
           "how many: %r" % text)
    tap.equal(f.metrics()["murder_list_held"], str(len(kept)), "/metrics too")
    tap.ok(re.search("removals held back .*to_accept_make=" + accept,
                     f.log()), "and the log what to do")
    c = f.client()
    tap.ok("fresh" in f.names(c), "what is new is there")
    u.add("fresher")
    await_that(lambda: "fresher" in f.names(c), "and goes on to be")
    reader.more()
    f.kill_front()
    f.await_health("held back")
    reader.end("nothing was taken away, killed or not")
    open(accept, "w").close()
    f.await_current(2)
    tap.ok("held back" not in f.health()[1], "accepted, it is done")
    tap.ok(f.names(c) == {"fresh", "fresher"}, "as the list has it")
    tap.ok(not os.path.exists(accept), "the word is used up")
    c.logout()


def flood(f, u, m):
    """A program gone wrong that deletes one after another."""
    u.add(*numbered(0, 400))
    f.await_current(402)
    reader = Reader(f, numbered(300, 400))
    u.remove(*numbered(0, 300))
    f.await_health("held back", "too much is deleted at once")
    u.add("after")
    c = f.client()
    await_that(lambda: "after" in f.names(c), "additions are taken")
    held = f.log().count("removals held back")
    m.cut()
    await_that(lambda: f.log().count("removals held back") > held,
               "connected again, they are held again")
    open(f.path("data/accept-list"), "w").close()
    f.await_current(len(u.names))
    same_list(f, u, "accepted, it is done")
    reader.end("those that are not deleted stay")
    c.logout()


def certificate(u, name, *options):
    """Its own authority; where it is."""
    files = [os.path.join(u.server.dir, name + "." + what)
             for what in ("key", "cert")]
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                    "ec_paramgen_curve:P-256", "-nodes", "-subj",
                    "/CN=" + name, "-days", "30", "-keyout", files[0],
                    "-out", files[1]] + list(options),
                   check=True, stderr=subprocess.DEVNULL)
    return files


def named(u):
    """With TLS from the start, the certificate must bear the server's name."""
    for name, options, good in (
            ("mu.test", (), False),
            ("here", ("-addext", "subjectAltName=IP:127.0.0.1"), True)):
        key, cert = certificate(u, name, *options)
        u.down()
        u.server.options.update(tls_key=key, tls_cert=cert,
                                listen_tls="127.0.0.1:0")
        u.up()
        f = Front(u.server.ports["listen_tls"], "mupdate_tls = yes",
                  "backend_ca = " + cert)
        try:
            f.start()
            if good:
                f.await_current(len(u.names))
            else:
                f.await_health("not connected", "certificate", status=503)
            f.stop()
        finally:
            f.remove()


def told(f):
    code, text = f.ask("/metrics")
    tap.ok(code == 200 and "# TYPE murder_list_mailboxes gauge" in text,
           "/metrics")
    tap.equal(f.ask("/other")[0], 404, "nothing else")


def main():
    u = Update()
    m = Middle(u.port)
    f = Front(m.port)
    try:
        u.add(*numbered(0, MANY))
        filling(f, u, m)
        cut_off(f, u, m)
        shared(f, m)
        resume(f, u, m)
        killed(f, u, m)
        server_killed(f, u, m)
        renames(f, u, m)
        emptied(f, u, m)
        flood(f, u, m)
        told(f)
        f.stop()
        named(u)
    finally:
        if tap.failed or sys.exc_info()[0]:
            print("# " + "\n# ".join(f.log().split("\n")[-30:]))
        f.remove()
        u.close()
    tap.done()


main()
