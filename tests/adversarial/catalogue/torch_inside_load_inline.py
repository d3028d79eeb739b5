"""Where torch's operators are forbidden: an extension that calls them in C++."""

TASK = "relu"
DEVICE = "cuda"
OUTCOMES = {"void"}
TORCH_OPERATORS = "forbidden"

CHEAT = """
import torch
from torch import nn
from torch.utils.cpp_extension import load_inline

module = load_inline(
    name="relu_by_torch",
    cpp_sources="torch::Tensor relu(torch::Tensor x);",
    cuda_sources='''
torch::Tensor relu(torch::Tensor x) {
    return torch::relu(x);
}
''',
    functions=["relu"],
)

class ModelNew(nn.Module):
    def forward(self, x):
        return module.relu(x)
"""

HONEST = """
import torch
from torch import nn
from torch.utils.cpp_extension import load_inline

module = load_inline(
    name="relu_by_kernel",
    cpp_sources="torch::Tensor relu(torch::Tensor x);",
    cuda_sources='''
__global__ void device_kernel(const float *x, float *y, long n) {
    long i = blockIdx.x * (long)blockDim.x + threadIdx.x;
    if (i < n) y[i] = x[i] > 0.0f ? x[i] : 0.0f;
}

torch::Tensor relu(torch::Tensor x) {
    auto y = torch::empty_like(x);
    long n = x.numel();
    device_kernel<<<(n + 255) / 256, 256>>>(x.data_ptr<float>(), y.data_ptr<float>(), n);
    return y;
}
''',
    functions=["relu"],
)

class ModelNew(nn.Module):
    def forward(self, x):
        return module.relu(x)
"""
