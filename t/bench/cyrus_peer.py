#!/usr/bin/python3
"""Cyrus IMAP's update server, a frontend of it, and a server alone, for
t/bench/run.

They have a network of their own (t/interop/lib/namespaces.py), so that they
are measured by load generators started in there.  A line of JSON in is an
order, a line out is what came of it; the end of the input ends all.

  {"do": "up", "name": "mup", "where": "disk" or "memory"}    {"seconds": 1.2}
  {"do": "load", "name": "mup", "args": [...]}                load's report
  {"do": "work", "name": "be", "args": {"work": "fill", ...}} what it gives
  {"do": "restart", "name": "be"}         all it has read is forgotten
  {"do": "pss", "name": "mup"}                      {"own_kb": 1, "kb": 2}
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
import storework  # noqa: E402
from servers import TOP, add_user, forget, own_of, pss_of  # noqa: E402

DOMAIN = ".murder.test"
HOSTS = {"mup" + DOMAIN: "127.0.0.11", "fe" + DOMAIN: "127.0.0.12",
         "be" + DOMAIN: "127.0.0.13"}
PORTS = {"mup": 3905, "fe": 143, "be": 143}
ROLES = {"mup": "master", "fe": "frontend", "be": "alone"}
USERS = 100  # of the server alone, that can log in
LOAD = os.path.join(TOP, os.environ.get("B", "build"), "t", "bench", "load")
READY_SECONDS = 600


class Peer:
    def __init__(self, where):
        self.dir = where
        self.hosts = {}
        self.sasldb = os.path.join(where, "sasldb")
        for host in HOSTS:
            for name in ("admin", "writer", "fe", "u0000001"):
                self.password(host, name)
        os.chmod(self.sasldb, 0o644)
        cyrus.START_SECONDS = READY_SECONDS

    def password(self, host, name):
        add_user(self.sasldb, name, host)

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
        if name == "be":
            options.update({"autocreate_quota": "0", "autocreate_post": "yes",
                            "maxlogins_per_user": "0", "lmtp_timeout": "3600"})
        return options

    def up(self, order):
        name = order["name"]
        # /dev/shm in there is a file system in memory.
        where = os.path.join("/dev/shm" if order.get("where") == "memory"
                             else self.dir, "cyrus")
        os.makedirs(where, exist_ok=True)
        os.chmod(where, 0o755)
        for i in range(USERS if name == "be" else 0):
            self.password(name + DOMAIN, "user%d" % (i + 1))
        host = cyrus.Cyrus(where, name + DOMAIN, HOSTS[name + DOMAIN],
                           ROLES[name], self.options(name))
        host.lay_out()
        self.hosts[name] = host
        began = time.monotonic()
        host.up()
        return {"seconds": time.monotonic() - began}

    def load(self, order):
        name = order["name"]
        mode, *more = order["args"]
        address = "%s:%d" % (HOSTS[name + DOMAIN],
                             24 if mode == "lmtp" else PORTS[name])
        done = subprocess.run([LOAD, mode, address] + more,
                              stdout=subprocess.PIPE,
                              stdin=subprocess.DEVNULL, text=True)
        try:
            return json.loads(done.stdout)
        except ValueError:
            return {"error": "load %s: %s" % (mode, done.stdout)}

    def work(self, order):
        name = order["name"]
        address = "%s:%d" % (HOSTS[name + DOMAIN], PORTS[name])
        return storework.do(address=address, **order["args"])

    def restart(self, order):
        host = self.hosts[order["name"]]
        host.down()
        forget(host.dir)
        host.up()
        return {}

    def pss(self, order):
        pid = self.hosts[order["name"]].child.pid
        return {"own_kb": own_of(pid), "kb": pss_of(pid)}

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
            except (cyrus.Failed, storework.Failed, OSError,
                    subprocess.SubprocessError) as e:
                said = {"error": str(e)}
            print(json.dumps(said), flush=True)
    finally:
        peer.stop()


if __name__ == "__main__":
    main()
