"""RayDataExecutor: pipelines as streaming datasets of Ray Data."""
