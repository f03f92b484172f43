"""Resuming a run: which source partitions are finished, kept in a log that survives whatever ends the run.

It may import the ground floor and `common`.
"""
