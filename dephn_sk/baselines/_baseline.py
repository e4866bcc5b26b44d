"""What the estimators of this package share: parameters, their documentation."""

from __future__ import annotations

from numbers import Integral

from .._estimator import MultiTaskClassifier


class BaselineClassifier(MultiTaskClassifier):
    """Base of the systems that DEPHN is compared with."""

    def _check_choices(self) -> None:
        super()._check_choices()
        for parameter in ("hidden", "expert_hidden", "tower_hidden"):
            widths = getattr(self, parameter, None)
            if widths is None:
                continue
            if not len(widths) and parameter != "tower_hidden":
                raise ValueError(f"{parameter} is empty; give at least one width.")
            for width in widths:
                if not isinstance(width, Integral) or width < 1:
                    raise ValueError(
                        f"{parameter} must hold integers >= 1, got {width!r}."
                    )
