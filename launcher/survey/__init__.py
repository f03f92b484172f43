"""What a cluster says of itself, and the nodes in a short job: a first site file from it, and site files compared with
it.

The questions to Slurm and the jobs are in `ask_cluster` and `probe_jobs`; everything else takes what they have found
and computes.

It may import `slurm`, `plan`, `site`, `runs`, `spec`, the ground floor, `slurm_templates` and `common`.
"""
