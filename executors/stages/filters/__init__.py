"""Stages and objects that score, filter and change documents.

It may import `stages` and the ground floor.
"""
