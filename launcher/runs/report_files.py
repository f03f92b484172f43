"""The names of the files that reports make of a run."""

from __future__ import annotations

from pathlib import Path


class ReportFiles:
    """Files for people and for other programs; `root` is the run directory."""

    root: Path

    @property
    def report(self) -> Path:
        """report.html: the page that `report` makes."""
        return self.root / "report.html"

    @property
    def notices(self) -> Path:
        """A file for each event that people were told of, and each way of telling: made by the one who tells."""
        return self.root / "notices"
