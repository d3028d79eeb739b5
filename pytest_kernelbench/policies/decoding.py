"""Continuing one prompt in many rows: it is computed once, and its keys and values are repeated.

On a CPU ``BranchingDecoder`` computes rows that are equal so far once, too.
``Decoder`` calls the model at every step. A GPU waits for that: a token of an 8 B model is some 600 kernels, more than
twice as many with an adapter, and Python launches them slower than they run. ``GraphDecoder`` launches them once for
every ``GRAPH_TOKENS`` tokens and has the GPU repeat them.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor
from torch.distributed.fsdp import FSDPModule
from torch.nn.attention import SDPBackend, sdpa_kernel
from transformers import AttentionInterface
from transformers.cache_utils import DynamicLayer

from pytest_kernelbench.policies.branches import branched
from pytest_kernelbench.policies.roomy_layer import RoomyLayer

# A PreTrainedModel of transformers, or a PeftModel around it: the two share no type with the attributes used here.
Model = Any

# On an H100, 64 rows of an 8 B model: 1.6 times as many tokens a second, with an adapter 4.8 times.
GRAPH_DEVICES = frozenset({"cuda"})
# Models whose step on one token never waits for the GPU, and whose attention is plain.
GRAPH_MODELS = frozenset({"llama", "mistral", "qwen2", "qwen3"})
GRAPH_ROPES = frozenset({"default", "linear", "llama3", "yarn"})
# A graph reads keys up to a multiple of this number, so it reads at most this many unwritten keys.
GRAPH_TOKENS = 256
GRAPH_ATTENTION = "kernelbench_grouped"


class Decoder:
    """``rows`` continuations of one prompt. ``logits`` (rows, vocabulary) belong to the token after the prompt.

    ``room`` is the number of tokens that may follow the prompt. Once ``drop_share`` of the rows are finished, a caller
    should keep the unfinished rows only. Without ``apart`` the cache has one row, of which ``keep`` makes more.
    """

    drop_share = 0.25  # copies keys and values of the others

    def __init__(self, model: Model, prompt_ids: Sequence[int], *, rows: int, room: int, apart: bool = True) -> None:
        self._model = model
        self._cache_name = cache_name(model)
        self.device = input_device(model)
        last_only = {"logits_to_keep": 1} if keeps_last_logits(model) else {}
        output = model(input_ids=torch.tensor([list(prompt_ids)], device=self.device), use_cache=True, **last_only)
        self.logits: Tensor = output.logits[:, -1].expand(rows, -1)
        self._cache: Any = output[self._cache_name]  # a Cache, whose layers are of many kinds
        # Layers are converted one after the other, so that a single layer is in memory twice. Sliding windows and
        # linear attention hold a bounded state; their own layers serve them.
        for place, layer in enumerate(self._cache.layers):
            if type(layer) is DynamicLayer and layer.get_seq_length():
                layer = self._cache.layers[place] = RoomyLayer(layer, rows, room)
            if apart:
                layer.batch_repeat_interleave(rows)

    def step(self, token_ids: Tensor) -> Tensor:
        """Logits (rows, n, vocabulary) after each of ``token_ids`` (rows, n), which every row goes on with."""
        held = {self._cache_name: self._cache}
        logits: Tensor = self._model(input_ids=token_ids.to(self.device), use_cache=True, **held).logits
        return logits

    def keep(self, rows: Tensor) -> None:
        """Go on with these rows only."""
        # On the CPU, since the layers of one model may lie on several GPUs.
        self._cache.batch_select_indices(rows.cpu())


class BranchingDecoder(Decoder):
    """A decoder that computes rows once which have had the same tokens so far: they part where these differ.

    At a low temperature many do: the 64 rows of the main job's five tasks have 12 to 23 different texts. Drawing them
    took 20.2 s of CPU time where each row was computed, and 5.5 s here.
    """

    drop_share = 0.0  # moves the keys and values of single rows

    def __init__(self, model: Model, prompt_ids: Sequence[int], *, rows: int, room: int) -> None:
        super().__init__(model, prompt_ids, rows=rows, room=room, apart=False)
        self._computed = 1
        # Of each row, the computed row that has its tokens.
        self._branch_of = [0] * rows

    def step(self, token_ids: Tensor) -> Tensor:
        """As ``Decoder.step``, for one token a row."""
        new = branched(self._branch_of, token_ids[:, 0].tolist())
        if new.parents != list(range(self._computed)):
            super().keep(torch.tensor(new.parents))
        self._computed, self._branch_of = len(new.parents), new.of_rows
        logits = super().step(torch.tensor(new.token_ids)[:, None])
        return logits[torch.tensor(new.of_rows, device=logits.device)]

    def keep(self, rows: Tensor) -> None:
        self._branch_of = [self._branch_of[row] for row in rows.tolist()]


class BatchDecoder(Decoder):
    """A decoder for a model whose cache cannot be repeated: the prompt is computed for every row.

    This is the case where layers hold a state and no keys (linear attention, state spaces, convolutions; one prompt's
    state is not made to serve many rows), or where a model hands out no cache at all: then each step computes
    everything again. Rows that are not kept are still computed, and left out of the returned logits.
    """

    def __init__(self, model: Model, prompt_ids: Sequence[int], *, rows: int, room: int) -> None:
        self._model = model
        self._cache_name = cache_name(model)
        self.device = input_device(model)
        self._told = torch.tensor([list(prompt_ids)], device=self.device).expand(rows, -1)
        last_only = {"logits_to_keep": 1} if keeps_last_logits(model) else {}
        output = model(input_ids=self._told, use_cache=True, **last_only)
        self.logits = output.logits[:, -1]
        self._cache = output.get(self._cache_name)
        self._kept = torch.arange(rows, device=self.device)

    def step(self, token_ids: Tensor) -> Tensor:
        """As ``Decoder.step``, for one token a row."""
        told = torch.zeros(len(self._told), 1, dtype=torch.long, device=self.device)
        told[self._kept] = token_ids.to(self.device)
        if self._cache is None:
            self._told = torch.cat([self._told, told], dim=1)
            logits: Tensor = self._model(input_ids=self._told, use_cache=False).logits[:, -1:]
        else:
            logits = super().step(told)
        return logits[self._kept.to(logits.device)]

    def keep(self, rows: Tensor) -> None:
        self._kept = self._kept[rows.to(self.device)]


class GraphDecoder(Decoder):
    """A decoder whose step on one token is a CUDA graph, recorded again for more keys and for fewer rows.

    Attention reads keys up to a multiple of ``GRAPH_TOKENS`` and masks the keys that are not written yet. Without CUDA
    the same steps run without a graph.
    """

    drop_share = 0.5  # a graph has to be recorded again as well
    _graph: torch.cuda.CUDAGraph | None
    _token_ids: Tensor
    _shown: int

    def __init__(self, model: Model, prompt_ids: Sequence[int], *, rows: int, room: int) -> None:
        self._written = len(prompt_ids)
        # Attention copies a mask whose length is no multiple of 8.
        length = -(-(self._written + room) // 16) * 16
        super().__init__(model, prompt_ids, rows=rows, room=length - self._written)
        dtype = self._cache.layers[0].keys.dtype
        self._mask = torch.full((1, 1, 1, length), -torch.inf, dtype=dtype, device=self.device)
        self._mask[..., : self._written] = 0
        self._place = torch.zeros(1, dtype=torch.long, device=self.device)
        self._start_over(rows)

    def step(self, token_ids: Tensor) -> Tensor:
        """As ``Decoder.step``, for one token a row; the logits are overwritten by the next step."""
        self._token_ids.copy_(token_ids)
        self._place.fill_(self._written)
        self._mask[..., self._written] = 0
        if self._written >= self._shown:
            self._shown = min(-(-(self._written + 1) // GRAPH_TOKENS) * GRAPH_TOKENS, self._mask.shape[-1])
            self._record()
        if self._graph is None:
            self._logits = self._run()
        else:
            self._graph.replay()
        self._written += 1
        return self._logits

    def keep(self, rows: Tensor) -> None:
        super().keep(rows)
        self._start_over(len(rows))

    def _start_over(self, rows: int) -> None:
        self._shown, self._graph = 0, None
        self._token_ids = torch.zeros(rows, 1, dtype=torch.long, device=self.device)

    def _record(self) -> None:
        for layer in self._cache.layers:
            layer.fix(self._place, self._shown)
        if self.device.type != "cuda":
            return
        # The set-up work of a first call must not be recorded. The call writes the same keys to the same place as the
        # replay.
        beside = torch.cuda.Stream(self.device)  # type: ignore[no-untyped-call]
        beside.wait_stream(torch.cuda.current_stream(self.device))
        with torch.cuda.stream(beside):
            self._run()
        torch.cuda.current_stream(self.device).wait_stream(beside)
        self._graph = torch.cuda.CUDAGraph()
        # Launches of other threads do not belong to this graph.
        with torch.cuda.graph(self._graph, capture_error_mode="thread_local"):
            self._logits = self._run()

    def _run(self) -> Tensor:
        held = {self._cache_name: self._cache}
        with _attention(self._model, GRAPH_ATTENTION):
            logits: Tensor = self._model(
                input_ids=self._token_ids,
                position_ids=self._place[None],
                attention_mask=self._mask[..., : self._shown],
                use_cache=True,
                **held,
            ).logits
        return logits


def decoder_for(model: Model, prompt_ids: Sequence[int], *, rows: int, room: int) -> Decoder:
    """A ``GraphDecoder`` for models that are known to serve; else, where the cache can be repeated, a ``Decoder``, on a
    CPU one whose rows branch.
    """
    kind: type[Decoder]
    if serves_for_graphs(model):
        kind = GraphDecoder
    elif not shares_prompts(model):
        kind = BatchDecoder
    else:
        # To look where rows part waits for a GPU at each step.
        kind = BranchingDecoder if input_device(model).type == "cpu" else Decoder
    return kind(model, prompt_ids, rows=rows, room=room)


_SHARES_PROMPTS: WeakKeyDictionary[Any, bool] = WeakKeyDictionary()


def shares_prompts(model: Model) -> bool:
    """Whether every layer of the model's cache holds keys and values only, which can be repeated for many rows.

    A layer that holds a state may hold keys too, and only the keys would be repeated. One token is computed to find
    out.
    """
    if bare(model) not in _SHARES_PROMPTS:
        token = torch.zeros(1, 1, dtype=torch.long, device=input_device(model))
        cache = model(input_ids=token, use_cache=True).get(cache_name(model))
        layers = getattr(cache, "layers", None) or []
        states = [any("LinearAttention" in kind.__name__ for kind in type(layer).__mro__) for layer in layers]
        whole = all(hasattr(layer, "batch_repeat_interleave") for layer in layers)
        _SHARES_PROMPTS[bare(model)] = bool(layers) and whole and not any(states)
    return _SHARES_PROMPTS[bare(model)]


def serves_for_graphs(model: Model) -> bool:
    """Whether a step on one token makes the same launches every time, all of them on one GPU."""
    config = bare(model).config
    rope = getattr(config, "rope_parameters", None) or {}
    devices = {parameter.device for parameter in model.parameters()}
    return (
        len(devices) == 1
        and not isinstance(bare(model), FSDPModule)
        and {device.type for device in devices} <= GRAPH_DEVICES
        and getattr(config, "quantization_config", None) is None
        and config.model_type in GRAPH_MODELS
        and rope.get("rope_type", "default") in GRAPH_ROPES
        and getattr(config, "sliding_window", None) is None
        and config._attn_implementation == "sdpa"
    )


def grouped_attention(
    module: Any, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor, *, scaling: float, **_: object
) -> tuple[Tensor, None]:
    """Attention of one token a row. Heads that share keys become queries of one head, so that no key is copied.

    With a mask, transformers' own attention repeats keys and values for every head: four times as many bytes for
    Llama-3-8B, where keys and values are most of the bytes that a step reads.
    """
    rows, heads, _tokens, size = query.shape
    grouped = query.reshape(rows, key.shape[1], heads // key.shape[1], size)
    with sdpa_kernel([SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH]):
        attended = torch.nn.functional.scaled_dot_product_attention(
            grouped, key, value, attn_mask=attention_mask, scale=scaling
        )
    return attended.reshape(rows, 1, heads, size), None


AttentionInterface.register(GRAPH_ATTENTION, grouped_attention)


@contextmanager
def _attention(model: Model, name: str) -> Iterator[None]:
    config = bare(model).config
    own = config._attn_implementation
    config._attn_implementation = name
    try:
        yield
    finally:
        config._attn_implementation = own


def bare(model: Model) -> Model:
    """The model without peft around it."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def input_device(model: Model) -> torch.device:
    """The device of the model's input."""
    device: torch.device = model.get_input_embeddings().weight.device
    return device


def keeps_last_logits(model: Model) -> bool:
    """Whether the model can be told to make the logits of the last tokens only."""
    return "logits_to_keep" in _parameters(model)


def cache_name(model: Model) -> str:
    """The name of the cache among the model's arguments and outputs: transformers renames it since 5.24."""
    return "cache" if "cache" in _parameters(model) else "past_key_values"


def _parameters(model: Model) -> Mapping[str, inspect.Parameter]:
    return inspect.signature(bare(model).forward).parameters
