"""What plays of one backendd say by IMAP, and what they look for in answers.

  from backend import Backend
  from imap import has, hasnt, ok, plan, run, simple

  server = Backend(users=["joe"])

  def test_this(c):
      has(c.must("SELECT INBOX"), r"^\* 0 EXISTS$", "nothing in it")

  with server:
      run([test_this], lambda: [server.client("joe")])
  plan()
"""
import re

from net import connect
from tap import tap

ok, equal, plan = tap.ok, tap.equal, tap.done


def has(lines, want, what):
    """want is a regular expression, in one of the lines."""
    if not ok(any(re.search(want, x, re.S) for x in lines), what):
        for x in lines:
            print("#  ", x[:300])


def hasnt(lines, want, what):
    if not ok(not any(re.search(want, x, re.S) for x in lines), what):
        for x in lines:
            print("#  ", x[:300])


class Client:
    """An IMAP client that hides nothing."""

    def __init__(self, port, user=None):
        self.s = connect(("127.0.0.1", port), 60)
        self.f = self.s.makefile("rb")
        self.n = 0
        self.greeting = self.line()
        if user:
            self.must("LOGIN %s password" % user)

    def send(self, octets):
        self.s.sendall(octets)

    def line(self):
        """A response with its literals in it."""
        whole = b""
        while True:
            part = self.f.readline()
            if not part.endswith(b"\r\n"):
                raise EOFError("connection lost after %r" % whole[-200:])
            m = re.search(rb"\{(\d+)\}\r\n$", part)
            whole += part
            if not m:
                return whole[:-2].decode("latin1")
            whole += self.f.read(int(m.group(1)))

    def begin(self, command):
        self.n += 1
        tag = "a%d" % self.n
        if isinstance(command, str):
            command = command.encode("latin1")
        self.send(tag.encode() + b" " + command + b"\r\n")
        return tag

    def end(self, tag):
        lines = []
        while True:
            lines.append(self.line())
            if lines[-1].startswith(tag + " "):
                return lines

    def do(self, command):
        return self.end(self.begin(command))

    def must(self, command):
        lines = self.do(command)
        if " OK" not in lines[-1]:
            print("# %s: %s" % (command[:80], lines[-1]))
            ok(False, "%s is OK" % command[:80])
        return lines

    def append(self, box, message, flags="", date=""):
        if date:
            date = ' "%s"' % date
        return self.do(("APPEND %s (%s)%s {%d+}\r\n" %
                        (box, flags, date, len(message))).encode() + message)

    def said(self, command):
        """The untagged responses to what is to be OK."""
        return [x for x in self.must(command) if x.startswith("* ")]

    def close(self):
        self.f.close()
        self.s.close()


def simple(subject, text="hello"):
    return ("From: a@example.org\r\nSubject: %s\r\n\r\n%s\r\n" %
            (subject, text)).encode()


def run(tests, clients=tuple):
    """Each of tests is given clients(); new ones after one that broke off."""
    held = clients()
    for test in tests:
        try:
            test(*held)
        except (EOFError, OSError, IndexError, AttributeError) as e:
            ok(False, "%s: %r" % (test.__name__, e))
            held = clients()
    return held
