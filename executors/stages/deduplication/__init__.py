"""Workflows and stages that find documents which are there more than once."""
