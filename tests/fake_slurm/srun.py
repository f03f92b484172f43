"""srun inside a job: the tasks of a step, all on this machine, each told to be on its node."""

import fcntl
import os
import signal
import subprocess
import sys
import time
from types import FrameType

from fake_slurm import getopts
from fake_slurm.environment import step_variables
from fake_slurm.runner import fill_pattern
from fake_slurm.store import Element, Store


def main(store: Store, arguments: list[str]) -> int:
    """Run a command once per task and return the highest exit code."""
    options, command = getopts.parse("srun", arguments)
    if "SLURM_JOB_ID" not in os.environ:
        print("srun: error: the fake srun works only inside a job", file=sys.stderr)
        return 1
    if not command:
        print("srun: fatal: No command given to execute.", file=sys.stderr)
        return 1
    nodes = int(options.get("nodes", os.environ["SLURM_JOB_NUM_NODES"]).split("-")[0])
    per_node = int(options.get("ntasks-per-node", os.environ.get("SLURM_NTASKS_PER_NODE", "1")))
    total = int(options.get("ntasks", nodes * per_node))
    step = _next_step(store)
    export = options.get("export", os.environ.get("SLURM_EXPORT_ENV", "ALL"))
    first = _first_node(options)

    tasks = []
    for task in range(total):
        node, local = task * nodes // total, task % max(1, total // nodes)
        environment = step_variables(dict(os.environ), export, step, first + node, task, local, total)
        if "chdir" in options:
            os.chdir(options["chdir"])
        tasks.append(_start(store, command, options, environment, task, first + node, step))
    return _wait(tasks, options, step)


def _next_step(store: Store) -> int:
    counter = store.jobs / os.environ["FAKE_SLURM_ELEMENT"].partition("_")[0] / f"steps.{os.environ['SLURM_JOB_ID']}"
    with counter.open("a+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.seek(0)
        step = len(file.read())
        file.write("x")
    return step


def _first_node(options: dict[str, str]) -> int:
    wanted = options.get("nodelist", "n1").split(",")[0]
    return int(wanted[1:]) - 1 if wanted[1:].isdigit() else int(options.get("relative", 0))


def _start(
    store: Store,
    command: list[str],
    options: dict[str, str],
    environment: dict[str, str],
    task: int,
    node: int,
    step: int,
) -> "subprocess.Popen[bytes] | int":
    """Start one task; a command that is not there is exit code 2, as with the real one."""
    outputs: dict[str, int] = {}
    job = store.job(int(os.environ["FAKE_SLURM_ELEMENT"].partition("_")[0]))
    assert job is not None
    element = Element(job.id, _array_task(), int(os.environ["SLURM_JOB_ID"]))
    for option, stream in (("output", "stdout"), ("error", "stderr")):
        if option in options:
            name = fill_pattern(options[option], job, element, t=str(task), n=str(node), N=f"n{node + 1}", s=str(step))
            outputs[stream] = _open(name, append=options.get("open-mode") == "append")
    found = "/" in command[0] or environment.get("PATH")
    try:
        if not found:
            raise FileNotFoundError(2, "No such file or directory")
        return subprocess.Popen(
            command, stdin=subprocess.DEVNULL, env=environment, start_new_session=True,
            stdout=outputs.get("stdout"), stderr=outputs.get("stderr", outputs.get("stdout")),
        )  # fmt: skip
    except OSError as error:
        print(f"slurmstepd-n{node + 1}: error: execve(): {command[0]}: {error.strerror}", file=sys.stderr)
        return 2
    finally:
        for descriptor in outputs.values():
            os.close(descriptor)


def _open(name: str, *, append: bool) -> int:
    flags = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | (os.O_APPEND if append else os.O_TRUNC)
    return os.open(name, flags, 0o644)


def _array_task() -> int | None:
    text = os.environ.get("SLURM_ARRAY_TASK_ID")
    return int(text) if text else None


def _wait(tasks: list["subprocess.Popen[bytes] | int"], options: dict[str, str], step: int) -> int:
    """Wait for all tasks, hand signals on to them, and end the rest as --kill-on-bad-exit and --wait ask."""

    def hand_on(number: int, _: FrameType | None) -> None:
        for task in tasks:
            if not isinstance(task, int) and task.poll() is None:
                os.kill(task.pid, number)

    for handled in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(handled, hand_on)
    kill = options.get("kill-on-bad-exit", "0" if "kill-on-bad-exit" not in options else "1") != "0"
    patience = float(options.get("wait", "0"))
    deadline = None
    reported: set[int] = set()
    while True:
        codes = [task if isinstance(task, int) else task.poll() for task in tasks]
        for number, code in enumerate(codes):
            if code and number not in reported:
                reported.add(number)
                how = f"Exited with exit code {code}" if code > 0 else signal.strsignal(-code)
                print(f"srun: error: n{number + 1}: task {number}: {how}", file=sys.stderr)
        if None not in codes:
            return max(code if code >= 0 else 128 - code for code in codes if code is not None)
        if any(code is not None for code in codes) and deadline is None and patience:
            deadline = time.monotonic() + patience
        if (kill and any(codes)) or (deadline and time.monotonic() > deadline):
            print(f"srun: error: step {step}: terminating the remaining tasks", file=sys.stderr)
            hand_on(signal.SIGKILL, None)
            kill, deadline = False, None
        time.sleep(0.01)
