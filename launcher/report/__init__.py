"""What happened in a run, for people: records of its files become a model, and the model a page that needs no network.

Gathering reads files; all that follows computes from values.

It may import `status`, `plan`, `runs`, `spec`, the ground floor and `common`.
"""
