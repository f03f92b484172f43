"""How the software of a run is brought to its nodes: containers, by one module for each runtime. Pure.

It may import `spec`.spec, launcher.
"""
