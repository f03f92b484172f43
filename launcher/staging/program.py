"""The program of the nodes as one file, which Python runs as it is: modules of this package, and nothing else."""

from __future__ import annotations

import zipfile
from pathlib import Path

import curator_slurm

NAME = "unpack.pyz"
_MODULES = (
    "launcher/staging/unpack.py",
    "launcher/staging/extract.py",
    "launcher/staging/local_copies.py",
    "launcher/staging/relocate.py",
    "common/staged_paths.py",
)
_MAIN = "import sys\n\nfrom curator_slurm.launcher.staging.unpack import main\n\nsys.exit(main())\n"


def write_program(path: Path) -> None:
    """Write it.

    Raises:
        OSError: it cannot be written.
    """
    package = Path(curator_slurm.__file__).parent
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("__main__.py", _MAIN)
        for folder in ("", "common/", "launcher/", "launcher/staging/"):
            archive.writestr(f"curator_slurm/{folder}__init__.py", "")
        for name in _MODULES:
            archive.write(package / name, f"curator_slurm/{name}")
