"""One package per engine, and what Ray's processes must know of them before any engine is loaded.

It may import the ground floor.
"""
