#!/usr/bin/env python3
"""What ENABLE and UNAUTHENTICATE change: IMAP4rev2 (RFC 9051 appendix E),
UTF8=ACCEPT (RFC 6855), UIDONLY (RFC 9586), RFC 8437."""
import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "lib"))
from backend import Backend  # noqa: E402
from imap import has, hasnt, plan, run, simple  # noqa: E402

UTF8 = "~peter/mail/台北/日本語".encode()
UTF7 = "~peter/mail/&U,BTFw-/&ZeVnLIqe-"


def client(*enable):
    c = server.client("joe")
    if enable:
        r = c.must("ENABLE " + " ".join(enable))
        for word in enable:
            has(r[:1], r"^\* ENABLED .*\b%s\b" % word, "ENABLE " + word)
    return c


def raw(text):
    """As a line of Client has it."""
    return text.decode("latin1")


def test_enable():
    c = server.client("joe")
    has(c.must("ENABLE NONSENSE"), r"^\* ENABLED$", "what is not known")
    has(c.do("ENABLE"), r"^a\d+ BAD", "ENABLE needs a word")
    has(c.must("ENABLE condstore x"), r"^\* ENABLED CONDSTORE$", "in any case")
    c.must("SELECT INBOX")
    has(c.do("ENABLE QRESYNC"), r"^a\d+ BAD", "not with a mailbox selected")
    c.close()


def test_rev2():
    c, d = client("IMAP4rev2"), client()
    for word in ("IMAP4rev1", "IMAP4rev2", "UTF8=ACCEPT"):
        has(c.must("CAPABILITY"), " %s( |$)" % word, word + " is offered")
    has([server.client().greeting], " IMAP4rev1 IMAP4rev2 ",
        "both before login")
    d.must("CREATE box")
    d.must("CREATE box/below")
    d.append("box", simple("one"))
    r = c.must("SELECT box")
    has(r, r'^\* LIST \(\\HasChildren\) "/" box$', "SELECT says LIST")
    hasnt(r, "RECENT|UNSEEN", "and neither RECENT nor UNSEEN")
    hasnt(d.must("EXAMINE box"), r"^\* LIST", "IMAP4rev1 has no LIST there")
    r = c.must("SELECT box/below")
    has(r, r"^\* OK \[CLOSED\]", "CLOSED")
    has(r, r'^\* LIST \(\\HasNoChildren\) "/" box/below$', "its LIST")
    c.must("SELECT box")
    r = c.must("SEARCH ALL")
    has(r, r'^\* ESEARCH \(TAG "a\d+"\) ALL 1$', "SEARCH answers ESEARCH")
    hasnt(r, r"^\* SEARCH", "and not SEARCH")
    has(c.must("UID SEARCH FLAGGED"), r'^\* ESEARCH \(TAG "a\d+"\) UID$',
        "also if nothing is found")
    has(c.must("UID SEARCH RETURN (COUNT) ALL"), "COUNT 1", "RETURN is heard")
    has(d.must("SEARCH ALL"), r"^\* SEARCH 1$", "IMAP4rev1 has SEARCH")
    d.append("box", simple("two"))
    r = c.must("NOOP")
    has(r, r"^\* 2 EXISTS$", "news: EXISTS")
    hasnt(r, "RECENT", "and no RECENT")
    hasnt(c.must("FETCH 1:* FLAGS"), "Recent", r"and no \Recent")
    d.must(r"SELECT box")
    d.must(r"STORE 1 +FLAGS (\Deleted)")
    has(c.must("NOOP"), r"^\* 1 FETCH \(UID 1 FLAGS", "changes have the UID")
    has(c.must("STATUS box (MESSAGES DELETED SIZE)"),
        r"^\* STATUS box \(MESSAGES 2 DELETED 1 SIZE \d+\)$",
        "STATUS DELETED and SIZE")
    c.must("CHECK")
    has(c.must('LSUB "" *')[-1:], " OK", "LSUB and CHECK still are there")
    c.close()
    d.close()


def test_utf8(how):
    c, d = client(how), client()
    quoted = b'"' + UTF8 + b'"'
    has(c.must(b"CREATE " + quoted), " OK", "a name in UTF-8")
    has(d.must('LIST "" ~*'), r'"%s"$|%s$' % (UTF7, UTF7), "is UTF-7 to others")
    has(c.must('LIST "" ~*'), raw(quoted) + "$", "UTF-8 in LIST")
    has(c.must(b'LIST "" "' + UTF8[:-3] + b'%"'), raw(quoted) + "$",
        "in patterns")
    has(c.must(b"STATUS " + quoted + b" (MESSAGES)"),
        r"^\* STATUS " + raw(quoted), "in STATUS")
    has(c.must(b"MYRIGHTS " + quoted), raw(quoted), "in MYRIGHTS")
    c.must(b"SUBSCRIBE " + quoted)
    has(c.must('LSUB "" *'), raw(quoted) + "$", "in LSUB")
    has(c.do(b"STATUS {%d+}\r\n%s (MESSAGES)" % (len(UTF8), UTF8)),
        r"^\* STATUS " + raw(quoted), "in a literal")
    c.must(b"SELECT " + quoted)
    c.must("UID SORT (DATE) UTF-8 ALL")
    has(c.do("UID SEARCH CHARSET UTF-8 ALL"),
        r"^a\d+ BAD" if how == "UTF8=ACCEPT" else r"^a\d+ OK",
        "SEARCH CHARSET")
    c.must(b"UNSELECT")
    c.must(b'RENAME %s "A&B \xc3\xbc"' % quoted)
    has(d.must('LIST "" A*'), r'"A&-B &APw-"$', '"&" is itself')
    has(c.do(b'CREATE "\xff\xfe"'), r"^a\d+ BAD", "what is not UTF-8 is BAD")
    has(c.do(b'CREATE {2+}\r\n\xff\xfe'), r"^a\d+ NO", "a literal is NO")
    has(c.do('CREATE "a\u2028b"'.encode()), r"^a\d+ NO", "line separators")
    has(c.do('CREATE "a\u0085b"'.encode()), r"^a\d+ NO", "and controls: NO")
    has(d.must(b'STATUS "A&-B &APw-" (MESSAGES)'), r"^\* STATUS",
        "others still say UTF-7")
    c.must(b'DELETE "A&B \xc3\xbc"')
    c.close()
    d.close()


def test_uidonly():
    c, d = client("UIDONLY"), client()
    has(d.must("CAPABILITY"), r" UIDONLY( |$)", "UIDONLY is offered")
    d.must("CREATE uids")
    for n in range(6):
        d.append("uids", simple("m%d" % n))
    d.must("SELECT uids")
    d.must(r"STORE 2 +FLAGS (\Deleted)")
    d.must("EXPUNGE")
    r = c.must("SELECT uids")
    has(r, r"^\* 5 EXISTS$", "EXISTS is said")
    hasnt(r, "UNSEEN", "UNSEEN is not")
    for command in ("FETCH 1 FLAGS", r"STORE 1 +FLAGS (\Seen)", "COPY 1 INBOX",
                    "MOVE 1 INBOX", "REPLACE 1 uids {6+}\r\nA: b\r\n",
                    "SEARCH ALL", "UID SEARCH 1:2",
                    "UID SEARCH OR SEEN NOT 2"):
        has(c.do(command), r"^a\d+ BAD \[UIDREQUIRED\]", "not " + command)
    has(c.must("UID FETCH 3:4 FLAGS"), r"^\* 3 UIDFETCH \(FLAGS \(.*\)\)$",
        "UID FETCH is UIDFETCH, the UID not said twice")
    has(c.must("UID FETCH 3 (UID FLAGS)"), r"^\* 3 UIDFETCH \(.*UID 3",
        "unless asked for")
    r = c.must(r"UID STORE 3 +FLAGS (\Seen)")
    has(r, r"^\* 3 UIDFETCH \(FLAGS \(.*\\Seen.*\)\)$", "UID STORE too")
    hasnt(r, r" FETCH ", "and not FETCH")
    has(c.must("UID SEARCH SEEN"), r"^\* SEARCH 3$", "UID SEARCH")
    has(c.must("UID SEARCH UID 3:4"), r"^\* SEARCH 3 4$", "of UIDs")
    d.must(r"UID STORE 4,6 +FLAGS (\Deleted)")
    has(c.must("NOOP"), r"^\* 4 UIDFETCH \(FLAGS \(.*\\Deleted\)\)$",
        "others' changes")
    d.must("EXPUNGE")
    r = c.must("NOOP")
    has(r, r"^\* VANISHED 4,6$", "others' expunges")
    hasnt(r, "EXPUNGE|HIGHESTMODSEQ", "without QRESYNC's MODSEQ")
    c.must(r"UID STORE 5 +FLAGS.SILENT (\Deleted)")
    has(c.must("EXPUNGE"), r"^\* VANISHED 5$", "one's own")
    has(c.must("UID COPY 1 uids"), r"COPYUID", "UID COPY")
    has(c.must("NOOP"), r"^\* 3 EXISTS$|OK", "EXISTS")
    c.must("UNSELECT")
    c.must("ENABLE QRESYNC")
    has(c.do("SELECT uids (QRESYNC (1 1 1:3 (1 1)))"),
        r"^a\d+ BAD \[UIDREQUIRED\]", "no numbers in QRESYNC")
    c.must("SELECT uids (QRESYNC (1 1 1:3))")
    c.close()
    d.close()


def test_unauthenticate():
    c = client("QRESYNC", "IMAP4rev2", "UIDONLY")
    has(c.must("CAPABILITY"), " UNAUTHENTICATE( |$)", "it is offered")
    c.must("SELECT INBOX")
    has(c.do("UNAUTHENTICATE x"), r"^a\d+ BAD", "it has no arguments")
    r = c.must("UNAUTHENTICATE")
    hasnt(r, "CLOSED|EXPUNGE|VANISHED", "nothing else is said")
    has(c.do("SELECT INBOX"), r"^a\d+ BAD", "then nobody is logged in")
    has(c.do("UNAUTHENTICATE"), r"^a\d+ BAD", "nor can log out again")
    has(c.must("CAPABILITY"), r"AUTH=", "AUTH= is offered again")
    c.must("LOGIN ann password")
    hasnt(c.do("CREATE mine"), r"^a\d+ BAD", "another user")
    r = c.must("SELECT INBOX")
    has(r, r"^\* \d+ RECENT", "IMAP4rev2 is off")
    hasnt(r, r"^\* LIST", "and its LIST")
    c.append("INBOX", simple("x"))
    c.must("NOOP")
    has(c.must("FETCH 1 FLAGS"), r"^\* 1 FETCH \(FLAGS", "UIDONLY is off")
    c.must(r"STORE 1 +FLAGS (\Deleted)")
    has(c.must("EXPUNGE"), r"^\* 1 EXPUNGE$", "QRESYNC is off")
    # RFC 8437 3: it may be pipelined with the next AUTHENTICATE.
    c.send(b"x UNAUTHENTICATE\r\ny AUTHENTICATE PLAIN "
           b"AGpvZQBwYXNzd29yZA==\r\n")
    r = c.end("x") + c.end("y")
    has(r, "^y OK", "pipelined with AUTHENTICATE")
    has(c.must('LIST "" box'), r"box$", "and joe is back")
    c.close()


server = Backend(users=["joe", "ann"])
with server:
    run([test_enable, test_rev2, lambda: test_utf8("UTF8=ACCEPT"),
         lambda: test_utf8("IMAP4rev2"), test_uidonly, test_unauthenticate])
plan()
