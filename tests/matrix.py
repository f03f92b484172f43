"""Every mishap on every back end, with every supported cosmos-xenna that this machine can install: `make matrix`.

For each version it makes a venv (`.venv-matrix/`), runs tests/executors/test_failure_matrix.py in full there, and
prints one table. What could not be run is said at the end, loudly, and makes the command fail.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
CELLS = "tests/executors/test_failure_matrix.py"
COLUMNS = ["backend", "xenna", "failure", "policy", "in", "out", "failed", "duplicated", "lost", "run"]


@dataclass(frozen=True)
class Setting:
    """A cosmos-xenna and the Python it runs on; the back ends without it are tried once for each Python."""

    xenna: str
    python: str
    backends: str

    @property
    def venv(self) -> Path:
        return ROOT / ".venv-matrix" / f"xenna-{self.xenna}"


SETTINGS = [
    Setting("0.2.0", "3.11", "xenna"),
    Setting("0.3.0", "3.11", "xenna ray_data ray_actor_pool"),
    Setting("0.5.12", "3.12", "xenna ray_data ray_actor_pool"),
]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--xenna", action="append", help="only this version; can be given several times")
    parser.add_argument("-k", default="", help="only cells that match, as in pytest")
    parser.add_argument("--slurm", action="store_true", help="also cut off a node of the real Slurm (as root)")
    options = parser.parse_args()
    missing: list[str] = []
    rows: list[dict[str, Any]] = []
    for setting in SETTINGS:
        if options.xenna and setting.xenna not in options.xenna:
            continue
        reason = _prepare(setting)
        if reason:
            missing.append(f"cosmos-xenna {setting.xenna}: {reason}")
            continue
        found, code = _run(setting, options.k, slurm=options.slurm)
        rows += found
        if code:
            missing.append(f"cosmos-xenna {setting.xenna}: some cells failed, see above")
    print(table(rows))
    for line in missing:
        print(f"NOT SHOWN: {line}", file=sys.stderr)
    bad = [row for row in rows if row["lost"] or row["duplicated"]]
    print(f"\n{len(rows)} cells; rows lost or duplicated in {len(bad)} of them")
    return 1 if missing or bad or not rows else 0


def _prepare(setting: Setting) -> str:
    """Make the venv; why that cannot be done, or nothing."""
    python = setting.venv / "bin" / "python"
    ready = setting.venv / "matrix-ready"
    if ready.exists() and ready.stat().st_mtime > (ROOT / "pyproject.toml").stat().st_mtime:
        return ""
    if not python.exists():
        interpreter = find_python(setting.python)
        if interpreter is None:
            return f"no Python {setting.python} on this machine"
        print(f"making {setting.venv.relative_to(ROOT)} with {interpreter}", flush=True)
        subprocess.run([interpreter, "-m", "venv", "--clear", setting.venv], check=True)
    pip = [python, "-m", "pip", "--disable-pip-version-check", "--quiet", "install"]
    for what in (["--editable", f"{ROOT}[dev]"], [f"cosmos-xenna=={setting.xenna}"]):
        done = subprocess.run([*pip, *what], capture_output=True, text=True)
        if done.returncode:
            return f"pip install {what[-1]}: {done.stderr.strip().splitlines()[-1]}"
    ready.touch()
    return ""


def find_python(version: str) -> str | None:
    """An interpreter of this version: on PATH, or one of pyenv's."""
    candidates = [shutil.which(f"python{version}"), sys.executable, *map(str, _of_pyenv(version))]
    for candidate in filter(None, candidates):
        code = "import sys; print('%d.%d' % sys.version_info[:2])"
        done = subprocess.run([candidate, "-c", code], capture_output=True, text=True)
        if done.stdout.strip() == version:
            return candidate
    return None


def _of_pyenv(version: str) -> list[Path]:
    root = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    return sorted(root.glob(f"versions/{version}.*/bin/python"), reverse=True)


def _run(setting: Setting, keyword: str, *, slurm: bool) -> tuple[list[dict[str, Any]], int]:
    print(f"\ncosmos-xenna {setting.xenna} on Python {setting.python}: {setting.backends}", flush=True)
    results = setting.venv / "results.jsonl"
    results.unlink(missing_ok=True)
    env = {
        **os.environ,
        "CURATOR_SLURM_MATRIX": "full",
        "CURATOR_SLURM_MATRIX_RESULTS": str(results),
        "CURATOR_SLURM_MATRIX_BACKENDS": setting.backends,
    }
    command = [str(setting.venv / "bin" / "python"), "-m", "pytest", "-q", "-o", "faulthandler_timeout=600", CELLS]
    if slurm:
        command.append("tests/on_slurm/test_power_cut.py")
    if keyword:
        command += ["-k", keyword]
    code = subprocess.run(command, cwd=ROOT, env=env).returncode
    lines = results.read_text().splitlines() if results.exists() else []
    return [json.loads(line) for line in lines], code


def table(rows: list[dict[str, Any]]) -> str:
    """The rows as a table that reads well as text and as Markdown."""
    cells = [COLUMNS, *[[_short(row[column]) for column in COLUMNS] for row in sorted(rows, key=_order)]]
    widths = [max(len(line[index]) for line in cells) for index in range(len(COLUMNS))]
    lines = [
        "| " + " | ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)) + " |" for line in cells
    ]
    return "\n".join([lines[0], "|" + "|".join("-" * (width + 2) for width in widths) + "|", *lines[1:]])


def _order(row: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(str(row[column]) for column in COLUMNS[:4])


def _short(value: Any) -> str:
    text = " ".join(str(value).replace("|", "/").split())
    return text if len(text) <= 60 else text[:57] + "..."


if __name__ == "__main__":
    sys.exit(main())
