"""The driver: the process that builds the pipeline and runs the executor.

The only package of the launcher that imports the executors. It may import `plan`, `spec` and the ground floor.
"""
