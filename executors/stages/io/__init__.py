"""Stages that read and write files, local or remote, compressed or not."""
