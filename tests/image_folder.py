"""An image as a folder: a minimal Debian with its Python, Ray and what the agents need, and nothing of curator-slurm.

`python tests/image_folder.py` makes it once (root, debootstrap, some minutes); `make clean` removes it.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).parents[1]
IMAGE = REPOSITORY / ".venv-image" / "bookworm"
MARK = "etc/curator-image"
"""A file that only the image has."""
MORE = "/opt/more"
"""A folder in the image that is not on Python's path: what only Ray Data needs."""
_OF_REGISTRIES = ("etc/hosts", "etc/resolv.conf", "etc/hostname", "run/.containerenv")
"""What images of registries have, too: podman puts its own files over these, and can make none as an ordinary user."""
_PYTHON = "3.11"
_NEEDED = ("ray[default]", "pyyaml", "pydantic", "psutil")
_OF_RAY_DATA = ("pyarrow", "pandas", "fsspec", "numpy")


def main() -> None:
    """Make the image, unless it is there."""
    if IMAGE.is_dir():
        return
    print(f"Making {IMAGE}: Debian, Python and Ray ...", flush=True)
    new = IMAGE.with_name(f"{IMAGE.name}.new")
    shutil.rmtree(new, ignore_errors=True)
    new.parent.mkdir(exist_ok=True)
    command = ["debootstrap", "--variant=minbase", "--include=python3,environment-modules", "bookworm", str(new)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    _install(new / "usr/local/lib" / f"python{_PYTHON}" / "dist-packages", _NEEDED)
    _install(new / MORE.lstrip("/"), _OF_RAY_DATA)
    for package in (new / "var/cache/apt/archives").glob("*.deb"):
        package.unlink()
    for name in _OF_REGISTRIES:
        (new / name).touch()
    (new / "etc/mtab").symlink_to("../proc/self/mounts")
    (new / MARK).write_text("an image of the tests\n")
    new.rename(IMAGE)


def _install(folder: Path, packages: tuple[str, ...]) -> None:
    """With the pip that runs this, whatever its own Python is."""
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet", "install"]
    command += ["--constraint", str(REPOSITORY / "constraints.txt"), "--no-warn-conflicts"]
    command += ["--python-version", _PYTHON, "--only-binary=:all:", "--target", str(folder)]
    subprocess.run([*command, *packages], check=True)


if __name__ == "__main__":
    main()
