"""Cyrus IMAP 3.6 as Debian has it: an update server, frontends, backends.

  c = Cyrus(DIR, "cbe1.murder.test", "127.0.0.21", "backend", options)
  c.up(); c.down(); c.log("imapd")

One object is one host: an imapd.conf, a cyrus.conf and a master.  What a host
is follows from its options, as in Cyrus itself: mupdate_server makes it one
of a murder, with proxyservers a backend, without a frontend; neither, and
it is alone.
"""
import glob
import grp
import os
import pwd
import signal
import socket
import subprocess
import time

PLACES = ["/", os.path.join(os.path.dirname(os.path.abspath(__file__)),
                            "..", "..", "..", "build", "peers", "cyrus")]
PROGRAMS = ["master", "imapd", "lmtpd", "mupdate", "ctl_mboxlist"]
START_SECONDS = 60
STOP_SECONDS = 20

SERVICES = {
    "master": {"mupdate": ("mupdate -m", 3905, 1)},
    "frontend": {"mupdate": ("mupdate", 3905, 1),
                 "imap": ("imapd", 143, 1),
                 "lmtp": ("lmtpd -a", 24, 1)},
    "backend": {"imap": ("imapd", 143, 1),
                "lmtp": ("lmtpd", 24, 1),
                "sieve": ("timsieved", 4190, 0)},
    "alone": {"imap": ("imapd", 143, 1),
              "lmtp": ("lmtpd -a", 24, 1)},
}
START = {
    "master": ["ctl_cyrusdb -r"],
    "frontend": ["ctl_cyrusdb -r"],
    "backend": ["ctl_cyrusdb -r", "ctl_mboxlist -m"],
    "alone": ["ctl_cyrusdb -r"],
}


class Failed(Exception):
    pass


def place():
    """Where Cyrus is: installed, or as t/deps unpacked it; else None."""
    for top in PLACES:
        bin = os.path.join(os.path.realpath(top), "usr/lib/cyrus/bin")
        if all(os.path.exists(os.path.join(bin, p)) for p in PROGRAMS):
            return bin
    return None


def missing():
    """Why there is no Cyrus here, or None."""
    if place() is None:
        return "Cyrus IMAP is not here: see t/deps cyrus"
    done = subprocess.run(["ldd", os.path.join(place(), "imapd")],
                          env=environment(), stdout=subprocess.PIPE)
    if b"not found" in done.stdout:
        return "Cyrus IMAP lacks libraries: see t/deps cyrus"
    return None


def environment():
    lib = os.path.join(place(), "..", "..")
    if lib.startswith("/usr/lib/"):
        return dict(os.environ)
    libraries = [lib] + [os.path.dirname(path) for path in glob.glob(
        os.path.join(lib, "*", "libcyrus.so.0"))]
    return dict(os.environ, LD_LIBRARY_PATH=":".join(libraries))


def whoami():
    """Cyrus refuses to be root, and must be who owns its files."""
    if os.geteuid() == 0:
        try:
            pwd.getpwnam("cyrus")
            return "cyrus", "mail"
        except KeyError:
            return "nobody", "nogroup"
    return (pwd.getpwuid(os.geteuid()).pw_name,
            grp.getgrgid(os.getegid()).gr_name)


class Cyrus:
    def __init__(self, where, name, address, role, options, size=None):
        """size: of the disk that mail is kept on, made of memory."""
        self.name, self.address, self.role = name, address, role
        self.dir = os.path.join(where, name)
        self.options, self.size = options, size
        self.child = None

    def path(self, *parts):
        return os.path.join(self.dir, *parts)

    # --- configuration ------------------------------------------------------

    def lay_out(self):
        for d in ("conf", "conf/db", "conf/log", "conf/proc", "conf/socket",
                  "conf/lock", "conf/user", "conf/quota", "conf/sieve",
                  "conf/msg", "conf/ptclient", "spool", "sieve"):
            os.makedirs(self.path(d))
        with open(self.path("imapd.conf"), "w") as f:
            f.write(self.imapd_conf())
        with open(self.path("cyrus.conf"), "w") as f:
            f.write(self.cyrus_conf())
        if self.size is not None:
            subprocess.run(["mount", "-t", "tmpfs", "-o", "size=" + self.size,
                            "interop", self.path("spool")], check=True)
        if os.geteuid() == 0:
            user, group = whoami()
            subprocess.run(["chown", "-R", user + ":" + group, self.dir],
                           check=True)

    def imapd_conf(self):
        user, group = whoami()
        lines = {
            "configdirectory": self.path("conf"),
            "partition-default": self.path("spool"),
            "defaultpartition": "default",
            "proc_path": self.path("conf/proc"),
            "mboxname_lockpath": self.path("conf/lock"),
            "lmtpsocket": self.path("conf/socket/lmtp"),
            "idlesocket": self.path("conf/socket/idle"),
            "notifysocket": self.path("conf/socket/notify"),
            "sievedir": self.path("sieve"),
            "servername": self.name,
            "cyrus_user": user,
            "cyrus_group": group,
            "syslog_prefix": self.name,
            "allowplaintext": "yes",
            "sasl_pwcheck_method": "auxprop",
            "sasl_auxprop_plugin": "sasldb",
            "sasl_mech_list": "PLAIN",
            "sasl_minimum_layer": "0",
            "hashimapspool": "yes",
            "popminpoll": "0",
            "failedloginpause": "0",
            "imapidlepoll": "1",
        }
        lines.update(self.options)
        return "".join("%s: %s\n" % line for line in lines.items())

    def cyrus_conf(self):
        program = lambda line: "%s/%s -C %s%s" % (
            place(), line.split(" ")[0], self.path("imapd.conf"),
            "".join(" " + word for word in line.split(" ")[1:]))
        text = "START {\n"
        for i, line in enumerate(START[self.role]):
            text += '  start%d cmd="%s"\n' % (i, program(line))
        text += "}\nSERVICES {\n"
        for name, (line, port, prefork) in SERVICES[self.role].items():
            text += '  %s cmd="%s" listen="%s:%d" prefork=%d maxfds=1024\n' \
                % (name, program(line), self.address, port, prefork)
        return text + "}\nEVENTS {\n}\n"

    # --- running ------------------------------------------------------------

    def ports(self):
        return [port for _, port, _ in SERVICES[self.role].values()]

    def up(self, wait=True):
        if not os.path.exists(self.dir):
            self.lay_out()
        self.child = subprocess.Popen(
            [os.path.join(place(), "master"), "-C", self.path("imapd.conf"),
             "-M", self.path("cyrus.conf"), "-p", self.path("pid"), "-D"],
            stdin=subprocess.DEVNULL, env=environment(),
            start_new_session=True)
        if wait:
            self.await_ready()

    def await_ready(self):
        end = time.monotonic() + START_SECONDS
        for port in self.ports():
            while not self.greets(port):
                if self.child.poll() is not None:
                    raise Failed("%s: master ended" % self.name)
                if time.monotonic() > end:
                    raise Failed("%s: port %d does not answer" % (self.name,
                                                                  port))
                time.sleep(0.05)  # between two looks

    def greets(self, port):
        """A slave says BYE until it has the list."""
        try:
            with socket.create_connection((self.address, port), 10) as s:
                greeting = s.recv(512)
        except OSError:
            return False
        return greeting != b"" and b"BYE" not in greeting

    def down(self, signo=signal.SIGTERM):
        if self.child is None:
            return
        self.child.send_signal(signo)
        try:
            self.child.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.wait()
        self.child = None

    def tool(self, name, *words):
        """One of Cyrus's programs on this host: its status and output."""
        command = [os.path.join(place(), name), "-C", self.path("imapd.conf")]
        if os.geteuid() == 0:
            command = ["setpriv", "--reuid", whoami()[0], "--regid",
                       whoami()[1], "--init-groups"] + command
        done = subprocess.run(command + list(words), stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, env=environment(),
                              timeout=60)
        return done.returncode, done.stdout.decode("utf-8", "replace")
