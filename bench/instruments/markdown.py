"""How a table is written: numbers, ratios with their goals, and rows in Markdown."""

__all__ = ["number", "ratio", "table"]


def number(x):
    """Write a number with two or three digits that matter."""
    return f"{x:#.3g}" if 1 <= x < 100 else f"{x:.0f}" if x >= 100 else f"{x:.2g}"


def ratio(rival, own, goal=None):
    """Write a ratio, bold where fastbp loses, with its goal."""
    if rival is None:
        return ""
    text = number(rival / own)
    text = f"**{text}**" if rival < own else text
    return text if goal is None else f"{text} ({goal})"


def table(heads, rows):
    """Print a table in Markdown; columns of numbers are those whose first row has one."""
    rows = list(rows)
    print("| " + " | ".join(heads) + " |")
    print("| " + " | ".join("---" if i < 2 else "--:" for i in range(len(heads))) + " |")
    for row in rows:
        print("| " + " | ".join(row) + " |", flush=True)
    print()
