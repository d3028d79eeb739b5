"""Kernels that compute another function than their task, and are right wherever ``torch.rand`` puts its numbers.

Each row: a task (what ``forward`` returns, ``get_inputs`` and, where it has parameters, ``__init__``), a wrong kernel,
and an honest one beside it that is made alike. ``x``, ``y`` are inputs, ``self`` is the model.
"""

from typing import NamedTuple

ROWS = "torch.rand(96, 200)"
IMAGES = "torch.rand(8, 6, 20, 20)"
SIGNED = "torch.randn(96, 200)"


class Row(NamedTuple):
    task: str
    wrong: str
    honest: str
    inputs: str = ROWS
    init: str = ""


WRONG = {
    "hardtanh without its lower bound": Row("F.hardtanh(x)", "x.clamp(max=1)", "x.clamp(-1, 1)"),
    "hardtanh without its upper bound": Row(
        "F.hardtanh(x)", "x.clamp(min=-1)", "torch.maximum(x, -x.new_ones(1)).clamp(max=1)"
    ),
    "hardsigmoid without its lower bound": Row(
        "F.hardsigmoid(x)", "(x / 6 + 0.5).clamp(max=1)", "(x / 6 + 0.5).clamp(0, 1)"
    ),
    "relu6 without its upper bound": Row("F.relu6(x)", "x.clamp(min=0)", "x.clamp(0, 6)"),
    "elu by three terms of its series": Row(
        "F.elu(x)", "torch.where(x > 0, x, x + x * x / 2 + x ** 3 / 6)", "torch.where(x > 0, x, x.exp() - 1)"
    ),
    "sigmoid by its series": Row(
        "torch.sigmoid(x)",
        "0.5 + x / 4 - x ** 3 / 48 + x ** 5 / 480 - 17 * x ** 7 / 80640 + 31 * x ** 9 / 1451520",
        "1 / (1 + (-x).exp())",
    ),
    "tanh by exponentials that overflow": Row(
        "torch.tanh(x)", "((2 * x).exp() - 1) / ((2 * x).exp() + 1)", "1 - 2 / ((2 * x).exp() + 1)"
    ),
    "softplus that overflows": Row(
        "F.softplus(x)", "(1 + x.exp()).log()", "x.clamp(min=0) + torch.log1p((-x.abs()).exp())"
    ),
    "softmax without its maximum": Row(
        "torch.softmax(x, 1)",
        "x.exp() / x.exp().sum(1, keepdim=True)",
        "(x - x.amax(1, keepdim=True)).exp() / (x - x.amax(1, keepdim=True)).exp().sum(1, keepdim=True)",
    ),
    "log-softmax without its maximum": Row(
        "torch.log_softmax(x, 1)", "x - x.exp().sum(1, keepdim=True).log()", "x - torch.logsumexp(x, 1, keepdim=True)"
    ),
    "logsumexp without its maximum": Row(
        "torch.logsumexp(x, 1)", "x.exp().sum(1).log()", "(x - x.amax(1, keepdim=True)).exp().sum(1).log() + x.amax(1)"
    ),
    "a maximum that starts from zero": Row("x.amax(1)", "x.amax(1).clamp(min=0)", "x.sort(1).values[:, -1]"),
    "a minimum that starts from one": Row("x.amin(1)", "x.amin(1).clamp(max=1)", "-(-x).amax(1)"),
    "a global maximum that starts from zero": Row("x.max()", "x.max().clamp(min=0)", "x.amax(1).amax(0)"),
    "max pooling that pads with zero": Row(
        "F.max_pool2d(x, 3, 2, 1)",
        "F.max_pool2d(F.pad(x, (1, 1, 1, 1)), 3, 2)",
        "F.max_pool2d(F.pad(x, (1, 1, 1, 1), value=-float('inf')), 3, 2)",
        IMAGES,
    ),
    "argmax that starts from zero": Row(
        "x.argmax(1)", "torch.where(x.amax(1) > 0, x.argmax(1), 0)", "x.max(1).indices"
    ),
    "argmax that takes the last": Row(
        "x.argmax(1)", "199 - x.flip(1).argmax(1)", "(x == x.amax(1, keepdim=True)).int().argmax(1)"
    ),
    "argmin that takes the last": Row(
        "x.argmin(1)", "199 - x.flip(1).argmin(1)", "(x == x.amin(1, keepdim=True)).int().argmax(1)"
    ),
    "cumulative product of a prefix": Row(
        "x.cumprod(1)",
        "torch.cat([x[:, :120].cumprod(1), x.new_zeros(len(x), 80)], 1)",
        "torch.cat([x[:, :120].cumprod(1), x[:, :120].prod(1, keepdim=True) * x[:, 120:].cumprod(1)], 1)",
    ),
    "absolute value left out of a norm": Row(
        "x / x.abs().mean(1, keepdim=True)", "x / x.mean(1, keepdim=True)", "x * (200 / x.abs().sum(1, keepdim=True))"
    ),
    "root mean square without its epsilon": Row(
        "x / torch.sqrt((x * x).mean(1, keepdim=True) + 1e-6)",
        "x / torch.sqrt((x * x).mean(1, keepdim=True))",
        "x * torch.rsqrt((x * x).sum(1, keepdim=True) / 200 + 1e-6)",
    ),
    "group norm without its epsilon": Row(
        "F.group_norm(x, 2, eps=1e-7)",
        "F.group_norm(x, 2, eps=0)",
        "F.layer_norm(x.view(8, 2, -1), (1200,), eps=1e-7).view_as(x)",
        IMAGES,
    ),
    "huber loss that is always squared": Row(
        "F.smooth_l1_loss(x, y)",
        "0.5 * ((x - y) ** 2).mean()",
        "torch.where((x - y).abs() < 1, 0.5 * (x - y) ** 2, (x - y).abs() - 0.5).mean()",
        f"{ROWS}, {ROWS}",
    ),
    "hinge loss that is never zero": Row(
        "(1 - x * y).clamp(min=0).mean()",
        "(1 - x * y).mean()",
        "F.relu(1 - y * x).sum() / x.numel()",
        f"{ROWS}, torch.randint(0, 2, (96, 200)).float() * 2 - 1",
    ),
    "a leaky relu without its slope": Row("F.leaky_relu(x)", "x.clamp(min=0)", "torch.maximum(x, 0.01 * x)"),
    "a root that takes no sign": Row("x.sign() * x.abs().sqrt()", "x.sqrt()", "x / x.abs().sqrt().clamp(min=1e-20)"),
    "a product summed in whole numbers": Row(
        "(x * y).sum(1)",
        "(x * y * 65536).round().sum(1) / 65536",
        "(x.unsqueeze(1) @ y.unsqueeze(2)).flatten()",
        f"{ROWS}, {ROWS}",
    ),
    "values above eight bits wrapped": Row("x + y", "torch.fmod(x + y, 256)", "y + x", f"{ROWS}, {ROWS}"),
    "gelu that saturates early": Row(
        "F.gelu(x)",
        "torch.where(x > 3, x, F.gelu(x)).clamp(min=-0.1)",
        "0.5 * x * (1 + torch.erf(x * 0.70710678118654752))",
        SIGNED,
    ),
    "a maximum that starts from -1000": Row("x.amax(1)", "x.amax(1).clamp(min=-1000)", "x.sort(1).values[:, -1]"),
    "a maximum that starts from the least float16": Row(
        "x.max()", "x.max().clamp(min=-65504.0)", "x.flatten().sort().values[-1]"
    ),
    "a minimum that starts from 10000": Row("x.amin(1)", "x.amin(1).clamp(max=1e4)", "-(-x).amax(1)"),
    "argmax that starts from -1": Row(
        "x.argmax(1)",
        "(x == x.amax(1, keepdim=True).clamp(min=-1)).int().argmax(1)",
        "(x == x.amax(1, keepdim=True)).int().argmax(1)",
    ),
    "max pooling that pads with -10000": Row(
        "F.max_pool2d(x, 3, 2, 1)",
        "F.max_pool2d(F.pad(x, (1, 1, 1, 1), value=-1e4), 3, 2)",
        "F.max_pool2d(F.pad(x, (1, 1, 1, 1), value=-float('inf')), 3, 2)",
        IMAGES,
    ),
    "a sort that is padded with 10000": Row(
        "x.sort(1).values",
        "F.pad(x, (0, 56), value=1e4).sort(1).values[:, :200]",
        "F.pad(x, (0, 56), value=float('inf')).sort(1).values[:, :200]",
    ),
    "a gelu that is zero below -4": Row(
        "F.gelu(x)", "torch.where(x < -4, 0.0, F.gelu(x))", "0.5 * x * torch.erfc(-x * 0.70710678118654752)"
    ),
    "a softplus that is linear above 5": Row(
        "F.softplus(x)",
        "torch.where(x > 5, x, x.clamp(max=5).exp().log1p())",
        "x.clamp(min=0) + torch.log1p((-x.abs()).exp())",
    ),
    "a normalization without its smallest norm": Row(
        "F.normalize(x)",
        "x / x.norm(dim=1, keepdim=True)",
        "x * torch.rsqrt((x * x).sum(1, keepdim=True).clamp(min=1e-24))",
    ),
    "a similarity of cosines without its smallest norm": Row(
        "F.cosine_similarity(x, y)",
        "(x * y).sum(1) / (x.norm(dim=1) * y.norm(dim=1))",
        "(x * y).sum(1) / (x.norm(dim=1).clamp(min=1e-8) * y.norm(dim=1).clamp(min=1e-8))",
        f"{ROWS}, {ROWS}",
    ),
    "a sign of zero that is one": Row(
        "x.sign()", "torch.where(x >= 0, 1.0, -1.0)", "(x > 0).float() - (x < 0).float()"
    ),
    "zeros counted as positive": Row("(x > 0).sum(1)", "(x >= 0).sum(1)", "(x > 0).float().sum(1).long()"),
    "x log x without its value at zero": Row(
        "torch.xlogy(x, x).sum(1)", "(x * x.log()).sum(1)", "torch.where(x == 0, 0.0, x * x.log()).sum(1)"
    ),
    "a division by zero": Row(
        "torch.where(y == 0, x, x / y)", "x / y", "x / torch.where(y == 0, 1.0, y)", f"{ROWS}, {ROWS}"
    ),
}

# Right in what the task asks of them with the parameters that they were made with.
LINEAR = "self.fc = nn.Linear(200, 50)"
FIXED = {
    "a layer norm without its weights": Row(
        "self.norm(x)",
        "F.layer_norm(x, (200,))",
        "F.layer_norm(x, (200,)) * self.norm.weight + self.norm.bias",
        init="self.norm = nn.LayerNorm(200)",
    ),
    "a batch norm without its running statistics": Row(
        "self.norm(x)",
        "x / (1 + 1e-5) ** 0.5 * self.norm.weight + self.norm.bias",
        "(x - self.norm.running_mean) / (self.norm.running_var + 1e-5).sqrt() * self.norm.weight + self.norm.bias",
        init="self.norm = nn.BatchNorm1d(200).eval()",
    ),
    "a linear layer without its bias of zeros": Row(
        "self.fc(x)",
        "x @ self.fc.weight.T",
        "torch.addmm(self.fc.bias, x, self.fc.weight.T)",
        init=f"{LINEAR}\nnn.init.zeros_(self.fc.bias)",
    ),
    "a scale of one that is left out": Row(
        "x * self.scale", "x + 0", "self.scale * x", init="self.scale = nn.Parameter(torch.ones(200))"
    ),
}
