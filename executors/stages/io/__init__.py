"""Stages that read and write files, local or remote, compressed or not.

It may import `stages`, the ground floor and `common`.
"""
