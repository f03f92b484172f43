"""Stages and objects that score, filter and select documents."""
