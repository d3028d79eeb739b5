"""``openai:MODEL@BASE_URL``: any server that speaks OpenAI's interface (vLLM, SGLang, llama.cpp, OpenAI, ...).

Surprisal needs log-probabilities at temperature 1. Some servers return those ("raw"), others those of the
temperature sampled at ("scaled"), and few say which. So it is measured, once, when the policy is loaded: the first
token of one prompt is asked for at temperatures 1 and 0.5, and the distance between its likeliest tokens stays
as it is or doubles. A policy file's ``logprobs`` overrides the measurement.

The key is read from OPENAI_API_KEY whenever it is needed and kept nowhere.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

import openai
from openai import AsyncOpenAI

from pytest_kernelbench.errors import HarnessError, KernelBenchError, PolicyError
from pytest_kernelbench.policies.background import all_at_once, in_background
from pytest_kernelbench.policies.base import random_seed, version_of
from pytest_kernelbench.policies.keys import first_line, holds_key, keep_keys_from_logs, key_in, without_keys
from pytest_kernelbench.policies.openai_answers import Answer, read_answer
from pytest_kernelbench.prompting.prompts import as_plain_text, build_messages
from pytest_kernelbench.records import Completion, Task

if TYPE_CHECKING:
    from pytest_kernelbench.policies import PolicySpec
    from pytest_kernelbench.strategy import Sampling

KEY_VARIABLE = "OPENAI_API_KEY"
# The client waits 0.5, 1, 2, 4 and then 8 s, or as long as Retry-After says, up to two minutes.
RETRIES = 8
# A wrong address is met when the policy is loaded, by someone who waits.
RETRIES_AT_FIRST = 2
CONNECT_S = 10
CONCURRENCY = 32
TIMEOUT_S = 600.0
PROBE = [{"role": "user", "content": "Write a Python function that adds two tensors."}]
# In nats, between the likeliest first tokens: below it, a measurement could be rounding.
LEAST_SPREAD = 0.2
SCALED = "gives log-probabilities of the temperature sampled at and not of temperature 1 (docs/policies.md)"

keep_keys_from_logs("openai", "httpx", "httpx2")


class OpenAIPolicy:
    """``model`` behind ``base_url``, asked once for each completion, at most ``concurrency`` at a time.

    ``endpoint`` is "chat", or "completions" for plain text without a chat template. ``logprobs`` is what the
    server's log-probabilities are: "raw" (temperature 1), "scaled", or "none"; None measures it. ``body`` is
    added to every request. What is stored as ``logprobs`` is raw; scaled ones are ``sampling_logprobs``.

    Completion i is asked for with a seed of its own. Whether the same seed gives the same text is up to
    the server; see docs/policies.md.
    """

    label = None

    def __init__(
        self,
        model: str,
        base_url: str,
        *,
        name: str,
        target: str = "cpu",
        endpoint: str = "chat",
        logprobs: str | None = None,
        concurrency: int = CONCURRENCY,
        timeout_s: float = TIMEOUT_S,
        body: Mapping[str, Any] | None = None,
    ) -> None:
        """Ask for a token or two. Raises PolicyError where the server, the key or the model is not right."""
        self.name = name
        self.model = model
        self.base_url = base_url
        self.target = target
        self.endpoint = endpoint
        self.concurrency = concurrency
        self.timeout_s = timeout_s
        self.body = dict(body or {})
        ((self.logprobs, served, listed),) = in_background(partial(self._first_contact, logprobs))
        self.gives_logprobs = self.logprobs == "raw"
        self.no_logprobs_because = SCALED if self.logprobs == "scaled" else "gives no logprobs"
        settings = (model, base_url, served, listed, target, endpoint, self.logprobs, sorted(self.body.items()))
        self.version = version_of([], *settings)

    @classmethod
    def load(cls, spec: PolicySpec, *, device: str) -> OpenAIPolicy:
        model, _, base_url = spec.argument.partition("@http")
        target = "cuda" if device.startswith("cuda") else "cpu"
        return cls(model, f"http{base_url}".rstrip("/"), name=spec.name, target=target, **spec.settings)

    def sample(self, task: Task, sampling: Sampling, *, seed: int, indices: Sequence[int]) -> Iterator[Completion]:
        """See ``Policy.sample``. Raises HarnessError where the server fails after all retries."""
        messages = build_messages(task, sampling.answer, self.target)

        async def ask_all(emit: Callable[[tuple[int, Answer, float]], None]) -> None:
            in_turn = asyncio.Semaphore(self.concurrency)

            async def ask(index: int) -> None:
                request = {
                    "temperature": sampling.temperature,
                    "max_tokens": sampling.max_tokens,
                    # 31 bits: llama.cpp keeps 32 and takes all ones for "at random".
                    "seed": random_seed(seed, task.id, index) >> 32,
                }
                async with in_turn:
                    start = time.perf_counter()
                    answer = await self._ask(client, messages, request, logprobs=self.logprobs != "none")
                    emit((index, answer, time.perf_counter() - start))

            async with self._client() as client:
                await all_at_once([ask(index) for index in indices])

        for index, answer, seconds in in_background(ask_all):
            yield Completion(
                task=task.id,
                index=index,
                text=answer.text,
                policy=self.name,
                policy_version=self.version,
                seed=seed,
                token_ids=answer.token_ids,
                logprobs=answer.logprobs if self.logprobs == "raw" else None,
                sampling_logprobs=answer.logprobs if self.logprobs == "scaled" else None,
                stop_reason=answer.stop_reason,
                code_tokens=answer.code_tokens(answer=sampling.answer),
                seconds=seconds,
            )

    def _client(self, retries: int = RETRIES) -> AsyncOpenAI:
        return AsyncOpenAI(
            # The client insists on a key; servers of one's own mostly do not.
            api_key=key_in(KEY_VARIABLE) or "none",
            base_url=self.base_url,
            max_retries=retries,
            timeout=openai.Timeout(self.timeout_s, connect=CONNECT_S),
        )

    async def _ask(
        self,
        client: AsyncOpenAI,
        messages: list[dict[str, str]],
        request: Mapping[str, Any],
        *,
        logprobs: bool,
        top: int = 1,
    ) -> Answer:
        extra = {**request, "top_p": 1, **self.body}
        # At least one alternative: asked for none, some servers give no log-probabilities at all.
        try:
            if self.endpoint == "chat":
                chat = await client.chat.completions.with_raw_response.create(
                    model=self.model,
                    messages=messages,  # type: ignore[arg-type]
                    extra_body=extra | ({"logprobs": True, "top_logprobs": top} if logprobs else {}),
                )
                return self._kept(read_answer(chat.http_response.text))
            plain = await client.completions.with_raw_response.create(
                model=self.model,
                prompt=as_plain_text(messages),
                extra_body=extra | ({"logprobs": top} if logprobs else {}),
            )
            return self._kept(read_answer(plain.http_response.text))
        except openai.NotFoundError as error:
            failure: KernelBenchError = await self._not_found(client, error)
        except openai.OpenAIError as error:
            failure = self._failure(error)
        except ValueError as error:
            failure = PolicyError(
                f"{self._place}: answered with {error} that a completion has; "
                "correct BASE_URL, which usually ends in /v1"
            )
        # Outside the handler: the library's error holds the request, and with it the key.
        raise failure

    def _kept(self, answer: Answer) -> Answer:
        if holds_key(answer.text, answer.model, answer.stop_reason):
            raise PolicyError(
                f"{self._place}: repeats the key in {KEY_VARIABLE} in its answer, so that it would be recorded; "
                "ask a server that keeps it to itself"
            )
        return answer

    # The first contact

    async def _first_contact(self, declared: str | None, emit: Callable[[tuple[str, str, str]], None]) -> None:
        async with self._client(RETRIES_AT_FIRST) as client:
            answer, kind = await self._kind_of_logprobs(client, declared)
            listed = await self._listed(client)
            if answer.model and not answer.model.startswith(self.model) and listed and self.model not in listed:
                raise PolicyError(
                    f'{self._place}: serves "{answer.model}", not "{self.model}"; there {_are(sorted(listed))}'
                )
            emit((kind, answer.model, str(listed.get(self.model))))

    async def _kind_of_logprobs(self, client: AsyncOpenAI, declared: str | None) -> tuple[Answer, str]:
        async def first_token(temperature: float, *, logprobs: bool = True) -> Answer:
            request = {"temperature": temperature, "max_tokens": 1, "seed": 0}
            return await self._ask(client, PROBE, request, logprobs=logprobs, top=5)

        if declared == "none":
            return await first_token(1, logprobs=False), declared
        try:
            warm = await first_token(1)
        except PolicyError:
            if declared is not None:
                raise
            warm = None
        if warm is None:
            # Some servers refuse a request for log-probabilities. If that was not it, this one fails as well.
            return await first_token(1, logprobs=False), "none"
        if warm.logprobs is None:
            if declared is not None:
                raise PolicyError(
                    f'{self._place}: gives no logprobs, and the policy file says logprobs = "{declared}"; '
                    "remove the line, or make the server return them"
                )
            return warm, "none"
        if declared is not None:
            return warm, declared
        cool = await first_token(0.5)
        return warm, self._told_apart(warm.first_top, cool.first_top)

    def _told_apart(self, warm: Mapping[str, float], cool: Mapping[str, float]) -> str:
        """Which of "raw" and "scaled", from log-probabilities of the same tokens at temperatures 1 and 0.5."""
        both = sorted(warm.keys() & cool.keys(), key=lambda token: warm[token])
        spread = warm[both[-1]] - warm[both[0]] if both else 0.0
        if spread < LEAST_SPREAD:
            raise PolicyError(
                f"{self._place}: cannot tell whether its logprobs are those of temperature 1; "
                'say logprobs = "raw" or "scaled" in a policy file (docs/policies.md)'
            )
        return "scaled" if (cool[both[-1]] - cool[both[0]]) / spread > 1.5 else "raw"

    async def _listed(self, client: AsyncOpenAI) -> dict[str, tuple[str, str]]:
        """Models by id, with what tells their weights apart; none where the server does not list them."""
        with suppress(openai.OpenAIError, ValueError, TypeError, AttributeError, KeyError):
            rows = (await client.models.with_raw_response.list()).http_response.json()["data"]
            # vLLM names the folder or repository, llama.cpp sizes.
            return {row["id"]: (str(row.get("root")), str(row.get("meta"))) for row in rows}
        return {}

    # What goes wrong

    @property
    def _place(self) -> str:
        return f"--policy={self.name}" + ("" if self.base_url in self.name else f": {self.base_url}")

    async def _not_found(self, client: AsyncOpenAI, error: openai.NotFoundError) -> KernelBenchError:
        listed = sorted(await self._listed(client))
        if listed and self.model not in listed:
            return PolicyError(f'{self._place}: has no model "{self.model}"; there {_are(listed)}')
        path = "/chat/completions" if self.endpoint == "chat" else "/completions"
        return PolicyError(
            f"{self._place}: has no {path} ({_message(error)}); correct BASE_URL, which usually ends in /v1"
        )

    def _failure(self, error: openai.OpenAIError) -> KernelBenchError:
        if isinstance(error, openai.APITimeoutError):
            return HarnessError(
                f"{self._place}: no answer in {self.timeout_s:g} s, however often it was asked; "
                "raise timeout_s or lower concurrency in a policy file"
            )
        if isinstance(error, openai.APIConnectionError):
            reason = type(error.__cause__).__name__ if error.__cause__ else "no connection"
            return PolicyError(f"{self._place}: cannot be reached ({reason}); start the server or correct BASE_URL")
        if not isinstance(error, openai.APIStatusError):
            return HarnessError(f"{self._place}: {_message(error)}; run again to resume")
        status = error.status_code
        if status in (401, 403):
            # Without the server's words: they may quote the key.
            wrong = "refuses the key in" if key_in(KEY_VARIABLE) else "wants a key; set"
            remedy = "; set it to one that the server accepts" if key_in(KEY_VARIABLE) else ""
            return PolicyError(f"{self._place}: {wrong} {KEY_VARIABLE} ({status}){remedy}")
        if status == 429 or status >= 500:
            remedy = "lower concurrency in a policy file" if status == 429 else "see the server's log"
            return HarnessError(f"{self._place}: keeps failing ({_message(error)}); {remedy}, and run again to resume")
        return PolicyError(
            f"{self._place}: refuses the request ({_message(error)}); "
            "correct the strategy's [sampling] or the policy file's body"
        )


def _are(models: Sequence[str]) -> str:
    shown = without_keys(", ".join(models[:5])) + (", ..." if len(models) > 5 else "")
    return f"{'is' if len(models) == 1 else 'are'} {shown}"


def _message(error: openai.OpenAIError) -> str:
    """Status and first line of what the server says, without the key."""
    body = getattr(error, "body", None)
    said = body.get("message") or body.get("detail") if isinstance(body, dict) else body
    line = first_line(str(said or error))
    status = getattr(error, "status_code", None)
    return line if status is None else f"{status}: {line}"
