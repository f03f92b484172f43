"""On what is measured: the machine, and the versions of both projects; the peer's environment is made where needed."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
PEER_VENV = HERE.parent / ".venv-peer"
PEER_PACKAGES = ("torch==2.13.0", "nemo-curator==1.4.0")


def peer_python(given: Path | None) -> Path:
    """The environment with NeMo Curator; made beside ours where none is given."""
    python = given or PEER_VENV / "bin" / "python"
    if given is None and not (PEER_VENV / "complete").exists():
        print(f"Installing {' and '.join(PEER_PACKAGES)} into {PEER_VENV} ...", file=sys.stderr)
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(PEER_VENV)], check=True)
        for package in PEER_PACKAGES:  # in this order: the second is content with the torch that is there
            subprocess.run([str(python), "-m", "pip", "install", "--quiet", package], check=True)
        (PEER_VENV / "complete").touch()
    if not python.exists():
        raise SystemExit(f"{python} does not exist; --peer-python takes a Python that has nemo-curator")
    return python


def package_versions(python: str) -> dict[str, str]:
    """What is compared."""
    names = ["curator-slurm", "nemo-curator", "cosmos-xenna", "ray", "pyarrow"]
    script = (
        "import importlib.metadata as m, json, platform, sys\n"
        "have = {d.metadata['Name'].lower(): d.version for d in m.distributions()}\n"
        f"print(json.dumps({{'python': platform.python_version(), **{{n: have[n] for n in {names} if n in have}}}}))"
    )
    found: dict[str, str] = json.loads(subprocess.run([python, "-c", script], check=True, capture_output=True).stdout)
    return found


def machine() -> dict[str, Any]:
    """This machine and today's date."""
    model = "unknown"
    with contextlib.suppress(OSError, StopIteration):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        model = next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    return {
        "cpu": model,
        "cores": os.cpu_count(),
        "memory_gib": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 30,
        "system": platform.system(),
        "date": time.strftime("%Y-%m-%d"),
    }
