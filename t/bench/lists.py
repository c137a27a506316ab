"""The groups that measure the mailbox list: the update server, what reaches
its subscribers, a frontend's copy, and all of it at size; beside Cyrus's.
"""
import imaplib
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import time
import urllib.error
import urllib.request

from servers import TOP, Failed, Ours, add_user, free_ports, own_of

HERE = os.path.dirname(os.path.abspath(__file__))
TREE = os.path.join(TOP, os.environ.get("B", "build"), "t", "bench", "tree")
SUBSCRIBERS = 8
MISSED = 100     # changes that a subscriber was away for
BOXES = 50       # of the user whose LIST is measured
CLIENTS = 4      # that fill a list
READY_SECONDS = 600


def milliseconds(us):
    return "%.3g ms" % (us / 1000)


class CyrusPeer:
    """t/bench/cyrus_peer.py, or nothing: then every order says None."""

    def __init__(self, wanted):
        self.child, self.up = None, set()
        if not wanted:
            return
        self.child = subprocess.Popen(
            [os.path.join(HERE, "cyrus_peer.py")], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, text=True)
        said = json.loads(self.child.stdout.readline() or '{"error": "ended"}')
        if "error" in said:
            print("bench: no Cyrus: %s" % said["error"], file=sys.stderr)
            self.stop()

    def tell(self, do, name, **more):
        if self.child is None:
            return None
        if do in ("up", "down"):
            (self.up.add if do == "up" else self.up.discard)(name)
        self.child.stdin.write(json.dumps(dict(do=do, name=name, **more)) +
                               "\n")
        self.child.stdin.flush()
        line = self.child.stdout.readline()
        said = json.loads(line) if line else {"error": "ended"}
        if "error" in said:
            raise Failed("Cyrus: " + said["error"])
        return said

    def load(self, name, *args):
        return self.tell("load", name, args=list(args))

    def stop(self):
        if self.child is not None:
            self.child.stdin.close()
            self.child.wait()
            self.child = None


class Listed(Ours):
    """A murder whose list is long: user2 is who fills it."""

    def __init__(self, where, backends, frontends):
        self.dir = where
        self.admin = ["127.0.0.1:%d" % p for p in free_ports(2)]
        self.murder("start", "--backends", str(backends), "--frontends",
                    str(frontends), "--users", "2" if backends else "0",
                    "--set", "mupdated:writer = filler",
                    "--set", "mupdated:writer = backend1",
                    "--set", "mupdated:max_backlog = 1G",
                    "--set", "mupdated:admin_listen = " + self.admin[0],
                    "--set", "proxyd:admin_listen = " + self.admin[1])
        add_user(os.path.join(where, "conf", "sasldb"), "filler")
        self.read()

    def read(self):
        with open(os.path.join(self.dir, "env")) as f:
            self.env = dict(line.strip().split("=", 1) for line in f)

    @property
    def mupdate(self):
        return self.env["MUPDATE"]

    def down(self, name):
        self.murder("down", name)

    def up(self, name):
        """Nothing, if it is."""
        if not os.path.exists(os.path.join(self.dir, "run", name + ".pid")):
            self.murder("up", name)
            self.read()

    def make_boxes(self, count):
        """So many for user1."""
        host, port = self.env["FRONTEND1_IMAP"].split(":")
        with imaplib.IMAP4(host, int(port), timeout=60) as imap:
            imap.login("user1", "password")
            for i in range(count - len(imap.list()[1])):
                status, said = imap.create("box%d" % i)
                if status != "OK":
                    raise Failed("CREATE: %s" % said)

    def pid(self, name):
        return int(self.env[name.upper() + "_PID"])

    def empty_frontend(self):
        """Its process is not there, nor is what it had copied."""
        self.down("frontend1")
        shutil.rmtree(os.path.join(self.dir, "data", "frontend1"),
                      ignore_errors=True)

    def await_copy(self, names):
        """Until the frontend's copy is current and has so many names."""
        end = time.monotonic() + READY_SECONDS
        while time.monotonic() < end:
            try:
                base = "http://%s" % self.admin[1]
                with urllib.request.urlopen(base + "/healthz", timeout=30):
                    pass
                with urllib.request.urlopen(base + "/metrics",
                                            timeout=30) as f:
                    has = re.search(rb"^murder_list_mailboxes (\d+)",
                                    f.read(), re.M)
                if has and int(has.group(1)) >= names:
                    return
            except (OSError, urllib.error.URLError):
                pass
            time.sleep(0.02)  # between two looks
        raise Failed("the frontend's copy is not complete")


class Lists:
    """Mixed into Bench, whose load(), row() and opt it uses."""

    BUDGET = {"mupdate": 90, "propagation": 90, "fulllist": 240,
              "resume": 60, "list": 60, "scale": 180}

    listed = None      # with --names mailboxes, made by who needs it first
    cyrus_names = 0    # that the peer's update server has now
    cyrus_child = None

    @property
    def cyrus(self):
        if self.cyrus_child is None:
            self.cyrus_child = CyrusPeer(not self.opt.no_peers)
        return self.cyrus_child

    def stop_lists(self):
        if self.cyrus_child is not None:
            self.cyrus_child.stop()
        if self.listed is not None:
            self.listed.stop()

    def at_least(self, value, least):
        return dict(expected="at least %d" % least, met=value >= least)

    def at_most(self, value, most, text):
        return dict(expected="at most " + text, met=value <= most)

    # --- changes ----------------------------------------------------------

    def mupdate(self):
        lone = Listed(self.path("mupdate"), 0, 0)
        try:
            self.cyrus.tell("up", "mup", where="disk")
            for text, least, more in (
                    ("1 connection, waiting", 2000, ["-c", "1"]),
                    ("8 connections, 64 commands under way", 40000,
                     ["-c", "8", "-w", "64"])):
                self.changes(lone, text, least, more)
            self.cyrus.tell("down", "mup")
        finally:
            lone.stop()

    def changes(self, lone, text, least, more):
        ms = str(int(self.opt.seconds * 1000))
        calls = [lambda: self.load("mupdate", lone.mupdate, "-u", "filler",
                                   "-b", "filler", *more)]
        if self.cyrus.child is not None:
            calls.append(lambda: self.cyrus.load(
                "mup", "mupdate", "-u", "writer", "-t", ms, *more))
        said = self.in_turns(calls)
        rates = [[s["rate"] for s in one] for one in said]
        ours = statistics.median(rates[0])
        row = dict(ours="%.0f pairs/s" % ours, raw=said,
                   failed=sum(s["failed"] for one in said for s in one),
                   **self.at_least(ours, least))
        if len(rates) > 1:
            row.update({"peer": "%.0f pairs/s" % statistics.median(rates[1]),
                        "peer name": "Cyrus",
                        "ratio": "%.1f" % statistics.median(
                            a / max(b, 1) for a, b in zip(*rates))})
        self.row("mupdate", "RESERVE and ACTIVATE, durable, " + text, **row)

    # --- a change's way -----------------------------------------------------

    def propagation(self):
        lone = Listed(self.path("propagation"), 0, 0)
        more = ["-c", str(SUBSCRIBERS + 1), "-r", "50", "-k",
                str(max(1, int(self.opt.seconds * 2))), "-t", "60000"]
        try:
            said = [self.load("propagate", lone.mupdate, "-u", "filler", "-b",
                              "filler", *more)
                    for _ in range(self.opt.reps)]
        finally:
            lone.stop()
        self.cyrus.tell("up", "mup", where="disk")
        theirs = self.cyrus.load("mup", "propagate", "-u", "writer", *more)
        self.cyrus.tell("down", "mup")
        for key, most, text in (("p50", 1000, "1 ms"),
                                ("p99", 10000, "10 ms")):
            ours = statistics.median(s[key] for s in said)
            row = dict(ours=milliseconds(ours), raw=[said, theirs],
                       failed=sum(s["failed"] + s["missing"] for s in said),
                       **self.at_most(ours, most, text))
            if theirs:
                row.update({"peer": milliseconds(theirs[key]),
                            "peer name": "Cyrus"})
            self.row("propagation", "answered to seen by each of %d "
                     "subscribers, 50 changes/s, %s" % (SUBSCRIBERS, key),
                     **row)

    # --- a long list ----------------------------------------------------------

    def fill(self):
        """Ours, once: --names mailboxes, of which user1 has BOXES."""
        if self.listed is not None:
            return
        names = self.opt.names
        self.listed = Listed(self.path("listed"), 1, 1)
        self.listed.make_boxes(BOXES)
        self.listed.empty_frontend()
        began = time.monotonic()
        said = self.load("fill", self.listed.mupdate, "-u", "filler", "-b",
                         "filler", "-c", str(CLIENTS), "-w", "1000", "-k",
                         str(names), "-t", str(READY_SECONDS * 1000))
        if said["done"] != names:
            raise Failed("filling the list: %s" % said)
        print("bench: a list of %d, made in %.1f s" % (
            names, time.monotonic() - began), file=sys.stderr, flush=True)

    def fill_cyrus(self):
        """The peer's update server, in memory: it syncs for every change."""
        if self.cyrus.child is None or self.cyrus_names:
            return
        self.cyrus.tell("up", "mup", where="memory")
        said = self.cyrus.load(
            "mup", "fill", "-u", "writer", "-c", "1", "-w", "64", "-B",
            str(BOXES), "-k", str(self.opt.cyrus_names), "-t",
            str(READY_SECONDS * 1000))
        if said["done"] != self.opt.cyrus_names:
            raise Failed("filling Cyrus's list: %s" % said)
        self.cyrus_names = self.opt.cyrus_names

    def peer_at_size(self, text):
        if self.cyrus.child is None:
            return {}
        return {"peer": text, "peer name": "Cyrus, %d names" %
                self.cyrus_names}

    def fulllist(self):
        names = self.opt.names
        self.fill()
        self.fill_cyrus()
        said = [self.update("UPDATE") for _ in range(self.opt.reps)]
        if any(s["entries"] < names for s in said):
            raise Failed("not the whole list: %s" % said)
        theirs = [self.cyrus.load("mup", "update", "-u", "writer", "-t",
                                  "600000")
                  for _ in range(self.opt.reps if self.cyrus.child else 0)]
        ours = statistics.median(s["p50"] for s in said)
        self.row("fulllist", "%d names to a new subscriber" % names,
                 ours=milliseconds(ours), raw=[said, theirs],
                 **self.at_most(ours, 1e6, "1 s"), **self.peer_at_size(
                     milliseconds(statistics.median(
                         s["p50"] for s in theirs)) if theirs else ""))
        self.fill_copy(names)
        own = own_of(self.listed.pid("mupdate"))
        row = dict(ours="%.0f MB" % (own / 1024), raw=own,
                   **self.at_most(own, 100 * 1024, "100 MB"))
        if self.cyrus.child is not None:
            row.update(self.peer_at_size("%.0f MB" % (
                self.cyrus.tell("pss", "mup")["own_kb"] / 1024)))
        self.row("fulllist", "update server's memory at %d names, its own" %
                 names, **row)

    def update(self, command):
        said = self.load("update", self.listed.mupdate, "-u", "filler", "-x",
                         command, "-t", "600000")
        if said["done"] != 1:
            raise Failed("UPDATE: %s" % said)
        return said

    def fill_copy(self, names):
        """From nothing until a frontend serves from the whole list."""
        taken = []
        for _ in range(self.opt.reps):
            self.listed.empty_frontend()
            began = time.monotonic()
            self.listed.up("frontend1")
            self.listed.await_copy(names)
            taken.append(time.monotonic() - began)
        ours = statistics.median(taken)
        row = dict(ours="%.2f s" % ours, raw=taken,
                   **self.at_most(ours, 5, "5 s"))
        theirs = self.cyrus.tell("up", "fe", where="memory")
        if theirs:
            row.update(self.peer_at_size("%.2f s" % theirs["seconds"]))
        self.row("fulllist", "%d names in an empty frontend, from its start" %
                 names, **row)

    def resume(self):
        self.fill()
        taken, raw = [], []
        for _ in range(self.opt.reps):
            at = self.update("XUPDATE")
            if at["revision"] == 0:
                raise Failed("the update server has no XUPDATE")
            self.load("propagate", self.listed.mupdate, "-u", "filler", "-b",
                      "filler", "-c", "1", "-r", str(MISSED), "-k", "1", "-t",
                      "60000")
            said = self.update('XUPDATE "%s" "%d"' % (at["epoch"],
                                                      at["revision"]))
            if said["entries"] != MISSED:
                raise Failed("not what was missed: %s" % said)
            taken.append(said["p50"])
            raw.append(said)
        ours = statistics.median(taken)
        self.row("resume", "%d missed changes, list of %d" % (
            MISSED, self.opt.names), ours=milliseconds(ours), raw=raw,
            **self.at_most(ours, 20000, "20 ms"))

    # --- LIST -----------------------------------------------------------------

    def list(self):
        self.fill()
        self.listed.up("frontend1")
        self.listed.await_copy(self.opt.names)
        self.fill_cyrus()
        ask = ["-x", 'LIST "" "*"', "-m", "", "-n", "1"]
        calls = [lambda: self.load("command", self.listed.env[
            "FRONTEND1_IMAP"], *ask)]
        if self.cyrus.child is not None:
            if "fe" not in self.cyrus.up:
                self.cyrus.tell("up", "fe", where="memory")
            calls.append(lambda: self.cyrus.load(
                "fe", "command", "-u", "u000000", "-t", "10000", *ask))
        said = self.in_turns(calls)
        if any(s["done"] == 0 for one in said for s in one):
            raise Failed("LIST: %s" % said)
        p50 = [statistics.median(s["p50"] for s in one) for one in said]
        self.row("list", 'LIST "" "*" of a user with %d mailboxes of %d' % (
            BOXES, self.opt.names), ours=milliseconds(p50[0]), raw=said,
            failed=sum(s["failed"] for one in said for s in one),
            **self.at_most(p50[0], 2000, "2 ms"),
            **self.peer_at_size(milliseconds(p50[-1])))

    # --- ten million -------------------------------------------------------------

    def scale(self):
        for where in ("memory", "copy"):
            self.tree(where)

    def tree(self, where):
        copy = self.path("tree")
        os.makedirs(copy)
        done = subprocess.run(
            [TREE, str(self.opt.scale // 10), "10"] +
            ([copy] if where == "copy" else []), stdout=subprocess.PIPE,
            text=True)
        shutil.rmtree(copy)
        try:
            said = json.loads(done.stdout)
        except ValueError:
            raise Failed("tree: " + done.stdout)
        text = "load %.1f s, own memory %.0f MB, look-up %.2g us, " \
            "a user's tree %.2g us, CREATE %.2g us" % (
                said["load_s"], said["own_kb"] / 1024,
                1e6 / said["lookups_per_s"], said["user_walk_us"],
                said["create_us"])
        if "disk_kb" in said:
            text += ", file %.0f MB" % (said["disk_kb"] / 1024)
        self.row("scale", "%d mailboxes, %s" % (
            said["mailboxes"], "as an update server has them"
            if where == "memory" else "as a frontend's copy"),
            ours=text, raw=said)
