#!/usr/bin/python3
"""What a frontend of Cyrus IMAP 3.6 says to our backend, line for line.

As seen on the wire, see protocols(7); t/interop has the frontend itself.
"""
import base64
import os
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "lib"))
from backend import Backend, tap  # noqa: E402
from wire import Wire  # noqa: E402

MESSAGE = b"From: a@example.org\r\nSubject: s\r\n\r\nText.\r\n"
SPACE = "/vendor/cmu/cyrus-imapd/freespace/"


def login(b, user):
    """As the frontend does, for a user of its own."""
    w = Wire("127.0.0.1", b.imap_port)
    blob = base64.b64encode(("%s\0proxy\0password" % user).encode()).decode()
    last = w.ask("AUTHENTICATE PLAIN " + blob)[1]
    return w, last


def lit(text):
    octets = text if isinstance(text, bytes) else text.encode()
    return b"{%d+}\r\n%s" % (len(octets), octets)


def ok(w, command, what):
    found, last = w.ask(command)
    if not tap.ok(last.startswith("OK"), what):
        print("# " + last.strip(), flush=True)
    return found


def session(b):
    w, last = login(b, "fred")
    for word in ("LIST-EXTENDED", "IDLE", "ENABLE", "RIGHTS=kxte"):
        tap.ok(re.search(r"^OK \[CAPABILITY [^]]*%s" % word, last),
               "the OK of AUTHENTICATE tells of " + word)
    tap.ok("Cyrus" not in b.raw().line(), "the greeting is our own")
    ok(w, "Noop", "Noop")
    ok(w, b"CREATE Work default", "CREATE with a partition")
    ok(w, b"CREATE Sent2 (USE (\\Sent) PARTITION default)",
       "CREATE with use and partition")
    w.ask("DELETE " + "Sent2")
    last = w.ask("CREATE Elsewhere nowhere")[1]
    tap.ok(last.startswith("NO"), "not on a partition we do not have")
    ok(w, "Enable Condstore", "Enable")
    ok(w, b"Select " + lit("INBOX"), "Select")
    ok(w, "Unselect", "Unselect")
    ok(w, b"RENAME \"Work\" \"Job\"", "RENAME, quoted")
    found = ok(w, b"List " + lit("") + b" " + lit("*") +
               b" return (children status (messages unseen))", "List")
    tap.ok(b"* STATUS Job (MESSAGES 0 UNSEEN 0)\r\n" in found, "...STATUS")
    ok(w, b"List (subscribed) " + lit("") + b" " + lit("*") +
       b" return (subscribed children)", "List (subscribed)")
    w.close()


def append(b):
    w, _ = login(b, "fred")
    last = w.ask(b"Localappend " + lit("Job") + b" " + lit("") +
                 b' (\\Flagged) "22-Nov-2026 01:26:17 +0000" ' +
                 lit(MESSAGE))[1]
    tap.ok(re.match(r"OK \[APPENDUID \d+ 1\]", last), "Localappend")
    last = w.ask(b"Localappend Job \"INBOX\" " + lit(MESSAGE))[1]
    tap.ok(last.startswith("OK"), "...atom and quoted, and no flags")
    last = w.ask(b"Localappend " + lit("None") + b" \"\" " + lit(MESSAGE))[1]
    tap.ok(last.startswith("NO [TRYCREATE]"), "...to what is not there")
    last = w.ask(b"Localappend Job " + lit(MESSAGE))[1]
    tap.ok(last.startswith("BAD"), "...without a second name")
    last = w.ask("Localappend Job \"\" (\\Seen)")[1]
    tap.ok(last.startswith("BAD"), "...without a message")
    many = b"".join(b" (\\Seen) \"22-Nov-2026 01:26:17 +0000\" " +
                    lit(MESSAGE) for _ in range(1000))
    last = w.ask(b"Append " + lit("Job") + many)[1]
    tap.ok(re.match(r"OK \[APPENDUID \d+ 3:1002\]", last),
           "Append of a thousand: " + last[:40])
    last = w.ask(b"Append " + lit("Job") + many + b" " + lit(MESSAGE))[1]
    tap.ok(last.startswith("NO [LIMIT]"), "...and of more")
    ok(w, "SELECT Job", "none of which is there")
    found = w.want("STATUS Job (MESSAGES)")
    tap.equal(found, [b"* STATUS Job (MESSAGES 1002)\r\n"], "...really")
    w.close()


def copy(b):
    w, _ = login(b, "fred")
    ok(w, "SELECT Job", "SELECT")
    found = ok(w, "Uid Fetch 1 (Flags Internaldate)", "Uid Fetch")
    tap.ok(re.match(rb'\* 1 FETCH \(UID 1 FLAGS \([^)]*\) INTERNALDATE "22-',
                    found[0]), "...says flags and date, and no more")
    found = ok(w, "Uid Fetch 1 (Rfc822.peek)", "Rfc822.peek")
    tap.equal(found, [b"* 1 FETCH (UID 1 RFC822 {%d}\r\n%s)\r\n" % (
        len(MESSAGE), MESSAGE)], "...as RFC822")
    found = ok(w, "Fetch 2 (Rfc822.peek)", "by number")
    tap.equal(found, [b"* 2 FETCH (RFC822 {%d}\r\n%s)\r\n" % (
        len(MESSAGE), MESSAGE)], "...without UID")
    tap.ok(b"\\Seen" not in w.want("FETCH 1 FLAGS")[0], "nothing is seen")
    w.close()


def space(b):
    w, _ = login(b, "admin")
    found = ok(w, 'GETANNOTATION "" "%stotal" ("value.shared")' % SPACE,
               "GETANNOTATION")
    match = re.match(rb'\* ANNOTATION "" "%stotal" \("value.shared" '
                     rb'"(\d+);(\d+)"\)\r\n' % SPACE.encode(), found[0])
    st = os.statvfs(b.path("spool"))
    tap.ok(match is not None and int(match.group(2)) ==
           st.f_blocks * st.f_frsize // 1024, "...is the disk's size")
    tap.ok(match is not None and 0 < int(match.group(1)) <=
           int(match.group(2)), "...and what is free of it")
    found = ok(w, 'GETMETADATA "" ("/shared%stotal" '
               '"/shared%spercent/most")' % (SPACE, SPACE), "GETMETADATA")
    tap.ok(len(found) == 2 and found[1].startswith(
        b'* METADATA "" ("/shared%spercent/most" "' % SPACE.encode()),
        "...both entries")
    tap.equal(ok(w, 'GETANNOTATION "INBOX" (/shared/comment)',
                 "GETANNOTATION as Cyrus 3.6 writes it"), [], "...has none")
    last = w.ask('SETMETADATA "INBOX" (/shared/comment hello)')[1]
    tap.ok(last.startswith("NO"), "SETMETADATA is refused, not accepted")
    last = w.ask("GETMETADATA")[1]
    tap.ok(last.startswith("BAD"), "what is malformed is told so")
    w.close()
    w = Wire("127.0.0.1", b.imap_port, "fred")
    tap.equal(ok(w, 'GETMETADATA "" ("/shared%stotal")' % SPACE,
                 "a client may ask"), [], "...and is told nothing")
    w.close()


with Backend(users=["fred"],
             conf=["max_append_messages = 1000"]) as backend:
    session(backend)
    append(backend)
    copy(backend)
    space(backend)
tap.done()
