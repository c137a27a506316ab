"""A murder of our daemons and of Cyrus's, side by side on one update server.

  with Rig("ours") as r:             # or "cyrus": whose update server
      c = r.imap("cfe1", "user1")    # wire.Wire, logged in
      r.backends["cyrus"]            # the host's name, as a location has it

hosts: the update server, two frontends and a backend of ours (ofe1, ofe2,
obe), two frontends and a backend of Cyrus's (cfe1, cfe2, cbe).  All have the
same names of users and passwords, and the same layout of mailbox names.
"""
import os
import re
import signal
import smtplib
import sys

import cyrus
import namespaces
from daemon import add_user
from mupdate import Client
from murder import await_that, machine
from tap import tap
from wire import Wire

DOMAIN = ".murder.test"
SHORT = ["mup", "obe", "cbe", "ofe1", "ofe2", "cfe1", "cfe2"]
HOSTS = {name + DOMAIN: "127.0.0.%d" % (11 + i)
         for i, name in enumerate(SHORT)}
USERS = ["user%d" % i for i in range(1, 10)]


class Ours(machine.Murder):
    """Our daemons, at the addresses that the rig has for them."""

    def __init__(self, where, with_mupdate, layout):
        super().__init__(where)
        self.layout = layout
        at = lambda name, port: "%s:%d" % (HOSTS[name + DOMAIN], port)
        ports = {"IMAP": 143, "IMAPS": 993, "LMTP": 24, "SIEVE": 4190}
        self.plan = {
            "users": 0, "mupdate": at("mup", 3905), "set": [],
            "backends": {"obe": {k: at("obe", p) for k, p in ports.items()}},
            "frontends": {name: {k: at(name, p) for k, p in ports.items()}
                          for name in ("ofe1", "ofe2")},
        }
        self.with_mupdate = with_mupdate
        for d in ("conf", "log", "run", "tls", "data"):
            os.makedirs(self.path(d), exist_ok=True)
        self.make_certificate()
        for name in self.names():
            machine.write(self.path("conf", name + ".conf"),
                          self.conf_of(name), 0o600)

    def names(self):
        first = ["mup"] if self.with_mupdate else []
        return first + list(self.plan["backends"]) + \
            list(self.plan["frontends"])

    @staticmethod
    def program(name):
        return {"m": "mupdated", "o": {"b": "backendd", "f": "proxyd"}.get(
            name[1])}[name[0]]

    def conf_of(self, name):
        make = {"mupdated": self.mupdated_conf, "backendd": self.backendd_conf,
                "proxyd": self.proxyd_conf}[self.program(name)]
        text = make(name).replace("hostname = %s\n" % name,
                                  "hostname = %s%s\n" % (name, DOMAIN))
        own = ["auth_failure_delay = 1ms", "log_level = debug",
               "allow_plaintext = yes"]
        if name == "mup":
            own += ["writer = cbe", "host = obe:obe" + DOMAIN,
                    "host = cbe:cbe" + DOMAIN, "reader = cfe1",
                    "reader = cfe2"]
        else:
            own += self.layout
        if self.program(name) == "proxyd":
            text = "\n".join(line for line in text.split("\n")
                             if not line.startswith("backend ="))
            own += ["backend = %s%s %s lmtp=%s" % (
                b, DOMAIN, HOSTS[b + DOMAIN] + ":143",
                HOSTS[b + DOMAIN] + ":24") for b in ("obe", "cbe")]
        return text + "\n".join(own) + "\n"


class Rig:
    def __init__(self, update_server, separator="/", altnamespace=True):
        for why in (cyrus.missing(),):
            if why is not None:
                namespaces.skip(why)
        self.dir = namespaces.enter(HOSTS)
        self.update_server = update_server
        self.altnamespace = altnamespace
        self.separator = separator
        self.backends = {"ours": "obe" + DOMAIN, "cyrus": "cbe" + DOMAIN}
        self.make_passwords()
        self.ours = Ours(self.dir, update_server == "ours", [
            "separator = " + ("slash" if separator == "/" else "dot"),
            "altnamespace = " + ("yes" if altnamespace else "no"),
            "admin_altnamespace = no"])
        self.cyrus = {name: self.cyrus_host(name) for name in SHORT
                      if name[0] == "c"}
        if update_server == "cyrus":
            self.cyrus["mup"] = self.cyrus_host("mup")

    def make_passwords(self):
        """Each Cyrus host is a realm of its own; ours share one."""
        people = ["admin", "proxy"] + SHORT + USERS
        realms = {"murder": people, "mup" + DOMAIN: ["admin"] + SHORT}
        for name in ("cbe", "cfe1", "cfe2"):
            realms[name + DOMAIN] = ["admin", "proxy"] + USERS
        self.sasldb = os.path.join(self.dir, "sasldb")
        os.makedirs(os.path.join(self.dir, "conf"), exist_ok=True)
        for realm, names in realms.items():
            for name in names:
                add_user(self.sasldb, name, realm)
        os.chmod(self.sasldb, 0o644)
        os.symlink(self.sasldb, os.path.join(self.dir, "conf", "sasldb"))

    def cyrus_host(self, name):
        role = {"m": "master", "b": "backend", "f": "frontend"}[
            name[0] if name == "mup" else name[1]]
        options = {
            "admins": "admin",
            "sasl_sasldb_path": self.sasldb,
            "unixhierarchysep": "yes" if self.separator == "/" else "no",
            "altnamespace": "yes" if self.altnamespace else "no",
        }
        if role == "master":
            options["admins"] = " ".join(["admin"] + SHORT)
        else:
            options.update({"mupdate_server": "mup" + DOMAIN,
                            "mupdate_authname": name,
                            "mupdate_username": name,
                            "mupdate_password": "password",
                            "mupdate_retry_delay": "2"})
        size = None
        if role == "backend":
            size = "64m"
            options.update({"proxyservers": "proxy", "lmtp_admins": "proxy"})
        if role == "frontend":
            options.update({
                "proxy_authname": "proxy", "proxy_password": "password",
                "serverlist": " ".join(self.backends.values()),
                "proxyd_disable_mailbox_referrals": "yes"})
        return cyrus.Cyrus(self.dir, name + DOMAIN, HOSTS[name + DOMAIN],
                           role, options, size)

    # --- life ---------------------------------------------------------------

    def __enter__(self):
        try:
            for name in SHORT:
                self.up(name, wait=name[0] != "c")
            for host in self.cyrus.values():
                host.await_ready()
        except BaseException:
            self.show_logs()
            self.stop()
            raise
        return self

    def __exit__(self, kind, value, trace):
        self.stop()
        tap.equal(self.mishaps(), [], "nothing went wrong inside")
        if kind is not None or tap.failed:
            self.show_logs()
        return False

    def mishaps(self):
        """What our daemons and Cyrus's should never say."""
        wrong = re.compile("Sanitizer|runtime error|panic|child died|"
                           r"signaled to death by signal (?!15 )")
        found = []
        for name in os.listdir(os.path.join(self.dir, "log")):
            with open(os.path.join(self.dir, "log", name),
                      errors="replace") as f:
                found += [line.strip() for line in f if wrong.search(line)]
        return found

    def up(self, name, wait=True):
        if name in self.cyrus:
            self.cyrus[name].up(wait)
        else:
            self.ours.up(name)

    def down(self, name, signo=signal.SIGTERM):
        if name in self.cyrus:
            self.cyrus[name].down(signo)
        else:
            self.ours.down(name, signo)

    def restart_update_server(self):
        """Until all frontends of Cyrus's have its list again."""
        before = {name: self.synchronised(name) for name in ("cfe1", "cfe2")}
        self.down("mup")
        self.up("mup")
        for name, count in before.items():
            await_that(lambda: self.synchronised(name) > count,
                       "%s has the list again" % name)

    def names(self):
        """What the update server has: (name, location, acl)."""
        m = Client(3905, host=HOSTS["mup" + DOMAIN])
        m.banner()
        m.login("admin")
        found = [line[2:] for line in m.ask(b"LIST")[:-1]]
        m.close()
        return found

    def synchronised(self, name):
        """How often a frontend of Cyrus's has fetched the list."""
        with open(os.path.join(self.dir, "log", "syslog"),
                  errors="replace") as f:
            return sum(name + DOMAIN in line and
                       "list synchronization complete" in line for line in f)

    def stop(self):
        for name in reversed(SHORT):
            self.down(name)

    def show_logs(self):
        """To the standard error: what they are is for a person."""
        for name in os.listdir(os.path.join(self.dir, "log")):
            with open(os.path.join(self.dir, "log", name),
                      errors="replace") as f:
                lines = f.readlines()[-12:]
            sys.stderr.write("# --- %s\n# %s" % (name, "# ".join(lines)))

    # --- clients ------------------------------------------------------------

    def imap(self, name, user=None):
        w = Wire(HOSTS[name + DOMAIN], 143)
        if user is not None:
            w.want("LOGIN %s password" % user)
        return w

    def address(self, what):
        """Of our first frontend, as t/play/lib/sieve.py asks for it."""
        assert what == "SIEVE"
        return HOSTS["ofe1" + DOMAIN], 4190

    def may_insert(self, name, user, mailbox):
        w = self.imap(name, user)
        found = w.ask('MYRIGHTS "%s"' % mailbox)[0]
        w.close()
        return bool(found) and b"i" in found[0].rsplit(b" ", 1)[1]

    def lmtp(self, name):
        m = smtplib.LMTP()
        m.timeout = 60
        m.connect(HOSTS[name + DOMAIN], 24)
        m.ehlo("play.test")
        return m
