"""A server that misbehaves as it is told, for what no real one does on demand."""

import json
import math
import random
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

KEY = "sk-secret-4c1d0f"
MOST_HELD_S = 60
LOGITS = {"a": 0.0, "b": -1.0, "c": -2.5, "d": -4.0}
# An answer that has a candidate.
RIGHT = "class ModelNew:\n    def forward(self, a):\n        return a.relu()"
FENCED = f"```python\n{RIGHT}\n```"


@dataclass
class Reply:
    """``length`` is the Content-Length to claim, where not the true one; bytes in ``body`` are sent as they are.

    ``chunked``: the body is sent in chunks, and the last one is kept back where ``length`` is 0. ``held``: it is kept
    back until the server's ``let_go`` is set, or the test has ended.
    """

    status: int = 200
    body: Any = ""
    headers: dict[str, str] = field(default_factory=dict)
    after_s: float = 0.0
    held: bool = False
    length: int | None = None
    chunked: bool = False


def logprobs_at(temperature: float) -> dict[str, float]:
    total = math.log(sum(math.exp(logit / temperature) for logit in LOGITS.values()))
    return {token: logit / temperature - total for token, logit in LOGITS.items()}


@dataclass
class StandIn:
    """A model of four letters. ``faults`` are replied first, one a request to a completions endpoint.

    ``scaled``: its log-probabilities are those of the temperature. ``change`` edits a good answer. ``listing`` is the
    reply to a question for the models.
    """

    scaled: bool = False
    gives_logprobs: bool = True
    models: tuple[str, ...] | None = ("letters",)
    faults: list[Reply | Callable[[Any], Reply]] = field(default_factory=list)
    change: Callable[[dict[str, Any]], None] = lambda answer: None
    listing: Reply | None = None
    requests: list[dict[str, Any]] = field(default_factory=list)
    at_once: int = 0
    most_at_once: int = 0
    let_go: threading.Event = field(default_factory=threading.Event)
    url: str = ""
    lock: Any = field(default_factory=threading.Lock)

    def reply(self, handler: BaseHTTPRequestHandler) -> Reply:
        size = int(handler.headers.get("Content-Length") or 0)
        request = json.loads(handler.rfile.read(size) or "{}")
        if handler.path == "/v1/models" and self.listing is not None:
            return self.listing
        if handler.path == "/v1/models" and self.models is not None:
            rows = [{"id": model, "created": time.time()} for model in self.models]
            return Reply(body={"data": rows})
        if handler.path not in ("/v1/chat/completions", "/v1/completions"):
            return Reply(404, {"error": {"message": f"no {handler.path} here"}})
        with self.lock:
            self.requests.append({**request, "path": handler.path, "at": time.monotonic()})
            fault = self.faults.pop(0) if self.faults else None
        if fault is not None:
            return fault(handler) if callable(fault) else fault
        answer = self.answer(request, chat="chat" in handler.path)
        self.change(answer)
        return Reply(body=answer)

    def answer(self, request: dict[str, Any], *, chat: bool) -> dict[str, Any]:
        temperature = request["temperature"]
        drawn = random.Random(request.get("seed", 0)).choices(
            list(LOGITS), [math.exp(each) for each in logprobs_at(temperature).values()], k=request["max_tokens"]
        )
        known = logprobs_at(temperature if self.scaled else 1)
        text, logprobs = "".join(drawn), None
        if self.gives_logprobs and "logprobs" in request:
            if chat:
                tops = [{"token": token, "logprob": value} for token, value in known.items()]
                content = [{"token": token, "logprob": known[token], "top_logprobs": tops} for token in drawn]
                logprobs = {"content": content}
            else:
                logprobs = {
                    "tokens": drawn,
                    "token_logprobs": [known[token] for token in drawn],
                    "top_logprobs": [known] * len(drawn),
                }
        choice = {"finish_reason": "length", "logprobs": logprobs}
        choice |= {"message": {"content": text}} if chat else {"text": text}
        return {
            "model": request["model"] if self.models is None else self.models[0],
            "choices": [choice],
            "usage": {"completion_tokens": len(drawn)},
        }


@contextmanager
def standing_in(host: str = "127.0.0.1", **behaviour: Any) -> Iterator[StandIn]:
    stand_in = StandIn(**behaviour)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            with stand_in.lock:
                stand_in.at_once += 1
                stand_in.most_at_once = max(stand_in.most_at_once, stand_in.at_once)
            try:
                reply = stand_in.reply(self)
                time.sleep(reply.after_s)
                if reply.held:
                    stand_in.let_go.wait(MOST_HELD_S)
            finally:
                with stand_in.lock:
                    stand_in.at_once -= 1
            text = reply.body if isinstance(reply.body, str | bytes) else json.dumps(reply.body)
            body = text if isinstance(text, bytes) else text.encode()
            headers = {"Content-Type": "application/json", **reply.headers}
            if reply.chunked:
                headers["Transfer-Encoding"] = "chunked"
                half = len(body) // 2
                parts = [f"{len(part):x}\r\n".encode() + part + b"\r\n" for part in (body[:half], body[half:])]
                body = parts[0] if reply.length == 0 else b"".join(parts) + b"0\r\n\r\n"
            else:
                headers["Content-Length"] = str(len(body) if reply.length is None else reply.length)
            self.send_response(reply.status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)
            self.close_connection = True

        # Chunks are of HTTP 1.1.
        protocol_version = "HTTP/1.1"

        do_GET = do_POST

        def log_message(self, *_: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        address_family = socket.AF_INET6 if ":" in host else socket.AF_INET

        def handle_error(self, *_: object) -> None:
            pass  # a client that has given up

    with Server((host, 0), Handler) as server:
        address = f"[{host}]" if ":" in host else host
        stand_in.url = f"http://{address}:{server.server_port}/v1"
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}).start()
        try:
            yield stand_in
        finally:
            stand_in.let_go.set()
            server.shutdown()


def body(message: Any, finish_reason: Any = "stop", *, logprobs: Any = None, usage: Any = None, **more: Any) -> str:
    """The body of an answer of the chat endpoint."""
    choice = {"index": 0, "message": message, "finish_reason": finish_reason, "logprobs": logprobs}
    return json.dumps({"object": "chat.completion", "model": "letters", "choices": [choice], "usage": usage, **more})
