"""How input becomes shards, and shards become array jobs.

Splitting and previews are pure; listing is left to `inputs`. It may import `slurm`, `plan`, `runs`, `inputs`, `spec`,
the ground floor and `common`.
"""
