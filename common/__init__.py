"""What the launcher and the executors share: sizes, addresses, atomic files, objects by name.

Neither side imports the other for these, so they live below both. Nothing here imports anything of this project.
"""
