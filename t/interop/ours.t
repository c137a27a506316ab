#!/usr/bin/python3
"""Our update server, with frontends and backends of ours and of Cyrus's."""
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.dont_write_bytecode = True
sys.path[1:1] = [os.path.join(HERE, "lib"),
                 os.path.join(HERE, "..", "play", "lib")]

from cells import play  # noqa: E402
from rig import Rig  # noqa: E402

play(Rig("ours", separator="/", altnamespace=True),
     [("ofe", "ours"), ("cfe", "ours"), ("ofe", "cyrus"), ("cfe", "cyrus")])
