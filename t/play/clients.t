#!/usr/bin/python3
"""Clients that are not ours, through a frontend."""
import email
import os
import pty
import select
import ssl
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "lib"))
from backend import tap  # noqa: E402
from murder import (SECONDS, Murder, deliver, message,  # noqa: E402
                    octets_of, run)

PERL = r"""
use strict; use warnings; use Mail::IMAPTalk;
my ($host, $port, $user) = @ARGV;
my $imap = Mail::IMAPTalk->new(Server => $host, Port => $port,
    Username => $user, Password => "password", Uid => 1) or die "login: $@";
$imap->create("talk") or die "create: $@";
$imap->append("talk", "(\\Seen)", { Literal =>
    "Subject: talk\r\nFrom: a\@example.org\r\nContent-Type: multipart/mixed;"
    . " boundary=b\r\nMIME-Version: 1.0\r\n\r\n--b\r\n\r\none\r\n--b\r\n"
    . "Content-Type: text/html\r\n\r\n<p>two\r\n--b--\r\n" })
    or die "append: $@";
$imap->select("talk") or die "select: $@";
my $uids = $imap->search("subject", "talk");
print "found @$uids\n";
my $got = $imap->fetch($uids, "(flags envelope bodystructure)");
my $m = $got->{$uids->[0]};
print "subject $m->{envelope}{Subject}\n";
print "parts ", scalar @{$m->{bodystructure}{"MIME-Subparts"}}, "\n";
print "flags @{$m->{flags}}\n";
$imap->store($uids, "+flags", "(\\Flagged)") or die "store: $@";
$imap->copy($uids, "INBOX") or die "copy: $@";
$imap->store($uids, "+flags", "(\\Deleted)") or die "store: $@";
$imap->expunge() or die "expunge: $@";
$imap->unselect() or die "unselect: $@";
$imap->delete("talk") or die "delete: $@";
print "folders ", join(",", sort map { $_->[2] } @{$imap->list("", "*")}),
    "\n";
$imap->logout();
"""

SCRIPT = 'require "fileinto";\r\nif header "subject" "x" ' \
    '{ fileinto "Junk"; }\r\n'


def write(path, text):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as f:
        f.write(text if isinstance(text, bytes) else text.encode())
    return path


def curl(m):
    ca = m.path("tls", "cert.pem")
    url = "imap://127.0.0.1:%d/" % m.address("IMAP")[1]
    urls = "imaps://127.0.0.1:%d/" % m.address("IMAPS")[1]
    text = message("curl")
    path = write(m.path("curl.eml"), text)

    def ask(address, *more):
        status, out, _ = run(["curl", "-sS", "--ssl-reqd", "--cacert", ca,
                              "-u", "user1:password", address] + list(more))
        return status, out

    status, out = ask(url)
    tap.ok(status == 0 and b'INBOX' in out, "curl: LIST by STARTTLS")
    tap.equal(ask(urls + "INBOX", "-T", path)[0], 0, "curl: APPEND")
    tap.equal(ask(urls + "INBOX;UID=1"), (0, text), "curl: FETCH by UID")
    tap.equal(ask(url + "INBOX;MAILINDEX=1;SECTION=TEXT"), (0, b"A line.\r\n"),
              "curl: a section")
    status, out = ask(urls + "INBOX?SUBJECT%20curl")
    tap.ok(status == 0 and out.strip() == b"* SEARCH 1", "curl: SEARCH")
    status, out = ask(urls, "-X", "CREATE made-by-curl")
    tap.equal(status, 0, "curl: CREATE")
    status, out = ask(urls, "-X", "STATUS made-by-curl (MESSAGES)")
    tap.ok(b"(MESSAGES 0)" in out, "curl: STATUS")
    status, _, _ = run(["curl", "-sS", "--cacert", ca, "-u", "user1:wrong",
                        urls])
    tap.equal(status, 67, "curl: a wrong password")


def maildir(path):
    """{octets: flags} of all messages there."""
    found = {}
    for sub in ("new", "cur"):
        for name in os.listdir(os.path.join(path, sub)):
            with open(os.path.join(path, sub, name), "rb") as f:
                flags = name.split(":2,")[1] if ":2," in name else ""
                found[f.read().replace(b"\r\n", b"\n")] = (flags, name, sub)
    return found


def subject_of(octets):
    return email.message_from_bytes(octets)["Subject"]


def mbsync(m):
    top = m.path("mbsync")
    mail = os.path.join(top, "mail")
    os.makedirs(mail)
    rc = write(os.path.join(top, "rc"), """\
IMAPAccount far
Host localhost
Port %d
User user2
Pass password
SSLType STARTTLS
CertificateFile %s

IMAPStore far
Account far

MaildirStore near
Path %s/
Inbox %s/INBOX
SubFolders Verbatim

Channel all
Far :far:
Near :near:
Patterns *
Create Both
Expunge Both
Sync All
SyncState *
""" % (m.address("IMAP")[1], m.path("tls", "cert.pem"), mail, mail))

    def sync(what):
        status, out, err = run(["mbsync", "-q", "-c", rc, "all"])
        if not tap.ok(status == 0 and err == b"", "mbsync: " + what):
            print("#", status, out, err)

    c = m.imap("user2")
    for n in range(12):
        c.append("INBOX", "(\\Seen)" if n % 2 else None, None,
                 message("sync %d" % n))
    c.create("Lists")
    c.append("Lists", None, None, message("listed"))
    sync("down")
    near = maildir(mail + "/INBOX")
    tap.equal(sorted(subject_of(o) for o in near),
              sorted("sync %d" % n for n in range(12)), "mbsync: all came")
    tap.equal(sorted(subject_of(o) for o, f in near.items() if "S" in f[0]),
              sorted("sync %d" % n for n in range(1, 12, 2)),
              "mbsync: with their flags")
    tap.equal(len(maildir(mail + "/Lists")), 1, "mbsync: other mailboxes")
    # Locally: flag one, delete one, add one; there: one more, one gone.
    for octets, (flags, name, sub) in near.items():
        old = os.path.join(mail, "INBOX", sub, name)
        base = name.split(":2,")[0]
        if subject_of(octets) == "sync 3":
            os.rename(old, os.path.join(mail, "INBOX/cur", base + ":2,FS"))
        elif subject_of(octets) == "sync 4":
            os.unlink(old)
    write(mail + "/INBOX/new/1.1.local",
          message("made here").replace(b"\r\n", b"\n"))
    c.append("INBOX", None, None, message("made there"))
    c.select("INBOX")
    c.uid("STORE", "6", "+FLAGS", "(\\Deleted)")
    c.expunge()
    sync("up")
    c.noop()
    flagged = c.search(None, "FLAGGED")[1][0].split()
    tap.equal([b"Subject: sync 3" in octets_of(c.fetch(n, "BODY.PEEK[]")[1])
               for n in flagged], [True], "mbsync: a flag went up")
    found = c.fetch("1:*", "(BODY.PEEK[HEADER.FIELDS (SUBJECT)])")[1]
    there = sorted(p[1].decode().strip()[9:] for p in found
                   if isinstance(p, tuple))
    want = sorted(["sync %d" % n for n in range(12) if n not in (4, 5)] +
                  ["made here", "made there"])
    tap.equal(there, want, "mbsync: both sides' changes are there")
    tap.equal(sorted(subject_of(o) for o in maildir(mail + "/INBOX")), want,
              "mbsync: and here")
    sync("again, with nothing to do")
    c.logout()


def in_terminal(command, env):
    """Runs what insists on a terminal; its status."""
    pid, fd = pty.fork()
    if pid == 0:
        os.execvpe(command[0], command, env)
    end = time.monotonic() + SECONDS
    shown = b""
    while select.select([fd], [], [], max(0, end - time.monotonic()))[0]:
        try:
            some = os.read(fd, 65536)
        except OSError:
            break
        if not some:
            break
        shown += some
    else:
        os.kill(pid, 9)
    os.close(fd)
    return os.waitpid(pid, 0)[1], shown


def mutt(m):
    top = m.path("mutt")
    port = m.address("IMAP")[1]
    rc = write(top + "/rc", """\
set ssl_starttls=yes
set ssl_force_tls=yes
set certificate_file=%s
set ssl_verify_host=no
set imap_pass=password
set imap_user=user3
set sendmail=/bin/true
set copy=yes
set wait_key=no
set delete=yes
set confirmappend=no
set confirmcreate=no
set header_cache=
set quit=yes
set timeout=1
""" % m.path("tls", "cert.pem"))
    env = dict(os.environ, HOME=top, TERM="xterm", LANG="C.UTF-8",
               LC_ALL="C.UTF-8")
    url = "imap://user3@localhost:%d/" % port
    c = m.imap("user3")
    status, out, err = run(
        ["mutt", "-n", "-F", rc, "-e", "set record=%sSent" % url, "-e",
         "set realname='A Person'", "-s", "by mutt", "-a",
         write(top + "/attached.txt", "attached\n"), "--",
         "someone@example.org"], data=b"Hello there.\n", env=env)
    if not tap.equal(status, 0, "mutt: sends in batch mode"):
        print("#", out, err) if status else None
    c.select("Sent")
    got = octets_of(c.fetch("1", "BODY.PEEK[]")[1])
    mail = email.message_from_bytes(got or b"")
    tap.equal((mail["Subject"], len(mail.get_payload())), ("by mutt", 2),
              "mutt: the copy is in Sent, with what was attached")
    for n in range(3):
        c.append("INBOX", None, None, message("mutt %d" % n))
    mbox = top + "/mbox"
    keys = "<limit>~s mutt<enter><tag-pattern>~A<enter><tag-prefix>" \
        "<copy-message>%s<enter><first-entry><flag-message>" \
        "<last-entry><delete-message><quit>" % mbox
    status, shown = in_terminal(
        ["mutt", "-n", "-F", rc, "-e", 'push "%s"' % keys, "-f",
         url + "INBOX"], env)
    tap.equal(status, 0, "mutt: reads")
    with open(mbox, "rb") if os.path.exists(mbox) else open(
            "/dev/null", "rb") as f:
        text = f.read()
    tap.equal([b"Subject: mutt %d" % n in text for n in range(3)],
              [True] * 3, "mutt: copied all")
    c.select("INBOX")
    tap.equal((c.search(None, "FLAGGED")[1], c.search(None, "ALL")[1]),
              ([b"1"], [b"1 2"]), "mutt: flagged one and deleted one")
    if tap.failed:
        print("#", shown[-2000:])
    c.logout()


def python(m):
    c = m.imap()
    c.starttls(ssl.create_default_context(cafile=m.path("tls", "cert.pem")))
    c.login("user4", "password")
    tap.equal(c.create("py")[0], "OK", "imaplib: CREATE")
    text = message("py", "0123456789" * 100000 + "\r\n")
    tap.equal(c.append("py", "(\\Draft $Todo)",
                       '"01-Jan-2020 10:00:00 +0200"', text)[0], "OK",
              "imaplib: APPEND of 1 MB")
    tap.equal(c.select("py")[1], [b"1"], "imaplib: SELECT")
    tap.equal(octets_of(c.fetch("1", "BODY.PEEK[]")[1]), text,
              "imaplib: FETCH")
    answer = c.fetch("1", "(FLAGS INTERNALDATE RFC822.SIZE)")[1][0]
    tap.ok(b"\\Draft" in answer and b"$Todo" in answer and
           b'"01-Jan-2020 10:00:00 +0200"' in answer and
           b"RFC822.SIZE %d" % len(text) in answer,
           "imaplib: flags, date and size")
    tap.equal(c.copy("1", "INBOX")[0], "OK", "imaplib: COPY")
    tap.equal(c.rename("py", "py2")[0], "OK", "imaplib: RENAME")
    tap.equal(c.uid("SEARCH", "DRAFT")[0], "OK", "imaplib: UID SEARCH")
    tap.equal(c.subscribe("py2")[0], "OK", "imaplib: SUBSCRIBE")
    tap.ok(any(b"py2" in line for line in c.lsub()[1]), "imaplib: LSUB")
    tap.ok(b"lr" in c.myrights("py2")[1][0], "imaplib: MYRIGHTS")
    tap.equal(c.unsubscribe("py2")[0], "OK", "imaplib: UNSUBSCRIBE")
    tap.equal(c.close()[0] if c.state == "SELECTED" else "OK", "OK",
              "imaplib: CLOSE")
    tap.equal(c.delete("py2")[0], "OK", "imaplib: DELETE")
    tap.equal(c.logout()[0], "BYE", "imaplib: LOGOUT")


def perl(m):
    host, port = m.address("IMAP")
    status, out, err = run(["/usr/bin/perl", "-e", PERL, host, str(port),
                            "user4"])
    want = ["found 1", "subject talk", "parts 2"]
    lines = out.decode().split("\n")
    if not tap.ok(status == 0 and lines[:3] == want,
                  "Mail::IMAPTalk: append, search, fetch, copy, expunge"):
        print("#", status, out, err)
    tap.ok("\\Seen" in lines[3] and lines[4].startswith("folders ") and
           "INBOX" in lines[4].upper() and "talk" not in lines[4],
           "Mail::IMAPTalk: flags, list")


def swaks(m):
    host, port = m.address("LMTP")
    status, out, err = run(
        ["swaks", "--protocol", "LMTP", "--server", host, "--port",
         str(port), "--from", "a@example.org", "--to",
         "user1@example.org,user2@example.org", "--header",
         "Subject: by swaks", "--body", "from swaks", "--suppress-data"])
    if not tap.equal(status, 0, "swaks: delivers by LMTP to two"):
        print("#", out, err) if status else None
    for user in ("user1", "user2"):
        c = m.imap(user)
        c.select("INBOX")
        found = c.search(None, "SUBJECT", '"by swaks"')[1][0].split()
        tap.equal(len(found), 1, "swaks: %s has it" % user)
        c.logout()


def sieve(m):
    if m.front[0] != "f":
        return
    host, port = m.address("SIEVE")
    path = write(m.path("script.sieve"), SCRIPT)

    def ask(*more):
        secret, end = os.pipe()
        os.write(end, b"password\n")
        os.close(end)
        os.set_inheritable(secret, True)
        os.dup2(secret, 9)
        status, out, err = run(
            ["sh", "-c", 'exec sieve-connect "$@" 9<&0', "sh", "--server",
             "localhost", "--port", str(port), "--user", "user1",
             "--passwordfd", "9", "--tlscafile",
             m.path("tls", "cert.pem")] + list(more), data=b"password\n")
        os.close(secret)
        if status != 0:
            print("#", out + err)
        return status, out

    tap.equal(ask("--localsieve", path, "--remotesieve", "main",
                  "--upload")[0], 0, "sieve-connect: upload")
    tap.equal(ask("--remotesieve", "main", "--activate")[0], 0,
              "sieve-connect: activate")
    status, out = ask("--list")
    tap.ok(status == 0 and b"main" in out and b"ACTIVE" in out,
           "sieve-connect: list")
    back = m.path("back.sieve")
    tap.equal(ask("--remotesieve", "main", "--localsieve", back,
                  "--download")[0], 0, "sieve-connect: download")
    with open(back if os.path.exists(back) else "/dev/null", "rb") as f:
        tap.equal(f.read().replace(b"\r\n", b"\n").strip(),
                  SCRIPT.replace("\r\n", "\n").strip().encode(),
                  "sieve-connect: what was uploaded")
    bad = write(m.path("bad.sieve"), "this is no script")
    tap.ok(ask("--localsieve", bad, "--remotesieve", "bad",
               "--upload")[0] != 0, "sieve-connect: not what is no script")
    lmtp = m.lmtp()
    tap.equal(deliver(lmtp, ["user1@example.org"], message("x")), [250],
              "the script runs")
    lmtp.quit()
    c = m.imap("user1")
    tap.equal(c.status("Junk", "(MESSAGES)")[1][0].split(b"(")[1],
              b"MESSAGES 1)", "and files it")
    c.logout()
    tap.equal(ask("--deactivate")[0], 0,
              "sieve-connect: deactivate")
    tap.equal(ask("--remotesieve", "main", "--delete")[0], 0,
              "sieve-connect: delete")


with Murder(users=4) as murder:
    only = sys.argv[1:]
    for part in (curl, mbsync, mutt, python, perl, swaks, sieve):
        if not only or part.__name__ in only:
            part(murder)
tap.done()
