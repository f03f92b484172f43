"""Slurm's commands, parsers of their output, explanations of their messages; submission; local processes.

`client` is the only module of the package that runs Slurm commands, the others turn their output into values. It may
import `runs`, `spec`, the ground floor and `common`.
"""
