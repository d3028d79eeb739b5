"""Shared by the tests of adaptation."""

import pytest
import torch


@pytest.fixture(autouse=True, scope="package")
def one_thread():
    """Tensors of a hundred numbers: threads would only wait for each other, the longer the busier the machine is."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
