#!/usr/bin/python3
"""SEARCH, SORT and THREAD of a mailbox made at random: what Dovecot finds, in
its order, is what we find."""
import os
import random
import re
import shutil
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.dont_write_bytecode = True
sys.path[1:1] = [os.path.join(HERE, "lib"),
                 os.path.join(HERE, "..", "play", "lib"),
                 os.path.join(HERE, "..", "bench")]

from backend import Backend  # noqa: E402
from imap import Client  # noqa: E402
from dovecot import Dovecot  # noqa: E402
from tap import tap  # noqa: E402

MESSAGES = 120
SEED = int(os.environ.get("SEED", "1"))
SUBJECTS = [
    "apple", "Re: apple", "[list] apple", "Re: [list] Apple (fwd)",
    "[fwd: apple]", "banana", "Fwd: banana", "", "Re:", "[x]", "[a][b]",
    "=?utf-8?q?Caf=C3=A9?=", "=?iso-8859-1?q?caf=E9?=",
    "Re: =?utf-8?q?=C3=84pfel?=", "zebra", "  spaced   out ", "fw: Re: zebra",
    "Re[2]: zebra", "[]", "=?koi8-r?q?=F0=D2=C9=D7=C5=D4?=",
    "=?utf-8?q?=C3=A4pfel?="]
ADDRESSES = [
    "Zoe <alpha@x>", '"adam" <Zeta@x>', "beta@x",
    "=?iso-8859-1?q?=C9va?= <gamma@x>", "group: q@x;", "",
    '"A. Q" <Foo@y>', "<@route:zz@y>"]
COMMANDS = [
    "SORT (%s) UTF-8 ALL" % criteria for criteria in (
        "SUBJECT", "REVERSE SUBJECT DATE", "DATE", "REVERSE DATE", "ARRIVAL",
        "FROM", "TO", "CC", "SIZE", "DISPLAYFROM", "DISPLAYTO")] + [
    "THREAD REFERENCES UTF-8 ALL", "THREAD ORDEREDSUBJECT UTF-8 ALL",
    "THREAD REFERENCES UTF-8 1:60", "UID THREAD REFERENCES UTF-8 SUBJECT apple",
    "SEARCH CHARSET UTF-8 SUBJECT {5+}\r\n\xc3\x84PFE", 'SEARCH SUBJECT ""',
    "SEARCH FROM adam", "SEARCH HEADER REFERENCES m1", 'SEARCH SUBJECT "[x]"',
    "SEARCH SENTSINCE 10-Feb-2021", "SEARCH SENTON 10-Feb-2021",
    "SEARCH BEFORE 9-Feb-2021", "SEARCH RETURN (MIN MAX COUNT) LARGER 200",
    "SEARCH RETURN (COUNT) NOT OR TEXT apple TO x"]


def message(rnd):
    head = []
    for name, share in (("From", .95), ("To", .7), ("Cc", .4)):
        if rnd.random() < share:
            head.append("%s: %s" % (name, rnd.choice(ADDRESSES)))
    if rnd.random() < .95:
        head.append("Subject: " + rnd.choice(SUBJECTS))
    if rnd.random() < .9:
        head.append("Date: %d Feb 2021 %02d:%02d:00 %s" %
                    (rnd.randint(1, 28), rnd.randrange(24), rnd.randrange(60),
                     rnd.choice(["+0000", "-0800", "+0530"])))

    def ids(n):
        return " ".join("<m%d@x>" % rnd.randrange(MESSAGES) for _ in range(n))
    if rnd.random() < .9:
        head.append("Message-ID: " + ids(1))
    if rnd.random() < .6:
        head.append("References: " + ids(rnd.randint(1, 4)))
    elif rnd.random() < .5:
        head.append("In-Reply-To: " + ids(1))
    return ("\r\n".join(head) + "\r\n\r\n" + "x" * rnd.randrange(50) +
            "\r\n").encode()


def answer(c, command):
    return [re.sub(r'TAG "a\d+"', "TAG", x) for x in c.must(command)[:-1]]


def compare(ours, dovecot):
    rnd = random.Random(SEED)
    for c in (ours, dovecot):
        c.must("CREATE box")
    for i in range(MESSAGES):
        octets = message(rnd)
        date = "%2d-Feb-2021 10:%02d:00 +0000" % (1 + i % 28, i % 60)
        for c in (ours, dovecot):
            lines = c.append("box", octets, "", date)
            if " OK" not in lines[-1]:
                tap.ok(False, "APPEND: " + lines[-1])
    for c in (ours, dovecot):
        c.must("SELECT box")
    for command in COMMANDS:
        tap.equal(answer(ours, command), answer(dovecot, command),
                  command.split("\r")[0])


def main():
    if not Dovecot.installed():
        print("1..0 # SKIP Dovecot is not here")
        return
    where = tempfile.mkdtemp(prefix="search.")
    os.chmod(where, 0o755)
    try:
        with Backend(users=["joe"]) as server, \
                Dovecot(os.path.join(where, "dovecot")) as d:
            compare(server.client("joe"), Client(d.port, "joe"))
    finally:
        shutil.rmtree(where)
    tap.done()


main()
