#!/usr/bin/python3
"""A backend and its update server: reserve, publish, part, meet again."""
import base64
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "lib"))
from backend import Raw, tap  # noqa: E402
from daemon import BIN  # noqa: E402
from murder import await_that  # noqa: E402

SCRIPT = os.path.join(HERE, "..", "murder")
DIR = tempfile.mkdtemp(prefix="murder.")
ENV = {}


def murder(*args):
    subprocess.run([SCRIPT, args[0], DIR] + list(args[1:]), check=True,
                   stdout=subprocess.DEVNULL)
    with open(os.path.join(DIR, "env")) as f:
        ENV.update(line.strip().split("=", 1) for line in f if "=" in line)


def port(name):
    return int(ENV[name].rsplit(":", 1)[1])


def admin(number):
    """As a frontend that acts for an admin."""
    r = Raw(port("BACKEND%d_IMAP" % number))
    r.line()
    plain = base64.b64encode(b"admin\0proxy\0password").decode()
    r.ask("l", "AUTHENTICATE PLAIN " + plain)
    probe = '"Shared Folders/probe%d"' % number
    last = r.ask("a", "CREATE " + probe)[-1]
    tap.ok(last.startswith("a OK"), "CREATE waits for the link: " + last)
    r.ask("a", "DELETE " + probe)
    return r


class Mupdate:
    """The update server's list, as an admin may read it."""

    def __init__(self):
        self.sock = socket.create_connection(
            ("127.0.0.1", port("MUPDATE")), 30)
        self.file = self.sock.makefile("rb")
        self.until("* OK")
        plain = base64.b64encode(b"\0admin\0password").decode()
        self.ask("A", 'AUTHENTICATE "PLAIN" "%s"' % plain)

    def until(self, start):
        lines = []
        while True:
            line = self.file.readline().decode().rstrip("\r\n")
            lines.append(line)
            if line.startswith(start) or line == "":
                return lines

    def ask(self, tag, text):
        self.sock.sendall(("%s %s\r\n" % (tag, text)).encode())
        return self.until(tag + " OK")

    def list(self):
        """name: (state, location, acl)"""
        text = "\n".join(self.ask("L", "LIST")).split("L ")
        found = {}
        for entry in text:
            if entry.startswith(("MAILBOX", "RESERVE")):
                words = entry.rstrip("\n").split("\n")
                strip = [w.rsplit(" {", 1)[0] for w in words[1:]]
                found[strip[0]] = (words[0].split(" ")[0],) + tuple(strip[1:])
        return found

    def close(self):
        self.file.close()
        self.sock.close()


def published():
    m = Mupdate()
    found = m.list()
    m.close()
    return found


def await_published(name, want):
    """Till it is there, or is not: the two have met again by then."""
    for _ in range(100000):
        if (name in published()) == want:
            return True
    return False


def both(a, b):
    tap.ok(a.ask("a", 'CREATE "Shared Folders/help"')[-1]
           .startswith("a OK"), "CREATE")
    tap.equal(published().get("help"),
              ("MAILBOX", "backend1!default", "admin\tlrswipkxtea\t"),
              "is published with place and ACL")
    tap.ok(b.ask("a", 'CREATE "Shared Folders/help"')[-1]
           .startswith("a NO [ALREADYEXISTS]"), "taken for another backend")
    tap.ok(b.ask("a", 'CREATE "Shared Folders/two"')[-1].startswith("a OK"),
           "which makes its own")
    tap.ok(b.ask("a", 'RENAME "Shared Folders/two" "Shared Folders/help"')[-1]
           .startswith("a NO [ALREADYEXISTS]"), "nor may it rename to it")
    a.ask("a", 'SETACL "Shared Folders/help" anyone lrp')
    tap.ok("anyone\tlrp" in published()["help"][2], "SETACL is published")
    a.ask("a", 'CREATE "Shared Folders/help/sub"')
    tap.ok(a.ask("a", 'RENAME "Shared Folders/help" "Shared Folders/h2"')[-1]
           .startswith("a OK"), "RENAME of a tree")
    tap.equal(sorted(published()), ["h2", "h2.sub", "two"],
              "new names there, old names gone")
    tap.ok(a.ask("a", 'DELETE "Shared Folders/h2/sub"')[-1]
           .startswith("a OK"), "DELETE")
    tap.equal(sorted(published()), ["h2", "two"], "is published")


def adm(*words):
    p = subprocess.run([os.path.join(BIN, "backendadm"), "-f",
                        os.path.join(DIR, "conf", "backend1.conf"), *words],
                       capture_output=True, text=True, timeout=60)
    return p.returncode, p.stdout + p.stderr


def keep_deleted(before, now):
    path = os.path.join(DIR, "conf", "backend1.conf")
    with open(path) as f:
        text = f.read()
    with open(path, "w") as f:
        f.write(text.replace("delete_delay = " + before,
                             "delete_delay = " + now))
    with open(os.path.join(DIR, "run", "backend1.pid")) as f:
        os.kill(int(f.read()), signal.SIGHUP)


def deleted(a):
    """The names of what is kept; a DELETE until there is something."""
    for _ in range(1000):
        a.ask("a", 'CREATE "Shared Folders/h2/sub"')
        a.ask("a", 'DELETE "Shared Folders/h2/sub"')
        found = [word for word in adm("list")[1].split()
                 if word.startswith("deleted.")]
        if found:
            return found
    return []


def restored(a, b):
    """A deleted mailbox is published again, or is not brought back."""
    keep_deleted("0", "1h")
    kept = deleted(a)
    tap.equal(len(kept), 1, "it is kept: %s" % kept)
    b.ask("a", 'CREATE "Shared Folders/h2/sub"')
    code, out = adm("restore", kept[0])
    tap.ok(code == 1 and "h2.sub" in out, "another has the name: " + out)
    tap.ok(published()["h2.sub"][1].startswith("backend2"), "and keeps it")
    b.ask("a", 'DELETE "Shared Folders/h2/sub"')
    tap.equal(adm("restore", kept[0]), (0, "h2.sub\n"), "restore")
    tap.ok(published()["h2.sub"][1].startswith("backend1"), "is published")
    for kept in deleted(a):
        name = "Shared Folders/" + kept.replace(".", "/")
        tap.ok(a.ask("a", 'DELETE "%s"' % name)[-1].startswith("a OK"),
               "and may go for good")
    keep_deleted("1h", "0")


def restarted(a):
    """Nobody notices that the update server was."""
    murder("down", "mupdate")
    a.send('a CREATE "Shared Folders/held"\r\n')
    murder("up", "mupdate")
    last = a.until("a ")[-1]
    tap.ok(last.startswith("a OK"), "a CREATE meanwhile: " + last)
    tap.ok("held" in published(), "is published")
    a.ask("a", 'DELETE "Shared Folders/held"')


def settings_taken():
    with open(os.path.join(DIR, "log", "backend1.log")) as f:
        return f.read().count("settings taken")


def await_less():
    """It will wait for its update server for a second only."""
    before = settings_taken()
    path = os.path.join(DIR, "conf", "backend1.conf")
    with open(path, "a") as f:
        f.write("publish_timeout = 1s\n")
    with open(os.path.join(DIR, "run", "backend1.pid")) as f:
        os.kill(int(f.read()), signal.SIGHUP)
    await_that(lambda: settings_taken() > before, "it knows")


def parted(a):
    await_less()
    a.ask("a", 'SELECT "Shared Folders/h2"')
    murder("down", "mupdate")
    for command in ('CREATE "Shared Folders/x"',
                    'DELETE "Shared Folders/h2"',
                    'RENAME "Shared Folders/h2" "Shared Folders/h3"',
                    'SETACL "Shared Folders/h2" fred lr'):
        last = a.ask("a", command)[-1]
        tap.ok(last.startswith("a NO [UNAVAILABLE]"),
               "without update server %s: %s" % (command, last))
    tap.ok(a.ask("a", "UID FETCH 1:* UID")[-1].startswith("a OK"),
           "and what is selected stays so")
    a.ask("a", "UNSELECT")
    tap.ok(a.ask("a", 'LIST "" "*"')[0].endswith('"Shared Folders/h2"'),
           "nothing has changed")
    a.ask("a", 'SETACL "Shared Folders/h2" admin lrswipkxtea')
    tap.ok(a.ask("a", 'STATUS "Shared Folders/h2" (MESSAGES)')[-1]
           .startswith("a OK"), "and all else goes on")


def meet_again():
    """What one of the two has lost, the other brings back."""
    murder("up", "mupdate")
    tap.ok(await_published("h2", True), "the list is there again")
    murder("down", "backend1")
    murder("down", "mupdate")
    shutil.rmtree(os.path.join(DIR, "data", "mupdate"))
    murder("up", "mupdate")
    murder("up", "backend1")
    tap.ok(await_published("h2", True) and await_published("two", True),
           "a lost list is made anew by the backends")
    m = Mupdate()
    m.close()
    writer = socket.create_connection(("127.0.0.1", port("MUPDATE")), 30)
    f = writer.makefile("rb")
    while not f.readline().startswith(b"* OK"):
        pass
    plain = base64.b64encode(b"\0backend1\0password").decode()
    writer.sendall(('A AUTHENTICATE "PLAIN" "%s"\r\n' % plain).encode())
    f.readline()
    writer.sendall(b'R RESERVE "left" "backend1!default"\r\n')
    f.readline()
    tap.ok("left" in published(), "a name reserved and not made")
    f.close()
    writer.close()
    murder("down", "backend1", "KILL")
    murder("up", "backend1")
    tap.ok(await_published("left", False), "is released at the next meeting")
    tap.ok("h2" in published(), "and nothing else")


try:
    murder("start", "--backends", "2", "--frontends", "0", "--users", "0",
           "--set", "backend1:log_level = debug")
    one, two = admin(1), admin(2)
    both(one, two)
    restored(one, two)
    restarted(one)
    parted(one)
    one.close()
    two.close()
    meet_again()
finally:
    for name in ("mupdate", "backend1", "backend2"):
        path = os.path.join(DIR, "log", name + ".log")
        text = open(path, errors="replace").read()
        if tap.failed or sys.exc_info()[0]:
            print("\n".join("# " + x for x in text.split("\n")[-30:]))
        tap.ok("Sanitizer" not in text and "panic" not in text and
               "runtime error" not in text, name + ": nothing went wrong")
    subprocess.run([SCRIPT, "stop", DIR], stdout=subprocess.DEVNULL)
    shutil.rmtree(DIR, ignore_errors=True)
tap.done()
