"""Software and data that go to the nodes' own disks: packed once, unpacked by every node.

It may import `runs`, the ground floor and `common`.
"""
