"""A small chip of every kind of datapath, as text whose lines the tests of error messages change."""

TREE = """\
kind: chip
name: mine
like: ternary-ws-64x64
bitlinear:
  kind: adder_tree
  lanes: 16
  trees: 4
  pipeline: 1
  tokens: 2
  acc_bits: 20
"""
LUT = """\
kind: chip
name: mine
like: ternary-ws-64x64
bitlinear:
  kind: ternary_lut
  g: 3
  table: half
  storage: registers
  tables: 4
  lanes: 8
  reuse: 2
  acc_bits: 20
"""
SERIAL = """\
kind: chip
name: mine
like: ternary-ws-64x64
bitlinear:
  kind: bit_serial
  act_bits: 4
  weights: binary
  lanes: 16
  rows: 2
  cols: 4
  skip_zero_planes: false
  acc_bits: 20
"""
POPCOUNT = """\
kind: chip
name: mine
like: ternary-ws-64x64
bitlinear:
  kind: popcount
  operands: ternary
  lanes: 32
  cols: 4
  tokens: 2
  acc_bits: 16
"""
CPU = """\
kind: chip
name: mine
like: ternary-ws-64x64
bitlinear:
  kind: cpu_simd
  kernel: tl1
  bm: 128
  bk: 64
  bmm: 64
  instructions_per_cycle: {value: 2, unit: ratio, evidence: assumed, source: a test}
"""
BINARY = """\
kind: chip
name: mine
like: ternary-ws-64x64
bitlinear:
  kind: binary_lut
  tables: 4
  lanes: 8
  table_bits: 8
  acc_bits: 20
"""
SPARSE = """\
kind: chip
name: mine
like: ternary-ws-64x64
bitlinear:
  kind: sparse_array
  lanes: 16
  cols: 64
  depth: 8
  lookahead: 4
  outputs: 2
  acc_bits: 20
"""
ROM = """\
kind: chip
name: mine
like: ternary-ws-64x64
bitlinear:
  kind: rom_array
  rows: 64
  cols: 32
  banks: 2
  wake_cycles: 1
  acc_bits: 16
  column_acc_bits: 32
"""
TENSOR = """\
kind: chip
name: mine
like: ternary-ws-64x64
bitlinear:
  kind: tensor_core
  arch: ampere
  format: int8
  instruction: m16n8k32
  units: 4
  unit_macs: 512
  weights: ternary
"""
ARRAY = """\
kind: chip
name: mine
like: adder-tree-16x256
bitlinear:
  kind: pe_array
  pe: ternary
  dataflow: weight_stationary
  rows: 4
  cols: 8
  acc_bits: 20
  column_acc_bits: 32
"""

CHIPS = {
    "pe_array": ARRAY,
    "tensor_core": TENSOR,
    "sparse_array": SPARSE,
    "rom_array": ROM,
    "adder_tree": TREE,
    "cpu_simd": CPU,
    "binary_lut": BINARY,
    "ternary_lut": LUT,
    "bit_serial": SERIAL,
    "popcount": POPCOUNT,
}
