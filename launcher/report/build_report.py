"""From the records of a run to its report. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from curator_slurm.launcher.plan.model import Plan
from curator_slurm.launcher.report.bottleneck import limit_of
from curator_slurm.launcher.report.failure_causes import failures_of
from curator_slurm.launcher.report.funnel import funnel_of
from curator_slurm.launcher.report.gather_report import Records
from curator_slurm.launcher.report.over_time import measured_of
from curator_slurm.launcher.report.report_model import PlanSetting, RunReport, WhatRan
from curator_slurm.launcher.report.shard_bars import shard_bars
from curator_slurm.launcher.report.time_spent import timeline_of_run
from curator_slurm.launcher.report.what_it_cost import costs_of

_MOST_SETTINGS = 500
_MOST_VALUE = 400
_HIDDEN = ("environment.env.", "environment.setup", "network.proxy", "notify.")
"""Whose values may be secret: a page is sent around."""


def build_report(records: Records) -> RunReport:
    """Everything that the page shows."""
    measured = measured_of(records)
    timeline = timeline_of_run(records)
    bars = shard_bars(records)
    return RunReport(
        made=round(records.now, 3),
        status=records.view,
        ran=what_ran(records.plan),
        funnel=funnel_of(records),
        timeline=timeline,
        measured=measured,
        limit=limit_of(records, measured, timeline, bars),
        failures=failures_of(records.failures, records.omitted_failures),
        shards=bars,
        attempts=tuple(records.attempts),
        costs=costs_of(records, timeline),
    )


def what_ran(plan: Plan | None) -> WhatRan:
    """The settings that are not defaults; without a plan that can be read, none."""
    if plan is None:
        return WhatRan(settings=(), version=None, executor=None, command=False)
    values = plan.spec.model_dump(mode="json", by_alias=True)
    found = []
    for key, value in _flat(values):
        origin = _origin(plan.origins, key)
        if origin and origin != "default" and value not in (None, [], {}):
            found.append(PlanSetting(key=key, value=_shown(key, value), origin=origin))
    command = plan.spec.pipeline.command is not None
    return WhatRan(
        settings=tuple(found[:_MOST_SETTINGS]),
        version=plan.version,
        executor=None if command else str(plan.spec.executor.backend),
        command=command,
    )


def _flat(value: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted keys; lists are values."""
    for key, inner in value.items():
        name = f"{prefix}{key}"
        if isinstance(inner, Mapping) and inner:
            yield from _flat(inner, f"{name}.")
        else:
            yield name, inner


def _origin(origins: Mapping[str, str], key: str) -> str | None:
    """Of a key, or of the nearest one above that has one."""
    while key:
        if key in origins:
            return origins[key]
        key = key.rpartition(".")[0]
    return None


def _shown(key: str, value: Any) -> str:
    if key.startswith(_HIDDEN):
        return "(not shown)"
    text = value if isinstance(value, str) else _in_short(value)
    return text if len(text) <= _MOST_VALUE else f"{text[:_MOST_VALUE]}..."


def _in_short(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
