"""How often calls are sent again: where many fail at once, to repeat them all would double the load."""

SHARE = 0.1
"""At most this part of the calls is repeated ..."""
RESERVE = 10.0
"""... and so many more to begin with."""
MOST = 100.0
"""What was not used for long is not all used at once."""


class RetryBudget:
    """Each call adds its share, each repetition takes one."""

    def __init__(self) -> None:
        self._left = RESERVE

    def add(self) -> None:
        """A call is made."""
        self._left = min(self._left + SHARE, MOST)

    def take(self) -> bool:
        """Whether one may be repeated."""
        if self._left < 1:
            return False
        self._left -= 1
        return True
