"""Runs a command as an ordinary user, who reaches the clone and its Python wherever they lie: for root alone.

    unshare --mount python tests/as_ordinary_user.py FOLDER COMMAND ...

FOLDER is empty and will be the user's home, and where they keep temporary files.
"""

import os
import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parent)

from slurm_cluster import expose  # noqa: E402

NOBODY = 65534
NEEDED = (Path(__file__).resolve().parents[1], sys.prefix, sys.base_prefix)


def main(folder: Path, command: list[str]) -> None:
    """Become the user, then the command."""
    held, home = folder / "held", folder / "home"
    folder.chmod(0o755)
    held.mkdir()
    home.mkdir()
    os.chown(home, NOBODY, NOBODY)
    expose.place(expose.stage(expose.normalise(NEEDED), held))
    os.setgroups([])
    os.setgid(NOBODY)
    os.setuid(NOBODY)
    os.chdir(NEEDED[0])
    os.environ.update(HOME=str(home), TMPDIR=str(home), USER="nobody", LOGNAME="nobody")
    os.environ["HYPOTHESIS_STORAGE_DIRECTORY"] = str(home / "hypothesis")
    os.execvp(command[0], command)


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve(), sys.argv[2:])
