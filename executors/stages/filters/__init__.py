"""Stages and objects that score, filter and change documents.

It may import `stages`, the ground floor and `common`.
"""
