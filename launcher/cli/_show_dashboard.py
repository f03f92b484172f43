"""What `curator-slurm dashboard` prints and does."""

from __future__ import annotations

import contextlib
import os

from curator_slurm.launcher.cli._terminal import say
from curator_slurm.launcher.errors import StorageError
from curator_slurm.launcher.operations.reach_dashboard import Target, command_for, step_of
from curator_slurm.launcher.plan.model import Cluster
from curator_slurm.launcher.runs.owners import make_private
from curator_slurm.launcher.slurm.client import clean_environment
from curator_slurm.launcher.tunnel.tunnel import keep_open


def show_way(target: Target, port: int, through: str | None) -> None:
    """Say how a browser gets there."""
    if target.plan.cluster is Cluster.LOCAL:
        say(f"It is on this machine:  http://127.0.0.1:{target.port}")
    else:
        by_srun = target.by_srun if through is None else through == "srun"
        if by_srun:
            step_of(target)  # whether it can
        say("On your own machine, leave this running (the login node may have another name there):\n")
        say(f"  {command_for(target, port, by_srun=by_srun)}\n")
        say(f"Then open  http://localhost:{port}")
    say(f"Its token  cat {target.element.token}")


def open_tunnel(target: Target) -> None:
    """Be the tunnel until Ctrl-C."""
    step = step_of(target)
    make_private(target.socket.parent, "Remove it, or set TMPDIR to a folder of yours.")
    try:
        keep_open(
            target.socket, step, clean_environment(os.environ), lambda: say(f"Open, at {target.socket}", err=True)
        )
    except KeyboardInterrupt:
        say("Closed.", err=True)
    except OSError as error:
        raise StorageError(f"{target.socket}: {error.strerror or error}") from error
    finally:
        with contextlib.suppress(OSError):  # of another tunnel there may be one
            target.socket.parent.rmdir()
