"""The error of an environment whose library is not installed."""

from __future__ import annotations


def without(extra: str, error: ModuleNotFoundError) -> ModuleNotFoundError:
    """An error that says in one line how to install ``extra``, in place of ``error`` from an import of its packages."""
    package = (error.name or extra).partition(".")[0]
    return ModuleNotFoundError(
        f"pytest_kernelbench.environments.{extra}: needs the package {package}; "
        f"pip install 'pytest-kernelbench[{extra}]'",
        name=error.name,
    )
