"""Places of the package's own folders, installed or in a checkout, and of the folders of a user's project."""

from pathlib import Path

PACKAGE = Path(__file__).parents[1]
# A folder with one of these is taken for the root folder of a project, as pytest does.
IN_A_ROOT = ("pyproject.toml", "pytest.ini", "tox.ini", "setup.cfg", "setup.py", ".git")


def data_folder(name: str) -> Path:
    """The folder ``tasks`` or ``strategies`` that ships with this package."""
    installed = PACKAGE / "data" / name
    return installed if installed.is_dir() else PACKAGE.parent / name


def in_project(folder: Path) -> Path:
    """``folder`` as seen from the working folder or, if it is not there, from the next folder above that has it.

    So ``kernels`` is the same folder anywhere in a project. The search ends at the project's root folder. A folder that
    is not found is returned unchanged, and so is an absolute path.
    """
    here, above = Path.cwd(), Path()
    for parent in (here, *here.parents):
        if (above / folder).is_dir():
            return above / folder
        if any((parent / name).exists() for name in IN_A_ROOT):
            break
        above /= ".."
    return folder
