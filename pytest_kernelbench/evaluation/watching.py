"""The base of modes that look at each operator of torch while a reference runs."""

from __future__ import annotations

from torch.utils._python_dispatch import TorchDispatchMode


class Watching(TorchDispatchMode):
    """A mode whose ``__torch_dispatch__`` sees every operator that is called within it, without torch's compiler."""

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        # True, torch's default, imports torch._dynamo at the first operator: 2 s of a core in each new judge.
        return False
