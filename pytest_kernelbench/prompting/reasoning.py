"""From a model's text to its answer: the reasoning is separated, since a draft inside it is no answer.

Models mark their reasoning in three ways. gpt-oss writes messages to channels (OpenAI's harmony format), of which only
``final`` is the answer. Most others write ``<think>`` or a word like it, where the template may have opened it
already, so that the text begins inside the reasoning. Servers may return the reasoning beside the answer.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

# Each opening tag and its closing tag: DeepSeek, Qwen and most others; Seed-OSS; Magistral; Kimi; Cohere; OpenThoughts;
# Apertus.
PAIRS = (
    *((f"<{word}>", f"</{word}>") for word in ("think", "thinking", "reasoning", "thought", "seed:think")),
    ("[THINK]", "[/THINK]"),
    ("◁think▷", "◁/think▷"),
    ("<|START_THINKING|>", "<|END_THINKING|>"),
    ("<|begin_of_thought|>", "<|end_of_thought|>"),
    ("<|inner_prefix|>", "<|inner_suffix|>"),
)
CLOSING = dict(PAIRS)
TAGS = re.compile("|".join(re.escape(tag) for pair in PAIRS for tag in pair))
# Words around an answer that are not of it.
WRAPPERS = re.compile(r"\A\s*<\|(?:begin_of_solution|START_RESPONSE)\|>|<\|(?:end_of_solution|END_RESPONSE)\|>\s*\Z")
ANSWER_TAG = re.compile(r"<answer>[ \t]*(?=\n|```)|<\|begin_of_solution\|>")
CHANNEL = "<|channel|>"
MESSAGE = re.compile(
    r"(?:<\|start\|>(?P<role>[^<]*))?<\|channel\|>(?P<channel>\w+)(?P<to>[^<]*)(?:<\|constrain\|>[^<]*)?<\|message\|>"
    r"(?P<content>.*?)(?P<end><\|(?:end|return|call)\|>|(?=<\|start\|>|<\|channel\|>)|\Z)",
    re.DOTALL,
)
# The same where the special tokens were left out, which glues the channel's name to its message.
GLUED = re.compile(
    r"\A\s*analysis(?P<reasoning>.*?)(?:assistant)?(?:commentary)?assistantfinal(?P<answer>.*)\Z", re.DOTALL
)
# Granite says so in words.
IN_WORDS = re.compile(
    r"\A\s*Here is my thought process:(?P<reasoning>.*?)(?:^\s*Here is my response:(?P<answer>.*))?\Z",
    re.DOTALL | re.MULTILINE,
)
GLUED_OPEN = re.compile(r"\A\s*analysis(?=[A-Za-z`\"\d])")
FENCE = re.compile(r"`{3,}|^[ \t]*~{3,}", re.MULTILINE)
IN_HARMONY = "<|channel|>analysis<|message|>"


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """``answer`` is ``text[start:end]`` if it is not None; ``reasoning`` is None if the text has none.

    ``closed``: False if the text ends inside the reasoning, so that there is no answer.
    """

    answer: str
    reasoning: str | None = None
    closed: bool = True
    start: int | None = 0


def parts_of(text: str, *, opened: bool = False) -> Parts:
    """Reasoning and answer of a model's ``text``, special tokens included.

    ``opened``: the prompt ends inside the reasoning already, as some templates have it. Never raises.
    """
    if CHANNEL in text:
        return _of_channels(text)
    if glued := GLUED.match(text):
        return Parts(answer=glued["answer"], reasoning=glued["reasoning"].strip(), start=glued.start("answer"))
    if GLUED_OPEN.match(text):
        return Parts(answer="", reasoning=GLUED_OPEN.sub("", text).strip(), closed=False, start=None)
    if said := IN_WORDS.match(text):
        closed = said["answer"] is not None
        start = said.start("answer") if closed else None
        return Parts(answer=said["answer"] or "", reasoning=said["reasoning"].strip(), closed=closed, start=start)
    return _of_tags(text, opened)


def opens_reasoning(prompt: str) -> bool:
    """Whether a prompt, as the model gets to read it, ends inside the reasoning."""
    return prompt.rstrip().endswith((*CLOSING, IN_HARMONY))


def _of_channels(text: str) -> Parts:
    reasoning: list[str] = []
    answers: list[tuple[int, str]] = []
    closed = False
    messages = list(MESSAGE.finditer(text))
    # The rest of a message that the prompt began.
    before = text[: messages[0].start()] if messages else ""
    if begun := before.removesuffix("<|end|>").strip():
        reasoning.append(begun)
    for message in messages:
        if message["channel"] == "final" and " to=" not in message["to"]:
            answers.append((message.start("content"), message["content"]))
            closed = True
        else:
            reasoning.append(message["content"].strip())
            closed = bool(answers)
    if answers:
        start, answer = answers[-1]
        return Parts(answer=answer, reasoning="\n\n".join(reasoning) or None, start=start)
    return Parts(answer="", reasoning="\n\n".join(reasoning) or text, closed=closed, start=None)


def _of_tags(text: str, opened: bool) -> Parts:
    """Parts by tags. A tag inside of code does not count, unless it closes an open reasoning."""
    reasoning: list[str] = []
    answer: list[tuple[int, str]] = []
    inside: str | None = "" if opened else None  # the tag that closes it; "": any
    at = 0
    for tag in TAGS.finditer(text):
        if tag[0] in CLOSING:
            if inside is None and not _in_code(text[at : tag.start()]):
                answer.append((at, text[at : tag.start()]))
                inside, at = CLOSING[tag[0]], tag.end()
            elif inside == "" and not text[at : tag.start()].strip():
                inside, at = CLOSING[tag[0]], tag.end()  # opened twice
        elif inside in ("", tag[0]):
            reasoning.append(text[at : tag.start()])
            inside, at = None, tag.end()
        elif inside is None and reasoning and _in_a_sentence(text, tag):
            continue
        elif inside is None and not (_in_code(text[at : tag.start()]) and text[tag.start() - 1] != "\n"):
            # Closed without having been opened here, or closed for good: all before it was reasoning.
            reasoning += [part for _, part in answer] + [text[at : tag.start()]]
            answer, at = [], tag.end()
    if inside and (opening := _answer_tag(text, at)):
        # R1-Zero and its kind: the answer has tags, and the reasoning is left open.
        reasoning.append(text[at : opening.start()])
        inside, at = None, opening.end()
    if inside is None:
        answer.append((at, text[at:]))
    else:
        reasoning.append(text[at:])
    thought = "\n\n".join(part.strip() for part in reasoning if part.strip())
    said = [(start, part) for start, part in answer if part.strip()]
    start, whole = (said[-1][0] if len(said) == 1 else None), "".join(part for _, part in said)
    if not reasoning:
        return Parts(answer=text)
    trimmed = WRAPPERS.sub("", whole)
    if start is not None:
        start += whole.find(trimmed)
    return Parts(answer=trimmed, reasoning=thought, closed=inside is None, start=start)


def _in_a_sentence(text: str, tag: re.Match[str]) -> bool:
    """Whether words stand before and after a tag in its line: it is spoken of."""
    before = text[text.rfind("\n", 0, tag.start()) + 1 : tag.start()]
    after = text[tag.end() :].partition("\n")[0]
    return bool(before.strip()) and bool(re.match(r"[`'\"]?[ ,.;:)]", after)) and bool(after.strip())


def _answer_tag(text: str, start: int) -> re.Match[str] | None:
    """The last tag from ``start`` that opens an answer, ends its line and is not in code."""
    found = [each for each in ANSWER_TAG.finditer(text, start) if not _in_code(text[start : each.start()])]
    return found[-1] if found else None


def _in_code(text: str) -> bool:
    return len(FENCE.findall(text)) % 2 == 1
