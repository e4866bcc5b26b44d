"""What an encoder has learned, to be read by people."""

from dataclasses import dataclass
from html import escape

from dephn_sk.preprocessing._text_table import as_html, as_text


@dataclass(frozen=True)
class FieldReport:
    """The fields of an encoder: a table as text and as HTML.

    Attributes
    ----------
    rows : tuple of tuple
        For each field: name; kind; number of codes, or None; share of the rows whose
        value has code 0 because it is rare, or None; share of the rows that are
        missing. Rows of a multi-valued field are its members.
    decisions : tuple of str
        What a rule has decided of a column, and why.
    """

    rows: tuple[tuple[str, str, int | None, float | None, float], ...]
    decisions: tuple[str, ...] = ()

    def _cells(self) -> list[list[str]]:
        cells = [["field", "kind", "codes", "rare", "missing"]]
        for name, kind, codes, rare, missing in self.rows:
            numbers = "" if codes is None else f"{codes:,}"
            cells.append([name, kind, numbers, _percent(rare), _percent(missing)])
        return cells

    def __repr__(self) -> str:
        return "\n".join([as_text(self._cells(), numbers={2, 3, 4}), *self.decisions])

    def _repr_html_(self) -> str:
        decided = (f"<p>{escape(one)}</p>" for one in self.decisions)
        return as_html(self._cells()) + "".join(decided)


def _percent(share: float | None) -> str:
    return "" if share is None else f"{share:.1%}"
