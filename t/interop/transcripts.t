#!/usr/bin/python3
"""One conversation with our backend, with Dovecot and with Cyrus: where we
answer unlike them, t/interop/differences says why."""
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.dont_write_bytecode = True
sys.path[1:1] = [os.path.join(HERE, "lib"),
                 os.path.join(HERE, "..", "play", "lib"),
                 os.path.join(HERE, "..", "bench")]

import cyrus  # noqa: E402
import namespaces  # noqa: E402
from backend import Backend  # noqa: E402
from daemon import add_user  # noqa: E402
from dovecot import Dovecot  # noqa: E402
from scenario import STEPS, same, transcript  # noqa: E402
from tap import tap  # noqa: E402
from wire import Wire  # noqa: E402

CYRUS = "cyrus.murder.test"
ADDRESS = "127.0.0.31"
def of_dovecot(where):
    with Dovecot(os.path.join(where, "dovecot")) as d:
        return transcript(Wire("127.0.0.1", d.port, "fred"))


def of_cyrus(where):
    sasldb = os.path.join(where, "sasldb")
    add_user(sasldb, "fred", CYRUS)
    os.chmod(sasldb, 0o644)
    host = cyrus.Cyrus(where, CYRUS, ADDRESS, "alone", {
        "sasl_sasldb_path": sasldb, "autocreate_quota": "0",
        "unixhierarchysep": "yes", "altnamespace": "yes",
        "conversations": "no"})
    host.up()
    try:
        return transcript(Wire(ADDRESS, 143, "fred"))
    finally:
        host.down()


def of_ours():
    with Backend(users=["fred"]) as b:
        return transcript(Wire("127.0.0.1", b.imap_port, "fred"))


def explained():
    """{(step, peer): why}, of the table."""
    found = {}
    with open(os.path.join(HERE, "differences")) as f:
        for line in f:
            if line.startswith("|") and not line.startswith(("| step", "|--")):
                steps, peers, why = (w.strip() for w in
                                     line.strip(" |\n").split("|"))
                for step in steps.split(", "):
                    for peer in peers.split(", "):
                        found[step, peer] = why
    return found


def compare(ours, theirs, peer, table):
    for step, command in STEPS:
        a, b = ours.get(step), theirs.get(step)
        why = table.get((step, peer))
        alike = same(a, b, command)
        if not tap.ok(alike == (why is None), "%s: %s" % (peer, step)):
            if alike:
                print("# is the same, and differences says: " + why)
                continue
            print("# %s" % command)
            for who, lines in (("ours", a), (peer, b)):
                for line in lines or ["nothing"]:
                    print("#   %-8s %s" % (who, line[:400]))


def main():
    for why in (namespaces.missing(), cyrus.missing()):
        if why is not None:
            namespaces.skip(why)
    where = namespaces.enter({CYRUS: ADDRESS})
    table = explained()
    ours = of_ours()
    compare(ours, of_cyrus(where), "Cyrus", table)
    if Dovecot.installed():
        compare(ours, of_dovecot(where), "Dovecot", table)
    else:
        tap.ok(True, "Dovecot # SKIP it is not here")
    tap.done()


main()
