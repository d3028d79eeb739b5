"""Which GPUs time candidates, and which GPUs ``--kernelbench-policy-gpus`` reserves for policies' weights."""

from __future__ import annotations

import os
from collections.abc import Sequence

from pytest_kernelbench.errors import UsageError
from pytest_kernelbench.host.gpus import visible_gpus


def divided(visible: Sequence[str], named: str) -> tuple[list[str], list[str]]:
    """The GPUs of ``visible`` for the judges, and the GPUs that ``--kernelbench-policy-gpus=NAMED`` names.

    ``named`` lists positions in ``visible``, counted from 0, or UUIDs. Raises UsageError.
    """
    place = f"--kernelbench-policy-gpus={named}"
    policy = []
    for each in filter(None, (part.strip() for part in named.split(","))):
        if each.isdecimal() and int(each) < len(visible):
            policy.append(visible[int(each)])
        elif each in visible:
            policy.append(each)
        else:
            remedy = f"write numbers from 0 to {len(visible) - 1}" if visible else "none is visible, so leave it out"
            raise UsageError(f"{place}: no GPU {each}; {remedy}")
    judges = [each for each in visible if each not in policy]
    if not policy:
        raise UsageError(f"{place}: names no GPU; write places such as 1,2")
    if not judges:
        raise UsageError(f"{place}: leaves no GPU to judge on; name fewer")
    return judges, list(dict.fromkeys(policy))


def policy_device(named: str | None, *, worker: bool, owns_workers: bool) -> str | None:
    """The devices for policies' weights, as in ``cuda:1,2``; None for the judge's device. Raises UsageError.

    Sets ``CUDA_VISIBLE_DEVICES``, before torch reads it, so that the judges' GPUs come first. ``worker``: this process
    is a worker of pytest-xdist, whose environment has the variable already. ``owns_workers``: this process is the
    controller of pytest-xdist, which runs no item and needs no GPU.
    """
    if not named:
        return None
    if worker:
        n, gpus = len(named.split(",")), visible_gpus(os.environ)
    else:
        judges, policy = divided(visible_gpus(os.environ), named)
        if owns_workers:
            return None
        n, gpus = len(policy), [*judges, *policy]
        os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(gpus)
    return "cuda:" + ",".join(str(len(gpus) - n + place) for place in range(n))
