"""The value of ``--policy``: names and policy files are read; a wrong one is refused with a remedy."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from pytest_kernelbench.errors import PolicyError
from pytest_kernelbench.policies import check_policy, load_policy, parse_policy, require_logprobs

FORMS = (
    "there are tiny, tiny-common-fast, hf:ID_OR_PATH, openai:MODEL@BASE_URL, tinker:MODEL, replay:FILE.jsonl, "
    "pinned:FOLDER"
)
WRITE_OPENAI = (
    "--policy=openai: write openai:MODEL@BASE_URL, as in openai:my-model@http://127.0.0.1:8000/v1; "
    "a key goes into OPENAI_API_KEY, not into the address"
)
OPENAI = 'policy = "openai:m@http://127.0.0.1:1/v1"\n'
KEYS = "there are policy, dtype, chat_template, adapter, chat_template_kwargs, max_tokens, stop, shards"


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
        *(
            (f"hf:{path}", f"--policy=hf:{path}: no such folder; name one that holds a model, or an id of the hub")
            for path in ("./nosuch", "/nosuch/model", "../nosuch+adapter", "~/nosuch")
        ),
        ("openai:m", WRITE_OPENAI),
        ("openai:http://127.0.0.1:8000/v1", WRITE_OPENAI),
        ("openai:m@127.0.0.1:8000/v1", WRITE_OPENAI),
        ("openai:m@http://me:sk-secret@host/v1", WRITE_OPENAI),
        ("openai:m@http://host/v1?key=sk-secret", WRITE_OPENAI),
        ("tinker:", "--policy=tinker:: names no MODEL; write tinker:MODEL"),
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
            "dtype must be float32, bfloat16 or float16, not 'fp8'",
        ),
        ('policy = "hf:a/b"\nchat_template = 1', "chat_template must be true or false, not 1"),
        ('policy = "hf:a/b"\nadapter = 1', "adapter must be a folder or an id in quotes, not 1"),
        (
            f'{OPENAI}endpont = "chat"',
            'unknown key "endpont"; did you mean "endpoint"? '
            "there are policy, endpoint, logprobs, concurrency, timeout_s, body, chat_template_kwargs, max_tokens, "
            "stop, context, rename, omit, n, opens_reasoning, alternatives, served",
        ),
        (f'{OPENAI}endpoint = "responses"', "endpoint must be chat or completions, not 'responses'"),
        (f'{OPENAI}logprobs = "top"', "logprobs must be raw, scaled or none, not 'top'"),
        (f"{OPENAI}concurrency = 0", "concurrency must be a whole number from 1, not 0"),
        (f'{OPENAI}timeout_s = "1"', "timeout_s must be a number of seconds above 0, not '1'"),
        (
            f"{OPENAI}[body]\nseed = 3",
            "body must be a table without logprobs, max_tokens, messages, model, n, prompt, seed, stream, "
            "temperature, top_logprobs, which the strategy sets, not {'seed': 3}",
        ),
        (f"{OPENAI}n = 0", "n must be a whole number from 1, not 0"),
        (f'{OPENAI}omit = "seed"', "omit must be a list of the names of parameters, not 'seed'"),
        (
            f"{OPENAI}rename = {{max_tokens = 3}}",
            "rename must be a table of names, such as {max_tokens = \"max_completion_tokens\"}, not {'max_tokens': 3}",
        ),
        ('policy = "tinker:m"\nbase_url = 8000', "base_url must be an address in quotes, not 8000"),
        (
            'policy = "tinker:m"\nlogprobs = "raw"',
            '"logprobs" is for openai: policies, and policy is "tinker:m"; remove the line',
        ),
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


def test_settings_of_a_server_are_read_from_the_policy_file() -> None:
    Path("mine.toml").write_text(f'{OPENAI}logprobs = "raw"\ntimeout_s = 5\n[body]\ntop_k = 0\n')
    spec = parse_policy("mine.toml")
    assert (spec.kind, spec.argument) == ("openai", "m@http://127.0.0.1:1/v1")
    assert spec.settings == {"logprobs": "raw", "timeout_s": 5, "body": {"top_k": 0}}


@pytest.mark.parametrize(("package", "spec"), [("openai", "openai:m@http://host/v1"), ("tinker", "tinker:m")])
def test_missing_package_is_named_with_the_extra_that_brings_it(
    package: str, spec: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    assert refusal(spec) == (
        f"--policy={spec}: needs the package {package}; pip install 'pytest-kernelbench[{package}]'"
    )


def test_checking_and_replaying_import_no_framework() -> None:
    Path("c.jsonl").write_text('{"task": "level1/1", "text": "x"}\n')
    program = (
        "import sys\n"
        "from pytest_kernelbench.policies import check_policy, load_policy\n"
        "import pytest_kernelbench.prompting.extraction, pytest_kernelbench.prompting.prompts\n"
        "check_policy('tiny'); check_policy('hf:a/b'); check_policy('openai:m@http://host/v1')\n"
        "load_policy('replay:c.jsonl', device='cpu')\n"
        "print({'torch', 'transformers', 'numpy', 'scipy', 'openai'} & set(sys.modules))"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={"PYTHONPATH": os.pathsep.join([str(root), *sys.path])},
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


def test_policy_files_in_the_documentation_are_read() -> None:
    page = (Path(__file__).parents[2] / "docs" / "policies.md").read_text()
    files = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)
    assert files
    for text in files:
        Path("shown.toml").write_text(text)
        parse_policy("shown.toml")
