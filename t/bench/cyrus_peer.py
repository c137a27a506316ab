#!/usr/bin/python3
"""Cyrus IMAP's update server and a frontend of it, for t/bench/run.

They have a network of their own (t/interop/lib/namespaces.py), so that they
are measured by load generators started in there.  A line of JSON in is an
order, a line out is what came of it; the end of the input ends all.

  {"do": "up", "name": "mup", "where": "disk" or "memory"}    {"seconds": 1.2}
  {"do": "load", "name": "mup", "args": [...]}                load's report
  {"do": "pss", "name": "mup"}                                {"own_kb": 1}
  {"do": "down", "name": "mup"}
"""
import json
import os
import shutil
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.dont_write_bytecode = True
sys.path[1:1] = [os.path.join(HERE, "..", "interop", "lib")]

import cyrus  # noqa: E402
import namespaces  # noqa: E402
from servers import TOP, own_of  # noqa: E402

DOMAIN = ".murder.test"
HOSTS = {"mup" + DOMAIN: "127.0.0.11", "fe" + DOMAIN: "127.0.0.12"}
PORTS = {"mup": 3905, "fe": 143}
LOAD = os.path.join(TOP, os.environ.get("B", "build"), "t", "bench", "load")
READY_SECONDS = 600


class Peer:
    def __init__(self, where):
        self.dir = where
        self.hosts = {}
        self.sasldb = os.path.join(where, "sasldb")
        for host in HOSTS:
            for name in ("admin", "writer", "fe", "u0000001"):
                subprocess.run(["saslpasswd2", "-p", "-c", "-f", self.sasldb,
                                "-u", host, name], input=b"password",
                               check=True)
        os.chmod(self.sasldb, 0o644)
        cyrus.START_SECONDS = READY_SECONDS

    def options(self, name):
        options = {"admins": "admin writer fe",
                   "sasl_sasldb_path": self.sasldb,
                   "mupdate_connections_max": "128",
                   "unixhierarchysep": "no", "altnamespace": "yes"}
        if name == "fe":
            options.update({"mupdate_server": "mup" + DOMAIN,
                            "mupdate_authname": "fe",
                            "mupdate_username": "fe",
                            "mupdate_password": "password",
                            "proxy_authname": "fe",
                            "proxy_password": "password",
                            "proxyd_disable_mailbox_referrals": "yes"})
        return options

    def up(self, order):
        name = order["name"]
        # /dev/shm in there is a file system in memory.
        where = os.path.join("/dev/shm" if order.get("where") == "memory"
                             else self.dir, "cyrus")
        os.makedirs(where, exist_ok=True)
        os.chmod(where, 0o755)
        host = cyrus.Cyrus(where, name + DOMAIN, HOSTS[name + DOMAIN],
                           "master" if name == "mup" else "frontend",
                           self.options(name))
        host.lay_out()
        self.hosts[name] = host
        began = time.monotonic()
        host.up()
        return {"seconds": time.monotonic() - began}

    def load(self, order):
        name = order["name"]
        mode, *more = order["args"]
        address = "%s:%d" % (HOSTS[name + DOMAIN], PORTS[name])
        done = subprocess.run([LOAD, mode, address] + more,
                              stdout=subprocess.PIPE,
                              stdin=subprocess.DEVNULL, text=True)
        try:
            return json.loads(done.stdout)
        except ValueError:
            return {"error": "load %s: %s" % (mode, done.stdout)}

    def pss(self, order):
        return {"own_kb": own_of(self.hosts[order["name"]].child.pid)}

    def down(self, order):
        host = self.hosts.pop(order["name"], None)
        if host is not None:
            host.down()
            shutil.rmtree(host.dir, ignore_errors=True)
        return {}

    def stop(self):
        for name in list(self.hosts):
            self.down({"name": name})


def main():
    for why in (namespaces.missing(), cyrus.missing()):
        if why is not None:
            print(json.dumps({"error": why}), flush=True)
            return
    peer = Peer(namespaces.enter(HOSTS))
    print(json.dumps({}), flush=True)
    try:
        for line in sys.stdin:
            order = json.loads(line)
            try:
                said = getattr(peer, order["do"])(order)
            except (cyrus.Failed, OSError, subprocess.SubprocessError) as e:
                said = {"error": str(e)}
            print(json.dumps(said), flush=True)
    finally:
        peer.stop()


if __name__ == "__main__":
    main()
