"""Stages for audio: manifests, duration, level, resampling, segments. It may import `stages.io`, `stages`, the ground
floor and `common`.
"""
