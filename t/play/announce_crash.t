#!/usr/bin/python3
"""A change of the list, and at each of its steps something dies.

Between a backend and its update server stands a relay that holds the Nth
command of a change (or its answer) back for ever, and then cuts the link,
kills the backend's store process, or kills the update server; or it says NO
in its place.  Whatever was answered, when the two have met again:

  what is listed is on disk, what is on disk is listed, nothing is reserved;
  OK lasts, NO has changed nothing;
  of a RENAME all names are the old ones, or all are the new.
"""
import base64
import json
import os
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "lib"))
from backend import Raw, tap  # noqa: E402

SCRIPT = os.path.join(HERE, "..", "murder")
DIR = tempfile.mkdtemp(prefix="murder.")
ENV = {}
SECONDS = 60


def murder(*args):
    subprocess.run([SCRIPT, args[0], DIR] + list(args[1:]), check=True,
                   stdout=subprocess.DEVNULL)
    with open(os.path.join(DIR, "env")) as f:
        ENV.update(line.strip().split("=", 1) for line in f if "=" in line)


def port(name):
    return int(ENV[name].rsplit(":", 1)[1])


def child_of(daemon, comm):
    """The process that does the work, not its parent."""
    parent = ENV[daemon + "_PID"]
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open("/proc/%s/stat" % pid) as f:
                name, rest = f.read().split("(", 1)[1].rsplit(")", 1)
        except OSError:
            continue
        if name.startswith(comm) and rest.split()[1] == parent:
            return int(pid)
    return None


class Relay:
    """Octets both ways, until the step that was asked for."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = "127.0.0.1:%d" % self.listener.getsockname()[1]
        self.lock = threading.Lock()
        self.left = 0       # commands until the one that is held; 0: none
        self.hold = None    # "command", "answer" or "after"
        self.act = None     # what to do then
        self.tag = None     # of the held command
        self.swallow = False  # the rest of a command
        threading.Thread(target=self.serve, daemon=True).start()

    def arm(self, n, hold, act):
        with self.lock:
            self.left, self.hold, self.act, self.tag = n, hold, act, None

    def disarm(self):
        """Was it never reached?"""
        with self.lock:
            unused = self.left > 0
            self.left, self.tag = 0, None
            return unused

    def serve(self):
        while True:
            client, _ = self.listener.accept()
            try:
                server = socket.create_connection(
                    ("127.0.0.1", port("MUPDATE")), 30)
                server.settimeout(None)
            except (OSError, KeyError):  # it is not there, or not yet
                client.close()
                continue
            threading.Thread(target=self.relay, args=(client, server),
                             daemon=True).start()

    def relay(self, client, server):
        pending = {client: b"", server: b""}
        try:
            while True:
                ready, _, _ = select.select([client, server], [], [])
                for one in ready:
                    octets = one.recv(65536)
                    if octets == b"":
                        return
                    lines = (pending[one] + octets).split(b"\r\n")
                    pending[one] = lines.pop()
                    other = server if one is client else client
                    for line in lines:
                        if not self.pass_on(line + b"\r\n", one is client,
                                            other, one):
                            return
        except OSError:
            pass
        finally:
            client.close()
            server.close()

    def pass_on(self, line, is_command, other, back):
        """False: the link is to be cut."""
        with self.lock:
            command = re.match(rb"(B\d+) (X?RESERVE|X?ACTIVATE|DEACTIVATE|"
                               rb"DELETE)", line)
            if is_command and self.left > 0 and command:
                self.left -= 1
                if self.left == 0:
                    self.tag = command.group(1)
                    if self.hold == "command":
                        return self.do(self.act)
                    if self.hold == "refuse":
                        back.sendall(self.tag + b' NO "cannot store"\r\n')
                        self.tag, self.swallow = None, True
            if self.swallow and is_command:
                self.swallow = re.search(rb"\{\d+\+?\}\r\n$", line)
                return True
            answer = not is_command and self.tag is not None and \
                line.startswith(self.tag + b" ")
            if answer and self.hold == "answer":
                return self.do(self.act)
            other.sendall(line)
            if answer and self.hold == "after":
                return self.do(self.act)
        return True

    def do(self, act):
        self.tag = None
        act()
        return False


def kill_store():
    os.kill(child_of("BACKEND1", "backendd/store"), signal.SIGKILL)


def kill_list():
    os.kill(child_of("MUPDATE", "mupdated/list"), signal.SIGKILL)


ACTS = {"cut": lambda: None, "kill store": kill_store,
        "kill update server": kill_list}


class Lost(Exception):
    pass


class Admin(Raw):
    """As a frontend that acts for an admin."""

    def __init__(self):
        super().__init__(port("BACKEND1_IMAP"))
        if not self.line().startswith("* OK"):
            raise Lost()
        plain = base64.b64encode(b"admin\0proxy\0password").decode()
        self.must("AUTHENTICATE PLAIN " + plain)

    def do(self, text):
        try:
            lines = self.ask("a", text)
        except OSError:
            raise Lost()
        if not lines[-1].startswith("a "):
            raise Lost()
        return lines

    def must(self, text):
        lines = self.do(text)
        if not lines[-1].startswith("a OK"):
            raise RuntimeError("%s: %s" % (text, lines[-1]))
        return lines

    def try_for(self, text):
        """Till it is reachable."""
        until = time.monotonic() + SECONDS
        while time.monotonic() < until:
            last = self.do(text)[-1]
            if "UNAVAILABLE" not in last:
                return last
        return last

    def names(self):
        """{internal name: ACL} of what is here and can be opened."""
        found = {}
        for line in self.must('LIST "" "*"'):
            m = re.match(r'\* LIST \(([^)]*)\) "/" "?(.*?)"?$', line)
            if not m or "\\NonExistent" in m.group(1):
                continue
            self.must('STATUS "%s" (MESSAGES)' % m.group(2))
            acl = self.must('GETACL "%s"' % m.group(2))[0]
            words = acl.split('"')[-1].split()
            # c and d stand for others, and are not kept
            words[1::2] = [re.sub("[cd]", "", w) for w in words[1::2]]
            name = m.group(2).replace("Shared Folders/", "").replace("/", ".")
            found[name] = "".join(w + "\t" for w in words)
        return found


def connect():
    until = time.monotonic() + SECONDS
    while True:
        try:
            return Admin()
        except (OSError, Lost):
            if time.monotonic() > until:
                raise


def ask_update_server(command, tag):
    """As an admin: all up to the command's answer."""
    sock = socket.create_connection(("127.0.0.1", port("MUPDATE")), 30)
    f = sock.makefile("rb")

    def until(start):
        lines = []
        while True:
            lines.append(f.readline())
            if lines[-1] == b"":
                raise Lost()
            if lines[-1].startswith(start):
                return b"".join(lines).decode()

    until(b"* OK")
    plain = base64.b64encode(b"\0admin\0password").decode()
    sock.sendall(('A AUTHENTICATE "PLAIN" "%s"\r\n%s\r\n' %
                  (plain, command)).encode())
    until(b"A OK")
    answer = until(tag)
    f.close()
    sock.close()
    return answer


def published():
    """{name: (state, location, ACL)} at the update server."""
    found = {}
    for entry in ask_update_server("L LIST", b"L OK").split("L ")[:-1]:
        words = [w.rsplit(" {", 1)[0] for w in entry.split("\r\n")]
        if entry.startswith(("MAILBOX", "RESERVE")):
            found[words[1]] = (entry.split(" ")[0],) + tuple(words[2:-1])
    return found


def meet():
    """The two lists when they are alike; or as they are after a long time."""
    until = time.monotonic() + SECONDS
    while True:
        try:
            there = published()
            a = connect()
            here = a.names()
            a.close()
            same = {n: ("MAILBOX", "backend1!default", acl)
                    for n, acl in here.items()}
            if there == same:
                return here, there
        except (OSError, Lost):
            pass
        if time.monotonic() > until:
            return here, there


def change(text):
    """OK, NO or LOST."""
    a = connect()
    try:
        return a.do(text)[-1][2:4]
    except Lost:
        return "LOST"
    finally:
        a.close()


SF = '"Shared Folders/%s"'


def names_in(here, *names):
    return [n for n in names if n in here]


def check_create(answer, here):
    if answer == "OK":
        return "new" in here
    return answer == "LOST" or "new" not in here


def check_delete(answer, here):
    if answer == "OK":
        return "old" not in here
    return answer == "LOST" or "old" in here


def check_rename(answer, here):
    old = names_in(here, "old", "old.a", "old.b")
    new = names_in(here, "to", "to.a", "to.b")
    if answer == "OK":
        return len(new) == 3 and old == []
    if answer == "NO":
        return len(old) == 3 and new == []
    return sorted([len(old), len(new)]) == [0, 3]


def check_setacl(answer, here):
    if answer == "OK":
        return "fred\tlr\t" in here["old"]
    return answer == "LOST" or "fred" not in here["old"]


# What to do, how many commands it takes, what is to be so afterwards.
CHANGES = [
    ("CREATE " + SF % "new", 2, check_create),
    ("DELETE " + SF % "old/a", 2,
     lambda answer, here: check_delete(
         answer, {"old": 1} if "old.a" in here else {})),
    ("RENAME " + SF % "old" + " " + SF % "to", 9, check_rename),
    ("SETACL " + SF % "old" + " fred lr", 1, check_setacl),
]


def set_up(a):
    for name in ("old", "old/a", "old/b"):
        last = a.try_for("CREATE " + SF % name)
        if "OK" not in last and "ALREADYEXISTS" not in last:
            raise RuntimeError("CREATE: " + last)
    a.try_for("SETACL " + SF % "old" + " fred \"\"")


def clear(a):
    for name in ("new", "to/a", "to/b", "to"):
        a.try_for("DELETE " + SF % name)


def one(relay, change_, n, hold, act):
    text, _, good = change_
    a = connect()
    set_up(a)
    a.close()
    relay.arm(n, hold, ACTS.get(act))
    answer = change(text)
    unused = relay.disarm()
    here, there = meet()
    verb = text.split()[0]
    what = "%s, %s at %s %d: %s" % (verb, act, hold, n, answer)
    alike = {k: v[0] for k, v in there.items()} == \
        dict.fromkeys(here, "MAILBOX")
    if not tap.ok(alike, what + ", then both lists are alike"):
        print("# here:  %s\n# there: %s" % (here, there))
    if not tap.ok(good(answer, here), what + ", and that is so"):
        print("# here:  %s" % here)
    tap.ok(not unused, what + ", there was such a command")
    a = connect()
    clear(a)
    a.close()


def all_of_them(relay):
    for change_ in CHANGES:
        for n in range(1, change_[1] + 1):
            if change_[1] > 2 and n % 3 != 2:
                continue  # of three names: the middle one
            for hold in ("command", "answer", "after"):
                for act in sorted(ACTS):
                    if hold == "answer" or act == "cut":
                        one(relay, change_, n, hold, act)


def refused(relay):
    """By one that cannot write: not by the rules."""
    one(relay, CHANGES[0], 1, "refuse", "NO")
    one(relay, CHANGES[1], 1, "refuse", "NO")
    a = connect()
    relay.arm(1, "refuse", None)
    last = a.do("CREATE " + SF % "new")[-1]
    tap.ok("UNAVAILABLE" in last, "nobody has the name: " + last)
    relay.arm(1, "refuse", None)
    last = a.do("DELETE " + SF % "old/a")[-1]
    tap.ok("UNAVAILABLE" in last, "it has the name: " + last)
    a.close()


def kept(relay):
    """What is half deleted is nobody else's to make."""
    answers = []

    def take_name():
        answers.append(ask_update_server(
            'T RESERVE "old.a" "backend2!default"', b"T "))
        kill_store()

    a = connect()
    set_up(a)
    a.close()
    relay.arm(1, "answer", take_name)
    change("DELETE " + SF % "old/a")
    relay.disarm()
    tap.ok(answers and answers[0].startswith("T NO"),
           "a name in the middle of a DELETE cannot be had")
    here, there = meet()
    tap.ok("old.a" in here and "old.a" in there, "and is back afterwards")


relay = Relay()
try:
    murder("start", "--backends", "1", "--frontends", "0", "--users", "0",
           "--set", "backend1:mupdate_server = " + relay.address)
    all_of_them(relay)
    refused(relay)
    kept(relay)
finally:
    for name in ("mupdate", "backend1"):
        path = os.path.join(DIR, "log", name + ".log")
        text = open(path, errors="replace").read()
        if tap.failed or sys.exc_info()[0]:
            print("\n".join("# " + x for x in text.split("\n")[-30:]))
        tap.ok("Sanitizer" not in text and "panic" not in text and
               "runtime error" not in text, name + ": nothing went wrong")
    subprocess.run([SCRIPT, "stop", DIR], stdout=subprocess.DEVNULL)
    shutil.rmtree(DIR, ignore_errors=True)
tap.done()
