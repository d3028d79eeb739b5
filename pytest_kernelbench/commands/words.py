"""Modules that sessions and commands share name pytest's options in errors; here they become the command's options."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Mapping

# "pytest --strategy=..." already says whose option it is.
OPTION_OF_PYTEST = re.compile(r"(?<![\w-])(?<!pytest )(?<!pytest's )(--(?:kernelbench-)?([a-z][a-z-]*))(?![\w-])(=?)")
UNPREFIXED = ("--tasks", "--policy", "--strategy")


def in_own_words(
    message: str, add_arguments: Callable[[argparse.ArgumentParser], None], other_names: Mapping[str, str] | None = None
) -> str:
    """``message`` with each option of pytest as the command has it: ``--kernelbench-device`` as ``--device``.

    ``other_names``: where the command calls it otherwise, such as a positional argument; "" leaves out the name and its
    equals sign. An option that the command lacks is called pytest's.
    """
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    own = {name for action in parser._actions for name in action.option_strings}

    def renamed(found: re.Match[str]) -> str:
        option, bare, equals = found.groups()
        if option in (other_names or {}):
            name = (other_names or {})[option]
            return name + equals if name.startswith("--") else name
        if option in own:
            return found[0]
        if not (option in UNPREFIXED or option.startswith("--kernelbench-")):
            return found[0]
        return f"--{bare}{equals}" if f"--{bare}" in own else f"pytest's {found[0]}"

    return OPTION_OF_PYTEST.sub(renamed, message)
