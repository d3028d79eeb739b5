"""``openai:MODEL@BASE_URL``: any server that speaks OpenAI's interface (vLLM, SGLang, llama.cpp, OpenAI, ...).

Surprisal needs log-probabilities at temperature 1. Some servers return them ("raw"), others log-probabilities at
the temperature sampled at ("scaled"), and few say which. So it is measured once, when the policy is loaded: the first
token of one prompt is requested at temperatures 1 and 0.5, and the differences between its likeliest tokens are equal
(raw) or double (scaled). A policy file's ``logprobs`` overrides the measurement.

The key is read from OPENAI_API_KEY whenever it is needed and kept nowhere.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from openai import AsyncOpenAI

from pytest_kernelbench.errors import PolicyError
from pytest_kernelbench.policies.background import all_at_once, in_background
from pytest_kernelbench.policies.base import random_seed, version_of
from pytest_kernelbench.policies.openai_answers import Answer
from pytest_kernelbench.policies.openai_client import RETRIES_AT_FIRST, Server, are
from pytest_kernelbench.policies.openai_dialect import Dialect
from pytest_kernelbench.policies.openai_numbers import whole_number
from pytest_kernelbench.prompting.prompts import build_messages, sha256_of_messages
from pytest_kernelbench.records import Completion, Task

if TYPE_CHECKING:
    from pytest_kernelbench.policies import PolicySpec
    from pytest_kernelbench.strategy import Sampling

CONCURRENCY = 32
TIMEOUT_S = 600.0
PROBE = [{"role": "user", "content": "Write a Python function that adds two tensors."}]
# The end of an address that is copied from a request's.
ENDPOINT = re.compile(r"(?:/chat)?/completions/*\Z")
# In nats, between the likeliest first tokens: below it, a measurement could be rounding.
LEAST_SPREAD = 0.2
CERTAINTY_REMEDY = (
    "set alternatives = 20 in a policy file, where the server gives log-probabilities of temperature 1, "
    "or choose another strategy"
)
SCALED = "gives log-probabilities of the temperature sampled at and not of temperature 1 (docs/policies.md)"
# English and Python have fewer characters a token than this with every tokenizer met so far.
MOST_CHARACTERS_A_TOKEN = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSettings:
    """The keys of a policy file about a server.

    ``endpoint`` is "chat", or "completions" for plain text without a chat template. At most ``concurrency`` requests
    are under way at once. ``logprobs`` is the kind of the server's log-probabilities: "raw" (temperature 1), "scaled",
    or "none"; None measures it. ``body`` is added to every request.

    ``max_tokens`` replaces the strategy's; ``stop`` are words that end an answer; ``context`` is how many tokens prompt
    and answer may have together, where the server does not say. ``rename`` and ``omit`` are parameters that the server
    takes by another name or not at all; parameters that a refusal names need not be listed. ``n`` choices are asked for
    at once, so that their prompt is computed once by a server that shares nothing between requests.
    ``opens_reasoning``: the template opens ``<think>`` itself, so that answers begin inside it. ``alternatives`` is how
    many of the likeliest tokens are asked for in the place of each, over which the self-certainty is taken; None: it is
    not recorded. ``served`` is the model's name in the server's answers, where the name that is asked for is a
    deployment's (Azure).
    """

    endpoint: str = "chat"
    logprobs: str | None = None
    concurrency: int = CONCURRENCY
    timeout_s: float = TIMEOUT_S
    body: Mapping[str, Any] = field(default_factory=dict)
    chat_template_kwargs: Mapping[str, Any] = field(default_factory=dict)
    max_tokens: int | None = None
    stop: Sequence[str] = ()
    context: int | None = None
    rename: Mapping[str, str] = field(default_factory=dict)
    omit: Sequence[str] = ()
    n: int = 1
    opens_reasoning: bool = False
    alternatives: int | None = None
    served: str | None = None

    @property
    def whole_body(self) -> dict[str, Any]:
        """The parameters that are added to every request."""
        template = {"chat_template_kwargs": dict(self.chat_template_kwargs)} if self.chat_template_kwargs else {}
        stop = {"stop": list(self.stop)} if self.stop else {}
        return {**template, **stop, **self.body}


class OpenAIPolicy:
    """``model`` behind ``base_url``.

    ``logprobs`` of a completion are raw; scaled log-probabilities are its ``sampling_logprobs``. Completion i is asked
    for with a seed of its own, or, where ``n`` choices are asked for at once, is choice i mod n of request i div n,
    which has one. Whether the same seed gives the same text is up to the server; see docs/policies.md.
    """

    label = None
    # Needs no resource of this machine: answers can be sampled while a candidate is timed.
    needs_a_device = False

    def __init__(
        self, model: str, base_url: str, *, name: str, target: str = "cpu", settings: ServerSettings | None = None
    ) -> None:
        """Ask for a token or two. Raises PolicyError where the server, the key or the model is not right."""
        self.name = name
        self.target = target
        self.settings = settings = settings or ServerSettings()
        self.server = Server(
            name=name,
            model=model,
            base_url=base_url,
            endpoint=settings.endpoint,
            timeout_s=settings.timeout_s,
            body=settings.whole_body,
            dialect=Dialect(settings.rename, settings.omit),
        )
        ((self.logprobs, served, row),) = in_background(partial(self._first_contact, settings.logprobs))
        self.context = settings.context or _context_in(row)
        self.gives_logprobs = self.logprobs == "raw"
        self.gives_self_certainty = self.gives_logprobs and settings.alternatives is not None
        self.self_certainty_remedy = CERTAINTY_REMEDY
        self.no_logprobs_because = SCALED if self.logprobs == "scaled" else "gives no logprobs"
        # vLLM names the folder or repository, llama.cpp sizes.
        listed = None if row is None else (str(row.get("root")), str(row.get("meta")))
        identity = [model, base_url, served, str(listed), target, settings.endpoint, self.logprobs]
        changes = {key: value for key in CHANGES if (value := getattr(settings, key)) != getattr(ServerSettings(), key)}
        self.version = version_of([], *identity, sorted(self.server.body.items()), *([changes] if changes else []))

    @classmethod
    def load(cls, spec: PolicySpec, *, device: str) -> OpenAIPolicy:
        model, _, base_url = spec.argument.partition("@http")
        target = "cuda" if device.startswith("cuda") else "cpu"
        settings = ServerSettings(**spec.settings)
        return cls(
            model, ENDPOINT.sub("", f"http{base_url}").rstrip("/"), name=spec.name, target=target, settings=settings
        )

    def sample(
        self, task: Task, sampling: Sampling, *, seed: int, indices: Sequence[int], advice: str = ""
    ) -> Iterator[Completion]:
        """See ``Policy.sample``. Raises HarnessError where the server fails after all retries."""
        messages = build_messages(task, sampling.asked, self.target, advice=advice)
        n, max_tokens = self.settings.n, self.settings.max_tokens or sampling.max_tokens
        self._check_room(messages, max_tokens, task)
        wanted: dict[int, list[int]] = {}
        for index in indices:
            wanted.setdefault(index - index % n, []).append(index)

        async def ask_all(emit: Callable[[tuple[int, Answer, float]], None]) -> None:
            in_turn = asyncio.Semaphore(self.settings.concurrency)

            async def ask(first: int, places: Sequence[int]) -> None:
                request = {
                    "temperature": sampling.temperature,
                    "max_tokens": max_tokens,
                    # 31 bits: llama.cpp keeps 32, and a seed of 32 set bits means "at random" there.
                    "seed": random_seed(seed, task.id, first) >> 32,
                    **({"n": n} if n > 1 else {}),
                }
                async with in_turn:
                    start = time.perf_counter()
                    answers = await self.server.ask(
                        client, messages, request, logprobs=self.logprobs != "none", top=self.settings.alternatives or 1
                    )
                    seconds = time.perf_counter() - start
                if len(answers) < n:
                    raise PolicyError(
                        f"{self.server.place}: gives {len(answers)} of {n} choices; set n = 1 in the policy file"
                    )
                for index in places:
                    emit((index, answers[index - first], seconds))

            async with self.server.client() as client:
                await all_at_once([ask(first, places) for first, places in wanted.items()])

        question = sha256_of_messages(messages)
        for index, answer, seconds in in_background(ask_all):
            read = answer.read(answer=sampling.answer, opened=self.settings.opens_reasoning)
            yield Completion(
                task=task.id,
                index=index,
                text=read.text,
                reasoning=read.reasoning,
                cut_off=read.cut_off,
                policy=self.name,
                policy_version=self.version,
                seed=seed,
                token_ids=answer.token_ids,
                **self._scores(answer),
                stop_reason=answer.stop_reason,
                answer_tokens=read.answer_tokens,
                code_tokens=read.code_tokens,
                prompt_sha256=question,
                prompt_tokens=answer.prompt_tokens,
                seconds=seconds,
            )

    def _scores(self, answer: Answer) -> dict[str, Any]:
        """The fields of a completion that hold an answer's log-probabilities, raw or scaled."""
        if self.logprobs == "scaled":
            return {"sampling_logprobs": answer.logprobs}
        if self.logprobs == "none":
            return {}
        certainty = answer.self_certainty if self.gives_self_certainty else None
        return {"logprobs": answer.logprobs, "logprobs_missing": answer.missing, "self_certainty": certainty}

    def tokens_left(self, task: Task, answer: str, advice: str) -> int | None:
        """The most tokens that an answer may have; None if the server does not tell the length of its context."""
        messages = build_messages(task, answer, self.target, advice=advice)
        return None if self.context is None else self.context - _least_tokens(messages)

    def _check_room(self, messages: Sequence[Mapping[str, str]], max_tokens: int, task: Task) -> None:
        """Raise, before the first request, for a prompt that does not fit: every request would be refused or cut."""
        if self.context is None:
            return
        least = _least_tokens(messages)
        if least + max_tokens > self.context:
            raise PolicyError(
                f"{self.server.place}: the prompt of {task.short_id} has {least} tokens or more and an answer may "
                f"have {max_tokens}, and the model's context holds {self.context}; "
                "lower max_tokens, or serve a longer context"
            )

    # The first contact

    async def _first_contact(
        self, declared: str | None, emit: Callable[[tuple[str, str, Mapping[str, Any] | None]], None]
    ) -> None:
        model = self.server.model
        async with self.server.client(RETRIES_AT_FIRST) as client:
            answer, kind = await self._kind_of_logprobs(client, declared)
            listed = await self.server.listed(client)
            served = self.settings.served or model
            # A variant's name has more after a colon, which is in no list and no answer (OpenRouter's model:nitro).
            right = answer.model.startswith(served) or model.startswith(f"{answer.model}:")
            if answer.model and not right and listed and model not in listed:
                raise PolicyError(
                    f'{self.server.place}: serves "{answer.model}", not "{served}"; there {are(sorted(listed))}; '
                    f'if this is a deployment\'s name, write served = "{answer.model}" into a policy file'
                )
            emit((kind, answer.model, listed.get(model)))

    async def _kind_of_logprobs(self, client: AsyncOpenAI, declared: str | None) -> tuple[Answer, str]:
        async def first_token(temperature: float, *, logprobs: bool = True) -> Answer:
            request = {"temperature": temperature, "max_tokens": 1, "seed": 0}
            return (await self.server.ask(client, PROBE, request, logprobs=logprobs, top=5))[0]

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
        # A first token that is reasoning may have none where the answer's tokens have them.
        thought = warm.reasoning is not None and not warm.text
        if warm.logprobs is None and not thought:
            if declared is not None:
                raise PolicyError(
                    f'{self.server.place}: gives no logprobs, and the policy file says logprobs = "{declared}"; '
                    "remove the line, or make the server return them"
                )
            return warm, "none"
        if declared is not None:
            return warm, declared
        try:
            cool = await first_token(0.5)
        except PolicyError as error:
            if "sampling.temperature=1" not in str(error):
                raise
            return warm, "raw"  # of the only temperature there is
        return warm, self._told_apart(warm.first_top, cool.first_top)

    def _told_apart(self, warm: Mapping[str, float], cool: Mapping[str, float]) -> str:
        """Which of "raw" and "scaled", from log-probabilities of the same tokens at temperatures 1 and 0.5."""
        both = sorted(warm.keys() & cool.keys(), key=lambda token: warm[token])
        spread = warm[both[-1]] - warm[both[0]] if both else 0.0
        if spread < LEAST_SPREAD:
            raise PolicyError(
                f"{self.server.place}: cannot tell whether its logprobs are those of temperature 1; "
                'say logprobs = "raw" or "scaled" in a policy file (docs/policies.md)'
            )
        return "scaled" if (cool[both[-1]] - cool[both[0]]) / spread > 1.5 else "raw"


# Settings beside the body that change the samples; a setting with another value than its default is in the version.
CHANGES = ("max_tokens", "n", "opens_reasoning", "omit")


def _least_tokens(messages: Sequence[Mapping[str, str]]) -> int:
    return sum(len(message["content"]) for message in messages) // MOST_CHARACTERS_A_TOKEN


def _context_in(row: Mapping[str, Any] | None) -> int | None:
    """How many tokens prompt and answer may have, as vLLM and SGLang list it."""
    return whole_number((row or {}).get("max_model_len")) or None
