"""The node agent: what runs on every node of a job.

It checks the node, reserves ports, starts, watches and stops Ray, starts a driver for every shard, publishes outputs
and writes down how everything ended. `node_agent` is the program that the batch script starts. It may import
`sharding`, `restart`, `notify`, `slurm`, `plan`, `staging`, `runs`, `measuring`, `spec`, the ground floor,
`executors.backends`, `executors` and `common`.
"""
