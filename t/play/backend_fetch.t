#!/usr/bin/env python3
"""A stand-alone backendd: what FETCH says beyond RFC 3501, with the examples
of PREVIEW (RFC 8970), OBJECTID (RFC 8474) and SAVEDATE (RFC 8514); BINARY
(RFC 3516), which has none."""
import base64
import datetime
import os
import quopri
import re
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "lib"))
from backend import Backend  # noqa: E402
from daemon import BIN, children, resident  # noqa: E402
from imap import equal, has, hasnt, ok, plan, run, simple  # noqa: E402
from murder import await_that  # noqa: E402

LOREM = ("Lorem ipsum dolor sit amet, consectetur adipiscing elit.\r\n"
         "Curabitur aliquam turpis et ante dictum, et pulvinar dui congue.\r\n"
         "Maecenas hendrerit, lorem non imperdiet pellentesque, nulla\r\n"
         "ligula nullam et cetera et cetera et cetera.\r\n")


def message(head, body):
    return (head + "\r\n\r\n" + body).encode()


def test_preview(c):
    has(c.must("CAPABILITY"), r" PREVIEW( |$)", "PREVIEW is offered")
    c.must("CREATE previews")
    c.append("previews", simple("a", "Preview text!"))
    c.append("previews", message("Subject: b", LOREM))
    c.append("previews", message("Content-Type: image/gif", "R0lGODdh"))
    c.append("previews", message(
        "Content-Type: text/plain; charset=utf-8\r\n"
        "Content-Transfer-Encoding: quoted-printable", "caf=C3=A9"))
    c.must("SELECT previews")
    r = c.must("FETCH 1 (PREVIEW)")
    ok(r[0] == '* 1 FETCH (PREVIEW "Preview text!")', "RFC 8970 3.2")
    r = c.must("FETCH 2 (RFC822.SIZE PREVIEW)")
    text = " ".join(LOREM.split())[:200]
    has(r, r"^\* 2 FETCH \(RFC822.SIZE \d+ PREVIEW \"%s\"\)$" %
        re.escape(text), "RFC 8970, example 1: 200 characters")
    r = c.must("FETCH 1:4 (ENVELOPE PREVIEW (LAZY))")
    has(r, r'^\* 1 FETCH \(ENVELOPE \(.*\) PREVIEW "Preview text!"\)$',
        "example 2: made before")
    has(r, r'^\* 3 FETCH \(ENVELOPE \(.*\) PREVIEW ""\)$',
        "example 2: nothing to see")
    has(r, r'PREVIEW \{5\}\r\ncaf\xc3\xa9\)$', "other than ASCII in a literal")
    r = c.must("UID FETCH 1 (PREVIEW)")
    has(r, r'^\* 1 FETCH \(UID 1 PREVIEW "Preview text!"\)$', "example 3")
    has(c.do("FETCH 1 (PREVIEW (EAGER))"), r"^a\d+ BAD", "no other modifier")


def caches(directory):
    for path, _, names in os.walk(directory):
        for name in names:
            if name == "cache":
                yield os.path.join(path, name)


def test_lazy(c):
    """Without its cache a message has no preview until it is read."""
    for path in caches(server.path("spool")):
        with open(path, "r+b") as f:
            f.write(b"\xff" * os.path.getsize(path))
    c.must("SELECT previews")
    r = c.must("FETCH 1 (UID PREVIEW (LAZY))")
    ok(r[0] == "* 1 FETCH (UID 1 PREVIEW NIL)", "LAZY reads no message")
    r = c.must("FETCH 1 PREVIEW")
    ok(r[0] == '* 1 FETCH (PREVIEW "Preview text!")', "without LAZY it does")
    # It is kept beside, and nobody waits for that.
    ok(await_that(lambda: c.must("FETCH 1 PREVIEW (LAZY)")[0] ==
                  '* 1 FETCH (PREVIEW "Preview text!")', "it is kept"),
       "and keeps it")


def ids(c, box):
    """EMAILID and THREADID of each."""
    c.must("SELECT " + box)
    r = c.must("FETCH 1:* (EMAILID THREADID)")
    return re.findall(r"EMAILID \((M\w+)\) THREADID \((T\w+)\)", "\n".join(r))


def test_objectid(c):
    """The example of RFC 8474 5.3."""
    has(c.must("CAPABILITY"), r" OBJECTID( |$)", "OBJECTID is offered")
    for box in ("ids", "Scratch"):
        c.must("CREATE " + box)
    c.append("ids", message("Message-ID: <fake.1@x>\r\nSubject: Fake", "a"))
    c.append("ids", message("Message-ID: <fake.2@x>\r\nSubject: Re: Fake\r\n"
                            "In-Reply-To: <fake.1@x>", "b"))
    c.append("ids", message("Message-ID: <fake.3@x>\r\nSubject: Other", "c"))
    c.append("ids", message("Message-ID: <fake.4@x>\r\nSubject: Re: Fake\r\n"
                            "References: <fake.1@x>\r\n <fake.2@x>", "d"))
    first = ids(c, "ids")
    ok(len(first) == 4 and len({e for e, _ in first}) == 4,
       "an EMAILID each")
    t = [x for _, x in first]
    ok(t[0] == t[1] == t[3] != t[2], "a THREADID for what belongs together")
    r = c.must("SEARCH THREADID " + t[0])
    has(r, r"^\* SEARCH 1 2 4$", "SEARCH THREADID")
    has(c.must("SEARCH EMAILID " + first[2][0]), r"^\* SEARCH 3$",
        "SEARCH EMAILID")
    has(c.must("SEARCH OR THREADID Tnone EMAILID " + first[0][0]),
        r"^\* SEARCH 1$", "of several")
    c.must("COPY 1 Scratch")
    c.must("MOVE 3 Scratch")
    ok(ids(c, "Scratch") == [first[0], first[2]],
       "both the same in COPY and MOVE")
    ok(ids(c, "ids") == [first[0], first[1], first[3]], "and where it was")
    c.append("Scratch", message(
        "Message-ID: <fake.2@x>\r\nSubject: Re: Fake\r\n"
        "In-Reply-To: <fake.1@x>", "b"))
    ok(ids(c, "Scratch")[2] == first[1], "and when appended again")


def test_savedate(c):
    has(c.must("CAPABILITY"), r" SAVEDATE( |$)", "SAVEDATE is offered")
    c.must("CREATE saved")
    c.append("saved", simple("old"), "", " 1-Feb-1996 02:44:25 -0700")
    c.must("SELECT saved")
    r = c.must("FETCH 1 (SAVEDATE)")
    m = re.search(r'SAVEDATE "(.{26})"', r[0])
    when = datetime.datetime.strptime(m.group(1).strip(),
                                      "%d-%b-%Y %H:%M:%S %z")
    now = datetime.datetime.now(datetime.timezone.utc)
    ok(abs((now - when).total_seconds()) < 3600, "the day it was saved")
    before = (when - datetime.timedelta(1)).strftime("%d-%b-%Y")
    after = (when + datetime.timedelta(1)).strftime("%d-%b-%Y")
    day = when.strftime("%d-%b-%Y")
    for key, want in (("SAVEDON " + day, " 1"), ("SAVEDON " + before, ""),
                      ("SAVEDSINCE " + day, " 1"),
                      ("SAVEDSINCE " + after, ""),
                      ("SAVEDBEFORE " + after, " 1"),
                      ("SAVEDBEFORE " + day, ""),
                      ("BEFORE 1-Jan-2000", " 1"),
                      ("SAVEDATESUPPORTED", " 1"),
                      ("NOT SAVEDATESUPPORTED", "")):
        has(c.must("SEARCH " + key), r"^\* SEARCH%s$" % want,
            "SEARCH " + key.split()[0] + want)


def literal(line, name):
    """What follows name: octets, or None for NIL; and whether a literal8."""
    m = re.search(re.escape(name) + r" (~?)\{(\d+)\}\r\n", line)
    if not m:
        return None, False
    return (line[m.end():m.end() + int(m.group(2))].encode("latin1"),
            m.group(1) == "~")


def test_binary(c):
    """RFC 3516."""
    has(c.must("CAPABILITY"), r" BINARY( |$)", "BINARY is offered")
    c.must("CREATE binary")
    nul = bytes(range(256)) * 20
    large = os.urandom(600 * 1000) + b"\0"
    text = b"caf\xc3\xa9 = =\r\nmore\r\n"
    parts = [
        (b"Content-Type: text/plain; charset=utf-8\r\n"
         b"Content-Transfer-Encoding: quoted-printable\r\n",
         quopri.encodestring(text).replace(b"\n", b"\r\n")
         .replace(b"\r\r", b"\r"), text),
        (b"Content-Type: image/gif\r\nContent-Transfer-Encoding: base64\r\n",
         base64.encodebytes(nul).replace(b"\n", b"\r\n"), nul),
        (b"Content-Transfer-Encoding: base64\r\n",
         base64.encodebytes(large).replace(b"\n", b"\r\n"), large),
        (b"Content-Type: text/plain\r\n", b"as it is", b"as it is"),
        (b"Content-Transfer-Encoding: x-own\r\n", b"?", None)]
    m = b"Subject: b\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n"
    for head, body, _ in parts:
        m += b"--b\r\n" + head + b"\r\n" + body + b"\r\n"
    m += b"--b--\r\n"
    c.append("binary", m)
    c.must("SELECT binary")
    for i, (_, _, want) in enumerate(parts[:4], 1):
        r = c.must("FETCH 1 (UID BINARY.PEEK[%d] BINARY.SIZE[%d])" % (i, i))
        got, is8 = literal(r[0], "BINARY[%d]" % i)
        ok(got is not None and got.rstrip(b"\r\n") == want.rstrip(b"\r\n"),
           "part %d is decoded" % i)
        ok(is8 == (b"\0" in want), "literal8 only for a NUL")
        has(r, r" BINARY\.SIZE\[%d\] %d\)$" % (i, len(got or b"")),
            "and its size is what comes")
    r = c.must("FETCH 1 BINARY.PEEK[3]<299990.100000>")
    ok(literal(r[0], "BINARY[3]<299990>") == (large[299990:399990],
                                              b"\0" in large),
       "a part of what is decoded")
    r = c.must("FETCH 1 BINARY.PEEK[2]<5000.999>")
    ok(literal(r[0], "BINARY[2]<5000>")[0] == nul[5000:], "up to its end")
    r = c.must("FETCH 1 (BINARY.PEEK[2]<9999.9> BINARY.PEEK[9])")
    has(r, r"BINARY\[2\]<9999> ~?\{0\}\r\n BINARY\[9\] NIL\)$",
        "beyond its end; no such part")
    r = c.must("FETCH 1 (BODY.PEEK[3] BINARY.PEEK[3] BODY.PEEK[2] "
               "BINARY.PEEK[1] FLAGS)")
    ok(literal(r[0], "BODY[3]")[0].rstrip() == parts[2][1].rstrip() and
       literal(r[0], "BINARY[3]")[0] == large and
       literal(r[0], "BODY[2]")[0].rstrip() == parts[1][1].rstrip(),
       "beside octets as they are")
    hasnt(r, r"\\Seen", "PEEK leaves \\Seen alone")
    r = c.do("FETCH 1 BINARY.PEEK[5]")
    has(r, r"^a\d+ NO \[UNKNOWN-CTE\]", "an encoding nobody knows")
    has(c.do("FETCH 1 BINARY.SIZE[5]"), r"^a\d+ NO \[UNKNOWN-CTE\]",
        "nor its size")
    r = c.must("FETCH 1 BINARY[]")
    ok(literal(r[0], "BINARY[]")[0] == m, "BINARY[] is the message")
    has(c.must("FETCH 1 FLAGS"), r"\\Seen", "and sets \\Seen")


def test_append_binary(c):
    """Messages with NULs: kept in base64, and given back as they came."""
    nul = bytes(range(256)) * 1000
    head = b"Content-Type: image/gif\r\nContent-Transfer-Encoding: "
    m = head + b"binary\r\n\r\n" + nul
    r = c.do(b"APPEND binary ~{%d+}\r\n%s" % (len(m), m))
    has(r, r"^a\d+ OK \[APPENDUID \d+ 2\]", "a literal8 with NULs")
    c.must("SELECT binary")
    r = c.must("FETCH 2 (BODY.PEEK[] BINARY.PEEK[1] BODYSTRUCTURE "
               "RFC822.SIZE)")
    body = literal(r[0], "BODY[]")[0]
    ok(b"\0" not in body and body.startswith(head + b"base64\r\n"),
       "BODY[] has none")
    has(r, r'BODYSTRUCTURE \("IMAGE" "GIF" NIL NIL NIL "BASE64"',
        "BODYSTRUCTURE says base64")
    has(r, r"RFC822\.SIZE %d\)" % len(body), "and the size is its")
    ok(literal(r[0], "BINARY[1]") == (nul, True), "BINARY is what came")
    r = c.do(b"APPEND binary ~{9+}\r\nA: \0\r\n\r\nx")
    has(r, r"^a\d+ NO \[UNKNOWN-CTE\]", "a NUL in a header cannot be kept")
    r = c.do(b"APPEND binary {9+}\r\nA: b\r\n\r\n\0")
    has(r, r"^a\d+ NO", "nor one in a literal")
    plain = simple("no NUL")
    r = c.do(b"APPEND binary ~{%d+}\r\n%s ~{%d+}\r\n%s" %
             (len(plain), plain, len(m), m))
    has(r, r"^a\d+ OK \[APPENDUID \d+ 3:4\]", "in a MULTIAPPEND")
    r = c.must("UID FETCH 3 BODY.PEEK[]")
    ok(literal(r[0], "BODY[]")[0] == plain, "without a NUL it is as it came")
    r = c.do(b"APPEND binary CATENATE (TEXT {%d+}\r\n%s TEXT ~{3+}\r\na\0b)" %
             (len(head) + 10, head + b"binary\r\n\r\n"))
    has(r, r"^a\d+ OK \[APPENDUID \d+ 5\]", "in a CATENATE")
    r = c.must("UID FETCH 5 BINARY.PEEK[1]")
    ok(literal(r[0], "BINARY[1]") == (b"a\0b", True), "octet for octet")


def test_fields(c):
    """Long fields of many messages, asked for often: not all made at once."""
    subject = " ".join("word%04d" % i for i in range(3000))
    octets = ("From: a@example.org\r\nSubject: %s\r\n\r\nhello\r\n" %
              subject).encode()
    field = "BODY.PEEK[HEADER.FIELDS (SUBJECT)]"
    c.must("CREATE fields")
    for i in range(100):
        c.append("fields", octets)
    c.must("SELECT fields")
    r = c.must("FETCH 1:* (%s %s)" % (field, field))
    equal([x.split()[1] for x in r[:-1]], [str(i + 1) for i in range(100)],
          "each message")
    ok(all(x.count(subject) == 2 for x in r[:-1]), "has its fields")
    store = next(pid for title, pid in children(server.child.pid)
                 if title == "store")
    before = resident(store)
    c.begin("FETCH 1:* (%s)" % " ".join([field] * 40))
    has([c.line()], r"^\* 1 FETCH ", "forty times")
    grown = resident(store) - before
    with open(os.path.join(BIN, "backendd"), "rb") as f:
        if b"__asan_init" not in f.read():  # its own memory would count
            ok(grown < 40000, "that takes no more memory (%d kB)" % grown)
    c.close()


server = Backend(users=["joe"])
with server:
    run([test_preview, test_objectid, test_savedate, test_binary,
         test_append_binary, test_lazy, test_fields], lambda: [server.client("joe")])
plan()
