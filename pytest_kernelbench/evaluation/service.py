"""The warm process: imports torch once, then forks the judge and, at its word, one worker for each candidate.

    owner (pytest) <-> judge   <-> service -> supervisor -> [first process of a namespace] -> worker
    owner (pytest) <-> foreman <-> service -> supervisor -> ... -> builder

It computes in one thread only, so that no thread pool and no CUDA context exists before a fork: a child is ready in
0.02 s, where a new Python that imports torch takes 2 to 6. When a socket ends, everything below it ends.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import selectors
import signal
import socket
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from pytest_kernelbench.evaluation import messages, sandbox
from pytest_kernelbench.evaluation.device import device_named
from pytest_kernelbench.evaluation.device.names import is_gpu
from pytest_kernelbench.evaluation.device.traits import DEVICES, DeviceTraits
from pytest_kernelbench.evaluation.sandbox import filesystem, watchdog
from pytest_kernelbench.evaluation.workers import WorkerServer

# Torch imports these late: a worker would in each load, the first of them for 0.25 s beside a GPU (H200).
IMPORTED_BY_WORKERS = ("torch.utils.cpp_extension", "numpy.random")


def main(owner_descriptor: int, wishes_descriptor: int, device: str, traits: str, cache: str) -> None:
    """Body of the service process; the sockets are those that the judge and the foreman share with the owner.

    ``traits`` is the device's ``DeviceTraits`` as JSON. ``cache`` is the folder of builds, which candidates see.
    """
    DEVICES[device] = DeviceTraits(**json.loads(traits))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the owner decides
    owner, wishes = (socket.socket(fileno=each) for each in (owner_descriptor, wishes_descriptor))
    # Before the fork, torch and what else takes long: this is what makes it warm.
    from pytest_kernelbench.evaluation import judge, worker
    from pytest_kernelbench.evaluation.building import foreman
    from pytest_kernelbench.host import vector_math

    device_named(device)
    vector_math.make_ready()
    for module in IMPORTED_BY_WORKERS:
        importlib.import_module(module)
    paths = filesystem.needed(os.environ, sys.modules, Path.home())
    visible = filesystem.Visible(paths=paths, cache=Path(cache))
    isolation_of = {each: sandbox.probe_isolation(device=each, visible=visible) for each in {device, "cpu"}}
    of_judge, judges = socket.socketpair()
    if sandbox.fork_bound() == 0:
        of_judge.close()
        wishes.close()
        workers = WorkerServer(judges, device)
        _exit_after(lambda: judge.serve(owner, workers, device=device, isolation=isolation_of[device]))
    owner.close()
    judges.close()
    of_foreman, foremans = socket.socketpair()
    if sandbox.fork_bound() == 0:
        of_judge.close()
        of_foreman.close()
        _exit_after(lambda: foreman.serve(wishes, WorkerServer(foremans, "cpu")))
    wishes.close()
    foremans.close()
    with tempfile.TemporaryDirectory(prefix="kernelbench-") as folder:
        if is_gpu(device) and importlib.util.find_spec("triton"):
            # Beside the judge, which starts CUDA and makes its inputs.
            from pytest_kernelbench.evaluation.building import triton_ready

            triton_ready.make_ready(Path(folder, "triton"))
        signal.signal(signal.SIGCHLD, _reap)
        _fork_for((of_judge, of_foreman), _Sandboxes(worker.serve, Path(folder), isolation_of, visible).supervise)


def _fork_for(clients: tuple[socket.socket, ...], supervise: Callable[..., None]) -> None:
    """Fork a worker for whichever of the ``clients`` asks, until the first of them is gone."""
    with selectors.DefaultSelector() as selector:
        for client in clients:
            selector.register(client, selectors.EVENT_READ)
        while True:
            for ready, _ in selector.select():
                client = ready.fileobj
                assert isinstance(client, socket.socket)
                try:
                    question, descriptors = messages.receive(client)
                except messages.ConnectionEnded:
                    if client is clients[0]:
                        return
                    selector.unregister(client)
                    continue
                _fork_one(client, question, descriptors, supervise, clients)


def _fork_one(
    client: socket.socket,
    question: Mapping[str, Any],
    descriptors: list[int],
    supervise: Callable[..., None],
    clients: tuple[socket.socket, ...],
) -> None:
    connection, ending = descriptors
    # Else a supervisor that ends at once would be reaped, and its number free for others, before it is held.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
    supervisor = sandbox.fork_bound()
    if supervisor == 0:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD})
        for each in clients:
            each.close()
        _exit_after(partial(supervise, connection, ending, **question))
    os.close(connection)
    os.close(ending)
    holds = sandbox.holds_of(supervisor)
    messages.send(client, {"supervisor": supervisor}, holds)
    for hold in holds:
        os.close(hold)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD})


def _reap(*_: object) -> None:
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass


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

    ``serve`` is the worker's body, ``isolation_of`` what this machine grants by device; folders of workers lie in
    ``folder``, and of the machine's files they see what is ``visible``.
    """

    serve: Callable[[socket.socket, Path, str], None]
    folder: Path
    isolation_of: Mapping[str, sandbox.Isolation]
    visible: filesystem.Visible

    def supervise(self, connection: int, ending: int, device: str, gpu: str | None) -> None:
        """Body of a supervisor: enters the sandbox, runs the worker below it, and tells how it ended."""
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
                self._work(connection, private, device)
            os.close(connection)
            status, by_others = watchdog.watch(process, isolation, limits, folder=private, sees_it=sees_it)
            told = f"{os.waitstatus_to_exitcode(status)} {'others' if by_others else ''}"
            os.write(ending, told.encode())
            os._exit(0)
        if isolation.processes:
            # Its process table is the namespace's own, in which nothing below it has the number that it knows.
            signal.signal(signal.SIGTERM, lambda *_: (sandbox.end_namespace(first), os._exit(0)))
        os.close(connection)
        os.close(ending)
        os.waitpid(first, 0)
        sandbox.end_descendants()

    def _work(self, connection: int, private: Path, device: str) -> None:
        """Body of a worker's process."""
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        # A group of its own: kill(0) and killpg reach nobody else.
        os.setsid()
        listable = self.visible.listable(private) if self.isolation_of[device].hidden else ()
        sandbox.give_up_privileges(listable, private)
        _exit_after(lambda: self.serve(socket.socket(fileno=connection), private, device))


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
