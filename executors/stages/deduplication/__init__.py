"""Workflows and stages that find duplicate documents."""
