"""The devices by name, and the constants of each. Imports no torch: the plugin and the sandbox read the table too.

A device is one row of ``DEVICES`` and the module that the row names, which follows the protocol ``Device``. No other
file compares or keys by a device's name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceTraits:
    """The constants of one device.

    ``module``: the name of the module that follows ``Device``; the judge's processes import it. ``torch_name``: the
    device on which torch computes. ``is_gpu``: whether that is an NVIDIA GPU with CUDA; the worker then times with CUDA
    events, and the sandbox shows the GPU's device file.

    ``margins``, by protocol (``paper`` has none): what the lower end of a speed-up's interval must clear on top of 1 to
    be verified (measured with identical kernels: docs/measurements.md). ``between_processes``: standard deviation of
    the log-ratio of the same two kernels from one pair of processes to the next. ``between_launches``: the same for
    short calls, which the host can hardly launch as fast as they end. ``seconds_per_turn``: of calls by the judge's
    clock. ``seconds_per_series``: see ``clock.attestation.Plan``. ``seconds_per_claim``: a claim that is not decided by
    then is decided by what there is. ``floor_share``: the share of a task's floor under which a timing is beyond
    physics.

    ``on_one_core``: whether a claim's two processes have one core of the host together, another one in each series.
    ``trials_beside_others``: whether the device may check candidates of several trials at once; while one is timed, it
    is always alone. ``kept_controls``: how many controls are kept for the next task. ``spare_workers``: how many
    started workers wait for candidates; ``workers_at_once``: of these, how many start at the same time.
    ``starts_at_once``: how many workers of all judges do, at most half of them ahead of need (None: any number).
    ``share_kept``: the share of the device's memory that a judge may keep in slots, and as much in inputs, while it
    waits for builds or for other judges. ``n_factors`` and ``n_noise``: how many random numbers are drawn to change the
    inputs of timed calls, and to move intermediate results by their rounding errors.
    """

    module: str
    torch_name: str
    is_gpu: bool = False
    margins: Mapping[str, float]
    between_processes: float
    between_launches: float = 0.0
    on_one_core: bool = False
    seconds_per_turn: float
    seconds_per_series: float
    seconds_per_claim: float
    floor_share: float
    trials_beside_others: bool = False
    kept_controls: int = 0
    spare_workers: int = 1
    workers_at_once: int = 1
    starts_at_once: int | None = None
    share_kept: float = 0.1
    n_factors: int = 1 << 20
    n_noise: int = 1 << 18


CPU = DeviceTraits(
    module="pytest_kernelbench.evaluation.device.cpu",
    torch_name="cpu",
    margins={"full": 0.05, "fast": 0.05},
    between_processes=0.02,
    # Long against the 0.2 ms around the calls of a turn, and enough calls for their noise to average out: of calls of
    # 2 ms, the log-ratios of pairs spread by 0.2 with one call a turn and by 0.06 with nine (two cores).
    seconds_per_turn=0.02,
    # So that a claim has more than two series: the interval of two that differ, by Student's distribution, is useless.
    seconds_per_series=2.0,
    # Without a limit, claims near the margin took 31 s each, and three quarters of all time (two cores).
    seconds_per_claim=5.0,
    # A claim takes four workers, which are then started while the trial waits.
    spare_workers=2,
    # Half, because caches may hold a part of a small problem.
    floor_share=0.5,
)
CUDA = DeviceTraits(
    module="pytest_kernelbench.evaluation.device.cuda",
    torch_name="cuda",
    is_gpu=True,
    margins={"full": 0.01, "fast": 0.02},
    between_processes=0.01,
    # Of published kernels with calls of 0.05 to 0.1 ms, the log-ratios of 15 series, each on one core, spread by 0.012,
    # less than their noise (H200). With any cores, two series of one kernel differed by up to 0.3.
    between_launches=0.01,
    # Cores of a virtual machine launch kernels at speeds that differ by a third, and change within seconds: two
    # processes in turns differed by up to 7 % in calls of 0.04 ms on any cores, and by 1 % on one (H200).
    on_one_core=True,
    # Long against the 1.8 ms around the calls of a turn. Turns of 20 ms were no more exact for calls whose launches
    # differ by a tenth from turn to turn.
    seconds_per_turn=0.01,
    # Short, because other judges wait meanwhile.
    seconds_per_series=1.0,
    # Room for six series, which a claim of 3 % may need (calls of 1 ms).
    seconds_per_claim=10.0,
    # A copy is not the best mixture of reads and writes: eager relu moves its bytes 1.03 times as fast (H200).
    floor_share=0.9,
    # A check spends its time mostly in Python, in launches and on starting processes, so the GPU has room for others.
    trials_beside_others=True,
    # Judges of published kernels waited for controls to start in 21 % of their time (H200, ``-n 8``). With the two of
    # the current task these are enough for most claims; each holds a context.
    kept_controls=4,
    # A worker for a CPU starts in 0.02 s, one for a GPU takes longer.
    spare_workers=4,
    workers_at_once=2,
    # One alone takes 0.6 s with what it loads, three 0.9 s, eight 1.8 s, and 16 3.5 s (H200, 16 cores). Meanwhile other
    # calls of the driver wait: where 32 judges of four GPUs had 64 workers start, a judge's first call took 16 s.
    starts_at_once=4,
    # A claim of level1/30, whose inputs and outputs are of 6 GB each, found no memory where waiting judges and their
    # workers held 53 GB. Slots of 26 GB are made in 0.13 s (H200).
    share_kept=0.02,
    # A GPU multiplies 16 million numbers in the time that a launch takes.
    n_factors=1 << 24,
    n_noise=1 << 22,
)
DEVICES: dict[str, DeviceTraits] = {"cpu": CPU, "cuda": CUDA}


def traits_of(device: str) -> DeviceTraits:
    """The row of a device, by its name (``cuda``, or ``cuda:1`` for the second visible GPU)."""
    return DEVICES[device.partition(":")[0]]


def torch_name(device: str) -> str:
    """The device on which torch computes."""
    return traits_of(device).torch_name
