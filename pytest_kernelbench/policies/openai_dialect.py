"""A server's names for request parameters, and the parameters that it refuses: declared, or learnt from an error."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from pytest_kernelbench.prompting.prompts import without_system

# Words of a refusal about an unknown parameter, as opposed to a wrong value.
UNKNOWN = re.compile(
    r"unsupported|unrecogni[sz]ed|unknown|unexpected|extra[ _](?:inputs?|fields?|forbidden)|"
    r"not (?:permitted|allowed|supported)|(?:does|do) not support|is deprecated|no such",
    re.IGNORECASE,
)
# Words of a refusal of a system's message: templates of Gemma 2 and Mistral, OpenAI's first reasoning models, Google.
NO_SYSTEM = re.compile(
    r"(?:system|developer)\b.{0,60}?(?:not|un)[ -]?(?:supported|enabled|allowed)|"
    r"(?:do(?:es)?n't|not) support '?(?:system|developer)|roles must alternate",
    re.IGNORECASE,
)
# Parameters that may be left out without changing the request; temperature and top_p only if they are 1, the default.
NEEDLESS = frozenset(("seed", "top_p", "temperature"))
LENGTHS = ("max_completion_tokens", "max_output_tokens", "max_new_tokens", "max_tokens")
# How many alternatives of a token are asked for. Servers differ in how many they allow.
TOPS = (20, 5, 3, 2, 1, 0)


class Dialect:
    """Parameters ``renamed``, by their usual name, and ``omitted``; ``top``: how many alternatives a server gives.

    ``learn`` reads a refusal and returns whether the request may be made again.
    """

    def __init__(self, rename: Mapping[str, str] | None = None, omit: Iterable[str] = ()) -> None:
        self.renamed = dict(rename or {})
        self.omitted = set(omit)
        self.top = TOPS[0]
        # Whether a chat takes the number of alternatives for ``logprobs`` (Together), and not true.
        self.counts_in_logprobs = False
        self.takes_system = True

    def request(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """The parameters ``values`` under the names that this server uses."""
        kept = {key: value for key, value in values.items() if key not in self.omitted}
        return {self.renamed.get(key, key): value for key, value in kept.items()}

    def messages(self, messages: list[dict[str, str]]) -> list[dict[str, str]]:
        """The messages as this server takes them."""
        return messages if self.takes_system else without_system(messages)

    def learn_roles(self, words: str, sent: list[dict[str, str]]) -> bool:
        """As ``learn``, from a refusal of the messages ``sent``."""
        if sent[0]["role"] != "system" or not NO_SYSTEM.search(words):
            return False
        self.takes_system = False
        return True

    def logprobs(self, endpoint: str, top: int) -> dict[str, Any]:
        """The parameters that ask for log-probabilities with ``top`` alternatives, or as many as there are."""
        top = min(top, self.top)
        if endpoint == "completions":
            return {"logprobs": top}
        if self.counts_in_logprobs:
            return {"logprobs": max(top, 1)}
        # At least one alternative: asked for none, some servers give no log-probabilities at all.
        return {"logprobs": True, **({"top_logprobs": top} if top else {})}

    def learn(self, error: object, words: str, sent: Mapping[str, Any]) -> bool:
        """From a refusal (400 or 422) of ``sent``, as ``request`` gave it; ``error`` is its body, if it is an object.

        Requests of one time are refused for one reason: what was learnt from another of them is as good.
        """
        name = _named(error, words, sent)
        usual = next((old for old, new in self.renamed.items() if new == name), name)
        # In a chat "logprobs" asks for them at all, which is not given up here.
        asked = sent.get("top_logprobs" if usual == "top_logprobs" else "logprobs")
        too_many = usual == "top_logprobs" or (usual == "logprobs" and not UNKNOWN.search(words))
        if too_many and type(asked) is int and asked > 0:
            self.top = min(self.top, next(top for top in TOPS if top < asked))
            return True
        if usual == "logprobs" and asked is True and re.search(r"\b(?:int|integer|number)\b", words):
            self.counts_in_logprobs = True
            return True
        # A top_p of 1 changes nothing, and TGI takes it for a wrong value, others for a second one beside temperature.
        if "top_p" in words and sent.get("top_p") == 1:
            usual = "top_p"
        elif usual is None or not UNKNOWN.search(words):
            return False
        if usual == "max_tokens":
            # By the name that the refusal gives, or else by OpenAI's newer one.
            others = [each for each in LENGTHS if each != name and each in words] or [LENGTHS[0]]
            if usual in self.renamed or others[0] == name:
                return usual in self.renamed and name == usual
            self.renamed[usual] = others[0]
            return True
        if usual in NEEDLESS and (usual == "seed" or sent.get(usual) == 1):
            self.omitted.add(usual)
            return True
        return False


def _named(error: object, words: str, sent: Mapping[str, Any]) -> str | None:
    """The parameter of ``sent`` that a refusal is about."""
    row = error if isinstance(error, dict) else {}
    details = row.get("detail")
    places = [each.get("loc") for each in details if isinstance(each, dict)] if isinstance(details, list) else []
    named = [row.get("param"), *(place[-1] for place in places if isinstance(place, list) and place)]
    for name in named:
        if name in sent:
            return str(name)
    found = [(match.start(), key) for key in sent if (match := re.search(rf"\b{re.escape(key)}\b", words))]
    return min(found)[1] if found else None
