"""The warm process: imports torch once, then forks a judge and, at its word, one worker for each candidate.

    owner (pytest) <-> service: end the judge, start the next one; start another foreman
    owner (pytest) <-> judge   <-> service -> supervisor -> [first process of a namespace] -> worker
    owner (pytest) <-> foreman <-> service -> supervisor -> ... -> builder

The service computes in one thread only, so that no thread pool and no CUDA context exists before a fork: a child is
ready in 0.02 s, and a new Python that imports torch in 2 to 6 s. No candidate was ever in the service, so it can
replace a judge that has died by another fork. When the owner's socket to the service ends, every process below it ends;
when a judge ends, the workers that were forked for it end too.
"""

from __future__ import annotations

import gc
import importlib.util
import json
import os
import selectors
import signal
import socket
import sys
import tempfile
from collections.abc import Callable, Mapping
from contextlib import closing, nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from pytest_kernelbench.evaluation import sandbox
from pytest_kernelbench.evaluation.boundary import messages
from pytest_kernelbench.evaluation.device import device_named
from pytest_kernelbench.evaluation.device.names import is_gpu
from pytest_kernelbench.evaluation.device.traits import DEVICES, DeviceTraits
from pytest_kernelbench.evaluation.handles.workers import WorkerServer
from pytest_kernelbench.evaluation.judges.children import Children
from pytest_kernelbench.evaluation.sandbox import filesystem, seccomp, watchdog
from pytest_kernelbench.evaluation.sandbox.groups import Groups, enter, entrance_of

JUDGE = "judge"


def main(owner_descriptor: int, device: str, traits: str, cache: str) -> None:
    """Body of the service process. The owner asks on the socket for a judge and for a foreman.

    ``traits`` is the device's ``DeviceTraits`` as JSON. ``cache`` is the folder of builds, which candidates see.
    """
    DEVICES[device] = DeviceTraits(**json.loads(traits))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the owner decides
    owner = socket.socket(fileno=owner_descriptor)
    # Imported before any fork: torch, and other modules that take long.
    from pytest_kernelbench.evaluation import worker
    from pytest_kernelbench.evaluation.building import foreman
    from pytest_kernelbench.evaluation.judges import judge
    from pytest_kernelbench.evaluation.worker import imported_late
    from pytest_kernelbench.host import vector_math

    device_named(device)
    vector_math.make_ready()
    imported_late.import_them()
    # A collection in a worker would touch torch's 180,000 objects and so copy their pages: 0.12 s of a core, which may
    # fall into a timed call.
    gc.freeze()
    paths = filesystem.needed(os.environ, sys.modules, Path.home())
    visible = filesystem.Visible(paths=paths, cache=Path(cache))
    isolation_of = {each: sandbox.probe_isolation(device=each, visible=visible) for each in {device, "cpu"}}
    groups = Groups.here() if isolation_of[device].files else None
    with (
        closing(groups) if groups is not None else nullcontext(),
        tempfile.TemporaryDirectory(prefix="kernelbench-") as folder,
    ):
        service = _Service(
            owner,
            device,
            groups,
            judge=partial(
                judge.serve, device=device, isolation=replace(isolation_of[device], group=groups is not None)
            ),
            foreman=foreman.serve,
            supervise=_Sandboxes(worker.serve, Path(folder), isolation_of, visible).supervise,
        )
        try:
            # The owner asks for a foreman and the first judge at once; Triton is made ready while that judge starts
            # CUDA.
            service.answer_owner()
            service.answer_owner()
            if is_gpu(device) and importlib.util.find_spec("triton"):
                from pytest_kernelbench.evaluation.building import triton_ready

                triton_ready.make_ready(Path(folder, "triton"))
                # As above, for Triton's objects.
                gc.freeze()
            service.serve()
        except messages.ConnectionEnded:
            return


@dataclass(frozen=True, slots=True)
class _Client:
    """The judge or the foreman: its process number, a socket to it, and the supervisors of its workers."""

    kind: str
    process: int
    connection: socket.socket
    supervisors: set[int] = field(default_factory=set)


class _Service:
    """Forks a judge or a foreman whenever the owner asks for one, and a worker whenever one of these two asks.

    ``judge`` and ``foreman`` are the bodies of their processes, ``supervise`` is the body of a worker's supervisor.
    With ``groups`` (None: the system has none), each of the judge's workers is in a control group of its own.
    """

    def __init__(
        self,
        owner: socket.socket,
        device: str,
        groups: Groups | None,
        *,
        judge: Callable[[socket.socket, WorkerServer], None],
        foreman: Callable[[socket.socket, WorkerServer], None],
        supervise: Callable[..., None],
    ) -> None:
        self._owner = owner
        self._groups = groups
        # The workers of the foreman see no GPU.
        self._kinds = {JUDGE: (judge, device), "foreman": (foreman, "cpu")}
        self._supervise = supervise
        self._children = Children()
        self._clients: list[_Client] = []
        # The exit codes of the last judge and of the last foreman, until the owner asks for another one.
        self._ended: dict[str, int | None] = {}

    def serve(self) -> None:
        """Answer owner and clients. Raises ConnectionEnded when the owner is gone."""
        while True:
            # Made anew each time, because sockets come and go with judges. Not an epoll: workers would inherit it.
            with selectors.PollSelector() as selector:
                selector.register(self._owner, selectors.EVENT_READ)
                for client in self._clients:
                    selector.register(client.connection, selectors.EVENT_READ, client)
                client = selector.select()[0][0].data
            if client is None:
                self.answer_owner()
            else:
                self._answer(client)

    def answer_owner(self) -> None:
        """End the judge or the foreman, as the owner's message says; start another one if a socket for it came along.

        The answer's ``ended`` is the exit code of the former process, as ``subprocess`` has it. Raises ConnectionEnded.
        """
        question, descriptors = messages.receive(self._owner)
        for client in [each for each in self._clients if each.kind == question["kind"]]:
            self._end(client)
        ended = self._ended.pop(question["kind"], None)
        if descriptors:
            connection = socket.socket(fileno=descriptors[0])
            self._add(question["kind"], connection)
            connection.close()
        messages.send(self._owner, {"done": True, "ended": ended})

    def _add(self, kind: str, connection: socket.socket) -> None:
        body, device = self._kinds[kind]
        ours, theirs = socket.socketpair()
        process = self._children.fork(remembered=True)
        if process == 0:
            ours.close()
            self._close()
            sandbox.name_process(f"kb-{kind}")
            _exit_after(lambda: body(connection, WorkerServer(theirs, device)))
        theirs.close()
        self._clients.append(_Client(kind, process, ours))

    def _answer(self, client: _Client) -> None:
        try:
            question, descriptors = messages.receive(client.connection)
            self._fork_worker(client, question, descriptors)
        except messages.ConnectionEnded:
            self._end(client)

    def _fork_worker(self, client: _Client, question: Mapping[str, Any], descriptors: list[int]) -> None:
        connection, ending = descriptors
        group = self._groups.new() if self._groups is not None and client.kind == JUDGE else None
        entrance = None if group is None else entrance_of(group)
        # Not collected before it is held: the number of a supervisor that ends at once could be given to another
        # process.
        with self._children.kept():
            supervisor = self._children.fork()
            if supervisor == 0:
                self._close()
                _exit_after(partial(self._supervise, connection, ending, entrance, **question))
            for each in self._clients:
                # A supervisor that has ended may have had the same number.
                each.supervisors.discard(supervisor)
            client.supervisors.add(supervisor)
            for descriptor in (connection, ending, *([] if entrance is None else [entrance])):
                os.close(descriptor)
            holds = sandbox.holds_of(supervisor)
            try:
                messages.send(
                    client.connection,
                    {"supervisor": supervisor, "group": "" if group is None else str(group.folder)},
                    holds,
                )
            finally:
                for hold in holds:
                    os.close(hold)

    def _end(self, client: _Client) -> None:
        """End a client and its workers: left running, they would disturb the next candidate."""
        self._clients.remove(client)
        client.connection.close()
        self._children.end([client.process, *client.supervisors])
        self._ended[client.kind] = self._children.exit_code(client.process)

    def _close(self) -> None:
        """In a child: close the sockets to the owner and to the clients."""
        self._owner.close()
        for client in self._clients:
            client.connection.close()


def _exit_after(body: Callable[[], None]) -> None:
    try:
        body()
    except BaseException:
        sys.excepthook(*sys.exc_info())
        os._exit(1)
    os._exit(0)


@dataclass(frozen=True, slots=True)
class _Sandboxes:
    """Runs each worker below a supervisor, in a sandbox.

    ``serve`` is the worker's body. ``isolation_of``: by device, the walls that this machine grants. ``folder`` contains
    the private folders of the workers, and ``visible`` names the machine's files that they see.
    """

    serve: Callable[[socket.socket, Path, str], None]
    folder: Path
    isolation_of: Mapping[str, sandbox.Isolation]
    visible: filesystem.Visible

    def supervise(self, connection: int, ending: int, entrance: int | None, device: str, gpu: str | None) -> None:
        """Body of a supervisor: enters the sandbox, runs the worker below it, and reports how the worker ended.

        ``connection``, ``ending`` and ``entrance`` are descriptors: the worker's socket, the pipe for its exit status,
        and the entrance of its control group (None: it has none). ``gpu``: path of the GPU's device file.
        """
        isolation = self.isolation_of[device]
        os.setsid()
        sandbox.adopt_orphans()
        signal.signal(signal.SIGTERM, lambda *_: (sandbox.end_descendants(), os._exit(0)))
        limits = sandbox.limits_for(device)
        private = Path(tempfile.mkdtemp(dir=self.folder))
        sandbox.enter(isolation, private, limits, device=device, gpu=gpu, visible=self.visible)
        first = sandbox.fork_bound()
        if first == 0:
            if isolation.processes:
                sandbox.end_on_request()
            else:
                signal.signal(signal.SIGTERM, signal.SIG_DFL)
            sees_it = sandbox.own_process_table(isolation)
            process = sandbox.fork_bound()
            if process == 0:
                os.close(ending)
                if entrance is not None:
                    enter(entrance)
                    os.close(entrance)
                self._work(connection, private, device)
            os.close(connection)
            status, by_others = watchdog.watch(process, isolation, limits, folder=private, sees_it=sees_it)
            told = f"{os.waitstatus_to_exitcode(status)} {'others' if by_others else ''}"
            os.write(ending, told.encode())
            os._exit(0)
        if isolation.processes:
            # By the ``first`` process: /proc shows the namespace's numbers here, by which this process cannot kill.
            signal.signal(signal.SIGTERM, lambda *_: (sandbox.end_namespace(first), os._exit(0)))
        os.close(connection)
        os.close(ending)
        os.waitpid(first, 0)
        sandbox.end_descendants()

    def _work(self, connection: int, private: Path, device: str) -> None:
        """Body of a worker's process."""
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        # A process group of its own: kill(0) and killpg reach no other process.
        os.setsid()
        listable = self.visible.listable(private) if self.isolation_of[device].hidden else ()
        sandbox.give_up_privileges(listable, private)
        if is_gpu(device):
            seccomp.keep_cores()
        _exit_after(lambda: self.serve(socket.socket(fileno=connection), private, device))
