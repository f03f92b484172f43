"""Site files: what administrators, and users for all of their specs, say about a cluster, in layers.

Here is what a site file may contain, how one is read and whether it may be trusted, and how the layers become one
configuration with the origin of every value.

It may import `runs`, `spec`, the ground floor and `common`.
"""
