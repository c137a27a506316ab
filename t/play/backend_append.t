#!/usr/bin/env python3
"""A stand-alone backendd: how messages come in, with the examples of
MULTIAPPEND (RFC 3502), CATENATE (RFC 4469), REPLACE (RFC 8508), APPENDLIMIT
(RFC 7889), LITERAL- (RFC 7888) and UTF8 literals (RFC 6855)."""
import os
import re
import sys
import tempfile

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "lib"))
from backend import Backend  # noqa: E402
from daemon import children, resident  # noqa: E402
from imap import has, hasnt, ok, plan, run, simple  # noqa: E402

FIRST = (b"Date: Mon, 7 Feb 1994 21:52:25 -0800 (PST)\r\n"
         b"From: Fred Foobar <foobar@Blurdybloop.example.COM>\r\n"
         b"Subject: afternoon meeting\r\n"
         b"To: mooch@owatagu.example.net\r\n"
         b"Message-Id: <B27397-0100000@Blurdybloop.example.COM>\r\n"
         b"MIME-Version: 1.0\r\n"
         b"Content-Type: TEXT/PLAIN; CHARSET=US-ASCII\r\n\r\n"
         b"Hello Joe, do you think we can meet at 3:30 tomorrow?\r\n")
SECOND = (b"Date: Mon, 7 Feb 1994 22:43:04 -0800 (PST)\r\n"
          b"From: Joe Mooch <mooch@OWaTaGu.example.net>\r\n"
          b"Subject: Re: afternoon meeting\r\n\r\n3:30 is fine with me.\r\n")
BOUNDARY = b"------------030308070208000400050907"
DRAFT = (b"Subject: draft\r\nMIME-Version: 1.0\r\n"
         b"Content-Type: multipart/mixed; boundary=\"" + BOUNDARY +
         b"\"\r\n\r\n--" + BOUNDARY +
         b"\r\nContent-Type: text/plain\r\n\r\nfirst part\r\n--" + BOUNDARY +
         b"\r\nContent-Type: application/x-zip-compressed\r\n"
         b"Content-Transfer-Encoding: base64\r\n\r\n" +
         b"UEsDBBQAAAAI" * 100 + b"\r\n--" + BOUNDARY + b"--\r\n")


def sync(c, command, *literals):
    """A command whose literals each wait for "+"."""
    c.n += 1
    tag = "a%d" % c.n
    out = tag.encode() + b" " + command
    for octets, after in literals:
        c.send(out + b"{%d}\r\n" % len(octets))
        line = c.line()
        if not line.startswith("+ "):
            return [line] if line.startswith(tag) else [line] + c.end(tag)
        out = octets + after
    c.send(out + b"\r\n")
    return c.end(tag)


def octets(c, box, uid):
    c.must("EXAMINE " + box)
    r = c.must("UID FETCH %s BODY.PEEK[]" % uid)
    m = re.search(r"BODY\[\] \{(\d+)\}\r\n", r[0])
    return r[0][m.end():m.end() + int(m.group(1))].encode("latin1")


def count(c, box):
    r = c.must("STATUS %s (MESSAGES)" % box)
    return int(re.search(r"MESSAGES (\d+)", r[0]).group(1))


def appended(lines):
    """The UID that APPENDUID tells."""
    m = re.search(r"\[APPENDUID (\d+) (\d+)\]", "\n".join(lines))
    return int(m.group(2)) if m else 0


def test_multiappend(c):
    has(c.must("CAPABILITY"), r" MULTIAPPEND( |$)", "MULTIAPPEND is offered")
    c.must("CREATE saved-messages")
    r = sync(c, b"APPEND saved-messages (\\Seen) ",
             (FIRST, b' (\\Seen) " 7-Feb-1994 22:43:04 -0800" '),
             (SECOND, b""))
    has(r, r"^a\d+ OK \[APPENDUID \d+ 1:2\]", "RFC 3502: two at once")
    ok(octets(c, "saved-messages", 1) == FIRST and
       octets(c, "saved-messages", 2) == SECOND, "octet for octet")
    r = c.must("FETCH 2 (FLAGS INTERNALDATE)")
    has(r, r'FLAGS \(.*\\Seen.*\) INTERNALDATE "[ 0]7-Feb-1994 22:43:04 -0800"',
        "each with its flags and date")
    r = sync(c, b"APPEND bogusname (\\Flagged) ", (FIRST, b""))
    has(r, r"^a\d+ NO \[TRYCREATE\]", "RFC 3502: no such mailbox")
    has(r[:1], r"^a\d+ NO", "before the message is sent")
    r = sync(c, b"APPEND saved-messages ", (FIRST, b" "), (b"", b""))
    has(r, r"^a\d+ NO", "RFC 3502: an empty message cancels")
    ok(count(c, "saved-messages") == 2, "all of it")
    r = sync(c, b"APPEND saved-messages ", (FIRST, b" "),
             (b"x" * 10, b" (\\Bad"))
    has(r, r"^a\d+ BAD", "so does what is malformed")
    many = b"".join(b" (\\Seen \\Draft $MDNSent $Forwarded) "
                    b'" 7-Feb-1994 22:43:04 -0800" {%d+}\r\n%s' %
                    (len(m), m) for m in [simple(str(i)) for i in range(3000)])
    r = c.do(b"APPEND saved-messages" + many)
    has(r, r"^a\d+ OK \[APPENDUID \d+ 3:3002\]", "3,000 at once")
    ok(octets(c, "saved-messages", 3002) == simple("2999"), "to the last")
    r = c.do(b"APPEND saved-messages" + b" {2+}\r\nx\n" * 4097)
    has(r, r"^a\d+ NO \[LIMIT\]", "more than max_append_messages is refused")
    ok(count(c, "saved-messages") == 3002, "and leaves nothing behind")


def test_many(c):
    """Looked at while others come: small ones, large ones, and CATENATE's."""
    c.must("CREATE many")
    wanted, command = [], b""
    for i in range(150):
        m = simple(str(i), "z" * (100000 if i % 20 == 3 else 4000))
        if i % 50 == 7:
            command += (b" CATENATE (TEXT {%d+}\r\n%s TEXT {3+}\r\nyz\n)" %
                        (len(m), m))
            m += b"yz\n"
        else:
            command += b" {%d+}\r\n%s" % (len(m), m)
        wanted.append(m)
    has(c.do(b"APPEND many" + command), r"^a\d+ OK \[APPENDUID \d+ 1:150\]",
        "150 at once, some large, some of parts")
    ok([octets(c, "many", i + 1) for i in range(150)] == wanted,
       "each is what was sent")
    r = c.do(b"APPEND many" + command[:400000].rsplit(b" {", 1)[0] +
             b" {3+}\r\na\0b")
    has(r, r"^a\d+ NO", "a NUL in the last takes all others back")
    lost = server.client("joe")
    lost.send(b"x APPEND many" + command[:400000])
    lost.close()
    has(c.do(b"APPEND many" + command), r"^a\d+ OK \[APPENDUID \d+ 151:300\]",
        "one whose client went away has appended nothing")
    ok(count(c, "many") == 300, "nor has the refused one")


def cat(c, command, *parts):
    """CATENATE: bytes are texts, str are addresses."""
    out = command + b" CATENATE ("
    for i, p in enumerate(parts):
        out += b" " if i > 0 else b""
        if isinstance(p, str):
            out += b'URL "%s"' % p.encode()
        else:
            out += b"TEXT {%d+}\r\n%s" % (len(p), p)
    return c.do(out + b")")


def test_catenate(c):
    has(c.must("CAPABILITY"), r" CATENATE( |$)", "CATENATE is offered")
    c.must("CREATE Drafts")
    first = appended(c.append("Drafts", DRAFT))
    plain = b"Subject: third\r\n\r\nthird part\r\n"
    other = appended(c.append("Drafts", plain))
    validity = re.search(r"UIDVALIDITY (\d+)",
                         c.must("STATUS Drafts (UIDVALIDITY)")[0]).group(1)
    base = "/Drafts;UIDVALIDITY=%s/;UID=%d" % (validity, first)
    head = DRAFT[:DRAFT.index(b"\r\n\r\n") + 4]
    middle = b"\r\n--" + BOUNDARY + b"\r\n"
    end = b"\r\n--" + BOUNDARY + b"--\r\n"
    r = sync(c, b"APPEND Drafts (\\Seen \\Draft $MDNSent) CATENATE (URL \"" +
             base.encode() + b"/;section=HEADER\" TEXT ",
             (middle, b' URL "%s/;section=1.MIME" URL "%s/;section=1" TEXT ' %
              (base.encode(), base.encode())),
             (middle, b' URL "/Drafts;UIDVALIDITY=%s/;UID=%d" TEXT ' %
              (validity.encode(), other)),
             (end, b")"))
    has(r, r"^a\d+ OK \[APPENDUID \d+ 3\]", "RFC 4469, example 1")
    ok(octets(c, "Drafts", 3) == head + middle +
       b"Content-Type: text/plain\r\n\r\n" + b"first part" + middle + plain +
       end, "example 1: octet for octet")
    r = c.must("FETCH 3 (FLAGS BODYSTRUCTURE)")
    has(r, r"FLAGS \(.*\\Draft.*\) BODYSTRUCTURE \(\(\"TEXT\"",
        "example 1: its flags, and what it is made of")
    r = cat(c, b"APPEND Drafts (\\Seen \\Draft $MDNSent)", b"To: x\r\n",
            base + "/;Section=2.MIME", base + "/;Section=2", end)
    has(r, r"^a\d+ OK \[APPENDUID %s 4\]" % validity, "RFC 4469, example 2")
    ok(octets(c, "Drafts", 4) == b"To: x\r\n"
       b"Content-Type: application/x-zip-compressed\r\n"
       b"Content-Transfer-Encoding: base64\r\n\r\n" + b"UEsDBBQAAAAI" * 100 +
       end, "example 2: octet for octet")
    r = cat(c, b"APPEND Drafts (\\Seen $MDNSent)", b"To: y\r\n", base,
            "/INBOX;UIDVALIDITY=785799047/;UID=113330/;section=1.5.9", base)
    has(r, r'^a\d+ NO \[BADURL "/INBOX;UIDVALIDITY=785799047/;UID=113330/'
        r';section=1.5.9"\]', "RFC 4469, example 4: BADURL")
    ok(count(c, "Drafts") == 4, "and nothing is appended")


def test_addresses(c):
    """RFC 5092: which addresses there are, and what is none."""
    c.must("CREATE caf&AOk-")
    c.must("SELECT Drafts")
    c.append("caf&AOk-", simple("unicode"))
    for url, want in (
            ("/Drafts/;UID=2", b"Subject: third\r\n\r\nthird part\r\n"),
            ("/drafts%2f/;UID=2", None),
            ("/%44rafts/;UID=2/;PARTIAL=9.5", b"third"),
            ("/Drafts/;UID=2/;SECTION=TEXT/;PARTIAL=6", b"part\r\n"),
            ("/Drafts/;UID=2/;SECTION=TEXT/;PARTIAL=100", None),
            ("/Drafts/;UID=2/;SECTION=HEADER.FIELDS%20(SUBJECT%20X)",
             b"Subject: third\r\n\r\n"),
            (";UID=2/;SECTION=TEXT", b"third part\r\n"),
            ("/caf%C3%A9/;UID=1", simple("unicode")),
            ("/caf&AOk-/;UID=1", simple("unicode")),
            ("/Drafts;UIDVALIDITY=1/;UID=2", None),
            ("/Drafts/;UID=99", None), ("/Drafts/;UID=2/;SECTION=9", None),
            ("/Drafts/;UID=2/;SECTION=NONE", None), ("/Drafts", None),
            ("/Drafts/;UID=0", None), ("/Drafts/;UID=2;URLAUTH=anonymous",
                                       None),
            ("//host/Drafts/;UID=2", None), ("/Dra%fts/;UID=2", None),
            ("imap://joe@localhost/Drafts/;UID=2", None), ("", None),
            ("/Other%20Users/ann/;UID=1", None), ("/a%00b/;UID=1", None)):
        r = cat(c, b"APPEND INBOX", url)
        if want is None:
            has(r, r"^a\d+ NO", "refused: " + url)
        else:
            uid = appended(r)
            c2 = server.client("joe")
            ok(uid and octets(c2, "INBOX", uid) == want, "taken: " + url)
            c2.close()
    r = c.do(b"APPEND INBOX CATENATE (TEXT {0+}\r\n TEXT {1+}\r\nx TEXT "
             b"{0+}\r\n)")
    has(r, r"^a\d+ OK", "a part may be empty")
    before = count(c, "INBOX")
    for empty in (b"{0+}\r\n", b"CATENATE (TEXT {0+}\r\n TEXT {0+}\r\n)",
                  b'CATENATE (URL "/Drafts/;UID=2/;SECTION=TEXT/'
                  b';PARTIAL=100" TEXT {0+}\r\n)',
                  b"{1+}\r\nx CATENATE (TEXT {0+}\r\n)"):
        has(c.do(b"APPEND INBOX " + empty), r"^a\d+ NO \[CLIENTBUG\]",
            "a message may not: %r" % empty)
    ok(count(c, "INBOX") == before, "nor is one stored")
    r = c.do(b"APPEND INBOX CATENATE (URL {14+}\r\n/Drafts/;UID=2 TEXT "
             b"{1+}\r\nx)")
    has(r, r"^a\d+ OK", "an address as a literal")
    for bad in (b"()", b"(URL)", b"(TEXT x)", b"(NONE {1+}\r\nx)",
                b"(TEXT {1+}\r\nx", b"(TEXT {1+}\r\nxURL y)"):
        has(c.do(b"APPEND INBOX CATENATE " + bad), r"^a\d+ BAD",
            "malformed: %r" % bad)
    a = server.client("ann")
    r = cat(a, b"APPEND INBOX", "/Other%20Users/joe/Drafts/;UID=2")
    has(r, r"^a\d+ NO \[BADURL", "what one may not read is no address")
    c.must('SETACL Drafts ann lr')
    r = cat(a, b"APPEND INBOX", "/Other%20Users/joe/Drafts/;UID=2")
    has(r, r"^a\d+ OK", "what one may is one")
    a.close()
    c.must("UNSELECT")


def test_replace(c):
    has(c.must("CAPABILITY"), r" REPLACE( |$)", "REPLACE is offered")
    c.must("CREATE replaced")
    for i in range(4):
        c.append("replaced", simple(str(i)))
    c.must("SELECT replaced")
    new = simple("happy new year !!", "Just saw the best fireworks show.")
    r = sync(c, b"REPLACE 4 replaced (\\Seen \\Draft) ", (new, b""))
    ok(len(r) >= 4 and re.match(r"\* OK \[APPENDUID \d+ 5\]", r[0]) and
       "* 4 EXPUNGE" in r and r[-1].startswith("a%d OK" % c.n) and
       any(x.endswith(" EXISTS") for x in r), "RFC 8508 3.2")
    has(c.must("UID SEARCH ALL"), r"^\* SEARCH 1 2 3 5$", "it is replaced")
    r = sync(c, b"UID REPLACE 5 replaced (\\Seen \\Draft) ", (new, b""))
    ok(appended(r) == 6 and "* 4 EXPUNGE" in r, "RFC 8508 3.3")
    big = appended(c.append("replaced", DRAFT))
    text = b"To: Mitzy <m@example.org>\r\nSubject: My view\r\n"
    r = cat(c, b"UID REPLACE %d replaced" % big, text,
            "/replaced/;UID=%d" % big)
    ok(appended(r) == big + 1, "RFC 8508 4.2: with CATENATE")
    c2 = server.client("joe")
    ok(octets(c2, "replaced", big + 1) == text + DRAFT, "of what it replaces")
    r = sync(c, b"REPLACE 1 saved-messages ", (new, b""))
    ok(appended(r) == 3003 and "* 1 EXPUNGE" in r, "into another mailbox")
    c.must("CREATE far second")
    r = sync(c, b"REPLACE 1 far ", (new, b""))
    has(r, r"^\* 1 EXPUNGE$", "on another partition")
    has(c.must("UID SEARCH ALL"), r"^\* SEARCH 3 6 8$", "gone here")
    ok(octets(c2, "far", 1) == new, "and there")
    r = sync(c, b"REPLACE 1 nothere ", (new, b""))
    has(r, r"^a\d+ NO \[TRYCREATE\]", "no such mailbox")
    hasnt(r, "EXPUNGE", "and nothing goes")
    has(r[:1], r"^a\d+ NO", "and no message is sent")
    for args, how, what in (
            (b"REPLACE 77", "BAD", "no such number"),
            (b"UID REPLACE 77", "NO", "no such UID"),
            (b"REPLACE 1:2", "BAD", "one at a time"),
            (b"UID REPLACE 8,99", "BAD", "nor one that is there and others"),
            (b"UID REPLACE 99:100", "BAD", "nor several that are not"),
            (b"REPLACE $", "BAD", "nor what was found")):
        has(sync(c, args + b" replaced ", (new, b""))[:1], r"^a\d+ " + how,
            what + ": no message is sent")
    has(sync(c, b"REPLACE 1 replaced ", (new, b" "), (new, b"")),
        r"^a\d+ BAD", "by one")
    c2.must("SELECT replaced")
    c2.must("UID STORE 3 +FLAGS.SILENT (\\Deleted)")
    c2.must("UID EXPUNGE 3")
    r = sync(c, b"REPLACE 1 replaced ", (new, b""))
    has(r, r"^a\d+ NO", "not one that others have expunged")
    has(c2.must("UID SEARCH ALL"), r"^\* SEARCH 6 8$", "nothing was added")
    c.must("EXAMINE replaced")
    has(sync(c, b"REPLACE 1 replaced ", (new, b"")), r"^a\d+ NO",
        "nor in a mailbox that is read-only")
    c.must("UNSELECT")
    has(sync(c, b"REPLACE 1 replaced ", (new, b"")), r"^a\d+ BAD",
        "RFC 8508 3.5: a mailbox has to be selected")
    u = server.client("joe")
    u.must("ENABLE UIDONLY")
    u.must("SELECT replaced")
    uid = appended(u.append("replaced", new))
    has(sync(u, b"REPLACE 1 replaced ", (new, b"")),
        r"^a\d+ BAD \[UIDREQUIRED\]", "UIDONLY: numbers mean nothing")
    r = sync(u, b"UID REPLACE %d replaced " % uid, (new, b""))
    ok(appended(r) == uid + 1 and "* VANISHED %d" % uid in r,
       "UIDONLY: UIDs do")
    u.close()
    c.must("SETACL replaced ann lrsit")
    a = server.client("ann")
    a.must('SELECT "Other Users/joe/replaced"')
    has(sync(a, b"REPLACE 1 INBOX ", (new, b"")), r"^a\d+ NO \[NOPERM\]",
        "RFC 8508 4.1: without the right to expunge")
    a.close()
    c2.close()


def test_replace_lost(c):
    """The selected mailbox is deleted while it is under way."""
    new = simple("new")
    for i in range(6):
        d = server.client("joe")
        d.must("CREATE lost")
        d.append("lost", simple("old"))
        d.must("SELECT lost")
        d.begin(b"REPLACE 1 INBOX " +
                (b"{%d+}\r\n%s" if i % 2 else
                 b'CATENATE (URL ";UID=1" TEXT {%d+}\r\n%s)') %
                (len(new), new))
        c.must("DELETE lost")
        try:
            while "BYE" not in d.line():
                pass
        except (EOFError, OSError):
            pass
        d.close()
    has(c.must("NOOP"), r" OK", "REPLACE in a mailbox that goes")


def test_appendlimit(c):
    has(c.must("CAPABILITY"), r" APPENDLIMIT=52428800( |$)",
        "RFC 7889: APPENDLIMIT is offered")
    c.must("CREATE limits")
    has(c.must("STATUS limits (APPENDLIMIT)"),
        r"^\* STATUS limits \(APPENDLIMIT 52428800\)$", "STATUS")
    r = c.must('LIST "" limits RETURN (STATUS (APPENDLIMIT))')
    has(r, r"^\* STATUS limits \(APPENDLIMIT 52428800\)$", "LIST-STATUS")
    has(c.do("APPEND limits {52428801}"), r"^a\d+ NO \[TOOBIG\]", "TOOBIG")
    urls = ["/saved-messages/;UID=%d" % (i % 3000 + 1) for i in range(1001)]
    has(cat(c, b"APPEND limits", *urls), r"^a\d+ BAD", "CATENATE's parts")


def test_literal8(c):
    """RFC 6855 4: UTF8 (~{n}), and who may send it."""
    new = "Subject: caf\u00e9\r\n\r\nx\r\n".encode()
    c = server.client("joe")
    r = c.do(b"APPEND limits UTF8 (~{%d+}\r\n%s)" % (len(new), new))
    has(r, r"^a\d+ NO", "UTF8 before ENABLE")
    c.must("ENABLE UTF8=ACCEPT")
    r = c.do(b"APPEND limits UTF8 (~{%d+}\r\n%s)" % (len(new), new))
    has(r, r"^a\d+ OK", "UTF8 after it")
    has(c.do(b"APPEND limits UTF8 ({%d+}\r\n%s)" % (len(new), new)),
        r"^a\d+ BAD", "a literal8 it is")
    r = c.do(b"APPEND limits CATENATE (UTF8 (~{%d+}\r\n%s) TEXT {1+}\r\ny)" %
             (len(new), new))
    uid = appended(r)
    ok(uid and octets(c, "limits", uid) == new + b"y", "in a CATENATE too")
    c.close()


def test_literal_minus():
    with Backend(users=["joe"], conf=[
            "literals = minus", "max_message = 20000", "max_append = 30000",
            "max_append_messages = 3"]) as small:
        c = small.client()
        has([c.greeting], r" LITERAL-[ \]]", "LITERAL- is offered")
        hasnt([c.greeting], r" LITERAL\+[ \]]", "and LITERAL+ is not")
        r = c.do(b"LOGIN {3+}\r\njoe {8+}\r\npassword")
        has(r, r"^a\d+ OK", "RFC 7888 3: two literals not waited for")
        new = simple("x", "y" * 5000)
        r = c.do(b"APPEND INBOX {%d+}\r\n%s" % (len(new), new))
        has(r, r"^a\d+ BAD \[TOOBIG\]", "RFC 7888 5: more than 4096 in one")
        has(sync(c, b"APPEND INBOX ", (new, b"")), r"^a\d+ OK",
            "not if one waits")
        r = c.do(b"APPEND INBOX {4096+}\r\n" + simple("x", "y" * 4096)[:4096])
        has(r, r"^a\d+ OK", "nor with 4096")
        has(sync(c, b"APPEND INBOX ", (b"x" * 20000, b" "),
                 (b"x" * 20000, b"")), r"^a\d+ NO \[LIMIT\]",
            "max_append is for all of an APPEND")
        r = c.do(b"APPEND INBOX" + b" {2+}\r\nx\n" * 4)
        has(r, r"^a\d+ NO \[LIMIT\]", "max_append_messages")
        r = c.do(b'APPEND INBOX CATENATE (URL "/INBOX/;UID=1" URL '
                 b'"/INBOX/;UID=1" URL "/INBOX/;UID=1" URL "/INBOX/;UID=1")')
        has(r, r"^a\d+ NO \[TOOBIG\]", "max_message, of a CATENATE")
        r = c.do(b"APPEND INBOX" + b" CATENATE (URL /INBOX/;UID=1)" * 7)
        has(r, r"^a\d+ NO \[LIMIT\]", "max_append, of many CATENATEs")
        ok(count(c, "INBOX") == 2, "nothing of these was kept")
        r = c.do(b"APPEND INBOX" + b" CATENATE (URL /INBOX/;UID=1)" * 5)
        has(r, r"^a\d+ OK \[APPENDUID \d+ 3:7\]", "nor is less refused")
        c.send(b"b CREATE {5000+}\r\n")
        has([c.line()], r"^\* BYE \[TOOBIG\]", "another command ends it")
        c.close()


def test_memory():
    temp = tempfile.mkdtemp(prefix="backendd.")
    with Backend(users=["joe"], conf=["max_append_memory = 0",
                                      "temp_directory = " + temp]) as small:
        c = small.client("joe")
        ok("OK" in c.append("INBOX", simple("x", "y"))[-1], "a message")
        store = dict(children(small.child.pid))["store"]
        before = resident(store)
        r = c.do(b"APPEND INBOX" + b" CATENATE (URL /)" * 3500)
        has(r, r"^a\d+ NO \[BADURL", "very many CATENATEs")
        grown = resident(store) - before
        ok(grown < 48 * 1024, "cost little memory (%d kB)" % grown)
        os.rmdir(temp)
        has(c.append("INBOX", simple("x", "y")), r"^a\d+ NO",
            "what may not be in memory needs a file")
        has(c.do(b"APPEND INBOX CATENATE (URL /INBOX/;UID=1)"), r"^a\d+ NO",
            "and so does what is catenated")
        c.close()


server = Backend(users=["joe", "ann"], second=True)
with server:
    run([test_multiappend, test_many, test_catenate, test_addresses,
         test_replace, test_replace_lost, test_appendlimit, test_literal8],
        lambda: [server.client("joe")])
test_literal_minus()
test_memory()
plan()
