#!/usr/bin/env python3
"""Sessions that do anything to mailboxes that others delete meanwhile, and
that hang up in the middle: the server serves on."""
import os
import random
import socket
import sys
import threading
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "lib"))
from backend import Backend  # noqa: E402
from imap import ok, plan, simple  # noqa: E402

SECONDS = float(os.environ.get("STRESS_SECONDS", "5"))
SEED = int(os.environ.get("SEED", time.time_ns() % 1000000))
server = Backend(users=["joe"])
until = time.monotonic() + SECONDS


def commands(rnd):
    box = "s%d" % rnd.randrange(2)
    return [
        "FETCH 1:* (FLAGS BODY[])", "SEARCH TEXT yyyz", "EXPUNGE", "NOOP",
        "UID FETCH 1:* (ENVELOPE BODYSTRUCTURE)", "UID SEARCH BODY inner",
        "STORE 1:* +FLAGS (\\Deleted K%d)" % rnd.randrange(5), "CLOSE",
        "UID STORE 1:* FLAGS (\\Flagged)", "COPY 1 " + box,
        "UID MOVE 1:* " + box, "STATUS s1 (MESSAGES UNSEEN)",
        "UID EXPUNGE 1:*", "DELETE " + box,
        "FETCH 1:* (BODY.PEEK[HEADER.FIELDS (SUBJECT)] BODY.PEEK[2]<3.9>)",
    ]


def one_round(c, rnd):
    """False: hang up."""
    box = "s%d" % rnd.randrange(2)
    for _ in range(rnd.randrange(3)):
        c.append(box, simple("x", "y" * rnd.randrange(200000)),
                 rnd.choice(["", "\\Seen", "\\Deleted"]))
    c.do("SELECT " + box)
    tags = [c.begin(rnd.choice(commands(rnd)))
            for _ in range(rnd.randrange(1, 8))]
    how = rnd.random()
    if how < 0.25:
        c.s.settimeout(0.01)
        c.f.read(rnd.randrange(1, 50000))
        return False
    if how < 0.35:
        c.s.shutdown(socket.SHUT_WR)
    for tag in tags:
        c.end(tag)
    if how > 0.9:
        c.begin("IDLE")
        return False
    return True


def client(seed):
    rnd = random.Random(seed)
    while time.monotonic() < until:
        try:
            c = server.client("joe")
            c.do("CREATE s%d" % rnd.randrange(2))
            for _ in range(rnd.randrange(1, 6)):
                if not one_round(c, rnd):
                    break
            c.close()
        except (EOFError, OSError):
            pass  # BYE, as the mailbox was deleted; or we hung up


print("# SEED=%d" % SEED)
threads = [threading.Thread(target=client, args=(SEED + i,))
           for i in range(6)]
with server:
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    c = server.client("joe")
    c.must("NOOP")
    c.must("LOGOUT")
    ok("child died" not in server.log(), "nothing died")
plan()
