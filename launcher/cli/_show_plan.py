"""The text view of a plan: what `plan` prints."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence

from curator_slurm.common.sizes import format_size
from curator_slurm.launcher.cli import _words as words
from curator_slurm.launcher.sharding.preview import BINS, Bin, Preview, histogram

_INDENT = 10
_BAR = 40


def plan_lines(preview: Preview, width: int) -> Iterator[str]:
    """Totals, the split, its balance, and what is unusual."""
    yield _entry("Name", preview.name)
    yield _entry("Input", f"{words.several(preview.files, 'file')}, {_size(preview)}")
    if not preview.sharded:
        yield _entry("Shards", "none: one job processes all files; with `shards` in the spec, a job array does")
    else:
        yield _entry("Shards", words.count(len(preview.shards)))
        yield from _elements(preview)
        yield from _balance(preview)
    for number, reason in enumerate(preview.explain):
        yield from _wrapped("" if number else "Resources", reason, width)
    if preview.restarts:
        yield from _wrapped("Restarts", preview.restarts, width)
    if preview.code is not None:
        yield from _wrapped("Code", f"beside the spec: {preview.code.summary()}", width)
    if preview.output is not None:
        yield _entry("Output", preview.output)
    for note in preview.notes:
        yield from _wrapped("Note", note, width)


def _wrapped(label: str, text: str, width: int) -> Iterator[str]:
    for number, line in enumerate(textwrap.wrap(text, width - _INDENT, break_on_hyphens=False)):
        yield _entry("" if number else label, line)


def _entry(label: str, text: str) -> str:
    return f"{label:<{_INDENT}}{text}"


def _size(preview: Preview) -> str:
    if preview.unknown == preview.files and preview.files:
        return "of unknown size"
    known = format_size(preview.bytes)
    return f"{known} and {words.several(preview.unknown, 'file')} of unknown size" if preview.unknown else known


def _elements(preview: Preview) -> Iterator[str]:
    if preview.cluster == "local":
        yield _entry("Elements", "none: this machine processes one shard after the other")
        return
    each = f"of {words.several(preview.per_element, 'shard')} each"
    limit = "" if preview.max_running is None else f"; at most {words.count(preview.max_running)} run at once"
    yield _entry("Elements", f"{words.count(preview.elements)} {each}{limit}")
    arrays = preview.arrays
    sizes = sorted({len(array.elements) for array in arrays})
    held = " or ".join(map(words.count, reversed(sizes)))
    known = f"MaxArraySize {words.count(preview.max_array_size)}" if preview.max_array_size else "MaxArraySize unknown"
    calls = words.several(len(arrays), "sbatch call")
    yield _entry(
        "Arrays", f"{words.count(len(arrays))} of {held} {'element' if sizes == [1] else 'elements'} ({known}): {calls}"
    )
    waiting = sum(array.after is not None for array in arrays)
    if waiting:
        yield _entry("", f"{words.count(waiting)} of them start after others have ended (shards.max_running)")


def _balance(preview: Preview) -> Iterator[str]:
    sizes, counts = preview.sizes, [len(shard.files) for shard in preview.shards]
    mean = sum(sizes) / len(sizes)
    ratio = preview.largest_to_mean
    if ratio is not None:
        largest = f"largest {format_size(max(sizes))} ({ratio:.2f} times the mean)"
        yield _entry("Sizes", f"{largest}, mean {format_size(mean)}, smallest {format_size(min(sizes))}")
    files = f"{min(counts):,}" if min(counts) == max(counts) else f"{min(counts):,} to {max(counts):,}"
    yield _entry("Files", f"{files} in a shard")
    if ratio is None:
        return
    parts = _bins(sizes)
    most = max(part.shards for part in parts)
    for number, part in enumerate(parts):
        bar = "#" * max(round(_BAR * part.shards / most), bool(part.shards))
        text = f"{format_size(part.low):>9} to {format_size(part.high):>9}  {words.count(part.shards):>7} {bar}"
        yield _entry("" if number else "Histogram", text.rstrip())
    for number, shard in enumerate(preview.largest):
        text = f"shard {shard.index}: {format_size(shard.bytes)} in {words.several(len(shard.files), 'file')}"
        yield _entry("" if number else "Largest", text)


def _bins(sizes: Sequence[int]) -> list[Bin]:
    """As many parts as can be told apart by the way sizes are written."""
    for bins in range(BINS, 1, -1):
        parts = histogram(sizes, bins)
        edges = [part.low for part in parts] + [parts[-1].high]
        if len(set(map(format_size, edges))) == len(edges):
            return parts
    return histogram(sizes, 1)
