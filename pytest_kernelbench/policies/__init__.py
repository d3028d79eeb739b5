"""Where candidates come from. ``--policy`` names a row of ``POLICIES``, or a TOML file that names one.

    policy = "hf:Qwen/Qwen3-0.6B"
    dtype = "float32"
    chat_template = false
    adapter = "runs/step3"

Checking a policy imports neither torch nor transformers; loading it imports its own module only.
"""

from __future__ import annotations

import difflib
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

from pytest_kernelbench.errors import PolicyError
from pytest_kernelbench.policies.base import Policy
from pytest_kernelbench.policies.replay import ReplayPolicy

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

__all__ = ["POLICIES", "Policy", "PolicySpec", "check_policy", "load_policy", "require_logprobs"]


class _Row(NamedTuple):
    module: str
    loader: str
    form: str


POLICIES: dict[str, _Row] = {
    "tiny": _Row("pytest_kernelbench.policies.tiny", "TinyPolicy", "tiny"),
    "tiny-common-fast": _Row("pytest_kernelbench.policies.tiny", "TinyPolicy", "tiny-common-fast"),
    "hf": _Row("pytest_kernelbench.policies.hf", "HFPolicy", "hf:ID_OR_PATH"),
    "replay": _Row("pytest_kernelbench.policies.replay", "ReplayPolicy", "replay:FILE.jsonl"),
}
DTYPES = ("float32", "bfloat16", "float16")
HF_KEYS = ("dtype", "chat_template", "adapter")
NO_LOGPROBS_NEEDED = "a strategy that needs none (random, best-of-64)"


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicySpec:
    """What ``--policy`` says: ``name`` as written, ``kind`` a key of ``POLICIES``, ``argument`` after its colon.

    ``dtype``, ``chat_template`` and ``adapter`` come from a TOML file; None: the policy decides.
    """

    name: str
    kind: str
    argument: str = ""
    dtype: str | None = None
    chat_template: bool | None = None
    adapter: str | None = None


def load_policy(spec: str, *, device: str) -> Policy:
    """The policy that ``spec`` names, its weights on ``device`` (``cpu``, ``cuda``, ``cuda:1``); PolicyError."""
    parsed = parse_policy(spec)
    row = POLICIES[parsed.kind]
    policy: Policy = getattr(import_module(row.module), row.loader).load(parsed, device=device)
    return policy


def check_policy(spec: str) -> None:
    """Raise PolicyError for a ``--policy`` that cannot be loaded, as far as can be seen without loading it."""
    parse_policy(spec)


def require_logprobs(policy: Policy, strategy: str) -> None:
    """Raise PolicyError unless every completion of ``policy`` carries log-probabilities."""
    if policy.gives_logprobs:
        return
    if isinstance(policy, ReplayPolicy):
        raise PolicyError(
            f'{policy.no_logprobs_at}: has no logprobs, which strategy "{strategy}" needs; add "logprobs" or '
            f'"sum_logprob" and "n_tokens", or choose {NO_LOGPROBS_NEEDED}'
        )
    raise PolicyError(
        f'--policy={policy.name}: gives no logprobs, which strategy "{strategy}" needs; '
        f"choose another policy, or {NO_LOGPROBS_NEEDED}"
    )


def parse_policy(spec: str) -> PolicySpec:
    """The parts of a ``--policy``; raises PolicyError for an unknown name, a missing file or a wrong key."""
    if spec.endswith(".toml") and spec.partition(":")[0] not in POLICIES:
        return _from_toml(spec)
    kind, colon, argument = spec.partition(":")
    if kind not in POLICIES:
        forms = ", ".join(row.form for row in POLICIES.values())
        raise PolicyError(f"--policy={spec}: no such policy; {_suggestion(kind, POLICIES)}there are {forms}")
    form = POLICIES[kind].form
    if ":" not in form and colon:
        raise PolicyError(f'--policy={spec}: "{kind}" takes nothing after it; write {form}')
    if ":" in form and not argument:
        raise PolicyError(f"--policy={spec}: names no {form.partition(':')[2]}; write {form}")
    if kind == "replay" and not Path(argument).is_file():
        raise PolicyError(f"--policy={spec}: no such file; write {form}, one JSON object a line")
    return PolicySpec(name=spec, kind=kind, argument=argument)


def _from_toml(spec: str) -> PolicySpec:
    try:
        table = tomllib.loads(Path(spec).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise PolicyError(f'--policy={spec}: no such file; it holds policy = "hf:ID_OR_PATH"') from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise PolicyError(f"{spec}: not TOML ({error}); correct the file") from None
    known = ("policy", *HF_KEYS)
    for key in table:
        if key not in known:
            raise PolicyError(f'{spec}: unknown key "{key}"; {_suggestion(key, known)}there are {", ".join(known)}')
    named = table.get("policy")
    if not isinstance(named, str):
        raise PolicyError(f'{spec}: names no policy; add policy = "hf:ID_OR_PATH"')
    if named.endswith(".toml"):
        raise PolicyError(f'{spec}: policy "{named}" is a file again; name the policy itself')
    inner = parse_policy(named)
    for key in HF_KEYS:
        if key in table and inner.kind != "hf":
            raise PolicyError(f'{spec}: "{key}" is for hf: policies, and policy is "{named}"; remove the line')
    _check_values(spec, table)
    return replace(inner, name=spec, **{key: table[key] for key in HF_KEYS if key in table})


def _check_values(spec: str, table: dict[str, Any]) -> None:
    if "dtype" in table and table["dtype"] not in DTYPES:
        raise PolicyError(f"{spec}: dtype {table['dtype']!r} is not known; there are {', '.join(DTYPES)}")
    if "chat_template" in table and not isinstance(table["chat_template"], bool):
        raise PolicyError(f"{spec}: chat_template must be true or false, not {table['chat_template']!r}")
    if "adapter" in table and not isinstance(table["adapter"], str):
        raise PolicyError(f"{spec}: adapter must be a folder or an id in quotes, not {table['adapter']!r}")


def _suggestion(word: str, known: Sequence[str] | dict[str, Any]) -> str:
    near = difflib.get_close_matches(word, list(known), n=1)
    return f'did you mean "{near[0]}"? ' if near else ""
