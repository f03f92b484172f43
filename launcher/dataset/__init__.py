"""The outputs of many shards as one dataset: verified, merged, put in place by one rename, and described.

It may import `runs`, `sharding`, `plan`, `inputs` and what is below them.
"""
