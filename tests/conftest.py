"""Fixtures for all tests; each plug-in documents its own."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

pytest_plugins = ["fake_slurm.fixtures", "hostile", "slurm_cluster.fixtures"]
