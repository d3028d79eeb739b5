"""The question to a policy, as one text: it is part of a strategy's hash, and is passed between processes as it is.

``module`` and ``forward_body`` are questions in this project's own words. For a strategy with ``[prompt]`` the text is
a JSON object: the answer asked for, the style, the text of the strategy's own file, whether the device is described.
"""

from __future__ import annotations

import json
from collections import ChainMap
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

# Each style, and the answers that it can ask for.
ANSWERS = {"ours": ("module", "forward_body"), "kernelbench": ("module",), "paper": ("forward_body",)}
# Styles that another project adds: each a text, as a file of one's own holds.
OTHERS: dict[str, str] = {}
STYLES: ChainMap[str, Any] = ChainMap(OTHERS, ANSWERS)
# Part of every sampling hash: other words draw other candidates.
VERSION = 1
SOURCE = "{{source}}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """``[prompt]`` of a strategy: how the question is put.

    ``style``: ``ours``, or in this project's words after the structure of others: ``kernelbench`` (a worked example of
    a custom kernel, then the reference), ``paper`` (the body of forward alone, after a system prompt with three worked
    examples). ``file`` names a file with the user's own prompt in place of a style, with ``{{source}}`` where the
    reference goes; ``{{task}}``, ``{{backends}}`` and ``{{device}}`` may stand in it too, and the text above a line of
    ``---`` is the system's message. ``device_facts`` adds the machine's cores, memory and caches.
    """

    style: str = field(default="ours", metadata={"choices": STYLES})
    device_facts: bool = False
    file: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """``answer`` is "module" or "forward_body"; ``text`` is the text of the strategy's own file, or empty."""

    answer: str
    style: str = "ours"
    device_facts: bool = False
    text: str = ""

    def encoded(self) -> str:
        """The question as text, of which ``question_of`` makes the same again."""
        return self.answer if self == Question(answer=self.answer) else json.dumps(asdict(self), sort_keys=True)


def question_of(text: str) -> Question:
    """The question from the text that ``Question.encoded`` made."""
    return Question(**json.loads(text)) if text.startswith("{") else Question(answer=text)


def question_for(prompt: Prompt, answer: str, read: Callable[[str], str]) -> str:
    """The question of a strategy, as text. Raises ValueError, whose text names the problem, for an unusable prompt.

    ``read`` returns the text of the file that ``prompt`` names.
    """
    if prompt.file and prompt.style != "ours":
        raise ValueError(f'file is in place of style = "{prompt.style}"; leave one of them out')
    if prompt.style in OTHERS:
        return Question(answer=answer, device_facts=prompt.device_facts, text=OTHERS[prompt.style]).encoded()
    if answer not in ANSWERS[prompt.style]:
        (only,) = ANSWERS[prompt.style]
        raise ValueError(f'style = "{prompt.style}" asks for one kind of answer; set sampling.answer = "{only}"')
    text = read(prompt.file) if prompt.file else ""
    if prompt.file and SOURCE not in text:
        raise ValueError(f"file {prompt.file} does not show the reference; write {SOURCE} where it goes")
    return Question(answer=answer, style=prompt.style, device_facts=prompt.device_facts, text=text).encoded()
