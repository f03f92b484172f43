"""The spec as users write it: YAML with the line of every value, one frozen class per section, keys, problems.

Here is what a spec may contain, and how errors are reported. Nothing here runs a process or looks at input files. Of
the executors it needs only the table of their options. It may import the ground floor, `executors` and `common`.
"""
