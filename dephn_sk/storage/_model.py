"""Files of what was fitted: written and read as a whole."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from ..training import device_of
from . import _archive
from ._archive import ModelFileError
from ._card import card_of, versions
from ._objects import Objects
from ._plain import CannotStoreError, flatten, restore

_KIND = "model"
# what to do about a parameter that holds what no file does
_ADVICE = {
    "callbacks": "Predictions need none: set_params(callbacks=None), then save.",
    "loss": "Give the name of one of the library's own.",
    "mappings": "Give names of the library's own mappings.",
    "virtual_gradient": "Give the name of one of the library's own.",
}
_OTHERWISE = (
    "Give numbers, text, lists, dicts or arrays; joblib.dump keeps functions and "
    "objects, in a file that runs code when it is loaded."
)


def save(
    model: Any,
    path: str | os.PathLike[str],
    *,
    training: bool = False,
    metrics: Mapping[str, Any] | None = None,
) -> None:
    """Write a fitted model to a file that can be loaded without running code.

    The file is a zip of ``README.md`` (a model card, see ``card``), ``manifest.json``
    and arrays. It appears under its name when all of it is on the disk; whatever is
    raised before that, a file that is there stays as it is.

    Parameters
    ----------
    model : estimator
        A fitted classifier of this library, a
        :class:`~dephn_sk.preprocessing.FieldEncoder`,
        :class:`~dephn_sk.calibration.TaskCalibrator`,
        :class:`~dephn_sk.model_selection.ThresholdedClassifier` or
        :class:`~dephn_sk.TaskView`; or
        a Pipeline, a search, or another estimator of scikit-learn around one, whose own
        parts go through skops, with the types that skops trusts. A class of your own is
        appended to ``dephn_sk.storage.CLASSES`` first.
    path : str or PathLike
        Where to.
    training : bool, default=False
        Whether to keep what further training goes on from, bit for bit: optimizer,
        averages, last weights and callbacks. Otherwise the file holds what predictions
        need, as after ``trim()``; training that goes on starts from there.
    metrics : dict of str to float, sequence or dict, default=None
        For the model card: by name, a number, or one for each task.

    Raises
    ------
    ValueError
        For what no file holds: functions, callbacks of your own, classes of others. The
        message names the parameter and says what to do.
    NotFittedError
        Where the model is not fitted.
    ImportError
        Where estimators of scikit-learn are to be stored, and skops is not installed.

    See Also
    --------
    load : Reads the file.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import dephn_sk
    >>> from dephn_sk.datasets import make_behavior_log
    >>> log = make_behavior_log(500, random_state=0)
    >>> model = dephn_sk.DEPHNMultiTaskClassifier(max_epochs=1, random_state=0)
    >>> model = model.fit(log.data, log.target)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     model.save(Path(folder) / "model.zip")
    ...     loaded = dephn_sk.load(Path(folder) / "model.zip")
    >>> (loaded.predict_proba(log.data) == model.predict_proba(log.data)).all()
    np.True_
    """
    objects = Objects(training)
    if not isinstance(model, BaseEstimator) or not objects.knows(model):
        raise ValueError(
            f"{type(model).__qualname__} is no class that files hold. Append it to "
            "dephn_sk.storage.CLASSES, here and before the file is loaded, if it is "
            "your own subclass of MultiTaskClassifier."
        )
    check_is_fitted(model)
    try:
        tree, arrays = flatten(model, objects.to_state)
    except CannotStoreError as error:
        raise ValueError(_refusal(type(model).__name__, error)) from error
    manifest = {"kind": _KIND, "versions": versions(), "model": tree}
    _archive.write(path, manifest, arrays, {"README.md": card_of(model, metrics)})


def load(
    path: str | os.PathLike[str], *, device: str | None = None, mmap: bool = False
) -> Any:
    """Read a model that :func:`save` wrote. No code of the file is run.

    All sizes are compared before memory is taken, all sums before anything is made, and
    everything that is made is of a class that this library lists. What a file says is
    believed, though: whoever may write it decides what the model predicts.

    Parameters
    ----------
    path : str or PathLike
    device : str, default=None
        Where the network shall be: "auto", "cpu", or a device of torch. None is the
        device of the fit, or the CPU, with a warning, where that is not to be had.
    mmap : bool, default=False
        Whether arrays of a megabyte and more stay on the disk until they are used, so
        that loading takes no time and processes share them. Their sums are not
        checked. The file must stay as it is while the model is in use.

    Returns
    -------
    estimator
        Fitted, as what was saved.

    Raises
    ------
    ModelFileError
        A ValueError: the file is damaged, holds what no model does, or is of a newer
        format. The message names the file and the part.
    ImportError
        Where it holds estimators of scikit-learn, and skops is not installed.

    See Also
    --------
    save : Writes the file, and shows an example.
    """
    if device is not None:
        device_of(device)
    try:
        return _loaded(path, device, mmap)
    except ModelFileError as error:
        text = f"{os.fspath(path)!r}: {error}"
        raise type(error)(text) from error.__cause__


def _loaded(path: str | os.PathLike[str], device: str | None, mmap: bool) -> Any:
    """The model of a file; an error does not name it."""
    manifest, arrays, _ = _archive.read(path, mmap=mmap)
    if manifest.get("kind") != _KIND or "model" not in manifest:
        raise ModelFileError(
            f"The file holds a {manifest.get('kind')!r}, and no model."
        )
    try:
        model = restore(
            manifest["model"], arrays, Objects(device=device, mapped=mmap).from_state
        )
        check_is_fitted(model)
        return model
    except (ModelFileError, ImportError):
        raise
    except Exception as error:  # a file may hold any nonsense in the place of a value
        raise ModelFileError(f"The file makes no model: {error}") from error


def _refusal(name: str, error: CannotStoreError) -> str:
    """What is said of a value that no file holds: its parameter, and what to do."""
    place = error.place
    if "params" in place:
        parameter, *_ = place[place.index("params") + 1 :]
        advice = _ADVICE.get(parameter, _OTHERWISE)
        return f"The parameter {parameter} of this {name} holds {error.what} {advice}"
    if place[-2:-1] == ("attributes",):
        return f"The attribute {place[-1]} of this {name} holds {error.what} Delete it."
    return f"This {name} cannot be stored: {error} {_OTHERWISE}"
