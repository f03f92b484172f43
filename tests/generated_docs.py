"""Everything in the docs that is made from the code, written again by one command: `make docs-tables`.

The tables of settings and of private names, the agreed differences from NeMo Curator, the JSON schemas, the pictures of
states and packages and the sentences about imports in the latter's docstrings. A test compares each with the code.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parent
sys.path[:0] = [str(HERE), str(HERE / "executors")]

PRIVATE_NAMES = ROOT / "docs" / "private-names.md"
SCHEMAS = ROOT / "docs" / "schemas"
_TABLE = re.compile(r"(?m)^\| private names .*\n(?:\|.*\n?)*")


def private_names(text: str) -> str:
    """docs/private-names.md with its two tables as they should be, in the order of their sections."""
    from curator_slurm.executors import ray_internals
    from curator_slurm.executors.backends.xenna.engine import names

    tables = iter([names.NAMES.table(), ray_internals.NAMES.table()])
    return _TABLE.sub(lambda _: next(tables) + "\n", text)


STAGES = ROOT / "docs" / "stages.md"
_ALL_STAGES = re.compile(r"(?ms)^(## All of them in one list\n).*\Z")


def all_stages(text: str) -> str:
    """docs/stages.md with its last section as it should be: every public name with the first line of its docstring."""
    from curator_slurm.executors import stages

    lines = []
    for name in sorted(stages.__all__):
        value = getattr(stages, name)
        if callable(value):
            first = " ".join((value.__doc__ or "").strip().partition("\n\n")[0].split())
            lines.append(f"| `{name}` | {first.replace('|', chr(92) + '|')} |")
    table = "\n".join(["| name | its docstring begins |", "|---|---|", *lines])
    return _ALL_STAGES.sub(lambda found: f"{found[1]}\n{table}\n", text)


def main() -> None:
    import catalogue_tables
    import curator_signatures
    import site_tables
    import spec_tables
    import state_picture

    from curator_slurm.launcher.cli.schema import documents
    from curator_slurm.launcher.status.view_schema import schema_of

    for module in (spec_tables, curator_signatures):
        module.PAGE.write_text(module.page(module.PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    site_tables.PAGE.write_text(site_tables.page(), encoding="utf-8")
    for path, text in catalogue_tables.pages().items():
        path.write_text(text, encoding="utf-8")
    STAGES.write_text(all_stages(STAGES.read_text(encoding="utf-8")), encoding="utf-8")
    PRIVATE_NAMES.write_text(private_names(PRIVATE_NAMES.read_text(encoding="utf-8")), encoding="utf-8")
    state_picture.PICTURE.write_text(state_picture.picture(), encoding="utf-8")
    for document, kind in documents().items():
        text = json.dumps(schema_of(document, kind), indent=2) + "\n"
        (SCHEMAS / f"{document}.schema.json").write_text(text, encoding="utf-8")
    subprocess.run([sys.executable, str(ROOT / "docs" / "packages.py")], check=True)


if __name__ == "__main__":
    main()
