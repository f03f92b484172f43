"""The name of the file with what was measured: of a node by its agent, of stages by a driver."""

from __future__ import annotations

from pathlib import Path


class MeasuredFiles:
    """Files of whoever measures; `root` is the folder of a node, or of an attempt."""

    root: Path

    @property
    def metrics(self) -> Path:
        """metrics.jsonl: `common/measurements.py` says what its lines are."""
        return self.root / "metrics.jsonl"


class DriverFiles(MeasuredFiles):
    """Files of a driver, in the folder of its attempt."""

    @property
    def samples(self) -> Path:
        """samples.jsonl: documents that filters kept and dropped, where the spec asks for some."""
        return self.root / "samples.jsonl"
