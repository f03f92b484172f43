"""Runs on the first node of a job before the agents: packs what nodes are to have on their own disks.

`python -m curator_slurm.launcher.agent.pack_software` prints the folder of the archive, and nothing where there is
none: then the nodes use shared storage.
"""

from __future__ import annotations

import argparse
import socket
import sys
from pathlib import Path

from curator_slurm.common.in_words import several
from curator_slurm.common.sizes import format_size
from curator_slurm.launcher import storage_errors
from curator_slurm.launcher.errors import CuratorSlurmError
from curator_slurm.launcher.plan.model import Plan
from curator_slurm.launcher.plan.staging import staged_roots
from curator_slurm.launcher.runs.owners import read_own
from curator_slurm.launcher.runs.paths import RunPaths, SubmissionPaths
from curator_slurm.launcher.runs.staging_record import submitted_key
from curator_slurm.launcher.sharding.assignment import plan_file
from curator_slurm.launcher.staging import store
from curator_slurm.launcher.staging.tree import tree_of


def main(arguments: list[str] | None = None) -> int:
    """Print where the archive is, which is made if need be; whatever goes wrong is said, and ends no run."""
    parser = argparse.ArgumentParser(prog="curator-slurm packing")
    parser.add_argument("--run-dir", type=Path, required=True)
    parser.add_argument("--submission")
    parser.add_argument("--python")
    options = parser.parse_args(arguments)
    run = RunPaths(options.run_dir)
    submission = SubmissionPaths(run.submissions / options.submission, run) if options.submission else None
    try:
        plan = Plan.from_yaml(read_own(plan_file(run, submission)))
        folder = archive_of(plan, options.python, submitted_key(run, submission))
    except CuratorSlurmError as error:
        say(f"{error}; the software is used from shared storage")
    except (OSError, ValueError) as error:
        why = storage_errors.what(error) if isinstance(error, OSError) else str(error)
        say(f"the software cannot be packed, and is used from shared storage: {why}")
    else:
        print(folder or "")
    return 0


def archive_of(plan: Plan, python: str | None, key: str) -> Path | None:
    """The archive of what was submitted, or of what is there now.

    Raises:
        OSError: something cannot be read or written.
        CuratorSlurmError: the folder of archives cannot be used.
    """
    runs = Path(plan.spec.storage.runs or "")
    if (found := store.find(runs, key)) is not None:
        return found
    roots = staged_roots(plan, python)
    if not roots:
        say("every node has the software itself: there is nothing to stage")
        return None
    tree = tree_of(roots)
    if key and tree.key != key:
        say("the software was changed after the run was submitted: it is used as it is now")
    in_image = plan.spec.environment.container is not None
    packed = store.pack(runs, tree, python, in_image=in_image)
    if packed.seconds:
        say(
            f"packed {several(tree.files, 'file')}, {format_size(tree.size)}, into {format_size(packed.size)} in "
            f"{packed.seconds:.1f} s: {packed.folder}"
        )
    return packed.folder


def say(text: str) -> None:
    """Into the log of the job."""
    print(f"curator-slurm: {socket.gethostname().partition('.')[0]}: {text}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
