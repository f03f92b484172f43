"""Everything on the login node, and the node agent inside the job.

The modules directly here are the ground floor: errors, states, failure classes, files, processes. It may import
`common`.
"""

from curator_slurm.launcher._version import __version__

__all__ = ["__version__"]
