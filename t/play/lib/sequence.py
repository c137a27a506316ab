"""Changes of the list, at each of whose steps something dies.

A Relay stands between two daemons and counts the commands of a change.  At
the Nth it holds the command or its answer back for ever, and does something:
cuts the link, or kills somebody.  Which step it is is counted, never timed.
"""
import base64
import os
import re
import select
import socket
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from backend import Raw  # noqa: E402
from mupdate import Client, Closed  # noqa: E402
from net import at_once, connect  # noqa: E402

SECONDS = 60


class Relay:
    """Octets both ways, until the step that was asked for."""

    CHANGES = rb"(B\d+) (?:X?RESERVE|X?ACTIVATE|DEACTIVATE|DELETE)\b"

    def __init__(self, target):
        self.target = target  # called for each connection: (host, port)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = "127.0.0.1:%d" % self.listener.getsockname()[1]
        self.lock = threading.Lock()
        self.left = 0         # changes until the one that is held; 0: none
        self.hold = None      # "command", "answer", "after" or "refuse"
        self.act = None       # what to do then; None: cut the link
        self.tag = None       # of the held command
        self.swallow = False  # the rest of a command
        self.pairs = set()
        threading.Thread(target=self.serve, daemon=True).start()

    def arm(self, n, hold, act=None):
        with self.lock:
            self.left, self.hold, self.act, self.tag = n, hold, act, None

    def disarm(self):
        """Was it never reached?"""
        with self.lock:
            unused = self.left > 0
            self.left, self.tag = 0, None
            return unused

    def cut(self):
        """Every connection that there is now."""
        for pair in list(self.pairs):
            for one in pair:
                try:
                    one.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass

    def serve(self):
        while True:
            client = at_once(self.listener.accept()[0])
            try:
                server = connect(self.target(), 30)
                server.settimeout(None)
            except (OSError, KeyError, AttributeError):
                client.close()  # it is not there, or not yet
                continue
            threading.Thread(target=self.relay, args=(client, server),
                             daemon=True).start()

    def relay(self, client, server):
        pending = {client: b"", server: b""}
        self.pairs.add((client, server))
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
            self.pairs.discard((client, server))
            client.close()
            server.close()

    def pass_on(self, line, is_command, other, back):
        """False: the link is to be cut."""
        with self.lock:
            command = re.match(self.CHANGES, line)
            if is_command and self.left > 0 and command:
                self.left -= 1
                if self.left == 0:
                    self.tag = command.group(1)
                    if self.hold == "command":
                        return self.do()
                    if self.hold == "refuse":
                        back.sendall(self.tag + b' NO "cannot store"\r\n')
                        self.tag, self.swallow = None, True
            if self.swallow and is_command:
                self.swallow = re.search(rb"\{\d+\+?\}\r\n$", line)
                return True
            answer = not is_command and self.tag is not None and \
                re.match(self.tag + rb" (OK|NO|BAD)", line)
            if answer and self.hold == "answer" and not self.do():
                return False
            other.sendall(line)
            if answer and self.hold == "after":
                return self.do()
        return True

    def do(self):
        """Whether the link goes on."""
        self.tag = None
        return bool(self.act is not None and self.act())


class Through:
    """Octets both ways; all is cut at once, when asked."""

    def __init__(self, target):
        self.target = target
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = "127.0.0.1:%d" % self.listener.getsockname()[1]
        self.pairs = set()
        threading.Thread(target=self.serve, daemon=True).start()

    cut = Relay.cut
    serve = Relay.serve

    def relay(self, client, server):
        self.pairs.add((client, server))
        try:
            while True:
                ready, _, _ = select.select([client, server], [], [])
                for one in ready:
                    octets = one.recv(65536)
                    if octets == b"":
                        return
                    (server if one is client else client).sendall(octets)
        except OSError:
            pass
        finally:
            self.pairs.discard((client, server))
            client.close()
            server.close()


class Lost(Exception):
    """The connection ended without an answer."""


class Session(Raw):
    """An admin, at a frontend, or through a proxy's login at a backend."""

    def __init__(self, port, user="admin", proxy=True):
        super().__init__(port)
        if not self.line().startswith("* OK"):
            raise Lost()
        if proxy:
            plain = base64.b64encode(
                (user + "\0proxy\0password").encode()).decode()
        else:
            plain = base64.b64encode(
                ("\0" + user + "\0password").encode()).decode()
        self.must("AUTHENTICATE PLAIN " + plain)

    def do(self, text):
        try:
            lines = self.ask("a", text)
        except OSError:
            raise Lost()
        if not lines or not lines[-1].startswith("a "):
            raise Lost()
        return lines

    def must(self, text):
        lines = self.do(text)
        if not lines[-1].startswith("a OK"):
            raise RuntimeError("%s: %s" % (text, lines[-1]))
        return lines

    def try_for(self, text):
        """Till what it needs can be reached."""
        until = time.monotonic() + SECONDS
        while time.monotonic() < until:
            last = self.do(text)[-1]
            if "UNAVAILABLE" not in last and "INUSE" not in last:
                return last
            time.sleep(0.02)  # between two tries; nothing depends on it
        return last

    def listed(self):
        """Internal names."""
        names = set()
        for line in self.must('LIST "" "*"'):
            m = re.match(r'\* LIST \(([^)]*)\) "/" "?(.*?)"?$', line)
            if m and "\\NonExistent" not in m.group(1):
                names.add(internal(m.group(2)))
        return names

    def acl(self, name):
        lines = self.do('GETACL "%s"' % external(name))
        if not lines[-1].startswith("a OK"):
            return None
        words = re.match(r'\* ACL (?:"[^"]*"|\S+) ?(.*)', lines[0])
        words = words.group(1).replace('"', "").split()
        # c and d stand for others, and are not kept
        words[1::2] = [re.sub("[cd]", "", w) for w in words[1::2]]
        return "".join(w + "\t" for w in words)


def internal(name):
    for prefix, inside in (("Shared Folders/", ""), ("Other Users/", "user/")):
        if name.startswith(prefix):
            name = inside + name[len(prefix):]
    return name.replace("/", ".")


def external(name):
    top, _, rest = name.partition(".")
    if top == "user":
        return "Other Users/" + rest.replace(".", "/")
    return "Shared Folders/" + name.replace(".", "/")


def reach(make):
    until = time.monotonic() + SECONDS
    while True:
        try:
            return make()
        except (OSError, Lost, Closed):
            if time.monotonic() > until:
                raise
            time.sleep(0.02)  # between two tries; nothing depends on it


class Play:
    """What the checks need to know of a murder (murder.py)."""

    def __init__(self, murder):
        self.murder = murder

    def port(self, name, what="IMAP"):
        return self.murder.address(what, name)[1]

    def backend(self, name="backend1"):
        return reach(lambda: Session(self.port(name)))

    def frontend(self, name="frontend1"):
        return reach(lambda: Session(self.port(name), proxy=False))

    def update_server(self, user="admin"):
        def make():
            port = int(self.murder.run.plan["mupdate"].rsplit(":", 1)[1])
            client = Client(port)
            client.banner()
            if client.login(user)[1] != b"OK":
                raise Closed()
            return client
        return reach(make)

    def kill(self, name, title):
        pid = self.murder.kill(name, title)
        if pid is None:
            raise RuntimeError("no %s in %s" % (title, name))

    def published(self):
        """{name: (state, location, ACL)} at the update server."""
        client = self.update_server()
        found = {}
        for words in client.ask(b"LIST")[:-1]:
            rest = [w.decode() for w in words[1:]]
            found[rest[1]] = (rest[0],) + tuple(rest[2:])
        client.close()
        return found

    def open(self, session, backend, box):
        """As its owner, if it has one: admins may not read."""
        if not box.startswith("user."):
            session.must('STATUS "%s" (MESSAGES)' % external(box))
            return
        _, owner, *rest = box.split(".")
        session = Session(self.port(backend), owner)
        session.must('STATUS "%s" (MESSAGES)' % ("/".join(rest) or "INBOX"))
        session.close()

    def held(self, name):
        """{name: ACL} of what a backend has; each can be opened."""
        session = self.backend(name)
        found = {}
        for box in sorted(session.listed()):
            if box.startswith("quarantine."):
                continue
            self.open(session, name, box)
            found[box] = session.acl(box)
        session.close()
        return found

    def all_held(self):
        """{name: (state, location, ACL)}; what two have is there twice."""
        found = {}
        for backend in self.murder.run.plan["backends"]:
            for name, acl in self.held(backend).items():
                key = name if name not in found else name + " TWICE"
                found[key] = ("MAILBOX", backend + "!default", acl)
        return found

    def at_frontend(self, name):
        session = self.frontend(name)
        found = session.listed()
        session.close()
        return found

    def meet(self, is_right=lambda held: True):
        """(what backends have, what is published, what each frontend lists):
        when all agree and are right, or as they are after a long time.  In the
        middle of a RENAME, too, all may agree."""
        until = time.monotonic() + SECONDS
        while True:
            held = there = {}
            fronts = {}
            try:
                held, there = self.all_held(), self.published()
                fronts = {f: self.at_frontend(f)
                          for f in self.murder.run.plan["frontends"]}
                want = set(held)
                if held == there and is_right(held) and all(
                        f - {"INBOX"} == want for f in fronts.values()):
                    return held, there, fronts
            except (OSError, Lost, Closed, RuntimeError):
                pass
            if time.monotonic() > until:
                return held, there, fronts
            time.sleep(0.02)  # between two looks; nothing depends on it


class Poller(threading.Thread):
    """A client at a frontend who looks for one of two names, all the time.

    The old one first: when that is not there any more the new one must be.
    What cannot be known now is no answer."""

    def __init__(self, play, frontend, old, new):
        super().__init__(daemon=True)
        self.play, self.frontend = play, frontend
        self.old, self.new = old, new
        self.ended = threading.Event()
        self.looks = 0
        self.neither = []

    def is_there(self, session, name):
        last = session.do('STATUS "%s" (MESSAGES)' % external(name))[-1]
        if "NONEXISTENT" in last:
            return False
        return True if "NOPERM" in last or last.startswith("a OK") else None

    def look(self, session):
        listed = session.listed()
        if self.old not in listed and self.new not in listed:
            self.neither.append("LIST shows neither")
        if self.is_there(session, self.old) is False and \
                self.is_there(session, self.new) is False:
            self.neither.append("STATUS finds neither")
        self.looks += 1

    def run(self):
        session = None
        while not self.ended.is_set():
            try:
                if session is None:
                    session = self.play.frontend(self.frontend)
                self.look(session)
            except (OSError, Lost, RuntimeError):
                session = None
        if session is not None:
            session.close()

    def stop(self):
        self.ended.set()
        self.join(SECONDS)
        return self.neither


NAMES = ["old", "old.a", "old.b", "user.ann", "user.ann.Sent", "user.ann.x"]
OURS = ("old", "to", "new", "user.ann", "user.bob")
SETTINGS = ["backendd:special_use = \\Sent Sent",
            "backendd:publish_timeout = 5s", "proxyd:retry_delay = 50ms"]


def quoted(name):
    return '"%s"' % external(name)


class Change:
    """What to do, which of its commands are looked at, what is to be so."""

    def __init__(self, text, commands, gone=(), made=(), acl=None, poll=None):
        self.text, self.commands = text, commands
        self.gone, self.made, self.acl, self.poll = gone, made, acl, poll

    def check(self, answer, held):
        before = all(n in held for n in self.gone) and \
            not any(n in held for n in self.made)
        after = not any(n in held for n in self.gone) and \
            all(n in held for n in self.made)
        if self.acl:
            after = "fred\tlr\t" in held["old"][2]
            before = "fred" not in held["old"][2]
        if answer == "OK":
            return after
        if answer == "NO":
            return before
        return before or after


CHANGES = [
    Change("CREATE %s backend1" % quoted("new"), [1, 2], made=["new"]),
    Change("DELETE " + quoted("old.a"), [1, 2], gone=["old.a"]),
    # Three names: of each kind of command the middle one.
    Change("RENAME %s %s" % (quoted("old"), quoted("to")), [2, 5, 8],
           gone=["old", "old.a", "old.b"], made=["to", "to.a", "to.b"],
           poll=("old.a", "to.a")),
    Change("RENAME %s %s" % (quoted("user.ann"), quoted("user.bob")),
           [2, 5, 8], gone=["user.ann", "user.ann.Sent", "user.ann.x"],
           made=["user.bob", "user.bob.Sent", "user.bob.x"],
           poll=("user.ann.x", "user.bob.x")),
    Change("DELETE " + quoted("user.ann"), [2, 5],
           gone=["user.ann", "user.ann.Sent", "user.ann.x"]),
    Change("SETACL %s fred lr" % quoted("old"), [1], acl=True),
]


class Stage:
    """Where changes are made, and looked at from a frontend."""

    def __init__(self, murder, relay, tap, session, looks):
        self.play = Play(murder)
        self.relay = relay  # of backend1's link to the update server
        self.tap = tap
        self.session = session  # makes the one that changes
        self.looks = looks      # the frontend where somebody looks on

    def set_up(self, session):
        for name in NAMES:
            last = session.try_for("CREATE %s backend1" % quoted(name))
            if "OK" not in last and "ALREADYEXISTS" not in last:
                raise RuntimeError("CREATE %s: %s" % (name, last))
        session.try_for("SETACL %s fred \"\"" % quoted("old"))

    def begin(self):
        session = self.play.frontend()
        self.set_up(session)
        for name in sorted(session.listed(), reverse=True):  # deepest first
            if name.startswith(OURS) and name not in NAMES:
                session.try_for("DELETE " + quoted(name))
        session.close()

    def change(self, text):
        """OK, NO or LOST."""
        session = reach(lambda: self.session(self.play))
        try:
            return session.do(text)[-1][2:4]
        except Lost:
            return "LOST"
        finally:
            session.close()

    def until_reached(self, change, n, hold, act):
        """Again if it was refused before that: somebody was not there yet."""
        until = time.monotonic() + SECONDS
        while True:
            self.relay.arm(n, hold, act)
            answer = self.change(change.text)
            unused = self.relay.disarm()
            if not unused or answer != "NO" or time.monotonic() > until:
                return answer, unused

    def one(self, change, n, hold, what, act=None):
        self.begin()
        poller = None
        if change.poll:
            poller = Poller(self.play, self.looks, *change.poll)
            poller.start()
        answer, unused = self.until_reached(change, n, hold, act)
        held, there, fronts = self.play.meet(
            lambda held: change.check(answer, held))
        title = "%s, %s at %s %d: %s" % (change.text.replace('"', ""), what,
                                         hold, n, answer)
        if not self.tap.ok(held == there and not unused and all(
                f - {"INBOX"} == set(held) for f in fronts.values()),
                title + ", then all lists are alike"):
            print("# unused: %s\n# held: %s\n# there: %s\n# fronts: %s" % (
                unused, held, there, fronts))
        if not self.tap.ok(change.check(answer, held),
                           title + ", and that is so"):
            print("# held:  %s" % held)
        if poller:
            self.tap.equal(poller.stop()[:3], [],
                           title + ", one name was always there")
            self.tap.ok(poller.looks > 0, "%d looks" % poller.looks)

    def nothing_went_wrong(self):
        for name in self.play.murder.run.names():
            text = self.play.murder.log(name)
            self.tap.ok("Sanitizer" not in text and "panic" not in text and
                        "runtime error" not in text,
                        name + ": nothing went wrong")
