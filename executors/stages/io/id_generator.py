"""Whole numbers as ids of documents, given out by one actor of the Ray cluster: NeMo Curator's `IdGenerator`.

Start the actor with `create_id_generator_actor()` before the pipeline runs. A reader with `_generate_ids` registers
each group of files and gets a range of ids for its rows; a reader with `_assign_ids` gets the range that was registered
for the same files before, also in a later run (`write_id_generator_to_disk`). Actor, namespace, column and file are
those of NeMo Curator, so either library can use what the other one has registered. Ids are unique in one Ray cluster:
where shards run on clusters of their own, use `AddId`.
"""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Mapping, Sequence
from typing import IO, Any

from curator_slurm.executors.ray_connection import ray_session
from curator_slurm.executors.stages.io import storage

CURATOR_DEDUP_ID_STR = "_curator_dedup_id"
"""The column that holds the ids."""
CURATOR_ID_GENERATOR_ACTOR_NAME = "curator_deduplication_id_generator"
"""Name and namespace of the actor."""


class IdGeneratorBase:
    """Ranges of ids by the files that they were given to; asking again for the same files gives the same range."""

    def __init__(self, start_id: int = 0, batch_registry: Mapping[str, Sequence[int]] | None = None) -> None:
        self.next_id = start_id
        self.batch_registry = {key: (first, last) for key, (first, last) in (batch_registry or {}).items()}

    def register_batch(self, files: str | list[str], count: int) -> int:
        """The first of `count` ids for these files."""
        key = self.hash_files(files)
        if key not in self.batch_registry:
            self.batch_registry[key] = (self.next_id, self.next_id + count - 1)
            self.next_id += count
        return self.batch_registry[key][0]

    def hash_files(self, filepath: str | list[str]) -> str:
        """The key of a group of files in the registry."""
        files = filepath if isinstance(filepath, list) else [filepath]
        return str(uuid.uuid5(uuid.NAMESPACE_URL, ";".join(files)))

    def get_batch_range(self, files: str | list[str] | None, key: str | None) -> tuple[int, int]:
        """First and last id of a registered group, which is given by its files or its key.

        Raises:
            ValueError: both or neither are given.
            KeyError: the group was never registered.
        """
        if (files is None) == (key is None):
            raise ValueError("give files or key, and not both")
        return self.batch_registry[self.hash_files(files) if files is not None else str(key)]

    def to_disk(self, filepath: str, storage_options: dict[str, Any] | None = None) -> None:
        """Write the registry as JSON, on the node where the generator runs."""
        content = json.dumps({"next_id": self.next_id, "batch_registry": self.batch_registry}).encode()

        def write(sink: IO[bytes]) -> None:
            sink.write(content)

        storage.write_atomically(storage.absolute(filepath), write, storage_options)

    @classmethod
    def from_disk(cls, filepath: str, storage_options: dict[str, Any] | None = None) -> IdGeneratorBase:
        """A generator with the registry of an earlier run."""
        content = json.loads(storage.read_bytes(storage.absolute(filepath), storage_options, None))
        return cls(content["next_id"], content["batch_registry"])

    def wait(self) -> None:
        """Return as soon as the actor is up."""


def create_id_generator_actor(filepath: str | None = None, storage_options: dict[str, Any] | None = None) -> None:
    """Start the actor, with the registry of an earlier run where `filepath` is given.

    Raises:
        RuntimeError: there is no Ray cluster that would outlive this call.
        ValueError: the cluster has such an actor already.
    """
    import ray

    if not ray.is_initialized() and not os.environ.get("RAY_ADDRESS"):
        raise RuntimeError("the ID generator needs a running Ray cluster: call ray.init() or set RAY_ADDRESS first")
    known = IdGeneratorBase.from_disk(filepath, storage_options) if filepath is not None else IdGeneratorBase()
    with ray_session():
        name = CURATOR_ID_GENERATOR_ACTOR_NAME
        actor = ray.remote(IdGeneratorBase).options(name=name, namespace=name, lifetime="detached", num_cpus=0)
        ray.get(actor.remote(known.next_id, known.batch_registry).wait.remote())


def get_id_generator_actor() -> Any:
    """The handle of the actor.

    Raises:
        ValueError: there is none.
    """
    import ray

    return ray.get_actor(CURATOR_ID_GENERATOR_ACTOR_NAME, namespace=CURATOR_ID_GENERATOR_ACTOR_NAME)


def kill_id_generator_actor() -> None:
    """End the actor; the ids that it has given out are forgotten."""
    import ray

    with ray_session():
        ray.kill(get_id_generator_actor())


def write_id_generator_to_disk(filepath: str, storage_options: dict[str, Any] | None = None) -> None:
    """Write the actor's registry to a file on storage that its node reaches."""
    import ray

    with ray_session():
        ray.get(get_id_generator_actor().to_disk.remote(filepath, storage_options))
