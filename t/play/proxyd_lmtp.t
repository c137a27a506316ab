#!/usr/bin/python3
"""Mail through a frontend: LMTP in, scripts, mailboxes on any backend."""
import os
import signal
import socket
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "lib"))
from murder import Murder, await_that, deliver, message, octets_of, tap  # noqa
from sieve import Sink, script  # noqa: E402


def look(m, user, mailbox="INBOX"):
    """(flags, octets without our two trace fields) of each message."""
    c = m.imap(user)
    found = []
    if c.select('"%s"' % mailbox, readonly=True)[0] == "OK":
        status, data = c.uid("FETCH", "1:*", "(FLAGS BODY.PEEK[])")
        for part in data:
            if isinstance(part, tuple):
                octets = part[1]
                at = octets.index(b"+0000\r\n") + 7
                found.append((part[0].decode(), octets[at:]))
    c.logout()
    return found


def count(m, user, octets, mailbox="INBOX"):
    return [o for _, o in look(m, user, mailbox)].count(octets)


def send(m, recipients, octets, sender="sender@example.org"):
    l = m.lmtp()
    codes = deliver(l, recipients, octets, sender)
    l.quit()
    return codes


def to_both(m):
    one = message("to both")
    tap.equal(send(m, ["user1@x", "user2@x", "nobody@x", "User3@x"], one),
              [250, 250, 550, 250], "a transaction over two backends")
    for user in ("user1", "user2", "user3"):
        tap.equal(count(m, user, one), 1, user + " has it")
    c = m.imap("user1")
    c.select()
    whole = octets_of(c.fetch("1", "(BODY.PEEK[])")[1])
    sid = whole.split(b" with LMTP id ")[1].split(b";")[0].decode()
    tap.ok("sid=" + sid in m.log("backend1"),
           "the backend's log has the frontend's session")
    tap.ok(whole.startswith(b"Return-Path: <sender@example.org>\r\n"
                            b"Received: from play.test ([127.0.0.1"),
           "with Return-Path and Received before it")
    c.logout()
    tap.equal(send(m, ["user1@x"], one), [250], "the same again")
    tap.equal(count(m, "user1", one), 1, "is the same message, not another")
    tap.equal(send(m, ["user1@x", "user1@x"], message("twice")), [250, 250],
              "named twice")
    tap.equal(count(m, "user1", message("twice")), 1, "once is enough")
    null = message("from nobody")
    tap.equal(send(m, ["user1@x"], null, ""), [250], "from <>")


def sessions(m):
    l = m.lmtp()
    for word in ("pipelining", "8bitmime", "enhancedstatuscodes", "size",
                 "starttls"):
        tap.ok(l.has_extn(word), "offers " + word)
    tap.equal(l.docmd("MAIL FROM:<a@x> SIZE=99999999999")[0], 552, "SIZE")
    tap.equal(l.docmd("RCPT TO:<user1@x>")[0], 503, "RCPT before MAIL")
    tap.equal(l.docmd("DATA")[0], 503, "DATA before MAIL")
    tap.equal(l.docmd("MAIL FROM:<a@x>")[0], 250, "MAIL")
    tap.equal(l.docmd("MAIL FROM:<a@x>")[0], 503, "once")
    tap.equal(l.docmd("DATA")[0], 503, "DATA without RCPT")
    tap.equal(l.docmd("RCPT TO:<user1@x> XMAILBOX=user.user2")[0], 555,
              "no XMAILBOX from strangers")
    tap.equal(l.docmd("RCPT TO:<user1@x>")[0], 250, "RCPT")
    tap.equal(l.rset()[0], 250, "RSET")
    tap.equal(l.docmd("DATA")[0], 503, "which forgets")
    for command, code in (("NOOP", 250), ("VRFY user1", 252), ("HELP", 214),
                          ("EHLO x", 500), ("RUBBISH", 500),
                          ("AUTH PLAIN", 502)):
        tap.equal(l.docmd(command)[0], code, command)
    tap.equal(l.docmd("STARTTLS")[0], 220, "STARTTLS")
    l.close()
    r = socket.create_connection(m.address("LMTP"))
    f = r.makefile("rb")
    r.sendall(b"LHLO p\r\nMAIL FROM:<a@x>\r\nRCPT TO:<user1@x>\r\n"
              b"RCPT TO:<nobody@x>\r\nDATA\r\nS: 1\r\n\r\n..\r\n.x\r\n"
              b"...y\r\n.\r\nQUIT\r\n")
    got = [line[:4] for line in f if line[3:4] == b" "]
    tap.equal(got, [b"220 ", b"250 ", b"250 ", b"250 ", b"550 ", b"354 ",
                    b"250 ", b"221 "], "all in one write")
    tap.equal(count(m, "user1", b"S: 1\r\n\r\n.\r\nx\r\n..y\r\n"), 1,
              "dots are as they were")
    r = socket.create_connection(m.address("LMTP"))
    f = r.makefile("rb")
    r.sendall(b"LHLO p\r\nMAIL FROM:<a@x>\r\nRCPT TO:<user1@x>\r\nDATA\r\n"
              b"S: 2\r\n\r\na\n.\n\r\n.\r\n")
    tap.ok(any(line.startswith(b"550 5.6.0") for line in f), "a bare LF")


def scripts(m):
    one = message("to the shared one")
    tap.ok(script(m, "user1", 'require ["fileinto", "imap4flags"];\n'
                  'if header :contains "subject" "shared" '
                  '{ fileinto :flags ["\\\\Flagged", "$Mine"] '
                  '"Shared Folders/help"; }'), "a script")
    tap.equal(send(m, ["user1@x"], one), [250], "fileinto elsewhere")
    found = look(m, "admin", "Shared Folders/help")
    tap.equal([o for _, o in found], [one], "it is on the other backend")
    tap.ok("\\Flagged" in found[0][0] and "$Mine" in found[0][0],
           "with its flags")
    tap.equal(count(m, "user1", one), 0, "and not in INBOX")
    tap.ok(script(m, "user1", 'require "fileinto";\nfileinto '
                  '"Other Users/user2";'), "one that may not do it")
    one = message("no right")
    tap.equal(send(m, ["user1@x"], one), [250], "fileinto without the right")
    tap.equal(count(m, "user1", one), 1, "is kept in INBOX")
    tap.equal(count(m, "user2", one), 0, "and nowhere else")
    tap.ok(script(m, "user1", 'require "fileinto";\nfileinto "No/Such";'),
           "one into nowhere")
    one = message("nowhere")
    tap.equal(send(m, ["user1@x"], one), [250], "fileinto nowhere")
    tap.equal(count(m, "user1", one), 1, "is kept in INBOX")
    tap.ok(script(m, "user1", 'require ["fileinto", "mailbox"];\n'
                  'if mailboxexists "M\u00fcll" { discard; }\n'
                  'fileinto :create "M\u00fcll"; keep;'), "one that makes it")
    one = message("made")
    tap.equal(send(m, ["user1@x"], one), [250], ":create")
    tap.equal(count(m, "user1", one, "M&APw-ll"), 1, "is made and used")
    tap.equal(count(m, "user1", one), 1, "and the other half of the script")
    tap.equal(send(m, ["user1@x"], message("gone")), [250], "mailboxexists")
    tap.equal(count(m, "user1", message("gone"), "M&APw-ll"), 1,
              "discard only cancels the implicit keep")
    tap.ok(script(m, "user1", 'discard;'), "one that discards")
    one = message("thrown away")
    tap.equal(send(m, ["user1@x", "user2@x"], one), [250, 250], "discard")
    tap.equal((count(m, "user1", one), count(m, "user2", one)), (0, 1),
              "for one and not for the other")
    tap.ok(script(m, "user1", 'require ["variables", "fileinto"];\n'
                  'set "a" "${1}"; fileinto "${a}";'), "a failing one")
    one = message("failing")
    tap.equal(send(m, ["user1@x"], one), [250], "a script error")
    tap.equal(count(m, "user1", one), 1, "keeps in INBOX")


def hostile_scripts(m):
    """Whatever a script does, it ends soon and the message is kept, once."""
    names = '["x"%s]' % (', "x"' * 9000)
    many = {"X%d" % i: "a" * 20 for i in range(2000)}
    long = {"X": "a" * 30000}
    for what, text, headers in (
            ("more actions than may be", 'require "fileinto"; ' + "".join(
                'fileinto "No/Such%d"; ' % i for i in range(3000)), {}),
            ("many mailboxes that are not there", 'require "fileinto"; ' +
             "".join('fileinto "No/Such%d"; ' % i for i in range(30)), {}),
            ("INBOX by all its names", 'require ["fileinto", "copy"]; '
             'keep; fileinto "INBOX"; fileinto :copy "inbox"; '
             'fileinto "Other Users/user1"; keep;', {}),
            ("more redirects than may be", "".join(
                'redirect "u%d@z"; ' % i for i in range(100)), {}),
            ("reject and keep", 'require "reject"; reject "no"; keep;', {}),
            ("keep and reject", 'require "reject"; keep; reject "no";', {}),
            ("many names", 'if header %s "z" { discard; }' % names, many),
            ("many addresses", 'if address %s "z" { discard; }' % names,
             many),
            ("a pattern that does not match", 'if header :matches "x" '
             '"%s*b" { discard; }' % ("*a" * 5000), long),
            ("many of them", 'if header :matches "x" "*a*a*a*b" '
             "{ discard; }\n" * 900, long),
            ("variables that grow", 'require ["variables", "fileinto"]; '
             'set "a" "${a}x"; ' + 'set "a" "%s"; ' % ("${a}" * 50) * 900 +
             'if string :matches "${a}" "*a*a*b" { discard; }', {}),
            ("deep nesting", "if true { " * 30 + "keep; " + "} " * 30, {}),
            ("tests of tests", "if %sfalse { discard; }" % ("not " * 60),
             {})):
        tap.ok(script(m, "user1", text), what)
        one = message(what, **headers)
        tap.equal(send(m, ["user1@x"], one), [250], "it is accepted")
        tap.equal(count(m, "user1", one), 1, "and kept, once")
    tap.ok(not script(m, "user1", "if not " * 5000), "no script at all")


def flags_and_detail(m):
    tap.ok(script(m, "user1", 'require ["imap4flags", "envelope", '
                  '"subaddress", "fileinto"];\n'
                  'if envelope :detail "to" "box" { addflag "\\\\Seen"; }\n'
                  'keep;'), "one with flags and the detail")
    one = message("detail")
    tap.equal(send(m, ["user1+box@x"], one), [250], "user+detail")
    tap.equal([f for f, o in look(m, "user1") if o == one and
               "\\Seen" in f][1:], [], "one flagged message")
    tap.ok(any("\\Seen" in f for f, o in look(m, "user1") if o == one),
           "is flagged")
    c = m.imap("user3")
    c.create("box")
    c.setacl("box", "anyone", "p")
    c.create("closed")
    c.logout()
    one = message("into the detail")
    tap.equal(send(m, ["user3+box@x"], one), [250], "a detail of a mailbox")
    tap.equal((count(m, "user3", one, "box"), count(m, "user3", one)), (1, 0),
              "goes there")
    one = message("not into the detail")
    tap.equal(send(m, ["user3+closed@x"], one), [250], "a closed mailbox")
    tap.equal((count(m, "user3", one, "closed"), count(m, "user3", one)),
              (0, 1), "does not open, and INBOX has it")
    one = message("shared by address")
    tap.equal(send(m, ["shared+help@x", "shared+nothing@x"], one), [250, 550],
              "shared mailboxes by address")
    tap.equal(count(m, "admin", one, "Shared Folders/help"), 1, "it is there")


def refusals(m, sink):
    tap.ok(script(m, "user1", 'require "ereject";\nereject "Not from you";'),
           "ereject")
    l = m.lmtp()
    l.docmd("MAIL FROM:<joe@y>")
    l.docmd("RCPT TO:<user1@x>")
    code, text = l.data(message("refused"))
    tap.equal((code, text), (550, b"5.7.1 Not from you"), "is an answer")
    l.quit()
    tap.ok(script(m, "user1", 'require "reject";\nreject "Nein, dank\u00e9";'),
           "reject")
    before = len(sink.mails)
    tap.equal(send(m, ["user1@x"], message("rejected"), "joe@y"), [250],
              "is accepted")
    mails = sink.mails[before:]
    tap.ok(len(mails) == 1 and mails[0][:2] == ("", ["joe@y"]) and
           "Nein, dank\u00e9".encode() in mails[0][2] and
           b"disposition-notification" in mails[0][2], "and a notice is sent")
    tap.equal(send(m, ["user1@x"], message("rejected"), "joe@y"), [250],
              "at a retry")
    tap.equal(len(sink.mails), before + 1, "it is not sent again")
    tap.equal(send(m, ["user1@x"], message("rejected"), ""), [550],
              "to <> there is no notice")


def redirects(m, sink):
    tap.ok(script(m, "user1", 'require "copy";\n'
                  'redirect :copy "away@z"; redirect "far@z";'), "redirect")
    before = len(sink.mails)
    one = message("sent on")
    sink.refuse = "451 not now"
    tap.equal(send(m, ["user1@x"], one), [451], "the relay fails")
    sink.refuse = None
    tap.equal(send(m, ["user1@x"], one), [250], "at the retry it does not")
    mails = sink.mails[before:]
    tap.equal(sorted(t[0] for _, t, _ in mails), ["away@z", "far@z"],
              "both have it")
    tap.ok(all(s == "sender@example.org" and o.endswith(one)
               for s, _, o in mails), "as it was, and from whom it was")
    tap.equal(send(m, ["user1@x"], one), [250], "at another retry")
    tap.equal(len(sink.mails), before + 2, "nothing is sent again")
    tap.equal(count(m, "user1", one), 0, "and nothing is kept")
    back = mails[0][2]
    tap.equal(send(m, ["user1@x"], back), [250], "it comes back")
    tap.equal(len(sink.mails), before + 2, "and is not sent round")
    tap.equal(count(m, "user1", back), 1, "but kept")


def relays(m, sink):
    tap.ok(script(m, "user1", 'redirect "away@z";'), "to an odd relay")
    before = len(sink.mails)
    sink.refuse_rcpt = "550 no"
    tap.equal(send(m, ["user1@x"], message("odd 1")), [550], "it refuses")
    sink.refuse_rcpt = "450 later"
    tap.equal(send(m, ["user1@x"], message("odd 1")), [451], "for now")
    sink.refuse_rcpt = None
    tap.equal(send(m, ["user1@x"], message("odd 1")), [250], "and takes it")
    sink.hang_up = 1
    tap.equal(send(m, ["user1@x"], message("odd 2")), [451], "it hangs up")
    sink.keywords = []
    tap.equal(send(m, ["user1@x"], message("odd 2")), [250],
              "one without extensions")
    tap.equal([o.split(b"Subject: ")[1][:5] for _, _, o
               in sink.mails[before:]], [b"odd 1", b"odd 2"],
              "each went once")


def hang_ups(m):
    tap.ok(script(m, "user1", "keep;"), "keep")
    one = message("unheard")
    s = socket.create_connection(m.address("LMTP"))
    f = s.makefile("rb")
    s.sendall(b"LHLO p\r\nMAIL FROM:<sender@example.org>\r\n"
              b"RCPT TO:<user1@x>\r\nDATA\r\n")
    while not f.readline().startswith(b"354"):
        pass
    s.sendall(one + b".\r\n")
    s.close()
    f.close()
    await_that(lambda: count(m, "user1", one) == 1, "a sender has gone")
    tap.equal(send(m, ["user1@x"], one), [250], "and comes again")
    tap.equal(count(m, "user1", one), 1, "it is there once")


def big(m):
    one = message("big", "".join("%08d %s\r\n" % (i, "x" * 62)
                                 for i in range(700 * 1000))[:52 * 10 ** 6])
    one = one[:52 * 10 ** 6] + b"\r\n"
    before = time.monotonic()
    tap.equal(send(m, ["user2@x", "user3@x"], one), [250, 250],
              "52 MB to two")
    print("# %.1f s" % (time.monotonic() - before))
    tap.equal((count(m, "user2", one), count(m, "user3", one)), (1, 1),
              "octet for octet")
    if "asan" not in os.environ.get("B", ""):
        most = m.resident("frontend1", "lmtp")
        tap.ok(most < 128 * 1024, "and not held in memory: %d kB" % most)
    tap.equal(send(m, ["user2@x"], one + b"y\r\n" * 10 ** 6), [552], "too big")


def one_down(m):
    tap.ok(script(m, "user1", 'require "fileinto";\n'
                  'fileinto "Shared Folders/help"; keep;'), "both places")
    one = message("half of it")
    m.down("backend2", signal.SIGKILL)
    tap.equal(send(m, ["user1@x", "user2@x", "user3@x"], one),
              [451, 451, 250], "a backend is down: its own get 4xx")
    tap.equal(count(m, "user1", one), 1, "what could be stored is")
    m.up("backend2")

    def whole():
        return send(m, ["user1@x", "user2@x"], one) == [250, 250]
    await_that(whole, "a retry when it is back")
    tap.equal((count(m, "user1", one), count(m, "user2", one),
               count(m, "admin", one, "Shared Folders/help")), (1, 1, 1),
              "and nothing twice")


def killed(m):
    """The store dies while 40 messages come in; the sender tries again."""
    tap.ok(script(m, "user1", "keep;"), "a plain script")
    all_of_it = [message("kill %d" % i, "x\r\n" * 2000) for i in range(40)]
    answers = []
    for i, one in enumerate(all_of_it):
        if i == 20:
            m.kill("backend1", "store")
        answers.append(send(m, ["user1@x"], one)[0])
    tap.ok(set(answers) <= {250, 451}, "each is answered: %r" %
           sorted(set(answers)))
    for one, answer in zip(all_of_it, answers):
        if answer != 250:
            await_that(lambda: send(m, ["user1@x"], one) == [250],
                       "a retry")
    for one in all_of_it[:5]:
        send(m, ["user1@x"], one)
    have = [o for _, o in look(m, "user1")]
    tap.equal([have.count(one) for one in all_of_it], [1] * 40,
              "every message is there once")


sink = Sink()
with Murder(users=3, settings=["proxyd:smtp_relay = " + sink.address,
                               "proxyd:retry_delay = 10ms"]) as m:
    admin = m.imap("admin")
    admin._simple_command("CREATE", '"Shared Folders/help"', "backend2")
    admin.setacl('"Shared Folders/help"', "anyone", "lrsp")
    admin.setacl('"Shared Folders/help"', "admin", "lrswipkxtea")
    admin.logout()
    to_both(m)
    sessions(m)
    scripts(m)
    hostile_scripts(m)
    flags_and_detail(m)
    refusals(m, sink)
    redirects(m, sink)
    relays(m, sink)
    hang_ups(m)
    big(m)
    one_down(m)
    killed(m)
sink.close()
tap.done()
