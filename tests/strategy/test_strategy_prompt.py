"""``[prompt]`` of a strategy: its settings are part of the hash of the samples."""

from pathlib import Path

import pytest

from pytest_kernelbench.errors import StrategyError
from pytest_kernelbench.prompting import extraction, question
from pytest_kernelbench.prompting.question import question_of
from pytest_kernelbench.strategy import Strategy, load_strategies


def load(folder: Path, prompt: str, sampling: str = "", name: str = "s") -> Strategy:
    file = folder / f"{name}.toml"
    file.write_text(f"[sampling]\n{sampling}\n[prompt]\n{prompt}\n")
    (strategy,) = load_strategies([str(file)], folders=[])
    return strategy


def refusal(folder: Path, prompt: str, sampling: str = "") -> str:
    with pytest.raises(StrategyError) as error:
        load(folder, prompt, sampling)
    return str(error.value).partition(": ")[2]


def test_the_question_is_what_the_section_says(tmp_path: Path) -> None:
    assert load(tmp_path, "").sampling.asked == "module"
    asked = question_of(load(tmp_path, 'style = "kernelbench"\ndevice_facts = true').sampling.asked)
    assert (asked.answer, asked.style, asked.device_facts) == ("module", "kernelbench", True)


def test_every_word_of_the_question_is_in_the_hashes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine.txt").write_text("{{source}}")
    made = [load(tmp_path, "", name="a"), load(tmp_path, 'style = "kernelbench"', name="b")]
    made += [load(tmp_path, 'file = "mine.txt"', name="c"), load(tmp_path, "device_facts = true", name="d")]
    (tmp_path / "mine.txt").write_text("{{source}} quickly")
    made.append(load(tmp_path, 'file = "mine.txt"', name="c"))
    for name in ("sha256", "sampling_sha256"):
        assert len({getattr(each, name) for each in made}) == 5
    before = {made[0].sampling_sha256}
    for module in (extraction, question):
        monkeypatch.setattr(module, "VERSION", 99)
        before.add(made[0].sampling_sha256)
    assert len(before) == 3


def test_an_override_changes_the_question(tmp_path: Path) -> None:
    file = tmp_path / "s.toml"
    file.write_text('[sampling]\nanswer = "forward_body"\n')
    (strategy,) = load_strategies([str(file)], folders=[], overrides=["prompt.style=paper"])
    assert question_of(strategy.sampling.asked).style == "paper" and strategy.prompt.style == "paper"


@pytest.mark.parametrize(
    ("prompt", "sampling", "message"),
    [
        (
            'style = "paper"',
            "",
            '[prompt] style = "paper" asks for one kind of answer; set sampling.answer = "forward_body"',
        ),
        (
            'style = "kernelbench"',
            'answer = "forward_body"',
            '[prompt] style = "kernelbench" asks for one kind of answer; set sampling.answer = "module"',
        ),
        ('style = "theirs"', "", '[prompt] style must be ours or kernelbench or paper, not "theirs"'),
        (
            'file = "no.txt"',
            "",
            "[prompt] file no.txt cannot be read (No such file or directory); name it as seen from the strategy's",
        ),
        (
            'file = "bare.txt"',
            "",
            "[prompt] file bare.txt does not show the reference; write {{source}} where it goes",
        ),
        (
            'file = "bare.txt"\nstyle = "kernelbench"',
            "",
            '[prompt] file is in place of style = "kernelbench"; leave one of them out',
        ),
        ("", 'question = "x"', '[sampling] unknown key "question"; there are k, '),
    ],
)
def test_a_prompt_that_asks_nothing_is_refused(tmp_path: Path, prompt: str, sampling: str, message: str) -> None:
    (tmp_path / "bare.txt").write_text("Write a kernel.")
    assert refusal(tmp_path, prompt, sampling).startswith(message)
