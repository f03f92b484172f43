"""`python -m curator_slurm`: the command line."""

import sys
from pathlib import Path

if not sys.flags.safe_path and Path(sys.path[0]).resolve() == Path.cwd():
    del sys.path[0]  # Python has put it there; a click.py or yaml.py beside a spec is not the one that is meant

from curator_slurm.launcher.cli import main  # noqa: E402

main(prog_name="curator-slurm")
