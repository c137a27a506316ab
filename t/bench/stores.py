"""The groups that measure the mail store: one backend by itself, beside
Dovecot with sdbox and with Maildir, and Cyrus.

The peer of a figure is the best of them.  All sync what they have answered.
"""
import glob
import imaplib
import json
import os
import select
import shutil
import statistics
import subprocess
import time

import storework
from servers import TOP, Alone, Dovecot, DovecotStore, Failed, forget, text_of

LOAD = os.path.join(TOP, os.environ.get("B", "build"), "t", "bench", "load")
MAKING_MS = "5000"  # deliveries, until all users have a mailbox
LITTLE = 600       # octets of the messages of long mailboxes
USER = "user1"
STATUS = "(MESSAGES UIDNEXT UIDVALIDITY UNSEEN)"
NEEDLE = "counts what the tide"


class OfProcess:
    """A server in reach of this process."""

    def __init__(self, server):
        self.server, self.name = server, server.name
        self.mail, self.made = server.mail, set()

    def work(self, work, **more):
        try:
            return storework.do(work, self.server.at["imap"], **more)
        except storework.Failed as e:
            raise Failed("%s: %s" % (self.name, e))

    def load(self, mode, *more):
        where = "lmtp" if mode == "lmtp" else "imap"
        done = subprocess.run([LOAD, mode, self.server.at[where], *more],
                              stdout=subprocess.PIPE,
                              stdin=subprocess.DEVNULL, text=True)
        said = json.loads(done.stdout)
        if said["done"] == 0 and said["why"]:
            raise Failed("%s: load %s: %s" % (self.name, mode, said["why"]))
        return said

    def forget(self, caches=None):
        """Starts anew, with nothing in memory; without some files, too."""
        def between():
            if caches is not None:
                for path in glob.glob(os.path.join(self.mail, "**", caches),
                                      recursive=True):
                    os.unlink(path)
            forget(self.mail)
        self.server.restart(between)


class OfCyrus:
    """A server that t/bench/cyrus_peer.py has."""
    name, mail = "Cyrus", None

    def __init__(self, peer):
        self.peer, self.made = peer, set()
        peer.tell("up", "be")

    def work(self, work, **more):
        return self.peer.tell("work", "be", args=dict(work=work, **more))

    def load(self, mode, *more):
        said = self.peer.load("be", mode, *more)
        if said["done"] == 0 and said["why"]:
            raise Failed("Cyrus: load %s: %s" % (mode, said["why"]))
        return said

    def forget(self, caches=None):
        self.peer.tell("restart", "be")


class Stores:
    """Mixed into Bench, as Lists is."""
    STORES = {  # groups, and about how many seconds each takes
"deliver": 120, "append": 90, "opens": 60, "longbox": 240,
        "envelope": 120, "find": 120, "counts": 120, "resync": 120,
        "sessions": 120, "recover": 60}

    def start_stores(self):
        self.alone = self.add(Alone(self.path("alone"), self.opt.users))
        self.stores = [OfProcess(self.alone)]
        if self.opt.no_peers:
            return
        for kind in ("sdbox", "Maildir"):
            if Dovecot.installed():
                self.stores.append(OfProcess(self.add(DovecotStore(
                    self.path("dovecot." + kind), 1000, self.alone, kind))))
        if self.cyrus.child is not None:
            self.stores.append(OfCyrus(self.cyrus))

    def beside(self, group, figure, unit, key, call, expected, among=None):
        """
        In turns, and beside the best of the others.  expected: of ours to
        theirs, at least if more than 1, else at most.
        """
        stores = [s for s in self.stores if among is None or among(s)]
        said = self.in_turns([lambda s=s: call(s)[key] for s in stores])
        values = [statistics.median(one) for one in said]
        more = expected is not None and expected > 1
        row = {"ours": text_of(values[0], unit), "raw": {
            s.name: one for s, one in zip(stores, said)}}
        if len(stores) > 1:
            best = (max if more else min)(values[1:])
            ratio = values[0] / best
            row["peer"] = text_of(best, unit)
            row["peer name"] = stores[values.index(best, 1)].name
            row["ratio"] = "%.2f" % ratio
            if expected is not None:
                row["expected"] = "%s %g" % (
                    "at least" if more else "at most", expected)
                row["met"] = ratio >= expected if more else ratio <= expected
        self.row(group, figure, **row)

    def timed(self, group, figure, before, texts, expected, anew=False):
        reps = 1 if self.opt.quick else 5
        self.beside(group, figure, "ms", "ms", lambda s: s.work(
            "commands", user=USER, before=before, texts=texts, reps=reps,
            anew=anew), expected)

    def filled(self, mailbox, count):
        for s in self.stores:
            if mailbox not in s.made:
                s.made.add(mailbox)
                s.work("fill", user=USER, mailbox=mailbox, count=count,
                       size=LITTLE)
                # What a server keeps of messages, it has after this.
                s.work("commands", user=USER, before=["SELECT " + mailbox],
                       texts=["FETCH 1:* (ENVELOPE BODYSTRUCTURE)"], reps=1)

    @property
    def long(self):
        self.filled("long", self.opt.long)
        return "SELECT long"

    @property
    def middle(self):
        self.filled("middle", self.opt.long // 10)
        return "SELECT middle"

    # --- groups -------------------------------------------------------------

    def deliver(self):
        people = 20 if self.opt.quick else 1000
        for s in self.stores:  # who has no mailbox yet gets one, all of them
            s.load("lmtp", "-c", "16", "-n", str(people), "-t",
                   self.ms() if self.opt.quick else MAKING_MS)
        for clients, expected in ((1, 2), (16, 5), (64, 10)):
            self.beside("deliver", "LMTP, 4 kB, into %d users, %d clients" % (
                people, clients), "/s", "rate", lambda s: s.load(
                    "lmtp", "-c", str(clients), "-n", str(people), "-t",
                    self.ms()), expected)

    @property
    def people(self):
        return min(self.opt.users, 100)  # as many has Cyrus

    def ms(self):
        return str(int(self.opt.seconds * 1000))

    def append(self):
        text = storework.message(1, 10240, storework.random.Random(1))
        command = "APPEND INBOX {%d+}\r\n%s" % (len(text), text.decode())
        for clients, expected in ((1, 1.5), (16, 5)):
            self.beside("append", "APPEND of 10 kB, %d clients" % clients,
                        "/s", "rate", lambda s: s.load(
                            "command", "-c", str(clients), "-n", "16", "-m",
                            "INBOX", "-t", self.ms(), "-x", command),
                        expected)
        count = 10 if self.opt.quick else 1000
        self.beside("append", "MULTIAPPEND of %d of 4 kB, messages" % count,
                    "/s", "rate", lambda s: s.work(
                        "multiappend", user=USER, mailbox="many",
                        count=count, size=4096, reps=5), 10)

    def opens(self):
        for clients in (16, 64):
            self.beside("opens", "login, SELECT, LOGOUT, %d clients" % clients,
                        "/s", "rate", lambda s: s.load(
                            "login", "-c", str(clients), "-n", str(self.people),
                            "-t",
                            self.ms()), 4)

    def longbox(self):
        n = self.opt.long
        select = self.long
        self.timed("longbox", "SELECT of %d messages, warm" % n, [],
                   [select], 0.5, True)
        self.beside("longbox", "SELECT of %d messages, cold" % n, "ms", "ms",
                    lambda s: self.cold(s, select), 0.5)
        self.timed("longbox", "UID FETCH 1:* (FLAGS) of %d" % n, [select],
                   ["UID FETCH 1:* (FLAGS)"], 0.5)

    @staticmethod
    def cold(s, command):
        s.forget()
        # Another user's, so that processes are there.
        s.work("commands", user="user2", before=[], texts=["NOOP"], reps=1)
        return s.work("commands", user=USER, before=[], texts=[command],
                      reps=1)

    def envelope(self):
        n = self.opt.long // 10
        texts = ["FETCH 1:* (ENVELOPE BODYSTRUCTURE)"]
        select = self.middle
        self.timed("envelope", "FETCH (ENVELOPE BODYSTRUCTURE) of %d, cached"
                   % n, [select], texts, 0.5)
        self.checkpoint()

        def uncached(s):
            s.forget("cache" if s is self.stores[0]
                     else "dovecot.index.cache")
            return s.work("commands", user=USER, before=[select],
                          texts=texts, reps=1)
        self.beside("envelope", "the same, not cached", "ms", "ms", uncached,
                    0.7, lambda s: s.mail is not None)

    def checkpoint(self):
        """Until ours would not have its caches again from the log."""
        ours = self.stores[0]
        if self.opt.quick:
            return
        # One is made each 64 MB of log, where a batch of more than half a
        # megabyte is not.  One that ends now may have begun before.
        for _ in range(2):
            before = self.checkpointed(ours)
            ours.work("pour", user="user2", mailbox="poured", count=40000,
                      size=2048)
            deadline = time.monotonic() + 60
            while self.checkpointed(ours) == before:
                if time.monotonic() > deadline:
                    raise Failed("there was no checkpoint")
                time.sleep(0.1)

    @staticmethod
    def checkpointed(ours):
        try:
            with open(os.path.join(ours.mail, "checkpoint"), "rb") as f:
                return f.read()
        except FileNotFoundError:
            return b""

    def find(self):
        n = self.opt.long // 10
        for what, key in (("header", 'HEADER SUBJECT "tide harbour"'),
                          ("flag", "FLAGGED"),
                          ("body", 'BODY "%s"' % NEEDLE)):
            self.timed("find", "SEARCH by %s, %d messages" % (what, n),
                       [self.middle], ["SEARCH " + key], 0.5)

    def counts(self):
        n = 10 if self.opt.quick else 1000
        for s in self.stores:
            s.work("mailboxes", user="user3", count=n)
        for figure, texts in (
                ("STATUS of %d mailboxes", ["STATUS box%d %s" % (i, STATUS)
                                            for i in range(n)]),
                ("LIST-STATUS of %d", ['LIST "" "box%%" RETURN (STATUS %s)' %
                                       STATUS])):
            self.beside("counts", figure % n, "ms", "ms", lambda s: s.work(
                "commands", user="user3", before=[], texts=texts,
                reps=1 if self.opt.quick else 3), 0.3)

    def resync(self):
        self.long
        self.beside("resync", "QRESYNC, %d messages, 100 changes" %
                    self.opt.long, "ms", "ms", lambda s: s.work(
                        "resync", user=USER, mailbox="long", changes=100,
                        reps=1), 0.3)

    def sessions(self):
        n = self.opt.sessions
        few = min(n, 500)  # a process for each, in the others
        row = {}
        # One that has done nothing yet, whose heap has no room left over.
        ours = OfProcess(self.add(Alone(self.path("resting"),
                                        self.opt.users)))
        for s in [ours] + self.stores[1:]:
            if isinstance(s, OfCyrus):
                continue
            count = n if s is ours else few
            s.forget()
            s.load("login", "-c", "16", "-t", "500", "-n",
                   str(self.people))
            kb = self.resting(s, count)
            if s is ours:
                row = {"ours": text_of(kb, "kB"), "raw": kb}
            elif "peer" not in row or kb < row["peer raw"]:
                row.update({"peer": text_of(kb, "kB"), "peer raw": kb,
                            "peer name": "%s, %d sessions" % (s.name, few),
                            "ratio": "%.4f" % (row["raw"] / kb),
                            "expected": "at most 0.05",
                            "met": row["raw"] / kb <= 0.05})
        self.row("sessions", "memory of each of %d idle selected sessions" %
                 n, **row)

    def resting(self, s, count):
        """Kilobytes a session."""
        tree = {"it": s.server.tree}
        before = self.settled(tree)["it"]
        load = subprocess.Popen(
            [LOAD, "idle", s.server.at["imap"], "-c", str(count), "-n",
             str(self.people), "-x", "IDLE"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        try:
            some, _, _ = select.select([load.stdout], [], [], 300)
            said = json.loads(load.stdout.readline()) if some else {}
            if said.get("ready", 0) < count:
                raise Failed("%s: idle sessions: %s" % (s.name, said))
            return (self.settled(tree)["it"] - before) / count
        finally:
            load.stdin.close()
            load.wait()

    def recover(self):
        """Ours alone: killed behind a gigabyte, until somebody logs in."""
        mega = 1 if self.opt.quick else 1000
        where = self.path("recover")
        server = Alone(where, 2)
        took = []
        try:
            for _ in range(self.opt.reps):
                storework.do("pour", server.at["imap"], user=USER,
                             mailbox="much", count=mega * 16, size=1 << 16)
                server.murder("down", "backend1", "KILL")
                began = time.perf_counter()
                server.murder("up", "backend1")
                server.read_env()
                host, port = server.at["imap"].split(":")
                with imaplib.IMAP4(host, int(port)) as imap:
                    imap.login(USER, "password")
                    took.append(time.perf_counter() - began)
        finally:
            server.stop()
            shutil.rmtree(where, ignore_errors=True)
        worst = max(took)
        self.row("recover", "kill -9 behind %d MB, until a LOGIN is OK" %
                 mega, ours=text_of(worst, "s"), raw=took,
                 expected="at most 2 s", met=worst <= 2)
