"""What experiments give: one kind of outcome, the rows and ledger of operators, and where every number comes from."""

from bitsim.results.outcome import Outcome
from bitsim.results.result import Result
from bitsim.results.rows import OperatorRow
from bitsim.results.stored import from_json, read_outcome

__all__ = ["OperatorRow", "Outcome", "Result", "from_json", "read_outcome"]
