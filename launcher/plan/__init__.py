"""The plan: a spec resolved and frozen, and the batch script as its pure text.

Here defaults are filled in, paths made absolute, and what can be seen on the login node is checked. It may import
`site`, `staging`, `runs`, `environments`, `inputs`, `spec`, the ground floor, `slurm_templates` and `common`.
"""
