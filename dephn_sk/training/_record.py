"""What a fitted estimator tells of its training."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted


class TrainingRecord(BaseEstimator):
    """Mixin: epochs, their losses and scores, and a summary in notebooks."""

    @property
    def n_iter_(self) -> int:
        """Number of epochs that were run."""
        check_is_fitted(self)
        return len(self.net_.history)

    @property
    def history_(self) -> Any:
        """Losses and scores of each epoch, a data frame where pandas is installed.

        ``epoch``, ``dur`` (seconds), ``train_loss`` and ``valid_loss``, and for each
        task ``train_loss_<task>``, ``valid_loss_<task>`` and ``valid_score_<task>``
        (ROC AUC; accuracy of a multi-class task). NaN where an epoch had no validation
        rows. Without pandas, a dict of lists.
        """
        check_is_fitted(self)
        rows = [self._epoch(row) for row in self.net_.history]
        names = dict.fromkeys(name for row in rows for name in row)
        columns = {name: [row.get(name, np.nan) for row in rows] for name in names}
        try:
            import pandas as pd
        except ImportError:
            return columns
        return pd.DataFrame(columns)

    def _epoch(self, row: dict[str, Any]) -> dict[str, float]:
        """One epoch's numbers, with a name for each task's."""
        flat = {"epoch": row["epoch"], "dur": row.get("dur", np.nan)}
        for prefix in ("train", "valid"):
            if f"{prefix}_loss" not in row:
                continue
            flat[f"{prefix}_loss"] = row[f"{prefix}_loss"]
            for what in ("loss", "score"):
                values = row.get(f"{prefix}_task_{what}", ())
                for name, value in zip(self.task_names_, values, strict=False):
                    flat[f"{prefix}_{what}_{name}"] = value
        return flat

    def _repr_mimebundle_(self, **kwargs: Any) -> dict[str, str]:
        """What notebooks show: the diagram and, once fitted, a summary."""
        bundle = super()._repr_mimebundle_(**kwargs)
        if self.__sklearn_is_fitted__():
            from ..inspection import FitSummary

            summary = FitSummary.from_estimator(self)
            bundle["text/plain"] += f"\n{summary!r}"
            if "text/html" in bundle:
                bundle["text/html"] += summary._repr_html_()
        return bundle
