"""What the launcher and the executors share: sizes, addresses, atomic files, objects by name.

Neither side imports the other for these, so they are below both. It imports no other package.
"""
