"""Tinker's service, as far as sampling goes, for a model in this process: what its SDK asks, in the SDK's own messages.

Log-probabilities of a sample are those of its temperature, as the service gives them; those of a prompt are at 1.
"""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
import torch
from tinker.proto import tinker_public_pb2 as proto

from pytest_kernelbench.policies.causal_lm import sample_rows, score_rows


@dataclass
class TinkerStandIn:
    """``fails`` maps a path's end to the status and the message it is answered with; "KEY" in it is the key sent."""

    model: Any
    key: str
    base_model: str = "tests/random"
    fails: dict[str, tuple[int, str]] = field(default_factory=dict)
    failed_sample: dict[str, str] | None = None
    asked: list[dict[str, Any]] = field(default_factory=list)
    url: str = ""
    lock: Any = field(default_factory=threading.Lock)

    def reply(self, handler: BaseHTTPRequestHandler) -> tuple[int, bytes | dict[str, Any]]:
        size = int(handler.headers.get("Content-Length") or 0)
        body = handler.rfile.read(size)
        name = handler.path.removeprefix("/api/v1/")
        sent = handler.headers.get("X-API-Key", "")
        for end, (status, message) in self.fails.items():
            if name.endswith(end):
                return status, {"error": message.replace("KEY", sent)}
        if sent != self.key:
            return 401, {"error": f"invalid key {sent}"}
        if name == "telemetry":  # zipped, and nobody's business
            return 200, {"status": "accepted"}
        request = json.loads(body or "{}")
        if name == "create_session":
            return 200, {"session_id": "session"}
        if name == "create_sampling_session":
            if request.get("base_model") not in (None, self.base_model):
                return 404, {"error": f"no base model {request['base_model']}"}
            return 200, {"sampling_session_id": "sampler"}
        if name == "samplers/sampler":
            return 200, {"sampler_id": "sampler", "base_model": self.base_model}
        if name == "asample":
            with self.lock:
                self.asked.append(request)
                return 200, {"request_id": str(len(self.asked) - 1), "sample_sequence_ids": ["sequence"]}
        if name == "retrieve_future":
            if self.failed_sample is not None:
                return 200, self.failed_sample
            with self.lock:
                return 200, self.sample(self.asked[int(request["request_id"])])
        return 200, {}

    def sample(self, request: dict[str, Any]) -> bytes:
        # A thread of a server has as many as there are cores, which wait for each other.
        torch.set_num_threads(1)
        prompt = [token for chunk in request["prompt"]["chunks"] for token in chunk["tokens"]]
        parameters = request["sampling_params"]
        answer = proto.SampleResponse()
        if last := request.get("prompt_logprobs_last_n"):
            (scores,) = score_rows(self.model, prompt[:-last], [prompt[-last:]])
            padded = [float("nan")] * (len(prompt) - last) + list(scores)
            answer.prompt_logprobs = np.array(padded, dtype=np.float32).tobytes()
        generator = torch.Generator().manual_seed(parameters.get("seed") or 0)
        uniforms = torch.rand(1, parameters["max_tokens"], generator=generator, dtype=torch.float64)
        temperature = parameters["temperature"]
        (row,) = sample_rows(self.model, prompt, uniforms, temperature=temperature, eos_ids={0})
        answer.sequences.add(
            stop_reason=proto.STOP_REASON_STOP if row.stop_reason == "stop" else proto.STOP_REASON_LENGTH,
            tokens=np.array(row.token_ids, dtype=np.int32).tobytes(),
            logprobs=np.array(row.sampling_logprobs or row.logprobs, dtype=np.float32).tobytes(),
        )
        return answer.SerializeToString()


@contextmanager
def tinker_service(model: Any, key: str, **behaviour: Any) -> Iterator[TinkerStandIn]:
    stand_in = TinkerStandIn(model, key, **behaviour)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            status, body = stand_in.reply(self)
            kind = "application/x-protobuf" if isinstance(body, bytes) else "application/json"
            content = body if isinstance(body, bytes) else json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(content)))
            self.send_header("X-Echo", self.headers.get("X-API-Key", ""))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        stand_in.url = f"http://127.0.0.1:{server.server_port}"
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}).start()
        try:
            yield stand_in
        finally:
            server.shutdown()
