"""The outputs of many shards as one dataset: verified, merged, put in place by one rename, and described.

It may import `plan`, `runs`, `spec`, the ground floor and `common`.
"""
