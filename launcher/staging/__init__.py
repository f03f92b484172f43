"""Software and data that go to the nodes' own disks: packed once, unpacked by every node."""
