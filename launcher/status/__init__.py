"""What a run has reached, and why: facts gathered from files and Slurm, pure decisions, and views of them.

`ask_slurm`, `attempt_files` and `gather` do the I/O and make `facts`; `shard_decision` and `run_decision` do none;
`describe` makes the `views` that the verbs print. Logs and following a run live here too. It may import `slurm`,
`runs`, the ground floor and `common`.
"""
