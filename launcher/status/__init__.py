"""What a run has reached, and why: facts gathered from files and Slurm, a pure decision, and views of it.

`gather` does the I/O, `decide` none. Logs and following a run live here too. It may import `runs`, `slurm`, `sharding`,
`plan` and what is below them.
"""
