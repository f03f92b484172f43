"""Which cluster this machine belongs to, by the file that configures Slurm here; Slurm itself is not asked."""

from __future__ import annotations

import os
import re
from pathlib import Path

from curator_slurm.common.plain_files import open_plain

PLACES = (Path("/etc/slurm/slurm.conf"), Path("/run/slurm/conf/slurm.conf"))
"""Where Slurm's commands look; the second is what a node without a file of its own has got from the controller."""
_CLUSTER_NAME = re.compile(r"(?im)^\s*ClusterName\s*=\s*(\S+)")
_MOST_BYTES = 1 << 20


def cluster_name() -> str | None:
    """ClusterName of the Slurm that is configured here."""
    given = os.environ.get("SLURM_CONF")
    for path in [Path(given)] if given else PLACES:
        try:
            with open_plain(path) as stream:
                found = _CLUSTER_NAME.search(stream.read(_MOST_BYTES).decode(errors="replace"))
        except OSError:
            continue
        return found[1].strip("\"'") if found else None
    return None
