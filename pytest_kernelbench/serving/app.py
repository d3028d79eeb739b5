"""The HTTP interface over a pool of judges, for any ASGI server. Needs the extra ``ray``, which brings Starlette."""

from __future__ import annotations

import asyncio
import hmac
import json
import math
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import aclosing
from typing import Any, TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from pytest_kernelbench.errors import JudgeEnded, KernelBenchError
from pytest_kernelbench.evaluation.device.names import sizes_on
from pytest_kernelbench.evaluation.judges.pool import EvaluatorPool
from pytest_kernelbench.evaluation.recent import Recent
from pytest_kernelbench.serving.wire import (
    COMPARE,
    EVALUATE,
    SETTINGS,
    BadRequest,
    CompareRequest,
    EvaluateRequest,
    Limits,
    check_size,
    judged_task,
)

Asked = TypeVar("Asked", EvaluateRequest, CompareRequest)
Result = TypeVar("Result")

# The number of clients whose rate is kept. More than a cluster has; it bounds the memory.
MOST_CLIENTS = 4096
# A body that is too large is read to its end if it has at most this many times the allowed size; then it is refused.
READ_OVER = 4
LATENCY_BUCKETS_S = (0.5, 1, 2, 5, 10, 20, 50, 100, 200)


class Rate:
    """Limits the requests of each client to a number a minute, by a token bucket."""

    def __init__(self, a_minute: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._a_minute = a_minute
        self._clock = clock
        self._left: Recent[str, tuple[float, float]] = Recent(MOST_CLIENTS)

    def take(self, client: str) -> float:
        """Count one request. Returns the seconds to wait until it is allowed, 0 if it is allowed now."""
        now = self._clock()
        left, since = self._left.get(client, (float(self._a_minute), now))
        left = min(self._a_minute, left + (now - since) * self._a_minute / 60)
        wait_s = 0.0 if left >= 1 else (1 - left) * 60 / self._a_minute
        self._left[client] = (left - 1 if left >= 1 else left, now)
        return wait_s


class Numbers:
    """The counters that ``/metrics`` shows."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter("kernelbench_requests", "Requests by status", ["status"], registry=self.registry)
        self.evaluations = Counter(
            "kernelbench_evaluations", "Evaluations by outcome", ["outcome"], registry=self.registry
        )
        self.faults = Counter("kernelbench_faults", "Sources that the harness could not judge", registry=self.registry)
        self.waiting = Gauge(
            "kernelbench_sources_waiting", "Sources asked for and not answered", registry=self.registry
        )
        self.ready = Gauge("kernelbench_judges_ready", "Judges that are up", registry=self.registry)
        self.latency = Histogram(
            "kernelbench_latency_seconds",
            "From a source's request to its evaluation",
            buckets=LATENCY_BUCKETS_S,
            registry=self.registry,
        )


def build_app(
    pool: EvaluatorPool, *, settings: dict[str, Any], limits: Limits | None = None, token: str | None = None
) -> Starlette:
    """The ASGI application. ``settings``: the answer of ``/v1/settings``. ``token``: if set, requests must have it."""
    service = Service(pool, settings, limits or Limits(), token)
    return Starlette(routes=[Route("/{path:path}", service.answer, methods=["GET", "POST"])])


class Service:
    """The routes of the application, and their common state."""

    def __init__(self, pool: EvaluatorPool, settings: dict[str, Any], limits: Limits, token: str | None) -> None:
        self._pool = pool
        self._settings = settings
        self._limits = limits
        self._token = token
        # As a session on the judges' device does: a CPU's memory holds few tasks in KernelBench's sizes.
        self._auto_sizes = sizes_on(pool.device)
        self._rate = Rate(limits.requests_a_minute)
        self._numbers = Numbers()
        self.routes: dict[tuple[str, str], Callable[[Request], Awaitable[Response]]] = {
            ("POST", EVALUATE): self.evaluate,
            ("POST", COMPARE): self.compare,
            ("GET", SETTINGS): self.settings,
            ("GET", "/health"): self.health,
            ("GET", "/metrics"): self.metrics,
        }

    async def answer(self, request: Request) -> Response:
        """The response to a request. If it is refused, the body says why in one line: ``{"error": ...}``."""
        try:
            route = self.routes.get((request.method, request.url.path))
            if route is None:
                known = ", ".join(f"{method} {path}" for method, path in self.routes)
                raise BadRequest(404, f"{request.method} {request.url.path}: no such route; there are {known}")
            # A load balancer asks for the health of a server, and has no token.
            if request.url.path != "/health":
                self._admit(request)
            return await route(request)
        except BadRequest as error:
            self._numbers.requests.labels(str(error.status)).inc()
            headers = {} if error.again_in_s is None else {"Retry-After": str(error.again_in_s)}
            return JSONResponse({"error": str(error)}, status_code=error.status, headers=headers)
        except ClientDisconnect:
            # It went away while it sent its request or waited; nobody reads the answer.
            return Response(status_code=400)

    async def evaluate(self, request: Request) -> Response:
        """Stream one line for each source when it is judged: its ``index`` with an ``evaluation`` or a ``fault``.

        The last line has ``done``, the number of sources, and the ``task`` with the sizes that it was judged in.
        ``judge_ended`` in a line: two judges died while judging the source. The client may ask for it again.
        """
        asked = await self._asked(EvaluateRequest, request)
        self._numbers.requests.labels("200").inc()
        lines, media_type = self._lines(asked), "application/x-ndjson"
        if request.scope.get("http_version") == "1.0":
            # Its clients know no answer in parts.
            return Response(await _unless_gone(request, _joined(lines)), media_type=media_type)
        return StreamingResponse(lines, media_type=media_type)

    async def compare(self, request: Request) -> Response:
        """A ``comparison`` of a kernel with its baseline, or a ``fault``, as ``evaluate`` has it."""
        asked = await self._asked(CompareRequest, request)
        self._numbers.requests.labels("200").inc()
        try:
            comparison = await _unless_gone(
                request, self._pool.compare_async(asked.task, asked.source, asked.baseline_source, asked.gate)
            )
        except KernelBenchError as error:
            self._numbers.faults.inc()
            return JSONResponse(_fault(error))
        return JSONResponse({"comparison": comparison.to_json(), "task": judged_task(asked.task)})

    async def settings(self, request: Request) -> Response:
        """The device of the judges, and the settings with which they judge.

        ``sizes_by_name``: of a task that a request names without choosing its sizes.
        """
        return JSONResponse({**self._settings, "judges": len(self._pool), "sizes_by_name": self._auto_sizes})

    async def health(self, request: Request) -> Response:
        """The number of judges, and how many are running. A request waits while none is."""
        return JSONResponse({"judges": len(self._pool), "ready": self._pool.ready})

    async def metrics(self, request: Request) -> Response:
        """Prometheus text."""
        self._numbers.ready.set(self._pool.ready)
        return Response(generate_latest(self._numbers.registry), media_type="text/plain; version=0.0.4")

    def _admit(self, request: Request) -> None:
        if self._token is not None:
            given = request.headers.get("authorization", "")
            if not hmac.compare_digest(given.encode(), f"Bearer {self._token}".encode()):
                raise BadRequest(401, "the token is missing or wrong; send Authorization: Bearer TOKEN")
        wait_s = self._rate.take(request.client.host if request.client else "")
        if wait_s:
            again_in_s = math.ceil(wait_s)
            raise BadRequest(429, f"too many requests; try again in {again_in_s} s", again_in_s=again_in_s)

    async def _asked(self, kind: type[Asked], request: Request) -> Asked:
        """The request, read in a thread: a task by its name may be fetched from a hub, and other requests go on."""
        body = await self._body(request)
        return await asyncio.to_thread(kind.parse, body, self._limits, auto_sizes=self._auto_sizes)

    async def _body(self, request: Request) -> bytes:
        try:
            return await asyncio.wait_for(self._whole_body(request), self._limits.body_seconds)
        except asyncio.TimeoutError:
            raise BadRequest(408, f"the request did not arrive within {self._limits.body_seconds:g} s") from None

    async def _whole_body(self, request: Request) -> bytes:
        """The body; of one over the limit nothing is held, but it is read for a while: a client that still sends
        sees its connection broken instead of the answer."""
        told, most_read = request.headers.get("content-length", ""), READ_OVER * self._limits.body_bytes
        # Of a number of thousands of digits int() raises ValueError.
        if told.isascii() and told.isdigit() and (len(told) > 18 or int(told) > most_read):
            check_size(most_read + 1, self._limits)
        body, n_bytes = bytearray(), 0
        async for part in request.stream():
            n_bytes += len(part)
            if n_bytes <= self._limits.body_bytes:
                body += part
            elif n_bytes > most_read:
                break
            else:
                body.clear()
        check_size(n_bytes, self._limits)
        return bytes(body)

    async def _lines(self, asked: EvaluateRequest) -> AsyncIterator[bytes]:
        started, left = time.monotonic(), len(asked.sources)
        self._numbers.waiting.inc(left)
        try:
            async with aclosing(
                self._pool.answers_async(asked.task, asked.sources, within_s=asked.within_s)
            ) as answers:
                async for index, answer in answers:
                    left -= 1
                    self._numbers.waiting.dec()
                    if isinstance(answer, KernelBenchError):
                        self._numbers.faults.inc()
                        yield _line({"index": index, **_fault(answer)})
                        continue
                    self._numbers.evaluations.labels(answer.outcome.value).inc()
                    self._numbers.latency.observe(time.monotonic() - started)
                    yield _line({"index": index, "evaluation": answer.to_json()})
            yield _line({"done": len(asked.sources), "task": judged_task(asked.task)})
        finally:
            # If the client has hung up, the sources that are left need no verdict.
            self._numbers.waiting.dec(left)


async def _unless_gone(request: Request, answer: Coroutine[Any, Any, Result]) -> Result:
    """The result of ``answer``. If the client hangs up before, it is cancelled and ClientDisconnect raised."""
    told, gone = asyncio.ensure_future(answer), asyncio.ensure_future(_gone(request))
    try:
        await asyncio.wait({told, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not told.done():
            raise ClientDisconnect
        return told.result()
    finally:
        for each in (told, gone):
            each.cancel()


async def _joined(lines: AsyncIterator[bytes]) -> bytes:
    return b"".join([line async for line in lines])


async def _gone(request: Request) -> None:
    """Return when the client has hung up. The body has been read."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _fault(error: KernelBenchError) -> dict[str, Any]:
    return {"fault": str(error), "judge_ended": isinstance(error, JudgeEnded)}


def _line(row: dict[str, Any]) -> bytes:
    return (json.dumps(row) + "\n").encode()
