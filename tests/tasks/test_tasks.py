import random
import shutil
import subprocess
import sys
from types import ModuleType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_kernelbench.tasks.files import toml_of
from pytest_kernelbench.errors import TaskError
from pytest_kernelbench.host.resources import data_folder
from pytest_kernelbench.tasks import is_task_file, load_tasks, parse_task, with_sizes

TASK = """\
import torch


class Model(torch.nn.Module):
    def forward(self, x):
        return x


N = 4096


def get_inputs():
    return [torch.rand(N)]


def get_init_inputs():
    return []
"""

ODDLY_FORMATTED = """\
import torch
class Model( torch.nn.Module ) :
\tdef forward( self , x ) : return "\\d"

stride      = 1 ;  dim= 1   # both of one
shape: tuple = (2,
                3)
a = b = 3  # chained
M, K = 4, 8

get_inputs = lambda: []
get_init_inputs = get_inputs
"""


@pytest.fixture
def checkout(tmp_path):
    """A KernelBench checkout, with a space in its path and everything else a checkout may hold."""
    root = tmp_path / "kernel bench"
    for level, names in {"level1": ["2_B", "10_C", "1_A"], "level2": ["1_Odd name"]}.items():
        (root / "KernelBench" / level).mkdir(parents=True)
        for name in names:
            source = ODDLY_FORMATTED if level == "level2" else TASK
            (root / "KernelBench" / level / f"{name}.py").write_text(source)
    (root / "KernelBench" / "changelog").mkdir()
    (root / "KernelBench" / "level1" / "__init__.py").write_text("")
    (root / "setup.py").write_text("print('never run')")
    return root


def ids(tasks):
    return [task.id for task in tasks]


def refusal(selectors, **options):
    with pytest.raises(TaskError) as caught:
        load_tasks(selectors, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# Selectors


def test_a_level_holds_its_tasks_in_the_order_of_their_numbers():
    tasks = load_tasks("level1")
    assert [task.short_id for task in tasks] == [f"level1/{number}" for number in range(1, 101)]
    assert ids(tasks)[11] == "level1/12_Matmul_with_diagonal_matrices_"
    assert tasks[0].path == data_folder("tasks") / "level1" / "1_Square_matrix_multiplication_.py"
    assert tasks[0].source == tasks[0].path.read_text()
    assert not tasks[0].sizes


@pytest.mark.parametrize(
    ("selector", "numbers"),
    [
        ("level1:subset1", [4, 5, 12, 14, 15]),
        ("level1:seed42.subset2", [18, 28, 29, 30, 32]),
        ("level1:seed44.eval,level1:seed44.train", list(range(1, 101))),
        ("level1/12", [12]),
        ("level1/12_Matmul_with_diagonal_matrices_", [12]),
        ("level1/*ReLU*", [19, 20]),
        ("level1/20, level1/3,level1/*ReLU*,", [3, 19, 20]),
        (["level1/20", "level1/3,level1/20"], [3, 20]),
    ],
)
def test_selectors_name_tasks_once_and_in_natural_order(selector, numbers):
    assert [task.short_id for task in load_tasks(selector)] == [f"level1/{number}" for number in numbers]


def test_train_and_eval_share_no_task_and_make_up_the_level():
    train, held_out = ids(load_tasks("level1:train")), ids(load_tasks("level1:eval"))
    assert (len(train), len(held_out)) == (80, 20)
    assert sorted(train + held_out) == sorted(ids(load_tasks("level1")))


def test_a_checkout_holds_the_tasks_of_all_its_levels(checkout):
    whole = ["level1/1_A", "level1/2_B", "level1/10_C", "level2/1_Odd name"]
    assert ids(load_tasks(str(checkout))) == whole
    assert ids(load_tasks(str(checkout / "KernelBench"))) == whole
    assert load_tasks(str(checkout))[3].source == ODDLY_FORMATTED


def test_a_level_folder_takes_what_a_packaged_level_takes(checkout):
    level = checkout / "KernelBench" / "level1"
    assert ids(load_tasks(str(level))) == ["level1/1_A", "level1/2_B", "level1/10_C"]
    assert ids(load_tasks(f"{level}/10")) == ["level1/10_C"]
    assert ids(load_tasks(f"{level}/*_[AB]")) == ["level1/1_A", "level1/2_B"]
    assert refusal(f"{level}:subset1") == (f"--tasks={level}:subset1: the split has task 4, which {level} lacks")


def test_the_splits_apply_to_another_text_of_the_level(tmp_path):
    folder = tmp_path / "level1"
    folder.mkdir()
    for number in (4, 5, 12, 14, 15, 16):
        (folder / f"{number}_X.py").write_text(TASK)
    assert ids(load_tasks(f"{folder}:subset1")) == [f"level1/{number}_X" for number in (4, 5, 12, 14, 15)]


def test_a_file_is_a_task_and_its_folder_the_level(tmp_path, monkeypatch):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "fused.py").write_text(TASK)
    monkeypatch.chdir(tmp_path / "mine")
    (task,) = load_tasks("./fused.py")
    assert (task.id, task.short_id, task.path) == ("mine/fused", "mine/fused", tmp_path / "mine" / "fused.py")


def test_a_packaged_level_comes_before_a_folder_of_its_name(checkout, monkeypatch):
    monkeypatch.chdir(checkout / "KernelBench")
    assert len(load_tasks("level1")) == 100
    assert len(load_tasks("./level1")) == 3
    assert ids(load_tasks("level2")) == ["level2/1_Odd name"]


def test_two_tasks_with_one_id_are_refused(tmp_path):
    for parent in ("a", "b"):
        (tmp_path / parent / "level9").mkdir(parents=True)
        (tmp_path / parent / "level9" / "1_X.py").write_text(TASK)
    one, other = (tmp_path / parent / "level9" / "1_X.py" for parent in ("a", "b"))
    assert refusal(f"{one},{one.parent}/../level9,{other}") == (
        f"--tasks={other}: level9/1_X is both {one} and {other}; name one of them"
    )


@pytest.mark.parametrize(
    ("selector", "message"),
    [
        ("", "--tasks: no task named; give level1, level1:eval, level1/12, a path or hf"),
        (
            "level1:subset3",
            "--tasks=level1:subset3: no such split; there are train, eval, subset1, subset2",
        ),
        ("level1:seed43.subset1", "--tasks=level1:seed43.subset1: no such split; there are train, eval"),
        ("level1:seed7.eval", "--tasks=level1:seed7.eval: no such seed; there are seed42, seed43, seed44"),
        ("level1/101", "--tasks=level1/101: no such task; level1 has 1 to 100"),
        (
            "level1/12_Matmul_diag",
            "--tasks=level1/12_Matmul_diag: no such task; did you mean level1/12_Matmul_with_diagonal_matrices_?",
        ),
        (
            "level1/*Zebra*",
            "--tasks=level1/*Zebra*: no such task; level1 has 100, the first is level1/1_Square_matrix_multiplication_",
        ),
        ("levle1", "--tasks=levle1: no such level, file or folder; did you mean level1?"),
        ("level2:eval", "--tasks=level2:eval: no such level, file or folder; packaged: level1"),
        ("no/such/path", "--tasks=no/such/path: no such level, file or folder; packaged: level1"),
        ("/12", "--tasks=/12: no such level, file or folder; packaged: level1"),
    ],
)
def test_a_selector_that_names_nothing_says_what_there_is(selector, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert refusal(selector) == message


def test_a_folder_without_tasks_is_refused(tmp_path):
    assert refusal(str(tmp_path)) == (
        f"--tasks={tmp_path}: holds no KernelBench task; give a level folder or a KernelBench checkout"
    )


def test_a_level_without_splits_is_refused(checkout, tmp_path):
    level = tmp_path / "level7"
    shutil.copytree(f"{checkout}/KernelBench/level2", level)
    assert refusal(f"{level}:eval") == (
        f"--tasks={level}:eval: level7 has no splits; give level7, or tasks of it such as level7/1"
    )


def test_the_split_of_level_2_is_drawn_as_that_of_level_1():
    files = [data_folder("tasks") / f"splits/{level}_seed42.toml" for level in ("l1", "l2")]
    splits = [toml_of(file) for file in files]
    ids = list(range(1, 101))
    random.Random(42).shuffle(ids)
    for split in splits:
        assert (split["train"], split["eval"]) == (sorted(ids[:80]), sorted(ids[80:]))


# Small sizes of the user's own


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
        f"--kernelbench-small={tmp_path}/none.toml: no such file; give a TOML file with a table for each task"
    )


# Task files


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (
            TASK.replace("class Model", "class Net"),
            ": no class Model; a KernelBench task defines Model, get_inputs and get_init_inputs",
        ),
        (
            "class Model: ...\ndef main():\n    def get_inputs(): ...",
            ": no function get_inputs, no function get_init_inputs; "
            "a KernelBench task defines Model, get_inputs and get_init_inputs",
        ),
        (
            "N = 1\ndef f(:\n    pass\n",
            ":2: does not parse (invalid syntax); correct it or leave it out",
        ),
    ],
)
def test_a_file_that_is_no_task_is_refused_in_one_line(source, message, tmp_path):
    path = tmp_path / "1_X.py"
    path.write_text(source)
    with pytest.raises(TaskError) as caught:
        parse_task(path)
    assert str(caught.value) == f"{path}{message}"


def test_a_file_that_is_not_utf_8_is_refused(tmp_path):
    path = tmp_path / "1_X.py"
    path.write_bytes(b"# \xff")
    with pytest.raises(TaskError) as caught:
        parse_task(path)
    assert str(caught.value) == (
        f"{path}: cannot be read ('utf-8' codec can't decode byte 0xff in position 2: invalid start byte); "
        "give a KernelBench task in UTF-8"
    )


def test_definitions_may_be_assigned_and_strings_may_hold_odd_escapes(tmp_path):
    path = tmp_path / "1_X.py"
    path.write_text("\ufeff" + ODDLY_FORMATTED, encoding="utf-8")
    assert parse_task(path).source == ODDLY_FORMATTED


def test_a_broken_numbered_file_of_a_level_is_shown_not_passed_over(checkout):
    broken = checkout / "KernelBench" / "level1" / "3_D.py"
    broken.write_text("class Model: ...")
    assert refusal(str(checkout)).startswith(f"{broken}: no function get_inputs")


def test_a_task_file_is_told_from_other_files(checkout):
    level = checkout / "KernelBench" / "level1"
    (level / "notes.txt").write_text(TASK)
    assert is_task_file(level / "1_A.py")
    assert not is_task_file(level / "__init__.py")
    assert not is_task_file(level / "notes.txt")
    assert not is_task_file(level / "absent.py")
    assert not is_task_file(level)


def test_tasks_are_parsed_without_running_them_and_without_torch(tmp_path):
    (tmp_path / "1_X.py").write_text(f"raise SystemExit('ran')\n{TASK}")
    script = (
        "import sys; from pytest_kernelbench.tasks import load_tasks; "
        f"load_tasks(['level1', {str(tmp_path)!r}], sizes='full'); print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert (done.stdout, done.returncode) == ("False\n", 0), done.stderr


# Sizes


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
        f"--kernelbench-sizes=small: no small size for level1/{packaged.name}; "
        f"add [{packaged.name}] to {path.parent / 'small.toml'} or use --kernelbench-sizes=full"
    )


def test_a_task_without_small_sizes_is_refused(checkout):
    level = checkout / "KernelBench" / "level2"
    assert refusal(str(level), sizes="small") == (
        "--kernelbench-sizes=small: no small size for level2/1_Odd name; "
        f"add [1_Odd name] to {level / 'small.toml'} or use --kernelbench-sizes=full"
    )


@pytest.mark.parametrize(
    ("toml", "message"),
    [
        ("[1_X]\nNN = 8", '[1_X] "NN": the task assigns no such module-level constant; did you mean "N"?'),
        ("[1_X]\nQ = 8", '[1_X] "Q": the task assigns no such module-level constant; there are N'),
        ("1_X = 8", "1_X is no table; write [1_X] and its constants below"),
        ("N == 8", "is not TOML (Invalid value (at line 1, column 4)); correct it"),
    ],
)
def test_small_sizes_that_do_not_fit_are_refused(toml, message, tmp_path):
    (tmp_path / "1_X.py").write_text(TASK)
    (tmp_path / "small.toml").write_text(toml)
    assert refusal(str(tmp_path / "1_X.py"), sizes="small") == f"{tmp_path / 'small.toml'}: {message}"


def test_sizes_are_full_or_small():
    assert refusal("level1", sizes="tiny") == ('--kernelbench-sizes=tiny: no such sizes; there are "full" and "small"')


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


# The dataset


@pytest.fixture
def dataset(monkeypatch):
    """A stand-in for the package ``datasets``, in the shape of the real dataset."""
    module = ModuleType("datasets")
    rows = {
        "level_1": [
            {"code": TASK, "level": 1, "name": "2_B", "problem_id": 2},
            {"code": TASK, "level": 1, "name": "1_A.py", "problem_id": 1},
        ],
        "level_2": [{"code": TASK, "level": 2, "name": "Fused", "problem_id": 7}],
    }
    module.load_dataset = {"ScalingIntelligence/KernelBench": rows}.__getitem__
    monkeypatch.setitem(sys.modules, "datasets", module)
    return module


def test_the_dataset_holds_all_levels(dataset):
    tasks = load_tasks("hf")
    assert ids(tasks) == ["level1/1_A", "level1/2_B", "level2/7_Fused"]
    assert {(task.source, task.path) for task in tasks} == {(TASK, None)}
    assert ids(load_tasks("hf:level2")) == ["level2/7_Fused"]
    assert refusal("hf:level9") == "--tasks=hf:level9: no such level; there are level1, level2"
    assert refusal("hf:level2", sizes="small") == (
        "--kernelbench-sizes=small: no small size for level2/7_Fused; use --kernelbench-sizes=full"
    )


def test_a_row_of_the_dataset_that_is_no_task_is_refused(dataset):
    dataset.load_dataset("ScalingIntelligence/KernelBench")["level_2"][0]["code"] = "N = 1"
    assert refusal("hf") == (
        "ScalingIntelligence/KernelBench level2/7_Fused: no class Model, no function get_inputs, no function "
        "get_init_inputs; a KernelBench task defines Model, get_inputs and get_init_inputs"
    )


def test_the_dataset_without_its_package_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", None)
    assert refusal("hf") == (
        "--tasks=hf: needs the package datasets; pip install datasets, or give a KernelBench checkout"
    )


def test_the_dataset_off_line_says_why_it_did_not_load(dataset):
    def unreachable(name):
        raise ConnectionError("Couldn't reach the Hub\nTraceback follows")

    dataset.load_dataset = unreachable
    assert refusal("hf") == (
        "--tasks=hf: ScalingIntelligence/KernelBench did not load (Couldn't reach the Hub); "
        "go online once, or give a KernelBench checkout"
    )
