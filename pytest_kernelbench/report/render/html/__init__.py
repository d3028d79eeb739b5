"""``report.html``: a run as one page that needs no network, no server and no other file.

Text from candidates may be hostile. The page has it only as compressed base64, which the page's script unpacks into
text nodes, or escaped by the template. The page's content security policy allows no other script.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_kernelbench.records import Task
from pytest_kernelbench.report.metrics import THRESHOLDS
from pytest_kernelbench.report.records import RunRecords
from pytest_kernelbench.report.render.cautions import interval_warnings
from pytest_kernelbench.report.render.html.candidates import candidates_by_task
from pytest_kernelbench.report.render.numbers import as_amount, as_percent, as_rate, as_times, scope
from pytest_kernelbench.report.render.primary import primary_sentences
from pytest_kernelbench.report.render.tables import fixed_of, tables_of

if TYPE_CHECKING:
    from pytest_kernelbench.report.render.figures import Figures

HERE = Path(__file__).parent
SHOWN_ANYWAY = ("strategies", "fast_p", "tasks")
NO_MATPLOTLIB = "no figures: they need matplotlib; pip install 'pytest-kernelbench[report]'"


def write(records: RunRecords, content: Mapping[str, Any], folder: Path) -> list[str]:
    """``report.html`` and the folder ``figures``; the lines say which figures are not there, and why."""
    figures, lines = None, [NO_MATPLOTLIB]
    if find_spec("matplotlib"):
        from pytest_kernelbench.report.render.figures import draw_figures, write_figures

        figures = draw_figures(content)
        write_figures(figures, folder / "figures")
        lines = [f"no figure {' and '.join(names)}: {reason}" for reason, names in figures.reasons.items()]
    (folder / "report.html").write_text(html_report(records, content, figures), encoding="utf-8")
    return lines


def html_report(records: RunRecords, report: Mapping[str, Any], figures: Figures | None = None) -> str:
    """The page. ``report`` is ``report_json(records)``; without ``figures`` it has none, and says so."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        loader=FileSystemLoader(HERE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "percent": lambda rate: "-" if rate is None else as_percent(rate),
        "rate": as_rate,
        "times": as_times,
        "fixed": fixed_of,
        "short_id": lambda task: Task(id=task, source="").short_id,
        "amount": as_amount,
        "name_only": _name_only,
        "figure_uri": _figure_uri,
    }
    style, script = ((HERE / name).read_text(encoding="utf-8") for name in ("page.css", "page.js"))
    page = environment.get_template("page.html.jinja").render(
        report=report,
        options=records.options,
        scope=scope(report),
        primary=primary_sentences(report),
        warnings=interval_warnings(report["strategies"]),
        not_confirmed=any(
            row["speedup"] is not None and not row["confirmed"]
            for each in report["strategies"].values()
            for row in each["tasks"].values()
        ),
        thresholds=THRESHOLDS,
        costs={head: key for head, key in COSTS.items() if _known(report, key)},
        floors=(report["analyses"]["floor"] or {"strategies": {}})["strategies"],
        tasks=candidates_by_task(records),
        figures=figures,
        tables={name: table for name, table in tables_of(report).items() if name not in SHOWN_ANYWAY},
        style=Markup(style),
        script=Markup(script),
        policy=_content_security_policy(style, script),
    )
    # A lone surrogate in a line of a candidate's log has no UTF-8; nothing of it is worth failing for.
    return page.encode("utf-8", "replace").decode("utf-8")


COSTS = {
    "Answers": "rollouts",
    "Tokens": "tokens",
    "Timed": "timed",
    "Seconds": "seconds",
}


def _known(report: Mapping[str, Any], cost: str) -> bool:
    return any(each[cost] is not None for each in report["analyses"]["cost"]["strategies"].values())


def _name_only(unit: str) -> str:
    """``Matrix scalar multiplication, seed 1``."""
    task, _, seed = unit.partition("[seed=")
    name = task[len(Task(id=task, source="").short_id) :].strip("_").replace("_", " ")
    return f"{name}, seed {seed.rstrip(']')}" if seed else name


def _content_security_policy(style: str, script: str) -> str:
    """Nothing is loaded and nothing runs but the page's own style and script, named by their hashes."""
    return "; ".join(
        [
            "default-src 'none'",
            f"style-src '{_hash(style)}'",
            f"script-src '{_hash(script)}'",
            "img-src data:",
            "base-uri 'none'",
            "form-action 'none'",
        ]
    )


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _figure_uri(svg: str) -> str:
    from pytest_kernelbench.report.render.figures.dark import themed

    return "data:image/svg+xml;base64," + base64.b64encode(themed(svg).encode()).decode()
