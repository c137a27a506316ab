"""A stretch of network between two programs, for plays that break it.

  m = Middle(port)            # passes on to 127.0.0.1:port
  m.port                      # where to connect instead
  m.stall(); m.flow()         # nothing is lost, and nothing comes
  m.hold()                    # nothing comes back until the next NOOP goes
  m.down(); m.up()            # no connections
  m.cut()                     # those that are there end
  m.trap(True, rb"t1 OK")     # cut instead of passing this on: an answer
  m.refuse(rb" APPEND ", b"NO") # answer this instead of passing it on
  m.noops                     # asked by who connected, so far
  m.octets                    # passed on to who connected, so far
"""
import re
import socket
import threading

from net import at_once, connect


class Middle:
    def __init__(self, to=None):
        self.to = to
        self.octets = 0
        self.noops = 0  # of who connected
        self.pairs = set()
        self.is_up = True
        self.flowing = threading.Event()
        self.flowing.set()
        self.free = threading.Event()  # to come back
        self.free.set()
        self.lock = threading.Lock()
        self.limit = None  # octets to pass on, then cut
        self.trapped = None  # back?, pattern, then down?
        self.refused = None  # pattern, then the answer
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.spawn(self.accept)

    @staticmethod
    def spawn(run, *args):
        threading.Thread(target=run, args=args, daemon=True).start()

    def accept(self):
        while True:
            client = at_once(self.listener.accept()[0])
            try:
                if not self.is_up:
                    raise OSError("down")
                server = connect(("127.0.0.1", self.to))
            except OSError:
                client.close()
                continue
            with self.lock:
                self.pairs.add((client, server))
            self.spawn(self.carry, client, server, False)
            self.spawn(self.carry, server, client, True)

    def carry(self, here, there, back):
        try:
            while True:
                octets = here.recv(65536)
                self.flowing.wait()
                if not octets:
                    break
                if back:
                    self.free.wait()
                else:
                    self.count(octets.count(b" NOOP\r\n"))
                if not back and self.refuses(here, octets):
                    continue
                if self.is_trap(back, octets) or \
                        back and not self.may_pass(octets):
                    break
                there.sendall(octets)
        except OSError:
            pass
        for s in (here, there):
            self.shut(s)

    def count(self, noops):
        self.noops += noops
        if noops > 0:
            self.free.set()

    def may_pass(self, octets):
        with self.lock:
            self.octets += len(octets)
            if self.limit is None:
                return True
            self.limit -= len(octets)
            return self.limit > 0

    def is_trap(self, back, octets):
        with self.lock:
            if self.trapped is None or self.trapped[0] != back or \
                    not re.search(self.trapped[1], octets):
                return False
            self.is_up = not self.trapped[2]
            self.trapped = None
            return True

    def refuse(self, pattern, answer):
        with self.lock:
            self.refused = (pattern, answer)

    def refuses(self, here, octets):
        with self.lock:
            if self.refused is None or \
                    not re.search(self.refused[0], octets):
                return False
            here.sendall(octets.split(b" ")[0] + b" " + self.refused[1] +
                         b"\r\n")
            self.refused = None
            return True

    def trap(self, back, pattern, stays_down=False):
        with self.lock:
            self.trapped = (back, pattern, stays_down)

    @staticmethod
    def shut(s):
        try:
            s.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass

    def cut(self):
        with self.lock:
            pairs, self.pairs = self.pairs, set()
        for pair in pairs:
            for s in pair:
                self.shut(s)

    def down(self):
        self.is_up = False
        self.cut()

    def up(self):
        self.is_up = True

    def stall(self):
        self.flowing.clear()

    def flow(self):
        self.flowing.set()

    def hold(self):
        self.free.clear()

    def cut_behind(self, octets):
        """So many more, then an end; None: as many as come."""
        with self.lock:
            self.limit = octets
