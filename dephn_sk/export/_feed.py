"""feed: the rows of a table as the inputs of a graph."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from numpy.typing import NDArray

from ._chain import Chain
from ._encoded import feed_encoded
from ._inputs import check_inputs, feed_raw, groups_of


def feed(
    estimator: Any, X: Any, *, inputs: str = "raw", shared: Collection[str] = ()
) -> dict[str, NDArray]:
    """Give the rows of a table as the inputs of the graph of :func:`to_onnx`.

    Cells of another type than in `fit` become what they mean, so that the graph gives
    what ``predict_proba`` gives. It needs neither onnx nor onnxruntime.

    Parameters
    ----------
    estimator : estimator
        As for :func:`to_onnx`.
    X : DataFrame or array-like of shape (n_samples, n_features)
        A table such as ``predict_proba`` takes.
    inputs : {"raw", "user+items", "encoded"}, default="raw"
        As for :func:`to_onnx`.
    shared : collection of str, default=()
        The user's columns, whose rows must be all alike.

    Returns
    -------
    dict of str to ndarray
        By the inputs' names.

    Raises
    ------
    ValueError
        For a table that ``predict_proba`` refuses, and for a cell that the input's type
        cannot hold; the message names the column.

    See Also
    --------
    to_onnx : The graph.

    Examples
    --------
    >>> import pandas as pd
    >>> from dephn_sk import DEPHNMultiTaskClassifier
    >>> from dephn_sk.export import feed
    >>> X = pd.DataFrame({"city": ["Oslo", "Rome"] * 20, "age": [20.0, 30.0] * 20})
    >>> model = DEPHNMultiTaskClassifier(max_epochs=1, random_state=0)
    >>> model = model.fit(X, [0, 1] * 20)
    >>> rows = pd.DataFrame({"city": ["Rome", None], "age": [None, 1]})
    >>> for name, values in feed(model, rows).items():
    ...     print(name, values.tolist())
    city ['Rome', '']
    age [nan, 1.0]
    missing [[False], [True]]
    """
    check_inputs(inputs, shared)
    chain = Chain.of(estimator)
    if inputs == "encoded":
        return feed_encoded(chain, X)
    encoder = chain.encoders()[0]
    return feed_raw(encoder, groups_of(encoder, shared, inputs), X)
