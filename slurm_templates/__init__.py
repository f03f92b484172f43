"""Jinja2 templates of the scripts that are given to sbatch; rendered by curator_slurm.launcher.plan.script.

It imports no other package.
"""
