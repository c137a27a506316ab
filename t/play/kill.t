#!/usr/bin/python3
"""kill -9 of every process in turn while mail flows.

Clients deliver by LMTP, APPEND and CREATE through two frontends, all the
time.  After each kill the murder must be whole again by itself (a parent is
started again, as an init system would): every client gets on.  At the end,
what was answered OK or 250 is there once; what was not, at most once.

An LMTP client tries the same message again until it is taken, as an MX does;
the others do not try again, as they could not know.
"""
import collections
import os
import re
import smtplib
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "lib"))
from backend import tap  # noqa: E402
from murder import Murder, await_that, deliver  # noqa: E402
from wire import Wire  # noqa: E402

USERS = 4
ENOUGH = 3  # so often must every client get on after a kill
CHILDREN = [("backend1", "store"), ("frontend1", "imap"),
            ("frontend1", "lmtp"), ("backend2", "store"),
            ("frontend1", "front"), ("backend1", "auth"),
            ("frontend1", "auth"), ("mupdate", "list"), ("mupdate", "auth"),
            ("backend1", "store"), ("frontend2", "lmtp"),
            ("frontend2", "front"), ("backend2", "store")]
PARENTS = ["backend1", "frontend1", "mupdate", "backend2"]


def text(key):
    return ("From: a@example.org\r\nSubject: %s\r\nX-Key: %s\r\n\r\n%s\r\n"
            % (key, key, "body " * 50)).encode()


class Client(threading.Thread):
    """Does one thing again and again; notes what was answered."""

    def __init__(self, m, number):
        super().__init__(name="%s%d" % (type(self).__name__, number),
                         daemon=True)
        self.m = m
        self.number = number
        self.user = "user%d" % (number % USERS + 1)
        self.front = "frontend%d" % (number // 2 % 2 + 1)
        self.done = self.asked = 0
        self.sure = set()
        self.unsure = set()
        self.session = None
        self.stopping = threading.Event()
        self.wrong = None

    def run(self):
        while not self.stopping.is_set():
            key = "%s-%d" % (self.name, self.asked)
            self.asked += 1
            try:
                self.once(key)
            except (OSError, EOFError, smtplib.SMTPException):
                self.leave()
                self.stopping.wait(0.02)  # not to be a busy loop
            except AssertionError as e:
                if " NO " not in " " + str(e) and "BYE" not in str(e):
                    self.wrong = e
                self.leave()
                self.stopping.wait(0.02)
        self.leave()

    def leave(self):
        if self.session is not None:
            self.session.close()
        self.session = None

    def took(self, key):
        self.sure.add(key)
        self.unsure.discard(key)
        self.done += 1


class Mx(Client):
    """Tries each message until every recipient has it."""

    def once(self, key):
        waiting = [self.user, "user%d" % ((self.number + 1) % USERS + 1)]
        for user in waiting:
            self.unsure.add((user, key))
        while waiting and not self.stopping.is_set():
            try:
                waiting = self.attempt(waiting, key)
            except (OSError, EOFError, smtplib.SMTPException):
                self.leave()
            if waiting:
                self.stopping.wait(0.02)

    def attempt(self, waiting, key):
        if self.session is None:
            self.session = self.m.lmtp(self.front, seconds=30)
        codes = deliver(self.session, [u + "@x.org" for u in waiting],
                        text(key))
        if len(codes) != len(waiting) or any(c >= 500 for c in codes):
            self.wrong = "answers %s" % codes
            raise OSError("no use")
        for user, code in zip(waiting, codes):
            if code == 250:
                self.took((user, key))
        return [u for u, c in zip(waiting, codes) if c != 250]


class Writer(Client):
    """Appends, a new message each time."""

    def once(self, key):
        if self.session is None:
            self.session = Wire(*self.m.address("IMAP", self.front),
                                user=self.user, seconds=30)
        self.unsure.add((self.user, key))
        answer = self.session.append("INBOX", text(key))
        if answer.startswith("OK"):
            self.took((self.user, key))
        else:
            raise AssertionError(answer)


class Maker(Client):
    """Creates mailboxes."""

    def once(self, key):
        if self.session is None:
            self.session = Wire(*self.m.address("IMAP", self.front),
                                user=self.user, seconds=30)
        self.session.want("CREATE " + key)
        self.took((self.user, key))


def whole_again(clients, what):
    """Every client has got on since."""
    since = [(c, c.done) for c in clients]
    tap.ok(await_that(lambda: all(c.done >= n + ENOUGH for c, n in since),
                      "every client gets on"), what)
    for c, n in since:
        if c.done < n + ENOUGH:
            print("# %s of %s at %s does not" % (c.name, c.user, c.front))


def gone(pids):
    return not any(alive(p) for p in pids)


def alive(pid):
    try:
        with open("/proc/%d/stat" % pid) as f:
            return f.read().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def kill_children(m, clients):
    for name, title in CHILDREN:
        pid = m.kill(name, title)
        tap.ok(pid is not None, "%s has a process %s" % (name, title))
        await_that(lambda: gone([pid]), "it is gone")
        whole_again(clients, "kill -9 of %s of %s" % (title, name))


def kill_parents(m, clients):
    for name in PARENTS:
        below = [pid for _, pid in m.children(name)]
        m.down(name, 9)
        tap.ok(await_that(lambda: gone(below), "its children end"),
               "kill -9 of the parent of %s: its children end" % name)
        m.up(name)
        whole_again(clients, "%s is started again" % name)


def keys_of(w, mailbox):
    w.want("SELECT " + mailbox)
    return collections.Counter(
        re.search(rb"X-Key: (\S+)", v).group(1).decode()
        for _, items in w.fetch("1:*", "BODY.PEEK[HEADER.FIELDS (X-KEY)]")
        for k, v in items.items() if k.startswith(b"BODY["))


def verify(m, clients):
    held = {}
    names = {}
    for n in range(1, USERS + 1):
        user = "user%d" % n
        w = Wire(*m.address("IMAP", "frontend2"), user=user)
        held[user] = keys_of(w, "INBOX")
        names[user] = b"\n".join(w.want('LIST "" *'))
        w.close()
    mail = [c for c in clients if not isinstance(c, Maker)]
    sure = [uk for c in mail for uk in c.sure]
    lost = [uk for uk in sure if held[uk[0]][uk[1]] == 0]
    tap.ok(not lost, "of %d messages answered none is lost: %s" %
           (len(sure), lost[:5]))
    twice = [(u, k) for u, count in held.items() for k in count
             if count[k] > 1]
    tap.ok(not twice, "none is there twice: %s" % twice[:5])
    known = set(sure) | {uk for c in mail for uk in c.unsure}
    other = [(u, k) for u, count in held.items() for k in count
             if (u, k) not in known]
    tap.ok(not other, "and none that was not sent: %s" % other[:5])
    boxes = [uk for c in clients if isinstance(c, Maker) for uk in c.sure]
    lost = [uk for uk in boxes if uk[1].encode() not in names[uk[0]]]
    tap.ok(boxes and not lost, "of %d mailboxes made none is lost: %s" %
           (len(boxes), lost[:5]))
    for c in clients:
        if not tap.ok(c.wrong is None, "%s was answered as it should be, "
                      "%d times" % (c.name, c.done)):
            print("#", c.wrong)


with Murder(backends=2, frontends=2, users=USERS) as murder:
    flow = [Mx(murder, n) for n in range(4)]
    flow += [Writer(murder, n) for n in range(4)]
    flow += [Maker(murder, 0), Maker(murder, 3)]
    for client in flow:
        client.start()
    try:
        whole_again(flow, "mail flows")
        kill_children(murder, flow)
        kill_parents(murder, flow)
    finally:
        for client in flow:
            client.stopping.set()
        for client in flow:
            client.join(60)
    verify(murder, flow)
tap.done()
