"""Workflows and stages that find and drop duplicate documents.

It may import `stages.io`, `stages` and the ground floor.
"""
