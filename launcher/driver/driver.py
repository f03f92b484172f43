"""The driver: a child of the head agent that builds the pipeline and runs the executor.

It is started before Ray is up, imports what it will need, and waits on its standard input for `go <address>`. At
the end it writes driver.json beside its log, from which the head agent takes message and failure class.
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
import shutil
import sys
import time
import traceback
import warnings
from pathlib import Path
from typing import Any, NoReturn

from curator_slurm.common.atomic_files import stream_atomic
from curator_slurm.common.streams import drop_unwritable
from curator_slurm.executors.ray_internals import keep_current_folder_out
from curator_slurm.executors.run import drain
from curator_slurm.executors.task_failures import DrainedError
from curator_slurm.launcher import storage_errors
from curator_slurm.launcher.driver.drain_orders import Orders
from curator_slurm.launcher.driver.executor_loader import load_executor
from curator_slurm.launcher.driver.load_error import PipelineLoadError
from curator_slurm.launcher.driver.pipeline_loader import build_pipeline, load_entry, run_arguments
from curator_slurm.launcher.driver.resuming import resuming
from curator_slurm.launcher.errors import CuratorSlurmError, StorageError
from curator_slurm.launcher.failure_classes import FailureClass
from curator_slurm.launcher.files import write_json
from curator_slurm.launcher.plan.model import Plan
from curator_slurm.launcher.runs.attempt_records import DRAINED
from curator_slurm.launcher.runs.manifest import read_manifest, read_shard
from curator_slurm.launcher.runs.owners import read_own
from curator_slurm.launcher.runs.paths import AttemptPaths, RunPaths
from curator_slurm.launcher.runs.user_code import CODE, PIPELINE_FILE
from curator_slurm.launcher.spec.command_text import argument_list, bash_script
from curator_slurm.launcher.spec.pipeline_section import PipelineSpec

_reached: dict[str, float] = {}
"""What this driver has reached, and when; for driver.json."""


def main(arguments: list[str] | None = None) -> int:
    """Run one attempt's pipeline; the exit code is the job's."""
    parser = argparse.ArgumentParser(prog="curator-slurm driver")
    parser.add_argument("--run-dir", type=Path, required=True)
    parser.add_argument("--attempt-dir", type=Path, required=True)
    parser.add_argument("--plan", type=Path, required=True)
    options = parser.parse_args(arguments)
    attempt = AttemptPaths(options.attempt_dir, RunPaths(options.run_dir))
    try:
        plan = Plan.from_yaml(read_own(options.plan))
        message = _drive(plan, attempt)
    except SystemExit as leaving:
        code = leaving.code if isinstance(leaving.code, int) else int(leaving.code is not None)
        if code:
            _report_failure(attempt, leaving, f"the pipeline called sys.exit({leaving.code!r})")
        return code
    except BaseException as error:
        drained = _drained(error)
        if drained is not None:
            return _report_drained(attempt, drained)
        _report_failure(attempt, error, _describe(error))
        return 1
    _write_result(attempt, {"schema": 1, "state": "completed", "message": message})
    return 0


def _drive(plan: Plan, attempt: AttemptPaths) -> str:
    """Prepare, wait for the cluster, run; returns a one-line summary."""
    orders = Orders()
    pipeline_spec = plan.spec.pipeline
    code = os.environ.get(CODE) or plan.spec_dir
    if code not in sys.path:
        sys.path.append(code)
    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("curator_slurm").setLevel(logging.INFO)
    executor = None
    if pipeline_spec.command is None:
        import ray  # noqa: F401  (the slowest import, while Ray boots anyway)

        keep_current_folder_out()
        pipeline_spec = _as_submitted(pipeline_spec, Path(code))
        load_entry(pipeline_spec)
        executor = _make_executor(plan)
        _reached["imported"] = time.time()
    address = orders.wait_for_go()
    if plan.spec.cluster.ray:
        os.environ["RAY_ADDRESS"] = address
    context = _placeholders(plan, attempt)
    if pipeline_spec.command is not None:
        command = _command_line(pipeline_spec.command, attempt, context)
        _say(f"running {pipeline_spec.command!r}")
        sys.stdout.flush()
        _become(command)
    orders.follow()
    return _run_pipeline(plan, pipeline_spec, executor, attempt, context)


def _as_submitted(spec: PipelineSpec, code: Path) -> PipelineSpec:
    """With the copy of `pipeline.file` that was made when the run was submitted."""
    copy = code / PIPELINE_FILE
    return spec.model_copy(update={"file": str(copy)}) if spec.file is not None and copy.exists() else spec


def _become(command: list[str]) -> NoReturn:
    """Run the program in place of this process.

    Raises:
        PipelineLoadError: the node has no such program, or may not run it.
    """
    try:
        os.execvp(command[0], command)
    except (FileNotFoundError, NotADirectoryError) as error:
        found = shutil.which(command[0])  # a script whose interpreter is missing
        where = "" if "/" in command[0] else f" on PATH ({os.environ.get('PATH', '')})"
        what = f"the interpreter of {found} does not exist" if found else f"there is no program {command[0]!r}{where}"
        raise PipelineLoadError(
            f"pipeline.command: {what}",
            FailureClass.ENVIRONMENT,
            "check the spelling, give its whole path, or bring it with environment.modules or environment.setup",
        ) from error
    except OSError as error:
        raise PipelineLoadError(
            f"pipeline.command: {command[0]!r} cannot be run: {error.strerror}",
            FailureClass.ENVIRONMENT,
            "make it executable with chmod +x, or run it by its interpreter, such as [python, FILE]",
        ) from error


def _command_line(command: str | list[str], attempt: AttemptPaths, context: dict[str, Any]) -> list[str]:
    """The program and its arguments; a string becomes a script in the attempt's folder, which no process list shows."""
    if not isinstance(command, str):
        return argument_list(command, context)
    script = bash_script(command, context)
    with stream_atomic(attempt.command_script, mode=0o600) as stream:
        stream.write(os.fsencode(script))
    return ["bash", str(attempt.command_script)]


def _make_executor(plan: Plan) -> Any:
    with warnings.catch_warnings(record=True) as caught:
        executor = load_executor(plan.spec)
    for warning in caught:
        _say(f"warning: {warning.message} ({warning.category.__name__})")
    return executor


def _run_pipeline(plan: Plan, spec: PipelineSpec, executor: Any, attempt: AttemptPaths, context: dict[str, Any]) -> str:
    def build() -> Any:
        return build_pipeline(spec, plan.spec.name, context)

    own = spec.checkpoint_path is not None
    with contextlib.nullcontext(build()) if own else resuming(build, executor, attempt, _say) as pipeline:
        _say(f"running the pipeline on {type(executor).__name__}")
        began = time.monotonic()
        results = pipeline.run(**run_arguments(pipeline, executor, spec.checkpoint_path))
    seconds = time.monotonic() - began
    count = len(results) if isinstance(results, (list, tuple)) else 0
    message = f"the pipeline ended after {seconds:.1f} s with {count} output task{'s' if count != 1 else ''}"
    _say(message)
    return message


def _placeholders(plan: Plan, attempt: AttemptPaths) -> dict[str, Any]:
    spec = plan.spec
    context: dict[str, Any] = {
        "output_dir": str(attempt.outputs),
        "run_dir": str(attempt.run.root),
        "shard.index": attempt.shard,
        "env": dict(os.environ),
        "secrets": frozenset(spec.environment.secrets),
    }
    if spec.input is not None:
        files = read_shard(attempt.run.manifest, attempt.shard).paths
        context["shard.files"] = files
        if "${input.files}" in spec.pipeline.model_dump_json():
            context["input.files"] = [path for each in read_manifest(attempt.run.manifest) for path in each.paths]
        count = f"{len(files)} input file{'s' if len(files) != 1 else ''}"
        _say(f"shard {attempt.shard}: {count}" if plan.array else count)
    return context


def _drained(error: BaseException | None) -> DrainedError | None:
    """The executor's word that it has drained, also where the pipeline has wrapped it; else None."""
    while error is not None and not isinstance(error, DrainedError):
        error = error.__cause__ or error.__context__
    return error if drain.requested() is not None else None


def _report_drained(attempt: AttemptPaths, error: DrainedError) -> int:
    _say(str(error))
    counts = {"sources_finished": error.finished, "sources_left": error.left}
    _write_result(attempt, {"schema": 1, "state": "drained", "message": str(error), **counts})
    return DRAINED


def _report_failure(attempt: AttemptPaths, error: BaseException, message: str) -> None:
    details = "".join(traceback.format_exception(error))
    failure, next_step = FailureClass.APP_FAILED, ""
    if isinstance(error, PipelineLoadError):
        failure, next_step = error.failure_class, error.next_step
        details = error.details
    elif isinstance(error, StorageError):
        failure, details = FailureClass.STORAGE, ""
    elif isinstance(error, CuratorSlurmError):
        details = ""
    with contextlib.suppress(OSError, ValueError):
        print(details or message, file=sys.stderr, flush=True)
    _write_result(
        attempt,
        {
            "schema": 1,
            "state": "failed",
            "error": {
                "type": type(error).__name__,
                "message": message,
                "traceback": details,
                "failure_class": failure,
                "next_step": next_step,
            },
        },
    )


def _describe(error: BaseException) -> str:
    if isinstance(error, CuratorSlurmError):
        return str(error)
    text = str(error).strip()
    first = text.splitlines()[0] if text else ""
    return f"the pipeline failed: {type(error).__name__}{': ' + first if first else ''}"


def _write_result(attempt: AttemptPaths, result: dict[str, Any]) -> None:
    """Tell the head agent how it went; without room for that, the exit code tells it."""
    try:
        write_json(attempt.result, {**result, **_reached}, mode=0o600)
    except OSError as error:
        _say(f"cannot write {attempt.result}: {storage_errors.what(error)}")


def _say(text: str) -> None:
    """A line in the driver's log; a log that cannot be written fails no pipeline."""
    with contextlib.suppress(OSError, ValueError):
        print(f"{time.strftime('%Y-%m-%d %H:%M:%S')} driver: {text}", flush=True)


if __name__ == "__main__":
    code = main()
    drop_unwritable()
    sys.exit(code)
