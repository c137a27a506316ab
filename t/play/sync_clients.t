#!/usr/bin/python3
"""Clients that are not ours and keep mail in step with a backend: offlineimap,
interimap (which needs QRESYNC), imapfilter, and Node's imapflow."""
import mailbox
import os
import shutil
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "lib"))
from backend import Backend, tap  # noqa: E402

TOP = os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))))
NODE = os.path.join(TOP, os.environ.get("B", "build"), "peers", "npm",
                    "node_modules")
SECONDS = 60
NAMES = ["INBOX", "Work", "Work/Old", "Entw&APw-rfe"]

IMAPFILTER = """\
options.create = true
options.subscribe = true
options.starttls = false
account = IMAP { server = "127.0.0.1", port = %d, username = "%s",
    password = "password" }
big = account.INBOX:contain_subject("move me")
big:move_messages(account["Moved/Here"])
account.INBOX:contain_body("flag this"):mark_flagged()
old = account.INBOX:is_unseen() * account.INBOX:contain_from("junk")
old:delete_messages()
for _, m in ipairs(account.INBOX:select_all()) do
    box, uid = table.unpack(m)
    print("left " .. box[uid]:fetch_field("Subject"))
end
"""

IMAPFLOW = """\
const { ImapFlow } = require('imapflow');
const events = [];
async function main(port, user) {
    const make = () => new ImapFlow({ host: '127.0.0.1', port, secure: false,
        auth: { user, pass: 'password' }, logger: false, qresync: true });
    const c = make();
    await c.connect();
    await c.mailboxCreate('Flow/Deep');
    const put = await c.append('Flow/Deep', Buffer.from(
        'From: f@example.org\\r\\nSubject: =?utf-8?q?gr=C3=BC=C3=9Fe?=\\r\\n' +
        '\\r\\nbody\\r\\n'), ['\\\\Seen']);
    console.log('uid', put.uid, 'valid', put.uidValidity > 0n);
    const lock = await c.getMailboxLock('Flow/Deep');
    const m = await c.fetchOne('*', { envelope: true, flags: true,
        bodyStructure: true, source: true, uid: true });
    console.log('subject', m.envelope.subject,
        [...m.flags].filter((f) => f != '\\\\Recent').join());
    console.log('source', m.source.length, m.emailId ? 'emailid' : '-');
    const heard = new Promise((done) => c.on('exists', (d) => done(d)));
    const idle = c.idle();
    const d = make();
    await d.connect();
    await d.append('Flow/Deep', 'Subject: second\\r\\n\\r\\nx\\r\\n');
    console.log('heard', (await heard).count);
    await c.messageFlagsAdd('1:*', ['\\\\Flagged', '$work']);
    console.log('flagged', (await c.search({ flagged: true })).join());
    console.log('moved', (await c.messageMove('1', 'INBOX')).uidMap.size);
    console.log('status', (await c.status('INBOX', { messages: true }))
        .messages);
    lock.release();
    const tree = await c.list();
    console.log('folders', tree.map((b) => b.path).sort().join());
    console.log('quota', JSON.stringify(await c.getQuota('INBOX')).length > 0);
    await c.mailboxDelete('Flow/Deep');
    await d.logout();
    await c.logout();
}
main(Number(process.argv[2]), process.argv[3]).catch((e) => {
    console.log('error', e.message, e.response);
    process.exit(1);
});
"""


def write(path, text, mode=0o600):
    with open(path, "w") as f:
        f.write(text)
    os.chmod(path, mode)
    return path


def run(command, home, **more):
    done = subprocess.run(command, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          timeout=SECONDS, env=dict(
                              os.environ, HOME=home, XDG_CONFIG_HOME=home,
                              XDG_DATA_HOME=home, **more))
    return done.returncode, done.stdout.decode("utf-8", "replace")


def good(status, out, what):
    if not tap.ok(status == 0, what):
        for line in out.splitlines()[-15:]:
            print("# " + line)


def message(subject, text="A line.", sender="a@example.org"):
    return ("From: %s\r\nSubject: %s\r\nMessage-ID: <%s@example.org>\r\n"
            "\r\n%s\r\n" % (sender, subject, subject.replace(" ", "."),
                            text)).encode()


def fill(b, user):
    with b.imap(user) as c:
        for name in NAMES[1:]:
            c.create(name)
            c.subscribe(name)
        for i, name in enumerate(NAMES * 5):
            c.append(name, ["", "\\Seen", "(\\Flagged $Junk)"][i % 3], None,
                     message("number %d" % i))


def everything(b, user):
    """{mailbox: {subject: flags}}, of those that begin "number" or "new"."""
    found = {}
    with b.imap(user) as c:
        for line in c.list()[1]:
            name = line.decode().split('"/" ', 1)[1].strip('"')
            c.select('"%s"' % name, readonly=True)
            here = {}
            said = c.fetch("1:*", "(FLAGS BODY.PEEK[HEADER.FIELDS (SUBJECT)])"
                           )[1] if c.recent() is not None else []
            for part in said:
                if isinstance(part, tuple):
                    flags = part[0].decode().split("FLAGS (")[1].split(")")[0]
                    here[part[1].decode().strip()[9:]] = frozenset(
                        f for f in flags.split() if f != "\\Recent")
            found[name] = here
    return found


def offlineimap(b):
    if shutil.which("offlineimap") is None:
        return tap.ok(True, "offlineimap # SKIP it is not here")
    home = b.path("offlineimap")
    mail = os.path.join(home, "mail")
    os.makedirs(mail)
    fill(b, "anna")
    rc = write(os.path.join(home, "rc"), """\
[general]
accounts = a
metadata = %s/meta
[Account a]
localrepository = near
remoterepository = far
[Repository near]
type = Maildir
localfolders = %s
[Repository far]
type = IMAP
remotehost = 127.0.0.1
remoteport = %d
remoteuser = anna
remotepass = password
ssl = no
starttls = no
""" % (home, mail, b.imap_port))
    sync = lambda: run(["offlineimap", "-o", "-u", "basic", "-c", rc], home)
    good(*sync(), "offlineimap: the first run")
    box = lambda name: mailbox.Maildir(os.path.join(mail, name), create=False)
    tap.equal({m["Subject"] for m in box("INBOX")},
              {"number %d" % i for i in range(0, 20, 4)},
              "offlineimap: INBOX is here")
    tap.ok(os.path.isdir(os.path.join(mail, "Work.Old")),
           "offlineimap: and a mailbox below another")
    # A change on each side.
    mine = box("Work")
    key, first = sorted(mine.items())[0]
    first.add_flag("F")
    first.set_subdir("cur")
    mine[key] = first
    mine.add(b"Subject: new here\n\nx\n")
    with b.imap("anna") as c:
        c.select("INBOX")
        c.store("1", "+FLAGS", "\\Deleted")
        c.expunge()
        c.append("Work/Old", None, None, message("new there"))
    good(*sync(), "offlineimap: the second run")
    tap.ok(any(m["Subject"] == "new there" for m in box("Work.Old")),
           "offlineimap: what is new there came")
    tap.equal(len(box("INBOX")), 4, "offlineimap: what went there is gone")
    there = everything(b, "anna")
    tap.ok("new here" in there["Work"], "offlineimap: what is new here went")
    tap.ok("\\Flagged" in there["Work"][first["Subject"]],
           "offlineimap: and a flag")
    good(*sync(), "offlineimap: the third run")
    tap.equal(everything(b, "anna"), there, "offlineimap: changes nothing")


def interimap(b):
    if shutil.which("interimap") is None:
        return tap.ok(True, "interimap # SKIP it is not here")
    home = b.path("interimap")
    os.makedirs(os.path.join(home, "interimap"))
    fill(b, "berta")
    rc = write(os.path.join(home, "rc"), "".join("""\
[%s]
type = imap
host = 127.0.0.1
port = %d
STARTTLS = NO
username = %s
password = password
compress = YES
""" % (side, b.imap_port, user) for side, user in (("local", "carla"),
                                                   ("remote", "berta"))))
    write(os.path.join(home, "rc"),
          "database = %s/db\nlogfile = %s/log\n\n%s" % (
              home, home, open(rc).read()))
    sync = lambda *more: run(["interimap", "--config=" + rc] + list(more),
                             home)
    status, out = sync()
    if status != 0 and os.path.exists(os.path.join(home, "log")):
        out += open(os.path.join(home, "log")).read()
    good(status, out, "interimap: the first run")
    tap.equal(everything(b, "carla"), everything(b, "berta"),
              "interimap: both are the same")
    with b.imap("berta") as c:
        c.select("Work")
        c.store("1:2", "+FLAGS", "(\\Answered $Later)")
        c.store("4", "+FLAGS", "\\Deleted")
        c.expunge()
        c.append("Work/Old", "\\Draft", None, message("new one"))
    with b.imap("carla") as c:
        c.select("INBOX")
        c.store("2", "-FLAGS", "\\Seen")
        c.store("3", "+FLAGS", "\\Deleted")
        c.expunge()
        c.append("INBOX", None, None, message("new two"))
    good(*sync(), "interimap: the second run")
    after = everything(b, "berta")
    tap.equal(everything(b, "carla"), after, "interimap: the same again")
    tap.ok("new one" in after["Work/Old"] and "new two" in after["INBOX"] and
           len(after["Work"]) == 4, "interimap: with the changes of both")
    good(*sync("--repair"), "interimap: --repair")
    tap.equal(everything(b, "berta"), after, "interimap: finds nothing to do")


def imapfilter(b):
    if shutil.which("imapfilter") is None:
        return tap.ok(True, "imapfilter # SKIP it is not here")
    home = b.path("imapfilter")
    os.makedirs(home)
    with b.imap("dora") as c:
        for m in (message("move me now"), message("two", "flag this one"),
                  message("three", sender="junk@example.org"),
                  message("four")):
            c.append("INBOX", None, None, m)
    rc = write(os.path.join(home, "config.lua"), IMAPFILTER % (b.imap_port,
                                                              "dora"))
    status, out = run(["imapfilter", "-c", rc], home, IMAPFILTER_HOME=home)
    good(status, out, "imapfilter: runs")
    tap.equal(sorted(line[5:] for line in out.splitlines()
                     if line.startswith("left ")),
              ["Subject: four", "Subject: two"], "imapfilter: what is left")
    there = everything(b, "dora")
    tap.equal(list(there.get("Moved/Here", [])), ["move me now"],
              "imapfilter: what was moved")
    tap.ok("\\Flagged" in there["INBOX"]["two"], "imapfilter: a flag")


def imapflow(b):
    if shutil.which("node") is None or not os.path.isdir(
            os.path.join(NODE, "imapflow")):
        return tap.ok(True, "imapflow # SKIP it is not here")
    home = b.path("imapflow")
    os.makedirs(home)
    script = write(os.path.join(home, "x.js"), IMAPFLOW)
    status, out = run(["node", script, str(b.imap_port), "emil"], home,
                      NODE_PATH=NODE)
    good(status, out, "imapflow: runs")
    said = dict(line.split(" ", 1) for line in out.splitlines()
                if " " in line)
    for word, want in (("uid", "1 valid true"),
                       ("subject", "gr\u00fc\u00dfe \\Seen"),
                       ("source", "67 emailid"), ("heard", "2"),
                       ("flagged", "1,2"), ("moved", "1"), ("status", "1"),
                       ("folders", "Flow/Deep,INBOX")):
        tap.equal(said.get(word), want, "imapflow: " + word)


with Backend(users=["anna", "berta", "carla", "dora", "emil"]) as backend:
    for client in (offlineimap, interimap, imapfilter, imapflow):
        client(backend)
tap.done()
