"""GPUs reserved for policies: the GPUs that remain for judges, and reservations that are refused."""

import pytest

from pytest_kernelbench.errors import UsageError
from pytest_kernelbench.plugin.policy_gpus import divided

VISIBLE = ["GPU-a", "GPU-b", "GPU-c"]


@pytest.mark.parametrize(
    ("named", "judges", "policy"),
    [
        ("2", ["GPU-a", "GPU-b"], ["GPU-c"]),
        ("2, 1", ["GPU-a"], ["GPU-c", "GPU-b"]),
        ("GPU-a,1", ["GPU-c"], ["GPU-a", "GPU-b"]),
        ("1,GPU-b", ["GPU-a", "GPU-c"], ["GPU-b"]),
    ],
)
def test_policies_get_what_is_named_and_judges_the_rest(named, judges, policy):
    assert divided(VISIBLE, named) == (judges, policy)


@pytest.mark.parametrize(
    ("named", "refusal"),
    [
        ("3", "no GPU 3; write numbers from 0 to 2"),
        ("GPU-x", "no GPU GPU-x; write numbers from 0 to 2"),
        ("0,1,2", "leaves no GPU to judge on; name fewer"),
        (",", "names no GPU; write places such as 1,2"),
    ],
)
def test_what_cannot_be_set_apart_is_refused_in_one_line(named, refusal):
    with pytest.raises(UsageError) as caught:
        divided(VISIBLE, named)
    assert str(caught.value) == f"--kernelbench-policy-gpus={named}: {refusal}"


def test_where_no_gpu_is_visible_the_remedy_is_to_leave_it_out():
    with pytest.raises(UsageError) as caught:
        divided([], "0")
    assert str(caught.value) == "--kernelbench-policy-gpus=0: no GPU 0; none is visible, so leave it out"
