"""Policies: the sources of candidates. ``--policy`` takes a name in ``POLICIES``, or a TOML file with such a name:

    policy = "hf:Qwen/Qwen3-0.6B"
    dtype = "float32"
    chat_template = false
    adapter = "runs/step3"

docs/policies.md lists the keys of each. Checking a policy imports neither torch nor transformers; loading it imports
its own module only.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from pytest_kernelbench.errors import PolicyError, suggestion
from pytest_kernelbench.policies.base import Policy
from pytest_kernelbench.policies.reading import NONE_GIVEN
from pytest_kernelbench.policies.replay import ReplayPolicy
from pytest_kernelbench.records import Completion, Task

if TYPE_CHECKING:
    from pytest_kernelbench.strategy import Strategy

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

__all__ = [
    "POLICIES",
    "Policy",
    "PolicyRow",
    "PolicySpec",
    "check_policy",
    "load_policy",
    "require_given",
    "require_logprobs",
    "require_self_certainty",
    "require_trainable",
]


class PolicyRow(NamedTuple):
    """One kind of policy. ``loader``: the name of its class in ``module``; the class itself if another project adds it.

    ``form``: how ``--policy`` is written for it. ``keys``: the keys that a TOML file may have. ``extra``: the extra of
    this package that installs its dependency, which has the same name.
    """

    module: str
    loader: str | type[Policy]
    form: str
    keys: tuple[str, ...] = ()
    extra: str | None = None


POLICIES: dict[str, PolicyRow] = {
    "tiny": PolicyRow("pytest_kernelbench.policies.tiny", "TinyPolicy", "tiny"),
    "tiny-common-fast": PolicyRow("pytest_kernelbench.policies.tiny", "TinyPolicy", "tiny-common-fast"),
    "hf": PolicyRow(
        "pytest_kernelbench.policies.hf",
        "HFPolicy",
        "hf:ID_OR_PATH",
        ("dtype", "chat_template", "adapter", "chat_template_kwargs", "max_tokens", "stop", "shards"),
    ),
    "openai": PolicyRow(
        "pytest_kernelbench.policies.openai_server",
        "OpenAIPolicy",
        "openai:MODEL@BASE_URL",
        (
            *("endpoint", "logprobs", "concurrency", "timeout_s", "body", "chat_template_kwargs", "max_tokens"),
            *("stop", "context", "rename", "omit", "n", "opens_reasoning", "alternatives", "served"),
        ),
        extra="openai",
    ),
    "tinker": PolicyRow(
        "pytest_kernelbench.policies.tinker_service",
        "TinkerPolicy",
        "tinker:MODEL",
        ("tokenizer", "base_url", "chat_template_kwargs", "max_tokens", "stop"),
        extra="tinker",
    ),
    "replay": PolicyRow("pytest_kernelbench.policies.replay", "ReplayPolicy", "replay:FILE.jsonl"),
    "pinned": PolicyRow("pytest_kernelbench.policies.pinned", "PinnedPolicy", "pinned:FOLDER"),
}
ADDRESS = re.compile(r"(?P<model>.+?)@(?P<base_url>https?://[^@?#\s]+)")
AT = "--policy="
NO_LOGPROBS_NEEDED = "a strategy that needs none (random, best-of-64)"


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicySpec:
    """``--policy``, parsed: ``name`` as written, ``kind`` a key of ``POLICIES``, ``argument`` after its colon.

    ``dtype``, ``chat_template`` and ``adapter`` come from a TOML file; None: the policy decides. ``settings``
    are the other keys of that file.
    """

    name: str
    kind: str
    argument: str = ""
    dtype: str | None = None
    chat_template: bool | None = None
    adapter: str | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)


def load_policy(spec: str, *, device: str) -> Policy:
    """The policy that ``spec`` names, its weights on ``device`` (``cpu``, ``cuda``, ``cuda:1``); PolicyError."""
    parsed = check_policy(spec)
    row = POLICIES[parsed.kind]
    if "shards" in parsed.settings:
        from pytest_kernelbench.policies.sharded import ShardedPolicy

        return ShardedPolicy(parsed, device=device)
    loader: Any = row.loader if isinstance(row.loader, type) else getattr(import_module(row.module), row.loader)
    policy: Policy = loader.load(parsed, device=device)
    return policy


def check_policy(spec: str, at: str = AT) -> PolicySpec:
    """Raise PolicyError for a policy that cannot be loaded. Finds what shows without loading it. ``at``: see below."""
    parsed = parse_policy(spec, at)
    extra = POLICIES[parsed.kind].extra
    if extra and find_spec(extra) is None:
        raise PolicyError(f"{at}{spec}: needs the package {extra}; pip install 'pytest-kernelbench[{extra}]'")
    if parsed.kind == "replay":
        ReplayPolicy.load(
            parsed, device="cpu"
        )  # reads the whole file, so that a broken row is found before the run begins
    return parsed


def check_answers(spec: str, tasks: Sequence[Task]) -> None:
    """Raise PolicyError for a replay file without a row for any of ``tasks``."""
    parsed = parse_policy(spec)
    if parsed.kind != "replay":
        return
    policy = ReplayPolicy.load(parsed, device="cpu")
    if policy.has_none_of(tasks):
        there = ", ".join(policy.tasks_without([])[:3])
        raise PolicyError(f"--policy={spec}: no row is for a task of this run; its rows are for {there}; name --tasks")


def require_logprobs(policy: Policy, strategy: str) -> None:
    """Raise PolicyError unless completions of ``policy`` carry log-probabilities."""
    if policy.gives_logprobs:
        return
    if isinstance(policy, ReplayPolicy):
        raise PolicyError(
            f'{policy.no_logprobs_at}: has no logprobs, which strategy "{strategy}" needs; add "logprobs" or '
            f'"sum_logprob" and "n_tokens", or choose {NO_LOGPROBS_NEEDED}'
        )
    because = getattr(policy, "no_logprobs_because", "gives no logprobs")
    raise PolicyError(
        f'--policy={policy.name}: {because}, which strategy "{strategy}" needs; '
        f"choose another policy, or {NO_LOGPROBS_NEEDED}"
    )


def require_given(completion: Completion, strategy: Strategy) -> None:
    """Raise PolicyError if a policy's first answer lacks the numbers that the strategy ranks by."""
    if strategy.needs_logprobs:
        require_given_logprobs(completion, strategy.name)
    if strategy.needs_self_certainty:
        require_given_self_certainty(completion, strategy.name)


def require_given_logprobs(completion: Completion, strategy: str) -> None:
    """Raise PolicyError if a policy's first answer has no log-probabilities, since later answers will have none either.

    An answer with log-probabilities for some of its tokens is no error here: it is left out of the ranking.
    """
    if completion.sum_logprob is None and completion.text.strip() and completion.logprobs_missing in (None, NONE_GIVEN):
        raise PolicyError(
            f"--policy={completion.policy}: gave no logprobs with its first answer, which strategy "
            f'"{strategy}" needs; choose another policy, or {NO_LOGPROBS_NEEDED}'
        )


def require_self_certainty(policy: Policy, strategy: str) -> None:
    """Raise PolicyError unless completions of ``policy`` carry the self-certainty of their distributions."""
    if getattr(policy, "gives_self_certainty", False):
        return
    remedy = getattr(policy, "self_certainty_remedy", "use tiny or hf:ID_OR_PATH, or choose another strategy")
    raise PolicyError(
        f"--policy={policy.name}: records the log-probabilities of the tokens drawn and not their distributions, which "
        f'strategy "{strategy}" needs; {remedy}'
    )


def require_given_self_certainty(completion: Completion, strategy: str) -> None:
    """Raise PolicyError if a policy's first answer has no self-certainty, since later answers will have none either."""
    if completion.self_certainty is None and completion.text.strip() and completion.logprobs_missing is None:
        raise PolicyError(
            f"--policy={completion.policy}: gave no alternatives to the tokens of its first answer, which strategy "
            f'"{strategy}" needs; serve top_logprobs, or choose another strategy'
        )


def require_trainable(policy: Policy, strategy: str) -> None:
    """Raise PolicyError unless a trainer can train ``policy``, which names the trainer in ``trained_by``."""
    if getattr(policy, "trained_by", None) is None:
        raise PolicyError(
            f'--policy={policy.name}: has no weights here to train, which strategy "{strategy}" needs; '
            "use tiny, hf:ID_OR_PATH or tinker:MODEL"
        )


def parse_policy(spec: str, at: str = AT) -> PolicySpec:
    """The parts of a ``--policy``; raises PolicyError for an unknown name, a missing file or a wrong key.

    ``at``: where ``spec`` is written, as the words before it in an error.
    """
    if spec.endswith(".toml") and spec.partition(":")[0] not in POLICIES:
        return _from_toml(spec, at)
    kind, plus, adapter = spec.partition("+")
    if plus and kind in POLICIES and ":" not in POLICIES[kind].form:
        if not (Path(adapter) / "adapter_config.json").is_file():
            raise PolicyError(f"{at}{spec}: {adapter or '+'} holds no adapter; write {kind}+FOLDER, as peft saves it")
        return PolicySpec(name=spec, kind=kind, adapter=adapter)
    kind, colon, argument = spec.partition(":")
    if kind not in POLICIES:
        forms = ", ".join(row.form for row in POLICIES.values())
        raise PolicyError(f"{at}{spec}: no such policy; {suggestion(kind, POLICIES, then=' ')}there are {forms}")
    form = POLICIES[kind].form
    if ":" not in form and colon:
        raise PolicyError(f'{at}{spec}: "{kind}" takes nothing after it; write {form}')
    if ":" in form and not argument:
        raise PolicyError(f"{at}{spec}: names no {form.partition(':')[2]}; write {form}")
    if kind == "replay" and not Path(argument).is_file():
        raise PolicyError(f"{at}{spec}: no such file; write {form}, one JSON object a line")
    # No id of the hub begins so.
    is_path = kind == "hf" and argument.startswith(("/", ".", "~"))
    if is_path and not any(Path(each).is_dir() for each in (argument, argument.rpartition("+")[0] or argument)):
        raise PolicyError(f"{at}{spec}: no such folder; name one that holds a model, or an id of the hub")
    if kind == "openai" and not ADDRESS.fullmatch(argument):
        raise PolicyError(
            # The address is not repeated: it may hold a password.
            f"{at}openai: write {form}, as in openai:my-model@http://127.0.0.1:8000/v1; "
            "a key goes into OPENAI_API_KEY, not into the address"
        )
    return PolicySpec(name=spec, kind=kind, argument=argument)


def _from_toml(spec: str, at: str) -> PolicySpec:
    try:
        table = tomllib.loads(Path(spec).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise PolicyError(f'{at}{spec}: no such file; it holds policy = "hf:ID_OR_PATH"') from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise PolicyError(f"{spec}: not TOML ({error}); correct the file") from None
    named = table.pop("policy", None)
    if not isinstance(named, str):
        raise PolicyError(f'{spec}: names no policy; add policy = "hf:ID_OR_PATH"')
    if named.endswith(".toml"):
        raise PolicyError(f'{spec}: policy "{named}" is a file again; name the policy itself')
    inner = parse_policy(named, f"{spec}: policy = ")
    known = ("policy", *POLICIES[inner.kind].keys)
    for key, value in table.items():
        if key not in VALUES:
            hint = suggestion(key, known, then=" ")
            raise PolicyError(f'{spec}: unknown key "{key}"; {hint}there are {", ".join(known)}')
        if key not in known:
            kinds = " and ".join(f"{kind}:" for kind, row in POLICIES.items() if key in row.keys)
            raise PolicyError(f'{spec}: "{key}" is for {kinds} policies, and policy is "{named}"; remove the line')
        is_right, words = VALUES[key]
        if not is_right(value):
            raise PolicyError(f"{spec}: {key} must be {words}, not {value!r}")
    fields = {key: table.pop(key) for key in ("dtype", "chat_template", "adapter") if key in table}
    return replace(inner, name=spec, settings=table, **fields)


def _one_of(*choices: str) -> tuple[Callable[[Any], bool], str]:
    return lambda value: value in choices, f"{', '.join(choices[:-1])} or {choices[-1]}"


def _is_table(value: Any) -> bool:
    return isinstance(value, dict)


def _is_whole(value: Any) -> bool:
    return type(value) is int and value > 0


def _are_words(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(each, str) and each for each in value)


def _are_names(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(each, str) for each in value.values())


def _is_body(value: Any) -> bool:
    return isinstance(value, dict) and not value.keys() & SET_BY_THE_STRATEGY


# Keys of a TOML file: a test of the value, and the words for a valid one.
SET_BY_THE_STRATEGY = frozenset(
    "model messages prompt temperature max_tokens seed n stream logprobs top_logprobs".split()
)
VALUES: dict[str, tuple[Callable[[Any], bool], str]] = {
    "dtype": _one_of("float32", "bfloat16", "float16"),
    "chat_template": (lambda value: isinstance(value, bool), "true or false"),
    "adapter": (lambda value: isinstance(value, str), "a folder or an id in quotes"),
    "shards": (lambda value: type(value) is int and value > 1, "a whole number from 2, one GPU each"),
    "endpoint": _one_of("chat", "completions"),
    "logprobs": _one_of("raw", "scaled", "none"),
    "concurrency": (lambda value: type(value) is int and value > 0, "a whole number from 1"),
    "timeout_s": (lambda value: type(value) in (int, float) and value > 0, "a number of seconds above 0"),
    "body": (_is_body, f"a table without {', '.join(sorted(SET_BY_THE_STRATEGY))}, which the strategy sets"),
    "chat_template_kwargs": (_is_table, "a table, such as {enable_thinking = false}"),
    "max_tokens": (_is_whole, "a whole number from 1"),
    "stop": (_are_words, "a list of texts"),
    "context": (_is_whole, "a whole number of tokens from 1"),
    "rename": (_are_names, 'a table of names, such as {max_tokens = "max_completion_tokens"}'),
    "omit": (_are_words, "a list of the names of parameters"),
    "n": (_is_whole, "a whole number from 1"),
    "opens_reasoning": (lambda value: isinstance(value, bool), "true or false"),
    "alternatives": (lambda value: type(value) is int and value > 1, "a whole number from 2"),
    "served": (lambda value: isinstance(value, str) and value != "", "the name in the server's answers"),
    "tokenizer": (lambda value: isinstance(value, str), "a folder or an id in quotes"),
    "base_url": (lambda value: isinstance(value, str), "an address in quotes"),
}
