"""What an encoder has learned, to be read by people."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape


@dataclass(frozen=True)
class FieldReport:
    """The fields of an encoder: a table as text and as HTML.

    Attributes
    ----------
    rows : tuple of tuple
        For each field: name; kind; number of codes, or None; share of the rows whose
        value has code 0 because it is rare, or None; share of the rows that are
        missing. Rows of a multi-valued field are its members.
    """

    rows: tuple[tuple[str, str, int | None, float | None, float], ...]

    def _cells(self) -> list[list[str]]:
        cells = [["field", "kind", "codes", "rare", "missing"]]
        for name, kind, codes, rare, missing in self.rows:
            numbers = "" if codes is None else f"{codes:,}"
            cells.append([name, kind, numbers, _percent(rare), _percent(missing)])
        return cells

    def __repr__(self) -> str:
        cells = self._cells()
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        lines = [
            "  ".join(
                cell.ljust(width) if j < 2 else cell.rjust(width)
                for j, (cell, width) in enumerate(zip(row, widths, strict=True))
            ).rstrip()
            for row in cells
        ]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        head, *rows = (
            "".join(f"<{tag}>{escape(cell)}</{tag}>" for cell in row)
            for tag, row in zip(
                ["th", *["td"] * len(self.rows)], self._cells(), strict=True
            )
        )
        body = "".join(f"<tr>{row}</tr>" for row in rows)
        return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _percent(share: float | None) -> str:
    return "" if share is None else f"{share:.1%}"
