"""A tunnel to a port of a job's first node, through a step of Slurm.

It may import the ground floor.
"""
