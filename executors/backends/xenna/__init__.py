"""XennaExecutor: pipelines on cosmos-xenna's engine, whose parts a run replaces so that nothing is lost."""
