"""The PE array: R x C processing elements, ternary, INT8 or FP16, weight- or output-stationary.

`datapath` draws it and puts it on a chip; its parts are `geometry` (tiles and cycles in closed form), `sums` (outputs),
`switching` (toggles) and `stored_halves` (large matrices that an FP16 array looks at where they lie). `cycle_model`
steps the same array register by register.
"""

__all__ = ["cycle_model", "datapath", "geometry", "stored_halves", "sums", "switching"]
