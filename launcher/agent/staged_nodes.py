"""How the nodes of a run have got their software, in words: the event `software_staged`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from curator_slurm.common.in_words import several
from curator_slurm.launcher.runs.attempt_records import EventLog

_WORDS = {"unpacked": "unpacked on", "reused": "found on", "shared": "used from shared storage on"}


def note_staged(events: EventLog, found: Mapping[str, Mapping[str, Any]]) -> None:
    """Note it, where something was to be staged; `found` is what each node has said."""
    nodes = {name: each for name, each in found.items() if each.get("how") in _WORDS}
    if not nodes:
        return
    parts = []
    for how, words in _WORDS.items():
        those = [each for each in nodes.values() if each["how"] == how]
        if those:
            longest = max(float(each.get("seconds") or 0.0) for each in those)
            parts.append(f"{words} {len(those)}" + (f" (at most {longest:.1f} s)" if how != "shared" else ""))
    saved = [float(each.get("saved") or 0.0) for each in nodes.values()]
    message = f"software on the nodes' own disks, of {several(len(nodes), 'node')}: {', '.join(parts)}"
    if max(saved) > 0:
        message += f"; each was spared up to {max(saved):.0f} s of reading files one by one from shared storage"
    reasons = sorted({str(each["why"]) for each in nodes.values() if each.get("why")})
    message += "".join(f"; {why}" for why in reasons)
    kept = {
        name: {key: value for key, value in each.items() if key in ("how", "seconds", "saved", "files", "why")}
        for name, each in nodes.items()
    }
    events.add("software_staged", message, nodes=kept)
