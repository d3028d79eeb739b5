"""The sources that a candidate hands to ``compile_c`` and ``compile_cuda`` as literals, found by parsing."""

from __future__ import annotations

import ast

CUDA_LANGUAGE = "cuda"
_LANGUAGE_OF_CALL = {"compile_c": "c", "compile_cuda": CUDA_LANGUAGE}


def literal_sources(module_source: str) -> list[tuple[str, str]]:
    """``(language, source)`` of every compile call whose argument is a literal or a module-level name for one."""
    try:
        tree = ast.parse(module_source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        # The parser raises MemoryError for 10,000 nested brackets.
        return []
    named = {
        target.id: node.value.value
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
        for target in node.targets
        if isinstance(target, ast.Name) and isinstance(node.value.value, str)
    }
    found = []
    for node in ast.walk(tree):
        if not (isinstance(node, ast.Call) and len(node.args) == 1):
            continue
        name = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", None)
        argument = node.args[0]
        source = argument.value if isinstance(argument, ast.Constant) else named.get(getattr(argument, "id", None))
        if name in _LANGUAGE_OF_CALL and isinstance(source, str):
            found.append((_LANGUAGE_OF_CALL[name], source))
    return found
