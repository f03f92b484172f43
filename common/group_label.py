"""Groups of nodes, as the launcher labels them in Ray and the executors find them."""

GROUP_LABEL = "curator-slurm/group"
"""A label of Ray's nodes: the name of the node's group (`resources.groups` of a spec)."""
