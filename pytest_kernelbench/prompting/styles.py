"""Prompts with the structure of other projects' prompts, in this project's words, for comparisons with them.

``kernelbench``: KernelBench's one-shot prompt: the goal, a worked example of a module and its custom kernel, the
reference, the demand for one block. Source: arXiv 2502.10517, appendix.

``paper``: the prompt of *Surprisal-Guided Selection*: a system prompt that asks for the statements of ``forward``
alone, allows to give up with ``pass`` and shows three examples that change nothing; the user's message holds the task's
number, name and reference. Source: arXiv 2602.07670, section 3.
"""

from __future__ import annotations

EXAMPLE = """\
import torch
import torch.nn as nn


class Model(nn.Module):
    def __init__(self):
        super().__init__()

    def forward(self, a, b):
        return a + b


def get_inputs():
    return [torch.randn(1, 128), torch.randn(1, 128)]


def get_init_inputs():
    return []
"""
EXAMPLE_NEW = {
    "cuda": '''\
import torch
import torch.nn as nn
from torch.utils.cpp_extension import load_inline

cuda_source = r"""
#include <torch/extension.h>

__global__ void add_kernel(const float *a, const float *b, float *out, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) {
        out[i] = a[i] + b[i];
    }
}

torch::Tensor add(torch::Tensor a, torch::Tensor b) {
    auto out = torch::empty_like(a);
    int n = a.numel();
    add_kernel<<<(n + 255) / 256, 256>>>(a.data_ptr<float>(), b.data_ptr<float>(), out.data_ptr<float>(), n);
    return out;
}
"""
cpp_source = "torch::Tensor add(torch::Tensor a, torch::Tensor b);"
extension = load_inline("elementwise_add", cpp_sources=cpp_source, cuda_sources=cuda_source, functions=["add"])


class ModelNew(nn.Module):
    def __init__(self):
        super().__init__()
        self.add = extension.add

    def forward(self, a, b):
        return self.add(a.contiguous(), b.contiguous())
''',
    "cpu": '''\
import torch
import torch.nn as nn
from pytest_kernelbench.inline import compile_c

add = compile_c("""
void kernel(const float *a, const float *b, float *out, long n) {
    #pragma omp parallel for
    for (long i = 0; i < n; i++) {
        out[i] = a[i] + b[i];
    }
}
""")


class ModelNew(nn.Module):
    def __init__(self):
        super().__init__()

    def forward(self, a, b):
        a, b = a.contiguous(), b.contiguous()
        out = torch.empty_like(a)
        add(a, b, out, a.numel())
        return out
''',
}
KERNELBENCH = """\
Replace operators of the PyTorch module below by {machine} kernels of your own, so that it runs faster. Which \
operators you replace is up to you: you may leave some as they are, fuse several into one kernel (a matrix product and \
the ReLU after it), or change the algorithm (an online softmax).

An example shows the form. Given this module:

```python
{example}```

a module with a kernel of its own looks like this:

```python
{example_new}```

This is the module to be made faster, `{task_id}`:

```python
{source}
```
{facts}
Name the new module `ModelNew`. Give its whole source, with every import, in one ```python block: code that runs and \
not a sketch of it. Write no tests, and nothing after the block."""

PAPER_SYSTEM = """\
You make PyTorch code faster. You are given a module `Model` and answer with the body of its `forward` alone: \
statements that run in place of the present ones and return the same values.
- No imports, no `class`, no `def`: only what stands inside `forward`, with `self` and its arguments at hand.
- The values, shapes and types that are returned stay as they are.
- If no change is safe, answer: pass

Three examples:

Body: return torch.relu(x)
Answer: return torch.relu(x)

Body: return torch.matmul(A, B)
Answer: return torch.matmul(A, B)

Body: return self.conv(x)
Answer: return self.conv(x)"""
PAPER_USER = """\
Problem {number}: {name}

```python
{source}
```
{facts}"""
