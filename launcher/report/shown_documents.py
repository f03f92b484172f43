"""Documents that filters have kept and dropped, from what drivers have written of them. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from curator_slurm.common.json_fields import text
from curator_slurm.launcher.report.gather_report import DriverRecord
from curator_slurm.launcher.report.report_model import ShownDocument

MOST_OF_A_FILTER = 50
"""Kept, and as many dropped, over all shards: as many as a spec may ask for."""


def shown_documents(drivers: Sequence[DriverRecord], most: int | None = None) -> tuple[ShownDocument, ...]:
    """Of each filter the first that came, once each, whatever ran again; `most` of them, kept and dropped."""
    limit = min(most if most is not None else MOST_OF_A_FILTER, MOST_OF_A_FILTER)
    found: dict[ShownDocument, tuple[int, int]] = {}
    taken: Counter[tuple[str, str, str, bool]] = Counter()
    order: dict[tuple[str, str, str], int] = {}
    for line in (line for driver in drivers for line in driver.samples):
        document = _document(line)
        if document is None or document in found:
            continue
        key = (document.pipeline, document.stage, document.by)
        if taken[(*key, document.kept)] < limit:
            taken[(*key, document.kept)] += 1
            found[document] = (order.setdefault(key, len(order)), int(document.kept))
    return tuple(sorted(found, key=lambda document: found[document]))


def _document(line: Mapping[str, Any]) -> ShownDocument | None:
    stage, by, fields, kept = text(line.get("stage")), text(line.get("by")), line.get("fields"), line.get("kept")
    if stage is None or by is None or not isinstance(fields, dict) or not isinstance(kept, bool):
        return None
    shown = tuple((str(name), value) for name, value in fields.items() if isinstance(value, str))
    why = text(line.get("why")) or ""
    return ShownDocument(
        pipeline=text(line.get("pipeline")) or "", stage=stage, by=by, kept=kept, why=why, fields=shown
    )
