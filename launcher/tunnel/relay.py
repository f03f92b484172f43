"""Many connections over one pair of pipes. As a script, `relay.py PORT`, it connects them to that port of this machine.

Both ends of a tunnel have it. A frame is the number of a connection, a length, and so many bytes; without bytes, that
side has said all. The script runs on a node by its path, with whatever Python is there, so it imports nothing of ours.
"""

from __future__ import annotations

import asyncio
import contextlib
import struct
import sys

HEAD = struct.Struct(">IH")
READY = b"curator-slurm relay\n"
"""What the script says first."""
_CHUNK = 32768
_MOST_WAITING = 64 << 20
"""Bytes that a connection may leave unread before it is cut."""


class Connections:
    """One end: connections by number, all over one writer."""

    def __init__(self, pipe: asyncio.StreamWriter) -> None:
        self._pipe = pipe
        self._turn = asyncio.Lock()
        self._writers: dict[int, asyncio.StreamWriter] = {}
        self._ended: set[int] = set()

    async def send(self, number: int, data: bytes) -> None:
        """One frame."""
        async with self._turn:
            self._pipe.write(HEAD.pack(number, len(data)) + data)
            await self._pipe.drain()

    async def carry(self, number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """What a connection says, until it has said all; what it is told comes by `received`."""
        self._writers[number] = writer
        with contextlib.suppress(OSError):
            while data := await reader.read(_CHUNK):
                await self.send(number, data)
        with contextlib.suppress(OSError):
            await self.send(number, b"")
        self._end(number)

    def knows(self, number: int) -> bool:
        """Whether there is such a connection, or was."""
        return number in self._writers

    def received(self, number: int, data: bytes) -> None:
        """What the other end has for a connection."""
        writer = self._writers.get(number)
        if writer is None:
            return
        if data:
            writer.write(data)
            if writer.transport.get_write_buffer_size() > _MOST_WAITING:
                writer.transport.abort()
            return
        with contextlib.suppress(OSError, RuntimeError):
            writer.write_eof()
        self._end(number)

    def _end(self, number: int) -> None:
        """One side has said all; the second time both have."""
        if number not in self._ended:
            self._ended.add(number)
            return
        self._ended.discard(number)
        writer = self._writers.pop(number, None)
        if writer is not None:
            writer.close()


async def frames(reader: asyncio.StreamReader, take: object) -> None:
    """Give each frame to `take(number, data)` until the other end is gone."""
    with contextlib.suppress(asyncio.IncompleteReadError, OSError):
        while True:
            number, length = HEAD.unpack(await reader.readexactly(HEAD.size))
            take(number, await reader.readexactly(length))  # type: ignore[operator]


async def _pipes() -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    transport, protocol = await loop.connect_write_pipe(asyncio.streams.FlowControlMixin, sys.stdout)
    return reader, asyncio.StreamWriter(transport, protocol, None, loop)


async def _serve(port: int) -> None:
    reader, writer = await _pipes()
    writer.write(READY)
    ends = Connections(writer)
    waiting: dict[int, list[bytes]] = {}
    tasks: set[asyncio.Task[None]] = set()

    async def connect(number: int) -> None:
        try:
            inner, outer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            waiting.pop(number, None)
            await ends.send(number, b"")
            return
        carrying = asyncio.ensure_future(ends.carry(number, inner, outer))
        await asyncio.sleep(0)  # it is known now
        for data in waiting.pop(number):
            ends.received(number, data)
        await carrying

    def take(number: int, data: bytes) -> None:
        if ends.knows(number):
            ends.received(number, data)
        elif number in waiting:
            waiting[number].append(data)
        elif data:
            waiting[number] = [data]
            task = asyncio.ensure_future(connect(number))
            tasks.add(task)
            task.add_done_callback(tasks.discard)

    await frames(reader, take)


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1])))
