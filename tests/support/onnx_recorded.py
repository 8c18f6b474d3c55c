"""Records graphs as PyTorch's two exporters and Keras write them, with what the tools themselves compute.

    python tests/support/onnx_recorded.py

Needs torch, onnx, onnxscript and keras (on PyTorch); writes `recorded/onnx/`: a file for each model, without the
remarks that exporters add, and `results.npz` with inputs `NAME/in/...` and outputs `NAME/out/0`, ... Versions at the
last run: torch 2.13.0, onnx 1.23.2, onnxscript 0.7.2, keras 3.15.1.
"""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import Any

import numpy as np

FOLDER = Path(__file__).parent / "recorded" / "onnx"


def stripped(path: Path) -> None:
    """Rewrite a file without what says where each node came from."""
    import onnx

    model = onnx.load(path)
    for part in (model, model.graph, *model.graph.node, *model.graph.input, *model.graph.output,
                 *model.graph.initializer, *model.graph.value_info):  # fmt: skip
        part.ClearField("metadata_props")
        part.ClearField("doc_string")
    del model.graph.value_info[:]
    onnx.checker.check_model(model)
    onnx.save(model, path)


def torch_models() -> dict[str, tuple[Any, tuple[Any, ...]]]:
    """Modules and inputs."""
    import torch

    class Tagger(torch.nn.Module):
        def __init__(self, kind: str, layers: int = 2) -> None:
            super().__init__()
            self.embedding = torch.nn.Embedding(7, 3)
            self.recurrent = getattr(torch.nn, kind)(3, 4, layers, bidirectional=True)
            self.norm, self.output = torch.nn.LayerNorm(8), torch.nn.Linear(8, 5)

        def forward(self, x: Any) -> Any:
            y, state = self.recurrent(self.embedding(x))
            state = state[0] if isinstance(state, tuple) else state
            return torch.softmax(self.output(self.norm(y)), -1), state

    class States(torch.nn.Module):
        def __init__(self, kind: str, **options: Any) -> None:
            super().__init__()
            self.recurrent = getattr(torch.nn, kind)(3, 4, **options)

        def forward(self, x: Any, *state: Any) -> Any:
            return self.recurrent(x, state if len(state) > 1 else state[0])

    class Gemm(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.f, self.g = torch.nn.Linear(3, 4), torch.nn.Linear(4, 2)

        def forward(self, x: Any) -> Any:
            return torch.log_softmax(self.g(torch.nn.functional.gelu(self.f(x))), -1)

    integers, x = torch.randint(0, 7, (5, 2)), torch.randn(2, 5, 3)
    h, c = torch.randn(2, 2, 4), torch.randn(2, 2, 4)
    return {
        "lstm": (Tagger("LSTM"), (integers,)),
        "gru": (Tagger("GRU", 1), (integers,)),
        "rnn": (Tagger("RNN", 1), (integers[:3],)),
        "lstm_states": (States("LSTM", batch_first=True, num_layers=2), (x, h, c)),
        "gru_states": (States("GRU", batch_first=True, bidirectional=True), (x, h)),
        "relu_states": (States("RNN", nonlinearity="relu", num_layers=2), (x[:, :3], torch.randn(2, 3, 4))),
        "gemm": (Gemm(), (x[0],)),
    }


def record_torch(results: dict[str, np.ndarray]) -> None:
    """Each module by the default exporter and by the one that was it before."""
    import onnx
    import torch

    torch.manual_seed(0)
    for name, (net, inputs) in torch_models().items():
        net.eval()
        for exporter in ("default", "legacy"):
            key = f"torch_{exporter}_{name}"
            path = FOLDER / f"{key}.onnx"
            if exporter == "default":
                torch.onnx.export(net, inputs, path, external_data=False, verbose=False)
            else:
                torch.onnx.export(net, inputs, path, dynamo=False)
            stripped(path)
            names = [value.name for value in onnx.load(path).graph.input]
            results |= {f"{key}/in/{n}": t.numpy() for n, t in zip(names, inputs)}
            with torch.no_grad():
                outputs = net(*inputs)
            leaves = [t for part in (outputs if isinstance(outputs, tuple) else (outputs,))
                      for t in (part if isinstance(part, tuple) else (part,))]  # fmt: skip
            results |= {f"{key}/out/{k}": t.numpy() for k, t in enumerate(leaves)}


def record_keras(results: dict[str, np.ndarray]) -> None:
    """A model of each cell, of three steps."""
    os.environ["KERAS_BACKEND"] = "torch"
    import keras

    rng = np.random.default_rng(0)
    for kind in ("LSTM", "GRU", "SimpleRNN"):
        words = keras.Input((3,), dtype="int32")
        layer = getattr(keras.layers, kind)(4, return_sequences=True)
        y = keras.layers.Dense(5, activation="softmax")(layer(keras.layers.Embedding(7, 3)(words)))
        model = keras.Model(words, y)
        for w in model.weights:
            w.assign(0.5 * rng.standard_normal(w.shape))
        x, key = rng.integers(0, 7, (2, 3)).astype(np.int32), f"keras_{kind.lower()}"
        y = np.asarray(model(x).detach())
        try:
            model.export(FOLDER / f"{key}.onnx", format="onnx", verbose=False)
            stripped(FOLDER / f"{key}.onnx")
        except Exception as error:
            print(f"{key}: not written: {error!r:.200}")
            (FOLDER / f"{key}.onnx").unlink(missing_ok=True)
            continue
        import onnx

        (name,) = [value.name for value in onnx.load(FOLDER / f"{key}.onnx").graph.input]
        results |= {f"{key}/in/{name}": x, f"{key}/out/0": y}


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    FOLDER.mkdir(exist_ok=True)
    recorded: dict[str, np.ndarray] = {}
    record_keras(recorded)
    record_torch(recorded)
    np.savez_compressed(FOLDER / "results.npz", **recorded)
