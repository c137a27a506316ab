"""A machine of the test's own: host names, ports, processes and /dev/log.

Cyrus finds a backend by the host name in the mailbox's location, and there
its IMAP and LMTP by the names of the services: so each needs an address and a
name of its own, and the service "lmtp", which Debian does not list.  enter()
starts the program again in namespaces (mounts, network, processes) where that
is so.  What it starts there cannot outlive it, and sees no network.

Works for root, and for others where they may have a user namespace.
"""
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading

INSIDE = "INTEROP_DIR"
SERVICES = {"imap": 143, "imaps": 993, "lmtp": 24, "sieve": 4190,
            "mupdate": 3905, "pop3": 110}
DEVICES = ["null", "zero", "full", "random", "urandom"]


def command():
    words = ["unshare", "--mount", "--net", "--pid", "--fork", "--kill-child",
             "--mount-proc"]
    if os.geteuid() != 0:
        words += ["--map-current-user", "--keep-caps"]
    return words


def missing():
    """Why not, or None."""
    if shutil.which("unshare") is None:
        return "no unshare"
    try:
        tried = subprocess.run(command() + ["true"], timeout=30,
                               stdout=subprocess.PIPE,
                               stderr=subprocess.STDOUT)
    except subprocess.TimeoutExpired:
        return "unshare hangs"
    if tried.returncode != 0:
        return "no namespaces: " + tried.stdout.decode().strip()
    return None


def skip(why):
    print("1..0 # SKIP " + why)
    sys.exit(0)


def enter(hosts):
    """
    hosts: {name: address}.  Returns a directory, inside; the caller outside
    waits, and removes it.
    """
    if INSIDE not in os.environ:
        outside()
    where = os.environ[INSIDE]
    set_up(where, hosts)
    return where


def outside():
    why = missing()
    if why is not None:
        skip(why)
    where = tempfile.mkdtemp(prefix="interop.")
    os.chmod(where, 0o711)
    try:
        status = subprocess.run(
            command() + [sys.executable] + sys.argv,
            env=dict(os.environ, **{INSIDE: where})).returncode
    finally:
        if not os.environ.get("INTEROP_KEEP"):
            shutil.rmtree(where, ignore_errors=True)
    sys.exit(status if status >= 0 else 1)


def mount(*words):
    subprocess.run(["mount"] + list(words), check=True)


def over(where, path, text):
    """This file has this text, for us."""
    mine = os.path.join(where, path.strip("/").replace("/", "-"))
    with open(mine, "w") as f:
        f.write(text)
    mount("--bind", mine, path)


def set_up(where, hosts):
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    with open("/proc/sys/net/ipv4/ip_unprivileged_port_start", "w") as f:
        f.write("0")
    over(where, "/etc/hosts", "127.0.0.1 localhost\n" + "".join(
        "%s %s\n" % (address, name) for name, address in hosts.items()))
    over(where, "/etc/services", "".join(
        "%s %d/tcp\n" % service for service in SERVICES.items()))
    over(where, "/etc/nsswitch.conf", "".join(
        "%s: files\n" % what for what in ("passwd", "group", "shadow",
                                          "hosts", "services", "protocols",
                                          "networks")))
    make_dev(where)


def make_dev(where):
    """Our /dev has a log; what comes there goes to DIR/log/syslog."""
    dev = os.path.join(where, "dev")
    os.mkdir(dev)
    mount("-t", "tmpfs", "-o", "mode=755", "interop", dev)
    for name in DEVICES:
        with open(os.path.join(dev, name), "w"):
            pass
        mount("--bind", "/dev/" + name, os.path.join(dev, name))
    for name, target in (("fd", "fd"), ("stdin", "fd/0"), ("stdout", "fd/1"),
                         ("stderr", "fd/2")):
        os.symlink("/proc/self/" + target, os.path.join(dev, name))
    os.mkdir(os.path.join(dev, "shm"), 0o1777)
    os.chmod(os.path.join(dev, "shm"), 0o1777)
    mount("--rbind", dev, "/dev")
    os.makedirs(os.path.join(where, "log"), exist_ok=True)
    log = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    log.bind("/dev/log")
    os.chmod("/dev/log", 0o666)
    threading.Thread(target=keep_log, daemon=True,
                     args=(log, os.path.join(where, "log", "syslog"))).start()


def keep_log(log, path):
    with open(path, "ab", buffering=0) as f:
        while True:
            line = log.recv(65536)
            f.write(line.split(b">", 1)[-1].rstrip(b"\0\n") + b"\n")
