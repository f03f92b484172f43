"""Run directories: the name of every file, the registry, and the records that are written and read there.

One home for each format: `attempt_records` (what agents write), `shard_records`, `submissions`, `done_records`,
`manifest`, the lock, secrets. It may import `inputs`, the ground floor and `common`.
"""
