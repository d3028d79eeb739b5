"""What the judge sets for the whole of its process is put back, where a test makes its parts in this one."""

from collections.abc import Iterator

import pytest
import torch


@pytest.fixture(autouse=True)
def as_torch_was() -> Iterator[None]:
    with torch.set_grad_enabled(torch.is_grad_enabled()):
        threads = torch.get_num_threads()
        yield
        torch.set_num_threads(threads)
