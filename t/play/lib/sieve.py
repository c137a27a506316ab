"""ManageSieve and an SMTP sink, as much as plays need of them."""
import socket
import threading

from murder import plain
from net import connect


class Sieve:
    """One ManageSieve session, logged in."""

    def __init__(self, address, user):
        self.socket = connect(address, 60)
        self.file = self.socket.makefile("rb")
        self.answer()
        self.ask('AUTHENTICATE "PLAIN" "%s"' % plain(user))

    def answer(self):
        """(status line, lines before it)"""
        lines = []
        while True:
            line = self.file.readline().decode()
            if line == "" or line.split(" ")[0].strip() in ("OK", "NO",
                                                            "BYE"):
                return line.strip(), lines
            lines.append(line.strip())

    def ask(self, text):
        self.socket.sendall(text.encode() + b"\r\n")
        return self.answer()

    def use(self, text, name="play"):
        """Stores a script and makes it the active one: both answers."""
        octets = text.encode()
        self.socket.sendall(b'PUTSCRIPT "%s" {%d+}\r\n%s\r\n' % (
            name.encode(), len(octets), octets))
        put = self.answer()[0]
        return put, self.ask('SETACTIVE "%s"' % name)[0]

    def close(self):
        self.ask("LOGOUT")
        self.socket.close()


def script(murder, user, text):
    """Makes it the user's only rule: True if that was accepted."""
    s = Sieve(murder.address("SIEVE"), user)
    put, active = s.use(text)
    s.close()
    return put.startswith("OK") and active.startswith("OK")


class Sink:
    """An SMTP server that keeps what it gets: (from, [to], octets)."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = "127.0.0.1:%d" % self.listener.getsockname()[1]
        self.mails = []
        self.refuse = None  # the answer to DATA's end instead of 250
        self.refuse_rcpt = None
        self.keywords = ["PIPELINING", "8BITMIME"]
        self.hang_up = 0  # so often in place of that answer
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(connection,),
                             daemon=True).start()

    def serve(self, connection):
        lines = connection.makefile("rb")

        def say(text):
            connection.sendall(text.encode() + b"\r\n")

        say("220 sink")
        sender, to = None, []
        for line in lines:
            word = line.split(b" ")[0].strip().upper()
            if word == b"EHLO":
                for keyword in ["sink"] + self.keywords[:-1]:
                    say("250-" + keyword)
                say("250 " + (["sink"] + self.keywords)[-1])
            elif word == b"MAIL":
                sender, to = line.split(b"<")[1].split(b">")[0].decode(), []
                say("250 ok")
            elif word == b"RCPT":
                to.append(line.split(b"<")[1].split(b">")[0].decode())
                say(self.refuse_rcpt or "250 ok")
            elif word == b"DATA" and self.refuse_rcpt:
                say("503 no recipients")
            elif word == b"DATA":
                say("354 go on")
                octets = b""
                for data in lines:
                    if data == b".\r\n":
                        break
                    octets += data[1:] if data.startswith(b".") else data
                if self.hang_up > 0:
                    self.hang_up -= 1
                    connection.close()
                    lines.close()
                    return
                if self.refuse is None:
                    self.mails.append((sender, to, octets))
                say(self.refuse or "250 ok")
            elif word == b"QUIT":
                say("221 bye")
                return
            else:
                say("250 ok")

    def close(self):
        self.listener.close()
