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
        sides = ["<", "<", ">", ">", ">"]
        line = "  ".join(f"{{:{a}{w}}}" for a, w in zip(sides, widths, strict=True))
        return "\n".join(line.format(*row).rstrip() for row in cells)

    def _repr_html_(self) -> str:
        head, *rows = [list(map(escape, row)) for row in self._cells()]
        body = "".join(f"<tr><td>{'</td><td>'.join(row)}</td></tr>" for row in rows)
        first = f"<tr><th>{'</th><th>'.join(head)}</th></tr>"
        return f"<table><thead>{first}</thead><tbody>{body}</tbody></table>"


def _percent(share: float | None) -> str:
    return "" if share is None else f"{share:.1%}"
