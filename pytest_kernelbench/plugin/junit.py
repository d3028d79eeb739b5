"""JUnit's XML: a fault of the harness is written as an error of the item, as on the terminal.

pytest writes every exception in an item's call as a failure. This module changes the element that pytest's private
``LogXML`` holds for the report; ``LogXML`` has been the same since pytest 6.
"""

from __future__ import annotations

import pytest
from _pytest.junitxml import xml_key


def failure_to_error(config: pytest.Config, report: pytest.TestReport) -> None:
    """Turn the failure of ``report`` into an error, if JUnit's XML is asked for. Call it after pytest has added it."""
    xml = config.stash.get(xml_key, None)
    if xml is None:
        return
    for node in xml.node_reporter(report).nodes:
        if node.tag == "failure":
            node.tag = "error"
            xml.stats["failure"] -= 1
            xml.stats["error"] += 1
