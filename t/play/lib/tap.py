"""Results of a play, as prove wants them."""
import sys


class Tap:
    """Counts results as prove wants them."""

    def __init__(self):
        self.count = self.failed = 0

    def ok(self, good, what):
        self.count += 1
        if not good:
            self.failed += 1
        print("%s %d - %s" % ("ok" if good else "not ok", self.count, what),
              flush=True)
        return good

    def equal(self, got, want, what):
        if not self.ok(got == want, what):
            print("# got:  %r\n# want: %r" % (got, want), flush=True)

    def done(self):
        print("1..%d" % self.count)
        sys.exit(1 if self.failed else 0)


tap = Tap()
