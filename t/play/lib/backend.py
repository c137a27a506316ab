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
import random
import select
import shutil
import signal
import smtplib
import socket
import subprocess
import tempfile
import time

from imap import Client
from tap import tap

HERE = os.path.dirname(os.path.abspath(__file__))
BIN = os.path.abspath(os.environ.get("MURDER_BIN") or
                      os.path.join(HERE, "..", "..", "..",
                                   os.environ.get("B", "build"), "bin"))
START_SECONDS = 60
STOP_SECONDS = 30

imaplib._MAXLINE = 100 * 1000 * 1000


def free_ports(count):
    """
    Ports that nobody had a moment ago; all different.  Not of those that the
    kernel gives to outgoing connections: one of them would take the port of
    a daemon that is down for a moment.
    """
    with open("/proc/sys/net/ipv4/ip_local_port_range") as f:
        low = int(f.read().split()[0])
    choice = list(range(10000, low)) if low > 20000 else [0] * count * 2
    random.shuffle(choice)
    held = []
    while len(held) < count:
        try:
            held.append(socket.create_server(("127.0.0.1", choice.pop())))
        except OSError:
            pass
    ports = [s.getsockname()[1] for s in held]
    for s in held:
        s.close()
    return ports


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
            subprocess.run(["saslpasswd2", "-p", "-c", "-f",
                            self.path("sasldb"), "-u", "murder", name],
                           input="password", text=True, check=True)
        lines = ["hostname = test", "directory = " + self.path("data"),
                 "partition = default " + self.path("spool"),
                 "temp_directory = " + self.dir,
                 "listen = 127.0.0.1:%d" % self.imap_port,
                 "lmtp_listen = 127.0.0.1:%d" % self.lmtp_port,
                 "sasldb = " + self.path("sasldb"), "sasl_realm = murder",
                 "admin = admin", "proxy_servers = proxy",
                 "auth_failure_delay = 1ms", "log_level = debug"]
        if self.second:
            lines.append("partition = second " + self.path("spool2"))
        if self.tls:
            self.make_certificate()
            lines += ["tls_cert = " + self.path("cert.pem"),
                      "tls_key = " + self.path("key.pem"),
                      "listen_tls = 127.0.0.1:%d" % self.imaps_port]
        own = [line.split("=")[0] for line in self.conf]
        lines = [line for line in lines if line.split("=")[0] not in own]
        os.makedirs(self.path("data"))
        with open(self.path("conf"), "w") as f:
            f.write("\n".join(lines + self.conf) + "\n")

    def make_certificate(self):
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec",
                        "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                        "-days", "30", "-subj", "/CN=localhost", "-keyout",
                        self.path("key.pem"), "-out", self.path("cert.pem")],
                       check=True, stdout=subprocess.DEVNULL,
                       stderr=subprocess.DEVNULL)

    def start(self):
        """Returns when it says that it is ready, and accepts."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ready, \
                open(self.path("log"), "a") as log:
            ready.bind(self.path("notify"))
            self.child = subprocess.Popen(
                [os.path.join(BIN, "backendd"), "-d", "-f", self.path("conf")],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                env=dict(os.environ, NOTIFY_SOCKET=self.path("notify")))
            pidfd = os.pidfd_open(self.child.pid)
            some = select.select([ready, pidfd], [], [], START_SECONDS)[0]
            os.close(pidfd)
            os.unlink(self.path("notify"))
            if ready not in some:
                raise RuntimeError("backendd did not start")

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
        for pid in os.listdir("/proc"):
            try:
                with open("/proc/%s/stat" % pid) as f:
                    fields = f.read().rsplit(")", 1)[1].split()
                with open("/proc/%s/comm" % pid) as f:
                    name = f.read().strip()
            except (OSError, IndexError):
                continue
            if int(fields[1]) == self.child.pid and "store" in name:
                os.kill(int(pid), signal.SIGKILL)

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
        try:
            for line in self.log().split("\n")[-60:]:
                print("# " + line)
        except OSError:
            pass

    # --- clients ---------------------------------------------------------------

    def imap(self, user=None, password="password"):
        c = imaplib.IMAP4("127.0.0.1", self.imap_port, timeout=30)
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
        self.sock = socket.create_connection(("127.0.0.1", port), 60)
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
