"""Tinker's training and sampling clients as its SDK documents them, for a model in this process.

What goes in and out are the SDK's own types; between them is a LoRA on a tiny random model, with the service's losses
as its documentation states them: sums over tokens of -ratio * advantage, or PPO's clipped one, at temperature 1.
"""

import asyncio
import copy
from types import SimpleNamespace

import tinker
import torch
from peft import LoraConfig, get_peft_model, get_peft_model_state_dict, set_peft_model_state_dict
from policies.random_models import llama
from tinker.types import ForwardBackwardOutput, TensorData

from pytest_kernelbench.policies.causal_lm import sample_rows, score_rows
from pytest_kernelbench.policies.tinker_service import TinkerPolicy


class Future:
    """To be awaited, or asked for its ``result()``."""

    def __init__(self, value):
        self._value = value

    def result(self, timeout=None):
        return self._value

    def __await__(self):
        async def value():
            await asyncio.sleep(0)
            return self._value

        return value().__await__()


class Service:
    """``stored`` holds what was saved, by ``tinker://`` name; ``asked`` the names of calls, in order."""

    def __init__(self, vocab_size=16):
        self.vocab_size = vocab_size
        self.base = llama(vocab_size=vocab_size)
        self.stored, self.asked = {}, []

    def adapted(self, rank, weights=None):
        torch.manual_seed(0)
        config = LoraConfig(r=rank, lora_alpha=32, target_modules=["q_proj", "v_proj", "up_proj", "down_proj"])
        model = get_peft_model(llama(vocab_size=self.vocab_size), config)
        if weights is not None:
            set_peft_model_state_dict(model, weights)
        return model.eval()

    def create_sampling_client(self, model_path=None, base_model=None):
        self.asked.append("create_sampling_client")
        return Future(SamplingClient(self.adapted(*self.stored[model_path][:2]) if model_path else self.base))

    def create_lora_training_client(self, base_model, rank=32, seed=None):
        self.asked.append("create_lora_training_client")
        return Future(TrainingClient(self, rank))

    def create_training_client_from_state_with_optimizer(self, path):
        self.asked.append("create_training_client_from_state_with_optimizer")
        rank, weights, optimizer = self.stored[path]
        client = TrainingClient(self, rank, weights)
        client.optimizer.load_state_dict(copy.deepcopy(optimizer))
        return Future(client)


class SamplingClient:
    def __init__(self, model):
        self.model = model

    def get_base_model(self):
        return "tests/random"

    def sample(self, prompt, num_samples, parameters):
        generator = torch.Generator().manual_seed(parameters.seed)
        uniforms = torch.rand(num_samples, parameters.max_tokens, generator=generator, dtype=torch.float64)
        rows = sample_rows(self.model, prompt.to_ints(), uniforms, temperature=parameters.temperature, eos_ids={0})
        return Future(
            SimpleNamespace(
                sequences=[
                    SimpleNamespace(
                        tokens=list(row.token_ids),
                        logprobs=list(row.sampling_logprobs or row.logprobs),
                        stop_reason=row.stop_reason,
                    )
                    for row in rows
                ]
            )
        )

    def compute_logprobs(self, prompt, prompt_logprobs_last_n):
        tokens = prompt.to_ints()
        split = len(tokens) - prompt_logprobs_last_n
        (scores,) = score_rows(self.model, tokens[:split], [tokens[split:]])
        return Future([None] * split + list(scores))


class TrainingClient:
    def __init__(self, service, rank, weights=None):
        self.service, self.rank = service, rank
        self.model = service.adapted(rank, weights)
        self.parameters = [each for each in self.model.parameters() if each.requires_grad]
        self.optimizer = torch.optim.AdamW(self.parameters, weight_decay=0.0)

    def forward_backward(self, data, loss_fn, loss_fn_config=None):
        self.service.asked.append("forward_backward")
        outputs, total = [], 0.0
        for datum in data:
            held = {name: each.to_torch() for name, each in datum.loss_fn_inputs.items()}
            tokens = torch.tensor([datum.model_input.to_ints()])
            logits = self.model(input_ids=tokens, use_cache=False).logits[0].float()
            logprobs = logits.log_softmax(-1).gather(1, held["target_tokens"][:, None])[:, 0]
            ratios = (logprobs - held["logprobs"]).exp()
            objective = ratios * held["advantages"]
            if loss_fn == "ppo":
                low, high = loss_fn_config["clip_low_threshold"], loss_fn_config["clip_high_threshold"]
                objective = torch.minimum(objective, ratios.clamp(low, high) * held["advantages"])
            else:
                assert loss_fn == "importance_sampling" and loss_fn_config is None
            loss = -objective.sum()
            loss.backward()
            total += float(loss.detach())
            outputs.append({"logprobs": TensorData.from_torch(logprobs.detach())})
        return Future(
            ForwardBackwardOutput(
                loss_fn_output_type="ArrayRecord", loss_fn_outputs=outputs, metrics={"loss:sum": total}
            )
        )

    def optim_step(self, parameters):
        self.service.asked.append("optim_step")
        assert isinstance(parameters, tinker.AdamParams)
        for group in self.optimizer.param_groups:
            group["lr"], group["eps"] = parameters.learning_rate, parameters.eps
            group["betas"] = (parameters.beta1, parameters.beta2)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return Future(SimpleNamespace(metrics={}))

    def save_state(self, name, overwrite=False):
        return self._save("weights", name, copy.deepcopy(self.optimizer.state_dict()))

    def save_weights_for_sampler(self, name):
        return self._save("sampler_weights", name, None)

    def _save(self, kind, name, optimizer):
        self.service.asked.append("save")
        path = f"tinker://run/{kind}/{name}"
        weights = {key: each.detach().clone() for key, each in get_peft_model_state_dict(self.model).items()}
        self.service.stored[path] = (self.rank, weights, optimizer)
        return Future(SimpleNamespace(path=path))


class FirstTokenTinkerPolicy(TinkerPolicy):
    """As ``made_up_world.FirstTokenPolicy``: a candidate's source names the first token of the answer."""

    def __init__(self, service, *, saved=False):
        self.name, self.version, self.target = "made-up", "made-up", "cpu"
        self.service, self.base_model, self.saved = service, "tests/random", saved
        self.client = service.create_sampling_client(base_model="tests/random").result()
        self.tokenizer = SimpleNamespace(eos_token_id=0, chat_template=None)
        self.template_kwargs, self.max_tokens, self.stop = None, None, []

    def prompt_ids(self, task, answer, *, advice=""):
        return [2 + ord(character) % 14 for character in task.source + advice]

    def _decode(self, token_ids):
        return f"```python\nclass ModelNew: ...  # {token_ids[0] if token_ids else 1}\n```"

    _spell = _decode
