"""`python -m curator_slurm`: the command line."""

from curator_slurm.launcher.cli import main

main(prog_name="curator-slurm")
