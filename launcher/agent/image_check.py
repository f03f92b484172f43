"""Whether a Python that is not ours can run the agent: a program of its own, which any Python 3.6 can read.

It is run by path, before anything of the package is imported. It ends with 0 and prints what must be on the module
path beside the package; or it ends with 1 and prints what is wrong, and on a further line what to do.
"""

import importlib.util
import os
import sys

PYTHON = (3, 11)
NEEDS = (("yaml", "PyYAML", ""), ("pydantic", "pydantic", "2.7"), ("psutil", "psutil", ""), ("ray", "ray", "2.52"))
"""Modules, their distributions, and the lowest version."""
_VENDORED = "thirdparty_files"
_USUAL = ("/opt/venv", "/opt/conda", "/venv", "/usr/local", "/usr")
"""Where images have their Python: NVIDIA's in the first."""


def problem() -> "tuple[str, ...]":
    """What is wrong, and what to do; empty where nothing is."""
    here = f"{sys.executable} (Python {sys.version_info[0]}.{sys.version_info[1]})"
    if sys.version_info < PYTHON:
        return (
            "the Python of the container is too old: " + here + f"; at least {PYTHON[0]}.{PYTHON[1]} is needed",
            "name another interpreter of the image with environment.python" + with_ray() + ", or take a newer image",
        )
    missing = [name for module, name, _ in NEEDS if not has(module)]
    if missing:
        return (
            "the Python of the container has no " + ", ".join(missing) + ": " + here,
            "name the interpreter that has them with environment.python"
            + (with_ray() or ", such as /opt/venv/bin/python")
            + ", or add them to the image: pip install 'ray[default]' pyyaml pydantic psutil",
        )
    for _, name, lowest in NEEDS:
        found = version(name)
        if lowest and found and numbers(found) < numbers(lowest):
            return (
                f"{name} {found} in the container is too old: at least {lowest} is needed ({here})",
                f"take a newer image, or update it there: pip install '{name}>={lowest}'",
            )
    return ()


def with_ray() -> str:
    """Which other interpreters of the image have Ray, behind the name of the setting; empty where none was found."""
    import glob

    found = []
    for prefix in _USUAL:
        python = os.path.join(prefix, "bin", "python3")  # noqa: PTH118
        is_other = prefix != sys.prefix and os.access(python, os.X_OK)
        if is_other and glob.glob(prefix + "/lib/python3*/*-packages/ray/_version.py"):  # noqa: PTH207
            found.append(python)
    return ": " + " or ".join(found) if found else ""


def has(module: str) -> bool:
    """Whether it can be imported; psutil also where Ray brings its own."""
    return importlib.util.find_spec(module) is not None or (module == "psutil" and bool(of_ray()))


def of_ray() -> str:
    """The folder in which Ray has its own psutil; empty where that is not needed, or not there."""
    if importlib.util.find_spec("psutil") is not None:
        return ""
    ray = importlib.util.find_spec("ray")
    for folder in (ray.submodule_search_locations or ()) if ray else ():
        if os.path.isdir(os.path.join(folder, _VENDORED, "psutil")):  # noqa: PTH112, PTH118
            return os.path.join(folder, _VENDORED)  # noqa: PTH118
    return ""


def version(name: str) -> str:
    """The version of a distribution; empty where that cannot be told."""
    from importlib import metadata

    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""


def numbers(text: str) -> "list[int]":
    """2.52.1rc1 -> [2, 52, 1]."""
    found = []
    for part in text.split("."):
        digits = part[: len(part) - len(part.lstrip("0123456789"))]
        if not digits:
            break
        found.append(int(digits))
    return found


def main() -> int:
    """Say it in one of the two ways."""
    wrong = problem()
    if not wrong:
        print(of_ray())
        return 0
    print("\n".join(wrong))
    return 1


if __name__ == "__main__":
    sys.exit(main())
