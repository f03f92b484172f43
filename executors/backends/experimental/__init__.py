"""The two Ray executors where NeMo Curator had them in its first releases: `nemo_curator.backends.experimental`.

It may import `backends.ray_data` and `backends.ray_actor_pool`.
"""
