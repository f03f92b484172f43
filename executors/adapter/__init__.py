"""The one adapter between a stage and any back end: batches, ids, metrics, deadlines, retries, the failure policy.

It runs inside workers. It may import `resume`, the ground floor and `common`.
"""
