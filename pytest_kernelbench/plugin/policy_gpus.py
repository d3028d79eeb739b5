"""Which GPUs judge, and which ``--kernelbench-policy-gpus`` sets apart for policies' weights."""

from __future__ import annotations

from collections.abc import Sequence

from pytest_kernelbench.errors import UsageError


def divided(visible: Sequence[str], named: str) -> tuple[list[str], list[str]]:
    """GPUs that judge, and those that ``--kernelbench-policy-gpus=NAMED`` sets apart for policies' weights.

    ``named`` lists places among ``visible``, counted from 0, or UUIDs. Raises UsageError.
    """
    place = f"--kernelbench-policy-gpus={named}"
    policy = []
    for each in filter(None, (part.strip() for part in named.split(","))):
        if each.isdecimal() and int(each) < len(visible):
            policy.append(visible[int(each)])
        elif each in visible:
            policy.append(each)
        else:
            raise UsageError(f"{place}: no GPU {each}; there are {len(visible)}, counted from 0")
    judges = [each for each in visible if each not in policy]
    if not policy:
        raise UsageError(f"{place}: names no GPU; write places such as 1,2")
    if not judges:
        raise UsageError(f"{place}: leaves no GPU to judge on; name fewer")
    return judges, list(dict.fromkeys(policy))
