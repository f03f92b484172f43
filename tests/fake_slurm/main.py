"""Entry of all fake commands: `main.py FOLDER COMMAND ARGUMENTS`; the executables on PATH call it."""

import importlib
import sys
import time
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from fake_slurm import getopts
from fake_slurm.store import Store

VERSION = "slurm-wlm 22.05.8"


def main(folder: str, command: str, arguments: list[str]) -> int:
    """Run one command, or fail as the test has planned."""
    store = Store(Path(folder))
    if command == "_run":
        return int(importlib.import_module("fake_slurm.runner").main(store, int(arguments[0])))
    store.log_call(command, arguments)
    planned = f"{command}.test-only" if "--test-only" in arguments else command
    if failure := store.planned_failure(planned):
        time.sleep(failure["delay"])
        print(failure["stdout"], end="")
        print(failure["stderr"], end="", file=sys.stderr)
        if failure["instead"]:
            return int(failure["returncode"])
    if arguments in (["-V"], ["--version"]):
        print(VERSION)
        return 0
    try:
        return int(importlib.import_module(f"fake_slurm.{command}").main(store, arguments))
    except getopts.UsageError as error:
        return getopts.refuse(command, error)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2], sys.argv[3:]))
