"""The near end of a tunnel: a socket in a folder that only its user can enter, and a step of Slurm to the far end."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from curator_slurm.launcher.errors import SlurmError
from curator_slurm.launcher.tunnel.relay import READY, Connections, frames

RELAY = Path(__file__).with_name("relay.py")
READY_S = 60.0
"""How long the step may take to begin."""
_END_S = 3.0
_ERRORS = 2000


def keep_open(socket: Path, step: Sequence[str], environment: Mapping[str, str], opened: Callable[[], None]) -> None:
    """Connect what comes to `socket` through the process of `step` until that ends, or Ctrl-C.

    Raises:
        SlurmError: it does not begin, or has ended by itself.
        OSError: the socket cannot be made.
    """
    with contextlib.suppress(FileNotFoundError):
        socket.unlink()
    try:
        asyncio.run(_keep_open(socket, step, environment, opened))
    finally:
        with contextlib.suppress(OSError):
            socket.unlink()


async def _keep_open(
    socket: Path, step: Sequence[str], environment: Mapping[str, str], opened: Callable[[], None]
) -> None:
    process = await asyncio.create_subprocess_exec(
        *step,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=dict(environment),
        start_new_session=True,  # Ctrl-C is ours: srun would ask for a second one
    )
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    errors = asyncio.ensure_future(process.stderr.read(_ERRORS))
    try:
        await _begun(process.stdout, step, errors)
        ends = Connections(process.stdin)
        numbers = iter(range(1, 1 << 32))

        async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await ends.carry(next(numbers), reader, writer)

        before = os.umask(0o177)
        try:
            server = await asyncio.start_unix_server(carry, socket)
        finally:
            os.umask(before)
        async with server:
            opened()
            await frames(process.stdout, ends.received)
        raise SlurmError(f"the tunnel has ended: {await _said(errors)}", step)
    finally:
        errors.cancel()
        await _end(process)


async def _begun(output: asyncio.StreamReader, step: Sequence[str], errors: asyncio.Task[bytes]) -> None:
    try:
        said = await asyncio.wait_for(output.readexactly(len(READY)), READY_S)
    except asyncio.IncompleteReadError:
        raise SlurmError(f"the tunnel cannot be opened: {await _said(errors)}", step) from None
    except TimeoutError:
        raise SlurmError(f"the tunnel cannot be opened: the step has not begun within {READY_S:g} s", step) from None
    if said != READY:
        raise SlurmError(f"the tunnel cannot be opened: the node printed {said!r}; what its shell prints is in the way")


async def _said(errors: asyncio.Task[bytes]) -> str:
    """The last lines of what the step has printed as errors."""
    with contextlib.suppress(asyncio.TimeoutError, asyncio.CancelledError):
        text = (await asyncio.wait_for(asyncio.shield(errors), _END_S)).decode(errors="replace").strip()
        return " | ".join(text.splitlines()[-3:]) or "the job has ended"
    return "the job has ended"


async def _end(process: asyncio.subprocess.Process) -> None:
    """The far end leaves when its input ends."""
    assert process.stdin is not None
    process.stdin.close()
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            await asyncio.wait_for(process.wait(), _END_S)
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, number)
        else:
            return
