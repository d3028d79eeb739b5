"""Small sizes: the file that has them, and the text of a task with them."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from task_files import ODDLY_FORMATTED, TASK, refusal

from pytest_kernelbench.errors import TaskError
from pytest_kernelbench.tasks import as_option, load_tasks, with_sizes


def test_a_file_of_small_sizes_goes_before_the_task_s_own_and_the_packaged_ones(tmp_path):
    level = tmp_path / "level1"
    level.mkdir()
    for name in ("19_ReLU", "20_Other"):
        (level / f"{name}.py").write_text(f"{TASK}\nbatch_size = 4\ndim = 8\n")
    (level / "small.toml").write_text("[19_ReLU]\nbatch_size = 2\n[20_Other]\nbatch_size = 2\n")
    own = tmp_path / "sizes.toml"
    own.write_text('["level1/19_ReLU"]\nbatch_size = 3\ndim = 5\n')
    sized = load_tasks(str(level), sizes="small", small=own)
    assert [dict(task.sizes) for task in sized] == [{"batch_size": 3, "dim": 5}, {"batch_size": 2}]
    assert [dict(task.sizes) for task in load_tasks(str(level), sizes="full", small=own)] == [{}, {}]
    own.write_text("[19_ReLU]\nbatchsize = 3\n")
    with pytest.raises(TaskError) as error:
        load_tasks(str(level), sizes="small", small=own)
    assert str(error.value).startswith(f'{own}: [19_ReLU] "batchsize": the task assigns no such module-level constant')
    with pytest.raises(TaskError) as error:
        load_tasks(str(level), sizes="small", small=tmp_path / "none.toml")
    assert str(error.value) == (
        f"small={tmp_path}/none.toml: no such file; give a TOML file with a table for each task"
    )


def test_small_sizes_lie_beside_the_task(tmp_path):
    (tmp_path / "level2").mkdir()
    (tmp_path / "level2" / "1_X.py").write_text(TASK + "shape = (4, 4)\n")
    (tmp_path / "level2" / "small.toml").write_text("[1_X]\nN = 8\nshape = [2, 3]\n")
    (task,) = load_tasks(str(tmp_path), sizes="small")
    assert task.sizes == {"N": 8, "shape": (2, 3)}


def test_a_checkout_of_level_1_falls_back_on_the_packaged_sizes(tmp_path):
    packaged = load_tasks("level1/12", sizes="small")[0]
    (tmp_path / "level1").mkdir()
    path = tmp_path / "level1" / f"{packaged.name}.py"
    path.write_text(TASK + "M = 4\n")
    assert load_tasks(str(path), sizes="small")[0].sizes == packaged.sizes
    path.write_text(TASK)
    assert refusal(str(path), sizes="small") == (
        f"sizes=small: no small size for level1/{packaged.name}; "
        f"add [{packaged.name}] to {path.parent / 'small.toml'} or use sizes=full"
    )


def test_a_task_without_small_sizes_is_refused(checkout):
    level = checkout / "KernelBench" / "level2"
    assert refusal(str(level), sizes="small") == (
        "sizes=small: no small size for level2/1_Odd name; "
        f"add [1_Odd name] to {level / 'small.toml'} or use sizes=full"
    )


@pytest.mark.parametrize(
    ("toml", "message"),
    [
        ("[1_X]\nNN = 8", '[1_X] "NN": the task assigns no such module-level constant; did you mean "N"?'),
        ("[1_X]\nQ = 8", '[1_X] "Q": the task assigns no such module-level constant; there are N'),
        ('[1_X]\nN = "x"', '[1_X] "N": it is a number in the task, and "x" is a text; write a number'),
        ("1_X = 8", "1_X is no table; write [1_X] and its constants below"),
        ("N == 8", "is not TOML (Invalid value (at line 1, column 4)); correct it"),
    ],
)
def test_small_sizes_that_do_not_fit_are_refused(toml, message, tmp_path):
    (tmp_path / "1_X.py").write_text(TASK)
    (tmp_path / "small.toml").write_text(toml)
    assert refusal(str(tmp_path / "1_X.py"), sizes="small") == f"{tmp_path / 'small.toml'}: {message}"


def test_sizes_are_full_or_small():
    assert refusal("level1", sizes="tiny") == ('sizes=tiny: no such sizes; there are "full" and "small"')


def test_sizing_changes_values_and_leaves_the_formatting():
    sized = with_sizes(ODDLY_FORMATTED, {"stride": 2, "dim": 0, "shape": (4,), "a": 5, "K": 6, "M": 7})
    expected = ODDLY_FORMATTED.replace("stride      = 1 ;  dim= 1 ", "stride      = 2 ;  dim= 0 ")
    expected = expected.replace("(2,\n                3)", "(4,)")
    expected = expected.replace("a = b = 3  #", "a = b = 3; a = 5  #")
    expected = expected.replace("M, K = 4, 8", "M, K = 4, 8; K = 6; M = 7")
    assert sized == expected


def test_sizing_follows_a_constant_through_reassignment():
    assert with_sizes("N = 4\nN *= 2\nM = N\n", {"N": 6}) == "N = 6\nN *= 2; N = 6\nM = N\n"


def test_sizing_counts_characters_not_bytes_before_a_constant():
    assert with_sizes('s = "é→"; N = 4  # ü\r\nM = 1\r\n', {"N": 5, "M": 2}) == ('s = "é→"; N = 5  # ü\r\nM = 2\r\n')


@pytest.mark.parametrize("source", ["", "if True:\n    N = 1\n", "def f():\n    N = 1\n", "N: int\n"])
def test_a_constant_that_is_not_assigned_at_module_level_cannot_be_sized(source):
    with pytest.raises(TaskError) as caught:
        with_sizes(source, {"N": 1})
    assert str(caught.value) == ('cannot size "N": the task assigns no such module-level constant; there are none')


VALUES = st.one_of(
    st.integers(),
    st.booleans(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.lists(st.integers(), max_size=3).map(tuple),
)
SPACES = st.text(" \t", max_size=3)
FORMS = st.sampled_from(
    [
        "{name}{s}={s}{value!r}",
        "{name}{s}:{s}object{s}={s}{value!r}",
        "{name} = ({s}{value!r}{s})",
        "{name} = \\\n {value!r}",
    ]
)
ENDS = st.sampled_from(["", "  # é = 1", ";", "; s = 'ü'"])


@st.composite
def modules(draw):
    """A module's statements, by constant, and new values for some of its constants."""
    names = draw(st.lists(st.sampled_from("MNKLé"), min_size=1, unique=True))
    statements = {
        name: draw(FORMS).format(name=name, value=draw(VALUES), s=draw(SPACES)) + draw(ENDS) for name in names
    }
    return statements, draw(st.dictionaries(st.sampled_from(names), VALUES))


@settings(deadline=None)
@given(modules(), st.sampled_from(["\n", "\r\n", "\n\n# N = 3\n"]))
def test_a_sized_module_has_the_new_constants_and_every_other_line(module, newline):
    statements, sizes = module
    sized = with_sizes(newline.join(statements.values()) + newline, sizes)
    before, after = {}, {}
    exec("\n".join(statements.values()), before)
    exec(sized, after)
    wanted = {name: sizes.get(name, before[name]) for name in statements}
    assert {name: after[name] for name in statements} == wanted
    assert {name: type(after[name]) for name in statements} == {name: type(wanted[name]) for name in wanted}
    untouched = [statement for name, statement in statements.items() if name not in sizes]
    assert all(f"{newline}{statement}{newline}" in newline + sized for statement in untouched)


@settings(deadline=None)
@given(
    st.dictionaries(st.sampled_from("abc"), st.integers(), min_size=1),
    st.sampled_from(["a = b = c = 3", "a, b, c = 1, 2, 3", "[a, *b] = c = 1, 2", "a = 1; a += 1; b = c = a"]),
)
def test_a_statement_that_assigns_several_names_leaves_the_others_alone(sizes, statement):
    before, after = {}, {}
    exec(statement, before)
    exec(with_sizes(statement, sizes), after)
    expected = {name: before[name] for name in "abc"} | sizes
    if "a +=" in statement and "a" in sizes:  # b and c follow a there
        expected = {"b": sizes["a"], "c": sizes["a"]} | sizes
    assert {name: after[name] for name in "abc"} == expected


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"selectors": "level0"}, "--tasks=level0: no such level, file or folder; did you mean level1?"),
        ({"selectors": []}, "--tasks: no task named; give level1, level1:eval, level1/12, a path or hf"),
        ({"sizes": "tiny"}, '--kernelbench-sizes=tiny: no such sizes; there are "full" and "small"'),
        (
            {"sizes": "small", "small": Path("none.toml")},
            "--kernelbench-small=none.toml: no such file; give a TOML file with a table for each task",
        ),
    ],
)
def test_an_error_names_the_argument_or_what_the_caller_has_in_its_place(arguments, message):
    arguments = {"selectors": "level1/19", **arguments}
    with pytest.raises(TaskError) as error:
        load_tasks(**arguments, named=as_option)
    assert str(error.value) == message
    with pytest.raises(TaskError) as error:
        load_tasks(**arguments)
    assert str(error.value) == message.removeprefix("--").removeprefix("kernelbench-")
