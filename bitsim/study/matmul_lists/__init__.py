"""Lists of matmuls that people have: CSV (bitsim's own and SCALE-Sim's), JSON and ONNX graphs."""

from bitsim.study.matmul_lists.read import MatmulList, read_matmuls

__all__ = ["MatmulList", "read_matmuls"]
