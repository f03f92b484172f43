"""Images as folders, of a minimal Debian: with what people's images have, and nothing of curator-slurm.

`python tests/image_folder.py` makes those that are not there (as root, by debootstrap, some minutes each); `make clean`
removes them.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

REPOSITORY = Path(__file__).parents[1]
FOLDER = REPOSITORY / ".venv-image"
DEBIAN = FOLDER / "debian"
"""Debian with its Python 3.11 and nothing more."""
IMAGE = FOLDER / "bookworm"
"""Ray and what agents need, for Debian's own Python."""
CURATOR = FOLDER / "curator"
"""NeMo Curator in /opt/venv, with that Python."""
NEWER = FOLDER / "python3.13"
"""Ray and what agents need in /opt/venv, with Python 3.13, where NVIDIA's images have theirs."""
VENV = "/opt/venv"
MARK = "etc/curator-image"
"""A file that only images have."""
MORE = "/opt/more"
"""A folder in IMAGE that is not on Python's path: what only Ray Data needs."""
_OF_REGISTRIES = ("etc/hosts", "etc/resolv.conf", "etc/hostname", "run/.containerenv")
"""What images of registries have, too: podman puts its own files over these, and can make none as an ordinary user."""
_PYTHON = "3.11"
_NEEDED = ("ray[default]", "pyyaml", "pydantic", "psutil")
_OF_RAY_DATA = ("pyarrow", "pandas", "fsspec", "numpy")
_OF_CURATOR = ("torch==2.13.0", "nemo-curator==1.4.0")
_AS_SOURCE = ("comment_parser", "jieba")
"""What that needs and the index has as source only; nothing is compiled."""
_NEWER = "3.13"
_NEWER_AT = "/opt/python"


def main() -> None:
    """Make the images that are not there; without Python 3.13 on this machine, not that one."""
    _make(DEBIAN, _debian)
    _make(IMAGE, _image)
    _make(CURATOR, _curator)
    if newer_python() is None:
        print(f"No image with Python {_NEWER}: {NO_NEWER}", file=sys.stderr)
    else:
        _make(NEWER, _newer)


NO_NEWER = f"this machine has no python{_NEWER} in a folder of its own, as pyenv and uv make it, which could be copied"


def newer_python() -> Path | None:
    """The prefix of a Python 3.13 that can be copied: one that is all there, in a folder of its own."""
    asked = "import sys; print(sys.base_prefix)"
    command = shutil.which(f"python{_NEWER}")
    done = subprocess.run([command, "-c", asked], capture_output=True, text=True, check=False) if command else None
    pyenv = sorted(Path.home().glob(f".pyenv/versions/{_NEWER}.*"))
    found = [Path(done.stdout.strip())] if done and done.returncode == 0 else pyenv
    return next((each for each in found if str(each) not in ("/usr", "/usr/local")), None)


def _make(image: Path, fill: Callable[[Path], None]) -> None:
    """An image appears when it is complete."""
    if image.is_dir():
        return
    print(f"Making {image} ...", flush=True)
    new = image.with_name(f"{image.name}.new")
    shutil.rmtree(new, ignore_errors=True)
    new.parent.mkdir(exist_ok=True)
    fill(new)
    new.rename(image)


def _debian(new: Path) -> None:
    command = ["debootstrap", "--variant=minbase", "--include=python3,environment-modules", "bookworm", str(new)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    for package in (new / "var/cache/apt/archives").glob("*.deb"):
        package.unlink()
    for name in _OF_REGISTRIES:
        (new / name).touch()
    (new / "etc/mtab").symlink_to("../proc/self/mounts")
    (new / MARK).write_text("an image of the tests\n")


def _image(new: Path) -> None:
    _copy(DEBIAN, new)
    _install(new / "usr/local/lib" / f"python{_PYTHON}" / "dist-packages", _NEEDED)
    _install(new / MORE.lstrip("/"), _OF_RAY_DATA)


def _curator(new: Path) -> None:
    _copy(DEBIAN, new)
    with tempfile.TemporaryDirectory() as wheels:
        _pip("wheel", "--no-deps", "--wheel-dir", wheels, *_AS_SOURCE)
        _install(_venv(new, "/usr/bin", _PYTHON), ("--find-links", wheels, *_OF_CURATOR))


def _newer(new: Path) -> None:
    prefix = newer_python()
    assert prefix is not None
    _copy(DEBIAN, new)
    _copy(prefix, new / _NEWER_AT.lstrip("/"))
    (new / "etc/ld.so.conf.d/python.conf").write_text(f"{_NEWER_AT}/lib\n")  # its own libpython, if it has one
    subprocess.run(["/sbin/ldconfig", "-r", str(new)], check=True)
    _install(_venv(new, f"{_NEWER_AT}/bin", _NEWER), _NEEDED, prefix / "bin" / f"python{_NEWER}")


def _copy(source: Path, target: Path) -> None:
    subprocess.run(["cp", "-a", "--reflink=auto", str(source), str(target)], check=True)


def _venv(new: Path, programs: str, version: str) -> Path:
    """What `python -m venv` makes, whose Python can be run in the image alone; its folder for packages."""
    venv = new / VENV.lstrip("/")
    packages = venv / "lib" / f"python{version}" / "site-packages"
    packages.mkdir(parents=True)
    (venv / "bin").mkdir()
    for name in ("python", "python3", f"python{version}"):
        (venv / "bin" / name).symlink_to(f"{programs}/python{version}")
    (venv / "pyvenv.cfg").write_text(f"home = {programs}\ninclude-system-site-packages = false\nversion = {version}\n")
    return packages


def _install(folder: Path, what: Sequence[str], python: Path | None = None) -> None:
    """With the pip of a Python of that version, or with the one that runs this, whatever its own Python is."""
    options = ["--no-warn-conflicts", "--only-binary=:all:", "--target", str(folder)]
    if python is None:
        options += ["--python-version", _PYTHON]
    _pip("install", *options, *what, python=python)


def _pip(verb: str, *arguments: str, python: Path | None = None) -> None:
    command = [str(python or sys.executable), "-m", "pip", "--disable-pip-version-check", "-qq", verb]
    subprocess.run([*command, "--constraint", str(REPOSITORY / "constraints.txt"), *arguments], check=True)


if __name__ == "__main__":
    main()
