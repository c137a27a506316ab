#!/usr/bin/python3
"""LMTP into a stand-alone backend: users, details, frontends, bad input."""
import base64
import hashlib
import os
import smtplib
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "lib"))
from backend import Backend, tap  # noqa: E402

MESSAGE = b"From: a@example.org\r\nSubject: %s\r\n\r\n.dot\r\nbody %s\r\n"


def message(text):
    return MESSAGE % (text, text)


def count(c, mailbox):
    status = c.status(mailbox, "(MESSAGES)")[1][0].decode()
    return int(status.split("MESSAGES ")[1].rstrip(")"))


def last(c, mailbox):
    """The newest message, its flags."""
    _, data = c.select(mailbox, readonly=True)
    number = data[0].decode()
    _, parts = c.fetch(number, "(FLAGS BODY.PEEK[])")
    c.unselect()
    flags = parts[0][0] + parts[1]
    return parts[0][1], flags.decode()


def send(m, recipients, octets):
    """The replies after DATA: one each, which smtplib does not know."""
    m.docmd("MAIL FROM:<a@example.org>")
    for r in recipients:
        m.docmd("RCPT TO:<%s>" % r)
    return [m.data(octets)[0]] + [m.getreply()[0] for _ in recipients[1:]]


def delivered(b):
    m = b.lmtp()
    tap.ok(m.has_extn("pipelining") and m.has_extn("size") and
           m.has_extn("8bitmime") and m.has_extn("enhancedstatuscodes"),
           "what LHLO says")
    tap.equal(send(m, ["fred@test", "joe@test"], message(b"one")),
              [250, 250], "two recipients")
    fred = b.imap("fred")
    octets, flags = last(fred, "INBOX")
    tap.ok(octets.startswith(b"Return-Path: <a@example.org>\r\n"
                             b"Received: from play.test ("), "trace")
    tap.ok(octets.endswith(message(b"one")), "and the message as it was")
    tap.equal(count(b.imap("joe"), "INBOX"), 1, "the other has it too")
    tap.ok(m.sendmail("", ["fred@test"], message(b"two")) == {},
           "the empty sender")
    tap.equal(count(fred, "INBOX"), 2, "and its message")
    try:
        m.sendmail("a@x.org", ["x/../y@test"], message(b"no"))
        tap.ok(False, "no such user")
    except smtplib.SMTPRecipientsRefused as e:
        tap.equal(e.recipients["x/../y@test"][0], 550, "no such user")
    m.quit()


def details(b):
    fred = b.imap("fred")
    fred.create("lists")
    m = b.lmtp()
    m.sendmail("a@x.org", ["fred+lists@test"], message(b"closed"))
    tap.equal(count(fred, "lists"), 0, "without p not into a mailbox")
    tap.equal(count(fred, "INBOX"), 3, "but into INBOX")
    fred.setacl("lists", "anyone", "p")
    m.sendmail("a@x.org", ["fred+lists@test"], message(b"open"))
    tap.equal(count(fred, "lists"), 1, "with p it goes there")
    m.sendmail("a@x.org", ["fred+nothing@test"], message(b"none"))
    tap.equal(count(fred, "INBOX"), 4, "an unknown one is INBOX's")
    m.quit()


def frontends(b):
    m = b.lmtp()
    tap.ok(m.has_extn("xmurder"), "XMURDER")
    code, _ = m.docmd("MAIL FROM:<a@x.org>")
    code, text = m.docmd("RCPT TO:<fred@test> XMAILBOX=user.fred.lists")
    tap.equal(code, 555, "not for everybody")
    m.docmd("RSET")
    plain = base64.b64encode(b"\0fred\0password").decode()
    tap.equal(m.docmd("AUTH PLAIN " + plain)[0], 535, "nor for users")
    plain = base64.b64encode(b"\0proxy\0password").decode()
    tap.equal(m.docmd("AUTH PLAIN " + plain)[0], 235, "but for frontends")
    fred = b.imap("fred")
    key = hashlib.sha256(b"one").hexdigest()
    before = count(fred, "lists")
    for n in range(2):
        m.docmd("MAIL FROM:<a@x.org> BODY=8BITMIME SIZE=100")
        code, text = m.docmd(
            "RCPT TO:<fred@test> XMAILBOX=user.fred.lists "
            "XFLAGS=\\Flagged+20$Work XKEY=" + key)
        tap.equal(code, 250, "target, flags and key: %r" % text)
        code, text = m.docmd("RCPT TO:<x@test> XMAILBOX=user.gone")
        tap.equal(code, 550, "no such mailbox")
        code, text = m.data(message(b"frontend"))
        tap.equal(code, 250, "stored, time %d" % n)
    octets, flags = last(fred, "lists")
    tap.equal(octets, message(b"frontend"), "without another trace")
    tap.ok("\\Flagged" in flags and "$Work" in flags, "with its flags")
    tap.equal(count(fred, "lists"), before + 1, "once")
    m.docmd("MAIL FROM:<a@x.org>")
    code, text = m.docmd("RCPT TO:<fred@test> XMAILBOX=user.fred XKEY=x")
    tap.ok(code == 501 and text.count(b"5.5.4") == 1,
           "a parameter that is wrong: %r" % text)
    m.quit()


def raw_sessions(b):
    r = b.raw(b.lmtp_port)
    tap.ok(r.line().startswith("220 test "), "greeting")
    r.send("LHLO c\r\nMAIL FROM:<a@x.org>\r\nRCPT TO:<fred@test>\r\n"
           "RCPT TO:<new@test>\r\nRCPT TO:<@@>\r\nDATA\r\n")
    r.until("250 ")
    got = [r.line()[:9] for _ in range(5)]
    tap.equal(got, ["250 2.1.0", "250 2.1.5", "250 2.1.5", "501 5.1.3",
                    got[4]], "pipelined commands")
    tap.ok(got[4].startswith("354"), "DATA")
    r.send(message(b"pipe").replace(b"\r\n.", b"\r\n..") + b".\r\nNOOP\r\n")
    got = [r.line()[:9] for _ in range(3)]
    tap.equal(got, ["250 2.1.5", "250 2.1.5", "250 2.0.0"],
              "a reply for each recipient accepted")
    tap.ok(last(b.imap("new"), "INBOX")[0].endswith(message(b"pipe")),
           "an INBOX made for the first message")
    for text, code in (("MAIL FROM:<a@x.org> SIZE=999999999999", "552"),
                       ("MAIL FROM:<a@x.org> FROB=1", "555"),
                       ("MAIL FROM:<a@x.org> BODY=BINARY", "501"),
                       ("RCPT TO:<fred@test>", "503"), ("DATA", "503"),
                       ("EHLO x", "500"), ("FROB", "500"),
                       ("VRFY fred", "252"), ("RSET", "250"),
                       ("STARTTLS", "503"), ("AUTH FROB", "5")):
        r.send(text + "\r\n")
        line = r.line()
        tap.ok(line.startswith(code), "%s: %s" % (text, line))
    r.send("MAIL FROM:<a@x.org>\r\nDATA\r\nQUIT\r\n")
    tap.equal([r.line()[:3] for _ in range(3)], ["250", "503", "221"],
              "DATA without recipients")
    r.close()
    for what, octets in (("a lone LF in a command", b"NOOP\nNOOP\r\n"),
                         ("a long line", b"NOOP " + b"x" * 200000 + b"\r\n"),
                         ("a NUL", b"NO\0OP\r\n")):
        r = b.raw(b.lmtp_port)
        r.line()
        r.send(octets)
        lines = r.until("***")
        tap.ok(lines[0].startswith("500") and lines[-1] == "", what)
        r.close()
    r = b.raw(b.lmtp_port)
    r.line()
    r.send("LHLO c\r\n")
    r.until("250 ")
    r.send("MAIL FROM:<a@x.org>\r\nRCPT TO:<fred@test>\r\nDATA\r\n"
           "x\n.\nMAIL FROM:<evil@x.org>\r\n")
    tap.ok("550 5.6.0" in "\n".join(r.until("***")), "no smuggling")
    r.close()


def big(b):
    fred = b.imap("fred")
    m = b.lmtp()
    text = b"Subject: big\r\n\r\n" + b"0123456789abcdef" * 62 + b"\r\n"
    text += (b"x" * 998 + b"\r\n") * 3000
    tap.equal(send(m, ["fred@test", "joe@test"], text), [250, 250],
              "a message of 3 MB")
    tap.ok(last(fred, "INBOX")[0].endswith(text), "octet for octet")
    before = count(fred, "INBOX")
    m.docmd("MAIL FROM:<a@x.org>")
    m.docmd("RCPT TO:<fred@test>")
    code, answer = m.data(text * 2)
    tap.equal(code, 552, "one too big")
    tap.equal(count(fred, "INBOX"), before, "is not stored")
    tap.equal(m.docmd("NOOP")[0], 250, "and on it goes")
    m.quit()


def slow(b):
    """A message has to be here in time, however busy its sender is."""
    r = b.raw(b.lmtp_port)
    r.send("LHLO c\r\nMAIL FROM:<a@x.org>\r\nRCPT TO:<fred@test>\r\nDATA\r\n")
    r.until("354 ")
    r.send("a line, and no end\r\n")
    tap.ok(r.until("421 4.4.2")[-1].startswith("421"), "too slow")
    tap.equal(r.line(), "", "and closed")


def crash(b):
    """What was answered 250 is there after a crash."""
    m = b.lmtp()
    for n in range(20):
        m.sendmail("a@x.org", ["joe@test"], message(b"crash %d" % n))
    joe = b.imap("joe")
    before = count(joe, "INBOX")
    b.kill_store()
    while True:
        try:
            joe = b.imap("joe")
            break
        except (OSError, EOFError, Exception):
            pass
    tap.equal(count(joe, "INBOX"), before, "all of it is there after a crash")


with Backend(users=["fred", "joe", "new"],
             conf=["max_message = 5M"]) as backend:
    backend.imap("fred").logout()
    delivered(backend)
    details(backend)
    frontends(backend)
    raw_sessions(backend)
    big(backend)
    crash(backend)
with Backend(users=["fred"], conf=["message_timeout = 1s"]) as backend:
    backend.imap("fred").logout()
    slow(backend)
tap.done()
