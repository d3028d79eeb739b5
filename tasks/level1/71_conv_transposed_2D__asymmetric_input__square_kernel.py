import torch
import torch.nn as nn


class Model(nn.Module):
    """y = conv_transpose2d(x, weight) with a square kernel on a wide image."""

    def __init__(
        self, in_channels, out_channels, kernel_size,
        stride=1, padding=0, output_padding=0, groups=1, bias=False,
    ):
        super().__init__()
        self.conv_transpose2d = nn.ConvTranspose2d(
            in_channels, out_channels, kernel_size, stride, padding, output_padding, groups, bias
        )

    def forward(self, x):
        return self.conv_transpose2d(x)


batch_size = 8
in_channels = 32
out_channels = 32
kernel_size = 3
height_in = 512
width_in = 1024


def get_inputs():
    return [torch.rand(batch_size, in_channels, height_in, width_in)]


def get_init_inputs():
    return [in_channels, out_channels, kernel_size]
