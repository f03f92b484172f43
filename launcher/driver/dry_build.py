"""Builds the pipeline and the executor of a plan as the driver does, and runs nothing: the child of `validate`.

It reads the plan from its standard input and writes one JSON value a line to its standard output: what it is about to
do (`at`), a `problem` with its key, a `note`, and `end`. What the user's code prints goes nowhere.
"""

from __future__ import annotations

import argparse
import contextlib
import faulthandler
import json
import logging
import os
import re
import sys
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

from curator_slurm.common.addresses import is_remote, without_scheme
from curator_slurm.launcher.driver.executor_loader import load_executor
from curator_slurm.launcher.driver.load_error import PipelineLoadError
from curator_slurm.launcher.driver.pipeline_loader import add_stage, build_pipeline, load_entry, run_arguments, told
from curator_slurm.launcher.driver.stage_needs import misfits
from curator_slurm.launcher.driver.write_guard import WriteGuard
from curator_slurm.launcher.errors import CuratorSlurmError
from curator_slurm.launcher.failure_classes import FailureClass
from curator_slurm.launcher.plan.checks import cannot_create
from curator_slurm.launcher.plan.model import Plan

_OF_THE_JOB = re.compile(r"(SLURM|CURATOR_|RAY_|CUDA_|ROCR_|HIP_|NVIDIA_).*|TMPDIR|.*SCRATCH.*")
"""Variables that only the job has."""
_GPU_MISSING = re.compile(r"cuda|nvidia|nvml|\bgpu\b|libcu|rocm|\bhip\b", re.IGNORECASE)


class _JobVariables(dict[str, str]):
    """The environment as placeholders see it: what only the job has has a stand-in."""

    def __contains__(self, name: object) -> bool:
        return super().__contains__(name) or _OF_THE_JOB.fullmatch(str(name)) is not None

    def __missing__(self, name: str) -> str:
        return "0"


class _Report:
    """Writes what is found; a problem that this machine may have and a node may not is only a note."""

    def __init__(self, stream: IO[str], guard: WriteGuard, *, prepared_elsewhere: bool, gpus: bool) -> None:
        self._stream = stream
        self._guard = guard
        self._prepared_elsewhere = prepared_elsewhere
        self._gpus = gpus

    def say(self, **what: object) -> None:
        print(json.dumps(what), file=self._stream, flush=True)

    @contextlib.contextmanager
    def step(self, what: str, key: str) -> Iterator[None]:
        """Something that may fail; `what` in words, in case that it never ends, `key` the setting it is about."""
        self._guard.refused.clear()
        self.say(at=what, key=key)
        try:
            yield
        except SystemExit as leaving:
            self._found(key, f"`{key}`: {what} called sys.exit({leaving.code!r})", None)
        except PipelineLoadError as error:
            self._found(error.key, f"{error}; {error.next_step}", error.failure_class)
        except CuratorSlurmError as error:
            self._found(key, f"`{key}`: {error}", None)
        except Exception as error:
            failure = FailureClass.ENVIRONMENT if isinstance(error, ImportError) else None
            self._found(key, f"`{key}`: {what} failed: {told(error)}", failure)

    def _found(self, key: str, message: str, failure: FailureClass | None) -> None:
        if failure is FailureClass.ENVIRONMENT:
            message = f"{message} (looked for with {sys.executable})"
        if self._guard.refused:
            self.say(note=f"it would write {self._guard.refused[0]} while it is made", key=key)
        elif failure is FailureClass.ENVIRONMENT and self._prepared_elsewhere:
            self.say(note=f"{message} (environment.modules or environment.setup may bring it)", key=key)
        elif self._gpus and _GPU_MISSING.search(message) and not Path("/dev/nvidiactl").exists():
            self.say(note=f"{message} (there is no GPU on this machine)", key=key)
        else:
            self.say(problem=message, key=key)


def main(arguments: list[str] | None = None) -> int:
    """Look at the plan on standard input; 0 where that was possible, whatever was found."""
    parser = argparse.ArgumentParser(prog="curator-slurm dry-build")
    parser.add_argument("--scratch", type=Path, required=True)
    parser.add_argument("--file", action="append", default=[], help="stands for the input")
    options = parser.parse_args(arguments)
    plan = Plan.from_yaml(sys.stdin.read())
    stream = os.fdopen(os.dup(1), "w", encoding="utf-8")
    faulthandler.enable(stream)
    with open(os.devnull, "r+b") as nothing:
        for descriptor in (0, 1, 2):
            os.dup2(nothing.fileno(), descriptor)
    if plan.spec_dir not in sys.path:
        sys.path.append(plan.spec_dir)
    logging.disable()
    warnings.simplefilter("ignore")
    (options.scratch / "outputs").mkdir()
    guard = WriteGuard(options.scratch)
    guard.install()
    environment = plan.spec.environment
    report = _Report(
        stream,
        guard,
        prepared_elsewhere=bool(environment.modules or environment.setup),
        gpus=plan.spec.resources.gpu_count > 0 or "gres" in plan.spec.resources.sbatch,
    )
    _look(plan, _stand_ins(plan, options.scratch, options.file), report)
    report.say(end=True)
    return 0


def _stand_ins(plan: Plan, scratch: Path, files: list[str]) -> dict[str, Any]:
    """What the placeholders stand for here."""
    return {
        "output_dir": str(scratch / "outputs"),
        "run_dir": str(scratch),
        "shard.index": 0,
        "shard.files": files,
        "input.files": files,
        "env": _JobVariables(os.environ),
        "secrets": frozenset(plan.spec.environment.secrets),
    }


def _look(plan: Plan, context: Mapping[str, Any], report: _Report) -> None:
    executor = None
    with report.step("making the executor", "executor"):
        executor = load_executor(plan.spec)
    pipeline = _pipeline(plan, context, report)
    if pipeline is None:
        return
    with report.step("building the pipeline", "pipeline"):
        if hasattr(pipeline, "build"):
            pipeline.build()
        if executor is not None:
            run_arguments(pipeline, executor, plan.spec.pipeline.checkpoint_path)
    stages = getattr(pipeline, "stages", None)
    if not isinstance(stages, list):
        return
    for misfit in misfits(plan, stages):
        report.say(**{"problem" if misfit.is_certain else "note": misfit.words}, key=misfit.key)
    _check_outputs(stages, report)
    if hasattr(executor, "check_stages"):
        with report.step("the options of the stages", "pipeline"):
            executor.check_stages(stages)
    if plan.spec.pipeline.checkpoint_path:
        from curator_slurm.executors.resume.checkpoint import check_resumable

        with report.step("the checkpoint", "pipeline.checkpoint_path"):
            check_resumable(stages)
    elif executor is not None:
        from curator_slurm.executors.resume.restarts import why_anew

        if why := why_anew(pipeline, stages, executor):
            report.say(remark=f"a restart of this run begins anew: {why}", key="pipeline")


def _pipeline(plan: Plan, context: Mapping[str, Any], report: _Report) -> Any:
    """The pipeline, or None where it cannot be made; every stage of the spec is tried, whatever became of others."""
    spec = plan.spec.pipeline
    made: list[Any] = []
    if not spec.stages:
        key = "pipeline.entry" if spec.entry is not None else "pipeline.file"
        with report.step(f"importing {spec.entry or spec.file}", key):
            load_entry(spec)
            with report.step(f"calling {spec.entry or spec.file}", key):
                made.append(build_pipeline(spec, plan.spec.name, context))
        return made[0] if made else None
    from curator_slurm.executors import Pipeline

    pipeline = Pipeline(name=plan.spec.name)
    for index, stage in enumerate(spec.stages):
        with report.step(f"stage {index + 1}, {stage.use}", f"pipeline.stages.{index}.use"):
            add_stage(pipeline, stage, index, context)
            made.append(stage)
    return pipeline if len(made) == len(spec.stages) else None


def _check_outputs(stages: list[Any], report: _Report) -> None:
    """Whether the folders of writers, ours and NeMo Curator's, can be made."""
    for number, stage in enumerate(stages, 1):
        path = getattr(stage, "path", None)
        if not isinstance(path, str) or not hasattr(stage, "mode") or is_remote(path):
            continue
        with contextlib.suppress(OSError, ValueError):
            if problem := cannot_create(Path(without_scheme(path)).absolute()):
                name = str(getattr(stage, "name", type(stage).__name__))
                report.say(problem=f"stage {number}, {name!r}, cannot write to {path}: {problem}", key="pipeline")


if __name__ == "__main__":
    with contextlib.suppress(BrokenPipeError):
        main()
    os._exit(0)  # whatever threads and exit handlers the user's modules have left
