"""PyTorch's words and what they are called here, for messages: names in `nn`, of modules and optimisers, keywords."""

from __future__ import annotations

from collections.abc import Mapping
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

#: Keywords of modules' constructors
KEYWORDS: Mapping[str, str] = {
    "batch_first": "inputs are (T, B, I): pass np.swapaxes(xs, 0, 1)",
    **dict.fromkeys(("input_size", "in_features", "in_channels"), "the first argument, I"),
    **dict.fromkeys(("hidden_size", "out_features", "out_channels"), "the second argument, H or O"),
    "num_embeddings": "the first argument, V",
    "embedding_dim": "the second argument, O",
    "normalized_shape": "the first argument, I",
    "kernel_size": "the third argument, kernel",
    "device": _HERE,
    "inplace": _HERE,
}


def missing(owner: str, name: str, table: Mapping[str, str]) -> AttributeError:
    """The error for an attribute that is not there, with the word for it here, if it is a known one."""
    hint = f"; that is PyTorch's word, here: {table[name]}" if name in table else ""
    return AttributeError(f"{owner} has no attribute {name!r}{hint}", name=name)


def missing_of(owner: Any, name: str, table: Mapping[str, str]) -> AttributeError:
    """The same for an object; the original error if it has the attribute, a property that failed."""
    if hasattr(type(owner), name):
        try:
            object.__getattribute__(owner, name)
        except AttributeError as error:
            return error
    return missing(f"{type(owner).__name__!r} object", name, table)


def check_keywords(module_class: type, accepted: Any, keywords: Mapping[str, Any]) -> None:
    """Raise TypeError for keywords that are PyTorch's, unless they are `accepted`."""
    for word in keywords:
        if word in KEYWORDS and word not in accepted:
            raise TypeError(
                f"{module_class.__name__}: there is no argument {word}=, which is PyTorch's; here: {KEYWORDS[word]}"
            )
