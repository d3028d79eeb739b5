"""JUnit's XML: where the harness failed, an item has an error there and no failure, as on the terminal.

pytest writes whatever goes wrong in an item's call as a failure. Touches what pytest's ``LogXML`` says of one report,
which has been the same from pytest 6 on.
"""

from __future__ import annotations

import pytest
from _pytest.junitxml import xml_key


def failure_to_error(config: pytest.Config, report: pytest.TestReport) -> None:
    """Make the failure of ``report`` an error in the XML, if there is one; to be called when it is written."""
    xml = config.stash.get(xml_key, None)
    if xml is None:
        return
    for node in xml.node_reporter(report).nodes:
        if node.tag == "failure":
            node.tag = "error"
            xml.stats["failure"] -= 1
            xml.stats["error"] += 1
