"""Stages for video: read, cut into clips, frames, motion and quality filters, records. It may import `stages.io`,
`stages` and the ground floor.
"""
