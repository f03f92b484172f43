"""Answers of Slurm that all commands of a user share, so that ten that watch cost its controller what one costs.

Each question is a file in the user's cache. Whoever finds it too old asks, alone: the others wait for the answer. All
of this saves questions, nothing depends on it. What is damaged is asked for again; a turn that is not over in seconds
is taken by the next, and where the folder cannot be used everybody asks. The home folder may be on NFS: so turns are
files that are made exclusively, answers appear by rename, and times are compared with patience.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import stat
import time
from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from pathlib import Path

from curator_slurm.common.atomic_files import write_atomic
from curator_slurm.common.json_fields import moment, text
from curator_slurm.common.plain_files import read_plain
from curator_slurm.launcher.spec.slurm_conf import cluster_name

TURN_S = 5.0
"""How long a command may ask before others do not wait for it any longer; Slurm mostly answers sooner."""
LONGEST_WAIT_S = 20.0
"""After so long a command asks, whoever's turn it is."""
CLOCKS_S = 2.0
"""How much the clocks of two login nodes may differ."""
_LOOK_S = 0.05
_MOST_BYTES = 256 << 20
_CLUSTER_VARIABLES = ("SLURM_CONF", "SLURM_CONF_SERVER")


def cache_folder(environ: Mapping[str, str]) -> Path:
    """Where a user's answers are; a path that cannot be where there is no home folder."""
    given = environ.get("XDG_CACHE_HOME", "")
    try:
        base = Path(given) if given.startswith("/") else Path.home() / ".cache"
    except RuntimeError:
        base = Path(os.devnull)
    return base / "curator-slurm" / "slurm-answers"


class SharedAnswers:
    """Answers that are at most `least_s` old; those from before `since` do not count."""

    def __init__(self, folder: Path, least_s: float, since: float = 0.0) -> None:
        self._folder = folder
        self._least_s = least_s
        self._since = since
        self.used = False
        """Whether an answer was given that somebody had before."""

    def answer(self, command: Sequence[str], ask: Callable[[], str]) -> str:
        """What `command` printed lately, or what `ask` gives; raises what it raises, which nobody else gets."""
        try:
            _make_private(self._folder)
        except OSError:
            return ask()
        path = self._folder / f"{_name(command)}.json"
        found = self._kept(path)
        if found is None:
            turn = _Turn(path.with_suffix(".turn"))
            found = turn.wait(lambda: self._kept(path))
            if found is None:
                return self._asked(path, ask, turn)
        self.used = True
        return found

    def _asked(self, path: Path, ask: Callable[[], str], turn: _Turn) -> str:
        try:
            taken = time.time()
            answer = ask()
            with contextlib.suppress(OSError):
                write_atomic(path, json.dumps({"taken": taken, "answer": answer}), mode=0o600, durable=False)
            return answer
        finally:
            turn.end()

    def _kept(self, path: Path) -> str | None:
        """The answer in the cache, if it counts."""
        try:
            record = json.loads(read_plain(path, _MOST_BYTES))
        except (OSError, ValueError, RecursionError):
            return None
        taken = moment(record.get("taken")) if isinstance(record, dict) else None
        if taken is None or not -CLOCKS_S <= time.time() - taken < self._least_s or taken < self._since + CLOCKS_S:
            return None
        return text(record.get("answer"))


def forget(environ: Mapping[str, str]) -> None:
    """Let nobody use an answer from before what was just done."""
    folder = cache_folder(environ)
    with contextlib.suppress(OSError):
        _check_private(folder)  # what somebody has put in its place may lead to files of other programs
        for path in folder.glob("*.json"):
            path.unlink(missing_ok=True)


class _Turn:
    """Whose turn it is to ask: a file with who and since when. Two at once cost a question more, and nothing else."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._token = os.urandom(8).hex()

    def wait(self, look: Callable[[], str | None]) -> str | None:
        """What `look` finds meanwhile; None where it is our turn, or waiting has been long enough."""
        began = time.monotonic()
        seen, since = "", began
        while not self._take():
            holder, taken = self._holder()
            if holder != seen:
                seen, since = holder, time.monotonic()
            now = time.monotonic()
            is_over = now - since > TURN_S or (taken is not None and abs(time.time() - taken) > TURN_S + CLOCKS_S)
            if (is_over and self._replace()) or now - began > LONGEST_WAIT_S:
                return None
            time.sleep(_LOOK_S)
            if (found := look()) is not None:
                return found
        found = look()
        if found is not None:
            self.end()
        return found

    def end(self) -> None:
        """Let the next one ask."""
        if self._holder()[0] == self._token:
            with contextlib.suppress(OSError):
                self._path.unlink()

    def _take(self) -> bool:
        """Whether it is our turn now; where no file can be made, it is."""
        try:
            descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            return False
        except OSError:
            return True
        with os.fdopen(descriptor, "w") as stream, contextlib.suppress(OSError):
            stream.write(self._content())
        return True

    def _replace(self) -> bool:
        """Take the turn of somebody who was too slow, or has died; of several who do, the last one has it."""
        try:
            write_atomic(self._path, self._content(), mode=0o600, durable=False)
        except OSError:
            return True
        time.sleep(2 * _LOOK_S)
        return self._holder()[0] == self._token

    def _content(self) -> str:
        return json.dumps({"token": self._token, "taken": time.time()})

    def _holder(self) -> tuple[str, float | None]:
        try:
            record = json.loads(read_plain(self._path, 1 << 12))
        except (OSError, ValueError, RecursionError):
            return "", None
        return (
            (text(record.get("token")) or "", moment(record.get("taken"))) if isinstance(record, dict) else ("", None)
        )


def _make_private(folder: Path) -> None:
    """A folder that nobody else reads or writes; an OSError where it is not."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    _check_private(folder)


def _check_private(folder: Path) -> None:
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or stat.S_IMODE(found.st_mode) & 0o077:
        raise PermissionError(f"{folder} is not private")


def _name(command: Sequence[str]) -> str:
    """Of the question to this cluster: clusters of one site often share the home folders."""
    cluster = [os.environ.get(name, "") for name in (*_CLUSTER_VARIABLES, "PATH")]
    cluster.append(cluster_name() or socket.gethostname())
    return sha256("\0".join([*cluster, *command]).encode("utf-8", "surrogateescape")).hexdigest()[:24]
