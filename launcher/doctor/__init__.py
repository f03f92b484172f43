"""Whether runs can work here: facts gathered on the login node and in a small job, judged by pure checks.

`examine`, `shared_folder` and `meeting` look; `node_process` is what runs on every node; the modules named `check_*`
only compute, from facts to checks, each with what it is about, its result, and how to mend it.

It may import `agent`, `survey`, `slurm`, `plan`, `site`, `staging`, `runs`, `spec`, the ground floor and `common`.
"""
