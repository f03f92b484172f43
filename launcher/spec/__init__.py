"""The spec as users write it: YAML with the line of every value, one frozen class per section, keys, problems.

Here is what a spec may say and how a wrong one is told. Nothing here runs a process or looks at input files. It may
import the ground floor, and of the executors only the table of their options.
"""
