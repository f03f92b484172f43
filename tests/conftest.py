"""Fixtures for all tests; each plug-in below is documented where it is written."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

pytest_plugins = ["slurm_cluster.fixtures"]
