"""A stand-alone backendd for a play: temporary directory, free ports, users.

  with Backend(users=["fred"], conf=["special_use = \\Sent Sent"]) as b:
      c = b.imap("fred")          # imaplib, logged in
      c = b.client("fred")        # imap.Client, logged in
      m = b.lmtp()                # smtplib.LMTP, LHLO said
      ...
  tap.done()

Users' password is "password".  When the with-block is left the daemon is
ended, and its log shown if it did not end well or the play failed.
"""
import imaplib
import os
import shutil
import signal
import smtplib
import subprocess
import tempfile
import time

from daemon import (QUICK, add_user, free_ports, kill_child,
                    make_certificate, start, tail)
from imap import Client
from net import connect
from tap import tap

STOP_SECONDS = 60

imaplib._MAXLINE = 100 * 1000 * 1000


class Backend:
    def __init__(self, users=("fred",), conf=(), tls=False, second=False):
        """second: there is a partition of that name, too."""
        self.users = list(users)
        self.conf = list(conf)
        self.second = second
        self.tls = tls
        self.child = None
        self.dir = None

    # --- life -----------------------------------------------------------------

    def __enter__(self):
        self.dir = tempfile.mkdtemp(prefix="backendd.")
        try:
            self.lay_out()
            self.start()
        except BaseException:
            self.show_log()
            shutil.rmtree(self.dir, ignore_errors=True)
            raise
        return self

    def __exit__(self, kind, value, trace):
        status = self.stop()
        tap.ok(status == 0, "backendd ends with status 0 (%s)" % status)
        wrong = [line for line in self.log().split("\n")
                 if "Sanitizer" in line or "runtime error" in line or
                 "panic" in line]
        tap.equal(wrong, [], "nothing went wrong inside")
        if kind is not None or tap.failed:
            self.show_log()
        shutil.rmtree(self.dir, ignore_errors=True)
        return False

    def path(self, *parts):
        return os.path.join(self.dir, *parts)

    def lay_out(self):
        self.imap_port, self.lmtp_port, self.imaps_port = free_ports(3)
        for name in self.users + ["admin", "proxy"]:
            add_user(self.path("sasldb"), name)
        lines = ["hostname = test", "directory = " + self.path("data"),
                 "partition = default " + self.path("spool"),
                 "temp_directory = " + self.dir,
                 "listen = 127.0.0.1:%d" % self.imap_port,
                 "lmtp_listen = 127.0.0.1:%d" % self.lmtp_port,
                 "sasldb = " + self.path("sasldb"), "sasl_realm = murder",
                 "admin = admin", "proxy_servers = proxy",
                 "log_level = debug"] + QUICK
        if self.second:
            lines.append("partition = second " + self.path("spool2"))
        if self.tls:
            make_certificate(self.path("key.pem"), self.path("cert.pem"))
            lines += ["tls_cert = " + self.path("cert.pem"),
                      "tls_key = " + self.path("key.pem"),
                      "listen_tls = 127.0.0.1:%d" % self.imaps_port]
        own = [line.split("=")[0] for line in self.conf]
        lines = [line for line in lines if line.split("=")[0] not in own]
        os.makedirs(self.path("data"))
        with open(self.path("conf"), "w") as f:
            f.write("\n".join(lines + self.conf) + "\n")

    def start(self):
        """Returns when it says that it is ready, and accepts."""
        self.child = start("backendd", self.path("conf"), self.path("log"))

    def stop(self, signo=signal.SIGTERM):
        if self.child is None:
            return 0
        if self.child.poll() is None:
            self.child.send_signal(signo)
        try:
            status = self.child.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.child.kill()
            status = self.child.wait()
        self.child = None
        return status

    def kill_store(self):
        """SIGKILL to the store child, as a crash would; the parent stays."""
        if kill_child(self.child.pid, "store") is None:
            raise RuntimeError("there is no store child")

    def reconfigure(self, line):
        """The option gets another value, by SIGHUP."""
        with open(self.path("conf")) as f:
            lines = f.read().split("\n")
        name = line.split("=")[0]
        lines = [old for old in lines if old.split("=")[0] != name]
        with open(self.path("conf"), "w") as f:
            f.write("\n".join(lines + [line]) + "\n")
        before = self.log().count("settings taken")
        self.child.send_signal(signal.SIGHUP)
        end = time.monotonic() + STOP_SECONDS
        while self.log().count("settings taken") == before:
            if time.monotonic() > end:
                raise RuntimeError("no reload")
            time.sleep(0.01)

    def log(self):
        with open(self.path("log"), errors="replace") as f:
            return f.read()

    def show_log(self):
        for line in tail(self.path("log"), 60):
            print("# " + line.rstrip("\n"))

    # --- clients ------------------------------------------------------------

    def imap(self, user=None, password="password"):
        c = imaplib.IMAP4("127.0.0.1", self.imap_port, timeout=60)
        if user is not None:
            c.login(user, password)
        return c

    def client(self, user=None):
        return Client(self.imap_port, user)

    def lmtp(self):
        m = smtplib.LMTP("127.0.0.1", self.lmtp_port)
        m.ehlo("play.test")
        return m

    def raw(self, port=None):
        """A socket with readline(): for what no client library does."""
        return Raw(port or self.imap_port)


class Raw:
    def __init__(self, port):
        self.sock = connect(("127.0.0.1", port), 60)
        self.file = self.sock.makefile("rb")

    def send(self, data):
        if isinstance(data, str):
            data = data.encode()
        self.sock.sendall(data)

    def line(self):
        return self.file.readline().decode("utf-8", "replace").rstrip("\r\n")

    def until(self, start):
        """Lines up to the one that begins so, or the end."""
        lines = []
        while True:
            raw = self.file.readline()
            lines.append(raw.decode("utf-8", "replace").rstrip("\r\n"))
            if lines[-1].startswith(start) or raw == b"":
                return lines

    def ask(self, tag, text):
        self.send("%s %s\r\n" % (tag, text))
        return self.until(tag + " ")

    def close(self):
        self.file.close()
        self.sock.close()
