"""What a submission stages: looked at once on the login node, and written down by its key."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from curator_slurm.common.in_words import several
from curator_slurm.common.sizes import format_size, parse_size
from curator_slurm.launcher import storage_errors
from curator_slurm.launcher.files import write_json
from curator_slurm.launcher.plan.model import Plan
from curator_slurm.launcher.plan.staging import staged_roots, staging_choice
from curator_slurm.launcher.runs.submissions import Submission
from curator_slurm.launcher.staging import store
from curator_slurm.launcher.staging.tree import Tree, tree_of

_SHOWN = 5


@dataclass(frozen=True)
class StagedSoftware:
    """What there is to be staged; None where it could not be seen from here, or where nothing is staged."""

    tree: Tree | None = None
    is_packed: bool = False
    problem: str = ""

    def write(self, submission: Submission) -> None:
        """Write it down for the jobs of a submission."""
        if self.tree is not None:
            found = {"key": self.tree.key, "files": self.tree.files, "bytes": self.tree.size}
            write_json(submission.paths.staging, {"schema": 1, **found, "outside": list(self.tree.outside)})

    def notes(self) -> Iterator[str]:
        """Sentences about it."""
        if self.problem:
            yield self.problem
        if self.tree is None:
            return
        what = (
            f"environment.stage: {several(self.tree.files, 'file')}, {format_size(self.tree.size)}, "
            f"go to the nodes' own disks"
        )
        yield f"{what}; they are packed already" if self.is_packed else f"{what}; the first job packs them"
        if outside := self.tree.outside:
            more = f" and {len(outside) - _SHOWN} more" if len(outside) > _SHOWN else ""
            yield (
                f"environment.stage: {', '.join(outside[:_SHOWN])}{more} lie outside of the environment (editable "
                "packages, links) and are used where they are; environment.stage_paths takes them along"
            )


def look_at_software(plan: Plan) -> StagedSoftware:
    """What a plan stages, as it is now."""
    if staging_choice(plan) is None:
        return StagedSoftware()
    environment, runs = plan.spec.environment, Path(plan.spec.storage.runs or "")
    if environment.container is None and plan.python is None:
        return StagedSoftware(
            problem="environment.stage: the prefix of the conda environment is not known here, so that every job looks "
            "at all of its files; give it as a path"
        )
    try:
        roots = staged_roots(plan, plan.python)
        tree = tree_of(roots)
    except OSError as error:
        return StagedSoftware(
            problem="environment.stage: what is staged cannot be seen from here "
            f"({storage_errors.what(error)}), so that every job looks at all of it"
        )
    return StagedSoftware(tree if roots else None, store.find(runs, tree.key) is not None)


def remove_old_archives(plan: Plan) -> None:
    """Remove archives that no job uses any more, by what this plan says about that."""
    environment = plan.spec.environment
    if staging_choice(plan) is not None:
        most = parse_size(environment.stage_size)
        store.remove_unused(Path(plan.spec.storage.runs or ""), environment.stage_days, most, time.time())
