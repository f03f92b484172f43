"""RayActorPoolExecutor: every stage on a pool of Ray actors of our own."""
