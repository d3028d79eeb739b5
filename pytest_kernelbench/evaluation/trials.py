"""Judges the candidates for one task under one protocol, in one request or in several that follow each other."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ALL_COMPLETED, FIRST_COMPLETED, Future, wait
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from pytest_kernelbench.evaluation import trial
from pytest_kernelbench.evaluation.bench import Bench
from pytest_kernelbench.evaluation.boundary import messages
from pytest_kernelbench.evaluation.building import cache
from pytest_kernelbench.evaluation.building.builds import Builders, BuildWanted, Built, Target
from pytest_kernelbench.evaluation.clock.baseline_trial import time_beside, told_of_failure
from pytest_kernelbench.evaluation.clock.gate_trial import Checked, SideFailed, compare, detail_of
from pytest_kernelbench.evaluation.clock.gates import Comparison, Gate, Side
from pytest_kernelbench.evaluation.clock.pairs import Pairs
from pytest_kernelbench.evaluation.clock.timekeeping import ms_of_calls
from pytest_kernelbench.evaluation.clock.verification import Verifier
from pytest_kernelbench.evaluation.company import be_alone, in_turn, leave_room_for_long, untimed, wait_to_be_alone
from pytest_kernelbench.evaluation.correctness.examination import Demands, examine_with_either_weights, prepare_checks
from pytest_kernelbench.evaluation.correctness.findings import bench_of
from pytest_kernelbench.evaluation.correctness.known import Known
from pytest_kernelbench.evaluation.correctness.other_sizes import OtherSizes
from pytest_kernelbench.evaluation.correctness.replay import replay
from pytest_kernelbench.evaluation.device import Clocks, device_named
from pytest_kernelbench.evaluation.device.cpu import cores
from pytest_kernelbench.evaluation.device.names import is_gpu
from pytest_kernelbench.evaluation.device.traits import traits_of
from pytest_kernelbench.evaluation.failures import CandidateFailed
from pytest_kernelbench.evaluation.handles.racks import Rack
from pytest_kernelbench.evaluation.handles.sessions import Sessions
from pytest_kernelbench.evaluation.handles.workers import WorkerServer
from pytest_kernelbench.evaluation.judges.faults import fault_of
from pytest_kernelbench.evaluation.judges.replayed import Replayed
from pytest_kernelbench.evaluation.protocols import PROTOCOLS
from pytest_kernelbench.evaluation.setting import Setting, give_up_large_inputs
from pytest_kernelbench.evaluation.sharing import holds
from pytest_kernelbench.evaluation.sharing.holds import Hold
from pytest_kernelbench.evaluation.shortage import may_be_for_company
from pytest_kernelbench.evaluation.worker.kernels import compiled_archive
from pytest_kernelbench.records import AgainstBaseline, Evaluation, Outcome, sha256_of
from pytest_kernelbench.tasks.findings import TaskFindings

Found = TypeVar("Found")


def target_of(device: str, hardware_id: str) -> Target:
    """The target of builds on this device."""
    known = device_named(device)
    return Target(device=device, id=hardware_id, architecture=known.architecture(), gpu=known.gpu_properties())


@dataclass(frozen=True, slots=True)
class Judged:
    """The result for one source: its evaluation, or the failure of the harness on it."""

    source_sha256: str
    evaluation: Evaluation | None = None
    fault: dict[str, str] | None = None

    def to_json(self) -> dict[str, Any]:
        if self.evaluation is not None:
            return {"evaluation": self.evaluation.to_json()}
        return {"fault_on": self.source_sha256, "fault": self.fault}


class Trials:
    """Judges candidates for one task under one protocol.

    ``case`` is the request's: task, source, protocol, precision, seed and cache. ``owner``: the socket to the process
    that asks. ``known``: what was found out about the task before; it grows here. No attribute refers back to this
    object, so that its tensors are freed when the next task comes, and not only when Python collects cycles.
    """

    def __init__(
        self,
        case: dict[str, Any],
        *,
        owner: socket.socket,
        workers: WorkerServer,
        device: str,
        hardware_id: str,
        clocks: Clocks,
        known: Known,
    ) -> None:
        self.case = case
        self.known = known
        self._cache = Path(case["cache"])
        self._target = target_of(device, hardware_id)
        protocol = PROTOCOLS[case["protocol"]]

        # Workers start while the bench is made.
        beside_timing = protocol.starts_beside_timing and traits_of(device).trials_beside_others
        workers.keep_ready(hardware_id, beside_timing=beside_timing)

        def prepared() -> tuple[Bench, TaskFindings, OtherSizes | None]:
            bench, findings = bench_of(case, device, known.tolerances, beyond=protocol.beyond, known=known.findings)
            give_up_large_inputs(bench)
            return bench, findings, OtherSizes(case, device) if protocol.beyond else None

        sessions = Sessions(workers, device, cache=self._cache, watch=owner)
        bench, self.findings, other_sizes = untimed(prepared, sessions, hardware_id)
        known.findings = self.findings
        rack, margin = Rack(bench), protocol.margin(device)
        controls = Pairs(bench, partial(sessions.start_control, bench, rack), sessions.keep_control)
        self._setting = Setting(
            bench=bench,
            rack=rack,
            findings=self.findings,
            protocol=protocol,
            demands=Demands(
                parameters=case["parameters"] == "followed", own_kernels=case["torch_operators"] == "forbidden"
            ),
            margin=margin,
            verifier=Verifier(bench, margin, controls),
            other_sizes=other_sizes,
            clocks=clocks,
            sessions=sessions,
            hardware_id=hardware_id,
            beside_others=traits_of(device).trials_beside_others,
        )

    def make_ready(self) -> None:
        """Compute the tolerances and answers by which every candidate is checked, before the first candidate comes."""
        setting = self._setting

        def ask() -> None:
            prepare_checks(setting.bench, setting.protocol)
            give_up_large_inputs(setting.bench)
            if setting.other_sizes is not None:
                setting.other_sizes.prepare_checks()

        untimed(ask, setting.sessions, setting.hardware_id)

    def renew(self) -> None:
        """Give up all inputs before another request: a candidate is not timed again on inputs it was chosen on."""
        setting = self._setting
        untimed(setting.bench.renew, setting.sessions, setting.hardware_id)

    def among_others(self) -> AbstractContextManager[Any]:
        """Within this context no process times on this GPU: freeing memory there makes other processes wait."""
        if not traits_of(self._setting.bench.device).trials_beside_others:
            return nullcontext()
        return holds.beside_others(self._setting.hardware_id)

    def close(self) -> None:
        """End the workers that were kept, and free the memory of all slots."""
        self._setting.free_slots()
        if self._setting.other_sizes is not None:
            self._setting.other_sizes.close()

    def _builders(self) -> Builders:
        return Builders(self._cache, self._target, partial(self._setting.workers.fork, builder=True), jobs=cores())

    def evaluations(self, sources: Sequence[str]) -> Iterator[Judged]:
        """One result for each source, in the order in which their builds end.

        A trial that asks for a build gives the device back, and is repeated once the build is made.
        """
        with self._builders() as builders:
            waiting = {builders.ahead(self.case["source"], source): source for source in sources}
            while waiting:
                if not any(build.done() for build in waiting):
                    leave_room_for_long(self._setting.bench.device, self._setting.hardware_id)
                # On a CPU compilers and trials exclude each other, so all builds come first.
                done, _ = wait(
                    waiting, return_when=FIRST_COMPLETED if is_gpu(self._setting.bench.device) else ALL_COMPLETED
                )
                for build in [each for each in waiting if each in done]:
                    source = waiting.pop(build)
                    try:
                        judged = self._judged(source, build)
                    except BuildWanted as wanted:
                        waiting[builders.wanted(wanted.request, build.result())] = source
                    else:
                        yield judged

    def _judged(self, source: str, build: Future[Built]) -> Judged:
        """The result for one source. Whatever goes wrong in its trial, the next source is judged.

        Raises BuildWanted where the trial asks for a build.
        """
        source_sha256 = sha256_of(source)
        try:
            return Judged(source_sha256, evaluation=trial.evaluate(self._setting, source, build.result()))
        except (messages.ConnectionEnded, BuildWanted):
            raise  # a connection that has ended is the owner's: nobody waits for results
        except Exception as error:  # not a verdict: a fault of the harness, on this candidate alone
            return Judged(source_sha256, fault=fault_of(error, self._setting.bench.task_id))

    def comparison(self, kernel: str, baseline: str, gate: Gate) -> Comparison:
        """Whether ``kernel`` is slower than ``baseline`` (both are sources) by more than the gate allows."""
        try:
            checked = self._both_checked(kernel, baseline)
        except SideFailed as failure:
            return Comparison(failed=failure.side, detail=failure.detail)
        with holds.alone(self._setting.hardware_id):
            return compare(self._setting.bench, checked, gate)

    def against(self, kernel: str, baseline: str, name: str) -> AgainstBaseline:
        """How fast the source ``kernel`` is beside the source ``baseline``, which the record calls ``name``."""
        started = time.perf_counter()
        if why := self.findings.uncounted_because:
            return AgainstBaseline(baseline=name, uncounted_because=why)
        try:
            checked = self._both_checked(kernel, baseline, keep="baseline")
            found = in_turn(self._setting, partial(self._beside, checked, name))
        except SideFailed as failure:
            found = told_of_failure(name, failure)
        return replace(found, seconds=round(time.perf_counter() - started, 3))

    def _beside(self, checked: dict[Side, Checked], name: str, hold: Hold) -> AgainstBaseline:
        """As ``time_beside``. Raises CandidateFailed if a side may have failed because other trials were there."""
        setting = self._setting
        try:
            return time_beside(setting.bench, checked, setting.margin, name, partial(be_alone, setting, hold))
        except SideFailed as failure:
            cause = failure.of_worker()
            if hold.may_share and cause is not None and may_be_for_company(cause, timed=hold.is_alone):
                raise cause from None
            raise

    def _both_checked(self, kernel: str, baseline: str, *, keep: Side | None = None) -> dict[Side, Checked]:
        """Both sources, built side by side and found correct; see ``_checked`` for ``keep``. Raises SideFailed."""
        sources: dict[Side, str] = {"baseline": baseline, "kernel": kernel}
        checked: dict[Side, Checked] = {}
        with self._builders() as builders:
            ahead = {side: builders.ahead(self.case["source"], source) for side, source in sources.items()}
            for side, source in sources.items():
                try:
                    checked[side] = self._checked(source, builders, ahead[side].result(), keep=side == keep)
                except CandidateFailed as failure:
                    raise SideFailed(side, detail_of(failure)) from None
        return checked

    def _checked(self, source: str, builders: Builders, built: Built, *, keep: bool = False) -> Checked:
        """A kernel found correct in a worker of its own. Raises CandidateFailed.

        ``keep``: the code that torch's compiler built for it goes into the cache, for the kernel's next workers. Only
        for sources of the harness: a candidate could pack anything.
        """

        def check(hold: Hold) -> Checked:
            with closing(self._setting.start()) as session:
                session.load(source)
                found = examine_with_either_weights(session, self._setting.protocol, self._setting.demands)
                wait_to_be_alone(self._setting, session, hold)
                call_ms = ms_of_calls(session, found.seconds_per_call)
                built_s = session.built_s
                if keep and built_s and (compiled := session.packed()) is not None:
                    name = compiled_archive(source, self.case["source"], self._target.architecture)
                    cache.keep(self._cache / name, compiled)
            worker = partial(self._setting.loaded, source, found.weights)
            return Checked(worker, call_ms, found.seconds_per_call, built_s)

        return self._once_built(check, builders, built)

    def replayed(self, source: str, kind: str) -> Replayed:
        """The answers of a source to one kind of inputs: at the task's sizes and, if right there, at other sizes."""

        def ask(_: Hold) -> Replayed:
            with closing(self._setting.start()) as session:
                session.load(source)
                found = replay(session, kind)
            others = self._setting.other_sizes
            if found.outcome == Outcome.CORRECT.value and others is not None:
                elsewhere = others.replayed(self._setting.sessions.start, source, kind)
                if elsewhere is not None and elsewhere.outcome != Outcome.CORRECT.value:
                    return elsewhere
            return found

        with self._builders() as builders:
            try:
                return self._once_built(ask, builders, builders.ahead(self.case["source"], source).result())
            except CandidateFailed as failure:
                return Replayed(outcome=failure.outcome.value, detail=failure.detail)

    def _once_built(self, ask: Callable[[Hold], Found], builders: Builders, built: Built) -> Found:
        """What ``ask`` returns; when it raises BuildWanted, the build is made and ``ask`` is called again.

        Raises CandidateFailed, also for a build that fails.
        """
        while built.complaint is None:
            try:
                return in_turn(self._setting, ask)
            except BuildWanted as wanted:
                built = builders.wanted(wanted.request, built).result()
        raise CandidateFailed(Outcome.BUILD_ERROR, built.complaint)
