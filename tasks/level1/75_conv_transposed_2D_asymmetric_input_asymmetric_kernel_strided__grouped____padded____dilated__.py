import torch
import torch.nn as nn


class Model(nn.Module):
    """y = conv_transpose2d(x, weight), strided, padded, dilated and in groups, with a 3 x 5 kernel."""

    def __init__(
        self, in_channels, out_channels, kernel_size,
        stride=(1, 1), padding=(0, 0), dilation=(1, 1), groups=1, bias=False,
    ):
        super().__init__()
        self.conv_transpose2d = nn.ConvTranspose2d(
            in_channels, out_channels, kernel_size,
            stride, padding, dilation=dilation, groups=groups, bias=bias,
        )

    def forward(self, x):
        return self.conv_transpose2d(x)


batch_size = 16
in_channels = 32
out_channels = 64
kernel_size = (3, 5)
height = 128
width = 256
stride = (2, 3)
padding = (1, 2)
dilation = (2, 1)
groups = 4


def get_inputs():
    return [torch.rand(batch_size, in_channels, height, width)]


def get_init_inputs():
    return [in_channels, out_channels, kernel_size, stride, padding, dilation, groups]
