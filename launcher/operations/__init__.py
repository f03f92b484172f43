"""What the verbs that change something do: submit, retry, cancel, collect.

Each module does one operation, whoever asks for it: the command line or the Python API. It may import `dataset`,
`status`, `sharding`, `notify`, `tunnel`, `slurm`, `plan`, `site`, `staging`, `runs`, `spec`, the ground floor and
`common`.
"""
