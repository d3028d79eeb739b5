"""Candidates that try to end the judge: each gets an outcome of its own, and the next candidate is judged as usual."""

import textwrap

import pytest

from pytest_kernelbench.evaluation import Evaluator
from pytest_kernelbench.records import Outcome, Task

TASK = Task(
    id="hostile/1_relu",
    source="""
import torch
from torch import nn

class Model(nn.Module):
    def forward(self, x):
        return torch.relu(x)

def get_inputs():
    return [torch.rand(1000)]

def get_init_inputs():
    return []
""",
)

# The judge's end of the socket, found as a candidate would find it.
REACH = """
import gc
import json
import os
import socket
import struct
import sys
import threading

import torch
from torch import nn

judge = next(each for each in gc.get_objects() if isinstance(each, socket.socket) and each.fileno() >= 0)

def say(text, descriptors=()):
    payload = text.encode() if isinstance(text, str) else text
    socket.send_fds(judge, [struct.pack("!I", len(payload)) + payload], descriptors)

def answer(**fields):
    say(json.dumps(fields))
"""

MODEL = """
class ModelNew(nn.Module):
    def forward(self, x):
{body}
        return torch.relu(x)
"""

# What each does when it is called.
CALLED = {
    "400 digits": 'say(\'{"delivered":true,"peak_bytes":\' + "9" * 400 + "}")',
    "5000 digits": 'say(\'{"delivered":true,"peak_bytes":\' + "9" * 5000 + "}")',
    "a bool for a number": "answer(delivered=True, peak_bytes=True)",
    "not a number": 'say(\'{"delivered":true,"peak_bytes":NaN}\')',
    "infinite": 'say(\'{"delivered":true,"peak_bytes":1e999}\')',
    "a list for a text": "answer(mismatch=[1], peak_bytes=0)",
    "an object for an exception": "answer(raised={})",
    "null for an exception": "answer(raised=None)",
    "an exception of surrogates": "answer(raised='\\ud800' * 100)",
    "an exception of escape codes": "answer(raised='\\x1b[2J\\x07' * 100)",
    "an exception of a megabyte": "answer(raised='x' * 900_000)",
    "a build of nothing": "answer(wanted=None)",
    "a build of a number": "answer(wanted=3)",
    "a build without a name": "answer(wanted={'function': 'load_inline', 'arguments': {}, 'files': {}})",
    "a build of numbers": "answer(wanted={'function': 'load', 'arguments': {'name': 3, 'sources': 4}, 'files': {}})",
    "a build outside its folder": "answer(wanted={'function': 'load', 'arguments': {'name': 'x', 'sources': "
    "['../../x.cpp']}, 'files': {'../../x.cpp': 'int x;'}})",
    "a build of another function": "answer(wanted={'function': 'exec', 'arguments': {'name': 'x'}, 'files': {}})",
    "deep nesting": 'say("[" * 100_000)',
    "an empty frame": 'say("")',
    "a huge frame": 'judge.sendall(b"\\xff" * 4096)',
    "half a frame, and the end": "judge.sendall(b'\\0\\0'); os._exit(0)",
    "a pipe": "say('{}', [os.pipe()[0]])",
    "a hundred descriptors": "say('{}', [0] * 100)",
    "descriptors with every byte": "judge.sendall(struct.pack('!I', 4000))\n"
    "for _ in range(60): socket.send_fds(judge, [b' '], [0] * 20)",
    "a flood": "threading.Thread(target=lambda: [judge.sendall(bytes(1 << 20)) for _ in range(1000)]).start()",
    "a thousand answers": "for _ in range(1000): answer(delivered=True, peak_bytes=0)",
    "a closed socket": "judge.close(); os.closerange(3, 1024)",
    "its end": "judge.shutdown(socket.SHUT_RDWR)",
    "shared memory cut short": "for number in range(3, 200):\n"
    "    try: os.ftruncate(number, 0)\n"
    "    except OSError: pass",
    "an unpickled type": "say(b'\\x80\\x04\\x95')",
    "an exit by the kernel": "os.kill(os.getpid(), 31)",
    "a stack overflow": "sys.setrecursionlimit(10**9)\ndef deeper(): deeper()\ndeeper()",
    "a message of another kind": "answer(started=True)",
    "an unknown key with a newline": "answer(**{'a\\nb': 1})",
}
# What each is when it is loaded.
LOADED = {
    "an endless source line": "x = " + "1+" * 200_000 + "1",
    "a megabyte of names": "\n".join(f"a{n} = {n}" for n in range(60_000)),
    "nested brackets": "x = " + "(" * 3000 + ")" * 3000,
    "a null byte": "x = '\0'",
    "a lone surrogate": "x = '\ud800'",
    "literals that include the world": "from pytest_kernelbench.inline import compile_c\n"
    "k = compile_c('#include \"/dev/zero\"')",
    "a literal without end": "from pytest_kernelbench.inline import compile_c\nk = compile_c('#include __FILE__')",
    "a source of two megabytes": "#" * (2 << 20),
    "an exception with a hostile text": "class E(Exception):\n    def __str__(self): raise MemoryError\nraise E",
    "an exception whose text is no text": "class E(Exception):\n    def __str__(self): return 3\nraise E",
    "an exception whose class has a hostile name": "raise type('\\x1b[31m' * 99, (Exception,), {})('x')",
}
# What each says to whoever goes through it before its trial, and again when it is loaded.
EXPLORED = {
    "a complaint that is a number": "answer(complaint=3)",
    "a complaint that is a list": "answer(complaint=['x'])",
    "a pipe for a file": "say('{}', [os.pipe()[0]])",
    "a device for a file": "say('{}', [os.open('/dev/zero', os.O_RDONLY)])",
    "a folder for a file": "say('{}', [os.open('/usr', os.O_RDONLY)])",
    "a file of the kernel's": "say('{}', [os.open('/proc/self/status', os.O_RDONLY)])",
    "a socket for a file": "say('{}', [judge.fileno()])",
    "a build without end": "answer(wanted={'function': 'load_inline', 'arguments': {'name': 'x', "
    "'cpp_sources': '#include \"/dev/zero\"'}, 'files': {}})",
    "a number for an answer": "say('3')",
    "silence, and the end": "os._exit(3)",
}
HONEST = "import torch\nfrom torch import nn\n" + MODEL.format(body="        pass")


def source_of(kind: str, text: str) -> str:
    if kind == "explored":
        return f"# load_inline\n{REACH}\n{text}\n" + MODEL.format(body="        pass")
    if kind == "called":
        return REACH + MODEL.format(body=textwrap.indent(text, "        "))
    return f"import torch\nfrom torch import nn\n{text}\n" + MODEL.format(body="        pass")


@pytest.mark.slow
def test_no_candidate_ends_the_judge_or_is_fast(tmp_path_factory):
    hostile = [source_of("called", each) for each in CALLED.values()]
    hostile += [source_of("loaded", each) for each in LOADED.values()]
    hostile += [source_of("explored", each) for each in EXPLORED.values()]
    with Evaluator(device="cpu", protocol="fast", cache=tmp_path_factory.mktemp("builds")) as evaluator:
        *tried, honest = evaluator.evaluate(TASK, [*hostile, HONEST])
        assert honest.outcome is Outcome.CORRECT, honest.detail
        for name, evaluation in zip([*CALLED, *LOADED, *EXPLORED], tried, strict=True):
            assert not evaluation.fast(margin=evaluator.margin), name
            assert evaluation.detail.isprintable() and len(evaluation.detail) < 1000, name
            assert evaluation.outcome is not Outcome.NO_SOURCE, name
            assert evaluation.quoted or not evaluation.detail.startswith(("RuntimeError", "OSError", "xxx", "???")), (
                name
            )
        forged = dict(zip(CALLED, tried, strict=False))
    for name in (
        "400 digits",
        "a bool for a number",
        "a list for a text",
        "a build of nothing",
        "deep nesting",
    ):
        assert (forged[name].outcome, forged[name].flags) == (Outcome.VOID, ("forged_answer",)), forged[name]
