"""Resuming a run: which source partitions are finished, kept in a log that survives a crash of the run."""
