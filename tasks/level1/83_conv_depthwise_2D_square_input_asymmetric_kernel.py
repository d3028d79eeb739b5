import torch
import torch.nn as nn


class Model(nn.Module):
    """y[c] = conv2d(x[c], weight[c]): one tall kernel, 1 wide, for each channel."""

    def __init__(self, in_channels, kernel_size, stride=1, padding=0, dilation=1, bias=False):
        super().__init__()
        self.conv2d = nn.Conv2d(
            in_channels, in_channels, (kernel_size, 1),
            stride, padding, dilation, groups=in_channels, bias=bias,
        )

    def forward(self, x):
        return self.conv2d(x)


batch_size = 64
in_channels = 8
kernel_size = 3
width = 512
height = 512
stride = 1
padding = 0
dilation = 1


def get_inputs():
    return [torch.rand(batch_size, in_channels, height, width)]


def get_init_inputs():
    return [in_channels, kernel_size, stride, padding, dilation]
