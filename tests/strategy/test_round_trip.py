"""A strategy that is written as a file and loaded again is the same strategy."""

from dataclasses import fields, is_dataclass, replace
from pathlib import Path

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from pytest_kernelbench.strategy import (
    Adaptation,
    EvaluationSettings,
    Sampling,
    SearchSettings,
    SelectionSettings,
    Stopping,
    Strategy,
)
from pytest_kernelbench.strategy.loading import strategy_of
from pytest_kernelbench.strategy.rules import refusal
from pytest_kernelbench.strategy.tables import check, in_place


def as_table(value):
    """The table of a section: what is None, or set by another section, stands in no file."""
    rows = {each.name: getattr(value, each.name) for each in fields(value) if "set_by" not in each.metadata}
    return {key: as_table(row) if is_dataclass(row) else row for key, row in rows.items() if row is not None}


def of_field(row):
    limits = row.metadata
    kind = str(row.type).removesuffix(" | None")
    if "section" in limits:
        return sections(limits["section"])
    if "choices" in limits:
        values = st.sampled_from(sorted(limits["choices"]))
    elif kind == "bool":
        values = st.booleans()
    elif kind == "int":
        values = st.integers(limits["minimum"], limits["minimum"] + 200)
    elif kind == "float":
        values = st.floats(limits["minimum"], limits.get("maximum", 1e6), allow_nan=False)
    else:
        values = st.text("ab,:-", max_size=5)
    return values | st.none() if str(row.type).endswith("None") else values


def sections(cls):
    drawn = {each.name: st.just(each.default) if "set_by" in each.metadata else of_field(each) for each in fields(cls)}
    # A key that nothing reads is refused, so most keys have their default.
    keys = st.sets(st.sampled_from(sorted(drawn)), max_size=5)
    return keys.flatmap(lambda some: st.fixed_dictionaries({key: drawn[key] for key in some})).map(
        lambda row: cls(**row)
    )


@settings(deadline=None)  # drawing is slow on a busy machine
@given(
    sampling=sections(Sampling),
    evaluation=sections(EvaluationSettings),
    selection=sections(SelectionSettings),
    search=st.none() | sections(SearchSettings),
    stopping=st.none() | sections(Stopping),
    adaptation=st.none() | sections(Adaptation),
)
def test_a_strategy_written_as_a_table_is_the_same_strategy(
    sampling, evaluation, selection, search, stopping, adaptation
):
    strategy = Strategy(
        name="x",
        sampling=sampling,
        evaluation=evaluation,
        selection=selection,
        search=search if adaptation is None else None,
        stopping=stopping if adaptation is None else None,
        adaptation=adaptation,
    )
    assume(refusal(strategy) is None)
    names = ("sampling", "evaluation", "selection", "search", "stopping", "adaptation")
    table = {name: as_table(section) for name in names if (section := getattr(strategy, name)) is not None}
    check(table, "x")
    read = strategy_of(table, path=Path("x.toml"), place="x")
    assert read == strategy and read.sha256 == strategy.sha256


@settings(deadline=None)  # drawing is slow on a busy machine
@given(adaptation=sections(Adaptation))
def test_recorded_settings_are_the_same_settings_when_read_and_when_written_into_a_file(adaptation):
    recorded = adaptation.to_json()
    assert Adaptation.from_json(recorded) == adaptation
    flat = {key: value for key, value in recorded.items() if value is not None}
    assert in_place({"adaptation": flat}, "x") == {"adaptation": as_table(adaptation)}
    assert replace(adaptation) == adaptation
