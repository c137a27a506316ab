"""The servers that are measured: our murder, Dovecot's and nginx's proxies.

Each has `at`, addresses by name, and `trees`, process ids of parents by name.
"""
import imaplib
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import time

TOP = os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))))
MURDER = os.path.join(TOP, "t", "murder")
sys.path.append(os.path.join(TOP, "t", "play", "lib"))
from daemon import (START_SECONDS, Failed, add_user,  # noqa: E402,F401
                    free_ports)


def text_of(value, unit):
    digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2
    return "%.*f %s" % (digits, value, unit)


def descendants(pid):
    found, new = [], [pid]
    while new:
        found += new
        children = []
        for p in new:
            try:
                for task in os.listdir("/proc/%d/task" % p):
                    with open("/proc/%d/task/%s/children" % (p, task)) as f:
                        children += [int(c) for c in f.read().split()]
            except OSError:
                continue
        new = children
    return found


def pss_of(pid, what=("Pss:",)):
    """Kilobytes of memory of a process and all below it: each page by the
    share that is theirs."""
    total = 0
    for p in descendants(pid):
        try:
            with open("/proc/%d/smaps_rollup" % p) as f:
                for line in f:
                    if line.startswith(what):
                        total += int(line.split()[1])
        except OSError:
            continue
    return total


def own_of(pid):
    """The same without the page cache: files may have been read by any."""
    return pss_of(pid, ("Pss_Anon:", "Pss_Shmem:"))


def forget(where):
    """What the kernel remembers of the files below a directory."""
    os.sync()
    for base, _, names in os.walk(where):
        for name in names:
            try:
                fd = os.open(os.path.join(base, name), os.O_RDONLY |
                             os.O_NONBLOCK | os.O_NOFOLLOW)
            except OSError:
                continue
            os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(fd)


def seed(address, users, size, mailbox):
    """One message of a size in a mailbox of each user."""
    line = b"The quick brown fox jumps over the lazy dog; so it goes on.\r\n"
    text = b"From: sender@example.org\r\nSubject: measuring\r\n\r\n"
    text += line * ((size - len(text)) // len(line))
    host, port = address.split(":")
    for i in range(1, users + 1):
        with imaplib.IMAP4(host, int(port), timeout=START_SECONDS) as imap:
            imap.login("user%d" % i, "password")
            imap.create(mailbox)
            status, said = imap.append(mailbox, None, None, text)
            if status != "OK":
                raise Failed("APPEND at %s: %s" % (address, said))


class Ours:
    name = "ours"

    def __init__(self, where, users, more=()):
        self.dir = where
        self.murder("start", "--backends", "1", "--frontends", "1", "--users",
                    str(users), *more)
        self.read_env()

    def murder(self, verb, *more):
        done = subprocess.run([MURDER, verb, self.dir, *more],
                              stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True)
        if done.returncode != 0:
            raise Failed("t/murder %s: %s" % (verb, done.stdout))

    def env(self):
        with open(os.path.join(self.dir, "env")) as f:
            return dict(line.strip().split("=", 1) for line in f)

    def read_env(self):
        env = self.env()
        self.cert = env["CA"]
        self.key = os.path.join(self.dir, "tls", "key.pem")
        self.at = {"imap": env["FRONTEND1_IMAP"],
                   "imaps": env["FRONTEND1_IMAPS"],
                   "lmtp": env["FRONTEND1_LMTP"],
                   "direct imap": env["BACKEND1_IMAP"],
                   "direct lmtp": env["BACKEND1_LMTP"],
                   "mupdate": env["MUPDATE"]}
        self.trees = {"proxyd": int(env["FRONTEND1_PID"]),
                      "backendd": int(env["BACKEND1_PID"])}

    def restart(self):
        """New processes, which hold no memory of before."""
        for name in ("frontend1", "backend1"):
            self.murder("down", name)
        for name in ("backend1", "frontend1"):
            self.murder("up", name)
        self.read_env()

    def stop(self):
        self.murder("stop")

    def version(self):
        done = subprocess.run(["git", "-C", TOP, "describe", "--always",
                               "--dirty"], stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL, text=True)
        return "murder " + (done.stdout.strip() or "unknown")


class Alone(Ours):
    """One backend, without a murder around it."""

    def __init__(self, where, users, more=()):
        self.dir = where
        self.murder("start", "--backends", "1", "--frontends", "0",
                    "--no-mupdate", "--users", str(users), *more)
        self.read_env()
        self.mail = os.path.join(where, "data", "backend1", "spool")

    def read_env(self):
        env = self.env()
        self.cert = env["CA"]
        self.key = os.path.join(self.dir, "tls", "key.pem")
        self.at = {"imap": env["BACKEND1_IMAP"], "lmtp": env["BACKEND1_LMTP"]}
        self.tree = int(env["BACKEND1_PID"])

    def restart(self, between=lambda: None, signal="TERM"):
        self.murder("down", "backend1", signal)
        between()
        self.murder("up", "backend1")
        self.read_env()


class Program:
    """A server of somebody else's, in the foreground, under our eyes."""

    def __init__(self, where, command, ports):
        os.makedirs(where, exist_ok=True)
        self.log = os.path.join(where, "log")
        with open(self.log, "a") as log:
            self.child = subprocess.Popen(command, stdin=subprocess.DEVNULL,
                                          stdout=log, stderr=log,
                                          start_new_session=True)
        for port in ports:
            self.await_port(port)

    def await_port(self, port):
        deadline = time.monotonic() + START_SECONDS
        while self.child.poll() is None and time.monotonic() < deadline:
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                return
            except OSError:
                time.sleep(0.02)
        self.stop()
        with open(self.log, errors="replace") as f:
            raise Failed("%s: %s" % (self.child.args[0], f.read()[-2000:]))

    def stop(self):
        self.child.send_signal(signal.SIGTERM)
        try:
            self.child.wait(20)
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.wait()


# What both of Dovecot's instances have.  Limits are out of the way; syncs are
# as they come (mail_fsync = optimized: a delivery is synced).
DOVECOT = """
base_dir = {dir}/run
state_dir = {dir}/state
instance_name = bench-{name}
log_path = {dir}/dovecot.log
info_log_path = /dev/null
listen = 127.0.0.1
protocols = imap lmtp
ssl = yes
ssl_cert = <{cert}
ssl_key = <{key}
disable_plaintext_auth = no
auth_mechanisms = plain login
mail_max_userip_connections = 0
default_client_limit = 20000
default_process_limit = 20000
default_vsz_limit = 0
first_valid_uid = 1
mail_location = {location}
passdb {{
  {passdb}
}}
userdb {{
  driver = static
  args = uid={uid} gid={gid} home={dir}/mail/%u allow_all_users=yes
}}
service imap-login {{
  service_count = 0
  process_min_avail = 2
  process_limit = 2
  inet_listener imap {{
    port = {imap}
  }}
  inet_listener imaps {{
    port = {imaps}
    ssl = yes
  }}
}}
service imap {{
  service_count = 1000
  process_min_avail = 8
}}
service lmtp {{
  service_count = 0
  process_min_avail = 4
  inet_listener lmtp {{
    port = {lmtp}
  }}
}}
"""


class Dovecot:
    """Its proxy before its backend."""
    name = "Dovecot"
    location = "maildir:~/Maildir"

    @staticmethod
    def installed():
        return shutil.which("dovecot") is not None and os.getuid() == 0 and \
            os.path.exists("/usr/lib/dovecot/lmtp")

    def __init__(self, where, users, ours):
        self.dir = where
        os.makedirs(where)
        os.chmod(where, 0o755)
        self.programs = []
        try:
            self.start(users, ours)
        except (Failed, OSError):
            self.stop()
            raise

    def start(self, users, ours):
        ports = free_ports(6)
        be, fe = ports[:3], ports[3:]
        self.run_backend(be, users, ours)
        self.run("proxy", fe, ours,
                 "driver = static\n  args = proxy=y host=127.0.0.1 "
                 "port=%%{if;%%s;eq;lmtp;%d;%d} nopassword=y" % (be[2], be[0]),
                 "lmtp_proxy = yes\n")
        at = lambda port: "127.0.0.1:%d" % port
        self.at = {"imap": at(fe[0]), "imaps": at(fe[1]), "lmtp": at(fe[2]),
                   "direct imap": at(be[0]), "direct lmtp": at(be[2])}
        self.trees = {"backend": self.programs[0].child.pid,
                      "proxy": self.programs[1].child.pid}

    def run_backend(self, ports, users, ours):
        passwd = os.path.join(self.dir, "passwd")
        with open(passwd, "w") as f:
            for i in range(1, users + 1):
                f.write("user%d:{PLAIN}password::::::\n" % i)
        self.run("backend", ports, ours,
                 "driver = passwd-file\n  args = %s" % passwd)

    def run(self, name, ports, ours, passdb, more=""):
        where = os.path.join(self.dir, name)
        mail = os.path.join(where, "mail")
        os.makedirs(mail)
        nobody = pwd.getpwnam("nobody")
        os.chown(mail, nobody.pw_uid, nobody.pw_gid)
        with open(os.path.join(where, "dovecot.conf"), "w") as f:
            f.write(DOVECOT.format(
                dir=where, name=name, cert=ours.cert, key=ours.key,
                passdb=passdb, uid=nobody.pw_uid, gid=nobody.pw_gid,
                imap=ports[0], imaps=ports[1], lmtp=ports[2],
                location=self.location) + more)
        self.up(where, ports)

    def up(self, where, ports):
        conf = os.path.join(where, "dovecot.conf")
        self.programs.append(
            Program(where, ["dovecot", "-F", "-c", conf], ports))

    def stop(self):
        for p in reversed(self.programs):
            p.stop()
        self.programs = []

    def version(self):
        done = subprocess.run(["dovecot", "--version"], text=True,
                              stdout=subprocess.PIPE)
        return "Dovecot " + done.stdout.strip()


class DovecotStore(Dovecot):
    """Its backend alone, with mail as one of its formats has it."""

    def __init__(self, where, users, ours, kind):
        self.name = "Dovecot " + kind
        self.location = {"Maildir": "maildir:~/Maildir",
                         "sdbox": "sdbox:~/mail"}[kind]
        super().__init__(where, users, ours)

    def start(self, users, ours):
        self.ports = free_ports(3)
        self.run_backend(self.ports, users, ours)
        at = lambda port: "127.0.0.1:%d" % port
        self.at = {"imap": at(self.ports[0]), "lmtp": at(self.ports[2])}
        self.mail = os.path.join(self.dir, "backend", "mail")

    @property
    def tree(self):
        return self.programs[0].child.pid

    def restart(self, between=lambda: None):
        self.stop()
        between()
        self.up(os.path.join(self.dir, "backend"), self.ports)


NGINX = """
load_module /usr/lib/nginx/modules/ngx_mail_module.so;
user nobody nogroup;
worker_processes 2;
worker_rlimit_nofile 20000;
pid {dir}/nginx.pid;
error_log {dir}/nginx.log error;
events {{ worker_connections 9000; multi_accept on; }}
http {{
  access_log off;
  client_body_temp_path {dir}/tmp; proxy_temp_path {dir}/tmp;
  fastcgi_temp_path {dir}/tmp; uwsgi_temp_path {dir}/tmp;
  scgi_temp_path {dir}/tmp;
  server {{
    listen 127.0.0.1:{auth} backlog=4096;
    location /auth {{
      add_header Auth-Status OK;
      add_header Auth-Server 127.0.0.1;
      add_header Auth-Port {backend};
      return 200;
    }}
  }}
}}
mail {{
  auth_http 127.0.0.1:{auth}/auth;
  imap_capabilities IMAP4rev1 LITERAL+ IDLE ID ENABLE NAMESPACE UIDPLUS;
  proxy_timeout 24h;
  ssl_certificate {cert};
  ssl_certificate_key {key};
  ssl_session_cache off;
  server {{ listen 127.0.0.1:{imap} backlog=4096; protocol imap; }}
  server {{ listen 127.0.0.1:{imaps} ssl backlog=4096; protocol imap; }}
}}
"""


class Nginx:
    """Its mail proxy before somebody's backend."""

    @staticmethod
    def installed():
        return shutil.which("nginx") is not None and os.getuid() == 0 and \
            os.path.exists("/usr/lib/nginx/modules/ngx_mail_module.so")

    def __init__(self, where, behind, ours):
        self.name = "nginx > " + behind.name
        os.makedirs(where)
        os.chmod(where, 0o755)
        imap, imaps, auth = free_ports(3)
        direct = behind.at["direct imap"]
        conf = os.path.join(where, "nginx.conf")
        with open(conf, "w") as f:
            f.write(NGINX.format(dir=where, cert=ours.cert, key=ours.key,
                                 imap=imap, imaps=imaps, auth=auth,
                                 backend=direct.split(":")[1]))
        self.program = Program(where, ["nginx", "-g", "daemon off;", "-p",
                                       where, "-c", conf],
                               [imap, imaps, auth])
        self.at = {"imap": "127.0.0.1:%d" % imap,
                   "imaps": "127.0.0.1:%d" % imaps, "direct imap": direct}
        self.trees = {"proxy": self.program.child.pid}

    def stop(self):
        self.program.stop()

    def version(self):
        done = subprocess.run(["nginx", "-v"], text=True,
                              stderr=subprocess.PIPE)
        return done.stderr.strip().split(": ")[-1]
