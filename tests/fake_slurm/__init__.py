"""A fake Slurm for fast tests: its commands keep state in a folder, and its sbatch really runs the script.

It is one machine that claims to be several nodes. What the commands print was copied from a real Slurm
22.05. See fixtures.py for the fixture and handle.py for what a test can do with it.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from fake_slurm.handle import FakeSlurm

__all__ = ["FakeSlurm"]


def __getattr__(name: str) -> object:
    """Load what only tests need when they ask for it: the commands come by here, too."""
    if name != "FakeSlurm":
        raise AttributeError(name)
    from fake_slurm.handle import FakeSlurm

    return FakeSlurm
