"""A MUPDATE client that hides nothing, and a mupdated to talk to."""

import atexit
import base64
import os
import re
import resource
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile

from daemon import BIN, add_user, children, make_certificate
from net import connect

DEADLINE = 60


class Closed(Exception):
    pass


class Client:
    """Sends what it is told; reads one response at a time, as a list."""

    def __init__(self, port, tls=False, host="127.0.0.1"):
        self.sock = connect((host, port), DEADLINE)
        self.data = b""
        if tls:
            self.start_tls()

    def start_tls(self):
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        self.sock = context.wrap_socket(self.sock)
        self.data = b""

    def send(self, data):
        self.sock.sendall(data)

    def fill(self):
        more = self.sock.recv(65536)
        if not more:
            raise Closed()
        self.data += more

    def line(self):
        while b"\r\n" not in self.data:
            self.fill()
        line, self.data = self.data.split(b"\r\n", 1)
        return line

    def octets(self, n):
        while len(self.data) < n:
            self.fill()
        octets, self.data = self.data[:n], self.data[n:]
        return octets

    def response(self):
        """b'A OK "done"' as [b'A', b'OK', b'done']."""
        words = []
        line = self.line()
        while True:
            literal = re.search(rb"\{(\d+)\+?\}$", line)
            head = line[: literal.start()] if literal else line
            for quoted, atom in re.findall(
                rb'"((?:[^"\\]|\\.)*)"|([^ "]+)', head
            ):
                words.append(atom or re.sub(rb"\\(.)", rb"\1", quoted))
            if not literal:
                return words
            words.append(self.octets(int(literal.group(1))))
            line = self.line()

    def banner(self):
        lines = []
        while True:
            lines.append(self.response())
            if lines[-1][1:3] == [b"OK", b"MUPDATE"]:
                return lines

    def login(self, user, password="password"):
        blob = base64.b64encode(f"\0{user}\0{password}".encode())
        self.send(b'A01 AUTHENTICATE "PLAIN" {%d+}\r\n%s\r\n'
                  % (len(blob), blob))
        return self.response()

    @staticmethod
    def command(tag, word, *args):
        out = tag + b" " + word
        for arg in args:
            out += b" {%d+}\r\n%s" % (len(arg), arg)
        return out + b"\r\n"

    def ask(self, word, *args, tag=b"X"):
        """All responses up to the tagged end of the command."""
        self.send(self.command(tag, word, *args))
        return self.until(tag)

    def until(self, tag):
        got = []
        while True:
            got.append(self.response())
            if got[-1][0] == tag and got[-1][1] in (
                b"OK", b"NO", b"BAD", b"BYE"
            ):
                return got

    def gone(self):
        """Has the server closed, with nothing more to say?"""
        try:
            self.fill()
        except (Closed, ConnectionError):
            return not self.data
        return False

    def close(self):
        self.sock.close()


class Server:
    """A mupdated of its own, in a directory of its own."""

    def __init__(self, users, **options):
        self.dir = tempfile.mkdtemp(prefix="mupdated.")
        self.options = {
            "directory": self.dir + "/list",
            "sasldb": self.dir + "/sasldb2",
            "sasl_realm": "murder",
            "sasl_mechanisms": "PLAIN SCRAM-SHA-1",
            "auth_failure_delay": "10ms",
            "restart_delay": "100ms",
            "auth_children": "1",
            "hostname": "mu.test",
            "listen": "127.0.0.1:0",
        }
        self.options.update(options)
        for user in users:
            add_user(self.dir + "/sasldb2", user)
        self.process = None
        atexit.register(self.end)

    def end(self):
        """Nothing outlives the test, however that ended."""
        if self.process and self.process.poll() is None:
            self.kill()

    def make_cert(self):
        make_certificate(self.dir + "/key.pem", self.dir + "/cert.pem",
                         "DNS:mu.test")
        self.options["tls_cert"] = self.dir + "/cert.pem"
        self.options["tls_key"] = self.dir + "/key.pem"

    def start(self):
        """Returns when it accepts; its log tells on which ports."""
        with open(self.dir + "/conf", "w") as f:
            for name, value in self.options.items():
                values = value if isinstance(value, list) else [value]
                for v in values:
                    f.write(f"{name} = {v}\n")
        self.program = os.path.join(BIN, "mupdated")
        self.ports = {}
        self.process = subprocess.Popen(
            [self.program, "-d", "-f", self.dir + "/conf"],
            # SIGXFSZ stays ignored: see refuse_writes().
            stderr=subprocess.PIPE, start_new_session=True,
            restore_signals=False)
        seen = b""
        for line in self.process.stderr:
            seen += line
            bound = re.search(
                rb"listening name=(\w+) address=\S+:(\d+)", line)
            if bound:
                self.ports[bound.group(1).decode()] = int(bound.group(2))
            if b": ready" in line:
                break
        else:
            raise RuntimeError(seen.decode())
        # Nobody reads the rest: it must not fill the pipe.
        self.drain = subprocess.Popen(
            ["cat"], stdin=self.process.stderr,
            stdout=open(self.dir + "/log", "ab"))
        self.process.stderr.close()

    def pids(self):
        """Of the parent and its children."""
        pid = self.process.pid
        return [pid] + [child for _, child in children(pid)]

    def refuse_writes(self, refuse):
        """As a disk that is full would."""
        for pid in self.pids():
            hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)[1]
            resource.prlimit(pid, resource.RLIMIT_FSIZE,
                             (1 if refuse else hard, hard))

    def kill(self):
        """-9 for all of it, as when the machine loses power."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self.drain.wait()

    def stop(self):
        """As an admin would; 0 if it went well."""
        self.process.terminate()
        code = self.process.wait(DEADLINE)
        self.drain.wait()
        return code

    def log(self):
        with open(self.dir + "/log", "rb") as f:
            return f.read()

    def http(self, path):
        """Status and body, by admin_listen."""
        with socket.create_connection(("127.0.0.1", self.ports["admin"]),
                                      DEADLINE) as s:
            s.sendall(b"GET %s HTTP/1.0\r\n\r\n" % path.encode())
            data = b""
            while more := s.recv(65536):
                data += more
        head, body = data.split(b"\r\n\r\n", 1)
        return int(head.split()[1]), body

    def remove(self):
        shutil.rmtree(self.dir)

    def connect(self, user=None):
        client = Client(self.ports["listen"])
        client.banner()
        if user:
            got = client.login(user)
            if got[1] != b"OK":
                raise RuntimeError(got)
        return client
