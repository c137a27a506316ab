"""The digests of imap/mboxdigest.h, written again."""

MASK = (1 << 64) - 1
KEY = 0x6D75726465722E31
STATES = {b"reserved": 1, b"active": 2, b"moving": 3}


def rotate(x, bits):
    return (x << bits | x >> (64 - bits)) & MASK


def siphash(k0, k1, data):
    """SipHash-2-4."""
    v0, v1 = k0 ^ 0x736F6D6570736575, k1 ^ 0x646F72616E646F6D
    v2, v3 = k0 ^ 0x6C7967656E657261, k1 ^ 0x7465646279746573

    def rounds(n):
        nonlocal v0, v1, v2, v3
        for _ in range(n):
            v0 = (v0 + v1) & MASK
            v1 = rotate(v1, 13) ^ v0
            v0 = rotate(v0, 32)
            v2 = (v2 + v3) & MASK
            v3 = rotate(v3, 16) ^ v2
            v0 = (v0 + v3) & MASK
            v3 = rotate(v3, 21) ^ v0
            v2 = (v2 + v1) & MASK
            v1 = rotate(v1, 17) ^ v2
            v2 = rotate(v2, 32)

    data += bytes(7 - len(data) % 8) + bytes([len(data) & 255])
    for i in range(0, len(data), 8):
        word = int.from_bytes(data[i:i + 8], "little")
        v3 ^= word
        rounds(2)
        v0 ^= word
    v2 ^= 0xFF
    rounds(4)
    return v0 ^ v1 ^ v2 ^ v3


class Digest:
    def __init__(self):
        self.count = 0
        self.sums = [0] * 256

    @staticmethod
    def root(name):
        domain = name.find(b"!") + 1
        return name[:domain] + b".".join(name[domain:].split(b".")[:2])

    @classmethod
    def bucket(cls, name):
        return siphash(KEY, 1, cls.root(name)) & 255

    def add(self, name, location, acl, state, generation, mailboxid, special,
            kind):
        """The strings of an XENTRY."""
        fixed = int(generation).to_bytes(8, "little") + bytes(
            [STATES[state], int(kind)])
        total = siphash(KEY, 2, fixed)
        for s in (name, location, acl, mailboxid, special):
            total = siphash(KEY, total, s)
        self.count += 1
        bucket = self.bucket(name)
        self.sums[bucket] = (self.sums[bucket] + total) & MASK

    def text(self):
        return b"".join(b"%016x" % s for s in self.sums)
