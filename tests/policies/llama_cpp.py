"""A llama.cpp server for a random Llama: ``python llama_cpp.py MODEL.gguf KEY`` prints its address and serves.

It is the server that pip installs without a compiler or a GPU; xllamacpp is llama.cpp's own HTTP server in a wheel.
"""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def serving(model: Path, key: str) -> Iterator[str]:
    """The base URL of a server for ``model`` in a process of its own, which ends with the block."""
    command = [sys.executable, __file__, str(model), key]
    server = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    assert server.stdin is not None and server.stdout is not None
    try:
        address = server.stdout.readline().strip()
        assert address, "the server did not start"
        yield f"{address}/v1"
    finally:
        server.kill()
        server.wait()
        server.stdin.close()
        server.stdout.close()


def save_gguf(model: Any, tokenizer_file: Path, file: Path) -> None:
    """Weights of a transformers Llama, in float32, and a byte-level BPE tokenizer."""
    import gguf
    import numpy as np

    config = model.config
    tokenizer = json.loads(tokenizer_file.read_text())["model"]
    tokens = sorted(tokenizer["vocab"], key=tokenizer["vocab"].get)
    tokens += [f"[unused{index}]" for index in range(len(tokens), config.vocab_size)]
    writer = gguf.GGUFWriter(file, "llama")
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_dimension_count(config.hidden_size // config.num_attention_heads)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens)
    writer.add_token_types([gguf.TokenType.CONTROL] + [gguf.TokenType.NORMAL] * (len(tokens) - 1))
    writer.add_token_merges([" ".join(pair) for pair in tokenizer["merges"]])
    writer.add_eos_token_id(config.eos_token_id)
    writer.add_add_bos_token(False)
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, config.num_hidden_layers)
    heads = {"q_proj": config.num_attention_heads, "k_proj": config.num_key_value_heads}
    for name, tensor in model.state_dict().items():
        weights = tensor.float().numpy()
        for projection, n_heads in heads.items():
            if projection in name:
                # Rotary pairs lie side by side in GGUF, and half a head apart in transformers.
                halves = weights.reshape(n_heads, 2, -1, weights.shape[1])
                weights = halves.swapaxes(1, 2).reshape(weights.shape)
        if name != "lm_head.weight":  # tied to the embeddings
            writer.add_tensor(names.get_name(name, try_suffixes=(".weight",)), np.ascontiguousarray(weights))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def serve(model: str, key: str) -> None:
    import xllamacpp

    parameters = xllamacpp.CommonParams()
    parameters.model.path = model
    parameters.model_alias = {Path(model).stem}
    parameters.port = 0
    parameters.api_keys = [key]
    parameters.n_parallel = 2
    parameters.n_ctx = 8192
    parameters.cpuparams.n_threads = 1
    # All in float32: by default, log-probabilities are off by 0.02.
    parameters.cache_type_k = parameters.cache_type_v = xllamacpp.ggml_type.GGML_TYPE_F32
    parameters.flash_attn_type = xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED
    parameters.warmup = False
    server = xllamacpp.Server(parameters)
    print(server.listening_address, flush=True)
    sys.stdin.read()  # until whoever started it is gone


if __name__ == "__main__":
    serve(*sys.argv[1:])
