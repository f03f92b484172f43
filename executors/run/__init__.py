"""What every back end shares on the driver's side of a run: progress, sources, rounds, placement, the blame
for dead workers, the meaning of Ray's exceptions, the count at the end.

It may import `adapter`, `resume`, the ground floor and `common`.
"""
