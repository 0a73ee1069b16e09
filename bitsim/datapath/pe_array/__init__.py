"""The PE array: R x C processing elements, ternary (also of floats), INT8 or FP16, weight- or output-stationary.

`datapath` draws it and puts it on a chip; its parts are `geometry` (tiles and cycles in closed form), `sums` (outputs),
`facts` and `between` (what is counted from weights, in a tile and from tile to tile), `switching` (toggles) and
`stored_halves` (large matrices that an FP16 array looks at where they lie). `cycle_model` steps the same array register
by register, through all calls of a plan.
"""

__all__ = ["between", "cycle_model", "datapath", "facts", "geometry", "stored_halves", "sums", "switching"]
