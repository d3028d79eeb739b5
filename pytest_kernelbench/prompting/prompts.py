"""What a general model is asked. The wording is this project's own, and changing it changes what is sampled."""

from __future__ import annotations

import json
from collections.abc import Sequence

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


def build_messages(task: Task, answer: str, target: str, *, advice: str = "") -> list[dict[str, str]]:
    """The system and the user message that ask for ``answer`` ("module", "forward_body") on ``target`` ("cpu", "cuda").

    The reference is quoted in full, with the sizes of the task file. ``advice`` comes after the question.
    """
    form = {"module": MODULE, "forward_body": FORWARD_BODY}[answer]
    question = form.format(task_id=task.id, source=task.source.strip(), backends=BACKENDS[target])
    question += f"\n\n{advice}" if advice else ""
    return [
        {"role": "system", "content": SYSTEM.format(machine=MACHINES[target])},
        {"role": "user", "content": question},
    ]


def as_plain_text(messages: Sequence[dict[str, str]]) -> str:
    """The messages for a model without a chat template."""
    return "\n\n".join(message["content"] for message in messages) + "\n\nAnswer:\n"


def sha256_of_messages(messages: Sequence[dict[str, str]]) -> str:
    """Hash of what was asked, whatever template makes a prompt of it."""
    return sha256_of(json.dumps(list(messages), sort_keys=True, ensure_ascii=False))
