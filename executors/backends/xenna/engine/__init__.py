"""The only place that knows cosmos-xenna's private names: a table of them, and what we build on each.

`names` has the table and its check; `actor_pool` gives the engine's pool public names to derive from, `cluster` asks
its solver, `patches` replaces parts of it for the time of a run. The modules around this package use public names
only. It may import the ground floor.
"""
