"""A Dovecot with mail of its own, for one test; every password is "password".

  with Dovecot(directory) as d:
      Wire("127.0.0.1", d.port, "fred")
"""
import os
import pwd
import shutil

import servers

DOVECOT = """
base_dir = {dir}/run
state_dir = {dir}/state
log_path = {dir}/log
listen = 127.0.0.1
protocols = imap
ssl = no
disable_plaintext_auth = no
first_valid_uid = 1
default_vsz_limit = 0
mail_location = sdbox:~/mail
namespace inbox {{
  inbox = yes
  separator = /
}}
passdb {{
  driver = static
  args = password=password
}}
userdb {{
  driver = static
  args = uid={uid} gid={gid} home={dir}/mail/%u
}}
service imap-login {{
  inet_listener imap {{
    port = {port}
  }}
}}
"""


class Dovecot:
    def __init__(self, home):
        mail = os.path.join(home, "mail")
        os.makedirs(mail)
        os.chmod(home, 0o755)
        nobody = pwd.getpwnam("nobody")
        os.chown(mail, nobody.pw_uid, nobody.pw_gid)
        conf = os.path.join(home, "dovecot.conf")
        self.port = servers.free_ports(1)[0]
        with open(conf, "w") as f:
            f.write(DOVECOT.format(dir=home, port=self.port, uid=nobody.pw_uid,
                                   gid=nobody.pw_gid))
        self.program = servers.Program(home, ["dovecot", "-F", "-c", conf],
                                       [self.port])

    @staticmethod
    def installed():
        return shutil.which("dovecot") is not None and os.getuid() == 0 and \
            os.path.exists("/usr/lib/dovecot/imap")

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        self.program.stop()
