#!/usr/bin/python3
"""Mailboxes on a stand-alone backend: made, listed, renamed, shared, gone."""
import base64
import os
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "lib"))
from backend import Backend, tap  # noqa: E402

USES = ["special_use = \\Sent Sent", "special_use = \\Trash Trash"]


def names(lines):
    return [line.split(' "/" ')[1] for line in lines
            if line.startswith("* L")]


def one(lines, name):
    for line in lines:
        if line.startswith("* L") and line.split(' "/" ')[1] == name:
            return line
    return ""


def login(b, user, password="password"):
    r = b.raw()
    r.line()
    tap.ok(r.ask("l", "LOGIN %s %s" % (user, password))[-1]
           .startswith("l OK [CAPABILITY "), "%s logs in" % user)
    return r


def before_login(b):
    r = b.raw()
    greeting = r.line()
    tap.ok(greeting.startswith("* OK [CAPABILITY IMAP4rev1 "), "greeting")
    tap.ok("AUTH=PLAIN" in greeting and "STARTTLS" not in greeting
           and "ACL" not in greeting.split("]")[0].split(),
           "capabilities before login")
    tap.ok(r.ask("a", "SELECT INBOX")[-1].startswith("a BAD"),
           "nothing before login")
    tap.ok(r.ask("a", "LOGIN fred wrong")[-1]
           .startswith("a NO [AUTHENTICATIONFAILED]"), "a wrong password")
    tap.ok(r.ask("a", "STARTTLS")[-1].startswith("a BAD"), "no TLS here")
    r.send("a AUTHENTICATE PLAIN\r\n")
    tap.equal(r.line(), "+ ", "AUTHENTICATE asks")
    r.send("*\r\n")
    tap.ok(r.line().startswith("a BAD"), "and can be cancelled")
    plain = base64.b64encode(b"\0fred\0password").decode()
    tap.ok(r.ask("a", "AUTHENTICATE PLAIN " + plain)[-1]
           .startswith("a OK [CAPABILITY "), "SASL-IR")
    tap.ok(r.ask("a", "LOGIN fred password")[-1].startswith("a BAD"),
           "and only once")
    r.close()


def autocreated(b, r):
    tap.equal(names(r.ask("a", 'LIST "" "*"')), ["INBOX", "Sent", "Trash"],
              "INBOX and special mailboxes are there")
    tap.ok("\\Sent" in one(r.ask("a", 'LIST "" Sent'), "Sent"),
           "with their use")
    tap.equal(names(r.ask("a", 'LIST (SPECIAL-USE) "" "*"')),
              ["Sent", "Trash"], "chosen by it")
    tap.equal(names(r.ask("a", 'LSUB "" "*"')), ["Sent", "Trash"],
              "and subscribed")
    tap.equal(r.ask("a", 'LIST "" ""')[0], '* LIST (\\Noselect) "/" ""',
              "the separator")


def create_and_list(b, r):
    for name in ("foo", "foo/bar", "foo/bar/baz", "other/deep", "foo-x"):
        last = r.ask("a", "CREATE " + name)[-1]
        tap.ok(re.match(r"a OK \[MAILBOXID \([\w-]+\)\]", last),
               "CREATE %s: %s" % (name, last))
    tap.ok(r.ask("a", "CREATE foo")[-1].startswith("a NO [ALREADYEXISTS]"),
           "not twice")
    tap.ok(r.ask("a", "CREATE inbox")[-1].startswith("a NO [ALREADYEXISTS]"),
           "INBOX is there")
    tap.equal(names(r.ask("a", 'LIST "" "*"')),
              ["INBOX", "Sent", "Trash", "foo", "foo/bar", "foo/bar/baz",
               "foo-x", "other/deep"], "LIST *")
    tap.equal(names(r.ask("a", 'LIST "" %')),
              ["INBOX", "Sent", "Trash", "foo", "foo-x", "other"], "LIST %")
    tap.ok("\\Noselect" in one(r.ask("a", 'LIST "" %'), "other"),
           "a level that is no mailbox")
    tap.ok("\\HasChildren" in one(r.ask("a", 'LIST "" foo'), "foo"),
           "children")
    tap.ok("\\HasNoChildren" in one(r.ask("a", 'LIST "" foo-x'), "foo-x"),
           "no children")
    tap.equal(names(r.ask("a", 'LIST foo/ %')), ["foo/bar"], "a reference")
    tap.equal(names(r.ask("a", 'LIST "" (foo-x "foo/%")')),
              ["foo/bar", "foo-x"], "two patterns")
    lines = r.ask("a", 'LIST "" foo% RETURN (STATUS (MESSAGES UIDNEXT))')
    tap.ok("* STATUS foo (MESSAGES 0 UIDNEXT 1)" in lines
           and len(lines) == 5, "STATUS on the way")
    tap.ok(r.ask("a", "CREATE {9+}\r\nliteral-x")[-1].startswith("a OK"),
           "a literal")
    tap.ok(r.ask("a", "DELETE literal-x")[-1].startswith("a OK"), "goes")
    tap.ok(r.ask("a", 'CREATE "Arch" (USE (\\Archive))')[-1]
           .startswith("a OK"), "CREATE with a use")
    tap.ok("\\Archive" in one(r.ask("a", 'LIST "" Arch'), "Arch"), "has it")
    tap.ok(r.ask("a", 'CREATE X (USE (\\Nonsense))')[-1]
           .startswith("a NO [USEATTR]"), "no such use")
    tap.ok(r.ask("a", "CREATE Y nowhere")[-1].startswith("a NO"),
           "no such partition")
    tap.ok(r.ask("a", "CREATE Y default")[-1].startswith("a OK"),
           "a partition")
    for name in ("Arch", "Y"):
        r.ask("a", "DELETE " + name)


def subscriptions(b, r):
    tap.ok(r.ask("a", "SUBSCRIBE foo/bar")[-1].startswith("a OK"),
           "SUBSCRIBE")
    tap.ok(r.ask("a", "SUBSCRIBE nothing")[-1]
           .startswith("a NO [NONEXISTENT]"), "not what is not there")
    tap.equal(names(r.ask("a", 'LSUB "" "*"')), ["Sent", "Trash", "foo/bar"],
              "LSUB")
    tap.ok(one(r.ask("a", 'LSUB "" %'), "foo").startswith(
        "* LSUB (\\Noselect)"), "LSUB % shows the level")
    tap.equal(names(r.ask("a", 'LIST (SUBSCRIBED) "" "*"')),
              ["Sent", "Trash", "foo/bar"], "LIST (SUBSCRIBED)")
    tap.ok('("CHILDINFO" ("SUBSCRIBED"))' in "\n".join(
        r.ask("a", 'LIST (SUBSCRIBED RECURSIVEMATCH) "" %')), "CHILDINFO")
    tap.ok("\\Subscribed" in one(
        r.ask("a", 'LIST "" Sent RETURN (SUBSCRIBED)'), "Sent"),
           "said if asked for")
    r.ask("a", "UNSUBSCRIBE foo/bar")
    tap.equal(names(r.ask("a", 'LSUB "" "*"')), ["Sent", "Trash"],
              "UNSUBSCRIBE")


def rename_and_delete(b, r):
    tap.ok(r.ask("a", "RENAME foo new")[-1].startswith("a OK"), "RENAME")
    tap.equal(names(r.ask("a", 'LIST "" "*"')),
              ["INBOX", "Sent", "Trash", "foo-x", "new", "new/bar",
               "new/bar/baz", "other/deep"], "takes the tree along")
    tap.ok(r.ask("a", "RENAME new new/below")[-1].startswith("a NO [CANNOT]"),
           "not below itself")
    tap.ok(r.ask("a", "RENAME new foo-x")[-1]
           .startswith("a NO [ALREADYEXISTS]"), "not onto another")
    tap.ok(r.ask("a", "RENAME gone x")[-1].startswith("a NO [NONEXISTENT]"),
           "not what is not there")
    long = "n" * 300
    r.ask("a", "CREATE deep/" + long)
    r.ask("a", "CREATE deep")
    tap.ok(r.ask("a", "RENAME deep " + long)[-1].startswith("a NO [LIMIT]"),
           "not if a name below becomes too long")
    for name in "deep/" + long, "deep":
        tap.ok(r.ask("a", "DELETE " + name)[-1].startswith("a OK"), "goes")
    r.ask("a", "SELECT new/bar")
    tap.ok(r.ask("a", "DELETE new/bar")[-1].startswith("a OK"), "DELETE")
    tap.ok(r.ask("a", "CLOSE")[-1].startswith("a BAD"),
           "of the selected mailbox: nothing is selected")
    tap.ok(r.ask("a", "NOOP")[-1].startswith("a OK"), "the session goes on")
    tap.equal(names(r.ask("a", 'LIST "" "new*"')), ["new", "new/bar/baz"],
              "what is below stays")
    tap.ok(r.ask("a", "DELETE INBOX")[-1].startswith("a NO [CANNOT]"),
           "not the INBOX")
    r.ask("a", "APPEND INBOX {20+}\r\nSubject: x\r\n\r\nhello\r")
    r.ask("a", "APPEND INBOX {21+}\r\nSubject: x\r\n\r\nhello\r\n")
    before = r.ask("a", "STATUS INBOX (MESSAGES)")[0]
    tap.ok(r.ask("a", "RENAME INBOX kept")[-1].startswith("a OK"),
           "RENAME INBOX")
    tap.equal(r.ask("a", "STATUS kept (MESSAGES)")[0],
              before.replace("INBOX", "kept"), "moves its messages")
    tap.equal(r.ask("a", "STATUS INBOX (MESSAGES)")[0],
              "* STATUS INBOX (MESSAGES 0)", "and leaves it empty")


def sharing(b, r):
    joe = login(b, "joe")
    tap.equal(names(joe.ask("a", 'LIST "" "*"')), ["INBOX", "Sent", "Trash"],
              "another user sees nothing")
    tap.ok(joe.ask("a", 'SELECT "Other Users/fred/kept"')[-1]
           .startswith("a NO [NONEXISTENT]"), "and can open nothing")
    tap.ok(r.ask("a", "SETACL kept joe lrs")[-1].startswith("a OK"), "SETACL")
    tap.ok(joe.ask("a", 'MYRIGHTS "Other Users/fred/kept"')[0]
           .endswith(" lrs"), "MYRIGHTS")
    tap.ok('"Other Users/fred/kept"' in names(joe.ask("a", 'LIST "" "*"')),
           "is seen then")
    tap.equal(names(joe.ask("a", 'LIST "" %')),
              ["INBOX", '"Other Users"', "Sent", "Trash"], "levels above it")
    tap.ok(joe.ask("a", 'DELETE "Other Users/fred/kept"')[-1]
           .startswith("a NO [NOPERM]"), "but not deleted")
    tap.ok(joe.ask("a", 'GETACL "Other Users/fred/kept"')[-1]
           .startswith("a NO [NOPERM]"), "nor its ACL read")
    tap.ok(" joe lrs" in r.ask("a", "GETACL kept")[0], "GETACL")
    tap.ok(r.ask("a", "LISTRIGHTS kept joe")[0]
           .startswith('* LISTRIGHTS kept joe "" l r s '), "LISTRIGHTS")
    tap.ok(r.ask("a", "DELETEACL kept joe")[-1].startswith("a OK"),
           "DELETEACL")
    tap.equal(names(joe.ask("a", 'LIST "" "*"')), ["INBOX", "Sent", "Trash"],
              "is seen no more")
    joe.close()


def admins(b):
    a = login(b, "admin")
    tap.ok(a.ask("a", 'CREATE "Shared Folders/help"')[-1].startswith("a OK"),
           "an admin makes a shared mailbox")
    tap.ok(a.ask("a", 'SETACL "Shared Folders/help" anyone lrsip')[-1]
           .startswith("a OK"), "for everyone")
    tap.ok(a.ask("a", 'CREATE "Other Users/ann"')[-1].startswith("a OK"),
           "and a user's INBOX")
    tap.ok('"Other Users/ann/Sent"' in names(a.ask("a", 'LIST "" "*"')),
           "which has what belongs to it")
    tap.ok(a.ask("a", 'DELETE "Other Users/ann"')[-1].startswith("a OK"),
           "and deletes the user")
    tap.ok("Other Users/ann" not in
           "".join(names(a.ask("a", 'LIST "" "*"'))), "with all there was")
    a.close()
    joe = login(b, "joe")
    tap.ok('"Shared Folders/help"' in names(joe.ask("a", 'LIST "" "*"')),
           "others see it")
    tap.ok(joe.ask("a", 'CREATE "Shared Folders/mine"')[-1]
           .startswith("a NO [NOPERM]"), "and may make none")
    joe.close()


def proxies(b):
    r = b.raw()
    r.line()
    plain = base64.b64encode(b"joe\0proxy\0password").decode()
    tap.ok(r.ask("a", "AUTHENTICATE PLAIN " + plain)[-1]
           .startswith("a OK ["), "a proxy acts for a user")
    tap.equal(names(r.ask("a", 'LIST "" INBOX')), ["INBOX"], "as that user")
    tap.ok(r.ask("a", "XSCRIPT LIST joe")[-1].startswith("a NO [NOPERM]"),
           "and not as a proxy")
    r.ask("a", 'ID ("x-session" "abc123" "x-client-address" "192.0.2.9")')
    tap.ok("session joined sid=abc123" in b.log(), "two logs are joined")
    r.close()
    r = b.raw()
    r.line()
    plain = base64.b64encode(b"joe\0fred\0password").decode()
    tap.ok(r.ask("a", "AUTHENTICATE PLAIN " + plain)[-1]
           .startswith("a NO [AUTHORIZATIONFAILED]"), "others may not")
    plain = base64.b64encode(b"\0proxy\0password").decode()
    tap.ok("XMURDER" in r.ask("a", "AUTHENTICATE PLAIN " + plain)[-1],
           "a proxy as itself")
    scripts(r)
    r.close()


def scripts(r):
    ask = lambda text: r.ask("a", text)  # noqa: E731
    tap.ok(ask("XSCRIPT PUT joe main {5+}\r\nkeep;")[-1].startswith("a OK"),
           "XSCRIPT PUT")
    tap.ok(ask("XSCRIPT ACTIVATE joe main")[-1].startswith("a OK"),
           "ACTIVATE")
    tap.equal(ask("XSCRIPT LIST joe")[0], '* XSCRIPT "main" 5 ACTIVE', "LIST")
    got = ask("XSCRIPT GET joe")
    etag = got[0].split('"')[1]
    tap.equal(got[:2], ['* XSCRIPT "%s" ~{5}' % etag, "keep;"], "GET")
    tap.equal(ask("XSCRIPT GET joe " + etag)[0], '* XSCRIPT "%s"' % etag,
              "GET unchanged")
    tap.ok(ask("XSCRIPT DELETE joe main")[-1].startswith("a NO [INUSE]"),
           "the active one stays")
    tap.ok(ask("XSCRIPT RENAME joe main second")[-1].startswith("a OK"),
           "RENAME")
    tap.equal(ask("XSCRIPT READ joe second")[0], '* XSCRIPT "second" ~{5}',
              "READ")
    tap.ok(ask('XSCRIPT ACTIVATE joe ""')[-1].startswith("a OK"), "none")
    tap.ok(ask("XSCRIPT DELETE joe second")[-1].startswith("a OK"), "DELETE")
    tap.ok(ask("XSCRIPT GET joe")[0].endswith(" ~{0}"), "GET of none")
    tap.ok(ask("XREMEMBER k1")[-1].startswith("a OK [NEW]"), "new")
    tap.ok(ask("XREMEMBER k1")[-1].startswith("a OK [SEEN]"), "seen")


def dear_patterns(r):
    """All that a LIST tries on a name is bounded, however it is written."""
    dear, deep = "*a" * 450, "%" + "/%" * 10
    for what in ('"" (%s %s)' % (dear, dear),
                 '"%s" (%s)' % (dear, " ".join("x" * 9)),
                 '"" (%s)' % " ".join([deep] * 50)):
        tap.ok(r.ask("a", "LIST " + what)[-1].startswith(
            "a BAD The patterns"), "refused: LIST %s..." % what[:20])
    for what in ("%s" % dear, '(%s)' % " ".join(["a/%"] * 100)):
        tap.ok(r.ask("a", 'LIST "" ' + what)[-1].startswith("a OK"),
               "not refused: %s..." % what[:20])


class Crowd:
    """Many clients of one user: what they wait for is waited for at once."""

    def __init__(self, b, user):
        self.clients = [login(b, user) for i in range(16)]

    def __enter__(self):
        return self

    def __exit__(self, *why):
        for c in self.clients:
            c.close()

    def do(self, commands):
        n = len(self.clients)
        for i, c in enumerate(self.clients):
            c.send("".join("x %s\r\n" % x for x in commands[i::n]) +
                   "y NOOP\r\n")
        for c in self.clients:
            tap.equal([x for x in c.until("y ") if x.startswith("x ") and
                       " OK " not in x], [], "all done")


def many(b):
    """More than is looked at in one turn, asked for in several ways."""
    with Crowd(b, "ann") as crowd:
        r = crowd.clients[0]
        boxes = ["m%04d" % (i * 7919 % 307) for i in range(307)]
        for what in ("CREATE %s", "SUBSCRIBE %s", "SETACL %s joe l"):
            crowd.do([what % box for box in boxes])
        seen_by_all(b, r, boxes)


def seen_by_all(b, r, boxes):
    all_of_them = sorted(boxes)
    tap.equal(names(r.ask("a", 'LIST "" m*')), all_of_them, "many, in order")
    tap.equal(names(r.ask("a", 'LIST (SUBSCRIBED) "" "*m*"')), all_of_them,
              "all that are subscribed to")
    tap.equal(names(r.ask("a", 'LSUB "" "*m*"')), all_of_them, "the same")
    lines = r.ask("a", 'LIST "" (m0000 %300) RETURN (SUBSCRIBED STATUS (UNSEEN))')
    tap.equal((names(lines), sum("STATUS m" in x for x in lines)),
              (["m0000", "m0300"], 2), "some of them")
    a = login(b, "admin")
    a.ask("a", 'CREATE "Other Users/ann/shared"')
    tap.equal(sum("/m" in x for x in names(
        a.ask("a", 'LIST "" "Other Users/ann/*"'))), 307, "below a name")
    j = login(b, "joe")
    tap.equal(len([x for x in names(j.ask("a", 'LIST "" *')) if "/m" in x]),
              307, "by who may see them")
    a.close()
    j.close()


def bad_input(b, r):
    tap.ok(r.ask("a", "FROB")[-1].startswith("a BAD"), "unknown command")
    tap.ok(r.ask("a", "CREATE")[-1].startswith("a BAD"), "no argument")
    tap.ok(r.ask("a", "NOOP x")[-1].startswith("a BAD"), "one too many")
    tap.ok(r.ask("a", "CREATE {100000000}")[-1].startswith("a NO [TOOBIG]"),
           "a literal too big")
    tap.ok(r.ask("a", "APPEND INBOX {100000000000}")[-1]
           .startswith("a NO [TOOBIG]"), "a message too big")
    tap.ok(r.ask("a", "NOOP")[-1].startswith("a OK"), "and on it goes")
    for what, octets in (("a long line", b"a NOOP " + b"x" * 100000 + b"\r\n"),
                         ("a NUL", b"a NO\0OP\r\n"),
                         ("a lone LF", b"a NOOP\n"),
                         ("{n+} too big", b"a CREATE {100000000000+}\r\n")):
        s = b.raw()
        s.line()
        s.send(octets)
        tap.ok("BYE" in " ".join(s.until("*** ")), what + ": BYE")
        s.close()
    s = b.raw()
    s.line()
    s.send("x FROB\r\n" * 30)
    tap.ok("* BYE" in "\n".join(s.until("*** ")), "too many bad commands")
    s.close()


def again(b, r):
    """What was made is there after a restart, and after a crash."""
    before = names(r.ask("a", 'LIST "" "*"'))
    r.close()
    tap.equal(b.stop(), 0, "ends when told")
    b.start()
    r = login(b, "fred")
    tap.equal(names(r.ask("a", 'LIST "" "*"')), before, "a restart")
    r.ask("a", "CREATE crash")
    b.kill_store()
    r.close()
    r = await_login(b, "fred")
    tap.equal(sorted(names(r.ask("a", 'LIST "" "*"'))),
              sorted(before + ["crash"]), "a crash")
    r.close()


def await_login(b, user):
    """The parent starts it again; until then connections wait or end."""
    while True:
        r = b.raw()
        if r.line().startswith("* OK"):
            r.ask("l", "LOGIN %s password" % user)
            return r
        r.close()


with Backend(users=["fred", "joe", "ann"], conf=USES) as backend:
    before_login(backend)
    session = login(backend, "fred")
    autocreated(backend, session)
    create_and_list(backend, session)
    subscriptions(backend, session)
    rename_and_delete(backend, session)
    sharing(backend, session)
    admins(backend)
    proxies(backend)
    dear_patterns(session)
    many(backend)
    bad_input(backend, session)
    again(backend, session)
tap.done()
