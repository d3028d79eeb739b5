"""``tinker:MODEL``: a base model, or weights saved as ``tinker://...``, sampled by the Tinker service.

Tinker's log-probabilities are at the temperature sampled at, so every completion is scored again, at
temperature 1, by the same weights. At temperature 1 the two coincide and once is enough.

The key is read by the SDK, from TINKER_API_KEY or from where ``tinker auth login`` put it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import tinker
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from pytest_kernelbench.errors import HarnessError, KernelBenchError, PolicyError
from pytest_kernelbench.policies.background import all_at_once, in_background
from pytest_kernelbench.policies.base import random_seed, version_of
from pytest_kernelbench.policies.keys import first_line, keep_keys_from_logs
from pytest_kernelbench.policies.prompt_tokens import prompt_tokens
from pytest_kernelbench.policies.reading import read_tokens
from pytest_kernelbench.prompting.prompts import build_messages
from pytest_kernelbench.prompting.reasoning import opens_reasoning
from pytest_kernelbench.records import Completion, Task, sha256_of

if TYPE_CHECKING:
    from pytest_kernelbench.policies import PolicySpec
    from pytest_kernelbench.strategy import Sampling

Scored = tuple[tuple[int, ...], tuple[float, ...]]  # tokens of an answer, and their log-probabilities
REFUSED = (tinker.BadRequestError, tinker.NotFoundError, tinker.UnprocessableEntityError)

keep_keys_from_logs("tinker", "httpx")


class TinkerPolicy:
    """``model`` on the service, prompted through its chat template where its tokenizer has one.

    ``tokenizer`` is a folder or an id, where the model's own tokenizer cannot be loaded; ``base_url`` another service;
    ``chat_template_kwargs`` are given to the template, ``max_tokens`` replaces the strategy's, ``stop`` are words that
    end an answer.
    The SDK retries, backs off and limits the number of requests at the same time.
    """

    label = None
    gives_logprobs = True
    trained_by = "tinker"

    def __init__(
        self,
        model: str,
        *,
        name: str,
        target: str = "cpu",
        tokenizer: str | None = None,
        base_url: str | None = None,
        chat_template_kwargs: Mapping[str, Any] | None = None,
        max_tokens: int | None = None,
        stop: Sequence[str] = (),
    ) -> None:
        """Open a session. Raises PolicyError where the key, the model or its tokenizer is not right."""
        self.name = name
        self.target = target
        self.saved = saved = model.startswith("tinker://")
        failure = None
        try:
            self.service = tinker.ServiceClient(base_url=base_url)
            self.client = self.service.create_sampling_client(
                model_path=model if saved else None, base_model=None if saved else model
            ).result()
        except (tinker.TinkerError, ValueError, OSError) as error:
            failure = self.failure(error)
        if failure is not None:
            # Outside the handler: the SDK's error holds the request, and with it the key.
            raise failure
        self.base_model: str = self.client.get_base_model()
        self.tokenizer = self._tokenizer(tokenizer)
        self.template_kwargs = chat_template_kwargs
        self.max_tokens = max_tokens
        self.stop = list(stop)
        changes = [sorted((chat_template_kwargs or {}).items()), max_tokens, self.stop]
        identity = [model, self.base_model, target]
        self.version = version_of([], *identity, *(changes if any(changes) else []))

    @classmethod
    def load(cls, spec: PolicySpec, *, device: str) -> TinkerPolicy:
        target = "cuda" if device.startswith("cuda") else "cpu"
        return cls(spec.argument, name=spec.name, target=target, **spec.settings)

    def sample(
        self, task: Task, sampling: Sampling, *, seed: int, indices: Sequence[int], advice: str = ""
    ) -> Iterator[Completion]:
        """See ``Policy.sample``. Raises HarnessError where the service fails after all retries."""
        prompt = self.prompt_ids(task, sampling.asked, advice=advice)
        asked = sha256_of(self._spell(prompt))
        opened = opens_reasoning(self._spell(prompt))

        async def draw(index: int, emit: Callable[[Completion], None]) -> None:
            start = time.perf_counter()
            tokens, sampled, logprobs, stop_reason = await self._draw(
                prompt, sampling, random_seed(seed, task.id, index) >> 32
            )
            # Stopped by a word, it has no end token.
            ended = stop_reason == "stop" and tokens[-1:] == (self.tokenizer.eos_token_id,)
            read = read_tokens(
                tokens,
                "stop" if ended else "length" if stop_reason == "length" else "word",
                decode=self._decode,
                spell=self._spell,
                opened=opened,
                answer=sampling.answer,
            )
            emit(
                Completion(
                    task=task.id,
                    index=index,
                    text=read.text,
                    reasoning=read.reasoning,
                    cut_off=read.cut_off,
                    policy=self.name,
                    policy_version=self.version,
                    seed=seed,
                    token_ids=tokens,
                    logprobs=logprobs,
                    sampling_logprobs=None if sampling.temperature == 1 else sampled,
                    stop_reason=stop_reason,
                    answer_tokens=read.answer_tokens,
                    code_tokens=read.code_tokens,
                    prompt_sha256=asked,
                    prompt_tokens=len(prompt),
                    seconds=time.perf_counter() - start,
                )
            )

        async def draw_all(emit: Callable[[Completion], None]) -> None:
            await all_at_once([draw(index, emit) for index in indices])

        yield from in_background(draw_all)

    def score(
        self,
        task: Task,
        answer: str,
        token_ids: Sequence[Sequence[int]],
        *,
        temperature: float = 1.0,
        advice: str = "",
    ) -> list[tuple[float, ...]]:
        """Log-probabilities (nats) of each completion's tokens, as in ``CausalLMPolicy``; at temperature 1 only."""
        if temperature != 1:
            raise PolicyError(f"--policy={self.name}: Tinker scores at temperature 1; set temperature = 1")
        prompt = self.prompt_ids(task, answer, advice=advice)
        distinct = [row for row in dict.fromkeys(map(tuple, token_ids)) if row]

        async def look_up(row: tuple[int, ...], emit: Callable[[Scored], None]) -> None:
            emit((row, await self._scored(prompt, row)))

        async def look_all_up(emit: Callable[[Scored], None]) -> None:
            await all_at_once([look_up(row, emit) for row in distinct])

        found = dict(in_background(look_all_up))
        return [found.get(tuple(row), ()) for row in token_ids]

    async def _scored(self, prompt: Sequence[int], tokens: Sequence[int]) -> tuple[float, ...]:
        try:
            whole = tinker.ModelInput.from_ints([*prompt, *tokens])
            scored = await self.client.compute_logprobs(whole, prompt_logprobs_last_n=len(tokens))
            logprobs = scored[-len(tokens) :]
            if None in logprobs or len(logprobs) != len(tokens):
                raise ValueError("an answer came back without log-probabilities")
            return tuple(map(float, logprobs))
        except (tinker.TinkerError, ValueError, OSError) as error:
            failure = self.failure(error)
        raise failure

    def prompt_ids(self, task: Task, answer: str, *, advice: str = "") -> list[int]:
        """Token ids of the prompt that asks for ``answer`` ("module" or "forward_body"); ``advice`` is a teacher's."""
        messages = build_messages(task, answer, self.target, advice=advice)
        chat_template = self.tokenizer.chat_template is not None
        return prompt_tokens(
            self.tokenizer, messages, chat_template=chat_template, template_kwargs=self.template_kwargs
        )

    def _decode(self, token_ids: Sequence[int]) -> str:
        return str(self.tokenizer.decode(list(token_ids), skip_special_tokens=True))

    def _spell(self, token_ids: Sequence[int]) -> str:
        return str(self.tokenizer.decode(list(token_ids), skip_special_tokens=False))

    async def _draw(
        self, prompt: list[int], sampling: Sampling, seed: int
    ) -> tuple[tuple[int, ...], tuple[float, ...], tuple[float, ...], str]:
        """Tokens, their log-probabilities as drawn and at temperature 1, and why they stop."""
        parameters = tinker.SamplingParams(
            max_tokens=self.max_tokens or sampling.max_tokens,
            stop=self.stop or None,
            temperature=sampling.temperature,
            seed=seed,
            top_k=-1,
            top_p=1.0,
        )
        try:
            answer = await self.client.sample(tinker.ModelInput.from_ints(prompt), 1, parameters)
            (sequence,) = answer.sequences
            tokens = tuple(map(int, sequence.tokens))
            sampled = sequence.logprobs
            logprobs = sampled
            if sampled is not None and sampling.temperature != 1 and tokens:
                whole = tinker.ModelInput.from_ints([*prompt, *tokens])
                scored = await self.client.compute_logprobs(whole, prompt_logprobs_last_n=len(tokens))
                logprobs = scored[-len(tokens) :]
            if logprobs is None or None in logprobs or len(logprobs) != len(tokens):
                raise ValueError("a completion came without log-probabilities")
            return tokens, tuple(sampled or ()), tuple(map(float, logprobs)), str(sequence.stop_reason)
        except (tinker.TinkerError, ValueError, OSError) as error:
            failure = self.failure(error)
        raise failure

    def _tokenizer(self, named: str | None) -> PreTrainedTokenizerBase:
        try:
            return AutoTokenizer.from_pretrained(named) if named else self.client.get_tokenizer()
        except (OSError, ValueError, ImportError) as error:
            raise PolicyError(
                f"--policy={self.name}: no tokenizer for {named or self.client.get_base_model()} ({_said(error)}); "
                'name a folder or an id that has it, tokenizer = "..." in a policy file'
            ) from None

    def failure(self, error: Exception) -> KernelBenchError:
        """An error of the SDK as an error of this package, without the request and the key that it may hold."""
        if isinstance(error, tinker.AuthenticationError | tinker.PermissionDeniedError):
            return PolicyError(
                f"--policy={self.name}: Tinker refuses the key ({error.status_code}); "
                "set TINKER_API_KEY to one that it accepts, or log in with tinker auth login"
            )
        if type(error) is tinker.TinkerError:
            return PolicyError(
                f"--policy={self.name}: no key for Tinker ({_said(error)}); "
                "set TINKER_API_KEY, or log in with tinker auth login"
            )
        category = error.category if isinstance(error, tinker.RequestFailedError) else None
        if category is tinker.types.RequestErrorCategory.User or isinstance(error, REFUSED):
            return PolicyError(
                f"--policy={self.name}: Tinker refuses the request ({_said(error)}); "
                "correct the model's name or the strategy's [sampling]"
            )
        return HarnessError(f"--policy={self.name}: Tinker failed ({_said(error)}); run again to resume")


def _said(error: Exception) -> str:
    return first_line(str(error)) or type(error).__name__
