"""Requests to a server with OpenAI's interface: one question, its retries, and its errors as one line."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import Any

import openai
from openai import AsyncOpenAI

from pytest_kernelbench.errors import HarnessError, KernelBenchError, PolicyError
from pytest_kernelbench.policies.keys import first_line, holds_key, keep_keys_from_logs, key_in, without_keys
from pytest_kernelbench.policies.openai_answers import NO_PATH, Answer, read_answers
from pytest_kernelbench.policies.openai_bodies import ServerError
from pytest_kernelbench.policies.openai_dialect import Dialect
from pytest_kernelbench.prompting.prompts import as_plain_text

KEY_VARIABLE = "OPENAI_API_KEY"
# The client waits 0.5, 1, 2, 4 and then 8 s, or as long as Retry-After says, up to two minutes.
RETRIES = 8
# The first request is made while the policy is loaded and a person waits: a wrong address must fail soon.
RETRIES_AT_FIRST = 2
CONNECT_S = 10
LISTING_S = 20
# Codes of a refusal (400) of this prompt alone: Azure, OpenAI.
FILTERED = ("content_filter", "content_policy_violation")
NO_CREDIT = ("insufficient_quota", "billing_hard_limit_reached", "insufficient_credits")
# A connection that ends within an answer, as opposed to one that cannot be made.
BREAKS = ("RemoteProtocolError", "ReadError", "WriteError")
LONGEST_RETRY_AFTER_S = 120
# The library takes a status of 200 for success: an error in such a body is retried here, after the same waits.
FIRST_WAIT_S, LONGEST_WAIT_S = 0.5, 8.0

keep_keys_from_logs("openai", "httpx", "httpx2")


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """``model`` behind ``base_url``; ``name`` is the policy's. ``body`` is added to every request."""

    name: str
    model: str
    base_url: str
    endpoint: str
    timeout_s: float
    body: Mapping[str, Any]
    dialect: Dialect = field(default_factory=Dialect)

    def client(self, retries: int = RETRIES) -> AsyncOpenAI:
        """A client with the key as it is set now, which is kept nowhere else."""
        return AsyncOpenAI(
            # The client demands a key; most local servers do not.
            api_key=key_in(KEY_VARIABLE) or "none",
            base_url=self.base_url,
            max_retries=retries,
            timeout=openai.Timeout(self.timeout_s, connect=CONNECT_S),
        )

    async def ask(
        self,
        client: AsyncOpenAI,
        messages: list[dict[str, str]],
        request: Mapping[str, Any],
        *,
        logprobs: bool,
        top: int = 1,
    ) -> list[Answer]:
        """The choices of one answer. Raises PolicyError, and HarnessError where the server fails after all retries."""
        failed = 0
        while True:
            asked = {**request, "top_p": 1, **(self.dialect.logprobs(self.endpoint, top) if logprobs else {})}
            sent, said = self.dialect.request(asked), self.dialect.messages(messages)
            failure: KernelBenchError | None = None
            try:
                return [
                    self._kept(each) for each in read_answers(await self._post(client, said, {**sent, **self.body}))
                ]
            except (openai.BadRequestError, openai.UnprocessableEntityError) as error:
                if error.code in FILTERED:
                    return [Answer(text="", model="", stop_reason="content_filter")] * int(request.get("n", 1))
                words = str(error.body or error)
                if not (self.dialect.learn_roles(words, said) or self.dialect.learn(error.body, words, sent)):
                    failure = self._failure(error)
            except openai.NotFoundError as error:
                failure = await self._not_found(client, error)
            except openai.OpenAIError as error:
                failure = self._failure(error)
            except ServerError as error:
                failed += 1
                if not error.passing or failed > client.max_retries:
                    failure = self._server_error(error)
            except ValueError as error:
                failure = self._no_completion(error)
            if failure is not None:
                # Outside the handler: the library's error holds the request, and with it the key.
                raise failure
            if failed:
                await asyncio.sleep(min(FIRST_WAIT_S * 2 ** (failed - 1), LONGEST_WAIT_S))

    async def _post(self, client: AsyncOpenAI, messages: list[dict[str, str]], sent: Mapping[str, Any]) -> str:
        if self.endpoint == "chat":
            chat = await client.chat.completions.with_raw_response.create(
                model=self.model,
                messages=messages,  # type: ignore[arg-type]
                extra_body=dict(sent),
            )
            return chat.http_response.text
        plain = await client.completions.with_raw_response.create(
            model=self.model, prompt=as_plain_text(messages), extra_body=dict(sent)
        )
        return plain.http_response.text

    def _kept(self, answer: Answer) -> Answer:
        if holds_key(answer.text, answer.reasoning, answer.model, answer.stop_reason):
            raise PolicyError(
                f"{self.place}: repeats the key in {KEY_VARIABLE} in its answer, so that it would be recorded; "
                "ask a server that keeps it to itself"
            )
        return answer

    async def listed(self, client: AsyncOpenAI) -> dict[str, dict[str, Any]]:
        """Models by id, as the server lists them; none where it does not."""
        with suppress(openai.OpenAIError, ValueError, TypeError, AttributeError, KeyError):
            listed = (await client.models.with_raw_response.list(timeout=LISTING_S)).http_response.json()
            rows = listed["data"] if isinstance(listed, dict) else listed
            return {row["id"]: dict(row) for row in rows}
        return {}

    # Errors

    @property
    def place(self) -> str:
        """The beginning of an error: the policy and the address."""
        return f"--policy={self.name}" + ("" if self.base_url in self.name else f": {self.base_url}")

    async def _not_found(self, client: AsyncOpenAI, error: openai.NotFoundError) -> KernelBenchError:
        listed = sorted(await self.listed(client))
        if listed and self.model not in listed:
            return PolicyError(f'{self.place}: has no model "{self.model}"; there {are(listed)}')
        return self._no_path(_message(error))

    def _no_path(self, said: str) -> PolicyError:
        path = "/chat/completions" if self.endpoint == "chat" else "/completions"
        return PolicyError(f"{self.place}: has no {path} ({said}); correct BASE_URL, which usually ends in /v1")

    def _no_completion(self, error: ValueError) -> PolicyError:
        if str(error).startswith(NO_PATH):
            return self._no_path(without_keys(str(error).removeprefix(NO_PATH)))
        if str(error).startswith("a content"):
            return PolicyError(
                f"{self.place}: answered with {error}, which cannot be read; have the server answer in text"
            )
        return PolicyError(
            f"{self.place}: answered with {error} that a completion has; correct BASE_URL, which usually ends in /v1"
        )

    def _server_error(self, error: ServerError) -> KernelBenchError:
        said = without_keys(str(error))
        if not error.passing:
            return self._refused(f"200: {said}")
        return HarnessError(f"{self.place}: keeps failing (200: {said}); see the server's log, and run again to resume")

    def _refused(self, said: str) -> PolicyError:
        remedy = "correct the strategy's [sampling] or the policy file's body"
        if "temperature" in said and "default (1)" in said:
            remedy = "set sampling.temperature=1, the only one that it takes"
        return PolicyError(f"{self.place}: refuses the request ({said}); {remedy}")

    def _failure(self, error: openai.OpenAIError) -> KernelBenchError:
        if isinstance(error, openai.APITimeoutError):
            return HarnessError(
                f"{self.place}: no answer in {self.timeout_s:g} s, however often it was asked; "
                "raise timeout_s or lower concurrency in a policy file"
            )
        if isinstance(error, openai.APIConnectionError):
            reason = type(error.__cause__).__name__ if error.__cause__ else "no connection"
            if reason in BREAKS:
                return HarnessError(
                    f"{self.place}: breaks off its answers ({reason}); see the server's log, and run again to resume"
                )
            return PolicyError(f"{self.place}: cannot be reached ({reason}); start the server or correct BASE_URL")
        if not isinstance(error, openai.APIStatusError):
            return HarnessError(f"{self.place}: {_message(error)}; run again to resume")
        status = error.status_code
        if status in (401, 403):
            # Without the server's words: they may quote the key.
            wrong = "refuses the key in" if key_in(KEY_VARIABLE) else "wants a key; set"
            remedy = "; set it to one that the server accepts" if key_in(KEY_VARIABLE) else ""
            return PolicyError(f"{self.place}: {wrong} {KEY_VARIABLE} ({status}){remedy}")
        if status == 402 or error.code in NO_CREDIT:
            return HarnessError(
                f"{self.place}: has no credit left ({_message(error)}); add some, and run again to resume"
            )
        if (wait := _wait_of(error)) > LONGEST_RETRY_AFTER_S:
            return HarnessError(
                f"{self.place}: keeps failing ({_message(error)}); it asks to wait for {wait:.0f} s: "
                "run again then to resume"
            )
        if status == 429 or status >= 500:
            remedy = "lower concurrency in a policy file" if status == 429 else "see the server's log"
            return HarnessError(f"{self.place}: keeps failing ({_message(error)}); {remedy}, and run again to resume")
        return self._refused(_message(error))


def _wait_of(error: openai.APIStatusError) -> float:
    """Seconds that ``Retry-After`` asks to wait, as a number or as a date; 0 without one."""
    said = error.response.headers.get("retry-after", "")
    with suppress(ValueError):
        return float(said)
    with suppress(ValueError, TypeError):
        return parsedate_to_datetime(said).timestamp() - time.time()
    return 0.0


def _text_of(said: str) -> str:
    """The title of a page, as a proxy answers with; any other text as it is."""
    if not said.lstrip().startswith("<"):
        return said
    title = re.search(r"<title>(.*?)</title>", said, re.IGNORECASE | re.DOTALL)
    return title[1] if title else " ".join(re.sub(r"<[^<>]*>", " ", said).split())


def are(models: Sequence[str]) -> str:
    """``is a``, ``are a, b``: at most five of them, without keys."""
    shown = without_keys(", ".join(models[:5])) + (", ..." if len(models) > 5 else "")
    return f"{'is' if len(models) == 1 else 'are'} {shown}"


def _message(error: openai.OpenAIError) -> str:
    """Status and first line of the server's message, without the key."""
    body = getattr(error, "body", None)
    said = body.get("message") or body.get("detail") or body.get("error") if isinstance(body, dict) else body
    line = first_line(_text_of(str(said or error)))
    status = getattr(error, "status_code", None)
    return line if status is None else f"{status}: {line}"
