"""A whole murder for a play: started in a temporary directory, always stopped.

  with Murder(backends=2, frontends=2, users=4) as m:
      c = m.imap("user1")                 # imaplib, logged in, at frontend1
      r = m.raw("user1", "frontend2")     # lines, for what no library does
      l = m.lmtp()                        # smtplib.LMTP, LHLO said
      m.kill("backend1", "store")         # kill -9 of one process
  tap.done()

Users are user1 ... userN, user1 on backend1, user2 on backend2 and so on, and
admin; every password is "password".  PLAY_ALONE=1 in the environment runs
what it can against one stand-alone backend in place of a frontend.
"""
import argparse
import base64
import importlib.machinery
import importlib.util
import imaplib
import os
import shutil
import signal
import smtplib
import subprocess
import sys
import tempfile
import time

from backend import Raw, tap
from daemon import QUICK, children, kill_child, resident

HERE = os.path.dirname(os.path.abspath(__file__))
SECONDS = 60

imaplib._MAXLINE = 100 * 1000 * 1000


def load(name):
    loader = importlib.machinery.SourceFileLoader(
        name, os.path.join(HERE, "..", "..", name))
    sys.dont_write_bytecode = True
    module = importlib.util.module_from_spec(
        importlib.util.spec_from_loader(name, loader))
    loader.exec_module(module)
    return module


machine = load("murder")


def plain(user, password="password", authorised=""):
    return base64.b64encode(
        ("%s\0%s\0%s" % (authorised, user, password)).encode()).decode()


def await_that(condition, what, seconds=SECONDS):
    """Until it is true: what it says then; fails at the deadline."""
    end = time.monotonic() + seconds
    while True:
        found = condition()
        if found:
            return found
        if time.monotonic() > end:
            tap.ok(False, "%s, within %d s" % (what, seconds))
            return None
        time.sleep(0.02)  # between two looks; nothing depends on how long


def deliver(lmtp, recipients, octets, sender="sender@example.org"):
    """One transaction: a reply code for each recipient accepted."""
    code, text = lmtp.docmd("MAIL FROM:<%s>" % sender)
    if code != 250:
        return [code]
    codes = [lmtp.docmd("RCPT TO:<%s>" % r)[0] for r in recipients]
    accepted = codes.count(250)
    if accepted == 0:
        lmtp.rset()
        return codes
    replies = [lmtp.data(octets)[0]]
    replies += [lmtp.getreply()[0] for _ in range(accepted - 1)]
    return [replies.pop(0) if c == 250 else c for c in codes]


def message(subject, body="A line.\r\n", **headers):
    lines = ["From: Sender <sender@example.org>", "To: user@example.org",
             "Subject: " + subject,
             "Date: Tue, 03 Feb 2026 10:11:12 +0100",
             "Message-ID: <%s@example.org>" % base64.b16encode(
                 subject.encode()).decode()]
    lines += ["%s: %s" % (k.replace("_", "-"), v)
              for k, v in headers.items()]
    return ("\r\n".join(lines) + "\r\n\r\n" + body).encode()


def octets_of(data):
    """The one literal of imaplib's answer to FETCH."""
    for part in data:
        if isinstance(part, tuple):
            return part[1]
    return None


class Murder:
    def __init__(self, backends=2, frontends=1, users=4, settings=()):
        alone = bool(os.environ.get("PLAY_ALONE"))
        self.opt = argparse.Namespace(
            backends=1 if alone else backends,
            frontends=0 if alone else frontends, users=users,
            no_mupdate=alone,
            set=["%s:%s" % (daemon, line)
                 for daemon in ("mupdated", "backendd", "proxyd")
                 for line in QUICK] + list(settings))
        self.front = "backend1" if alone else "frontend1"

    def __enter__(self):
        self.dir = tempfile.mkdtemp(prefix="murder.")
        try:
            self.run = machine.Murder(self.dir)
            self.run.start(self.opt)
        except BaseException:
            shutil.rmtree(self.dir, ignore_errors=True)
            raise
        return self

    def __exit__(self, kind, value, trace):
        try:
            if kind is not None or tap.failed:
                self.show_logs()
        finally:
            self.run.stop()
            shutil.rmtree(self.dir, ignore_errors=True)
        return False

    def path(self, *parts):
        return os.path.join(self.dir, *parts)

    def log(self, name):
        with open(self.path("log", name + ".log"), errors="replace") as f:
            return f.read()

    def show_logs(self):
        for name in self.run.names():
            print("# --- " + name)
            for line in self.log(name).split("\n")[-25:]:
                print("# " + line)

    def down(self, name, signo=signal.SIGTERM):
        self.run.down(name, signo)

    def up(self, name):
        self.run.up(name)

    # --- clients ------------------------------------------------------------

    def address(self, what, name=None):
        name = name or self.front
        plan = self.run.plan
        group = plan["frontends"] if name[0] == "f" else plan["backends"]
        host, port = group[name][what].split(":")
        return host, int(port)

    def imap(self, user=None, name=None, seconds=SECONDS):
        host, port = self.address("IMAP", name)
        c = imaplib.IMAP4(host, port, timeout=seconds)
        if user is not None:
            c.login(user, "password")
        return c

    def raw(self, user=None, name=None, what="IMAP"):
        r = Raw(self.address(what, name)[1])
        if user is not None:
            r.line()
            r.ask("login", "LOGIN %s password" % user)
        return r

    def lmtp(self, name=None, seconds=SECONDS):
        host, port = self.address("LMTP", name)
        m = smtplib.LMTP()
        m.timeout = seconds
        m.connect(host, port)
        m.ehlo("play.test")
        return m

    def home(self, user):
        """The name of the backend that has this user's INBOX."""
        names = list(self.run.plan["backends"])
        return names[(int(user[4:]) - 1) % len(names)]

    # --- processes ----------------------------------------------------------

    def children(self, name):
        """(title, pid) of a daemon's children, such as ("store", 123)."""
        return children(self.run.pid(name))

    def kill(self, name, title):
        """SIGKILL to the first of those children: its pid, or None."""
        return kill_child(self.run.pid(name), title)

    def resident(self, name, title):
        """The greatest resident set so far among those children, in kB."""
        return max([resident(pid) for t, pid in self.children(name)
                    if t == title], default=0)


def run(command, data=None, cwd=None, env=None):
    """A program that is not ours: its status, output and errors."""
    try:
        done = subprocess.run(command, input=data, cwd=cwd, env=env,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              timeout=SECONDS)
    except FileNotFoundError:
        return 127, b"", b"not installed: " + command[0].encode()
    except subprocess.TimeoutExpired as e:
        return 124, e.stdout or b"", b"took too long"
    return done.returncode, done.stdout, done.stderr
