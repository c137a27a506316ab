"""What plays of a stand-alone backendd share: TAP, a client, the server."""
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "lib"))
from tap import tap  # noqa: E402

B = os.environ.get("B", "build")
ok, plan = tap.ok, tap.done


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
        self.s = socket.create_connection(("127.0.0.1", port), 60)
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

    def close(self):
        self.f.close()
        self.s.close()


def free_port():
    s = socket.socket()
    s.bind(("127.0.0.1", 0))
    port = s.getsockname()[1]
    s.close()
    return port


class Server:
    def __init__(self, conf=""):
        self.dir = tempfile.mkdtemp(prefix="backend_imap.")
        self.port = free_port()
        for name in ("state", "spool", "spool2", "tmp"):
            os.mkdir(os.path.join(self.dir, name))
        for user in ("joe", "ann", "admin"):
            subprocess.run(
                ["saslpasswd2", "-p", "-c", "-f", self.dir + "/sasldb", "-u",
                 "murder", user], input=b"password", check=True)
        with open(self.dir + "/backendd.conf", "w") as f:
            f.write("""
directory = {d}/state
partition = default {d}/spool
partition = second {d}/spool2
temp_directory = {d}/tmp
sasldb = {d}/sasldb
sasl_mechanisms = PLAIN LOGIN
auth_failure_delay = 0s
listen = 127.0.0.1:{p}
admin = admin
drain_timeout = 20s
""".format(d=self.dir, p=self.port) + conf)
        self.start()

    def start(self):
        """Again and again, as a port may be held by what was just killed."""
        self.log = open(self.dir + "/log", "ab")
        until = time.monotonic() + 60
        self.proc = None
        while time.monotonic() < until:
            if self.proc is None or self.proc.poll() is not None:
                self.proc = subprocess.Popen(
                    [B + "/bin/backendd", "-d", "-f",
                     self.dir + "/backendd.conf"],
                    stdout=self.log, stderr=self.log)
            try:
                Client(self.port).close()
                if self.proc.poll() is None:
                    return
            except (OSError, EOFError):
                pass
            time.sleep(0.05)
        print("Bail out! backendd does not start")
        sys.stdout.write(open(self.dir + "/log").read())
        sys.exit(1)

    def stop(self, sig=signal.SIGTERM):
        self.proc.send_signal(sig)
        try:
            self.proc.wait(30)
        except subprocess.TimeoutExpired:
            self.proc.kill()
            self.proc.wait()
            ok(False, "backendd ends when told to")
        self.log.close()

    def remove(self):
        if tap.failed:
            text = open(self.dir + "/log", errors="replace").read()
            for line in text.splitlines()[-40:]:
                print("# " + line)
        shutil.rmtree(self.dir)


def simple(subject, text="hello"):
    return ("From: a@example.org\r\nSubject: %s\r\n\r\n%s\r\n" %
            (subject, text)).encode()
