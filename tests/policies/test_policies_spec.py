import subprocess
import sys
from pathlib import Path

import pytest

from pytest_kernelbench.errors import PolicyError
from pytest_kernelbench.policies import check_policy, load_policy, parse_policy, require_logprobs

FORMS = "there are tiny, tiny-common-fast, hf:ID_OR_PATH, replay:FILE.jsonl"
KEYS = "there are policy, dtype, chat_template, adapter"


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def refusal(spec: str) -> str:
    with pytest.raises(PolicyError) as error:
        check_policy(spec)
    return str(error.value)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("tinny", f'--policy=tinny: no such policy; did you mean "tiny"? {FORMS}'),
        ("xyz:9", f"--policy=xyz:9: no such policy; {FORMS}"),
        ("", f"--policy=: no such policy; {FORMS}"),
        ("tiny:big", '--policy=tiny:big: "tiny" takes nothing after it; write tiny'),
        ("hf", "--policy=hf: names no ID_OR_PATH; write hf:ID_OR_PATH"),
        ("hf:", "--policy=hf:: names no ID_OR_PATH; write hf:ID_OR_PATH"),
        ("replay:", "--policy=replay:: names no FILE.jsonl; write replay:FILE.jsonl"),
        (
            "replay:none.jsonl",
            "--policy=replay:none.jsonl: no such file; write replay:FILE.jsonl, one JSON object a line",
        ),
        ("none.toml", '--policy=none.toml: no such file; it holds policy = "hf:ID_OR_PATH"'),
    ],
)
def test_policy_that_cannot_be_is_refused_with_the_remedy(spec: str, message: str) -> None:
    assert refusal(spec) == message
    with pytest.raises(PolicyError):
        load_policy(spec, device="cpu")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('policy = "hf:a/b"\ndtyp = "float32"', f'unknown key "dtyp"; did you mean "dtype"? {KEYS}'),
        ('dtype = "float32"', 'names no policy; add policy = "hf:ID_OR_PATH"'),
        ('policy = "me.toml"', 'policy "me.toml" is a file again; name the policy itself'),
        (
            'policy = "tiny"\ndtype = "float32"',
            '"dtype" is for hf: policies, and policy is "tiny"; remove the line',
        ),
        (
            'policy = "hf:a/b"\ndtype = "fp8"',
            "dtype 'fp8' is not known; there are float32, bfloat16, float16",
        ),
        ('policy = "hf:a/b"\nchat_template = 1', "chat_template must be true or false, not 1"),
        ('policy = "hf:a/b"\nadapter = 1', "adapter must be a folder or an id in quotes, not 1"),
    ],
)
def test_wrong_policy_file_is_refused_with_the_remedy(text: str, message: str) -> None:
    Path("mine.toml").write_text(text)
    assert refusal("mine.toml") == f"mine.toml: {message}"


def test_file_that_is_not_toml_is_refused() -> None:
    Path("mine.toml").write_text("policy = ")
    assert refusal("mine.toml").startswith("mine.toml: not TOML (")


def test_policy_file_is_read_with_its_settings() -> None:
    Path("mine.toml").write_text('policy = "hf:a/b"\ndtype = "float32"\nchat_template = false\nadapter = "c"')
    spec = parse_policy("mine.toml")
    assert (spec.name, spec.kind, spec.argument) == ("mine.toml", "hf", "a/b")
    assert (spec.dtype, spec.chat_template, spec.adapter) == ("float32", False, "c")


def test_checking_and_replaying_import_no_framework() -> None:
    Path("c.jsonl").write_text('{"task": "level1/1", "text": "x"}\n')
    program = (
        "import sys\n"
        "from pytest_kernelbench.policies import check_policy, load_policy\n"
        "import pytest_kernelbench.prompting.extraction, pytest_kernelbench.prompting.prompts\n"
        "check_policy('tiny'); check_policy('hf:a/b'); load_policy('replay:c.jsonl', device='cpu')\n"
        "print({'torch', 'transformers', 'numpy', 'scipy'} & set(sys.modules))"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={"PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "set()"


def test_any_policy_without_logprobs_is_refused_where_they_are_needed() -> None:
    class Silent:
        name = "openai:mute"
        version = "0"
        gives_logprobs = False
        label = None

        def sample(self, task, sampling, *, seed, indices):
            return iter(())

    with pytest.raises(PolicyError) as error:
        require_logprobs(Silent(), "confidence")
    assert str(error.value) == (
        '--policy=openai:mute: gives no logprobs, which strategy "confidence" needs; '
        "choose another policy, or a strategy that needs none (random, best-of-64)"
    )
