"""Whether and how a run goes on by itself after its job has ended.

The policy is pure; requests are written by agents and carried out by the batch script. It may import `plan`, `runs`,
`spec`, the ground floor and `common`.
"""
