"""Where and when: an operator's place on a chip, its tiles and loops, what it moves, its cycles and their lower bound.

`mapper` chooses a `plan` for a `matmul`; `kernels.nest` says in closed form what a plan moves and takes, `walker` finds
the same by taking every step; `traffic` names it as events and `place` puts it all together.
"""

from bitsim.schedule.mapper import Goal, Objective, ScheduleError
from bitsim.schedule.place import ASSUMPTIONS, Placed, Placement

__all__ = ["ASSUMPTIONS", "Goal", "Objective", "Placed", "Placement", "ScheduleError"]
