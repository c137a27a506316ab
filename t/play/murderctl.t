#!/usr/bin/env python3
"""murderctl against a real mupdated: what it shows, to people and to
programs, what it breaks, and what it says when something is wrong."""

import fcntl
import json
import os
import pty
import socket
import struct
import subprocess
import sys
import termios
import threading

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "lib"))
from mupdate import Server  # noqa: E402
from tap import tap  # noqa: E402

ok, same = tap.ok, tap.equal
B = os.environ.get("B", "build")
PROGRAM = os.path.join(B, "bin", "murderctl")
SECONDS = 60
ACL = b"fred\tlrs\tanyone\tp\t"


class Ctl:
    """murderctl with a configuration for a server."""

    def __init__(self, server, user="admin", **options):
        self.dir = server.dir
        self.conf = os.path.join(server.dir, "murderctl.conf")
        self.secret = os.path.join(server.dir, "secret")
        with open(self.secret, "w") as f:
            f.write("password\n")
        os.chmod(self.secret, 0o600)
        self.options = {
            "mupdate_server": "127.0.0.1:%d" % server.ports["listen"],
            "mupdate_user": user,
            "mupdate_password_file": self.secret,
        }
        self.options.update(options)
        self.write()

    def write(self):
        with open(self.conf, "w") as f:
            for name, value in self.options.items():
                f.write("%s = %s\n" % (name, value))

    def run(self, *args):
        """Exit code, standard output, standard error."""
        done = subprocess.run([PROGRAM, "-f", self.conf, *args],
                              stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              timeout=SECONDS)
        return done.returncode, done.stdout.decode(), done.stderr.decode()

    def json(self, *args):
        code, out, err = self.run("--json", *args)
        if code != 0:
            print(f"# {args}: {code} {err}")
        return [json.loads(line) for line in out.splitlines()]

    def says(self, code, text, what, *args):
        """It fails like this, and shows nothing else."""
        got = self.run(*args)
        ok(got[0] == code and got[1] == "" and text in got[2],
           what + ": " + got[2].split("\n")[0][:60])
        if got[0] != code or got[1] != "" or text not in got[2]:
            print(f"# {got}")


def fill(server):
    """Two active, one being deleted, two reserved, one by who has left."""
    be1 = server.connect("be1")
    be2 = server.connect("be2")
    be1.ask(b"XACTIVATE", b"user.fred", b"be1!default", ACL, b"0", b"M1",
            b"\\Sent", b"0")
    be1.ask(b"ACTIVATE", b"user.fred.old", b"be1!", ACL)
    be1.ask(b"DEACTIVATE", b"user.fred.old", b"be1!")
    be1.ask(b"XRESERVE", b"user.new", b"be1!default")
    be2.ask(b"ACTIVATE", "user.\u00e4\x9b".encode(), b"be2!p2", ACL)
    be2.ask(b"XRESERVE", b"user.left", b"be2!p2")
    be2.close()
    return be1


def test_status(ctl):
    got = ctl.json("status")[0]
    same(got["hosts"],
         [{"host": "be1", "active": 1, "reserved": 1, "moving": 1},
          {"host": "be2", "active": 1, "reserved": 1, "moving": 0}],
         "status: entries by host and state")
    ok(got["entries"] == 5 and got["revision"] > 1 << 40 and
       len(got["epoch"]) == 32, "and where the list is")
    code, out, _ = ctl.run("status")
    ok(code == 0 and "be1" in out and str(got["revision"]) in out,
       "the same for people")


def test_list(ctl):
    names = [e["name"] for e in ctl.json("list")]
    same(sorted(names),
         sorted(["user.fred", "user.fred.old", "user.left", "user.new",
                 "user.\u00e4\\xc2\\x9b"]), "list: all, no terminal harmed")
    same([(e["name"], e["state"]) for e in ctl.json("list", "user.fred")],
         [("user.fred", "active"), ("user.fred.old", "moving")],
         "list PREFIX")
    same(sorted(e["name"] for e in ctl.json("list", "--host", "be1")),
         ["user.fred", "user.fred.old", "user.new"], "list --host")
    code, out, _ = ctl.run("list", "user.new")
    same((code, out.split()[-3:]), (0, ["user.new", "reserved",
                                        "be1!default"]), "for people")
    ctl.says(3, "no entry", "nothing begins so", "list", "nobody")
    ctl.says(3, "no entry", "no such host", "list", "--host", "be9")


def test_explain(ctl):
    got = ctl.json("explain", "user.fred")[0]
    generation = got.pop("generation")
    ok(generation > 0 and got.pop("revision") >= generation, "explain")
    same(got, {"name": "user.fred", "state": "active", "host": "be1",
               "partition": "default", "mailboxid": "M1",
               "special_use": "\\Sent", "type": 0, "lease": None,
               "acl": [{"identifier": "fred", "rights": "lrs"},
                       {"identifier": "anyone", "rights": "p"}]},
         "with all that is known")
    got = ctl.json("explain", "user.new")[0]["lease"]
    same((got["owner"], got["ends"], got["expires"]), ("be1", "held", None),
         "a reservation whose owner is here")
    got = ctl.json("explain", "user.left")[0]["lease"]
    ok(got["owner"] == "be2" and got["ends"] == "ending" and
       0 < got["expires"] - got["since"] <= 1000, "and one that will end")
    for name, text in (("user.fred", "The mailbox is on be1"),
                       ("user.new", "owner is here"),
                       ("user.fred.old", "out of service")):
        code, out, _ = ctl.run("explain", name)
        ok(code == 0 and text in out, f"for people: {name}")
    ctl.says(3, "not in the list", "no such name", "explain", "user.x")


def test_reservations(ctl):
    got = {e["name"]: (e["owner"], e["ends"]) for e in
           ctl.json("reservations")}
    same(got["user.new"], ("be1", "held"), "reservations: held")
    same(got["user.left"], ("be2", "ending"), "and ending")
    same(got["user.fred.old"][1], "never", "and what has data behind it")
    code, out, _ = ctl.run("reservations")
    ok(code == 0 and "user.left" in out and "in " in out, "for people")


def test_break(ctl):
    generation = ctl.json("explain", "user.left")[0]["generation"]
    ctl.says(1, "granted anew", "another generation", "break", "user.left",
             str(generation + 1))
    ctl.says(1, "active on be1", "not what is active", "break", "user.fred")
    ctl.says(3, "not in the list", "not what is not", "break", "user.x")
    same(len(ctl.json("list")), 5, "nothing has changed")
    code, out, _ = ctl.run("break", "user.left", str(generation))
    ok(code == 0 and "user.left is free" in out and str(generation) in out,
       "break NAME GENERATION")
    same(ctl.json("break", "user.new")[0]["broken"], "user.new",
         "break NAME")
    same(sorted(e["name"] for e in ctl.json("list", "user.")),
         ["user.fred", "user.fred.old", "user.\u00e4\\xc2\\x9b"],
         "they are gone")


def test_rights(server):
    ctl = Ctl(server, "be1")
    ok(ctl.run("status")[0] == 0, "anybody may look at the status")
    ctl.says(1, "admin", "only admins at leases", "reservations")
    got = ctl.json("explain", "user.fred.old")[0]
    same((got["state"], got["lease"]), ("moving", None),
         "others are explained the entry alone")


def test_usage(ctl):
    for args in ((), ("x",), ("explain",), ("status", "x"),
                 ("break", "a", "b"), ("-x", "status"), ("status", "-s"),
                 ("status", "--host", "be1"),
                 ("list", "a", "--host", "be1"), ("break", "a", "1", "2")):
        ctl.says(2, "usage:", "usage", *args)
    code, out, _ = ctl.run("-n")
    ok(code == 0 and "mupdate_user = admin" in out and "password\n" not in
       out, "-n shows what is in force, and no password")


def test_wrong(server, ctl):
    port = server.ports["listen"]
    with socket.create_server(("127.0.0.1", 0)) as s:
        closed = s.getsockname()[1]
    ctl.says(1, "is mupdated running", "nobody listens", "status", "-s",
             "127.0.0.1:%d" % closed)
    ctl.says(1, "mupdate_user", "no such user", "status", "-u", "nobody")
    ctl.says(1, "-f", "no such file", "status", "-f", "/nonexistent/conf")
    os.chmod(ctl.secret, 0o644)
    ctl.says(1, "chmod", "a password that all may read", "status")
    os.chmod(ctl.secret, 0o600)
    ctl.options["mupdate_password_file"] = "/nonexistent/secret"
    ctl.write()
    ctl.says(1, "mupdate_password_file", "no password", "status")
    ctl.options["mupdate_password_file"] = ctl.secret
    del ctl.options["mupdate_server"]
    ctl.write()
    ctl.says(1, "mupdate_server", "no server", "status")
    same(ctl.run("status", "-s", "127.0.0.1:%d" % port)[0], 0,
         "but -s names one")


def serve_once(listener, octets):
    peer, _ = listener.accept()
    peer.sendall(octets)
    while peer.recv(4096):
        pass
    peer.close()


def test_strange(ctl):
    """Servers that are not ours, or silent."""
    for octets, text in (
        (b'* AUTH "PLAIN"\r\n* OK MUPDATE "h" "Cyrus" "3" "(master)"\r\n'
         b'A01 OK "x"\r\n', "XMURDER"),
        (b"", "no answer in time"),
        (b"SSH-2.0-x\r\n", "mupdate_tls"),
    ):
        with socket.create_server(("127.0.0.1", 0)) as listener:
            thread = threading.Thread(target=serve_once,
                                      args=(listener, octets))
            thread.start()
            ctl.options["answer_timeout"] = "60s" if octets else "1s"
            ctl.options["mupdate_server"] = ("127.0.0.1:%d" %
                                             listener.getsockname()[1])
            ctl.write()
            ctl.says(1, text, "a strange server", "status")
            thread.join()


def test_tls():
    server = Server(["admin"], admin="admin")
    server.make_cert()
    server.options["listen_tls"] = "127.0.0.1:0"
    server.start()
    ctl = Ctl(server, mupdate_tls="starttls")
    same(ctl.run("status")[0], 0, "STARTTLS")
    ctl.options["mupdate_ca"] = server.options["tls_cert"]
    ctl.write()
    ctl.says(1, "mupdate_ca", "a certificate of another name", "status")
    ctl = Ctl(server, mupdate_tls="yes", mupdate_server="127.0.0.1:%d" %
              server.ports["listen_tls"])
    same(ctl.run("status")[0], 0, "TLS from the start")
    same(server.stop(), 0, "it ends well")
    server.remove()


def test_long():
    """A long list is streamed; who stops reading ends it; a terminal sees
    how far it is."""
    server = Server(["admin"], admin="admin")
    server.start()
    admin = server.connect("admin")
    many = 60000
    for at in range(0, many, 1000):
        admin.send(b"".join(
            admin.command(b"X%d" % i, b"ACTIVATE", b"user.u%06d" % i,
                          b"be%d!p" % (i % 3), b"u\tlrs\t")
            for i in range(at, at + 1000)))
        admin.until(b"X%d" % (at + 999))
    ctl = Ctl(server)
    code, out, err = ctl.run("list")
    ok(code == 0 and out.count("\n") == many + 1 and err == "",
       "a long list, without progress into a file")
    same(len(ctl.json("list", "--host", "be1")), many // 3, "of one host")
    whole = subprocess.Popen([PROGRAM, "-f", ctl.conf, "list"],
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    whole.stdout.readline()
    whole.stdout.close()
    ok(b"cannot be written" in whole.stderr.read() and
       whole.wait(SECONDS) == 1, "who stops reading ends it")
    whole.stderr.close()
    main, side = pty.openpty()
    fcntl.ioctl(side, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    shown = []
    reader = threading.Thread(target=read_all, args=(main, shown))
    reader.start()
    with open(os.devnull, "wb") as nowhere:
        code = subprocess.run([PROGRAM, "-f", ctl.conf, "status"],
                              stdout=nowhere, stderr=side,
                              timeout=SECONDS).returncode
    os.close(side)
    reader.join()
    os.close(main)
    text = b"".join(shown)
    ok(code == 0 and (text == b"" or (b"of 60000 entries" in text and
                                      text.endswith(b"\r\x1b[K"))),
       "a terminal is told how far it is, and left clean")
    admin.close()
    same(server.stop(), 0, "it ends well")
    server.remove()


def read_all(fd, into):
    try:
        while True:
            got = os.read(fd, 65536)
            if not got:
                return
            into.append(got)
    except OSError:
        return


def main():
    server = Server(["admin", "be1", "be2", "front"], admin="admin",
                    writer=["be1", "be2"], reader="front")
    server.start()
    be1 = fill(server)
    ctl = Ctl(server)
    test_status(ctl)
    test_list(ctl)
    test_explain(ctl)
    test_reservations(ctl)
    test_break(ctl)
    test_rights(server)
    ctl = Ctl(server)
    test_usage(ctl)
    test_wrong(server, ctl)
    test_strange(ctl)
    be1.close()
    same(server.stop(), 0, "it ends well")
    server.remove()
    test_tls()
    test_long()
    tap.done()


main()
