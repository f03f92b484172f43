"""The one adapter between a stage and any back end: batches, ids, metrics, deadlines, retries, the failure policy.

It runs inside workers. It may import the ground floor of the executors, no back end.
"""
