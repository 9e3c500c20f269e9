"""Records of real OSDs' stores, where their meaning is more than their fields."""

from __future__ import annotations

import pytest

from spirula.errors import WireError
from spirula.types.bluestore import (
    BlobUseTracker,
    BlueFSTransaction,
    BlueStoreBdevLabel,
    BlueStoreDeferredOp,
    BlueStorePExtent,
    ExtentRefMap,
    ExtentRefRecord,
)


def test_a_label_can_be_read_by_people() -> None:
    label = BlueStoreBdevLabel()
    label.label.osd_uuid = bytes(range(16))
    label.label.meta = {"whoami": "3"}
    data = label.encode()
    assert data.startswith(b"bluestore block device\n00010203-0405-0607-0809-0a0b0c0d0e0f\n")
    assert BlueStoreBdevLabel.decode(data, exact=True) == label


def test_a_transaction_knows_whether_it_was_damaged() -> None:
    sealed = BlueFSTransaction(bytes(16), 5, b"operations")
    with pytest.raises(WireError, match="checksum"):
        sealed.check()
    sealed.seal()
    got = BlueFSTransaction.decode(sealed.encode(), exact=True)
    got.check()
    got.op_bl = b"0perations"
    with pytest.raises(WireError, match="checksum"):
        got.check()


def test_ranges_are_told_apart_by_steps() -> None:
    refs = ExtentRefMap({0x4000: ExtentRefRecord(0x1000, 2), 0x1000: ExtentRefRecord(0x2000, 1)})
    got = ExtentRefMap.decode(refs.encode(), exact=True)
    assert got == refs
    assert list(got.ref_map) == [0x1000, 0x4000]
    with pytest.raises(WireError):
        ExtentRefMap.decode(b"\xff\xff\x03" + bytes(9))


@pytest.mark.parametrize(
    "tracker", [BlobUseTracker(), BlobUseTracker(4096, [], 77), BlobUseTracker(4096, [0, 4096])]
)
def test_use_of_blobs(tracker: BlobUseTracker) -> None:
    assert BlobUseTracker.decode(tracker.encode(), exact=True) == tracker


def test_counts_of_extents_are_bounded() -> None:
    op = BlueStoreDeferredOp(1, [BlueStorePExtent(0x10000, 0x1000)] * 3, b"data")
    data = op.encode()
    assert BlueStoreDeferredOp.decode(data, exact=True) == op
    with pytest.raises(WireError, match="count"):
        BlueStoreDeferredOp.decode(data[:7] + b"\x7f" + data[8:])
