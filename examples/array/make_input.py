"""Writes the input of the example: 48 JSONL files with the source texts of Python's standard library.

python examples/array/make_input.py [FOLDER]        default: data, beside this file
"""

from __future__ import annotations

import json
import sys
import sysconfig
from pathlib import Path

FILES = 48
NOT_OF_THE_LIBRARY = {"site-packages", "dist-packages", "__pycache__"}


def main(folder: Path) -> None:
    """Deal the documents out to the files, so that these differ in size as real ones do."""
    library = Path(sysconfig.get_path("stdlib"))
    sources = [path for path in sorted(library.rglob("*.py")) if not NOT_OF_THE_LIBRARY & set(path.parts)]
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(FILES):
        mine = sources[number::FILES]
        lines = [
            json.dumps(
                {"id": str(path.relative_to(library)), "text": path.read_text(encoding="utf-8", errors="replace")}
            )
            for path in mine
        ]
        (folder / f"part-{number:03d}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    print(f"{len(sources)} documents in {FILES} files: {folder}")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "data")
