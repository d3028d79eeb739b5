"""Builds for candidates that are judged later, in a process beside the judge's, outside every timing.

No process waits for these builds: the judge finds a library in the cache, or has it built itself.
"""

from __future__ import annotations

import socket
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from pytest_kernelbench.evaluation.boundary import messages
from pytest_kernelbench.evaluation.building.builds import Builders, Target
from pytest_kernelbench.evaluation.device.cpu import cores
from pytest_kernelbench.evaluation.handles.workers import WorkerServer
from pytest_kernelbench.evaluation.recent import Recent
from pytest_kernelbench.records import sha256_of

# Cores that are left to the judge and to the policy that samples.
CORES_FOR_OTHERS = 2
# So many wishes are remembered, to pass over their repetitions: a session names every source at least twice.
MOST_KNOWN = 1 << 14


def serve(owner: socket.socket, workers: WorkerServer) -> None:
    """Start the builds of each source that the owner names until its socket ends; a repetition is passed over."""
    jobs = max(1, cores() - CORES_FOR_OTHERS)
    crews: dict[str, Builders] = {}
    known: Recent[str, None] = Recent(MOST_KNOWN)
    try:
        while True:
            wish, _ = messages.receive(owner)
            key = sha256_of("\0".join((wish["cache"], wish["task_source"], wish["source"])))
            if key in known:
                continue
            known[key] = None
            if wish["cache"] not in crews:
                crews[wish["cache"]] = _crew(wish, workers, jobs)
            # The result is not read: the judge meets any error again, and reports it.
            crews[wish["cache"]].ahead(wish["task_source"], wish["source"])
    except messages.ConnectionEnded:
        return


def _crew(wish: Mapping[str, Any], workers: WorkerServer, jobs: int) -> Builders:
    target = Target(**wish["target"])
    return Builders(Path(wish["cache"]), target, partial(workers.fork, builder=True), jobs=jobs, for_later=True)
