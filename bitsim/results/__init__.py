"""What experiments give: rows of operators, the ledger that adds them up, and where every number comes from."""

from bitsim.results.result import Result
from bitsim.results.rows import OperatorRow

__all__ = ["OperatorRow", "Result"]
