"""An honest answer to each question that a worker is asked, to two pairs or two slots, and any other answer."""

from hypothesis import strategies as st

HONEST = {
    "start": {"started": True},
    "prepare": {"prepared": True},
    "load": {"loaded": True},
    "adopt_weights": {"adopted": False},
    "attach": {"attached": 2},
    "move_parameters": {"moved": True},
    "run": {"delivered": True, "peak_bytes": 0},
    "leave_room": {"left": True},
    "hold": {"held": True},
    "forget": {"forgotten": True},
    "warm": {"warm": True, "peak_bytes": 0},
    "pairs": {
        "reference_ms": [1e-6, 2e-6],
        "candidate_ms": [1e-6, 1e-6],
    },
    "series": {"ms": [1e-6, 1e-6]},
    "calls": {"at": [4096, 8192], "strides": [1, 1], "handle": [0, 0], "handles": [""]},
    "rehearse": {"at": [4096, 8192], "strides": [1, 1], "handle": [0, 0], "handles": [""]},
    "profile": {"busy_ms": [0.5], "operators": ["aten.relu"], "kernels": ["relu_kernel"]},
    "build": {"complaint": "main.cpp:1:1: error: x", "final": True},
    "compile": {},
    "explore": {"complaint": None},
    "pack_compiled": {"packed": True},
    "precompile": {"complaint": None},
    "fork": {"supervisor": 1000},
}
numbers = st.integers() | st.floats() | st.sampled_from([0, -1, 10**400, 1 << 63, float("inf"), 5e-324, True])
values = st.recursive(
    st.none() | st.booleans() | numbers | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=10,
)


@st.composite
def hostile_answers(draw, ask):
    """An honest answer with a field replaced, left out or added, or any object at all."""
    answer = dict(HONEST[ask])
    names = sorted({*answer, "raised", "kind", "mismatch", "complaint", "wanted", "building"})
    for name in draw(st.lists(st.sampled_from(names), max_size=2)):
        answer.pop(name, None)
        if draw(st.booleans()):
            answer[name] = draw(values)
    return draw(st.just(answer) | st.dictionaries(st.text(max_size=9), values, max_size=3))


REQUEST = {"function": "load_inline", "arguments": {"name": "", "cpp_sources": ["x"]}, "files": {"a.h": "text"}}
