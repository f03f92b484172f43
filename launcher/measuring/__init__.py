"""What a node's agent measures of its node while a run goes on.

Readers of the kernel's and the GPUs' figures, and a thread that makes lines of them.

It may import the ground floor and `common`.
"""
