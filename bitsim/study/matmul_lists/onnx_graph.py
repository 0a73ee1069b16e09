"""The matmuls of an ONNX graph, node by node; needs the package onnx (`pip install bitsim-hw[onnx]`).

MatMul, Gemm, Conv (as im2col: pixels of the output times a window of the input, one matmul per group), their integer
forms (MatMulInteger, QLinearMatMul, ConvInteger, QLinearConv) and MatMulNBits. Weights are constants, also behind
DequantizeLinear (QDQ), Transpose, Cast, Reshape or Identity; float ones are FP16, integers have the bits of their type.
A product of two activations counts its second operand as FP16 weights. Subgraphs and functions are not looked into.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import zip_longest
from math import prod
from typing import Any

from bitsim.study.matmul_lists.entries import MOST_ENTRIES, Entry, ListError

# Operator -> where its input and its weights stand.
_MATMULS = {"MatMul": (0, 1), "MatMulInteger": (0, 1), "QLinearMatMul": (0, 3)}
_CONVOLUTIONS = {"Conv": (0, 1), "ConvInteger": (0, 1), "QLinearConv": (0, 3)}
_PASSES_ON = ("DequantizeLinear", "QuantizeLinear", "Transpose", "Cast", "Reshape", "Identity")
_INTEGER_BITS = {"INT8": 8, "UINT8": 8, "INT4": 4, "UINT4": 4, "INT2": 2, "UINT2": 2, "INT32": 32, "INT16": 16}
_FLOATS = ("FLOAT", "FLOAT16", "BFLOAT16", "DOUBLE")
FP16 = 16
_LARGE = 1 << 12  # values of a tensor that no shape can follow from
Dims = tuple[int | str, ...]


def onnx_entries(data: bytes, path: str, dims: Mapping[str, int]) -> tuple[Iterator[Entry], tuple[str, ...]]:
    """The matmuls of a serialised model, and what of it is not counted. Raises `ListError` naming node and tensor."""
    graph = _Graph(data, path, dims)
    return graph.entries(), graph.notes()


class _Graph:
    """A graph with the shape of every tensor that could be inferred, and what each comes from."""

    def __init__(self, data: bytes, path: str, dims: Mapping[str, int]) -> None:
        try:
            import onnx
        except ImportError:
            raise ListError(f"{path}: ONNX files need the package onnx: pip install 'bitsim-hw[onnx]'") from None
        self.path, self._types = path, onnx.TensorProto.DataType
        try:
            model = onnx.load_model_from_string(data)
            for tensor in model.graph.initializer:
                if prod(tensor.dims) > _LARGE:
                    tensor.ClearField("raw_data")
            _fix(model.graph, dims, path)
            graph = onnx.shape_inference.infer_shapes(model, data_prop=True).graph
        except ListError:
            raise
        except Exception as error:  # protobuf's and onnx's own, of many kinds
            raise ListError(f"{path}: expected an ONNX model, got: {' '.join(str(error).split())[:200]}") from None
        self.nodes = list(graph.node)
        self.made_by = {output: node for node in self.nodes for output in node.output}
        self.constants = {tensor.name: tensor for tensor in graph.initializer}
        self.constants |= {n.output[0]: a.t for n in self.nodes if n.op_type == "Constant" for a in n.attribute if a.t}
        self.shapes: dict[str, Dims] = {
            info.name: tuple(dim.dim_param or dim.dim_value for dim in info.type.tensor_type.shape.dim)
            for info in (*graph.input, *graph.value_info, *graph.output)
            if info.type.tensor_type.HasField("shape")
        }
        self.shapes |= {name: tuple(tensor.dims) for name, tensor in self.constants.items()}

    def entries(self) -> Iterator[Entry]:
        for number, node in enumerate(n for n in self.nodes if _counted(n.op_type)):
            name = node.name or (node.output[0] if node.output else f"node {number}")
            where = f"{self.path}: node {name[:80]!r} ({node.op_type})"
            if number >= MOST_ENTRIES:
                raise ListError(f"{where}: expected at most {MOST_ENTRIES:,} matmuls, got more")
            values, weights = self._values(node, where)
            entry = values | {"name": name[:200], "bits": self._bits(weights, where) if weights else values["bits"]}
            yield Entry(values=entry, where=where, keeps_bits=bool(weights) and self._constant(weights) is None)

    def notes(self) -> tuple[str, ...]:
        others = Counter(n.op_type for n in self.nodes if not _counted(n.op_type) and n.op_type not in _NO_WORK)
        said = ", ".join(f"{count} {kind}" for kind, count in sorted(others.items()))
        products = sum(
            self._constant(node.input[_MATMULS[node.op_type][1]]) is None
            for node in self.nodes
            if node.op_type in _MATMULS and len(node.input) > _MATMULS[node.op_type][1]
        )
        both = f"products of two activations, the second counted as FP16 weights: {products}"
        return (*((f"nodes that are not counted: {said}",) if said else ()), *((both,) if products else ()))

    def _values(self, node: Any, where: str) -> tuple[dict[str, Any], str]:
        """The sizes of a node, and the tensor of its weights ("" where attributes say their bits)."""
        attributes = {a.name: a.i for a in node.attribute}
        if node.op_type == "MatMulNBits":
            sizes = {"m": prod(self._shape(node, 0, where)[:-1]), "k": attributes.get("K"), "n": attributes.get("N")}
            return sizes | {"bits": attributes.get("bits", 4)}, ""
        if node.op_type in _CONVOLUTIONS:
            _, at = _CONVOLUTIONS[node.op_type]
            out, window = self._tensor(node.output[0], where), self._shape(node, at, where)
            groups = attributes.get("group", 1)
            if len(out) < 3 or len(out) != len(window) or groups < 1 or window[0] % groups:
                raise ListError(f"{where}: expected an output and weights of one rank and group >= 1 that divides them")
            sizes = {"m": out[0] * prod(out[2:]), "k": prod(window[1:]), "n": window[0] // groups, "count": groups}
            return sizes, node.input[at]
        first, at = _MATMULS.get(node.op_type, (0, 1))
        a, b = self._shape(node, first, where), self._shape(node, at, where)
        if node.op_type == "Gemm":
            a = a[::-1] if attributes.get("transA") else a
            b = b[::-1] if attributes.get("transB") else b
        a, b = (a if len(a) > 1 else (1, *a)), (b if len(b) > 1 else (*b, 1))
        together = _broadcast(a[:-2], b[:-2])
        if len(a) < 2 or len(b) < 2 or a[-1] != b[-2] or together is None:
            raise ListError(f"{where}: expected (..., M, K) times (..., K, N), got {a} times {b}")
        matrices = prod(b[:-2])
        rows = a[-2] * (prod(together) // matrices)
        return {"m": rows, "k": a[-1], "n": b[-1], "count": matrices}, node.input[at]

    def _shape(self, node: Any, at: int, where: str) -> tuple[int, ...]:
        if len(node.input) <= at:
            raise ListError(f"{where}: expected at least {at + 1} inputs, got {len(node.input)}")
        return self._tensor(node.input[at], where)

    def _tensor(self, name: str, where: str) -> tuple[int, ...]:
        found = self.shapes.get(name)
        if found is None:
            raise ListError(f"{where}: {name[:80]!r} has no shape: shape inference does not reach it")
        for dim in found:
            if isinstance(dim, str):
                raise ListError(f"{where}: {name[:80]!r}: dimension {dim[:80]!r} has no size; give it by dims (--dim)")
            if dim < 1:
                raise ListError(f"{where}: {name[:80]!r}: expected sizes >= 1, got {found}")
        return tuple(int(dim) for dim in found)

    def _constant(self, name: str) -> Any:
        """The constant that a tensor is made of; None if it depends on an input."""
        for _ in range(len(self.nodes) + 1):
            if name in self.constants:
                return self.constants[name]
            node = self.made_by.get(name)
            if node is None or node.op_type not in _PASSES_ON or not node.input:
                return None
            name = node.input[0]
        return None

    def _bits(self, name: str, where: str) -> int:
        constant = self._constant(name)
        if constant is None:
            return FP16
        kind = self._types.Name(constant.data_type)
        if kind in _FLOATS:
            return FP16
        if kind not in _INTEGER_BITS:
            raise ListError(f"{where}: weights of type {kind}: expected {', '.join((*_FLOATS, *_INTEGER_BITS))}")
        return _INTEGER_BITS[kind]


_NO_WORK = ("Constant", "DequantizeLinear", "QuantizeLinear", "Identity", "Reshape", "Squeeze", "Unsqueeze", "Shape")


def _counted(kind: str) -> bool:
    return kind in _MATMULS or kind in _CONVOLUTIONS or kind in ("Gemm", "MatMulNBits")


def _broadcast(a: tuple[int, ...], b: tuple[int, ...]) -> tuple[int, ...] | None:
    """What two shapes are together, as NumPy and ONNX broadcast them; None if they don't go together."""
    pairs = list(zip_longest(reversed(a), reversed(b), fillvalue=1))
    return tuple(max(pair) for pair in pairs) if all(x == y or 1 in (x, y) for x, y in pairs) else None


def _fix(graph: Any, dims: Mapping[str, int], path: str) -> None:
    """Give the symbolic dimensions of the inputs their sizes; those of other tensors follow."""
    known = set()
    for info in graph.input:
        for dim in info.type.tensor_type.shape.dim:
            if dim.dim_param:
                known.add(dim.dim_param)
            if dim.dim_param in dims:
                dim.dim_value = dims[dim.dim_param]
    for name in dims:
        if name not in known:
            said = ", ".join(sorted(known)) or "none"
            raise ListError(f"{path}: dims: no input has a dimension {name[:80]!r}; there are: {said}")
    del graph.value_info[:]  # as the exporter inferred them, with symbolic dimensions
    for info in graph.output:
        info.type.tensor_type.ClearField("shape")
