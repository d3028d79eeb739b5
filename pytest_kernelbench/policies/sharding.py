"""A model whose weights are spread over the processes of torch's default group, by FSDP2.

Each process holds its share of every weight. A layer's weights are gathered as it is computed, by all processes at
once: all processes must call the model equally often and get the same logits. Otherwise they would draw different
tokens, and one process would wait for another for ever.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch import distributed as dist
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor

from pytest_kernelbench.policies.decoding import Model, input_device


def shard(skeleton: Model, fill: Callable[[str, Tensor], Tensor | None], device: torch.device) -> Model:
    """``skeleton``, a frozen model on the meta device, spread over all processes on ``device``.

    ``fill(name, like)`` returns a whole weight or buffer on rank 0; its return value on other ranks is not used. A
    single weight at a time is on the device in whole.
    """
    mesh = init_device_mesh(device.type, (dist.get_world_size(),))
    skeleton.requires_grad_(False)
    layers = set(skeleton._no_split_modules or ())
    for each in skeleton.modules():
        if type(each).__name__ in layers:
            fully_shard(each, mesh=mesh)
    fully_shard(skeleton, mesh=mesh)
    skeleton.to_empty(device=device)
    rank = dist.get_rank()
    with torch.no_grad():
        for name, weight in skeleton.named_parameters():
            local: Any = weight
            whole = _whole(fill(name, local) if rank == 0 else None, local, device)
            spread = distribute_tensor(whole, mesh, local.placements)
            local.to_local().copy_(spread.to_local())
        for name, buffer in skeleton.named_buffers():
            whole = _whole(fill(name, buffer) if rank == 0 else None, buffer, device)
            dist.broadcast(whole, 0)
            buffer.copy_(whole)
    skeleton.register_forward_hook(_from_rank_0)
    _gather_once(skeleton)
    return skeleton


def whole_of(weight: Tensor) -> Tensor:
    """A weight with all processes' shares; called by all of them at once."""
    return weight.full_tensor() if isinstance(weight, DTensor) else weight


def least_of(value: int, device: torch.device) -> int:
    """The smallest ``value`` of all processes."""
    held = torch.tensor(value, dtype=torch.long, device=device)
    dist.all_reduce(held, dist.ReduceOp.MIN)
    return int(held)


def _whole(found: Tensor | None, like: Tensor, device: torch.device) -> Tensor:
    if found is None:
        return torch.empty(like.shape, dtype=like.dtype, device=device)
    return found.detach().to(device=device, dtype=like.dtype).contiguous()


def _from_rank_0(model: Model, inputs: object, output: Any) -> None:
    """Give every process the logits of the first: sums in another order would draw other tokens."""
    if not torch.is_grad_enabled():
        logits = output.logits.contiguous()
        dist.broadcast(logits, 0)
        output.logits = logits


@torch.no_grad()
def _gather_once(model: Model) -> None:
    """Have FSDP allocate its gather buffers now: allocated in inference mode, they could not be used in training."""
    model(input_ids=torch.zeros(1, 1, dtype=torch.long, device=input_device(model)), use_cache=False)
    model.reshard()  # the outermost weights, which FSDP keeps after a forward pass
