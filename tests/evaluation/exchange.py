"""What judge and worker exchange of a call, in one process; tasks and candidates with arguments of any kind."""

import json
import os
from dataclasses import replace
from textwrap import indent

from made_up_tasks import task

from pytest_kernelbench.evaluation.bench import Bench
from pytest_kernelbench.evaluation.handles.racks import Rack
from pytest_kernelbench.evaluation.worker.slots import Slots


def forward(arguments, body, preamble=""):
    return preamble, f"def forward(self, {arguments}):\n{indent(body, '    ')}"


def task_of(name, arguments, body, *, inputs, preamble="", n=64):
    """A task whose ``Model.forward`` takes ``arguments`` and is ``body``."""
    before, model = forward(arguments, body, preamble)
    made = task(name, model, inputs=inputs, n=n)
    return replace(made, source=f"{before}\n{made.source}")


def candidate(arguments, body, preamble=""):
    """A module whose ``ModelNew.forward`` takes ``arguments``, waits 0.3 ms and is ``body``."""
    before, model = forward(arguments, f"time.sleep(3e-4)\n{body}", preamble)
    return f"{before}\nimport time\nimport torch\nimport torch.nn as nn\n\nclass ModelNew(nn.Module):\n" + indent(
        model, "    "
    )


class Exchange:
    """What judge and worker exchange of a call, in one process."""

    def __init__(self, made):
        self.bench = Bench(made.id, made.source, seed=0, device="cpu")
        self._rack = Rack(self.bench)
        self._places = self._rack.first(2)
        memories = self._rack.memories(self._places)
        self.slots = Slots("cpu")
        described = json.loads(json.dumps(self._rack.describe(self._places, memories)))
        self.slots.attach(described, [os.dup(memory.descriptor) for memory in memories])

    def said(self, forward, kind="signed"):
        """What is said of a candidate's ``forward``; None if it is right."""
        check, (place, _) = self.bench.check(0, kind), self._places
        place.fill(check.values)
        place.poison()
        answer = self.slots[0].deliver(forward(*self.slots[0].inputs))
        objection = None
        if "delivered" in answer:
            objection = place.objection(place.left(), check.values, self.bench.answers_to(check))
        if objection is None and "mismatch" in answer:
            return f"returns {answer['mismatch']} where {self.bench.reference.result} is due"
        return objection and objection.detail

    def close(self):
        self._rack.close()
