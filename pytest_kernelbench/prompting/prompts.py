"""The prompt of a general model. The wording is this project's own, and other words draw other samples.

A change of a word needs a new ``question.VERSION``, which is part of every sampling hash.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

from pytest_kernelbench.prompting.device_facts import device_facts
from pytest_kernelbench.prompting.question import Question, question_of
from pytest_kernelbench.prompting.styles import EXAMPLE, EXAMPLE_NEW, KERNELBENCH, PAPER_SYSTEM, PAPER_USER
from pytest_kernelbench.records import Task, sha256_of

SYSTEM = (
    "You write fast {machine} kernels for PyTorch. Your code is run: it is compared with the reference on fresh "
    "random inputs, and if every output agrees it is timed against it. Work that the reference does must be "
    "done anew at every call."
)
MACHINES = {"cpu": "CPU", "cuda": "NVIDIA GPU"}

MODULE = """\
Here is the reference, `{task_id}`:

```python
{source}
```

Write one self-contained Python module that defines `class ModelNew(torch.nn.Module)` and runs faster.
- `ModelNew` takes the constructor arguments of `Model`, and creates parameters and buffers of the same names, \
shapes and order, so that both hold the same weights.
- `ModelNew.forward` takes the arguments of `Model.forward` and returns the same values.
- Do not define `get_inputs` or `get_init_inputs`, and do not import `Model`.
{backends}
Answer with that module in a single ```python block."""

BACKENDS = {
    "cpu": """\
- You may use PyTorch, and C compiled when the module is imported:
      from pytest_kernelbench.inline import compile_c
      scale = compile_c("void kernel(const float *x, float *y, double a, long n) { ... }")
      scale(x, y, 2.0, x.numel())
  The C function is called `kernel`. A tensor arrives as a pointer to its data (make it contiguous first), a Python \
int as `long`, a float as `double`. OpenMP is on.""",
    "cuda": '''\
- You may use PyTorch, Triton, and CUDA C++ compiled when the module is imported:
      from pytest_kernelbench.inline import compile_cuda
      scale = compile_cuda(r"""
      __global__ void scale(const float *x, float *y, double a, long n) { ... }
      extern "C" void kernel(const float *x, float *y, double a, long n, cudaStream_t stream) {
          scale<<<(n + 255) / 256, 256, 0, stream>>>(x, y, a, n);
      }""")
      scale(x, y, 2.0, x.numel())
  The host function is called `kernel` and launches on `stream`, which is passed for you as the last argument. A \
tensor arrives as a pointer to its data (make it contiguous first), a Python int as `long`, a float as `double`. \
`torch.utils.cpp_extension.load_inline` works too, but takes far longer to build.''',
}

FORWARD_BODY = """\
Here is the reference, `{task_id}`:

```python
{source}
```

Rewrite the body of `Model.forward` so that it runs faster and returns the same values. It will be placed in a \
subclass of `Model`, in the module above: everything that the module defines or imports is at hand, and so are the \
attributes of `self`.
Answer with the statements of the body only, ending in `return`, in a single ```python block: no `def`, no class, \
no text around it."""


FORECAST = """\
Here is the reference, `{task_id}`:

```python
{source}
```

Each of the following programs computes what it does, on the same machine."""


def build_messages(task: Task, answer: str, target: str, *, advice: str = "") -> list[dict[str, str]]:
    """The messages that ask for ``answer`` on ``target`` ("cpu", "cuda").

    ``answer`` is "module", "forward_body", "forecast", or a ``Question`` as text. The reference is quoted in full, with
    the sizes of the task file. ``advice`` comes after the question.
    """
    question = question_of(answer)
    system, user = _own(question, task, target) if question.text else _styled(question, task, target)
    user += f"\n\n{advice}" if advice else ""
    messages = [{"role": "system", "content": system}] if system else []
    return [*messages, {"role": "user", "content": user}]


def _styled(question: Question, task: Task, target: str) -> tuple[str, str]:
    """The system's and the user's message, in one of the styles."""
    source, facts = task.source.strip(), _facts(question, target)
    if question.style == "kernelbench":
        example_new = EXAMPLE_NEW[target]
        values = {"example": EXAMPLE, "example_new": example_new, "machine": MACHINES[target], "facts": facts}
        return "", KERNELBENCH.format(task_id=task.id, source=source, **values)
    if question.style == "paper":
        number, _, name = task.name.partition("_")
        return PAPER_SYSTEM, PAPER_USER.format(number=number, name=name, source=source, facts=facts).rstrip()
    form = {"module": MODULE, "forward_body": FORWARD_BODY, "forecast": FORECAST}[question.answer]
    user = form.format(task_id=task.id, source=source, backends=BACKENDS[target])
    return SYSTEM.format(machine=MACHINES[target]), f"{user}\n{facts}".rstrip()


def _own(question: Question, task: Task, target: str) -> tuple[str, str]:
    """The system's and the user's message, from the text of a strategy's own file."""
    values = {"task": task.id, "source": task.source.strip(), "backends": BACKENDS[target]}
    if "{{device}}" in question.text:
        values["device"] = device_facts(target)
    # At once, so that a reference that holds such a word keeps it.
    text = re.sub(r"\{\{(\w+)\}\}", lambda found: values.get(found[1], found[0]), question.text).strip()
    system, line, user = text.partition("\n---\n")
    facts = "" if "{{device}}" in question.text else _facts(question, target)
    return (system, f"{user}\n{facts}".strip()) if line else ("", f"{text}\n{facts}".strip())


def _facts(question: Question, target: str) -> str:
    return f"\nIt runs on this machine:\n{device_facts(target)}\n" if question.device_facts else ""


def without_system(messages: Sequence[dict[str, str]]) -> list[dict[str, str]]:
    """The messages for a template or a server that knows no system's message: its text begins the user's."""
    first, *rest = messages
    if first["role"] != "system" or not rest:
        return list(messages)
    return [{**rest[0], "content": f"{first['content']}\n\n{rest[0]['content']}"}, *rest[1:]]


def as_plain_text(messages: Sequence[dict[str, str]]) -> str:
    """The messages for a model without a chat template."""
    return "\n\n".join(message["content"] for message in messages) + "\n\nAnswer:\n"


def sha256_of_messages(messages: Sequence[dict[str, str]]) -> str:
    """Hash of the messages, before any chat template is applied."""
    return sha256_of(json.dumps(list(messages), sort_keys=True, ensure_ascii=False))
