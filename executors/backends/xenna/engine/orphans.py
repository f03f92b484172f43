"""A worker process of the engine ends when Ray releases it, or when its Ray has ended.

cosmos-xenna before 0.5.9 starts threads that Python waits for at the end of a process, for ever. A driver that ends in
order kills such processes (`leftovers`); after one that was killed, or that never heard of a worker because it was just
being started, nobody else does.
"""

from __future__ import annotations

import os
import threading
import time

from curator_slurm.executors.ray_internals import is_worker_process

PATIENCE_S = 2.0
"""How long Ray and Python may take to end the process by themselves."""
_LOOK_S = 1.0
_watching = threading.Lock()


def end_with_ray() -> None:
    """In a worker process of Ray: from now on, do not outlive its main thread or its parent. Elsewhere: nothing."""
    if is_worker_process() and _watching.acquire(blocking=False):
        threading.Thread(target=_watch, args=(os.getppid(),), daemon=True, name="end-with-ray").start()


def _watch(parent: int) -> None:
    main = threading.main_thread()
    while main.is_alive() and os.getppid() == parent:
        main.join(_LOOK_S)
    time.sleep(PATIENCE_S)
    os._exit(0)
