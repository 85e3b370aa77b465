"""Numbers as people write them."""


def show_number(number: float, digits: int = 3, sign: str = "") -> str:
    """``0.0123``, ``12.3``, ``1,523``: ``digits`` significant ones, or all those before the point.

    ``sign`` "+" shows that of positive numbers too.
    """
    rounds_to_more = abs(number) >= 10**digits - 0.5  # there the general format takes an exponent
    return f"{number:{sign},.0f}" if rounds_to_more else f"{number:{sign}.{digits}g}"
