#!/usr/bin/env python3
"""A stand-alone backendd, and the commands on messages: what is said, by whom
it is heard, and that every octet comes back."""
import os
import re
import signal
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "lib"))
from backend import Backend  # noqa: E402
from imap import has, hasnt, ok, plan, run, simple  # noqa: E402

HEAD = (b"From: Joe <joe@example.org>\r\n"
        b"To: Ann <ann@example.org>\r\n"
        b"Subject: =?utf-8?q?caf=C3=A9?= and\r\n more\r\n"
        b"Date: Thu, 1 Feb 1996 02:44:25 -0700\r\n"
        b"Message-ID: <1@example.org>\r\n"
        b"MIME-Version: 1.0\r\n"
        b'Content-Type: multipart/mixed; boundary="xx"\r\n'
        b"\r\n")
INNER_HEAD = (b"Subject: inner\r\nFrom: in@example.org\r\n"
              b"Content-Type: text/plain\r\n\r\n")
INNER_TEXT = b"the inner text\r\n"
PART1_MIME = b"Content-Type: text/plain; charset=utf-8\r\n\r\n"
PART1 = b"first part\r\nsecond line"
PART2_MIME = b"Content-Type: message/rfc822\r\n\r\n"
TEXT = (b"preamble\r\n--xx\r\n" + PART1_MIME + PART1 + b"\r\n--xx\r\n" +
        PART2_MIME + INNER_HEAD + INNER_TEXT + b"\r\n--xx--\r\n")
MIME = HEAD + TEXT


def literal(line, name):
    """The literal after name in a response."""
    m = re.search(re.escape(name) + r" \{(\d+)\}\r\n", line)
    if m:
        return line[m.end():m.end() + int(m.group(1))].encode("latin1")
    m = re.search(re.escape(name) + r' "([^"]*)"', line)
    return m.group(1).encode("latin1") if m else None


def uids(lines):
    return [x for x in lines if x.startswith("* SEARCH")][0].split()[2:]


def test_append(c):
    c.must("CREATE box")
    r = c.append("box", MIME, r"\Flagged $Label", " 1-Feb-1996 02:44:25 -0700")
    has(r, r"^a\d+ OK \[APPENDUID \d+ 1\]", "APPEND says APPENDUID")
    r = c.append("nothere", simple("x"))
    has(r, r"^a\d+ NO \[TRYCREATE\]", "a missing mailbox is TRYCREATE")
    r = c.append("box", b"")
    hasnt(r, r"^a\d+ OK", "an empty message is refused")
    tag = c.begin("APPEND box {%d}" % len(simple("two")))
    ok(c.line().startswith("+ "), "a synchronising literal is asked for")
    c.send(simple("two") + b"\r\n")
    has(c.end(tag), r" OK \[APPENDUID \d+ 2\]", "and taken")
    r = c.do("APPEND box {99999999999}")
    has(r, r"^a\d+ NO \[TOOBIG\]|^a\d+ NO|^a\d+ BAD", "too much is refused")
    r = c.append("box", simple("bad flag"), r"\Recent")
    has(r, "^a\\d+ BAD", "\\Recent cannot be given")
    c.must("NOOP")


def test_select(c):
    r = c.must("SELECT box")
    has(r, r"^\* 2 EXISTS$", "SELECT: EXISTS")
    has(r, r"^\* 2 RECENT$", "SELECT: RECENT")
    has(r, r"^\* FLAGS \(.*\\Seen.*\$Label.*\)$", "SELECT: FLAGS")
    has(r, r"^\* OK \[PERMANENTFLAGS \(.*\$Label.*\\\*\)\]",
        "SELECT: PERMANENTFLAGS")
    has(r, r"^\* OK \[UNSEEN 1\]", "SELECT: UNSEEN")
    has(r, r"^\* OK \[UIDVALIDITY [1-9]\d*\]", "SELECT: UIDVALIDITY")
    has(r, r"^\* OK \[UIDNEXT 3\]", "SELECT: UIDNEXT")
    has(r, r"^\* OK \[HIGHESTMODSEQ [1-9]\d*\]", "SELECT: HIGHESTMODSEQ")
    has(r, r"^\* OK \[MAILBOXID \([A-Za-z0-9_-]+\)\]", "SELECT: MAILBOXID")
    has(r[-1:], r"OK \[READ-WRITE\]", "SELECT: READ-WRITE")
    r = c.must("EXAMINE box")
    has(r, r"^\* OK \[CLOSED\]", "EXAMINE closes what was selected")
    has(r, r"^\* 0 RECENT$", "\\Recent was taken by the SELECT")
    has(r[-1:], r"OK \[READ-ONLY\]", "EXAMINE: READ-ONLY")
    has(c.do(r"STORE 1 +FLAGS (\Seen)"), "^a\\d+ NO", "and it is")
    has(c.do("EXPUNGE"), "^a\\d+ NO", "for EXPUNGE too")
    r = c.do("SELECT nothere")
    has(r, r"^a\d+ NO \[NONEXISTENT\]", "SELECT of what is not there")
    has(c.do("FETCH 1 FLAGS"), "^a\\d+ BAD", "leaves nothing selected")
    c.must("SELECT box")


SECTIONS = [
    ("BODY[]", MIME), ("BODY[HEADER]", HEAD), ("BODY[TEXT]", TEXT),
    ("BODY[1]", PART1), ("BODY[1.MIME]", PART1_MIME),
    ("BODY[2]", INNER_HEAD + INNER_TEXT), ("BODY[2.MIME]", PART2_MIME),
    ("BODY[2.HEADER]", INNER_HEAD), ("BODY[2.TEXT]", INNER_TEXT),
    ("BODY[2.1]", INNER_TEXT),
    ("BODY[HEADER.FIELDS (SUBJECT)]",
     b"Subject: =?utf-8?q?caf=C3=A9?= and\r\n more\r\n\r\n"),
    ("BODY[HEADER.FIELDS (MIME-VERSION X-NONE)]",
     b"MIME-Version: 1.0\r\n\r\n"),
    ("BODY[HEADER.FIELDS.NOT (FROM TO SUBJECT DATE MESSAGE-ID CONTENT-TYPE)]",
     b"MIME-Version: 1.0\r\n\r\n"),
    ("BODY[2.HEADER.FIELDS (FROM)]", b"From: in@example.org\r\n\r\n"),
]


def test_sections(c):
    for item, want in SECTIONS:
        peek = item.replace("BODY[", "BODY.PEEK[")
        r = c.must("FETCH 1 %s" % peek)
        ok(literal(r[0], item) == want, "FETCH %s" % peek)
        r = c.must("FETCH 1 %s<3.7>" % peek)
        ok(literal(r[0], item + "<3>") == want[3:10], "FETCH %s<3.7>" % peek)
        r = c.must("UID FETCH 1 (%s<100000.7>)" % peek)
        ok(literal(r[0], item + "<100000>") in (b"", None),
           "FETCH %s past its end" % peek)
    r = c.must("FETCH 1 BODY.PEEK[7]")
    has(r, r"BODY\[7\] NIL", "a part that is not there is NIL")
    r = c.must("FETCH 1 (RFC822.HEADER RFC822.SIZE)")
    ok(literal(r[0], "RFC822.HEADER") == HEAD, "RFC822.HEADER")
    has(r, "RFC822.SIZE %d" % len(MIME), "RFC822.SIZE")
    has(c.must("FETCH 1 FLAGS"), r"FLAGS \(((?!Seen).)*\)\)$",
        "nothing of that sets \\Seen")
    r = c.must("FETCH 1 (%s)" % " ".join(
        x.replace("BODY[", "BODY.PEEK[") for x, _ in SECTIONS))
    ok(all(literal(r[0], x) == want for x, want in SECTIONS),
       "all of them at once")


def test_fetch(c):
    r = c.must("FETCH 1 (UID INTERNALDATE MODSEQ EMAILID THREADID)")
    has(r, r"UID 1\b", "FETCH UID")
    has(r, 'INTERNALDATE " 1-Feb-1996 02:44:25 -0700"|'
        'INTERNALDATE "01-Feb-1996 02:44:25 -0700"', "FETCH INTERNALDATE")
    has(r, r"MODSEQ \(\d+\)", "FETCH MODSEQ")
    has(r, r"EMAILID \(M[0-9a-f]{32}\)", "FETCH EMAILID")
    has(r, r"THREADID \(T[0-9a-f]{32}\)", "FETCH THREADID")
    r = c.must("FETCH 1 (ENVELOPE)")
    has(r, r'ENVELOPE \("Thu, 1 Feb 1996 02:44:25 -0700" '
        r'"=\?utf-8\?q\?caf=C3=A9\?= and more" '
        r'\(\("Joe" NIL "joe" "example.org"\)\)', "FETCH ENVELOPE")
    r = c.must("FETCH 1 BODYSTRUCTURE")
    has(r, r'BODYSTRUCTURE \(\("TEXT" "PLAIN" .*"MESSAGE" "RFC822" .*'
        r'"MIXED" \("BOUNDARY" "xx"\)', "FETCH BODYSTRUCTURE")
    has(c.must("FETCH 1 BODY"), r'BODY \(\("TEXT" "PLAIN"', "FETCH BODY")
    has(c.must("FETCH 1 ALL"), "ENVELOPE", "FETCH ALL")
    has(c.must("FETCH 1 FAST"), "RFC822.SIZE", "FETCH FAST")
    has(c.must("FETCH 1 FULL"), r"BODY \(", "FETCH FULL")
    r = c.must("FETCH 1:* UID")
    has(r, r"^\* 1 FETCH \(UID 1\b", "1:* has the first")
    has(r, r"^\* 2 FETCH \(UID 2\b", "and the last")
    has(c.must("UID FETCH 77 FLAGS"), "OK", "a UID that is not there is OK")
    has(c.do("FETCH 77 FLAGS"), "BAD", "a number that is not there is BAD")
    has(c.do("FETCH 1 NOSUCH"), "BAD", "nor is there such an item")
    has(c.do("FETCH 1 (BODY[1"), "BAD", "nor such a section")
    r = c.must("FETCH 2 (BODY[])")
    has(r, r"FETCH \(UID 2.*FLAGS \(.*\\Seen.*\)|"
        r"FETCH \(.*FLAGS \(.*\\Seen.*\)", "BODY[] sets \\Seen, and says so")
    has(c.must("FETCH 2 FLAGS"), r"\\Seen", "and it stays")
    r = c.must("FETCH 1:* (FLAGS) (CHANGEDSINCE 999999)")
    ok(len(r) == 1, "CHANGEDSINCE leaves out what has not changed")
    r = c.must("FETCH 1:* (FLAGS) (CHANGEDSINCE 1)")
    has(r, r"MODSEQ \(\d+\)", "and gives MODSEQ with what has")


def test_store(c):
    r = c.must(r"STORE 1 FLAGS (\Answered Work)")
    has(r, r"^\* 1 FETCH \(.*FLAGS \(\\Answered Work\)", "STORE FLAGS")
    r = c.must(r"STORE 1 +FLAGS (\Deleted)")
    has(r, r"FLAGS \(\\Answered \\Deleted Work\)", "STORE +FLAGS")
    r = c.must(r"STORE 1 -FLAGS (\Deleted Work)")
    has(r, r"FLAGS \(\\Answered\)", "STORE -FLAGS")
    has(c.must(r"STORE 1 +FLAGS \Draft"), r"\\Draft", "without parentheses")
    has(c.must(r"UID STORE 1 -FLAGS (\Draft)"), r"UID 1\b", "UID STORE")
    d = server.client("joe")
    d.must("SELECT box")
    r = d.must(r"STORE 1 +FLAGS.SILENT (\Flagged)")
    ok(len(r) == 1, ".SILENT says nothing")
    has(d.must("FETCH 1 FLAGS"), r"\\Flagged", "but is done")
    d.close()
    r = c.must("NOOP")
    has(r, r"^\* 1 FETCH \(.*FLAGS \(.*\\Flagged", "others hear of it")
    r = c.must("FETCH 1 MODSEQ")
    seq = int(re.search(r"MODSEQ \((\d+)\)", r[0]).group(1))
    r = c.do(r"STORE 1 (UNCHANGEDSINCE %d) +FLAGS (\Seen)" % (seq - 1))
    has(r, r"OK \[MODIFIED 1\]", "UNCHANGEDSINCE too low is MODIFIED")
    hasnt(c.must("FETCH 1 FLAGS"), r"\\Seen", "and nothing is done")
    r = c.do(r"UID STORE 1:* (UNCHANGEDSINCE %d) +FLAGS.SILENT (\Seen)" % seq)
    has(r, r"^\* 1 FETCH \(.*MODSEQ \(\d+\)", "else MODSEQ is said")
    hasnt(r, r"^\* 1 FETCH \(.*FLAGS", "but no flags")
    has(c.do(r"STORE 1 FLAGS (\Nonsense)"), "BAD", "no such flag")
    has(c.do(r"STORE 1:5 FLAGS ()"), "BAD", "no such messages")
    d = server.client("joe")
    d.must("SELECT box")
    has(d.must("FETCH 1 MODSEQ"), r"^\* OK \[HIGHESTMODSEQ \d+\]",
        "the first MODSEQ tells HIGHESTMODSEQ")
    hasnt(d.must("FETCH 1 MODSEQ"), "HIGHESTMODSEQ", "the second does not")
    c.must(r"STORE 1 FLAGS ()")
    has(d.must("NOOP"), r"FETCH \(.*MODSEQ \(\d+\)", "news have MODSEQ then")
    d.close()


def test_search(c):
    c.must("CREATE find")
    for i in range(20):
        c.append("find", simple("number %d" % i, "text %d" % (i * i)),
                 r"\Seen" if i % 2 else "",
                 "%02d-Jan-2020 00:00:00 +0000" % (i + 1))
    c.must("SELECT find")
    ok(uids(c.must("SEARCH ALL")) == [str(i) for i in range(1, 21)],
       "SEARCH ALL")
    ok(uids(c.must("SEARCH UNSEEN 1:4")) == ["1", "3"], "SEARCH UNSEEN")
    ok(uids(c.must('SEARCH SUBJECT "number 7"')) == ["8"], "SEARCH SUBJECT")
    ok(uids(c.must('SEARCH BODY "text 49"')) == ["8"], "SEARCH BODY")
    ok(uids(c.must('SEARCH TEXT "NUMBER 12"')) == ["13"], "SEARCH TEXT")
    ok(uids(c.must("SEARCH SINCE 15-Jan-2020 BEFORE 17-Jan-2020")) ==
       ["15", "16"], "SEARCH SINCE BEFORE")
    ok(uids(c.must("SEARCH OR UID 3 NOT 1:18")) == ["3", "19", "20"],
       "SEARCH OR NOT")
    ok(uids(c.must("UID SEARCH KEYWORD nothing")) == [], "SEARCH KEYWORD")
    r = c.must("UID SEARCH RETURN (MIN MAX COUNT) SEEN")
    has(r, r'^\* ESEARCH \(TAG "a\d+"\) UID MIN 2 MAX 20 COUNT 10$|'
        r'^\* ESEARCH \(TAG "a\d+"\) UID .*COUNT 10', "ESEARCH")
    has(c.must("SEARCH RETURN () 2:5"), r"ESEARCH .*ALL 2:5", "RETURN ()")
    r = c.must("FETCH 20 MODSEQ")
    seq = int(re.search(r"MODSEQ \((\d+)\)", r[0]).group(1))
    has(c.must("SEARCH MODSEQ %d" % seq), r"^\* SEARCH 20 \(MODSEQ %d\)$" %
        seq, "SEARCH MODSEQ")
    has(c.do("SEARCH CHARSET x-nonsense ALL"), r"NO \[BADCHARSET",
        "BADCHARSET")
    has(c.do("SEARCH NOSUCH"), "BAD", "no such key")
    c.must("UNSELECT")


def test_copy(c):
    c.must("CREATE target")
    c.must("SELECT find")
    c.must(r"STORE 2 +FLAGS (\Flagged Work)")
    r = c.must("COPY 2:4 target")
    has(r, r"OK \[COPYUID \d+ 2:4 1:3\]", "COPY says COPYUID")
    has(c.do("COPY 1 nothere"), r"NO \[TRYCREATE\]", "COPY: TRYCREATE")
    r = c.must("UID COPY 900 target")
    hasnt(r, "COPYUID", "nothing copied, no COPYUID")
    r = c.must("COPY 1 find")
    has(r, r"^\* 21 EXISTS", "a copy in the mailbox itself shows")
    r = c.must("MOVE 1,3 target")
    has(r, r"^\* OK \[COPYUID \d+ 1,3 4:5\]", "MOVE says COPYUID")
    has(r, r"^\* 3 EXPUNGE$", "and what went")
    has(r, r"^\* 1 EXPUNGE$", "all of it")
    ok([x for x in r if "EXPUNGE" in x][0] > "* 1 EXPUNGE",
       "in an order that fits")
    r = c.must("UID MOVE 21 target")
    has(r, r"^\* 19 EXPUNGE$", "UID MOVE")
    ok(len(uids(c.must("SEARCH ALL"))) == 18, "the rest is there")
    c.must("SELECT target")
    r = c.must("FETCH 1 (FLAGS INTERNALDATE EMAILID)")
    has(r, r"FLAGS \(.*\\Flagged.*Work.*\)", "copies have their flags")
    has(r, r'"02-Jan-2020 00:00:00 \+0000"|" 2-Jan-2020', "and date")
    r = c.must("FETCH 1 BODY.PEEK[]")
    ok(literal(r[0], "BODY[]") == simple("number 1", "text 1"), "and octets")
    c.must("UNSELECT")


def test_partitions(c):
    r = server.client("admin").do("CREATE \"Other Users/joe/far\" second")
    has(r, " OK", "a mailbox on another partition")
    c.must("SELECT target")
    r = c.must("UID COPY 1:2 far")
    has(r, r"OK \[COPYUID \d+ 1:2 1:2\]", "COPY to it")
    r = c.must("MOVE 1 far")
    has(r, r"^\* OK \[COPYUID \d+ 1 3\]", "and MOVE")
    has(r, r"^\* 1 EXPUNGE$", "take it there")
    c.must("SELECT far")
    r = c.must("FETCH 1 (FLAGS INTERNALDATE BODY.PEEK[])")
    has(r, r"FLAGS \(.*\\Flagged.*Work.*\)", "flags and all")
    ok(literal(r[0], "BODY[]") == simple("number 1", "text 1"), "and octets")
    has(c.must("FETCH 3 ENVELOPE"), "number 1", "and envelope")
    c.must("UNSELECT")


def test_expunge(c):
    d = server.client("joe")
    c.must("SELECT find")
    d.must("SELECT find")
    n = len(uids(c.must("UID SEARCH ALL")))
    c.must(r"STORE 2,5,6 +FLAGS.SILENT (\Deleted)")
    all_uids = uids(c.must("UID SEARCH ALL"))
    c.must("UID EXPUNGE %s" % all_uids[4])
    ok(len(uids(c.must("UID SEARCH ALL"))) == n - 1, "UID EXPUNGE takes one")
    r = c.must("EXPUNGE")
    ok(sorted(x for x in r if "EXPUNGE" in x and x[0] == "*") ==
       ["* 2 EXPUNGE", "* 5 EXPUNGE"], "EXPUNGE takes the others")
    r = d.do("FETCH 1:%d UID" % n)
    hasnt(r, "EXPUNGE$", "no EXPUNGE during FETCH")
    has(r, r"NO \[EXPUNGEISSUED\]", "which says that some are gone")
    has(r, r"^\* %d FETCH \(UID %s\b" % (n, all_uids[-1]),
        "the others have their numbers")
    r = d.must("SEARCH ALL")
    ok(uids(r)[-1] == str(n), "SEARCH has them too")
    r = d.must("NOOP")
    ok(len([x for x in r if x.endswith("EXPUNGE")]) == 3, "NOOP tells")
    r = d.must("FETCH %d UID" % (n - 3))
    has(r, r"UID %s\b" % all_uids[-1], "and then numbers are new")
    c.must("NOOP")
    c.must("CREATE spare")
    for command in ("COPY", "MOVE"):
        c.append("find", simple("gone"), r"\Deleted")
        d.must("NOOP")
        c.must("EXPUNGE")
        has(d.do("%s %d:%d spare" % (command, n - 3, n - 2)),
            r"^a\d+ NO \[EXPUNGEISSUED\]",
            "%s takes all that was named or nothing" % command)
    has(d.must("STATUS spare (MESSAGES)"), r"MESSAGES 0", "and took nothing")
    d.must(r"STORE 1 +FLAGS (\Deleted)")
    r = d.must("CLOSE")
    ok(len(r) == 1, "CLOSE says nothing")
    has(d.do("FETCH 1 UID"), "BAD", "and nothing is selected")
    r = c.must("NOOP")
    has(r, r"^\* 1 EXPUNGE$", "but it has expunged")
    c.must(r"STORE 1 +FLAGS (\Deleted)")
    c.must("UNSELECT")
    r = c.must("STATUS find (MESSAGES DELETED)")
    has(r, r"STATUS find \(MESSAGES %d DELETED 1\)" % (n - 4),
        "UNSELECT has not")
    d.close()


def test_status(c):
    c.must("CREATE sums")
    for i in range(3):
        c.append("sums", simple("s"), r"\Seen" if i else "")
    r = c.must("STATUS sums (MESSAGES RECENT UIDNEXT UIDVALIDITY UNSEEN "
               "DELETED SIZE HIGHESTMODSEQ MAILBOXID)")
    has(r, r"^\* STATUS sums \(MESSAGES 3 RECENT 3 UIDNEXT 4 "
        r"UIDVALIDITY \d+ UNSEEN 1 DELETED 0 SIZE %d HIGHESTMODSEQ \d+ "
        r"MAILBOXID \([\w-]+\)\)$" % (3 * len(simple("s"))), "STATUS")
    has(c.do("STATUS nothere (MESSAGES)"), r"NO \[NONEXISTENT\]",
        "STATUS of what is not there")
    has(c.do("STATUS sums (NOSUCH)"), "BAD", "no such item")


def test_idle(c):
    c.must("SELECT sums")
    tag = c.begin("IDLE")
    ok(c.line().startswith("+ "), "IDLE is acknowledged")
    d = server.client("joe")
    d.append("sums", simple("idle"))
    ok(c.line() == "* 4 EXISTS", "IDLE hears of an APPEND")
    ok("RECENT" in c.line(), "and RECENT")
    d.must("SELECT sums")
    d.must(r"STORE 2 +FLAGS (\Flagged Fresh)")
    ok(re.match(r"\* FLAGS \(.*Fresh", c.line()), "of a new keyword")
    ok(re.match(r"\* 2 FETCH \(.*\\Flagged", c.line()), "of new flags")
    d.must(r"STORE 1 +FLAGS (\Deleted)")
    ok(re.match(r"\* 1 FETCH \(.*\\Deleted", c.line()), "and again")
    d.must("EXPUNGE")
    ok(c.line() == "* 1 EXPUNGE", "of an EXPUNGE")
    c.send(b"done\r\n")
    has(c.end(tag), "OK", "DONE ends it")
    tag = c.begin("IDLE")
    c.line()
    c.send(b"NOOP\r\n")
    has(c.end(tag), "BAD", "and nothing else does")
    d.close()
    c.must("UNSELECT")
    tag = c.begin("IDLE")
    c.line()
    c.send(b"DONE\r\n")
    has(c.end(tag), "OK", "IDLE without a mailbox")


def test_pipelining(c):
    c.must("SELECT find")
    n = 50
    c.send(b"".join(b"p%d UID SEARCH ALL\r\np%dx FETCH 1 (UID BODY.PEEK[])\r\n"
                    % (i, i) for i in range(n)))
    tags = []
    while len(tags) < 2 * n:
        x = c.line()
        if x[0] == "p":
            tags.append(x.split()[0])
            if " OK " not in x:
                print("#", x)
    want = [t for i in range(n) for t in ("p%d" % i, "p%dx" % i)]
    ok(tags == want, "pipelined commands are answered in order")


def test_large(c):
    line = b"0123456789abcdef" * 4 + b"\r\n"
    size = 49 * 1024 * 1024
    message = simple("large") + (line * (size // len(line) + 1))[:size]
    c.must("CREATE large")
    has(c.append("large", message), r"OK \[APPENDUID \d+ 1\]",
        "50 MB are appended")
    c.must("SELECT large")
    tag = c.begin("FETCH 1 (BODY.PEEK[])")
    head = c.f.readline()  # and no more for a while
    d = server.client("joe")
    for _ in range(3):
        d.must("STATUS large (MESSAGES)")
    ok(True, "others are served while a client does not read")
    n = int(re.search(rb"\{(\d+)\}", head).group(1))
    got = c.f.read(n)
    ok(got == message, "50 MB come back, octet for octet")
    c.end(tag)
    r = c.must("FETCH 1 (BODY.PEEK[]<40000000.1000>)")
    ok(literal(r[0], "BODY[]<40000000>") == message[40000000:40001000],
       "and in pieces")
    e = server.client("joe")
    e.must("SELECT large")
    e.begin("FETCH 1 (BODY.PEEK[])")
    e.f.read(100000)
    e.close()
    d.must("NOOP")
    ok(True, "one that goes away in the middle harms nobody")
    d.must("SELECT large")
    d.must(r"STORE 1 +FLAGS (\Deleted)")
    has(d.must("EXPUNGE"), r"^\* 1 EXPUNGE$", "and it is deleted")
    d.close()
    c.must("UNSELECT")


def test_shared(c):
    c.must("CREATE common")
    c.append("common", simple("one"))
    c.append("common", simple("two"))
    c.must("SETACL common ann lrsi")
    a = server.client("ann")
    name = '"Other Users/joe/common"'
    r = a.must("SELECT " + name)
    has(r, r"^\* OK \[PERMANENTFLAGS \(\\Seen\)\]", "only \\Seen may be set")
    c.must("SELECT common")
    has(a.do(r"STORE 1 +FLAGS (\Flagged)"), r"NO \[NOPERM\]", "not \\Flagged")
    has(a.must(r"STORE 1 +FLAGS (\Seen)"), r"\\Seen", "but \\Seen")
    hasnt(c.must("FETCH 1 FLAGS"), r"\\Seen", "which is ann's own")
    has(a.must("STATUS %s (UNSEEN)" % name), r"UNSEEN 1\)", "in STATUS too")
    has(c.must("STATUS common (UNSEEN)"), r"UNSEEN 2\)", "and not joe's")
    ok(uids(a.must("SEARCH UNSEEN")) == ["2"], "and in SEARCH")
    a2 = server.client("ann")
    a2.must("SELECT " + name)
    a2.must("FETCH 1 MODSEQ")
    r = a2.must("FETCH 1 MODSEQ")
    seq = int(re.search(r"MODSEQ \((\d+)\)", r[0]).group(1))
    a.must(r"STORE 1 -FLAGS.SILENT (\Seen)")
    r = a2.must("FETCH 1:* FLAGS (CHANGEDSINCE %d)" % seq)
    ok(len([x for x in r if x.startswith("* 1 FETCH (FLAGS")]) == 1,
       "it has a MODSEQ, too")
    a.must(r"STORE 1 +FLAGS.SILENT (\Seen)")
    has(a2.must("FETCH 1 FLAGS"), r"\\Seen", "ann's other session has it")
    a2.must("FETCH 2 BODY[]")
    has(a.must("NOOP"), r"^\* 2 FETCH \(.*\\Seen", "and tells the first")
    has(a.do("EXPUNGE"), "NO", "EXPUNGE is not allowed")
    has(a.do("MOVE 1 INBOX"), r"NO \[NOPERM\]", "nor MOVE")
    has(a.must("COPY 1 INBOX"), "COPYUID", "COPY is")
    has(a.do("STATUS \"Other Users/joe/box\" (MESSAGES)"),
        r"NO \[NONEXISTENT\]", "what one may not see is not there")
    a.must("UNSELECT")
    c.must("SETACL common ann li")
    has([a2.line()], r"^\* BYE \[NOPERM\]", "who may not read, leaves")
    r = a.append(name, simple("post"))
    has(r, "OK", "one may post without reading")
    hasnt(r, "APPENDUID", "but learns no UID")
    a.must("SELECT INBOX")
    r = a.must("COPY 1 " + name)
    hasnt(r, "COPYUID", "nor by COPY")
    c.must("SETACL common ann lr")
    has(a.must("SELECT " + name)[-1:], "READ-ONLY", "without rights READ-ONLY")
    a.close()
    a2.close()
    c.must("UNSELECT")


def test_delete_selected(c):
    c.must("CREATE doomed")
    c.append("doomed", simple("x"))
    d = server.client("joe")
    d.must("SELECT doomed")
    c.must("DELETE doomed")
    try:
        d.begin("NOOP")
        lines = [d.line()]
        ok("BYE" in lines[0] or " OK" in lines[0], "a deleted mailbox ends it")
    except (EOFError, OSError):
        ok(True, "a deleted mailbox ends it")
    d.close()


def test_delete_renamed(c):
    """One's own session goes on, whatever the mailbox was called."""
    c.must("CREATE first")
    c.must("SELECT first")
    c.must("RENAME first second")
    c.must("CREATE first")
    c.must("DELETE first")
    has(c.must("FETCH 1:* UID"), " OK ", "another of the old name goes")
    c.must("DELETE second")
    has(c.do("CLOSE"), r"^a\d+ BAD", "then none is selected")


def test_restart(c):
    r = c.must("STATUS box (MESSAGES UIDNEXT UIDVALIDITY HIGHESTMODSEQ SIZE)")
    c.close()
    server.stop(signal.SIGKILL)
    server.start()
    c = server.client("joe")
    r2 = c.must("STATUS box (MESSAGES UIDNEXT UIDVALIDITY HIGHESTMODSEQ SIZE)")
    ok(r[0] == r2[0], "kill -9 changes nothing")
    c.must("SELECT box")
    r = c.must("FETCH 1 BODY.PEEK[]")
    ok(literal(r[0], "BODY[]") == MIME, "not an octet")
    a = server.client("ann")
    has(a.must('STATUS "Other Users/joe/common" (UNSEEN)'), r"UNSEEN 2\)",
        "nor what ann has seen")
    a.close()
    return c


server = Backend(users=["joe", "ann"], second=True)
with server:
    joe, = run([test_append, test_select, test_sections, test_fetch,
                test_store, test_search, test_copy, test_partitions,
                test_expunge, test_status, test_idle, test_pipelining,
                test_large, test_shared, test_delete_selected,
                test_delete_renamed],
               lambda: [server.client("joe")])
    joe = test_restart(joe)
    joe.must("LOGOUT")
plan()
