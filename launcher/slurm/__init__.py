"""Slurm's commands, what they print, and their words for end users; submission through submitit; local processes.

`client` is the only module of the package that runs Slurm commands, `parse` turns their output into values. It may
import `runs` (for paths), `spec` and the ground floor.
"""
