"""The objects that all candidates of one task under one protocol share: bench, slots, controls, workers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from pytest_kernelbench.evaluation.bench import Bench
from pytest_kernelbench.evaluation.clock.timekeeping import PAIRS_PER_BLOCK
from pytest_kernelbench.evaluation.clock.verification import Verifier
from pytest_kernelbench.evaluation.correctness.examination import Demands
from pytest_kernelbench.evaluation.correctness.other_sizes import OtherSizes
from pytest_kernelbench.evaluation.device import Clocks, device_named
from pytest_kernelbench.evaluation.device.traits import traits_of
from pytest_kernelbench.evaluation.handles.racks import Rack, may_be_kept
from pytest_kernelbench.evaluation.handles.session import WorkerSession
from pytest_kernelbench.evaluation.handles.sessions import Sessions
from pytest_kernelbench.evaluation.handles.workers import WorkerServer
from pytest_kernelbench.evaluation.protocols import Protocol
from pytest_kernelbench.evaluation.sharing import holds
from pytest_kernelbench.tasks.findings import TaskFindings


def is_large(bench: Bench) -> bool:
    """Whether two trials of such tasks may not fit on the device at once, even with one pair of slots each."""
    return not may_be_kept(bench.bytes_of_pair, bench.device)


def give_up_large_inputs(bench: Bench) -> None:
    """Free large inputs between trials: to draw new ones takes little time.

    Eight judges of one H200 that waited for builds, or for each other, held 6 to 13 GB of inputs each, and a trial that
    had the device alone found no memory.
    """
    if not may_be_kept_for_long(bench.bytes_of_pair, bench.device):
        bench.renew()


def may_be_kept_for_long(n_bytes: int, device: str) -> bool:
    """Whether a judge may keep so much of the device's memory while it waits for builds or for other judges."""
    return n_bytes < traits_of(device).share_kept * device_named(device).memory_bytes()


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """The resources for all candidates of one task under one protocol.

    ``beside_others``: whether candidates are checked while the device works for other trials too.
    """

    bench: Bench
    rack: Rack
    findings: TaskFindings
    protocol: Protocol
    demands: Demands
    margin: float
    verifier: Verifier
    other_sizes: OtherSizes | None
    clocks: Clocks
    sessions: Sessions
    hardware_id: str
    beside_others: bool

    @property
    def workers(self) -> WorkerServer:
        """The judge's handle on the service that forks its workers."""
        return self.sessions.workers

    def start(self) -> WorkerSession:
        """A new worker with the task's slots."""
        return self.sessions.start(self.bench, self.rack)

    def loaded(self, source: str, weights: str) -> WorkerSession:
        """A candidate that was checked, in a new worker."""
        return self.sessions.loaded(self.bench, self.rack, source, weights)

    @property
    def has_other_sizes(self) -> bool:
        """Whether candidates are checked at other sizes too."""
        return self.other_sizes is not None and self.other_sizes.sizes is not None

    @property
    def keeps_block(self) -> bool:
        """Whether the slots of a whole block of pairs may stay while other judges use the device."""
        return may_be_kept(PAIRS_PER_BLOCK * self.bench.bytes_of_pair, self.bench.device)

    def bytes_of_others(self) -> int:
        """Device memory that neither the judge nor the slots hold."""
        return device_named(self.bench.device).bytes_of_others() - self.rack.n_bytes

    def free_slots(self) -> None:
        """Free the slots' memory, and give up the controls, which have it mapped. Slots are made again on demand."""
        self.verifier.hand_over_controls()
        self.sessions.wait_for_ends()
        self.rack.close()

    def leave_room_for_other_judges(self, session: WorkerSession) -> None:
        """Close ``session``, whose candidate has been judged, and free the memory that torch keeps for reuse.

        Large slots are freed too, with the controls that have them mapped, and large inputs; all are made again when
        they are needed.
        """
        # It ends while memory is freed: beside nine other judges, each of the two takes 0.3 s (H200).
        session.end()
        give_up_large_inputs(self.bench)
        # An answer in float64 may take 30 GB, which torch would keep while other judges look for memory.
        device_named(self.bench.device).leave_room(for_long=holds.is_wanted_as_a_whole(self.hardware_id))
        self.sessions.wait_for_ends()
        # Every process that has the slots mapped must end, or unmap them, before their memory is free.
        session.close()
        if not may_be_kept_for_long(self.rack.n_bytes, self.bench.device):
            self.free_slots()

    @contextmanager
    def least_memory(self) -> Iterator[None]:
        """A context with one pair of slots and no controls kept; the next candidate has as many slots as before."""
        self.verifier.end_controls()
        self.workers.end_controls()
        self.rack.make_room_for(1)
        device_named(self.bench.device).leave_room(for_long=True)
        try:
            yield
        finally:
            self.verifier.end_controls()
            self.rack.make_room_for(None)
