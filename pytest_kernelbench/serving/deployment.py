"""``python -m pytest_kernelbench serve``: the HTTP interface as a Ray Serve deployment. Needs the extra ``ray``."""

from __future__ import annotations

import argparse
import http.client
import ipaddress
import os
import signal
import socket
import threading
import time
from typing import Any

from pytest_kernelbench.errors import HarnessError, UsageError
from pytest_kernelbench.evaluation.device.names import is_gpu, resolve_device
from pytest_kernelbench.evaluation.device.traits import DEVICES
from pytest_kernelbench.host.gpus import visible_gpus
from pytest_kernelbench.registries import PRECISIONS, PROTOCOLS
from pytest_kernelbench.serving.wire import TOKEN_VARIABLE, Limits

APPLICATION = "kernelbench"
# The most requests of one client that are handled at once; the pool's queue delays further ones.
MOST_REQUESTS = 1000
# Ray starts a process that has ended again within 25 s, the HTTP interface included.
MOST_SILENCE_S = 120.0
BETWEEN_LOOKS_S = 5.0
ANSWER_TIMEOUT_S = 30.0
BETWEEN_KNOCKS_S = 0.2
LOGS = "/tmp/ray/session_latest/logs/serve"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--host",
        default="127.0.0.1",
        help=f"on the cluster's head node; other than loopback needs {TOKEN_VARIABLE} to be set",
    )
    parser.add_argument("--port", type=int, default=8000, help="default: 8000")
    parser.add_argument(
        "--ray", default=None, metavar="ADDRESS", help="a running cluster, or auto; default: start one here"
    )
    parser.add_argument("--judges", default="auto", metavar="KIND,...", help="auto: one a GPU; or cpu,cpu,cpu,cpu")
    parser.add_argument("--protocol", default="fast", choices=list(PROTOCOLS), help="default: fast")
    parser.add_argument("--precision", default="float32", choices=list(PRECISIONS), help="default: float32")
    parser.add_argument("--requests-a-minute", type=int, default=Limits().requests_a_minute, help="of each client")


def check(options: argparse.Namespace) -> str | None:
    """Raise UsageError for an option that cannot be used, before Ray is started. Returns the token of requests."""
    if not 1 <= options.port < 1 << 16:
        raise UsageError(f"--port={options.port}: write a port from 1 to 65535, as in 8000")
    if options.requests_a_minute < 1:
        raise UsageError(f"--requests-a-minute={options.requests_a_minute}: write 1 or more, as in 600")
    _check_judges(options.judges, here=options.ray is None)
    # An empty variable is none.
    token = os.environ.get(TOKEN_VARIABLE) or None
    check_token(options.host, token)
    if options.ray is None:
        _check_address(options.host, options.port)
    return token


def _check_judges(judges: str, *, here: bool) -> None:
    """Raise UsageError for kinds of devices that are not there. ``here``: whether all judges are on this machine."""
    if judges == "auto":
        return
    kinds = judges.split(",")
    for kind in kinds:
        if kind not in DEVICES:
            there = ", ".join(DEVICES)
            raise UsageError(
                f"--judges={judges}: {kind!r} is no such device; write auto, or a kind for each judge, of {there}"
            )
    gpus = [kind for kind in kinds if is_gpu(kind)]
    if here and gpus:
        resolve_device(gpus[0], "--judges")
        if len(gpus) > (n_visible := len(visible_gpus(os.environ))):
            raise UsageError(f"--judges={judges}: {n_visible} GPUs are visible here; name at most as many judges")


def _check_address(host: str, port: int) -> None:
    """Raise UsageError where no server can listen."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError) as error:
        said = error.strerror if isinstance(error, OSError) else "no host name"
        raise UsageError(f"--host={host}: no such address ({said}); use --host=127.0.0.1") from None
    # Of localhost, which may be two addresses, Ray takes the one of IPv4.
    family, kind, _, _, address = min(found, key=lambda each: each[0] != socket.AF_INET)
    with socket.socket(family, kind) as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind(address)
        except OSError as error:
            raise UsageError(
                f"--port={port}: cannot listen at {host}:{port} ({error.strerror}); name another port, or another host"
            ) from None


def run(options: argparse.Namespace) -> None:
    """Serve until interrupted (Ctrl-C) or terminated (SIGTERM).

    Raises HarnessError where its own cluster answers no more: Ray starts queue, HTTP and judges again, but not itself.
    """
    ended = threading.Event()
    start(options)
    # Installed after Ray's own handlers. A service manager sends SIGTERM. A shell starts background jobs with SIGINT
    # ignored, unless the job installs a handler.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    print(f"judging at http://{options.host}:{options.port}; stop with Ctrl-C", flush=True)
    if options.ray is None:
        # Where this raises, nothing is left that could end the deployment in order.
        watch(options.host, options.port, ended)
    ended.wait()
    stop()


def watch(host: str, port: int, ended: threading.Event) -> None:
    """Wait for ``ended``. Raises HarnessError once the server has not answered for ``MOST_SILENCE_S``."""
    answered = time.monotonic()
    while not ended.wait(BETWEEN_LOOKS_S):
        if _answers(host, port):
            answered = time.monotonic()
        elif (silence_s := time.monotonic() - answered) > MOST_SILENCE_S:
            raise HarnessError(
                f"serve: no answer at {host}:{port} for {silence_s:.0f} s, so its Ray cluster has ended; start it again"
            )


def _answers(host: str, port: int) -> bool:
    # An address such as 0.0.0.0 or :: stands for every one of this machine's.
    connection = http.client.HTTPConnection(host, port, timeout=ANSWER_TIMEOUT_S)
    try:
        connection.request("GET", "/health")
        return connection.getresponse().status == http.client.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def start(options: argparse.Namespace) -> None:
    """Start the deployment, and return when it answers requests.

    Raises UsageError for options that cannot be used, and HarnessError where Ray does not start the deployment.
    """
    token = check(options)
    try:
        import ray
        from ray import serve
    except ImportError as error:
        raise UsageError(f"serve: {error}; install pytest-kernelbench[ray]") from None
    from pytest_kernelbench.evaluation.judges import ray_judges

    judges: str | list[str] = "auto" if options.judges == "auto" else options.judges.split(",")
    if options.ray is None:
        if not ray.is_initialized():
            # By default Ray's workers run at low priority, which would disturb the timings of a judge.
            os.environ.setdefault("RAY_worker_niceness", "0")
            # Where memory runs short, Ray would kill judges, queue and HTTP together: the server is gone for 25 s. The
            # sandbox limits what a candidate may take, and the system kills the largest process alone.
            os.environ.setdefault("RAY_memory_monitor_refresh_ms", "0")
            # Each judge on a CPU reserves one of Ray's CPUs. If there are fewer, judges wait for each other.
            cpus = max(os.cpu_count() or 1, 0 if judges == "auto" else sum(not is_gpu(each) for each in judges))
            ray.init(address="local", num_cpus=cpus, log_to_driver=False, include_dashboard=False)
    else:
        ray_judges.connect(options.ray, "--ray")
    deployed = serve.deployment(
        num_replicas=1, max_ongoing_requests=MOST_REQUESTS, ray_actor_options={"num_cpus": 0}, name="Judges"
    )(Judges)
    application = deployed.bind(
        judges,
        {"protocol": options.protocol, "precision": options.precision},
        Limits(requests_a_minute=options.requests_a_minute),
        token,
    )
    try:
        # Only this address answers. By default every node with a replica would open the port as well.
        serve.start(proxy_location="HeadOnly", http_options={"host": options.host, "port": options.port})
        serve.run(application, name=APPLICATION, route_prefix="/")
    except RuntimeError as error:
        said = (str(error).strip().splitlines() or ["no reason given"])[0]
        raise HarnessError(
            f"serve: Ray did not start it ({said}); its log is in {LOGS} on the cluster's head node"
        ) from error


def stop() -> None:
    """End the deployment and its judges, in the order that Ray Serve has for it, while its cluster answers.

    A service manager may send SIGTERM to Ray's own processes too. Then the cluster ends with all judges, and Ray Serve
    would wait 30 s for its controller, which is gone.
    """
    import ray
    from ray import serve

    address = ray.get_runtime_context().gcs_address
    ending = threading.Thread(target=serve.shutdown, name="ending", daemon=True)
    ending.start()
    while ending.is_alive() and _listens(address):
        ending.join(BETWEEN_KNOCKS_S)


def _listens(address: str) -> bool:
    """Whether something listens at ``HOST:PORT``."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=ANSWER_TIMEOUT_S).close()
    except OSError:
        return False
    return True


def check_token(host: str, token: str | None) -> None:
    """Raise UsageError if the server would be open to the network without a token."""
    try:
        loopback = ipaddress.ip_address(host).is_loopback
    except ValueError:
        loopback = host == "localhost"
    if not loopback and not token:
        raise UsageError(f"serve: {host} is not loopback; set {TOKEN_VARIABLE} to a secret, or use --host=127.0.0.1")


class Judges:
    """The Ray Serve deployment: one replica, which has the pool of judges and answers all requests."""

    def __init__(self, judges: str | list[str], settings: dict[str, Any], limits: Limits, token: str | None) -> None:
        from pytest_kernelbench.evaluation.judges.pool import EvaluatorPool
        from pytest_kernelbench.serving.app import Service

        self._pool = EvaluatorPool(devices=judges, ray="auto", **settings)
        self._service = Service(self._pool, {**settings, "device": self._pool.device}, limits, token)

    async def __call__(self, request: Any) -> Any:
        return await self._service.answer(request)

    def __del__(self) -> None:
        self._pool.close()
