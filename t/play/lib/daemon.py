"""Daemons of ours as processes: their ports, their start, their children.

  imap, lmtp = free_ports(2)
  child = start("backendd", path_of_conf, path_of_log)
  for title, pid in children(child.pid): ...     # ("store", 123)
"""
import os
import random
import select
import signal
import socket
import subprocess

HERE = os.path.dirname(os.path.abspath(__file__))
BIN = os.path.abspath(os.environ.get("MURDER_BIN") or
                      os.path.join(HERE, "..", "..", "..",
                                   os.environ.get("B", "build"), "bin"))
START_SECONDS = 60
QUICK = ["auth_failure_delay = 1ms", "restart_delay = 100ms"]  # in any daemon

claims = []  # on ports; they end with this process


class Failed(Exception):
    """Says to a person what went wrong."""


def claim(port):
    """
    Is it free, and nobody's who looks in the same way?  The claim is the name
    of a socket, which is nowhere in a file system: a port is not used between
    now and the daemon's start, nor while the daemon is down.
    """
    mark = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    try:
        mark.bind("\0murder.port.%d" % port)
        socket.create_server(("127.0.0.1", port)).close()
    except OSError:
        mark.close()
        return False
    claims.append(mark)
    return True


def free_ports(count):
    """
    All different.  Not of those that the kernel gives to outgoing connections,
    if there are others: one of them would take the port of a daemon that is
    down for a moment.
    """
    with open("/proc/sys/net/ipv4/ip_local_port_range") as f:
        low = int(f.read().split()[0])
    choice = list(range(10000, low if low > 20000 else 60000))
    random.shuffle(choice)
    ports = []
    while len(ports) < count:
        port = choice.pop()
        if claim(port):
            ports.append(port)
    return ports


def add_user(sasldb, name, realm="murder"):
    run(["saslpasswd2", "-p", "-c", "-f", sasldb, "-u", realm, name],
        "password")


def make_certificate(key, cert, names="DNS:localhost,IP:127.0.0.1"):
    run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
         "ec_paramgen_curve:prime256v1", "-nodes", "-days", "365",
         "-subj", "/CN=murder", "-addext", "subjectAltName=" + names,
         "-keyout", key, "-out", cert])


def run(command, data=""):
    done = subprocess.run(command, input=data, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if done.returncode != 0:
        raise Failed("%s: %s" % (command[0], done.stdout.strip()))


def tail(log, lines):
    try:
        with open(log, errors="replace") as f:
            return f.readlines()[-lines:]
    except OSError:
        return []


def start(program, conf, log, **more):
    """The process, once it says that it is ready (sd_notify)."""
    notify = conf + ".notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ready, \
            open(log, "a") as out:
        ready.bind(notify)
        try:
            child = subprocess.Popen(
                [os.path.join(BIN, program), "-d", "-f", conf],
                stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                env=dict(os.environ, NOTIFY_SOCKET=notify), **more)
            await_ready(child, ready, log)
        finally:
            os.unlink(notify)
    return child


def await_ready(child, ready, log):
    handle = os.pidfd_open(child.pid)
    why = "is not ready after %d s" % START_SECONDS
    while True:
        some = select.select([ready, handle], [], [], START_SECONDS)[0]
        if ready in some and b"READY=1" in ready.recv(4096):
            os.close(handle)
            return
        if handle in some:
            why = "ended, status %d" % child.wait()
        if ready not in some:
            break
    os.close(handle)
    child.kill()
    child.wait()
    raise Failed("%s %s:\n%s" % (child.args[0], why, "".join(tail(log, 15))))


def children(parent):
    """(title, pid) of those that run, such as ("store", 123)."""
    found = []
    for pid in os.listdir("/proc"):
        if not pid.isdigit():
            continue
        try:
            with open("/proc/%s/stat" % pid) as f:
                fields = f.read().rsplit(")", 1)[1].split()
            with open("/proc/%s/comm" % pid) as f:
                title = f.read().strip().rsplit("/", 1)[-1]
        except (OSError, IndexError):
            continue
        if int(fields[1]) == parent and fields[0] != "Z":
            found.append((title, int(pid)))
    return sorted(found)


def kill_child(parent, title):
    """SIGKILL to the first child of that title: its pid, or None."""
    for t, pid in children(parent):
        if t == title:
            os.kill(pid, signal.SIGKILL)
            return pid
    return None


def resident(pid):
    """The greatest resident set so far, in kB."""
    with open("/proc/%d/status" % pid) as f:
        for line in f:
            if line.startswith("VmHWM:"):
                return int(line.split()[1])
    return 0
