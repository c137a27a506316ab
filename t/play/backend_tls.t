#!/usr/bin/python3
"""TLS at a backend: STARTTLS, from the start, LMTP; nothing slips in."""
import imaplib
import os
import smtplib
import ssl
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "lib"))
from backend import Backend, tap  # noqa: E402


def secure(b, r):
    context = ssl.create_default_context(cafile=b.path("cert.pem"))
    r.file.close()
    r.sock = context.wrap_socket(r.sock, server_hostname="localhost")
    r.file = r.sock.makefile("rb")


def starttls(b):
    r = b.raw()
    tap.ok("STARTTLS" in r.line(), "is offered")
    # What is pipelined behind it came in the clear: it must not be obeyed.
    r.send("a STARTTLS\r\nb LOGIN fred password\r\n")
    tap.ok(r.line().startswith("a OK"), "STARTTLS")
    secure(b, r)
    lines = r.ask("c", "CAPABILITY")
    tap.ok("STARTTLS" not in lines[0] and not lines[0].startswith("b "),
           "nothing slips in, and it is not offered twice")
    tap.ok(r.ask("d", "LOGIN fred password")[-1].startswith("d OK"),
           "and login")
    tap.ok(r.ask("e", "LIST \"\" *")[0].endswith(" INBOX"), "works")
    r.close()


def implicit(b):
    context = ssl.create_default_context(cafile=b.path("cert.pem"))
    c = imaplib.IMAP4_SSL("localhost", b.imaps_port, ssl_context=context,
                          timeout=60)
    c.login("fred", "password")
    tap.equal(c.append("INBOX", None, None, b"Subject: x\r\n\r\nbody\r\n")[0],
              "OK", "APPEND by TLS from the start")
    c.select("INBOX")
    tap.ok(b"body" in c.fetch("1", "BODY[]")[1][0][1], "and FETCH")
    c.logout()
    r = b.raw(b.imaps_port)
    r.send("a NOOP\r\n" * 10)
    try:
        rest = "".join(r.until("a OK"))
    except OSError:
        rest = ""
    tap.ok("OK" not in rest, "no plain text on the TLS port")
    r.close()


def lmtp(b):
    m = smtplib.LMTP("127.0.0.1", b.lmtp_port)
    m.ehlo("play.test")
    tap.ok(m.has_extn("starttls"), "LMTP has it too")
    context = ssl.create_default_context(cafile=b.path("cert.pem"))
    context.check_hostname = False
    m.starttls(context=context)
    m.ehlo("play.test")
    tap.ok(not m.has_extn("starttls"), "once")
    tap.equal(m.sendmail("a@x.org", ["fred@test"],
                         b"Subject: tls\r\n\r\nx\r\n"), {}, "and delivers")
    m.quit()
    c = b.imap("fred")
    tap.ok(b"with LMTPS id" in (c.select("INBOX"),
                                c.fetch("2", "BODY[]"))[1][1][0][1],
           "as the trace says")
    c.logout()


def reload(b):
    """A new certificate is for new connections; old ones go on."""
    c = b.imap("fred")
    before = b.log().count("reloaded")
    b.child.send_signal(1)
    while b.log().count("reloaded") == before and b.child.poll() is None:
        c.noop()
    tap.equal(c.noop()[0], "OK", "the session goes on after a reload")
    starttls(b)
    c.logout()


with Backend(users=["fred"], tls=True) as backend:
    starttls(backend)
    implicit(backend)
    lmtp(backend)
    reload(backend)
tap.done()
