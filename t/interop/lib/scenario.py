"""What a client says in t/interop/transcripts.t, and how answers compare.

STEPS is one long conversation: (name, command).  %MESSAGE% is a literal.
"""
import datetime
import re

from wire import parse

MESSAGES = {
    "plain": b"From: Fred Foobar <foobar@example.org>\r\n"
             b"To: joe@example.com, \"B, C\" <bc@example.com>\r\n"
             b"Subject: afternoon meeting\r\n"
             b"Date: Mon, 7 Feb 1994 21:52:25 -0800\r\n"
             b"Message-ID: <B27397@example.org>\r\n"
             b"\r\nHello Joe, do you think we can meet at 3:30 tomorrow?\r\n",
    "reply": b"From: joe@example.com\r\nTo: foobar@example.org\r\n"
             b"Subject: Re: afternoon meeting\r\n"
             b"Date: Mon, 7 Feb 1994 22:52:25 -0800\r\n"
             b"In-Reply-To: <B27397@example.org>\r\n"
             b"References: <B27397@example.org>\r\n"
             b"Message-ID: <reply@example.com>\r\n\r\nYes.\r\n",
    "parts": b"From: x@example.org\r\nSubject: =?iso-8859-1?q?gr=FC=DFe?=\r\n"
             b"Date: Tue, 8 Feb 1994 10:00:00 +0100\r\n"
             b"Message-ID: <parts@example.org>\r\nMIME-Version: 1.0\r\n"
             b"Content-Type: multipart/mixed; boundary=\"b1\"\r\n\r\n"
             b"preamble\r\n--b1\r\nContent-Type: text/plain; charset=utf-8\r\n"
             b"Content-Transfer-Encoding: quoted-printable\r\n\r\n"
             b"gr=C3=BC=C3=9Fe\r\n--b1\r\nContent-Type: message/rfc822\r\n\r\n"
             b"Subject: inner\r\nFrom: y@example.org\r\n\r\ninside\r\n"
             b"--b1\r\nContent-Type: image/png; name=\"a.png\"\r\n"
             b"Content-Disposition: attachment; filename=\"a.png\"\r\n"
             b"Content-Transfer-Encoding: base64\r\n\r\niVBORw0KGgo=\r\n"
             b"--b1--\r\nepilogue\r\n",
    "bare": b"Subject: nothing else\r\n\r\n",
}

STEPS = [
    # Names
    ("create", "CREATE Work"),
    ("create again", "CREATE Work"),
    ("create below", "CREATE Work/Old/Older"),
    ("create plain", "CREATE Plain"),
    ("create with the separator", "CREATE Slash/"),
    ("create inbox", "CREATE INBOX"),
    ("create utf-7", "CREATE Entw&APw-rfe"),
    ("create bad utf-7", "CREATE bad&name"),
    ("create nothing", 'CREATE ""'),
    ("list all", 'LIST "" "*"'),
    ("list top", 'LIST "" "%"'),
    ("list below", 'LIST "Work/" "%"'),
    ("list separator", 'LIST "" ""'),
    ("list none", 'LIST "" "nothere"'),
    ("list inbox", 'LIST "" inbox'),
    ("list two", 'LIST "" ("INBOX" "Work/%") RETURN (CHILDREN)'),
    ("subscribe", "SUBSCRIBE Work"),
    ("subscribe below", "SUBSCRIBE Work/Old/Older"),
    ("subscribe none", "SUBSCRIBE nothere"),
    ("lsub", 'LSUB "" "*"'),
    ("lsub top", 'LSUB "" "%"'),
    ("list subscribed", 'LIST (SUBSCRIBED) "" "*"'),
    ("list return subscribed", 'LIST "" "Work*" RETURN (SUBSCRIBED)'),
    ("list recursive", 'LIST (SUBSCRIBED RECURSIVEMATCH) "" "%"'),
    ("unsubscribe", "UNSUBSCRIBE Work/Old/Older"),
    ("unsubscribe none", "UNSUBSCRIBE neverwas"),
    ("status", "STATUS Work (MESSAGES UIDNEXT UNSEEN RECENT)"),
    ("status none", "STATUS nothere (MESSAGES)"),
    ("status bad item", "STATUS Work (BOGUS)"),
    ("status no items", "STATUS Work ()"),
    # Messages
    ("append", 'APPEND Work (\\Seen $Label1) "17-Jul-1996 02:44:25 -0700" '
               "%plain%"),
    ("append reply", "APPEND Work %reply%"),
    ("append parts", "APPEND Work (\\Flagged) %parts%"),
    ("append bare", "APPEND Work %bare%"),
    ("append none", "APPEND nothere %bare%"),
    ("append bad flag", "APPEND Work (\\Bogus) %bare%"),
    ("append recent", "APPEND Work (\\Recent) %bare%"),
    ("append bad date", 'APPEND Work "99-Foo-1996 02:44:25 -0700" %bare%'),
    ("list status", 'LIST "" "Work" RETURN (STATUS (MESSAGES UNSEEN))'),
    ("fetch unselected", "FETCH 1 FLAGS"),
    ("select none", "SELECT nothere"),
    ("select", "SELECT Work"),
    # FETCH
    ("fetch flags", "FETCH 1:4 (UID FLAGS)"),
    ("fetch date", "FETCH 1 INTERNALDATE"),
    ("fetch size", "FETCH 1:* RFC822.SIZE"),
    ("fetch envelope", "FETCH 1:4 ENVELOPE"),
    ("fetch body", "FETCH 1:4 BODY"),
    ("fetch bodystructure", "FETCH 3 BODYSTRUCTURE"),
    ("fetch fast", "FETCH 2 FAST"),
    ("fetch all", "FETCH 2 ALL"),
    ("fetch full", "FETCH 2 FULL"),
    ("fetch header", "FETCH 1 BODY.PEEK[HEADER]"),
    ("fetch fields", "FETCH 1 BODY.PEEK[HEADER.FIELDS (Subject FROM x)]"),
    ("fetch fields not",
     "FETCH 1 BODY.PEEK[HEADER.FIELDS.NOT (Subject From To)]"),
    ("fetch text", "FETCH 1 BODY.PEEK[TEXT]"),
    ("fetch 1", "FETCH 3 BODY.PEEK[1]"),
    ("fetch 1.mime", "FETCH 3 BODY.PEEK[1.MIME]"),
    ("fetch 2", "FETCH 3 BODY.PEEK[2]"),
    ("fetch 2.header", "FETCH 3 BODY.PEEK[2.HEADER]"),
    ("fetch 2.text", "FETCH 3 BODY.PEEK[2.TEXT]"),
    ("fetch 2.1", "FETCH 3 BODY.PEEK[2.1]"),
    ("fetch 3", "FETCH 3 BODY.PEEK[3]"),
    ("fetch 4", "FETCH 3 BODY.PEEK[4]"),
    ("fetch 1 of plain", "FETCH 1 BODY.PEEK[1]"),
    ("fetch 2 of plain", "FETCH 1 BODY.PEEK[2]"),
    ("fetch partial", "FETCH 1 BODY.PEEK[TEXT]<6.3>"),
    ("fetch partial beyond", "FETCH 1 BODY.PEEK[TEXT]<1000.3>"),
    ("fetch partial none", "FETCH 1 BODY.PEEK[TEXT]<0.0>"),
    ("fetch rfc822.header", "FETCH 4 RFC822.HEADER"),
    ("fetch sets seen", "FETCH 2 BODY[TEXT]"),
    ("fetch binary", "FETCH 3 BINARY.PEEK[1]"),
    ("fetch binary 3", "FETCH 3 BINARY.PEEK[3]"),
    ("fetch binary size", "FETCH 3 BINARY.SIZE[3]"),
    ("fetch beyond", "FETCH 99 FLAGS"),
    ("fetch zero", "FETCH 0 FLAGS"),
    ("fetch bad item", "FETCH 1 BOGUS"),
    ("fetch bad section", "FETCH 1 BODY[1.BOGUS]"),
    ("uid fetch", "UID FETCH 2:3 (FLAGS)"),
    ("uid fetch none", "UID FETCH 999 (FLAGS)"),
    ("uid fetch star", "UID FETCH 999:* (FLAGS)"),
    # STORE
    ("store", "STORE 1 +FLAGS (\\Answered)"),
    ("store silent", "STORE 1 -FLAGS.SILENT (\\Answered)"),
    ("store set", "STORE 4 FLAGS (\\Draft $MDNSent custom)"),
    ("store nothing", "STORE 4 FLAGS ()"),
    ("store recent", "STORE 4 +FLAGS (\\Recent)"),
    ("store bad flag", "STORE 4 +FLAGS (\\Bogus)"),
    ("store beyond", "STORE 99 +FLAGS (\\Seen)"),
    ("uid store", "UID STORE 4 +FLAGS (\\Flagged)"),
    ("uid store none", "UID STORE 999 +FLAGS (\\Flagged)"),
    # SEARCH
    ("search all", "SEARCH ALL"),
    ("search flagged", "SEARCH FLAGGED UNSEEN"),
    ("search keyword", "SEARCH KEYWORD $Label1"),
    ("search unkeyword", "SEARCH UNKEYWORD nosuch"),
    ("search or", "SEARCH OR SUBJECT meeting SUBJECT inner"),
    ("search not", "SEARCH NOT (SEEN) NOT FLAGGED"),
    ("search from", 'SEARCH FROM "FRED FOO"'),
    ("search header", 'SEARCH HEADER Message-ID ""'),
    ("search header none", 'SEARCH HEADER X-None ""'),
    ("search body", "SEARCH BODY joe"),
    ("search text", "SEARCH TEXT inside"),
    ("search utf-8", b"SEARCH CHARSET UTF-8 SUBJECT {6+}\r\ngr\xc3\xbc\xc3\x9f"),
    ("search utf-8 body",
     b"SEARCH CHARSET UTF-8 BODY {7+}\r\ngr\xc3\xbc\xc3\x9fe"),
    ("search capitals", b"SEARCH CHARSET UTF-8 BODY {4+}\r\nGR\xc3\x9c"),
    ("search charset", "SEARCH CHARSET X-UNKNOWN SUBJECT x"),
    ("search larger", "SEARCH LARGER 300"),
    ("search sent", "SEARCH SENTBEFORE 8-Feb-1994"),
    ("search on", "SEARCH ON 17-Jul-1996"),
    ("search set", "SEARCH 2:* UID 1:3"),
    ("search beyond", "SEARCH 99"),
    ("search bad key", "SEARCH BOGUS"),
    ("search empty", "SEARCH"),
    ("search return", "SEARCH RETURN (MIN MAX COUNT ALL) UNDELETED"),
    ("search return none", "SEARCH RETURN (MIN MAX COUNT ALL) KEYWORD nosuch"),
    ("search return default", "SEARCH RETURN () ALL"),
    ("uid search", "UID SEARCH RETURN (ALL) SUBJECT meeting"),
    ("search younger", "SEARCH YOUNGER 86400"),
    ("sort subject", "SORT (SUBJECT) UTF-8 ALL"),
    ("sort reverse date", "SORT (REVERSE DATE) UTF-8 ALL"),
    ("sort size", "SORT (SIZE FROM) US-ASCII ALL"),
    ("sort bad", "SORT (BOGUS) UTF-8 ALL"),
    ("uid sort", "UID SORT (ARRIVAL) UTF-8 SEEN"),
    ("thread references", "THREAD REFERENCES UTF-8 ALL"),
    ("thread subject", "UID THREAD ORDEREDSUBJECT UTF-8 ALL"),
    # COPY, MOVE, EXPUNGE
    ("copy", "COPY 1:2 Plain"),
    ("copy none", "COPY 1 nothere"),
    ("copy beyond", "COPY 99 Plain"),
    ("uid copy", "UID COPY 3 Plain"),
    ("uid copy none", "UID COPY 999 Plain"),
    ("move", "MOVE 4 Plain"),
    ("uid move none", "UID MOVE 999 Plain"),
    ("delete", "STORE 1 +FLAGS.SILENT (\\Deleted)"),
    ("uid expunge other", "UID EXPUNGE 2"),
    ("uid expunge", "UID EXPUNGE 1"),
    ("delete two", "STORE 1:2 +FLAGS.SILENT (\\Deleted)"),
    ("expunge", "EXPUNGE"),
    ("fetch of nothing", "FETCH 1 FLAGS"),
    ("fetch star of nothing", "FETCH * FLAGS"),
    ("uid fetch of nothing", "UID FETCH 1:* FLAGS"),
    ("search of nothing", "SEARCH ALL"),
    ("close", "CLOSE"),
    ("close again", "CLOSE"),
    ("examine", "EXAMINE Plain"),
    ("store in examine", "STORE 1 +FLAGS (\\Seen)"),
    ("expunge in examine", "EXPUNGE"),
    ("fetch in examine", "FETCH 2 (BODY[TEXT] FLAGS)"),
    ("select condstore", "SELECT Plain (CONDSTORE)"),
    ("fetch modseq", "FETCH 1:* (MODSEQ)"),
    ("store unchangedsince", "STORE 1 (UNCHANGEDSINCE 1) +FLAGS (\\Seen)"),
    ("fetch changedsince", "FETCH 1:* (FLAGS) (CHANGEDSINCE 1)"),
    ("search modseq", "SEARCH MODSEQ 1"),
    ("unselect", "UNSELECT"),
    # RENAME, DELETE
    ("rename", "RENAME Work Job"),
    ("rename none", "RENAME nothere x"),
    ("rename to one", "RENAME Job Plain"),
    ("list renamed", 'LIST "" "*"'),
    ("lsub renamed", 'LSUB "" "*"'),
    ("delete with children", "DELETE Job"),
    ("list deleted", 'LIST "" "Job*"'),
    ("delete mailbox", "DELETE Job/Old/Older"),
    ("delete none", "DELETE nothere"),
    ("delete inbox", "DELETE INBOX"),
    ("rename inbox", "RENAME INBOX Saved"),
    ("list at the end", 'LIST "" "*"'),
    # Errors
    ("unknown command", "BOGUS"),
    ("login twice", "LOGIN a b"),
    ("no argument", "SELECT"),
    ("too many", "NOOP x"),
    ("quoted", 'STATUS "Plain" (MESSAGES)'),
    ("literal", b"STATUS {5+}\r\nPlain (MESSAGES)"),
    ("enable", "ENABLE CONDSTORE X-BOGUS"),
    ("namespace", "NAMESPACE"),
    ("id", "ID NIL"),
    ("noop", "NOOP"),
    ("check unselected", "CHECK"),
    ("logout", "LOGOUT"),
]

CODE = re.compile(r"^\[([A-Z0-9-]+)((?: [^]]*)?)\]", re.I)
# Codes that every server words or numbers as it likes.
LOOSE = {"UIDVALIDITY", "HIGHESTMODSEQ", "MAILBOXID", "APPENDUID", "COPYUID",
         "MODIFIED", "BADCHARSET", "BADEVENT"}


def command_of(text):
    """Octets, with the message that it names as a literal."""
    octets = text if isinstance(text, bytes) else text.encode()
    for name, message in MESSAGES.items():
        octets = octets.replace(b"%" + name.encode() + b"%",
                                b"{%d+}\r\n%s" % (len(message), message))
    return octets


def code_of(text):
    """"OK [COPYUID]" of a status response."""
    status, _, rest = text.strip().partition(" ")
    m = CODE.match(rest)
    if m is None:
        return status
    name = m.group(1).upper()
    if name == "COPYUID" or name == "APPENDUID":
        more = " " + " ".join(m.group(2).split()[1:])
    elif name in LOOSE:
        more = ""
    elif name == "PERMANENTFLAGS":
        # Keywords depend on what there was before.
        more = " " + " ".join(sorted(f for f in m.group(2).strip(" ()").split()
                                     if f.startswith("\\")))
    else:
        more = m.group(2)
    return "%s [%s%s]" % (status, name, more)


def shown(value):
    if isinstance(value, list):
        return "(" + " ".join(shown(v) for v in value) + ")"
    if value is None:
        return "NIL"
    return repr(value.decode("utf-8", "replace"))[1:-1] or '""'


def upper(value):
    """Words of a BODYSTRUCTURE: their case means nothing, mostly."""
    if isinstance(value, list):
        return [upper(v) for v in value]
    return value.upper() if value is not None else None


def moment(value):
    """INTERNALDATE in UTC; of what came without one, "now"."""
    t = datetime.datetime.strptime(value.decode().strip(),
                                   "%d-%b-%Y %H:%M:%S %z")
    t = t.astimezone(datetime.timezone.utc)
    return b"now" if t.year > 2000 else t.isoformat().encode()


def fetched(responses):
    """All of them, one line a message."""
    found = {}
    for words in responses:
        items = found.setdefault(int(words[1]), {})
        items.update(zip((w.upper() for w in words[3][::2]), words[3][1::2]))
    out = []
    for number, items in sorted(found.items()):
        line = []
        for key, value in sorted(items.items()):
            if key == b"FLAGS":
                value = sorted(f for f in value if f != b"\\Recent")
            elif key == b"MODSEQ":
                value = [b"n"]
            elif key == b"INTERNALDATE":
                value = moment(value)
            elif key in (b"BODY", b"BODYSTRUCTURE"):
                value = upper(value)
            line.append("%s %s" % (key.decode(), shown(value)))
        out.append("%d FETCH %s" % (number, ", ".join(line)))
    return out


def listed(first, words):
    flags = {f.decode().lower() for f in words[2]}
    flags -= {"\\marked", "\\unmarked", "\\noinferiors"}
    if "\\nonexistent" in flags:
        flags = flags - {"\\nonexistent"} | {"\\noselect"}
    return "%s (%s) %s" % (first, " ".join(sorted(flags)), shown(words[3:]))


def untagged_of(octets):
    """A response in a form that leaves out what may differ; None: all."""
    text = octets.decode("utf-8", "replace")[2:]
    first = text.split(" ", 1)[0].strip().upper()
    if first in ("OK", "NO", "BAD", "BYE", "PREAUTH"):
        code = code_of(text)
        return code if "[" in code or first == "BYE" else None
    if first in ("ID", "CAPABILITY", "NAMESPACE", "FLAGS"):
        return first
    try:
        words = parse(octets)
    except ValueError:
        return "not IMAP: %r" % octets[:80]
    if first in ("LIST", "LSUB"):
        return listed(first, words)
    if first == "SEARCH":
        return " ".join([first] + sorted(
            (w.decode() for w in words[2:] if isinstance(w, bytes)), key=int))
    if first == "STATUS":
        items = dict(zip(words[3][::2], words[3][1::2]))
        return "STATUS %s %s" % (shown(words[2]), " ".join(
            "%s %s" % (k.decode(), shown(items[k])) for k in sorted(items)))
    if first == "ESEARCH":
        return "ESEARCH " + " ".join(sorted(
            shown(w) for w in words[3:] if isinstance(w, bytes)))
    if words[2:] and words[2] == b"FETCH":
        return words
    if words[2:] and words[2] == b"RECENT":
        return None
    return " ".join(shown(w) for w in words[1:])


def transcript(wire):
    """{step: lines}, in an order of our own but for FETCH and EXPUNGE."""
    found = {}
    for name, text in STEPS:
        try:
            untagged, last = wire.ask(command_of(text))
        except (EOFError, OSError):
            found[name] = ["connection lost"]
            break
        said = [r for r in map(untagged_of, untagged) if r is not None]
        lines = [r for r in said if isinstance(r, str)]
        if not any("EXPUNGE" in line for line in lines):
            lines = sorted(set(lines))
        found[name] = lines + fetched(
            r for r in said if not isinstance(r, str)) + [code_of(last)]
    return found


def without(lines, command):
    """What one may say and another not."""
    out = []
    for line in lines:
        if line.startswith("OK [") and line is not lines[-1]:
            continue
        if line in ("FLAGS",):
            continue
        if " FETCH " in line and b"UID" not in command_of(command).upper():
            line = re.sub(r", UID \d+|UID \d+, ", "", line)
        if line.startswith(("LIST", "LSUB")):
            line = re.sub(r"\\\\?has(no)?children ?", "", line)
        out.append(line.replace(" )", ")"))
    return out


def same(ours, theirs, command):
    """Do they agree, but for what we may say beyond them?"""
    if ours is None or theirs is None:
        return False
    a, b = without(ours, command), without(theirs, command)
    if "[" not in b[-1]:
        a[-1] = a[-1].split(" ")[0]
    return a == b
