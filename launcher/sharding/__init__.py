"""Shards: fixed sets of input files, each processed once whatever dies."""
