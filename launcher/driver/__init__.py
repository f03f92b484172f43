"""The driver: the process that builds the pipeline and runs the executor.

It is the only package of the launcher that runs the executors. It may import `plan`, `runs`, `spec`, the ground floor,
`executors.run`, `executors.resume`, `executors` and `common`.
"""
