"""From a plan to its preview: the input is listed and split, and Slurm is asked how large an array may be."""

from __future__ import annotations

import textwrap

from curator_slurm.launcher import storage_errors
from curator_slurm.launcher.errors import SlurmError, StorageError
from curator_slurm.launcher.inputs.listing import Progress
from curator_slurm.launcher.plan.model import Cluster, Plan
from curator_slurm.launcher.plan.modules import code_of
from curator_slurm.launcher.plan.node_layout import layout_lines
from curator_slurm.launcher.plan.restart_choice import in_words
from curator_slurm.launcher.runs.user_code import CodeRecord, would_take
from curator_slurm.launcher.sharding.array_limits import DEFAULT_MAX_ARRAY_SIZE, largest_array
from curator_slurm.launcher.sharding.arrays import cut
from curator_slurm.launcher.sharding.plan_shards import plan_shards
from curator_slurm.launcher.sharding.preview import Preview
from curator_slurm.launcher.slurm.client import Slurm


def make_preview(plan: Plan, progress: Progress = lambda *_: None) -> Preview:
    """The numbers of what `submit` would submit; nothing is written.

    Raises:
        StorageError: an input is missing or cannot be read.
        SpecError: the input cannot be cut as `shards` says.
    """
    name, cluster, settings = plan.spec.name, plan.cluster.value, plan.spec.shards
    planned = plan_shards(plan, progress)
    notes, output, code = list(planned.notes), plan.spec.output.path, _code(plan)
    notes += code.sentences() if code is not None else ()
    if settings is None:
        notes += [] if plan.spec.input else ["the spec has no `input`"]
        return Preview(
            name=name,
            cluster=cluster,
            sharded=False,
            shards=planned.shards,
            notes=notes,
            output=output,
            code=code,
            explain=[*layout_lines(plan), *plan.explain],
            restarts=in_words(plan),
        )
    if plan.cluster is Cluster.LOCAL:
        return Preview(
            name=name, cluster=cluster, sharded=True, shards=planned.shards, notes=notes, output=output, code=code
        )
    try:
        size = largest_array(Slurm())
    except SlurmError as error:
        size = DEFAULT_MAX_ARRAY_SIZE
        first = textwrap.shorten(str(error).splitlines()[0], 120, placeholder=" ...").rstrip(".")
        notes.append(f"MaxArraySize is taken for Slurm's default, {size:,}, because Slurm cannot be asked: {first}")
    return Preview(
        name=name,
        cluster=cluster,
        sharded=True,
        shards=planned.shards,
        arrays=cut(range(len(planned.shards)), settings.per_element, size, settings.max_running),
        max_running=settings.max_running,
        per_element=settings.per_element,
        max_array_size=size,
        notes=notes,
        output=output,
        code=code,
        explain=[*layout_lines(plan), *plan.explain],
        restarts=in_words(plan),
    )


def _code(plan: Plan) -> CodeRecord | None:
    """The modules that the run would take with it.

    Raises:
        StorageError: they cannot be read.
    """
    try:
        return would_take(code_of(plan))
    except OSError as error:
        raise StorageError(f"the modules beside the spec cannot be copied: {storage_errors.what(error)}") from error
