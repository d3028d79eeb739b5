import torch
import torch.nn as nn


class Model(nn.Module):
    """y = conv_transpose3d(x, weight), strided and padded, on a box; output_padding is unused."""

    def __init__(
        self, in_channels, out_channels, kernel_size,
        stride=1, padding=0, output_padding=0, groups=1, bias=False,
    ):
        super().__init__()
        self.conv_transpose3d = nn.ConvTranspose3d(
            in_channels, out_channels, kernel_size, stride, padding, groups=groups, bias=bias
        )

    def forward(self, x):
        return self.conv_transpose3d(x)


batch_size = 4
in_channels = 32
out_channels = 32
kernel_size = 3
depth = 32
height = 64
width = 128
stride = 2
padding = 1
groups = 4


def get_inputs():
    return [torch.rand(batch_size, in_channels, depth, height, width)]


def get_init_inputs():
    return [in_channels, out_channels, kernel_size, stride, padding, groups]
