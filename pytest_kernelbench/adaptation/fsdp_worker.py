"""One of the processes that hold a sharded model, as torchrun starts it: ``... -m ...fsdp_worker '{"model": ...}'``.

The first process reads requests and answers them; every process carries them out. ``policies/sharded.py`` is the
other end of the connection.
"""

from __future__ import annotations

import json
import os
import socket
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import fields
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch import distributed as dist
from transformers import AutoConfig, AutoModelForCausalLM

from pytest_kernelbench.adaptation.peft_trainer import PeftTrainer
from pytest_kernelbench.adaptation.ranks import ProcessGroup
from pytest_kernelbench.adaptation.trainer import TrainingRow
from pytest_kernelbench.errors import KernelBenchError
from pytest_kernelbench.policies.causal_lm import batch_rows
from pytest_kernelbench.policies.decoding import Model
from pytest_kernelbench.policies.hf import HFPolicy, folder_of, whole_precision
from pytest_kernelbench.policies.sharding import least_of, shard
from pytest_kernelbench.records import Task
from pytest_kernelbench.strategy import Adaptation, Sampling

# The processes wait for the next request while the candidates of a step are judged, which may take hours.
PATIENCE = timedelta(days=30)


class ShardedHFPolicy(HFPolicy):
    """A Hugging Face model of which this process holds a share."""

    def load_model(self, folder: Path, dtype: str | torch.dtype, device: str) -> Model:
        """Load the model: the first process reads the weights into host memory, the others read only their shapes."""
        real: dict[str, Tensor] = {}
        if dist.get_rank() == 0:
            more = whole_precision(folder)
            whole = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype, local_files_only=True, **more)
            real = {**dict(whole.named_parameters()), **dict(whole.named_buffers())}
            dtype = whole.dtype
        (dtype,) = _agreed(dtype)
        with torch.device("meta"):
            config = AutoConfig.from_pretrained(folder, local_files_only=True)
            skeleton = AutoModelForCausalLM.from_config(config, dtype=dtype)
        if dist.get_rank() == 0:
            skeleton.generation_config = whole.generation_config
        (skeleton.generation_config,) = _agreed(skeleton.generation_config)
        return shard(skeleton, lambda name, like: real.pop(name), torch.device(device))

    def rows_at_once(self, tokens: int) -> int:
        """The number of rows that fit on the GPU with the least free memory.

        All processes must split rows alike. Otherwise they would wait for each other for ever.
        """
        device = self.model.get_input_embeddings().weight.device
        return least_of(batch_rows(self.model, tokens), device)


class Member:
    """One process: carries out each request on its share of the model."""

    def __init__(self, policy: HFPolicy) -> None:
        self.policy = policy
        self.trainer: PeftTrainer | None = None
        self._borrowed = ExitStack()

    def do(self, request: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
        """Carry out a request. Yields kind and value of each line of the answer; the last kind is ``done``.

        Raises KernelBenchError, in every process.
        """
        work = request["do"]
        task = Task(**request["task"]) if "task" in request else None
        policy, trainer = self.policy, self.trainer
        value: Any = None
        if work == "hello":
            value = {"version": policy.version, "processes": ProcessGroup().gathered(os.getpid())}
        elif work == "sample" and task:
            sampling = Sampling(**request["sampling"])
            drawn = {key: request[key] for key in ("seed", "indices", "advice")}
            for done in policy.sample(task, sampling, **drawn):
                yield "one", done.to_json()
        elif work == "prompt_ids" and task:
            value = policy.prompt_ids(task, request["answer"], advice=request["advice"])
        elif work == "score" and task:
            value = policy.score(
                task,
                request["answer"],
                request["token_ids"],
                temperature=request["temperature"],
                advice=request["advice"],
            )
        elif work == "train":
            value = self._train(request)
        elif work == "stop training" and trainer:
            trainer.close()
            self.trainer = None
        elif trainer:
            value = self._as_trainer(trainer, work, request)
        yield "done", value

    def _train(self, request: Mapping[str, Any]) -> dict[str, Any]:
        self.trainer = PeftTrainer(
            self.policy,
            settings=Adaptation.from_json(request["settings"]),
            temperature=request["temperature"],
            max_tokens=request["max_tokens"],
            seed=request["seed"],
            ranks=ProcessGroup(),
        )
        kept = ("temperature", "scores_exactly", "described", "loaded_version")
        return {key: getattr(self.trainer, key) for key in kept}

    def _as_trainer(self, trainer: PeftTrainer, work: str, request: Mapping[str, Any]) -> Any:
        if work == "update":
            return trainer.update([_row(each) for each in request["rows"]], step=request["step"])
        if work == "save":
            if dist.get_rank() == 0:
                trainer.save(Path(request["folder"]), request["update"])
            dist.barrier()
        elif work == "load":
            trainer.load(Path(request["folder"]) if request["folder"] else None, step=request["step"])
        elif work == "use":
            trainer.use_loaded() if request["version"] is None else trainer.use_adapted(request["version"])
        elif work == "borrow":
            folders = request["folders"]
            weights = (
                trainer.as_loaded()
                if folders is None
                else trainer.as_average([Path(each) for each in folders], rate=request["rate"])
            )
            self._borrowed.enter_context(weights)
        elif work == "give back":
            self._borrowed.close()
        return None


def _row(row: Mapping[str, Any]) -> TrainingRow:
    names = [each.name for each in fields(TrainingRow)]
    return TrainingRow(
        **{key: tuple(value) if value is not None else None for key, value in row.items() if key in names}
    )


def serve(member: Member, stream: Any) -> None:
    """Serve requests until the other end closes the connection. ``stream``: None in every process but the first."""
    while True:
        (line,) = _agreed(stream.readline() if stream else None)
        if not line:
            return
        try:
            for kind, value in member.do(json.loads(line)):
                _say(stream, kind, value)
        except KernelBenchError as error:
            _say(stream, "error", {"kind": type(error).__name__, "said": str(error)})


def _say(stream: Any, kind: str, value: Any) -> None:
    if stream:
        stream.write(json.dumps({kind: value}) + "\n")
        stream.flush()


def _agreed(*values: Any) -> list[Any]:
    """``values`` of the first process, in every process."""
    held = list(values)
    dist.broadcast_object_list(held, src=0, device=torch.device("cpu"))
    return held


def main(settings: Mapping[str, Any]) -> None:
    rank = int(os.environ["LOCAL_RANK"])
    device = f"cuda:{rank}" if settings["device"] == "cuda" else "cpu"
    if settings["device"] == "cuda":
        torch.cuda.set_device(rank)
    dist.init_process_group("cpu:gloo,cuda:nccl" if settings["device"] == "cuda" else "gloo", timeout=PATIENCE)
    connection = socket.socket(socket.AF_UNIX) if rank == 0 else None
    if connection:
        connection.connect(settings["socket"])
    stream = connection.makefile("rw", encoding="utf-8") if connection else None
    try:
        policy = ShardedHFPolicy(
            folder_of(settings["model"]),
            name=settings["name"],
            device=device,
            dtype=settings["dtype"],
            chat_template=settings["chat_template"],
            settings=settings["settings"],
        )
        serve(Member(policy), stream)
    except KernelBenchError as error:
        # Loading failed; it is the answer to the first request.
        if stream:
            stream.readline()
        _say(stream, "error", {"kind": type(error).__name__, "said": str(error)})
    dist.destroy_process_group()
    if connection:
        connection.close()
    sys.stdout.flush()
    sys.stderr.flush()
    # Python's end destroys objects of gloo whose threads may still run: the process was aborted once in some hundred.
    os._exit(0)


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
