"""What `doctor` prints: a line for each check, and below those that need it, how to mend it."""

from __future__ import annotations

from collections.abc import Iterator

from curator_slurm.launcher.cli._words import several
from curator_slurm.launcher.doctor.report import Check, DoctorReport, Result
from curator_slurm.launcher.ranges import format_numbers

_SHOWN = {Result.OK: "ok", Result.WARNING: "WARNING", Result.FAILED: "FAILED", Result.SKIPPED: "-"}


def lines(report: DoctorReport) -> Iterator[str]:
    """Plain lines, in the order of the checks."""
    where = f" and {several(len(report.nodes), 'node')} (job {report.job_id})" if report.nodes else ""
    yield f"{report.host}{where}"
    width = max((len(check.name) for check in report.checks), default=0)
    for check in report.checks:
        nodes = f"{_nodes(check)}: " if check.nodes else ""
        yield f"{_SHOWN[check.result]:<8} {check.name:<{width}}  {nodes}{check.message}"
        if check.next_step and check.result in (Result.WARNING, Result.FAILED):
            yield f"{'':8} {'':<{width}}  -> {check.next_step}"
    failed = sum(check.result is Result.FAILED for check in report.checks)
    warnings = sum(check.result is Result.WARNING for check in report.checks)
    yield f"{several(failed, 'check')} failed, {several(warnings, 'warning')}"
    if not report.nodes and not failed:
        yield "Nodes were not looked at: curator-slurm doctor --nodes 2 submits a small job that does."


def _nodes(check: Check) -> str:
    """Names of nodes, those that differ in a number alone as one."""
    stems: dict[str, list[int]] = {}
    for name in check.nodes:
        stem = name.rstrip("0123456789")
        number = name[len(stem) :]
        if not number or number != str(int(number)):
            return ",".join(check.nodes)
        stems.setdefault(stem, []).append(int(number))
    parts = [f"{stem}{format_numbers(numbers)}" for stem, numbers in stems.items() if len(numbers) == 1]
    parts += [f"{stem}[{format_numbers(numbers)}]" for stem, numbers in stems.items() if len(numbers) > 1]
    return ",".join(parts)
