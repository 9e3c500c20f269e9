"""Syncing the block file beside the commits, so that none of them waits for the log's blocks.

The blocks that the log brings to their places are many and scattered; a disk takes a tenth of a
second for what a trim of the log wants to be durable. For `commit`, whose own syncs go through
here, too: the machine tells an error of a write to one sync only.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from queue import SimpleQueue
from threading import Event, Lock, Thread

from spirula.errors import CephError
from spirula.store.disk.blockfile import BlockDevice, FileBlockDevice, cut_pieces
from spirula.types.transaction import Buffer


class SyncBehind:
    """Syncs of one device. After one has failed, here or in the thread, all fail."""

    def __init__(self, device: BlockDevice) -> None:
        self._device = device
        self._lock = Lock()
        self._requests: SimpleQueue[int | Event | None] = SimpleQueue()
        self._thread: Thread | None = None
        self._error: CephError | None = None
        self._busy = False
        self.synced = 0
        """The largest number that was asked for and is done."""

    def start(self) -> None:
        """Let a thread do what is asked for."""
        self._thread = Thread(target=self._serve, name="store-sync", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread, after what it is doing."""
        if self._thread is not None:
            self._requests.put(None)
            self._thread.join()
            self._thread = None

    def ask(self, number: int) -> None:
        """Sync what was written until now, some time; not if a sync is under way, or no thread."""
        if self._thread is not None and not self._busy:
            self._busy = True
            self._requests.put(number)

    def begin(self) -> Callable[[], None]:
        """Begin a sync of what was written until now; what is given returns when it is done."""
        if self._thread is None:
            return self.sync
        done = Event()
        self._requests.put(done)

        def wait() -> None:
            done.wait()
            if self._error is not None:
                raise self._error

        return wait

    def sync(self) -> None:
        """Return when all that was written is durable."""
        with self._lock:
            if self._error is not None:
                raise self._error
            try:
                self._device.sync()
            except CephError as error:
                self._error = error
                raise

    def _serve(self) -> None:
        while (request := self._requests.get()) is not None:
            try:
                self.sync()
            except CephError:
                pass  # the next commit that wants a sync is told, and `_busy` stays
            else:
                if not isinstance(request, Event):
                    self.synced = request
                    self._busy = False
            if isinstance(request, Event):
                request.set()


class NewData:
    """The data of one group, from its buffers to the disk: beside the journal, or with its record.

    `pieces`: offsets, and what goes there, one behind the other.
    """

    def __init__(
        self,
        device: BlockDevice,
        behind: SyncBehind,
        pieces: Sequence[tuple[int, Sequence[Buffer]]],
    ) -> None:
        self._device = device
        self._behind = behind
        self._pieces = pieces
        self._wait: Callable[[], None] | None = None

    def write_with(self, journal: BlockDevice, offset: int, record: Buffer) -> bool:
        """Write it together with a record of the journal, all durable; False if that cannot be."""
        device = self._device
        if type(device) is not FileBlockDevice or type(journal) is not FileBlockDevice:
            return False  # layers around one want to see each write and sync
        if not device.writes_with(journal):
            return False
        pieces = [piece for at, parts in self._pieces for piece in cut_pieces(at, parts)]
        device.write_with_record(pieces, journal, offset, record)
        self._wait = _nothing
        return True

    def begin(self) -> None:
        """Write it, in one go what is one behind the other, and begin to sync."""
        (start, parts), *more = self._pieces
        buffers, end = list(parts), start + sum([len(part) for part in parts])
        for offset, parts in more:
            if offset != end:
                self._device.write(start, buffers)
                start, buffers, end = offset, [], offset
            buffers += parts
            end += sum([len(part) for part in parts])
        self._device.write(start, buffers)
        self._wait = self._behind.begin()

    def wait(self) -> None:
        """Return when it is durable; begins now what was not begun."""
        if self._wait is None:
            self.begin()
        if self._wait is not None:
            self._wait()
            self._wait = _nothing


def _nothing() -> None:
    """Where there is nothing to wait for."""
