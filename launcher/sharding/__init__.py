"""How input becomes shards, and shards become array jobs.

Splitting and previews are pure; listing is left to `inputs`. It may import `plan`, `runs`, `inputs`, `spec` and what is
below them.
"""
