"""What it costs: counted events times a technology's prices, in three conventions. The only place that multiplies."""

from bitsim.cost.conventions import CONVENTIONS, Convention
from bitsim.cost.energy import Energy, OperatorCost, price_operator
from bitsim.cost.price import Price
from bitsim.cost.prices import PriceList

__all__ = ["CONVENTIONS", "Convention", "Energy", "OperatorCost", "Price", "PriceList", "price_operator"]
