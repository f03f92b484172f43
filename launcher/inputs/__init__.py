"""Input files: which files the paths and lists of a spec name, and how large they are.

It may import `spec`, the ground floor and `common`.
"""
