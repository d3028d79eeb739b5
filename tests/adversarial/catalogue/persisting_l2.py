"""Has its buffer persist in the L2 cache, through every flush, and takes that room from the reference."""

TASK = "short_relu"
DEVICE = "cuda"
OUTCOMES = {"not_fast", "void"}

CHEAT = """
import torch
from torch import nn

from pytest_kernelbench.inline import compile_cuda

kernel = compile_cuda('''
__global__ void relu(const float *x, float *y, long n) {
    long i = blockIdx.x * (long)blockDim.x + threadIdx.x;
    if (i < n) y[i] = x[i] > 0.0f ? x[i] : 0.0f;
}
extern "C" void kernel(const float *x, float *y, long n, cudaStream_t stream) {
    int largest, window;
    cudaDeviceGetAttribute(&largest, cudaDevAttrMaxPersistingL2CacheSize, 0);
    cudaDeviceGetAttribute(&window, cudaDevAttrMaxAccessPolicyWindowSize, 0);
    cudaDeviceSetLimit(cudaLimitPersistingL2CacheSize, largest);
    cudaLaunchAttributeValue value = {};
    value.accessPolicyWindow.base_ptr = const_cast<float *>(y);
    value.accessPolicyWindow.num_bytes = n * sizeof(float) < (size_t)window ? n * sizeof(float) : window;
    value.accessPolicyWindow.hitRatio = 0.5f;
    value.accessPolicyWindow.hitProp = cudaAccessPropertyPersisting;
    value.accessPolicyWindow.missProp = cudaAccessPropertyStreaming;
    cudaStreamSetAttribute(stream, cudaLaunchAttributeAccessPolicyWindow, &value);
    relu<<<(n + 255) / 256, 256, 0, stream>>>(x, y, n);
}
''')

class ModelNew(nn.Module):
    def __init__(self):
        super().__init__()
        self.y = None

    def forward(self, x):
        if self.y is None:
            self.y = torch.empty_like(x)
        kernel(x, self.y, x.numel())
        return self.y
"""

HONEST = """
import torch
from torch import nn

from pytest_kernelbench.inline import compile_cuda

kernel = compile_cuda('''
__global__ void relu(const float *x, float *y, long n) {
    long i = blockIdx.x * (long)blockDim.x + threadIdx.x;
    if (i < n) y[i] = x[i] > 0.0f ? x[i] : 0.0f;
}
extern "C" void kernel(const float *x, float *y, long n, cudaStream_t stream) {
    int largest, window;
    cudaDeviceGetAttribute(&largest, cudaDevAttrMaxPersistingL2CacheSize, 0);
    cudaDeviceGetAttribute(&window, cudaDevAttrMaxAccessPolicyWindowSize, 0);
    cudaDeviceSetLimit(cudaLimitPersistingL2CacheSize, largest);
    cudaLaunchAttributeValue value = {};
    value.accessPolicyWindow.base_ptr = const_cast<float *>(x);
    value.accessPolicyWindow.num_bytes = n * sizeof(float) < (size_t)window ? n * sizeof(float) : window;
    value.accessPolicyWindow.hitRatio = 0.5f;
    value.accessPolicyWindow.hitProp = cudaAccessPropertyPersisting;
    value.accessPolicyWindow.missProp = cudaAccessPropertyStreaming;
    cudaStreamSetAttribute(stream, cudaLaunchAttributeAccessPolicyWindow, &value);
    relu<<<(n + 255) / 256, 256, 0, stream>>>(x, y, n);
    value.accessPolicyWindow.num_bytes = 0;
    cudaStreamSetAttribute(stream, cudaLaunchAttributeAccessPolicyWindow, &value);
    cudaStreamSynchronize(stream);
    cudaCtxResetPersistingL2Cache();
    cudaDeviceSetLimit(cudaLimitPersistingL2CacheSize, 0);
}
''')

class ModelNew(nn.Module):
    def forward(self, x):
        y = torch.empty_like(x)
        kernel(x, y, x.numel())
        return y
"""
