"""Telling people of a run by a command or a webhook of theirs: what is told, whether somebody has told it, how it goes.

It may import `runs`, `spec`, the ground floor and `common`.
"""
