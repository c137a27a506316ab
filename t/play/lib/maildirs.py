"""A backendd on a tree of Maildirs, and what is in the tree's files."""
import os
import pwd
import re
import subprocess

from backend import Backend

MESSAGE = b"Subject: %s\n\nfrom another program\n"


def make(path):
    for d in ("tmp", "new", "cur"):
        os.makedirs(os.path.join(path, d))


def put(path, name, text):
    with open(os.path.join(path, "tmp", "x"), "wb") as f:
        f.write(text)
    os.rename(os.path.join(path, "tmp", "x"), os.path.join(path, name))


def subject_of(octets):
    m = re.search(rb"^Subject: ([^\r\n]*)", octets, re.M)
    return m.group(1).decode() if m else None


def files(path):
    """Subject: (letters, path) of each message in a Maildir."""
    got = {}
    for sub in ("new", "cur"):
        for name in os.listdir(os.path.join(path, sub)):
            full = os.path.join(path, sub, name)
            with open(full, "rb") as f:
                subject = subject_of(f.read())
            if subject in got:
                raise AssertionError("%s is there twice" % subject)
            got[subject] = (name.partition(":2,")[2], full)
    return got


class Maildirs(Backend):
    def __init__(self, tree=None):
        self.tree = tree
        super().__init__(users=["joe"],
                         conf=["maildir = default %u/Maildir"])

    def lay_out(self):
        super().lay_out()
        if self.tree:
            self.tree(self.path("spool"))

    def box(self, user, name=""):
        return self.path("spool", user, "Maildir", name)


def doveadm(sv, *args):
    """As nobody, since Dovecot reads no mail as root."""
    home = sv.dir + "/dovecot"
    os.makedirs(home, exist_ok=True)
    who = pwd.getpwnam("nobody") if os.getuid() == 0 else \
        pwd.getpwuid(os.getuid())
    if os.getuid() == 0:
        os.chmod(sv.dir, 0o755)
        subprocess.run(["chown", "-R", "%d:%d" % (who.pw_uid, who.pw_gid),
                        sv.dir + "/spool", home], check=True)
    with open(home + "/conf", "w") as f:
        f.write("""
base_dir = {h}/run
log_path = {h}/log
mail_location = maildir:{d}/spool/joe/Maildir
mail_uid = {u}
mail_gid = {g}
first_valid_uid = 1
default_internal_user = root
default_login_user = root
default_internal_group = root
namespace inbox {{
  inbox = yes
  separator = /
}}
""".format(h=home, d=sv.dir, u=who.pw_uid, g=who.pw_gid))
    r = subprocess.run(["doveadm", "-c", home + "/conf"] + list(args),
                       stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                       env=dict(os.environ, HOME=home,
                                USER=who.pw_name))
    return (r.stdout + r.stderr).decode()
