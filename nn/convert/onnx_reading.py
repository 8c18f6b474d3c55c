"""An ONNX file as plain Python: checked before any memory is taken for what it declares."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from .onnx_graph import package

OLDEST = 13  # before, Softmax flattened its input, and axes were attributes


class Step(NamedTuple):
    """A node: its operator, name, the names that it reads and makes, its attributes, and its remark."""

    operator: str
    name: str
    inputs: list[str]
    outputs: list[str]
    attributes: dict[str, Any]
    note: str

    def __str__(self) -> str:
        return f"{self.operator} {self.name or self.outputs[0]!r}"


class File(NamedTuple):
    """A graph: names of its inputs and outputs, its nodes in order, and the arrays that it holds."""

    inputs: list[str]
    outputs: list[str]
    steps: list[Step]
    arrays: dict[str, np.ndarray]


def read(path: str | os.PathLike[str]) -> File:
    """The graph of a file.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is damaged, keeps arrays elsewhere, or has what is no plain graph of nodes.
    """
    onnx, data = package(), Path(path).read_bytes()
    try:
        return _file(onnx.load_model_from_string(data))
    except Exception as error:
        raise ValueError(f"from_onnx: {path} is no ONNX file that can be read: {error}") from error


def _file(model: Any) -> File:
    graph = model.graph
    if not model.ir_version or not graph.node:
        raise ValueError("it has no version or no nodes")
    opsets = {imported.domain: imported.version for imported in model.opset_import}
    opset, newest = opsets.get("", opsets.get("ai.onnx", 0)), package().defs.onnx_opset_version()
    if not OLDEST <= opset <= newest:
        raise ValueError(
            f"its opset is {opset}; {OLDEST} ... {newest} are understood: onnx.version_converter changes it"
        )
    for what in ("functions", "training_info"):
        if len(getattr(model, what)):
            raise ValueError(f"it has {what}; inline them: onnx.inliner.inline_local_functions")
    if len(graph.sparse_initializer):
        raise ValueError("it has sparse arrays")
    arrays = _once("arrays", [(_text(tensor.name), array_of(tensor)) for tensor in graph.initializer])
    inputs = list(_once("inputs", [(_text(value.name), None) for value in graph.input if value.name not in arrays]))
    known, steps = {*arrays, *inputs}, []
    for node in graph.node:
        attributes = _once("attributes of a node", [(_text(a.name), _attribute(a)) for a in node.attribute])
        domain, operator = _text(node.domain), _text(node.op_type)
        operator = operator if domain in ("", "ai.onnx") else f"{domain}.{operator}"
        reads, makes = ([_text(name) for name in part] for part in (node.input, node.output))
        step = Step(operator, _text(node.name), reads, makes, attributes, _text(node.doc_string))
        if unknown := [name for name in step.inputs if name and name not in known]:
            raise ValueError(f"{step} reads {unknown[0]!r}, which nothing before it makes")
        if not step.outputs or not any(step.outputs) or known & {name for name in step.outputs if name}:
            raise ValueError(f"{step} makes nothing, or what is there already")
        known.update([name for name in step.outputs if name])
        if operator == "Constant":
            arrays[step.outputs[0]] = _constant(step)
        else:
            steps.append(step)
    outputs = list(_once("outputs", [(_text(value.name), None) for value in graph.output]))
    if not outputs or not known.issuperset(outputs):
        raise ValueError(f"its outputs {outputs} are not all made")
    return File(inputs, outputs, steps, arrays)


def _once(what: str, named: list[tuple[str, Any]]) -> dict[str, Any]:
    """These by name; which of two of one name is meant, nobody knows."""
    found = dict(named)
    if len(found) < len(named):
        names = [name for name, _ in named]
        raise ValueError(f"two of its {what} have the name {max(names, key=names.count)!r}")
    return found


def _text(name: Any) -> str:
    if not isinstance(name, str):  # protobuf hands out bytes that are no UTF-8 as they are
        raise ValueError(f"a name is no text: {name!r}")
    return name


def array_of(tensor: Any) -> np.ndarray:
    """The array of a TensorProto, after a look whether there are as many bytes as its shape declares."""
    helper, kinds = package().helper, package().TensorProto
    if tensor.data_location == kinds.EXTERNAL or len(tensor.external_data):
        raise ValueError(
            f"{tensor.name!r} is kept in another file, which is not read: onnx.save(onnx.load(path), path) puts all "
            "into one"
        )
    if tensor.data_type not in helper.get_all_tensor_dtypes():
        raise ValueError(f"{tensor.name!r} has the unknown type {tensor.data_type}")
    dtype = np.dtype(helper.tensor_dtype_to_np_dtype(tensor.data_type))
    if dtype.kind not in "fiub" or dtype.isbuiltin != 1:
        raise ValueError(f"{tensor.name!r} holds {dtype}; real numbers and booleans are understood")
    count, dims = math.prod(tensor.dims), list(tensor.dims)
    if min(dims, default=0) < 0:
        raise ValueError(f"{tensor.name!r} is declared as {dims}")
    field = getattr(tensor, helper.tensor_dtype_to_field(tensor.data_type))
    found = len(tensor.raw_data) / dtype.itemsize if tensor.HasField("raw_data") else len(field)
    if found != count:
        raise ValueError(f"{tensor.name!r} is declared as {dims} {dtype}, but holds {found:g} numbers")
    return np.array(package().numpy_helper.to_array(tensor))


def _attribute(attribute: Any) -> Any:
    kinds = package().AttributeProto
    if attribute.type == kinds.TENSOR:
        return array_of(attribute.t)
    if attribute.type not in (kinds.INT, kinds.INTS, kinds.FLOAT, kinds.FLOATS, kinds.STRING, kinds.STRINGS):
        return None  # a graph or the like: of an operator that is not understood, or else refused
    value = package().helper.get_attribute_value(attribute)
    if isinstance(value, bytes):
        return value.decode()
    return [v.decode() if isinstance(v, bytes) else v for v in value] if isinstance(value, list) else value


def _constant(step: Step) -> np.ndarray:
    kinds = {"value": None, "value_float": np.float32, "value_floats": np.float32, "value_int": np.int64,
             "value_ints": np.int64}  # fmt: skip
    (name, value), *more = step.attributes.items() or [("", None)]
    if name not in kinds or more or value is None:
        raise ValueError(f"{step} has the attributes {', '.join(step.attributes)}")
    return np.asarray(value, kinds[name])
