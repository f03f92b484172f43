"""Everything on the login node (spec, plan, script, submission, status) and the node agent inside the job."""

from curator_slurm.launcher._version import __version__

__all__ = ["__version__"]
