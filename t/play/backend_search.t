#!/usr/bin/env python3
"""A stand-alone backendd and what finds messages: SEARCH, SORT, THREAD, with
the examples of their RFCs."""
import os
import re
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "lib"))
from backend import Backend  # noqa: E402
from imap import equal, has, hasnt, ok, plan, simple  # noqa: E402


def message(number, **fields):
    """Subject and what else is given: Message_ID='<a@x>'."""
    head = ["From: %s" % fields.pop("From", "a@example.org"),
            "Date: %s" % fields.pop("Date", "Mon, 7 Feb 1994 21:52:%02d +0000"
                                    % number)]
    text = fields.pop("Text", "hello")
    head += ["%s: %s" % (k.replace("_", "-"), v) for k, v in fields.items()]
    return ("\r\n".join(head) + "\r\n\r\n" + text + "\r\n").encode("latin1")


def data(lines, name):
    """What follows "* NAME" in the one response of that name."""
    got = [x for x in lines if x.startswith("* " + name)]
    if len(got) != 1:
        return None
    return got[0][len(name) + 2:].strip()


def test_capability(c):
    caps = data(c.must("CAPABILITY"), "CAPABILITY").split()
    for name in ("WITHIN SEARCHRES SORT SORT=DISPLAY ESORT PARTIAL INPROGRESS "
                 "THREAD=ORDEREDSUBJECT THREAD=REFERENCES I18NLEVEL=1 "
                 "CONTEXT=SEARCH CONTEXT=SORT MULTISEARCH").split():
        ok(name in caps, "capability %s" % name)


def fill(c):
    c.must("CREATE found")
    for args in (
            (" 1-Feb-1994 00:00:00 +0000",
             message(5, Subject="Re: banana", From="Zoe <smith@example.org>",
                     To="b@x")),
            ("02-Jan-2004 00:00:00 +0000",
             message(3, Subject="apple", From="Adam <Young@example.org>",
                     To="A@x", Cc="me@x", Text="x" * 9000)),
            ("03-Jan-2005 00:00:00 +0000",
             message(1, Subject="[list] Banana (fwd)",
                     From="=?iso-8859-1?q?=C9va?= <beta@example.org>")),
            ("04-Jan-2006 00:00:00 +0000",
             message(9, Subject="Cherry", Text="not in the others")),
            ("05-Jan-2007 00:00:00 +0000",
             message(7, Subject="=?koi8-r?q?=F0=D2=C9=D7=C5=D4?=",
                     Date="nonsense"))):
        date, octets = args
        lines = c.append("found", octets, r"\Flagged" if "200" in date else "",
                         date)
        ok(" OK" in lines[-1], "appended")
    c.must("SELECT found")


def test_search(c):
    equal(data(c.must("SEARCH YOUNGER 259200"), "SEARCH"), "",
          "RFC 5032: nothing is so young")
    equal(data(c.must("SEARCH UNSEEN OLDER 259200"), "SEARCH"), "1 2 3 4 5",
          "all are older")
    c.append("found", message(2, Subject="new"), "", "")
    equal(data(c.must("SEARCH UNSEEN YOUNGER 259200"), "SEARCH"), "6",
          "but what has just come")
    c.must("STORE 6 +FLAGS.SILENT (\\Deleted)")
    c.must("EXPUNGE")
    # i;unicode-casemap, and charsets
    equal(data(c.must('SEARCH CHARSET UTF-8 SUBJECT {12+}\r\n'
                      '\xd0\x9f\xd0\xa0\xd0\x98\xd0\x92\xd0\x95\xd0\xa2'),
               "SEARCH"), "5", "Cyrillic in upper case")
    equal(data(c.must('SEARCH CHARSET KOI8-R SUBJECT {6+}\r\n'
                      '\xd0\xd2\xc9\xd7\xc5\xd4'), "SEARCH"), "5",
          "the same in KOI8-R")
    equal(data(c.must('SEARCH CHARSET UTF-8 FROM {4+}\r\n\xc3\xa9va'),
               "SEARCH"), "3", "a small letter finds a capital")
    has(c.do("SEARCH CHARSET NONE-SUCH ALL"),
        r"^a\d+ NO \[BADCHARSET \(.*UTF-8.*\)\]", "BADCHARSET has a list")
    equal(data(c.must("SEARCH SAVEDATESUPPORTED SAVEDSINCE 1-Jan-2020"),
               "SEARCH"), "1 2 3 4 5", "save dates")
    emailid = re.search(r"EMAILID \(([^)]+)\)",
                        c.must("FETCH 2 EMAILID")[0]).group(1)
    threadid = re.search(r"THREADID \(([^)]+)\)",
                         c.must("FETCH 3 THREADID")[0]).group(1)
    equal(data(c.must("SEARCH EMAILID %s" % emailid), "SEARCH"), "2",
          "by EMAILID")
    equal(data(c.must("SEARCH THREADID %s" % threadid), "SEARCH"), "3",
          "by THREADID")
    equal(data(c.must("SEARCH EMAILID M0 SEEN"), "SEARCH"), "", "by none")


def test_sort(c):
    for criteria, want in (("SUBJECT", "2 1 3 4 5"),
                           ("REVERSE SUBJECT", "5 4 1 3 2"),
                           ("SUBJECT REVERSE DATE", "2 1 3 4 5"),
                           ("DATE", "3 2 1 4 5"), ("REVERSE DATE", "5 4 1 2 3"),
                           ("ARRIVAL", "1 2 3 4 5"),
                           ("REVERSE ARRIVAL", "5 4 3 2 1"),
                           ("FROM", "4 5 3 1 2"), ("TO", "3 4 5 2 1"),
                           ("CC", "1 3 4 5 2"),
                           ("DISPLAYFROM", "4 5 2 3 1"),
                           ("DISPLAYTO", "3 4 5 2 1"),
                           ("REVERSE SIZE", None)):
        got = data(c.must("SORT (%s) UTF-8 ALL" % criteria), "SORT")
        if want is None:
            ok(got.split()[0] == "2", "SORT (%s)" % criteria)
        else:
            equal(got, want, "SORT (%s)" % criteria)
    equal(data(c.must('SORT (SUBJECT) US-ASCII TEXT "not in mailbox"'),
               "SORT"), "", "RFC 5256: nothing found")
    equal(data(c.must("UID SORT (REVERSE DATE) UTF-8 2:4"), "SORT"), "4 2 3",
          "UID SORT")
    has(c.do("SORT (SUBJECT) NONE-SUCH ALL"), r"^a\d+ NO \[BADCHARSET",
        "an unknown charset")
    for bad in ("SORT () UTF-8 ALL", "SORT (SUBJECT) UTF-8",
                "SORT SUBJECT UTF-8 ALL", "SORT (NONE) UTF-8 ALL",
                "SORT (SUBJECT)", "THREAD NONE UTF-8 ALL",
                "THREAD REFERENCES", "THREAD REFERENCES UTF-8"):
        has(c.do(bad), r"^a\d+ BAD", bad)
    tag = "a%d" % (c.n + 1)
    equal(c.must("UID SORT RETURN () (REVERSE DATE) UTF-8 UNDELETED "
                 "UNKEYWORD $Junk")[0],
          '* ESEARCH (TAG "%s") UID ALL 5,4,1:3' % tag,
          "RFC 5267: ESORT; ranges ascend only")
    equal(data(c.must("SORT RETURN (MIN MAX COUNT) (REVERSE ARRIVAL) UTF-8 "
                      "ALL"), "ESEARCH").split(" ", 2)[2],
          "MIN 5 MAX 1 COUNT 5", "the lowest is the first")
    equal(data(c.must("SORT RETURN (PARTIAL 2:3) (REVERSE ARRIVAL) UTF-8 ALL"),
               "ESEARCH").split(" ", 2)[2], "PARTIAL (2:3 4,3)",
          "a part of it")


def test_thread(c):
    c.must("CREATE threads")
    for i, fields in enumerate((
            dict(Message_ID="<1@x>", Subject="one"),
            dict(Message_ID="<2@x>", Subject="Re: one", References="<1@x>"),
            dict(Message_ID="<3@x>", Subject="two"),
            dict(Message_ID="<4@x>", Subject="Re: one",
                 In_Reply_To="<2@x>"),
            dict(Message_ID="<5@x>", Subject="Re: two"),
            # more than is kept of a header
            dict(X_Mailer="long" + "\r\n long" * 8000, Message_ID="<6@x>",
                 Subject="three", References="<5@x>"),
            dict(Message_ID="<7@x>", Subject="four",
                 References="<nowhere@x>"),
            dict(Message_ID="<8@x>", Subject="five",
                 References="<nowhere@x>"))):
        c.append("threads", message(i, **fields))
    c.must("SELECT threads")
    equal(data(c.must("THREAD REFERENCES UTF-8 ALL"), "THREAD"),
          "(1 2 4)(3 5 6)((7)(8))", "THREAD REFERENCES")
    equal(data(c.must("THREAD ORDEREDSUBJECT UTF-8 ALL"), "THREAD"),
          "(1 (2)(4))(3 5)(6)(7)(8)", "THREAD ORDEREDSUBJECT")
    equal(data(c.must("UID THREAD REFERENCES US-ASCII 2:5"), "THREAD"),
          "(2 4)(3 5)", "of some: what is not found is not there")
    equal(data(c.must('THREAD REFERENCES US-ASCII TEXT "gewp"'), "THREAD"),
          "", "RFC 5256: nothing found")
    has(c.do("THREAD REFERENCES NONE-SUCH ALL"), r"^a\d+ NO \[BADCHARSET",
        "an unknown charset")


def numbers(lines):
    return " ".join(x.split()[1] for x in lines if " FETCH " in x)


def test_saved(c):
    c.must("SELECT found")
    equal(numbers(c.must("FETCH $ UID")), "", "$ is empty after SELECT")
    lines = c.must("SEARCH RETURN (SAVE) FLAGGED SINCE 1-Feb-1994 NOT FROM "
                   "Smith")
    equal(len(lines), 1, "SAVE alone answers nothing")
    equal(numbers(c.must("FETCH $ (UID)")), "2 3 4 5", "FETCH $")
    equal(numbers(c.must("UID FETCH $ (FLAGS)")), "2 3 4 5", "UID FETCH $")
    equal(numbers(c.must("FETCH 1,$ (UID)")), "1 2 3 4 5", "$ and a number")
    equal(data(c.must("UID SEARCH UID $ SMALLER 4096"), "SEARCH"), "3 4 5",
          "UID SEARCH UID $")
    equal(data(c.must("UID SEARCH $ SMALLER 4096"), "SEARCH"), "3 4 5",
          "UID SEARCH $")
    equal(data(c.must("SEARCH CHARSET UTF-8 (OR $ 1,3000:3021) SUBJECT banana"),
               "SEARCH"), "1 3", "$ in an OR")
    equal(data(c.must("SORT (REVERSE ARRIVAL) UTF-8 $"), "SORT"), "5 4 3 2",
          "SORT of $")
    c.must("CREATE other")
    lines = c.must("COPY $ other")
    has(lines, r"OK \[COPYUID \d+ 2:5 1:4\]", "COPY $")
    c.must("UID STORE $ +FLAGS.SILENT (\\Answered)")
    equal(data(c.must("SEARCH ANSWERED"), "SEARCH"), "2 3 4 5", "STORE $")
    # pipelined
    first = c.begin("SEARCH RETURN (SAVE) SUBJECT cherry")
    second = c.begin("FETCH $ (UID)")
    c.end(first)
    equal(numbers(c.end(second)), "4", "pipelined")
    # RFC 5182 2.4, RFC 9394 3.2
    for options, want in (("SAVE MIN", "1"), ("SAVE MAX", "5"),
                          ("MAX SAVE MIN", "1 5"),
                          ("MAX SAVE MIN COUNT", "1 2 3 4 5"),
                          ("ALL SAVE MIN", "1 2 3 4 5"), ("SAVE", "1 2 3 4 5"),
                          ("SAVE PARTIAL 2:3", "2 3"),
                          ("SAVE PARTIAL 2:3 MIN", "1 2 3"),
                          ("SAVE PARTIAL 2:3 MAX", "2 3 5"),
                          ("SAVE PARTIAL -5:-4 MAX MIN", "1 2 5"),
                          ("SAVE PARTIAL 9:10", ""),
                          ("SAVE PARTIAL 2:3 COUNT MIN", "1 2 3 4 5")):
        c.must("SEARCH RETURN (%s) ALL" % options)
        equal(numbers(c.must("FETCH $ (UID)")), want, "RETURN (%s)" % options)
    c.must("UID SORT RETURN (SAVE PARTIAL 1:2) (REVERSE ARRIVAL) UTF-8 ALL")
    equal(numbers(c.must("FETCH $ (UID)")), "4 5", "a SORT saves, too")
    # what does not change it, and what empties it
    c.must("SEARCH RETURN (ALL) 1")
    c.do("SEARCH RETURN (SAVE) NONSENSE")
    c.do("SEARCH CHARSET NONE-SUCH ALL")
    equal(numbers(c.must("FETCH $ (UID)")), "4 5", "not changed by others")
    has(c.do("SEARCH RETURN (SAVE) CHARSET NONE-SUCH (OR $ 1) TEXT x"),
        r"NO \[BADCHARSET", "a NO...")
    equal(numbers(c.must("FETCH $ (UID)")), "", "...empties it")
    equal(data(c.must("SEARCH NOT $"), "SEARCH"), "1 2 3 4 5",
          "NOT of nothing is all")
    has(c.must("COPY $ other"), r"^a\d+ OK", "COPY of nothing")
    for bad in ("FETCH $:4 UID", "FETCH $4 UID", "FETCH 6,$ UID"):
        has(c.do(bad), r"^a\d+ BAD", bad)


def test_saved_expunge(c):
    c.must("SELECT other")
    c.must("SEARCH RETURN (SAVE) ALL")
    c.must("STORE 2 +FLAGS.SILENT (\\Deleted)")
    d = server.client("joe")
    d.must("SELECT other")
    d.must("EXPUNGE")
    equal(numbers(c.must("FETCH $ (UID)")), "1 3 4",
          "what another expunged is not in it")
    has(c.must("NOOP"), r"^\* 2 EXPUNGE", "the EXPUNGE is heard")
    equal(numbers(c.must("FETCH $ (UID)")), "1 2 3",
          "numbers are those that are now")
    c.must("STORE 1 +FLAGS.SILENT (\\Deleted)")
    c.must("UID EXPUNGE $")
    equal(numbers(c.must("FETCH $ (UID)")), "1 2", "UID EXPUNGE $")
    c.must("MOVE $ found")
    equal(numbers(c.must("FETCH $ (UID)")), "", "moved away")
    c.must("UNSELECT")
    c.must("SELECT found")
    c.must("STORE 6:* +FLAGS.SILENT (\\Deleted)")
    c.must("EXPUNGE")
    d.close()


def test_partial(c):
    c.must("CREATE hundred")
    for i in range(20):
        c.append("hundred", simple("n%d" % i), r"\Seen" if i % 2 else "")
    c.must("SELECT hundred")
    c.must("STORE 5 +FLAGS.SILENT (\\Deleted)")
    c.must("EXPUNGE")

    def partial(options, keys="UNDELETED UNKEYWORD $Junk"):
        return data(c.must("UID SEARCH RETURN (%s) %s" % (options, keys)),
                    "ESEARCH").split(" ", 2)[2]
    equal(partial("PARTIAL -1:-5"), "UID PARTIAL (-1:-5 16:20)",
          "RFC 9394: the last five")
    equal(partial("PARTIAL 15:100"), "UID PARTIAL (15:100 16:20)",
          "over the end")
    equal(partial("PARTIAL 24000:24500"), "UID PARTIAL (24000:24500 NIL)",
          "behind the end")
    equal(partial("COUNT PARTIAL 500:4"),
          "UID COUNT 19 PARTIAL (500:4 4,6:20)", "the other way round")
    has(c.do("SEARCH RETURN (ALL PARTIAL 1:2) ALL"), r"^a\d+ BAD",
        "not with ALL")

    def fetched(text):
        return " ".join(re.search(r"UID (\d+)", x).group(1)
                        for x in c.must(text) if " FETCH " in x)
    equal(fetched("UID FETCH 3:18 (UID FLAGS) (PARTIAL -1:-3)"), "16 17 18",
          "UID FETCH: the last three")
    equal(fetched("UID FETCH 3:18 (UID FLAGS) (PARTIAL 1:5)"), "3 4 6 7 8",
          "UID FETCH: the first five")
    equal(fetched("UID FETCH 1:2,4:6,19:* FLAGS (PARTIAL 3:5)"), "4 6 19",
          "of several ranges")
    equal(fetched("UID FETCH 1:* FLAGS (PARTIAL 20:30)"), "", "none")
    lines = c.must("STATUS hundred (HIGHESTMODSEQ)")
    modseq = re.search(r"HIGHESTMODSEQ (\d+)", lines[0]).group(1)
    c.must("UID STORE 2,17,18 +FLAGS.SILENT (\\Flagged)")
    equal(fetched("UID FETCH 3:18 (UID FLAGS) (PARTIAL -1:-2 CHANGEDSINCE %s)"
                  % modseq), "17 18", "first the part, then what changed")
    equal(fetched("UID FETCH 1:* (UID FLAGS) (CHANGEDSINCE %s PARTIAL 1:5)"
                  % modseq), "2", "in either order")
    c.must("UID SEARCH RETURN (SAVE) SEEN")
    equal(fetched("UID FETCH $ FLAGS (PARTIAL 1:2)"), "2 4", "of $")
    has(c.do("FETCH 1:* FLAGS (PARTIAL 1:2)"), r"^a\d+ BAD",
        "FETCH has no PARTIAL")
    has(c.do("UID FETCH 1:* FLAGS (PARTIAL 0:2)"), r"^a\d+ BAD", "no 0")


def updates(lines, tag):
    """ADDTO and REMOVEFROM of a context, in order."""
    return [m.group(1) for m in
            (re.match(r'\* ESEARCH \(TAG "%s"\) (.*(?:ADDTO|REMOVEFROM).*)'
                      % tag, x) for x in lines) if m]


def test_context(c):
    """RFC 5267's examples."""
    c.must("CREATE ctx")
    for i in range(6):
        c.append("ctx", message(i, Subject="ctx %d" % (9 - i)))
    c.must("SELECT ctx")
    d = server.client("joe")
    d.must("SELECT ctx")
    tag = "a%d" % (c.n + 1)
    lines = c.must("UID SEARCH RETURN (UPDATE COUNT) DELETED KEYWORD $Junk")
    equal(lines[0], '* ESEARCH (TAG "%s") UID COUNT 0' % tag, "a context")
    d.must(r"STORE 2:3 +FLAGS (\Deleted $Junk)")
    lines = c.must("NOOP")
    equal(updates(lines, tag), ["UID ADDTO (0 2:3)"], "ADDTO")
    ok(lines.index([x for x in lines if "ADDTO" in x][0]) >
       lines.index([x for x in lines if "FETCH" in x][0]),
       "behind the FETCH")
    lines = c.must(r"STORE 3 -FLAGS ($Junk)")
    equal(updates(lines, tag), ["UID REMOVEFROM (0 3)"],
          "its own STORE, too")
    d.must("UID EXPUNGE 2")
    lines = c.must("NOOP")
    equal(updates(lines, tag), ["UID REMOVEFROM (0 2)"], "expunged")
    ok("REMOVEFROM" in lines[0] and "EXPUNGE" in lines[1],
       "before the EXPUNGE")
    c.send(("%s SORT RETURN (UPDATE) (DATE) UTF-8 FLAGGED\r\n" %
            tag).encode())
    lines = c.end(tag)
    has(lines, "^%s BAD" % tag, "a tag is used once")
    d.append("ctx", message(7, Subject="new"), r"\Deleted $Junk")
    d.append("ctx", message(8, Subject="new"))
    lines = c.must("NOOP")
    equal(updates(lines, tag), ["UID ADDTO (0 7)"], "a new message")
    ok(lines.index([x for x in lines if "ADDTO" in x][0]) >
       lines.index([x for x in lines if "EXISTS" in x][0]),
       "behind the EXISTS")
    has(c.do('CANCELUPDATE "%s" "none"' % tag), "BAD", "one of two is none")
    d.must(r"UID STORE 4 +FLAGS (\Deleted $Junk)")
    equal(updates(c.must("NOOP"), tag), ["UID ADDTO (0 4)"],
          "then none is cancelled")
    d.must(r"UID STORE 4 -FLAGS ($Junk)")
    equal(updates(c.must("NOOP"), tag), ["UID REMOVEFROM (0 4)"], "as it was")
    has(c.must('CANCELUPDATE "%s" "%s"' % (tag, tag)), "OK No further",
        "CANCELUPDATE, of one twice")
    has(c.do('CANCELUPDATE "%s"' % tag), "BAD", "it is no more")
    has(c.do("CANCELUPDATE"), "BAD", "none is named")
    d.must(r"UID STORE 4 +FLAGS (\Deleted $Junk)")
    equal(updates(c.must("NOOP"), tag), [], "no further updates")
    # By number, and what needs the header or the text
    by_number = "a%d" % (c.n + 1)
    c.must("SEARCH RETURN (UPDATE ALL) TEXT new SUBJECT new UNFLAGGED")
    d.append("ctx", message(8, Subject="new one"))
    d.append("ctx", message(8, Subject="old one"))
    lines = c.must("NOOP")
    equal(updates(lines, by_number), ["ADDTO (0 8)"], "by number, by text")
    d.must(r"UID STORE 9 +FLAGS (\Flagged)")
    d.must(r"UID STORE 1 +FLAGS (\Deleted)")
    d.must("UID EXPUNGE 1")
    lines = c.must("NOOP")
    equal(updates(lines, by_number), ["REMOVEFROM (0 7)"],
          "numbers as they are by then")
    # SORT: places
    c.must("UNSELECT")
    c.must("SELECT ctx")
    order = data(c.must("UID SORT (SUBJECT) UTF-8 ALL"), "SORT").split()
    sort = "a%d" % (c.n + 1)
    lines = c.must("UID SORT RETURN (UPDATE ALL) (SUBJECT) UTF-8 ALL")
    d.append("ctx", message(8, Subject="ctx 7a"))
    d.append("ctx", message(8, Subject="ctx 7"))
    d.append("ctx", message(8, Subject="zzz"))
    d.must("UID STORE 5,7 +FLAGS.SILENT (\\Deleted)")
    d.must("UID EXPUNGE 5,7")
    for line in updates(c.must("NOOP"), sort):
        order = replay(order, line)
    equal(order, data(c.must("UID SORT (SUBJECT) UTF-8 ALL"), "SORT").split(),
          "a client that does as it is told has the result")
    # IDLE
    t = c.begin("IDLE")
    ok(c.line().startswith("+"), "idling")
    d.append("ctx", message(8, Subject="aaa"))
    lines = []
    while not updates(lines, sort):
        lines.append(c.line())
    ok(updates(lines, sort)[0].startswith("UID ADDTO (1 "), "told in IDLE")
    c.send(b"DONE\r\n")
    c.end(t)
    # limits: sixteen, and another is refused
    for i in range(15):
        lines = c.must("UID SEARCH RETURN (UPDATE COUNT) ALL")
        hasnt(lines, "NOUPDATE", "one more context")
    refused = "a%d" % (c.n + 1)
    lines = c.must("UID SEARCH RETURN (UPDATE COUNT) ALL")
    equal(lines[1], '* NO [NOUPDATE "%s"] Too many contexts' % refused,
          "too many")
    has(lines, "ESEARCH .* COUNT", "but it is answered")
    c.must("UNSELECT")
    c.must("SELECT ctx")
    c.must("UID SEARCH RETURN (UPDATE COUNT) ALL")
    d.must("CLOSE")
    d.close()


def test_multisearch(c):
    """RFC 7377: who has lost what, and where."""
    for name in ("folder1", "folder2", "folder2/banana", "folder2/peach",
                 "folder2/peach/stone", "folder22", "folder3"):
        c.must("CREATE %s" % name)
        c.append(name, message(1, Subject="chad of " + name))
        c.append(name, message(2, Subject="seen"), r"\Seen")
    c.append("folder1", message(3, Subject="chad again"))
    validity = {}
    for name in ("folder1", "folder2/peach"):
        validity[name] = re.search(r"UIDVALIDITY (\d+)", c.must(
            "STATUS %s (UIDVALIDITY)" % name)[0]).group(1)

    def found(text, state=c):
        """{mailbox: what is said of it}"""
        tag = "a%d" % (state.n + 1)
        lines = state.must("ESEARCH " + text)
        got = {}
        for x in lines[:-1]:
            m = re.match(r'\* ESEARCH \(TAG "%s" MAILBOX (\S+|"[^"]*") '
                         r"UIDVALIDITY (\d+)\) UID (.*)$" % tag, x)
            if m:
                name = m.group(1).strip('"')
                ok(name not in got, "one response for %s" % name)
                got[name] = m.group(3)
                if name in validity:
                    ok(validity[name] == m.group(2), "its UIDVALIDITY")
            elif "ESEARCH" in x:
                ok(False, "well formed: " + x)
        return got
    equal(found('IN (mailboxes "folder1" subtree "folder2") unseen'),
          {"folder1": "ALL 1,3", "folder2": "ALL 1", "folder2/banana": "ALL 1",
           "folder2/peach": "ALL 1", "folder2/peach/stone": "ALL 1"},
          "RFC 7377: mailboxes and subtree")
    equal(found('IN (mailboxes "folder1" subtree-one "folder2") subject '
                '"chad"'),
          {"folder1": "ALL 1,3", "folder2": "ALL 1", "folder2/banana": "ALL 1",
           "folder2/peach": "ALL 1"}, "subtree-one")
    equal(found('IN (mailboxes (folder1 folder1 nowhere "not/here") subtree '
                'folder1) RETURN (COUNT MIN MAX) ALL'),
          {"folder1": "MIN 1 MAX 3 COUNT 3"},
          "what is not there is ignored, what is named twice is there once")
    equal(found("IN (personal) RETURN (COUNT) SUBJECT again"),
          {"folder1": "COUNT 1"}, "personal; no COUNT 0")
    equal(found("IN (mailboxes (folder1 folder2)) RETURN (PARTIAL -1:-1) 1:2"),
          {"folder1": "PARTIAL (-1:-1 2)", "folder2": "PARTIAL (-1:-1 2)"},
          "PARTIAL, and numbers of each mailbox")
    equal(found("IN (inboxes) SUBJECT \"of folder22\""), {"folder22": "ALL 1"},
          "inboxes")
    c.must("SUBSCRIBE folder3")
    equal(found("IN (subscribed) UNSEEN"), {"folder3": "ALL 1"}, "subscribed")
    equal(found("IN (mailboxes folder1) CHARSET UTF-8 SUBJECT {4+}\r\nchad"),
          {"folder1": "ALL 1,3"}, "a charset")
    for bad in ("ALL", "IN (selected) ALL", "IN () ALL", "IN (mailboxes) ALL",
                "IN (selected-delayed) ALL", "IN (personal (x y)) ALL",
                "IN (personal) RETURN (SAVE) ALL",
                "IN (personal) RETURN (UPDATE) ALL", "IN (personal)",
                "IN (nonsense) ALL"):
        has(c.do("ESEARCH " + bad), r"^a\d+ BAD", "ESEARCH " + bad)
    has(c.do("ESEARCH IN (personal) CHARSET NONE-SUCH ALL"),
        r"NO \[BADCHARSET", "an unknown charset")
    # with one selected
    c.must("SELECT folder1")
    equal(found("SUBJECT chad"), {"folder1": "ALL 1,3"},
          "the selected one, if nothing is said")
    equal(found("IN (selected mailboxes folder2) RETURN (MIN) UNSEEN"),
          {"folder1": "MIN 1", "folder2": "MIN 1"}, "and another")
    equal(found("RETURN (SAVE COUNT) SUBJECT chad"), {"folder1": "COUNT 2"},
          "SAVE")
    equal(numbers(c.must("FETCH $ (UID)")), "1 3", "is saved")
    has(c.do("ESEARCH IN (selected mailboxes folder2) RETURN (SAVE) ALL"),
        r"^a\d+ BAD", "SAVE of two mailboxes")
    tag = "a%d" % (c.n + 1)
    equal(found("IN (selected mailboxes folder2) RETURN (UPDATE COUNT) "
                "FLAGGED"), {}, "UPDATE")
    d = server.client("joe")
    d.must("SELECT folder1")
    d.must("STORE 1 +FLAGS (\\Flagged)")
    equal(updates(c.must("NOOP"), tag), ["UID ADDTO (0 1)"],
          "of the selected one")
    has(c.must("ESEARCH IN (mailboxes folder2) RETURN (UPDATE) ALL"),
        r"^\* NO \[NOUPDATE", "of another: refused")
    c.must("UNSELECT")
    d.close()
    # rights: l and r, r alone, l alone
    for name, rights in (("folder1", "lr"), ("folder2", "lr"),
                         ("folder2/banana", "r"), ("folder2/peach", "l")):
        c.must("SETACL %s ann %s" % (name, rights))
    ann = server.client("ann")
    other = "Other Users/joe/"
    equal(found('IN (subtree "%sfolder2") ALL' % other, ann),
          {other + "folder2": "ALL 1:2"}, "a tree: l and r are needed")
    equal(found('IN (mailboxes ("%sfolder2/banana" "%sfolder2/peach")) UNSEEN'
                % (other, other), ann), {other + "folder2/banana": "ALL 1:2"},
          "named: r is enough; \\Seen is her own")
    equal(found("IN (personal) ALL", ann), {}, "not hers")
    ann.close()


def replay(order, line):
    what, pairs = re.match(r"UID (ADDTO|REMOVEFROM) \((.*)\)", line).groups()
    words = pairs.split()
    for place, numbers in zip(words[::2], words[1::2]):
        uids = []
        for part in numbers.split(","):
            first, _, last = part.partition(":")
            uids += [str(n) for n in range(int(first), int(last or first) + 1)]
        at = int(place) - 1
        if what == "ADDTO":
            order = order[:at] + uids + order[at:]
        else:
            ok(order[at:at + len(uids)] == uids, "REMOVEFROM what is there")
            order = order[:at] + order[at + len(uids):]
    return order


def test_context_random(c):
    """Contexts of every kind agree with a new search, whatever happens."""
    import random
    rnd = random.Random(int(os.environ.get("SEED", "1")))
    c.must("CREATE chaos")
    d = server.client("joe")
    for i in range(40):
        d.append("chaos", message(i, Subject="s %d" % rnd.randrange(9)))
    c.must("SELECT chaos")
    d.must("SELECT chaos")
    programs = [("SORT (REVERSE SUBJECT)", "UNFLAGGED"),
                ("SORT (DATE)", "SUBJECT 3"), ("SEARCH", "UNFLAGGED"),
                ("SEARCH", "OR FLAGGED TEXT \"s 5\""),
                ("SORT (SIZE)", "NOT DELETED")]
    contexts = {}
    for what, keys in programs:
        command, _, criteria = what.partition(" ")
        charset = "UTF-8 " if criteria else ""
        tag = "a%d" % (c.n + 1)
        rest = (criteria + " " + charset + keys).strip()
        lines = c.must("UID %s RETURN (UPDATE ALL) %s" % (command, rest))
        full = "UID %s %s" % (command, rest)
        m = re.search(r" ALL (\S+)", lines[0])
        order = replay([], "UID ADDTO (1 %s)" % m.group(1)) if m else []
        contexts[tag] = [full, order, command]
    good = True
    for step in range(60):
        for k in range(rnd.randrange(4)):
            what = rnd.randrange(5)
            low, high = sorted(rnd.randrange(1, 120) for _ in range(2))
            who = rnd.choice((c, d))
            if what == 0:
                lines = d.append("chaos", message(step % 60, Subject="s %d" %
                                                  rnd.randrange(9)))
            elif what == 1:
                lines = who.must("UID STORE %d:%d +FLAGS (\\Flagged)" %
                                 (low, high))
            elif what == 2:
                lines = who.must("UID STORE %d:%d -FLAGS (\\Flagged)" %
                                 (low, high))
            elif what == 3:
                lines = who.must("UID STORE %d +FLAGS (\\Deleted)" % low)
            else:
                lines = who.must("EXPUNGE")
            if who is c or what == 0:
                follow(contexts, lines if who is c and what else [])
        follow(contexts, c.must("NOOP"))
        for full, order, command in contexts.values():
            lines = c.must(full)
            want = data(lines, command).split()
            follow(contexts, lines)
            good &= want == order
            if want != order:
                print("# %s\n#  has %s\n# want %s" % (full, order, want))
                break
    ok(good, "what the updates make is what a search finds")
    c.must("CLOSE")
    d.close()


def follow(contexts, lines):
    for tag, context in contexts.items():
        for line in updates(lines, tag):
            if context[2] == "SORT":
                context[1] = replay(context[1], line)
                continue
            what = replay([], re.sub(r"REMOVEFROM|ADDTO", "ADDTO",
                                     line).replace("(0 ", "(1 "))
            now = set(context[1])
            now = now | set(what) if "ADDTO" in line else now - set(what)
            context[1] = sorted(now, key=int)


def test_progress(c):
    """RFC 9585: while it lasts, and not after it."""
    c.must("CREATE many")
    octets = simple("many", "word " * 20000)
    for i in range(150):
        c.append("many", octets)
    c.must("SELECT many")
    lines = c.must("SEARCH BODY nowhere")
    seen = [re.match(r'\* OK \[INPROGRESS \("(a\d+)" (\d+) (\d+)\)\] \S', x)
            for x in lines]
    seen = [m for m in seen if m]
    ok(seen, "progress is told (%d times)" % len(seen))
    ok(all(int(m.group(2)) < int(m.group(3)) == 150 for m in seen),
       "and how far it is")
    ok("INPROGRESS" not in lines[-1], "not in the tagged reply")
    # A search that takes long holds up nobody.
    tag = c.begin("SEARCH BODY nowhere")
    d = server.client("ann")
    began = time.monotonic()
    for i in range(5):
        d.must("NOOP")
    took = time.monotonic() - began
    c.end(tag)
    ok(took < 30, "another session is answered (%.3f s)" % took)
    d.close()
    # One whose client is gone ends.
    d = server.client("joe")
    d.must("SELECT many")
    d.begin("SEARCH BODY nowhere")
    d.close()


def test_places(_):
    """More to read than there is room for at once: nothing is left out."""
    c = server.client("joe")
    c.must("CREATE texts")
    for i in range(200):
        c.append("texts", simple("text", "word"))
    c.must("SELECT texts")
    clients = [server.client("joe") for i in range(4)]
    for d in clients:
        d.must("SELECT texts")
    for n in (64, 65, 128, 129, 200):
        command = "SEARCH RETURN (COUNT) 1:%d BODY word" % n
        has(c.must(command), "COUNT %d$" % n, "all of %d are read" % n)
        tags = [d.begin(command) for d in clients]
        for d, tag in zip(clients, tags):
            has(d.end(tag), "COUNT %d$" % n, "of many searches, too")
    # One that is called off lets who waits behind it have its place.
    d = clients[0]
    d.must("SEARCH RETURN (UPDATE) BODY nowhere")
    c.append("texts", simple("text", "word"))
    tags = [d.begin("SEARCH BODY nowhere") for d in clients[1:]]
    d.begin("NOOP")
    d.close()
    for d, tag in zip(clients[1:], tags):
        ok(" OK" in d.end(tag)[-1], "it ends")
        d.close()
    c.close()


def test_context_gone(_):
    """What is expunged while a context looks at it is not added."""
    c = server.client("joe")
    d = server.client("joe")
    c.must("CREATE gone")
    c.append("gone", simple("first", "nothing"))
    c.must("SELECT gone")
    d.must("SELECT gone")
    tag = "a%d" % (c.n + 1)
    c.must("UID SEARCH RETURN (UPDATE) BODY word")
    d.append("gone", simple("second", "some " * 3000000 + "word"),
             "\\Deleted")
    looks = c.begin("FETCH 1 FLAGS")
    d.must("EXPUNGE")
    lines = c.end(looks) + c.must("NOOP")
    told = updates(lines, tag)
    equal(["ADDTO" in x for x in told], [True, False] if told else [],
          "what is added is removed when it is expunged")
    c.close()
    d.close()


def test_damaged(_):
    """An octet of the index is wrong, in a part that is not yet checked."""
    index = max((os.path.join(d, "index") for d, _, names in
                 os.walk(server.path("spool", "m")) if "index" in names),
                key=os.path.getsize)
    server.stop()
    server.start()
    for command in ("SEARCH FLAGGED", "UID SORT (SUBJECT) UTF-8 ALL",
                    "THREAD REFERENCES UTF-8 ALL"):
        d = server.client("joe")
        d.must("SELECT many")
        with open(index, "r+b") as f:
            f.seek(9000)
            f.write(b"\xff\xff\xff")
        has(d.do(command), r"^a\d+ NO \[CORRUPTION\]",
            "%s of a damaged index finds nothing" % command.split(" ")[0])
        has([d.line()], r"^\* BYE", "and who has it selected is sent away")
        d.close()
    d = server.client("joe")
    d.must("SELECT many")
    hasnt(d.must("SEARCH ALL"), r"^\* SEARCH$", "then it is repaired")
    d.close()


def with_server(conf, tests):
    global server
    with Backend(users=["joe", "ann"], conf=conf) as server:
        client = server.client("joe")
        for test in tests:
            test(client)


if __name__ == "__main__":
    with_server([], (test_capability, fill, test_search, test_sort,
                     test_thread, test_saved, test_saved_expunge,
                     test_partial, test_context, test_context_random,
                     test_multisearch))
    with_server(["progress_interval = 1ms", "job_threads = 2"],
                (test_progress, test_damaged, test_places,
                 test_context_gone))
    plan()
