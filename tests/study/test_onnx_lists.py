"""ONNX graphs as lists of matmuls: sizes against NumPy, weights behind QDQ, and what is not counted is said."""

from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bitsim.errors import BitsimError, ConfigError
from bitsim.study.matmul_lists import MatmulList, read_matmuls

onnx: Any = pytest.importorskip("onnx")
helper, numpy_helper, F = onnx.helper, onnx.numpy_helper, onnx.TensorProto.FLOAT


def tensor(name: str, *shape: int, dtype: Any = np.float32) -> Any:
    return numpy_helper.from_array(np.zeros(shape, dtype=dtype), name)


def saved(folder: Path, nodes: list[Any], inputs: dict[str, list[Any]], constants: list[Any], out: str = "y") -> Path:
    given = [helper.make_tensor_value_info(name, F, shape) for name, shape in inputs.items()]
    graph = helper.make_graph(nodes, "g", given, [helper.make_tensor_value_info(out, F, None)], constants)
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 21), helper.make_opsetid("com.microsoft", 1)]
    )
    path = folder / "net.onnx"
    path.write_bytes(model.SerializeToString())
    return path


def sizes(found: MatmulList) -> list[tuple[int, int, int, int]]:
    return [(shape.m, shape.k, shape.n, shape.count) for shape in found.shapes]


def test_matmul_gemm_and_what_is_not_counted(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("MatMul", ["x", "w1"], ["a"], name="up"),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("Reshape", ["b", "flat"], ["c"]),
        helper.make_node("Gemm", ["c", "w2"], ["y"], transB=1),
    ]
    constants = [tensor("w1", 64, 96), tensor("w2", 10, 96), numpy_helper.from_array(np.array([-1, 96]), "flat")]
    found = read_matmuls(saved(tmp_path, nodes, {"x": ["batch", 7, 64]}, constants), dims={"batch": 2})
    assert sizes(found) == [(14, 64, 96, 1), (14, 96, 10, 1)]
    assert [shape.name for shape in found.shapes] == ["up", "y"]
    assert {shape.weight_bits for shape in found.shapes} == {16}
    assert "nodes that are not counted: 1 Relu" in found.notes
    assert {s.weight_bits for s in read_matmuls(tmp_path / "net.onnx", bits="8/5", dims={"batch": 2}).shapes} == {
        Fraction(8, 5)
    }


def test_a_transposed_gemm(tmp_path: Path) -> None:
    node = helper.make_node("Gemm", ["x", "w"], ["y"], transA=1)
    assert sizes(read_matmuls(saved(tmp_path, [node], {"x": [5, 3]}, [tensor("w", 5, 8)]))) == [(3, 5, 8, 1)]


@given(
    a=st.lists(st.sampled_from([1, 2, 3]), max_size=3), b=st.lists(st.sampled_from([1, 2, 3]), max_size=3)
)  # fmt: skip
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_law_batches_broadcast_as_in_numpy(tmp_path: Path, a: list[int], b: list[int]) -> None:
    """M x count rows of K x N products are as many as NumPy's result has."""
    node = helper.make_node("MatMul", ["x", "w"], ["y"])
    path = saved(tmp_path, [node], {"x": [*a, 4, 5]}, [tensor("w", *b, 5, 6)])
    try:
        expected = np.matmul(np.zeros((*a, 4, 5)), np.zeros((*b, 5, 6))).size
    except ValueError:
        with pytest.raises(ConfigError, match=r"net.onnx: "):
            read_matmuls(path)
        return
    ((m, k, n, count),) = sizes(read_matmuls(path))
    assert (m * n * count, k, n, count) == (expected, 5, 6, int(np.prod(b)))


@pytest.mark.parametrize(
    ("group", "stride", "pad", "dilation"), [(1, 1, 0, 1), (1, 2, 1, 1), (4, 1, 1, 2), (8, 2, 0, 1)]
)
def test_a_convolution_has_the_macs_of_im2col(tmp_path: Path, group: int, stride: int, pad: int, dilation: int) -> None:
    node = helper.make_node(
        "Conv", ["x", "w"], ["y"], group=group, strides=[stride] * 2, pads=[pad] * 4, dilations=[dilation] * 2
    )  # fmt: skip
    found = read_matmuls(saved(tmp_path, [node], {"x": [2, 8, 11, 13]}, [tensor("w", 16, 8 // group, 3, 3)]))
    high, wide = ((size + 2 * pad - dilation * 2 - 1) // stride + 1 for size in (11, 13))
    assert sizes(found) == [(2 * high * wide, 9 * 8 // group, 16 // group, group)]


def test_weights_behind_dequantize_linear_have_the_bits_of_their_type(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s"], ["xq"]),
        helper.make_node("DequantizeLinear", ["xq", "s"], ["xd"]),
        helper.make_node("DequantizeLinear", ["wq", "s"], ["wd"]),
        helper.make_node("Transpose", ["wd"], ["w"], perm=[1, 0]),
        helper.make_node("MatMul", ["xd", "w"], ["y"], name="qdq"),
    ]
    constants = [tensor("wq", 96, 64, dtype=np.int8), numpy_helper.from_array(np.float32(0.5), "s")]
    path = saved(tmp_path, nodes, {"x": [7, 64]}, constants)
    for asked, bits in ((None, 8), (2, 2)):
        (shape,) = read_matmuls(path, bits=asked).shapes
        assert (shape.m, shape.k, shape.n, shape.weight_bits) == (7, 64, 96, bits)


def test_integer_forms_are_matmuls(tmp_path: Path) -> None:
    nodes = [
        helper.make_node(
            "MatMulNBits", ["x", "w", "s"], ["y"], domain="com.microsoft", K=64, N=96, bits=2, block_size=32
        )
    ]
    constants = [tensor("w", 96, 2, 8, dtype=np.uint8), tensor("s", 192)]
    found = read_matmuls(saved(tmp_path, nodes, {"x": [3, 7, 64]}, constants))
    assert (sizes(found), found.shapes[0].weight_bits) == ([(21, 64, 96, 1)], 2)
    dynamic = [
        helper.make_node("DynamicQuantizeLinear", ["x"], ["xq", "s", "z"]),
        helper.make_node("MatMulInteger", ["xq", "w", "z"], ["y"]),
    ]
    path = saved(tmp_path, dynamic, {"x": [7, 64]}, [tensor("w", 64, 96, dtype=np.int8)])
    assert sizes(read_matmuls(path, bits=2)) == [(7, 64, 96, 1)]


def test_a_product_of_activations_stays_fp16_and_is_said(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Transpose", ["k"], ["kt"], perm=[0, 1, 3, 2]),
        helper.make_node("MatMul", ["q", "kt"], ["y"]),
    ]
    path = saved(tmp_path, nodes, {"q": [2, 4, 7, 16], "k": [2, 4, 9, 16]}, [])
    found = read_matmuls(path, bits=2)
    assert (sizes(found), found.shapes[0].weight_bits) == ([(7, 16, 9, 8)], 16)
    assert any("products of two activations" in note for note in found.notes)


def test_a_size_that_nobody_gave_is_asked_for(tmp_path: Path) -> None:
    node = helper.make_node("MatMul", ["x", "w"], ["y"], name="up")
    path = saved(tmp_path, [node], {"x": ["tokens", 64]}, [tensor("w", 64, 96)])
    with pytest.raises(
        ConfigError, match=r"node 'up' \(MatMul\): 'x': dimension 'tokens' has no size; give it by dims"
    ):
        read_matmuls(path)
    with pytest.raises(ConfigError, match="no input has a dimension 'batch'; there are: tokens"):
        read_matmuls(path, dims={"batch": 1})
    with pytest.raises(ConfigError, match="dims: tokens: expected an integer from 1 to"):
        read_matmuls(path, dims={"tokens": 0})


def test_weights_that_are_not_read_may_be_large(tmp_path: Path) -> None:
    node = helper.make_node("MatMul", ["x", "w"], ["y"])
    path = saved(tmp_path, [node], {"x": [1, 512]}, [tensor("w", 512, 512)])
    assert sizes(read_matmuls(path)) == [(1, 512, 512, 1)]


@given(st.binary(max_size=80), st.integers(0, 400), st.integers(1, 255))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_law_no_bytes_are_a_traceback(tmp_path: Path, junk: bytes, at: int, change: int) -> None:
    node = helper.make_node("Conv", ["x", "w"], ["y"], group=2)
    path = saved(tmp_path, [node], {"x": [1, 4, 5, 5]}, [tensor("w", 4, 2, 3, 3)])
    whole = bytearray(path.read_bytes())
    whole[at % len(whole)] ^= change
    for content in (junk, bytes(whole)):
        path.write_bytes(content)
        with suppress(BitsimError):
            read_matmuls(path)
