"""Every mishap on every back end, with every supported cosmos-xenna that this machine can install: `make matrix`.

For each version it makes a venv (`.venv-matrix/`), runs all tests with the marker `matrix` there, in full, and prints
two tables: what became of rows in tests/executors/backends/test_failure_matrix.py, and which back ends passed the tests
that the suite has on one of them. What could not be run is said at the end, loudly, and makes the command fail. Results
are kept in the venv after every cell: with `--resume` a run that was ended goes on where it was.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matrix_engines
import matrix_rows
from matrix_engines import Result
from matrix_rows import Found

ROOT = Path(__file__).parents[1]
CELLS = "tests/executors"
POWER_CUTS = "tests/on_slurm/test_power_cut.py"
COLUMNS = ["backend", "xenna", "python", "failure", "policy", "in", "out", "failed", "duplicated", "lost", "run"]
SECOND = "## Tests on every back end"
COUNTS = ["in", "out", "failed", "duplicated", "lost"]


@dataclass(frozen=True)
class Setting:
    """A cosmos-xenna and the Python it runs on; the back ends without it are tried once for each Python."""

    xenna: str
    python: str
    backends: str

    @property
    def venv(self) -> Path:
        return ROOT / ".venv-matrix" / f"xenna-{self.xenna}"

    @property
    def results(self) -> Path:
        return self.venv / "results.jsonl"


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
    parser.add_argument("--resume", action="store_true", help="leave out cells that passed in the runs before")
    parser.add_argument("--show", action="store_true", help="run nothing, print what the runs before have found")
    parser.add_argument("--output", type=Path, help="write the table to this Markdown file, too")
    parser.add_argument("--add", action="store_true", help="keep the rows that the file has of other cells")
    options = parser.parse_args()
    missing: list[str] = []
    rows: list[dict[str, Any]] = []
    results: list[Result] = []
    versions: list[dict[str, str]] = []
    for setting in SETTINGS:
        if options.xenna and setting.xenna not in options.xenna:
            continue
        reason = _prepare(setting)
        if reason:
            missing.append(f"cosmos-xenna {setting.xenna}: {reason}")
            continue
        found = _run(setting, options.k, slurm=options.slurm, keep=_keep(options))
        known = [row for cell in found.asked for row in found.cells.get(cell, {}).get("rows", [])]
        rows += [{**row, "python": setting.python} for row in known]
        results += engine_results(found, setting)
        missing += [f"cosmos-xenna {setting.xenna}: {line}" for line in not_shown(found)]
        versions.append(found.versions)
    bad = [row for row in rows if row["lost"] or row["duplicated"]]
    print(table(rows))
    print(f"\n{summary(rows)}")
    if results:
        print(f"\n{matrix_engines.table(results)}\n\n{matrix_engines.summary(results)}")
    for line in missing:
        print(f"NOT SHOWN: {line}", file=sys.stderr)
    if options.output:
        made_with = [", ".join(f"{name} {version}" for name, version in found.items()) for found in versions]
        if options.add:
            known_with, known, known_results = read_document(options.output.read_text())
            rows, made_with = together(known, rows), list(dict.fromkeys([*known_with, *made_with]))
            results = matrix_engines.together(known_results, results)
        options.output.write_text(document(rows, made_with, missing, results))
    return 1 if missing or bad or not (rows or results) else 0


def _keep(options: argparse.Namespace) -> str:
    return matrix_rows.ALL if options.show else matrix_rows.PASSED if options.resume else ""


def engine_results(found: Found, setting: Setting) -> list[Result]:
    """Of the tests that give no row."""
    results = []
    for cell in found.asked:
        backend = found.cells.get(cell, {}).get("backend")
        if backend:
            version = setting.xenna if backend.startswith("xenna") else setting.python
            name = matrix_engines.test_name(cell, backend)
            results.append(Result(name, backend, version, found.cells[cell]["outcome"]))
    return results


def not_shown(found: Found) -> list[str]:
    """Cells that were asked for and have not passed, and why."""
    lines = []
    for cell in found.asked:
        result = found.cells.get(cell, {"outcome": "not run", "why": ""})
        if result["outcome"] != "passed":
            lines.append(f"{cell.rpartition('::')[2]}: {result['outcome']}  {result['why']}".rstrip())
    return lines or ([] if found.asked else ["no cell matches"])


def summary(rows: list[dict[str, Any]]) -> str:
    """One sentence."""
    bad = [row for row in rows if row["lost"] or row["duplicated"]]
    return f"{len(rows)} cells; rows lost or duplicated in {len(bad)} of them"


def together(known: list[dict[str, Any]], new: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows that are new, and those of other cells."""
    made = {_order(row) for row in new}
    return [*(row for row in known if _order(row) not in made), *new]


def read_document(text: str) -> tuple[list[str], list[dict[str, Any]], list[Result]]:
    """What a page of `document` was made with, its rows, and the results of its second table."""
    made_with = [line[2:] for line in text.splitlines() if line.startswith("- date ")]
    first, _, second = text.partition(SECOND)
    cells = [[part.strip() for part in line.split("|")[1:-1]] for line in first.splitlines() if line.startswith("| ")]
    rows = [dict(zip(COLUMNS, line, strict=True)) for line in cells if line != COLUMNS]
    known = [{**row, **{name: int(row[name]) for name in COUNTS}} for row in rows]
    return made_with, known, matrix_engines.read_table([line for line in second.splitlines() if line.startswith("| ")])


def document(
    rows: list[dict[str, Any]], made_with: list[str], missing: list[str], results: list[Result] | None = None
) -> str:
    """The tables as a page of the documentation."""
    lines = [
        "# The failure matrix",
        "",
        'Made by `make matrix MATRIX="--slurm --output docs/failure-matrix.md"`; not written by hand.',
        "What its columns mean: [contributing](contributing.md#the-failure-matrix). Made with:",
        "",
        *(f"- {line}" for line in made_with),
        "",
        f"{summary(rows)}.",
        "",
        table(rows),
        *(["", *_second(results)] if results else []),
        *(["", "Not shown:", "", *(f"- {line[:110]}" for line in missing)] if missing else []),
    ]
    return "\n".join(lines) + "\n"


def _second(results: list[Result]) -> list[str]:
    """The chapter of tests that every back end must pass."""
    return [
        SECOND,
        "",
        "`make test` has each of them on the back end named in its source. Here stands with what all have passed it:",
        "Xenna with each cosmos-xenna, the others with each Python.",
        "",
        f"{matrix_engines.summary(results)}.",
        "",
        matrix_engines.table(results),
    ]


def _prepare(setting: Setting) -> str:
    """Make the venv; why that cannot be done, or nothing."""
    python = setting.venv / "bin" / "python"
    ready = setting.venv / "matrix-ready"
    wanted = (ROOT / "pyproject.toml").read_text()
    if ready.exists() and ready.read_text() == wanted:
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
    ready.write_text(wanted)
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


def _run(setting: Setting, keyword: str, *, slurm: bool, keep: str) -> Found:
    print(f"\ncosmos-xenna {setting.xenna} on Python {setting.python}: {setting.backends}", flush=True)
    if not keep:
        setting.results.unlink(missing_ok=True)
    env = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(ROOT / "tests"), *filter(None, [os.environ.get("PYTHONPATH")])]),
        "CURATOR_SLURM_MATRIX": "full",
        "CURATOR_SLURM_MATRIX_BACKENDS": setting.backends,
        matrix_rows.RESULTS: str(setting.results),
        matrix_rows.KEEP: keep,
    }
    command = [str(setting.venv / "bin" / "python"), "-m", "pytest", "-q", "-p", "matrix_rows"]
    command += ["-o", "faulthandler_timeout=600", "-m", "matrix", CELLS, *([POWER_CUTS] if slurm else [])]
    if keyword:
        command += ["-k", keyword]
    subprocess.run(command, cwd=ROOT, env=env)
    return matrix_rows.read(setting.results)


def table(rows: list[dict[str, Any]]) -> str:
    cells = [[_short(row[column]) for column in COLUMNS] for row in sorted(rows, key=_order)]
    return matrix_engines.aligned([COLUMNS, *cells])


def _order(row: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(str(row[column]) for column in COLUMNS[:5])


def _short(value: Any) -> str:
    text = " ".join(str(value).replace("|", "/").split())
    return text if len(text) <= 60 else text[:57] + "..."


if __name__ == "__main__":
    sys.exit(main())
