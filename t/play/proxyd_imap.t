#!/usr/bin/python3
"""The edge of proxyd's IMAP: how clients log in, what is refused, and what
becomes of a client when the backend behind it misbehaves.

user1 lives on backend1, user2 on backend2.  Before backend2 stands a man in
the middle, of this play, who cuts and changes what passes.
"""
import base64
import hashlib
import hmac
import imaplib
import os
import re
import signal
import socket
import ssl
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "lib"))
from backend import tap  # noqa: E402
from murder import Murder, message, plain  # noqa: E402
from net import at_once, connect  # noqa: E402
from sieve import Sieve  # noqa: E402
from wire import Wire  # noqa: E402

HELP = '"Shared Folders/help"'  # on backend2
BIG = b"Subject: big\r\n\r\n" + b"0123456789abcdef" * 64 * 1024 + b"\r\n"


class Between:
    """Passes octets on, and changes them if told to."""

    def __init__(self, to):
        self.to = to
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = "127.0.0.1:%d" % self.listener.getsockname()[1]
        self.calm()
        threading.Thread(target=self.accept, daemon=True).start()

    def calm(self):
        self.on_request = self.on_answer = lambda octets, pair: octets

    def accept(self):
        while True:
            client = at_once(self.listener.accept()[0])
            try:
                server = connect(self.to)
            except OSError:
                client.close()
                continue
            for here, there, back in ((client, server, False),
                                      (server, client, True)):
                threading.Thread(target=self.carry, daemon=True,
                                 args=(here, there, back)).start()

    def carry(self, here, there, back):
        try:
            while True:
                octets = here.recv(65536)
                if octets:
                    change = self.on_answer if back else self.on_request
                    octets = change(octets, (here, there))
                if octets is None:
                    continue  # nothing of it is passed on
                if not octets:
                    break
                there.sendall(octets)
        except OSError:
            pass
        for s in (here, there):
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass


def starts(answer, word, what):
    text = answer[-1] if isinstance(answer, (list, tuple)) else answer
    if not tap.ok(text.startswith(word), what):
        print("# got: %r" % (answer,))


def wire(m, user, name="frontend1"):
    return Wire(*m.address("IMAP", name), user=user)


# --- logging in -------------------------------------------------------------

def scram(user, password, digest, nonce="rOprNGfwEbeRWgbNEkqO"):
    """A generator: takes challenges, gives responses, checks the last."""
    first = "n=%s,r=%s" % (user, nonce)
    server_first = (yield "n,," + first)
    parts = dict(p.split("=", 1) for p in server_first.split(","))
    salted = hashlib.pbkdf2_hmac(digest, password.encode(),
                                 base64.b64decode(parts["s"]),
                                 int(parts["i"]))
    key = hmac.digest(salted, b"Client Key", digest)
    last = "c=biws,r=" + parts["r"]
    signed = ",".join((first, server_first, last)).encode()
    proof = bytes(a ^ b for a, b in zip(key, hmac.digest(
        hashlib.new(digest, key).digest(), signed, digest)))
    server_last = (yield "%s,p=%s" % (last,
                                      base64.b64encode(proof).decode()))
    want = hmac.digest(hmac.digest(salted, b"Server Key", digest), signed,
                       digest)
    yield "" if server_last == "v=" + base64.b64encode(want).decode() else "*"


def b64(text):
    return base64.b64encode(text.encode()).decode()


def login_scram(m, name, digest, at_once):
    r = m.raw()
    r.line()
    side = scram("user1", "password", digest)
    first = next(side)
    if at_once:
        r.send("a AUTHENTICATE %s %s\r\n" % (name, b64(first)))
    else:
        r.send("a AUTHENTICATE %s\r\n" % name)
        tap.equal(r.line(), "+ ", name + " asks for the first message")
        r.send(b64(first) + "\r\n")
    line = r.line()
    while line.startswith("+ "):
        r.send(b64(side.send(base64.b64decode(line[2:]).decode())) + "\r\n")
        line = r.line()
    starts(line, "a OK [CAPABILITY ", "%s, initial response %s"
           % (name, at_once))
    starts(r.ask("b", "SELECT INBOX"), "b OK", "and it works")
    r.close()


def logins(m):
    r = m.raw()
    greeting = r.line()
    starts(greeting, "* OK [CAPABILITY IMAP4rev1 ", "greeting")
    tap.ok("STARTTLS" in greeting and "AUTH=PLAIN" in greeting
           and "SASL-IR" in greeting, "what is offered before login")
    starts(r.ask("a", "SELECT INBOX"), "a BAD", "nothing before login")
    starts(r.ask("a", "LOGIN user1 wrong"),
           "a NO [AUTHENTICATIONFAILED]", "a wrong password")
    starts(r.ask("a", "AUTHENTICATE PLAIN " + plain("user1", "wrong")),
           "a NO [AUTHENTICATIONFAILED]", "and by PLAIN")
    starts(r.ask("a", "AUTHENTICATE NONSENSE"), "a NO", "no such mechanism")
    starts(r.ask("a", "AUTHENTICATE PLAIN !!"), "a BAD", "no base64")
    r.send("a AUTHENTICATE PLAIN\r\n*\r\n")
    tap.equal(r.line(), "+ ", "PLAIN asks")
    starts(r.line(), "a BAD", "and is cancelled")
    starts(r.ask("a", "AUTHENTICATE PLAIN " +
                 plain("user1", authorised="user2")),
           "a NO [AUTHORIZATIONFAILED]", "not for another user")
    r.send("a AUTHENTICATE PLAIN\r\n%s\r\nb NAMESPACE\r\n" % plain("user1"))
    starts(r.until("a "), "a OK [CAPABILITY ", "PLAIN, pipelined")
    starts(r.until("b "), "b OK", "and what was behind it")
    starts(r.ask("c", "LOGIN user1 password"), "c BAD", "once only")
    r.send("d LOGOUT\r\ne NOOP\r\n")
    lines = r.until("never")
    tap.ok(lines[0].startswith("* BYE") and lines[1].startswith("d OK")
           and lines[2:] == [""], "nothing is done behind LOGOUT")
    r = m.raw()
    r.line()
    starts(r.ask("a", "AUTHENTICATE PLAIN " +
                 plain("admin", authorised="user2")), "a OK",
           "an admin for a user")
    r.close()
    for name, digest in (("SCRAM-SHA-1", "sha1"), ("SCRAM-SHA-256",
                                                   "sha256")):
        if "AUTH=" + name in greeting:
            login_scram(m, name, digest, True)
            login_scram(m, name, digest, False)
    c = m.imap()
    if "AUTH=CRAM-MD5" in c.capabilities:
        tap.equal(c.login_cram_md5("user1", "password")[0], "OK", "CRAM-MD5")
    c.logout()


def secure(m):
    context = ssl.create_default_context(cafile=m.path("tls", "cert.pem"))
    context.check_hostname = False
    host, port = m.address("IMAPS")
    c = imaplib.IMAP4_SSL(host, port, ssl_context=context, timeout=60)
    c.login("user1", "password")
    tap.equal(c.select("INBOX")[0], "OK", "TLS from the start")
    c.logout()
    c = m.imap()
    c.starttls(context)
    tap.ok("STARTTLS" not in c.capabilities, "not offered twice")
    c.login("user1", "password")
    tap.equal(c.select("INBOX")[0], "OK", "STARTTLS")
    c.logout()
    r = m.raw()
    r.line()
    r.send("a STARTTLS\r\nb LOGIN user1 password\r\n")
    starts(r.line(), "a OK", "STARTTLS with a command behind it")
    over = context.wrap_socket(r.sock)
    over.sendall(b"c NOOP\r\n")
    starts(over.recv(1000).decode(), "c OK", "which is thrown away")
    over.close()


# --- commands ------------------------------------------------------------------

def odd_commands(m):
    r = m.raw("user1")
    starts(r.ask("a", "XSCRIPT LIST user1"), "a BAD", "none of ours")
    starts(r.ask("a", "FETCH 1 FLAGS"), "a BAD", "nothing is selected")
    starts(r.ask("a", 'SELECT "a\\'), "a BAD", "an open string")
    starts(r.ask("t" * 150, "NOOP"), "t" * 150 + " OK", "a long tag")
    starts(r.ask("P1", 'STATUS INBOX (MESSAGES)'), "P1 OK",
           "a tag as ours may be")
    r.send("a SELECT {5+}\r\nINBOX\r\nb UNSELECT\r\n")
    starts(r.until("a "), "a OK", "a literal for a name")
    starts(r.until("b "), "b OK", "and the next")
    r.send("a SELECT {5}\r\n")
    starts(r.line(), "+ ", "it may wait")
    r.send("INBOX\r\n")
    starts(r.until("a "), "a OK", "a waiting literal for a name")
    r.send("c IDLE\r\nDONE\r\nd NOOP\r\n")
    starts(r.until("c "), "c OK", "IDLE with DONE behind it")
    starts(r.until("d "), "d OK", "and a command")
    r.send("c IDLE\r\n")
    starts(r.until("+"), "+", "IDLE")
    r.send("NOOP\r\n")
    starts(r.until("c "), "c BAD", "not ended by DONE")
    r.close()
    r = m.raw("user1")
    for i in range(19):
        r.ask("a", "NONSENSE")
    r.send("a NONSENSE\r\n")
    starts(r.until("* BYE"), "* BYE", "twenty bad commands are enough")
    r.close()
    for text, what in ((b"a NOOP\n", "bare LF"), (b"a \0NOOP\r\n", "NUL"),
                       (b"a " + b"x" * 200000, "a line without end")):
        r = m.raw("user1")
        try:
            r.send(text)
        except OSError:
            pass
        starts(r.until("* BYE"), "* BYE", what)
        r.close()


def append(m):
    w = wire(m, "user1")
    w.want("CREATE app")
    letter = message("one")
    starts(w.append("app", letter, "\\Seen $A",
                    "01-Feb-2003 04:05:06 +0700"), "OK [APPENDUID",
           "APPEND, LITERAL+")
    tag = w.begin("APPEND app {%d}" % len(BIG))
    starts(w.response().decode(), "+ ", "a synchronising one waits")
    w.send(BIG + b"\r\n")
    starts(w.answer(tag), "OK [APPENDUID", "a MB of it")
    w.want("SELECT app")
    found = dict(w.fetch("1:*", "(BODY.PEEK[] FLAGS INTERNALDATE)"))
    tap.ok(found[1][b"BODY[]"] == letter and found[2][b"BODY[]"] == BIG,
           "octet for octet")
    tap.ok(set(found[1][b"FLAGS"]) >= {b"\\Seen", b"$A"}, "with flags")
    tap.equal(found[1][b"INTERNALDATE"], b"01-Feb-2003 04:05:06 +0700",
              "and date")
    tag = w.begin("APPEND nowhere {%d}" % len(BIG))
    starts(w.answer(tag), "NO [TRYCREATE]", "refused before the octets")
    starts(w.append("nowhere", letter), "NO [TRYCREATE]",
           "and while they flow")
    starts(w.ask("NOOP"), "OK", "and on it goes")
    tag = w.begin("APPEND app {3+}\r\nabc trailing")
    starts(w.answer(tag), "BAD", "nothing behind the message")
    w.close()
    w = wire(m, "user1")
    tag = w.begin("APPEND app {3+}\r\nabc {3+}\r\ndef {1+}\r\ng")
    starts(w.answer(tag), "BAD", "no second message")
    starts(w.ask("NOOP"), "OK", "one answer to all of it")
    tag = w.begin("APPEND app {3+}\r\nabc {3}")
    starts(w.answer(tag), "BAD", "nor one that waits")
    starts(w.ask("NOOP"), "OK", "and nothing is swallowed")
    tag = w.begin("APPEND app {99999999999}")
    starts(w.answer(tag), "NO [TOOBIG]", "too big")
    w.want("SELECT app")
    tap.equal(len(dict(w.fetch("1:*", "UID"))), 2, "no half message stays")
    w.close()


def does_not_read(m):
    """A client that asks and asks, and reads only then."""
    r = m.raw("user1")
    count = 20000
    sender = threading.Thread(
        target=r.send, args=("".join('a%d LIST "" *\r\n' % i
                                     for i in range(count)),))
    sender.start()
    other = wire(m, "user1")
    starts(other.ask("NOOP"), "OK", "others are served meanwhile")
    other.close()
    done = 0
    for _ in range(count):
        done += r.until("a%d " % done)[-1].startswith("a%d OK" % done)
    tap.equal(done, count, "every answer comes")
    sender.join()
    r.close()


def listing(m):
    w = wire(m, "user2")
    found = {line.split(b' "/" ')[1].strip(): line
             for line in w.want('LIST "" *')}
    tap.ok(b"\\Sent" in found[b"Sent"] and b"\\Trash" in found[b"Trash"],
           "plain LIST shows special uses")
    tap.equal(len(w.want('LIST (SPECIAL-USE) "" *')), 4, "selected by them")
    for line in w.want('LSUB "" *'):
        w.want(b"UNSUBSCRIBE " + line.split(b' "/" ')[1].strip())
    w.want("SUBSCRIBE Sent")
    w.want("SUBSCRIBE " + HELP)
    tap.equal(len(w.want('LSUB "" *')), 2, "LSUB")
    tap.equal(len(w.want('LIST (SUBSCRIBED) "" % RETURN (SPECIAL-USE)')), 1,
              "LIST (SUBSCRIBED)")
    found = w.want('LIST "" (INBOX Sent) RETURN (STATUS (MESSAGES))')
    tap.equal(len([f for f in found if f.startswith(b"* STATUS")]), 2,
              "LIST-STATUS")
    w.close()
    w = wire(m, "user1")
    w.want("SUBSCRIBE " + HELP)
    tap.ok(any(b"help" in line for line in w.want('LSUB "" *')),
           "LSUB tells of another backend's")
    found = w.want('LIST "" (INBOX %s) RETURN (STATUS (MESSAGES))' % HELP)
    tap.equal(len([f for f in found if f.startswith(b"* STATUS")]), 2,
              "LIST-STATUS of two backends")
    w.close()


def managesieve(m):
    """RFC 5804, command by command."""
    s = Sieve(m.address("SIEVE"), "user2")
    good = 'require "fileinto";\r\nfileinto "Sent";\r\n'

    def put(name, text, verb="PUTSCRIPT"):
        octets = text.encode()
        return s.ask("%s%s {%d+}\r\n%s" % (
            verb, ' "%s"' % name if name else "", len(octets), text))

    for command, answer in (
            ("CAPABILITY", "OK"), ('NOOP "x"', 'OK (TAG "x")'),
            ('HAVESPACE "a" 100', "OK"),
            ('HAVESPACE "a" 99999999', "NO (QUOTA"),
            ('GETSCRIPT "none"', "NO (NONEXISTENT)"),
            ('SETACTIVE "none"', "NO (NONEXISTENT)"),
            ('DELETESCRIPT "none"', "NO (NONEXISTENT)"),
            ('AUTHENTICATE "PLAIN"', "NO"), ("NONSENSE", "NO")):
        starts(s.ask(command)[0], answer, command)
    starts(put("a", good)[0], "OK", "PUTSCRIPT")
    starts(put("bad", "fileinto;")[0], "NO", "one that does not compile")
    starts(put("", good, "CHECKSCRIPT")[0], "OK", "CHECKSCRIPT")
    starts(put("", "if", "CHECKSCRIPT")[0], "NO", "which refuses too")
    big = good + "# " + "x" * 200000 + "\r\n"
    starts(put("\u00fcmlaut \u2603", big)[0], "OK", "a big one, UTF-8 name")
    tap.equal(sorted(s.ask("LISTSCRIPTS")[1]),
              ['"a"', '"\u00fcmlaut \u2603"'], "LISTSCRIPTS")
    starts(s.ask('SETACTIVE "a"')[0], "OK", "SETACTIVE")
    starts(s.ask('DELETESCRIPT "a"')[0], "NO (ACTIVE)", "it is in use")
    starts(s.ask('RENAMESCRIPT "a" "\u00fcmlaut \u2603"')[0],
           "NO (ALREADYEXISTS)", "RENAMESCRIPT to one that is there")
    starts(s.ask('RENAMESCRIPT "a" "b"')[0], "OK", "RENAMESCRIPT")
    tap.ok('"b" ACTIVE' in s.ask("LISTSCRIPTS")[1], "and still active")
    tap.equal(s.ask('GETSCRIPT "b"')[1][:2],
              ["{%d}" % len(good), good.split("\r\n")[0]], "GETSCRIPT")
    starts(s.ask('SETACTIVE ""')[0], "OK", "none is active")
    starts(s.ask('DELETESCRIPT "b"')[0], "OK", "DELETESCRIPT")
    starts(put("huge", good + "# " + "x" * 300000)[0], "BYE",
           "one that is too big")
    s.socket.close()
    s = Sieve(m.address("SIEVE"), "user2")
    starts(s.ask("UNAUTHENTICATE")[0], "OK", "UNAUTHENTICATE")
    starts(s.ask("LISTSCRIPTS")[0], "NO", "log in first")
    starts(s.ask("STARTTLS")[0], "OK", "STARTTLS")
    context = ssl.create_default_context(cafile=m.path("tls", "cert.pem"))
    context.check_hostname = False
    s.socket = context.wrap_socket(s.socket)
    s.file = s.socket.makefile("rb")
    status, lines = s.answer()
    tap.ok(status.startswith("OK") and any("SASL" in x for x in lines) and
           '"STARTTLS"' not in lines, "and capabilities again")
    starts(s.ask('AUTHENTICATE "PLAIN" "%s"' % plain("user2"))[0], "OK",
           "login under TLS")
    starts(s.ask("LOGOUT")[0], "OK", "LOGOUT")


# --- a backend that misbehaves ----------------------------------------------------

def cut_after(word):
    """Closes both sides when the server's answer has this."""
    def change(octets, pair):
        at = octets.find(word)
        if at == -1:
            return octets
        pair[1].sendall(octets[:at + len(word)])
        return b""
    return change


def put_before(word, octets_too):
    def change(octets, pair):
        at = octets.find(word)
        if at == -1:
            return octets
        return octets[:at] + octets_too + octets[at:]
    return change


def over(w):
    """Until the connection ends: the lines seen."""
    lines = []
    try:
        while True:
            lines.append(w.response())
    except (EOFError, OSError):
        return lines


def misbehaves(m, between):
    host = m.address("IMAP")
    with socket.create_connection(host):
        pass
    w = wire(m, "user2")
    w.want("SELECT INBOX")
    starts(w.append("INBOX", BIG), "OK", "a message to lose")
    between.on_answer = cut_after(b"0123456789abcdef")
    tag = w.begin("FETCH 1 BODY.PEEK[]")
    lines = over(w)
    tap.ok(not any(line.startswith(tag) for line in lines),
           "cut in a literal: the client's connection ends")
    between.calm()

    for garbage, what in ((b"* 1 FETCH (FLAGS\0)\r\n", "NUL"),
                          (b"whatever OK done\r\n", "a strange tag"),
                          (b"* 1 EXISTS\n", "a bare LF"),
                          (b"+" * 70000, "no line end"),
                          (b"* BYE that is it\r\n", "BYE")):
        w = wire(m, "user2")
        w.want("SELECT INBOX")
        between.on_answer = put_before(b"OK ", garbage)
        w.begin("CHECK")
        lines = over(w)
        tap.ok(any(line.startswith(b"* BYE") for line in lines) or
               lines == [], "garbage, %s: BYE or the end" % what)
        between.calm()
    u = wire(m, "user1")
    u.want("SELECT INBOX")
    starts(u.ask("NOOP"), "OK", "another user sees nothing of it")
    starts(u.append("INBOX", message("copied"), "\\Flagged $K"), "OK",
           "a message on backend1")
    starts(u.append("INBOX", BIG), "OK", "and a big one")

    u.want("STATUS %s (MESSAGES)" % HELP)
    between.on_answer = lambda octets, pair: b"+ go\r\n+ go\r\n" + octets
    starts(u.ask("STATUS %s (MESSAGES)" % HELP), "OK", "a + too many")
    between.calm()

    copies(u, between)

    def lose(octets, pair):
        if b"APPEND" not in octets:
            return octets
        between.calm()
        return b""
    between.on_request = lose
    starts((u.append(HELP, message("lost")),), "NO [UNAVAILABLE]",
           "lost at APPEND")
    between.calm()
    starts(u.ask("NOOP"), "OK", "the session goes on")
    starts((u.append(HELP, message("kept")),), "OK [APPENDUID",
           "by a new connection")
    u.close()


def count(u, mailbox):
    found = u.want("STATUS %s (MESSAGES)" % mailbox)
    return int(re.search(rb"MESSAGES (\d+)", found[0]).group(1))


def copies(u, between):
    """COPY across that fails in the midst leaves nothing behind."""
    before = count(u, HELP)
    total = [0]

    def tire(octets, pair):
        total[0] += len(octets)
        if total[0] < 300000:
            return octets
        between.calm()
        return b""
    between.on_request = tire
    starts(u.ask("COPY 1:2 " + HELP), "NO", "lost in the second message")
    between.calm()
    tap.equal(count(u, HELP), before, "the first is gone again")

    left = {}  # octets that the backend does not get, of which connection

    def refuse(octets, pair):
        found = not left and re.search(
            rb"(?m)^(\S+) APPEND [^\r\n]*\{(1048\d+)\+\}\r\n", octets)
        passed = b""
        if found:
            pair[0].sendall(found.group(1) + b" NO [OVERQUOTA] full\r\n")
            left[pair] = int(found.group(2)) + 2
            passed, octets = octets[:found.start()], octets[found.end():]
        kept = min(left.get(pair, 0), len(octets))
        if pair in left:
            left[pair] -= kept
        return passed + octets[kept:] or None
    between.on_request = refuse
    starts(u.ask("MOVE 1:2 " + HELP), "NO [OVERQUOTA]",
           "refused while the octets flow")
    tap.ok(left, "by us")
    tap.equal((count(u, HELP), count(u, "INBOX")), (before, 2),
              "nothing has moved")
    starts(u.ask("COPY 1 nowhere"), "NO [TRYCREATE]", "TRYCREATE")
    starts(u.ask("COPY 1:2 " + HELP), "OK [COPYUID", "and then it is done")
    tap.equal(count(u, HELP), before + 2, "both")
    found, last = u.ask("MOVE 2 " + HELP)
    starts(last, "OK", "MOVE")
    tap.ok(any(b"COPYUID" in line for line in found) and
           any(line == b"* 2 EXPUNGE\r\n" for line in found),
           "COPYUID and EXPUNGE are told")
    starts(u.ask("UNSELECT"), "OK", "UNSELECT")


def home_down(m, between):
    w = wire(m, "user2")
    u = wire(m, "user1")
    w.want('LIST "" %')
    m.down("backend2", signal.SIGKILL)
    w.close()
    w = wire(m, "user2")
    tap.ok(any(line.endswith(b"Sent\r\n") for line in w.want('LIST "" %')),
           "LIST without home")
    starts(w.ask('LSUB "" %'), "NO [UNAVAILABLE]", "but not LSUB")
    starts(w.ask('LIST (SPECIAL-USE) "" %'), "NO [UNAVAILABLE]",
           "nor by special use")
    starts(w.ask("SELECT INBOX"), "NO [UNAVAILABLE]", "nor SELECT")
    found, last = u.ask('LIST "" (INBOX %s) RETURN (STATUS (MESSAGES))'
                        % HELP)
    tap.ok(last.startswith("OK") and
           len([f for f in found if f.startswith(b"* STATUS")]) == 1 and
           any(f.startswith(b"* NO") for f in found),
           "LIST-STATUS of what is up")
    w.close()
    u.close()
    m.up("backend2")


def idles(m):
    r, w = m.raw("user1", "frontend2"), m.raw("user1", "frontend2")
    w.ask("a", "SELECT INBOX")
    w.send("b IDLE\r\n")
    starts(r.until("* BYE"), "* BYE", "idle for too long: BYE")
    starts(w.until("* BYE"), "* BYE", "in IDLE too")
    r.close()
    w.close()


with Murder(frontends=2, users=2,
            settings=["frontend2:idle_timeout = 4s",
                      "frontend2:proxy_mechanisms = SCRAM-SHA-256",
                      "frontend1:retry_delay = 1ms"]) as murder:
    man = Between(murder.address("IMAP", "backend2"))
    path = murder.path("conf", "frontend1.conf")
    with open(path) as f:
        text = f.read()
    with open(path, "w") as f:
        f.write(text.replace("backend2 %s:%d" % man.to,
                             "backend2 " + man.address))
    murder.down("frontend1")
    murder.up("frontend1")
    a = wire(murder, "admin")
    a.want("CREATE %s backend2" % HELP)
    a.want("SETACL %s anyone lrswite" % HELP)
    a.close()
    for play in (logins, secure, odd_commands, append, does_not_read,
                 listing, managesieve, idles):
        play(murder)
    misbehaves(murder, man)
    home_down(murder, man)
    for name in ("frontend1", "frontend2"):
        died = re.findall(r".*(?:MUST|Sanitizer|child died).*",
                          murder.log(name))
        tap.equal(died, [], name + " did not die")
tap.done()
