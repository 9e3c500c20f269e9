"""Commands about keys, options and config-key with whatever clients may send: each is answered.

Nothing that was taken may stand in the way of anything later: all lists must still be printed, by
this monitor and by the same one in a new process.
"""

from __future__ import annotations

import errno

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.mon.harness import HarnessMonitor

LISTS = ("auth ls", "auth export", "config dump", "config log", "config-key ls", "config-key dump")
FAMILIES = ("auth ", "config ", "config-key ")
ANSWERS = {0, *(-n for n in (errno.EINVAL, errno.ENOENT, errno.EEXIST, errno.EFBIG, errno.EACCES))}

WORDS = (
    *("", "client.x", "client.admin", "mon.", "osd.0", "mon", "osd", "mgr", "global", "foo.bar"),
    *("allow r", "allow *", "profile osd", 'allow command "a" with b="c"', "osd/class:ssd"),
    *("host:a/osd", "debug_osd", "mon_lease", "fsid", "osd_memory_target", "5/5", "4G", "1e400"),
    *(
        "config/osd/debug_osd",
        "config/x",
        "config-history/2/",
        "a\nb",
        "[client.x]",
        "\0",
        "\ud800",
    ),
)
TEXT = st.sampled_from(WORDS) | st.text(max_size=12) | st.text(st.characters(), max_size=3)
VALUE = (
    TEXT
    | st.integers(-(2**70), 2**70)
    | st.booleans()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.lists(TEXT, max_size=4)
)
DATA = st.binary(max_size=40) | st.sampled_from(
    [
        b'[client.x]\n\tkey = AQBKbxhfAAAAABAAPqlu8jXYhKkHfMMaAcKYyA==\n\tcaps mon = "\xff"\n',
        b"[client.x]\n\tkey =\n",
        b"\x01\x01\0\0\0\x08\0\0\0\xff\xff\xff\xff",
        b"[osd]\ndebug_osd = 5\nosd_memory_target = -1\n[\xff]\ndebug_osd = 5\n",
    ]
)
FORMATS = st.sampled_from(["json", "xml", "plain", "?"])


class Process:
    """The monitor, which is another one after a restart: its store goes with it."""

    def __init__(self):
        self.mon = HarnessMonitor()

    def restart(self):
        self.mon = self.mon.restart()
        return self.mon


@pytest.fixture(scope="module")
def process():
    return Process()


@given(data=st.data())
def test_every_command_is_answered(process, data):
    mon = process.mon
    commands = [c for c in mon.mon.commands.all() if c.prefix.startswith(FAMILIES)]
    command = data.draw(st.sampled_from(commands))
    arguments = {
        name: data.draw(st.lists(TEXT, max_size=4) if argument.repeated else VALUE)
        for name, argument in command.arguments
        if argument.required or data.draw(st.booleans())
    }
    if data.draw(st.booleans()):
        arguments["format"] = data.draw(FORMATS)
    ack = mon.command(command.prefix, data.draw(DATA), **arguments)
    assert ack.r in ANSWERS
    if ack.r not in (0, -errno.ENOENT):
        assert ack.rs
    later = data.draw(st.sampled_from(LISTS))
    assert mon.command(later, format=data.draw(FORMATS)).r == 0


def test_everything_can_still_be_shown_by_a_new_process(process):
    for prefix in LISTS:
        for fmt in ("plain", "json", "xml"):
            assert process.mon.command(prefix, format=fmt).r == 0, (prefix, fmt)
    process.restart()
    for prefix in LISTS:
        for fmt in ("plain", "json", "xml"):
            assert process.mon.command(prefix, format=fmt).r == 0, (prefix, fmt)
