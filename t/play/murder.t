#!/usr/bin/python3
"""A whole murder looks like one server: two frontends, two backends.

user1 and user3 live on backend1, user2 and user4 on backend2.
"""
import os
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "lib"))
from backend import Raw, tap  # noqa: E402
from murder import (Murder, await_that, deliver, message,  # noqa: E402
                    plain)
from wire import Wire, parse  # noqa: E402

HELP = '"Shared Folders/help"'
DATES = ['"01-Feb-2003 04:05:06 +0700"', '"29-Feb-2024 23:59:59 -0330"',
         '"17-Jul-1996 02:44:25 +0000"']
FLAGS = ["\\Seen", "\\Flagged \\Answered $Work", "\\Draft"]
SCRIPT = 'require "fileinto";\r\nif header "subject" "filed" ' \
    '{ fileinto "Shared Folders/help"; }\r\n'


def wire(m, user, name="frontend1"):
    return Wire(*m.address("IMAP", name), user=user)


def starts(answer, word, what):
    if not tap.ok(answer[1].startswith(word), what):
        print("# got: %r" % (answer,))


def names(lines):
    return sorted(parse(line)[-1].decode() for line in lines
                  if line.startswith((b"* LIST", b"* LSUB")))


def status(w, mailbox, item="MESSAGES"):
    found = w.want("STATUS %s (%s)" % (mailbox, item))
    words = parse(next(f for f in found if f.startswith(b"* STATUS")))
    return int(words[-1][1])


def shared(m):
    admin = wire(m, "admin")
    starts(admin.ask("CREATE %s backend2" % HELP), "OK",
           "an admin makes a shared mailbox on backend2")
    starts(admin.ask("SETACL %s anyone lrswitedp" % HELP), "OK",
           "for everyone")
    admin.close()
    u = wire(m, "user1")
    tap.ok("Shared Folders/help" in names(u.want('LIST "" *')),
           "user1, of backend1, sees it")
    text = message("for help")
    starts((0, u.append(HELP, text, "\\Flagged", "01-Jan-2021 00:00:00 "
                        "+0000")), "OK [APPENDUID ", "appends to it")
    starts(u.ask("SELECT " + HELP), "OK [READ-WRITE]", "selects it")
    items = next(u.fetch(1, "(FLAGS BODY.PEEK[])"))[1]
    tap.ok(items[b"BODY[]"] == text and b"\\Flagged" in items[b"FLAGS"],
           "fetches from it")
    starts(u.ask("STORE 1 +FLAGS (\\Deleted)"), "OK", "stores in it")
    starts(u.ask("EXPUNGE"), "OK", "expunges it")
    tap.equal(status(u, "INBOX"), 0, "asks about INBOX meanwhile")
    starts(u.ask("SELECT INBOX"), "OK [READ-WRITE]", "and goes home again")
    tap.equal(status(u, HELP), 0, "asks about it from there")
    u.close()


def sieve(m):
    r = Raw(m.address("SIEVE")[1])
    while not r.line().startswith("OK"):
        pass
    r.send('AUTHENTICATE "PLAIN" "%s"\r\n' % plain("user1"))
    tap.ok(r.line().startswith("OK"), "user1 logs in by ManageSieve")
    r.send('PUTSCRIPT "s" {%d+}\r\n%s\r\n' % (len(SCRIPT), SCRIPT))
    tap.ok(r.line().startswith("OK"), "puts a script")
    r.send('SETACTIVE "s"\r\n')
    tap.ok(r.line().startswith("OK"), "makes it the one")
    r.close()
    lmtp = m.lmtp("frontend2")
    text = message("filed")
    tap.equal(deliver(lmtp, ["user1@example.org", "user2@example.org"], text),
              [250, 250], "a message for two, at the other frontend")
    lmtp.quit()
    u = wire(m, "user3")
    u.want("SELECT " + HELP)
    items = next(u.fetch(1, "(BODY.PEEK[])"))[1]
    tap.ok(items[b"BODY[]"].endswith(text),
           "user1's script filed it on the other backend")
    u.close()
    for user, want in (("user1", 0), ("user2", 1)):
        u = wire(m, user)
        tap.equal(status(u, "INBOX"), want, "%d in INBOX of %s" % (want,
                                                                  user))
        u.close()


def seen_by(w):
    """What matters of every message: {uid: (flags, date, octets)}."""
    return {int(i[b"UID"]): (sorted(f for f in i[b"FLAGS"]
                                    if f != b"\\Recent"),
                             i[b"INTERNALDATE"], i[b"BODY[]"])
            for _, i in w.fetch("1:*", "(FLAGS INTERNALDATE BODY.PEEK[])",
                                uid=True)}


def instant(date):
    """INTERNALDATE without regard to the zone it is given in."""
    from email.utils import mktime_tz, parsedate_tz
    return mktime_tz(parsedate_tz(date.decode().replace("-", " ", 2)))


def same(a, b):
    return (a[0], instant(a[1]), a[2]) == (b[0], instant(b[1]), b[2])


def uids(text):
    found = []
    for part in text.split(","):
        first, _, last = part.partition(":")
        found += range(int(first), int(last or first) + 1)
    return found


def pairs(found, last):
    """COPYUID, in the tagged answer or before it: [(source, target)]."""
    text = b"".join(found).decode("utf-8", "replace") + last
    match = re.search(r"\[COPYUID (\d+) ([\d,:]+) ([\d,:]+)\]", text)
    if not match:
        return None, []
    return int(match.group(1)), list(zip(uids(match.group(2)),
                                         uids(match.group(3))))


def copy_and_move(m):
    u, other = wire(m, "user3"), wire(m, "user3", "frontend2")
    for mailbox in ("from", "from/gaps"):
        u.want("CREATE " + mailbox)
    for n in range(9):
        u.append("from", message("copy %d" % n, "x" * 700 * n + "\r\n"),
                 FLAGS[n % 3], DATES[n % 3].strip('"'))
    u.want("SELECT from")
    u.want("STORE 2,4 +FLAGS.SILENT (\\Deleted)")
    u.want("EXPUNGE")
    source = seen_by(u)
    tap.equal(len(source), 7, "seven messages on backend1")
    validity = status(u, HELP, "UIDVALIDITY")
    other.want("SELECT " + HELP)
    before = seen_by(other)
    found, last = u.ask("UID COPY 1:* " + HELP)
    starts((found, last), "OK [COPYUID ", "COPY to the other backend")
    got, mapping = pairs(found, last)
    tap.equal(got, validity, "its UIDVALIDITY")
    tap.equal([s for s, _ in mapping], sorted(source), "of every message")
    other.want("NOOP")
    after = seen_by(other)
    tap.equal(sorted(set(after) - set(before)),
              sorted(t for _, t in mapping), "those UIDs are new there")
    tap.ok(all(same(source[s], after[t]) for s, t in mapping if t in after),
           "octets, flags and dates are the same")
    tap.ok(seen_by(u) == source, "the source is as it was")

    before = after
    found, last = u.ask("MOVE 2:3,6 " + HELP)
    starts((found, last), "OK", "MOVE to the other backend")
    _, mapping = pairs(found, last)
    tap.equal(len(mapping), 3, "three messages")
    left = seen_by(u)
    tap.equal(sorted(left), sorted(set(source) - {s for s, _ in mapping}),
              "they have left")
    other.want("NOOP")
    after = seen_by(other)
    tap.ok(all(same(source[s], after[t]) for s, t in mapping) and
           len(after) == len(before) + 3, "and arrived as they were")
    expunged = [f for f in found if b" EXPUNGE" in f or b" VANISHED" in f]
    tap.equal(len(expunged), 3, "EXPUNGE for each: %r" % expunged)

    starts(u.ask('COPY 1 "Shared Folders/none"'), "NO",
           "COPY to nowhere is refused")
    answer = u.ask("COPY 1 nothing")
    starts(answer, "NO [TRYCREATE]", "with TRYCREATE where one may create")
    starts(u.ask("UID COPY 99999 " + HELP), "OK", "COPY of nothing")
    starts(u.ask("COPY 99 " + HELP), "BAD", "a number that is not there")
    tap.ok(seen_by(u) == left, "nothing is lost by any of that")
    starts(u.ask("UID MOVE 1:* from/gaps"), "OK", "MOVE within a backend")
    tap.equal(status(u, "from/gaps"), len(left), "arrives too")
    u.want("SELECT " + HELP)
    n = len(seen_by(u))
    starts(u.ask("MOVE 1:* from"), "OK", "MOVE of all, back")
    tap.equal((status(u, "from"), len(seen_by(u))), (n, 0), "all came back")
    u.close()
    other.close()


def two_frontends(m):
    a, b = wire(m, "user1"), wire(m, "user1", "frontend2")
    good = [0, 0, 0]
    for n in range(25):
        box = "INBOX/new%d" % n if n % 2 else "new%d" % n
        a.want("CREATE " + box)
        good[0] += b.ask("SELECT " + box)[1].startswith("OK")
        b.want("UNSELECT")
        b.want("RENAME %s %sx" % (box, box))
        good[1] += a.ask("STATUS %sx (UIDNEXT)" % box)[1].startswith("OK")
        a.want("DELETE %sx" % box)
        good[2] += b.ask("SELECT %sx" % box)[1].startswith("NO [NONEXIST")
    tap.equal(good, [25, 25, 25],
              "CREATE, RENAME and DELETE are seen at the other at once")
    tags = [a.begin("CREATE many%d" % n) for n in range(20)]
    made = [a.answer(t)[1][:2] for t in tags]
    tap.equal(made, ["OK"] * 20, "twenty CREATEs at once")
    tap.equal(len(set(n for n in names(b.want('LIST "" many%'))
                      if n.startswith("many"))) and
              status(b, "many19"), 0, "are there at the other")
    for n in range(20):
        b.want("DELETE many%d" % n)
    a.close()
    b.close()


def idle(m):
    for mailbox, where in (("INBOX", "home"), (HELP, "elsewhere")):
        a, b = wire(m, "user1"), wire(m, "user1", "frontend2")
        a.want("SELECT " + mailbox)
        tag = a.begin("IDLE")
        tap.ok(a.response().startswith(b"+"), "IDLE %s" % where)
        b.append(mailbox, message("wake up"))
        while not a.response().endswith(b" EXISTS\r\n"):
            pass
        b.want("SELECT " + mailbox)
        b.want("STORE * +FLAGS (\\Flagged)")
        line = a.response()
        while b"FETCH" not in line:
            line = a.response()
        tap.ok(b"\\Flagged" in line, "tells of flags")
        b.want("STORE * +FLAGS (\\Deleted)")
        b.want("EXPUNGE")
        while b"EXPUNGE" not in a.response():
            pass
        a.send("DONE\r\n")
        starts(a.answer(tag), "OK", "and ends")
        starts(a.ask("NOOP"), "OK", "the session goes on")
        a.close()
        b.close()


def subscriptions(m):
    a, b = wire(m, "user1"), wire(m, "user1", "frontend2")
    before = names(a.want('LSUB "" *'))
    a.want("CREATE sub/one")
    a.want("SUBSCRIBE sub/one")
    a.want("SUBSCRIBE " + HELP)
    want = sorted(before + ["sub/one", "Shared Folders/help"])
    tap.equal(names(b.want('LSUB "" *')), want, "SUBSCRIBE, seen at the other")
    tap.equal(names(b.want('LIST (SUBSCRIBED) "" *')), want,
              "LIST (SUBSCRIBED)")
    found = b.want('LIST "" "sub/*" RETURN (SUBSCRIBED)')
    tap.ok(any(b"\\Subscribed" in f for f in found), "RETURN (SUBSCRIBED)")
    b.want("UNSUBSCRIBE " + HELP)
    tap.equal(names(a.want('LSUB "" *')), sorted(before + ["sub/one"]),
              "UNSUBSCRIBE")
    a.append("sub/one", message("one"))
    found = b.want('LIST "" (INBOX "sub/*" "Shared Folders/*") '
                   "RETURN (STATUS (MESSAGES))")
    told = {parse(f)[2].decode(): int(parse(f)[3][1]) for f in found
            if f.startswith(b"* STATUS")}
    tap.equal(sorted(told), ["INBOX", "Shared Folders/help", "sub/one"],
              "LIST-STATUS asks both backends")
    tap.equal(told.get("sub/one"), 1, "and tells what they say")
    tap.ok("sub" in names(b.want('LIST "" %')), "LIST % has the level above")
    a.want("UNSUBSCRIBE sub/one")
    a.want("DELETE sub/one")
    a.close()
    b.close()


def rights(m):
    a, b = wire(m, "user1"), wire(m, "user2", "frontend2")
    box, seen = "team", '"Other Users/user1/team"'
    a.want("CREATE " + box)
    starts(b.ask("SELECT " + seen), "NO [NONEXISTENT]", "not seen before")
    for command in ("SELECT %s", "STATUS %s (MESSAGES)", "CREATE %s",
                    "DELETE %s", "RENAME %s mine", "GETACL %s",
                    "MYRIGHTS %s", "LISTRIGHTS %s user2",
                    "SETACL %s user2 lr", "DELETEACL %s user2"):
        tap.equal(b.ask(command % seen)[1],
                  b.ask(command % seen.replace("team", "none"))[1],
                  command % "hidden" + ": as if there were none")
    starts(a.ask("SETACL team user2 lrsw"), "OK", "SETACL")
    starts(b.ask("SELECT " + seen), "OK", "seen at the other frontend then")
    tap.ok(b" lrsw" in b.want("MYRIGHTS " + seen)[0], "MYRIGHTS")
    tap.ok(b"user2 lrsw" in a.want("GETACL team")[0], "GETACL")
    tap.ok(a.want("LISTRIGHTS team user2")[0].startswith(b"* LISTRIGHTS"),
           "LISTRIGHTS")
    starts((0, b.append(seen, message("no"))), "NO", "no right to append")
    starts(b.ask("DELETE " + seen), "NO", "nor to delete")
    starts(b.ask("SETACL %s user2 lrswipkxtea" % seen), "NO", "nor to take")
    starts(a.ask("SETACL team user2 +i"), "OK", "one more right")
    starts((0, b.append(seen, message("yes"))), "OK", "and it may")
    starts(a.ask("DELETEACL team user2"), "OK", "DELETEACL")
    line = b.response()
    while not line.startswith(b"* BYE"):
        line = b.response()
    tap.ok(True, "who has it selected is sent away")
    b.close()
    b = wire(m, "user2", "frontend2")
    starts(b.ask("SELECT " + seen), "NO [NONEXISTENT]", "is gone for it")
    starts(a.ask("RENAME team crew"), "OK", "RENAME")
    tap.ok(b"user1 " in a.want("GETACL crew")[0], "keeps the ACL")
    tap.equal(status(a, "crew"), 1, "and the message")
    starts(a.ask("DELETE crew"), "OK", "DELETE")
    starts(a.ask("SELECT crew"), "NO [NONEXISTENT]", "is gone")
    starts(a.ask("DELETE INBOX"), "NO", "INBOX stays")
    a.close()
    b.close()


def backend_down(m):
    u, away = wire(m, "user1"), wire(m, "user1", "frontend2")
    u.want("SELECT INBOX")
    away.want("SELECT " + HELP)
    u.append("INBOX", message("stays"))
    m.down("backend2", 9)
    starts(u.ask("STATUS %s (MESSAGES)" % HELP), "NO [UNAVAILABLE]",
           "backend2 is down: STATUS")
    starts(u.ask("COPY 1 " + HELP), "NO [UNAVAILABLE]", "COPY to it")
    starts(u.ask("MOVE 1 " + HELP), "NO [UNAVAILABLE]", "MOVE to it")
    starts((0, u.append(HELP, message("x"))), "NO [UNAVAILABLE]",
           "APPEND to it")
    tap.equal(len(seen_by(u)), status(u, "INBOX"), "INBOX is unharmed")
    tap.ok("Shared Folders/help" in names(u.want('LIST "" *')),
           "LIST needs no backend")
    found, last = u.ask('LIST "" (INBOX "Shared Folders/%") RETURN '
                        "(STATUS (MESSAGES))")
    tap.ok(any(f.startswith(b"* STATUS INBOX") for f in found),
           "LIST-STATUS of the others is told: %s" % last.strip())
    starts(u.ask("SELECT " + HELP), "NO [UNAVAILABLE]", "SELECT of it")
    starts(u.ask("SELECT INBOX"), "OK", "and on it goes")
    try:
        answer = away.ask("FETCH 1:* FLAGS")
        tap.ok(answer[1].startswith(("NO [UNAVAILABLE]", "NO", "BAD")) or
               any(b"BYE" in f for f in answer[0]),
               "a session there is told: %s" % answer[1].strip())
    except (EOFError, OSError):
        tap.ok(True, "a session there is closed")
    lmtp = m.lmtp()
    codes = deliver(lmtp, ["user1@example.org", "user2@example.org"],
                    message("down"))
    tap.ok(codes[0] == 250 and 400 <= codes[1] < 500,
           "LMTP: 250 for one, 4xx for the other: %s" % codes)
    lmtp.quit()
    r = m.raw(None, "frontend2")
    r.line()
    last = r.ask("a", "LOGIN user2 password")[-1]
    tap.ok(last.startswith(("a OK", "a NO [UNAVAILABLE]")),
           "a user of backend2 logs in or is told: " + last[:40])
    if last.startswith("a OK"):
        tap.ok(r.ask("b", "SELECT INBOX")[-1].startswith(
            "b NO [UNAVAILABLE]"), "and has no INBOX for now")
    r.close()
    m.up("backend2")
    tap.ok(await_that(lambda: u.ask("STATUS %s (MESSAGES)" % HELP)[1]
                      .startswith("OK"), "backend2 is back"),
           "backend2 is back, and the same session uses it")
    starts(u.ask("COPY 1 " + HELP), "OK", "COPY to it")
    lmtp = m.lmtp()
    both = ["user1@example.org", "user2@example.org"]
    tap.ok(await_that(lambda: deliver(lmtp, both, message("down")) ==
                      [250, 250], "both have it"),
           "LMTP again, the same message, as an MX would")
    lmtp.quit()
    u.want("NOOP")
    again = [d for d in seen_by(u).values() if b"Subject: down" in d[2]]
    tap.equal(len(again), 1, "who had it has it once")
    u.close()
    away.close()


def list_down(m):
    u = wire(m, "user1")
    m.down("mupdate", 9)
    starts(u.ask("SELECT INBOX"), "OK", "the update server is down: INBOX")
    starts(u.ask("CREATE refused"), "NO [UNAVAILABLE]", "no CREATE")
    starts(u.ask("SELECT unknown"), "NO", "what is unknown stays so")
    lmtp = m.lmtp()
    tap.equal(deliver(lmtp, ["user1@example.org"], message("still")), [250],
              "mail still comes")
    lmtp.quit()
    w = wire(m, "user2", "frontend2")
    starts(w.ask("SELECT INBOX"), "OK", "others log in")
    w.close()
    m.up("mupdate")
    tap.ok(await_that(lambda: u.ask("CREATE allowed")[1].startswith("OK"),
                      "CREATE again"), "it is back: CREATE")
    w = wire(m, "user1", "frontend2")
    tap.ok(await_that(lambda: w.ask("SELECT allowed")[1].startswith("OK"),
                      "seen"), "seen at the other frontend")
    w.close()
    u.close()


with Murder(backends=2, frontends=2, users=4) as murder:
    only = sys.argv[1:]
    for part in (shared, sieve, copy_and_move, two_frontends, idle,
                 subscriptions, rights, backend_down, list_down):
        if part is not shared and only and part.__name__ not in only:
            continue
        try:
            part(murder)
        except (AssertionError, EOFError, OSError) as e:
            tap.ok(False, "%s: %s" % (part.__name__, e))
tap.done()
