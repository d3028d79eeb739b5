"""Python blocks of docs/environments.md."""

import re
from pathlib import Path

PAGE = (Path(__file__).parents[2] / "docs" / "environments.md").read_text(encoding="utf-8")


def blocks_of(chapter):
    """The blocks below a heading, in order."""
    text = PAGE.partition(f"\n## {chapter}\n")[2].partition("\n## ")[0]
    return re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
