"""Stopped workers that answer each turn at once, and note what was done with them."""

from contextlib import contextmanager
from types import SimpleNamespace

import torch

from pytest_kernelbench.evaluation.device.foreign import Place

INPUT, OUTPUT = torch.ones(2), torch.zeros(8)


class Slot:
    inputs = ()

    def __init__(self, number):
        self.number = number

    def inputs_left(self):
        return []

    def given(self):
        return [INPUT]


class Worker:
    """A stopped worker with four slots that answers each turn at once, and the slots in which it was looked at."""

    def __init__(self, device="cpu"):
        self.slots = [Slot(number) for number in range(4)]
        self.bench = SimpleNamespace(
            device=device,
            refreshed=self.refreshed,
            bytes_by_input=[INPUT.numel() * INPUT.element_size()],
            example_outputs=[OUTPUT],
            bytes_to_answer=100,
        )
        self.rack = SimpleNamespace(calls_in_memory=lambda wanted: min(wanted, len(self.slots)), calls_ahead=0)
        self.answers_checked, self.inputs_checked, self.calls_of_turns = [], [], []
        self.called, self.did, self.kept_to = [], [], []

    @staticmethod
    def refreshed(count):
        return [SimpleNamespace(values=lambda: "inputs")] * count

    def thaw(self):
        pass

    freeze = end = close = leave_room = make_room_for_judge = thaw

    def take_memory_again(self, slots):
        pass

    @contextmanager
    def stopped(self):
        yield

    def keep_to(self, cores):
        self.kept_to.append(cores)

    def have_slots(self, count):
        return self.slots[:count]

    def hold_outputs(self, calls):
        pass

    def rehearse(self, slots):
        return 0.005

    def warm(self, reference, candidate, *, times):
        pass

    def calls(self, slots):
        self.calls_of_turns.append(len(slots))
        self.called += [slot.number for slot in slots]
        self.did.append("call")
        return 0.005, [[Place(4096 * slot.number, (1,))] for slot in slots]

    def read(self, places):
        self.did.append("read")
        return [OUTPUT]

    def check_inputs(self, slot, drawn, given):
        assert all(torch.equal(each, INPUT) for each in given)
        self.inputs_checked.append(slot.number)
        return drawn.values()

    def check_left(self, slot, left, values):
        assert (left, values) == ([OUTPUT], "inputs")
        self.answers_checked.append(slot.number)
        self.did.append("check")


class Busy(Worker):
    """A worker with many slots, whose calls take so long, in turns that take 2 ms without any."""

    def __init__(self, seconds_of_call):
        super().__init__()
        self.slots = [Slot(number) for number in range(256)]
        self.seconds_of_call = seconds_of_call

    def calls(self, slots):
        super().calls(slots)
        return 0.002 + self.seconds_of_call * len(slots), [[Place(4096 * slot.number, (1,))] for slot in slots]
