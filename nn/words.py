"""Other tools' words and what they are called here, for messages.

Names in `nn`, of modules and optimisers are PyTorch's; keywords of constructors are of several tools.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from inspect import Parameter, signature
from typing import Any

_FUNCTION = "a function: nn.Sequential(..., mg.{})"
_SCHEDULE = "a function of the number of steps as lr: nn.Adam(params, lr=nn.{})"
_PLAIN = "a plain {}: parts are found in lists, tuples and dicts"
_ARRAYS = "no class: arrays, and nn.batchify, nn.pad_sequences, nn.bucket_by_length, nn.tbptt_chunks"
_HERE = "not needed: everything is on the CPU, in NumPy's arrays"
_DTYPE = "dtype= where the module is made: nn.LSTM(I, H, dtype=np.float64)"

#: `nn.NAME`
NAMES: Mapping[str, str] = {
    "Parameter": "nn.parameter(array)",
    "Buffer": "nn.buffer(array)",
    **dict.fromkeys(("ModuleList", "ParameterList"), _PLAIN.format("list")),
    **dict.fromkeys(("ModuleDict", "ParameterDict"), _PLAIN.format("dict")),
    **{name: _FUNCTION.format(name.lower()) for name in ("Tanh", "Sigmoid", "ReLU", "Softplus")},
    "Softmax": "a function: mg.softmax(x, axis=-1)",
    "LogSoftmax": "a function: mg.log_softmax(x, axis=-1)",
    **{name: _FUNCTION.format(name.lower()) for name in ("GELU", "SiLU", "ELU", "Hardtanh", "Hardsigmoid")},
    "LeakyReLU": _FUNCTION.format("leaky_relu"),
    "LogSigmoid": _FUNCTION.format("log_sigmoid"),
    "Identity": "a function: lambda x: x",
    "Flatten": "a function: lambda x: x.reshape(len(x), -1)",
    "CrossEntropyLoss": "a function: nn.cross_entropy(logits, targets)",
    "NLLLoss": "a function: nn.nll_loss(log_probs, targets)",
    "MSELoss": "a function: nn.mse_loss(y, targets)",
    "BCEWithLogitsLoss": "a function: nn.binary_cross_entropy_with_logits(logits, targets)",
    "BCELoss": "a function of the logits: nn.binary_cross_entropy_with_logits(logits, targets)",
    "CTCLoss": "a function of the logits: nn.ctc_loss(logits, targets, lengths, target_lengths), targets (S, B)",
    "L1Loss": "a function: lambda y, targets: mg.abs(y - targets).mean()",
    "functional": "in nn and mg themselves: nn.cross_entropy, nn.mse_loss, mg.tanh, mg.softmax",
    "utils": "in nn itself: nn.clip_grad_norm, nn.clip_grad_value, nn.pad_sequences",
    **dict.fromkeys(("clip_grad_norm_", "clip_grad_value_"), "nn.clip_grad_norm(params, 1.0), nn.clip_grad_value"),
    "lr_scheduler": _SCHEDULE.format("cosine_decay(1e-3, total)"),
    "StepLR": _SCHEDULE.format("step_decay(1e-3, every)"),
    "ExponentialLR": _SCHEDULE.format("exponential_decay(1e-3, factor)"),
    "CosineAnnealingLR": _SCHEDULE.format("cosine_decay(1e-3, total)"),
    "LambdaLR": _SCHEDULE.format("lambda_decay(1e-3, factor)") + ", or any function of your own",
    **dict.fromkeys(("DataLoader", "Dataset", "TensorDataset"), _ARRAYS),
    **dict.fromkeys(("pad_sequence", "pack_sequence"), "nn.pad_sequences(sequences) -> (xs, lengths)"),
    **dict.fromkeys(("pack_padded_sequence", "pad_packed_sequence"), "lengths: net(xs, lengths=lengths)"),
    "MultiheadAttention": "nn.attention.DotAttention or AdditiveAttention, of one head",
    **dict.fromkeys(("BatchNorm1d", "BatchNorm2d", "GroupNorm", "RMSNorm"), "not there; nn.LayerNorm(I) is"),
    **dict.fromkeys(("Conv1d", "Conv3d", "ConvTranspose2d"), "not there; nn.Conv2d is"),
    **dict.fromkeys(("Dropout1d", "Dropout2d", "AlphaDropout"), "not there; nn.Dropout and nn.VariationalDropout are"),
    **dict.fromkeys(
        ("MaxPool2d", "AdaptiveMaxPool2d"), "mg.max over the axes of x.reshape(B, C, H // k, k, W // k, k)"
    ),
    **dict.fromkeys(("AvgPool2d", "AdaptiveAvgPool2d"), "mg.mean over axes of x.reshape(B, C, H // k, k, W // k, k)"),
    **dict.fromkeys(("SmoothL1Loss", "HuberLoss", "KLDivLoss"), "not there; a function of Tensors will do"),
    **dict.fromkeys(("Transformer", "TransformerEncoder", "TransformerEncoderLayer"), "not there; nn.attention is"),
    **dict.fromkeys(("relu", "softmax", "sigmoid", "softplus", "stack", "concatenate"), "in mg: import minigrad as mg"),
    **dict.fromkeys(("cat", "F"), "mg.concatenate, and other functions in mg: import minigrad as mg"),
    "OneCycleLR": _SCHEDULE.format("one_cycle(1e-3, total)"),
    "ReduceLROnPlateau": "plateau = nn.plateau_decay(1e-3) as lr, and plateau.update(loss) after each epoch",
    **dict.fromkeys(("LBFGS", "NAdam", "Adadelta", "RAdam"), "not there; nn.Adam, AdamW, RMSprop, Adagrad and SGD are"),
    "RNNBase": "nn.Recurrent(cell), for any cell",
    "PackedSequence": "lengths: net(xs, lengths=lengths)",
    **dict.fromkeys(
        ("no_grad", "enable_grad", "checkpoint", "compile", "tensor", "Tensor"), "in mg: import minigrad as mg"
    ),
}

#: `nn.init.NAME`
INITS: Mapping[str, str] = {
    **dict.fromkeys(("xavier_uniform_", "xavier_uniform"), "w.data = nn.init.glorot_uniform(w.shape)"),
    **dict.fromkeys(("xavier_normal_", "xavier_normal"), "w.data = nn.init.glorot_normal(w.shape)"),
    **dict.fromkeys(("orthogonal_", "uniform_", "zeros_"), "w.data = nn.init.orthogonal(w.shape), uniform, zeros"),
    **dict.fromkeys(("normal_", "constant_", "ones_", "eye_"), "w.data = an array of NumPy's"),
}

#: `module.NAME`
OF_MODULES: Mapping[str, str] = {
    **dict.fromkeys(("to", "cuda", "cpu"), f"{_HERE}; for another dtype {_DTYPE}"),
    **dict.fromkeys(("double", "float", "half", "bfloat16"), _DTYPE),
    "register_buffer": "an attribute: self.mean = nn.buffer(array)",
    "register_parameter": "an attribute: self.W = nn.parameter(array)",
    **dict.fromkeys(("add_module", "register_module"), "an attribute, or a list or dict in one"),
    "requires_grad_": "module.freeze(), and module.freeze(False)",
    **dict.fromkeys(("children", "named_children", "named_modules", "apply"), "for part in module.modules()"),
    "buffers": "module.named_buffers()",
    "flatten_parameters": _HERE,
    **dict.fromkeys(("register_forward_hook", "register_full_backward_hook"), "t.retain_grad() and t.grad, or mg.tap"),
    "share_memory": _HERE,
    "weight": "W (I, O), transposed: module.W",
    "bias": "module.b",
    **dict.fromkeys(("hidden_size", "input_size"), "H and I of a cell: net.cells[0].H"),
    **dict.fromkeys(("in_features", "out_features"), "the sizes of module.W (I, O)"),
    **dict.fromkeys(("num_embeddings", "embedding_dim"), "the sizes of module.W (V, O)"),
    **dict.fromkeys(("num_layers", "bidirectional"), "the cells, one a layer and direction: net.cells"),
    **dict.fromkeys(("device", "dtype"), f"{_HERE}; the dtype is that of a weight: module.W.dtype"),
    **dict.fromkeys(("get_parameter", "get_buffer"), "dict(module.named_parameters())[path], named_buffers()"),
    **dict.fromkeys(("append", "extend", "insert"), "a plain list: parts are found in one"),
    **dict.fromkeys(("weight_ih", "weight_hh"), "cell.U (I, ...), cell.W (H, ...), transposed"),
    **dict.fromkeys(("bias_ih", "bias_hh"), "cell.b, one bias for two"),
    "register_forward_pre_hook": "a subclass with a forward() of its own",
    **{f"{kind}_{part}_l0": f"net.cells[0].{name}, one bias for two; nn.to_torch(net) gives PyTorch's"
       for kind, names in (("weight", "UW"), ("bias", "bb")) for part, name in zip(("ih", "hh"), names)},
}  # fmt: skip

#: `optimizer.NAME`
OF_OPTIMIZERS: Mapping[str, str] = {
    "param_groups": "optimizer.groups, with attributes for options: optimizer.groups[0].lr",
    "add_param_group": "optimizer.groups = [*optimizer.groups, {'params': [w], 'lr': 0.1}]",
    "defaults": "optimizer.lr, optimizer.weight_decay and other options",
    "state": "optimizer.state_dict()",
}

_OUTPUTS = "outputs of all times come back, and the final state: outputs, state = net(xs)"
_SET = "weights are set afterwards: cell.U.data = nn.init.glorot_uniform(cell.U.shape)"
_DECAY = "weight_decay= of the optimiser, or a term of the loss"
_REVERSE = "reverse=True, with outputs in the order of xs; for Keras' order reverse them: outputs[::-1]"
_BOTH = "always side by side, along the last axis: outputs (T, B, 2 H)"
_FIRST, _SECOND, _BIAS = "the first argument, I", "the second argument, H or O", "bias="

#: Keywords of constructors, by whose they are; for two tools alike stands the first
KEYWORDS_OF: Mapping[str, Mapping[str, str]] = {
    "PyTorch's": {
        "batch_first": "inputs are (T, B, I): pass np.swapaxes(xs, 0, 1)",
        **dict.fromkeys(("input_size", "in_features", "in_channels"), _FIRST),
        **dict.fromkeys(("hidden_size", "out_features", "out_channels"), _SECOND),
        "num_embeddings": "the first argument, V",
        "embedding_dim": "the second argument, O",
        "normalized_shape": "the first argument, I",
        "kernel_size": "the third argument, kernel",
        "device": _HERE,
        "inplace": _HERE,
        **dict.fromkeys(("foreach", "fused", "capturable", "differentiable"), _HERE),
    },
    "Keras'": {
        **dict.fromkeys(("units", "filters"), _SECOND),
        **dict.fromkeys(("input_dim", "input_shape"), _FIRST),
        "output_dim": "the second argument, O",
        "return_sequences": f"{_OUTPUTS}; the last are nn.last_over_time(outputs, lengths)",
        "return_state": _OUTPUTS,
        "go_backwards": _REVERSE,
        "stateful": "the state is handed on: outputs, state = net(xs, nn.detach(state))",
        "unroll": "not needed: the loop over time is one of Python's",
        **dict.fromkeys(("time_major", "data_format"), "inputs are (T, B, I), and images (B, C, H, W)"),
        "merge_mode": _BOTH,
        **dict.fromkeys(
            ("mask_zero", "zero_output_for_mask"), "lengths: net(xs, lengths=lengths); outputs are 0 there"
        ),
        "activation": 'nonlinearity="relu" of nn.RNN; of layers: nn.Sequential(nn.Linear(I, O), mg.tanh)',
        "recurrent_activation": "a cell of your own; gates are sigmoids",
        "use_bias": _BIAS,
        "unit_forget_bias": "forget_bias=1.0",
        "reset_after": 'reset="after" or "before" of nn.GRU and nn.GRUCell',
        **{f"{what}_initializer": _SET for what in ("kernel", "recurrent", "bias", "embeddings")},
        **{f"{what}_regularizer": _DECAY for what in ("kernel", "recurrent", "bias", "activity", "embeddings")},
        **{f"{what}_constraint": "w.data = ... after optimizer.step()" for what in ("kernel", "recurrent", "bias")},
        "implementation": _HERE,
        "rate": "p=",
        "strides": "stride=",
        "dilation_rate": "dilation=",
        "epsilon": "eps=",
        "seed": "rng=",
        "trainable": "module.freeze(), and module.freeze(False)",
        "learning_rate": "lr=",
        **dict.fromkeys(("beta_1", "beta_2"), "betas=(0.9, 0.999)"),
        "rho": "decay= of nn.RMSprop",
        **dict.fromkeys(("clipnorm", "global_clipnorm"), "nn.clip_grad_norm(params, 1.0) before optimizer.step()"),
        "clipvalue": "nn.clip_grad_value(params, 1.0) before optimizer.step()",
    },
    "Flax'": {
        **dict.fromkeys(("features", "hidden_features"), _SECOND),
        "param_dtype": "dtype=",
        "rngs": "rng=",
        "return_carry": _OUTPUTS,
        "keep_order": "reverse=True, which keeps the order",
        **dict.fromkeys(("kernel_init", "recurrent_kernel_init", "bias_init", "carry_init"), _SET),
    },
    "Equinox'": {"key": "rng=", "inference": "module.eval(), and module.train()"},
    "Haiku's": {"with_bias": _BIAS, "w_init": _SET},
    "Optax'": {"b1": "betas=(0.9, 0.999)", "b2": "betas=(0.9, 0.999)"},
}
KEYWORDS: Mapping[str, str] = {word: hint for table in KEYWORDS_OF.values() for word, hint in table.items()}


def missing(owner: str, name: str, table: Mapping[str, str], of: Any = None) -> AttributeError:
    """The error for an attribute that is not there, with the word for it here, if it is a known one.

    Python looks in `of`, which lacks it, for a name that was meant, and asks "Did you mean ...?".
    """
    if name in table:
        return AttributeError(
            f"{owner} has no attribute {name!r}; that is PyTorch's word, here: {table[name]}", name=name
        )
    return AttributeError(f"{owner} has no attribute {name!r}", name=name, obj=of)


def missing_of(owner: Any, name: str, table: Mapping[str, str]) -> AttributeError:
    """The same for an object; the original error if it has the attribute, a property that failed."""
    if hasattr(type(owner), name):
        try:
            object.__getattribute__(owner, name)
        except AttributeError as error:
            return error
    return missing(f"{type(owner).__name__!r} object", name, table, owner)


def check_keywords(cls: type, keywords: Mapping[str, Any]) -> None:
    """Raise TypeError for keywords that a constructor of ours does not take, with our word for those of other tools."""
    accepted = parameters_of(cls.__init__)  # type: ignore[misc]
    for word in keywords:
        if word in accepted:
            continue
        whose = next((whose for whose, table in KEYWORDS_OF.items() if word in table), None)
        if whose is not None:
            raise TypeError(
                f"{cls.__name__}: there is no argument {word}=, which is {whose}; here: {KEYWORDS_OF[whose][word]}"
            )
        from difflib import get_close_matches  # here: it serves this message alone

        named = [name for name, p in accepted.items() if p.kind is not p.VAR_KEYWORD][1:]
        for meant in get_close_matches(word, named, 1, cutoff=0.8):
            raise TypeError(f"{cls.__name__}: there is no argument {word}=; did you mean {meant}=?")
        if not any(p.kind is p.VAR_KEYWORD for p in accepted.values()):
            raise TypeError(f"{cls.__name__}: there is no argument {word}=; it takes {', '.join([*accepted][1:])}")


def is_ours(constructor: Any) -> bool:
    """Whether a constructor is of this package; one of the user's may take any keyword."""
    return (getattr(constructor, "__module__", None) or "").split(".")[0] == __name__.split(".")[0]


@cache  # each copy of a module asks anew: `copy.deepcopy` of a cell took 1.4 times as long
def parameters_of(constructor: Any) -> Mapping[str, Parameter]:
    return signature(constructor).parameters
