"""A fake Slurm for fast tests: its commands keep state in a folder, and its sbatch really runs the script.

It is one machine that claims to be several nodes. What the commands print was copied from a real Slurm
22.05. See fixtures.py for the fixture and handle.py for what a test can do with it.
"""

from fake_slurm.handle import FakeSlurm

__all__ = ["FakeSlurm"]
