"""`submit`: from a spec in a file, a string or a mapping to the handle of a submitted run."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from curator_slurm.launcher.api.handle import Job, PartialSubmissionError
from curator_slurm.launcher.api.settings import Overrides, plain, set_options
from curator_slurm.launcher.errors import UsageError
from curator_slurm.launcher.files import expanded
from curator_slurm.launcher.operations import submit as operation
from curator_slurm.launcher.plan.model import Cluster
from curator_slurm.launcher.site.specs import read_spec_text

CLUSTERS = ("auto", *(cluster.value for cluster in Cluster))
_SOURCE = "the spec"
"""What messages call a spec that is no file."""


def submit(
    spec: str | os.PathLike[str] | Mapping[str, Any],
    *,
    overrides: Overrides | None = None,
    cluster: str = "auto",
    environ: Mapping[str, str] | None = None,
    imports: bool = True,
) -> Job:
    """Check a spec and submit it; the handle of its run.

    `spec` is the path of a YAML file, a mapping, or a string with several lines of YAML; relative paths in the last two
    begin at the current folder. `overrides` are settings in place of those of the spec: `{"resources.nodes": 8}` or
    `{"resources": {"nodes": 8}}`. `cluster` is slurm, local (this machine) or auto (Slurm where there is sbatch).
    `environ`, by default this process's, has the values of secrets and of variables in paths. With `imports`, the
    pipeline is made in a process of its own first, and what is wrong with it is an error.

    Raises:
        SpecError: the spec has errors; all of them are told, and nothing is written.
        SitePolicyError: it changes what a site file has locked, or is above a limit of the site.
        SlurmError: Slurm refused the job, or cannot be reached.
        StorageError: the run directory cannot be written.
        PartialSubmissionError: Slurm accepted some of the arrays, or its answer was lost.
    """
    if cluster not in CLUSTERS:
        raise UsageError(f"there is no cluster {cluster!r}; it is one of {', '.join(CLUSTERS)}")
    environ = os.environ if environ is None else environ
    place = operation.choose_cluster(cluster).cluster
    options = set_options(overrides)
    text = _text(spec)
    if text is None:
        assert not isinstance(spec, Mapping)
        prepared = operation.prepare(expanded(spec), options, place, environ, imports=imports)
    else:
        reading, layers = read_spec_text(text, _SOURCE, Path.cwd(), options, environ)
        prepared = operation.prepare_reading(reading, Path.cwd(), place, environ, imports=imports, layers=layers)
    done = operation.submit(prepared, environ)
    ignored = [name for name in done.removed_variables if name.startswith("SBATCH_")]
    notes = [*done.notes, *([f"not passed on to sbatch: {', '.join(ignored)}"] if ignored else [])]
    job = Job(done.run.paths.root, notes=notes)
    if done.problem:
        raise PartialSubmissionError(done.problem, job) from done.error
    return job


def _text(spec: str | os.PathLike[str] | Mapping[str, Any]) -> str | None:
    """The YAML of a spec that is no file."""
    if isinstance(spec, Mapping):
        try:
            return yaml.safe_dump(plain(spec), sort_keys=False, allow_unicode=True)
        except yaml.representer.RepresenterError as error:
            found = error.args[-1]
            raise UsageError(
                f"the spec has a value that YAML cannot hold, a {type(found).__name__}: {found!r:.60}; write it as a "
                "text, a number, a list or a mapping"
            ) from error
        except RecursionError as error:
            raise UsageError("the spec has a list or mapping that is part of itself") from error
    return spec if isinstance(spec, str) and "\n" in spec else None
