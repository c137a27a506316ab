"""A proxyd whose update server is a play's own, for plays of its list.

  f = Front(port)             # of the update server, or of a Middle before it
  f.start()
  f.await_health("; connected to")
  f.names(f.client())         # what the reader sees of the shared mailboxes
  f.stop(); f.remove()

Users are reader and admin; there is a backend b1 in its configuration, but
nobody at that address.
"""
import imaplib
import os
import re
import shutil
import signal
import smtplib
import tempfile
import urllib.error
import urllib.request

from daemon import QUICK, add_user, children, free_ports, start
from murder import SECONDS, await_that
from tap import tap


class Front:
    def __init__(self, update, *settings):
        self.dir = tempfile.mkdtemp(prefix="front.")
        self.imap, self.lmtp, self.admin, nobody = free_ports(4)
        for user in ("reader", "admin"):
            add_user(self.path("sasldb"), user)
        lines = ["hostname = front", "directory = " + self.path("data"),
                 "spool_directory = " + self.dir,
                 "listen = 127.0.0.1:%d" % self.imap,
                 "lmtp_listen = 127.0.0.1:%d" % self.lmtp,
                 "admin_listen = 127.0.0.1:%d" % self.admin,
                 "imap_workers = 1", "admin = admin",
                 "mupdate_server = 127.0.0.1:%d" % update,
                 "mupdate_user = frontend1", "mupdate_password = password",
                 "mupdate_timeout = 4s", "sync_timeout = 3s",
                 "backend = b1 127.0.0.1:%d" % nobody,
                 "proxy_user = x", "proxy_password = x",
                 "sasldb = " + self.path("sasldb"),
                 "sasl_realm = murder"] + QUICK + list(settings)
        os.mkdir(self.path("data"))
        with open(self.path("conf"), "w") as f:
            f.write("\n".join(lines) + "\n")
        self.process = None

    def path(self, name):
        return os.path.join(self.dir, name)

    def start(self):
        self.process = start("proxyd", self.path("conf"), self.path("log"))

    def stop(self):
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            status = self.process.wait(SECONDS)
            tap.ok(status == 0, "the frontend ends well (%s)" % status)
        wrong = [line for line in self.log().split("\n")
                 if "Sanitizer" in line or "panic" in line]
        tap.ok(wrong == [], "nothing went wrong inside %s" % wrong[:1])

    def log(self):
        with open(self.path("log"), errors="replace") as f:
            return f.read()

    def remove(self):
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        shutil.rmtree(self.dir)

    def child(self, title):
        return dict(children(self.process.pid)).get(title)

    def reconnect(self):
        """At once, for a new password (so at a server that takes any)."""
        with open(self.path("conf")) as f:
            text = f.read()
        with open(self.path("conf"), "w") as f:
            f.write(text.replace("mupdate_password = ",
                                 "mupdate_password = x"))
        self.process.send_signal(signal.SIGHUP)

    def kill_front(self):
        pid = await_that(lambda: self.child("front"), "there is a front")
        os.kill(pid, signal.SIGKILL)

    # --- what it tells ------------------------------------------------------

    def ask(self, what):
        """Status and text; 0 while nobody answers."""
        try:
            with urllib.request.urlopen("http://127.0.0.1:%d%s" % (
                    self.admin, what), timeout=SECONDS) as f:
                return f.status, f.read().decode()
        except urllib.error.HTTPError as e:
            return e.code, e.read().decode()
        except OSError:
            return 0, ""

    def health(self):
        return self.ask("/healthz")

    def metrics(self):
        text = self.ask("/metrics")[1]
        return dict(re.findall(r"^(murder_\w+) (\d+)$", text, re.M))

    def is_healthy(self, *words, status=200):
        code, text = self.health()
        return code == status and all(w in text for w in words) and text

    def await_health(self, *words, status=200):
        what = "/healthz says %s" % ", ".join(words)
        if tap.ok(await_that(lambda: self.is_healthy(*words, status=status),
                             what), what):
            return self.health()[1]
        print("# %d %s" % self.health())
        print("# " + "\n# ".join(self.log().split("\n")[-15:]))
        return ""

    def await_current(self, entries):
        return self.await_health("%d mailboxes" % entries, "; connected to")

    # --- what clients see -----------------------------------------------------

    def client(self, user="reader"):
        c = imaplib.IMAP4("127.0.0.1", self.imap, timeout=SECONDS)
        c.login(user, "password")
        return c

    def names(self, c, pattern="*"):
        """None if it is not to be had now."""
        status, lines = c.list('""', '"Shared Folders/%s"' % pattern)
        if status == "NO" and b"UNAVAILABLE" in lines[0]:
            return None
        if status != "OK":
            raise RuntimeError(lines)
        return {line.rsplit(b"/", 1)[1].strip(b'"').decode()
                for line in lines if line and b"/" in line[-40:] and
                b"Noselect" not in line and b"NonExistent" not in line}

    def rcpt(self, user):
        with smtplib.LMTP() as s:
            s.timeout = SECONDS
            s.connect("127.0.0.1", self.lmtp)
            s.ehlo("play.test")
            s.docmd("MAIL FROM:<>")
            return s.docmd("RCPT TO:<%s@x.org>" % user)[0]
