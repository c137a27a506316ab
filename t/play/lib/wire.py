"""IMAP responses as nested lists, for plays that look into them.

  w = Wire(host, port, "user1")
  for n, items in w.fetch("1:*", "(ENVELOPE BODYSTRUCTURE)"):
      items[b"ENVELOPE"][1]       # the subject: octets, or None for NIL

Written apart from the servers, strict: what is no IMAP raises ValueError.
"""
import re

from net import connect

LITERAL = re.compile(rb"~?\{(\d+)\}\r\n$")
TOKEN = re.compile(rb'"((?:[^"\\\r\n\0]|\\["\\])*)"|'
                   rb"([^\s\"(){\[]+(?:\[[^\]\r\n]*\](?:<\d+>)?)?)")


def parse(octets):
    """One response line, literals and all, as a list."""
    top = []
    stack = [top]
    at = 0
    while octets[at:] != b"\r\n":
        c = octets[at:at + 1]
        if c == b"(":
            stack.append([])
            stack[-2].append(stack[-1])
            at += 1
        elif c == b")":
            stack.pop()
            at += 1
        elif c == b" ":
            at += 1
        elif c in (b"{", b"~"):
            match = re.compile(rb"~?\{(\d+)\}\r\n").match(octets, at)
            if match is None:
                raise ValueError(octets[at:at + 80])
            end = match.end() + int(match.group(1))
            stack[-1].append(octets[match.end():end])
            at = end
        else:
            match = TOKEN.match(octets, at)
            if match is None or not stack:
                raise ValueError(octets[at:at + 80])
            if match.group(1) is not None:
                stack[-1].append(re.sub(rb"\\(.)", rb"\1", match.group(1)))
            else:
                word = match.group(2)
                stack[-1].append(None if word == b"NIL" else word)
            at = match.end()
    if len(stack) != 1:
        raise ValueError(octets[:80])
    return top


class Wire:
    def __init__(self, host, port, user=None, seconds=60):
        self.socket = connect((host, port), seconds)
        self.file = self.socket.makefile("rb", 1 << 16)
        self.count = 0
        self.greeting = self.response()
        if user is not None:
            self.want("LOGIN %s password" % user)

    def response(self):
        octets = b""
        while True:
            line = self.file.readline()
            if not line.endswith(b"\n"):
                raise EOFError("the server closed the connection")
            octets += line
            match = LITERAL.search(line)
            if match is None:
                return octets
            octets += self.file.read(int(match.group(1)))

    def send(self, octets):
        if isinstance(octets, str):
            octets = octets.encode()
        self.socket.sendall(octets)

    def begin(self, command):
        self.count += 1
        tag = "t%d" % self.count
        if isinstance(command, str):
            command = command.encode()
        self.send(tag.encode() + b" " + command + b"\r\n")
        return tag.encode()

    def answer(self, tag):
        """The untagged responses as they came, and the tagged one."""
        found = []
        while True:
            line = self.response()
            if line.startswith(tag + b" "):
                return found, line[len(tag) + 1:].decode("utf-8", "replace")
            found.append(line)

    def ask(self, command):
        return self.answer(self.begin(command))

    def want(self, command):
        found, last = self.ask(command)
        if not last.startswith("OK"):
            raise AssertionError("%s: %s" % (command[:60], last.strip()))
        return found

    def append(self, mailbox, octets, flags=None, date=None):
        """The tagged answer to APPEND."""
        return self.ask(b"APPEND %s %s%s{%d+}\r\n%s" % (
            mailbox.encode(), ("(%s) " % flags).encode() if flags else b"",
            ('"%s" ' % date).encode() if date else b"",
            len(octets), octets))[1]

    def fetch(self, which, items, uid=False):
        """Yields (number, {item: value})."""
        return self.fetch_of("%sFETCH %s %s" % ("UID " if uid else "", which,
                                                items))

    def fetch_of(self, command):
        """The same of any command that is answered so, such as STORE."""
        tag = self.begin(command)
        while True:
            line = self.response()
            if line.startswith(tag + b" "):
                if not line.startswith(tag + b" OK"):
                    raise AssertionError(line.decode("utf-8", "replace"))
                return
            words = parse(line) if b" FETCH (" in line[:40] else []
            if len(words) == 4 and words[2] == b"FETCH":
                pairs = words[3]
                yield int(words[1]), dict(zip(pairs[::2], pairs[1::2]))

    def close(self):
        self.file.close()
        self.socket.close()
