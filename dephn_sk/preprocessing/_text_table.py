"""A table of a few cells, for a terminal and for a notebook."""

from collections.abc import Container, Iterable, Sequence
from html import escape

Cells = Sequence[Sequence[str]]  # rows of equal length; the first are the headings


def as_text(cells: Cells, *, numbers: Container[int]) -> str:
    """Lines of text; the columns that hold numbers are flush right."""
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = []
    for row in cells:
        padded = [
            cell.rjust(width) if column in numbers else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(padded).rstrip())
    return "\n".join(lines)


def as_html(cells: Cells) -> str:
    """The element ``<table>``."""
    head, *rows = cells
    body = "".join(_row(row, "td") for row in rows)
    return f"<table><thead>{_row(head, 'th')}</thead><tbody>{body}</tbody></table>"


def _row(cells: Iterable[str], tag: str) -> str:
    return f"<tr>{''.join(f'<{tag}>{escape(cell)}</{tag}>' for cell in cells)}</tr>"
