import torch
import torch.nn as nn


class Model(nn.Module):
    """y[c] = conv2d(x[c], weight[c]): one 3 x 7 kernel for each channel of a wide image."""

    def __init__(
        self, in_channels, out_channels, kernel_size_h, kernel_size_w,
        stride_h=1, stride_w=1, padding_h=0, padding_w=0, dilation_h=1, dilation_w=1, groups=1, bias=False,
    ):
        super().__init__()
        self.conv2d = nn.Conv2d(
            in_channels, out_channels, (kernel_size_h, kernel_size_w), (stride_h, stride_w),
            (padding_h, padding_w), (dilation_h, dilation_w), groups, bias,
        )

    def forward(self, x):
        return self.conv2d(x)


batch_size = 32
in_channels = 128
out_channels = 128
kernel_size_h = 3
kernel_size_w = 7
width = 256
height = 128
stride_h = 1
stride_w = 1
padding_h = 0
padding_w = 0
dilation_h = 1
dilation_w = 1
groups = 128


def get_inputs():
    return [torch.rand(batch_size, in_channels, height, width)]


def get_init_inputs():
    return [
        in_channels, out_channels, kernel_size_h, kernel_size_w, stride_h, stride_w,
        padding_h, padding_w, dilation_h, dilation_w, groups,
    ]
