"""Census-Income (KDD), the data of the MMoE and PLE papers.

Weighted census records of the 1994 and 1995 Current Population Surveys of the
U.S. Census Bureau: 199,523 rows in ``census-income.data`` and 99,762 in
``census-income.test``, 41 attributes and an income label.

Source: UCI Machine Learning Repository, https://doi.org/10.24432/C5N30T.
Licence: CC BY 4.0.
"""

from __future__ import annotations

import gzip
import hashlib
import shutil
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Sequence
from http.client import HTTPException
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import IO, Any
from urllib.request import urlopen

import numpy as np
from sklearn.utils import Bunch

from .._compat import validate_params
from ._tables import (
    LOADER_CONSTRAINTS,
    DataHome,
    as_bunch,
    check_tasks,
    find_file,
    import_pandas,
    resolve_data_home,
)

FOLDER = "census"
ORIGIN = (
    "the UCI Machine Learning Repository, https://doi.org/10.24432/C5N30T, under "
    "CC BY 4.0 (dephn_sk.datasets.fetch_census_income downloads it)"
)
URL = "https://archive.ics.uci.edu/static/public/117/census+income+kdd.zip"
SHA256 = {  # of the extracted files
    "census-income.data": (
        "3676a81db7d3528f3f8b9f3c699d0f0aa28db45e6e994fa0b8ed38327539ee86"
    ),
    "census-income.test": (
        "98402b1ab879573d0a7f38a699a40258080e25e33d3401e7bf9c96d3fa0fab8c"
    ),
}
# fmt: off
COLUMNS = [
    "age", "class_worker", "det_ind_code", "det_occ_code", "education", "wage_per_hour",
    "hs_college", "marital_stat", "major_ind_code", "major_occ_code", "race",
    "hisp_origin", "sex", "union_member", "unemp_reason", "full_or_part_emp",
    "capital_gains", "capital_losses", "stock_dividends", "tax_filer_stat",
    "region_prev_res", "state_prev_res", "det_hh_fam_stat", "det_hh_summ",
    "instance_weight", "mig_chg_msa", "mig_chg_reg", "mig_move_reg", "mig_same",
    "mig_prev_sunbelt", "num_emp", "fam_under_18", "country_father", "country_mother",
    "country_self", "citizenship", "own_or_self", "vet_question", "vet_benefits",
    "weeks_worked", "year", "income_50k",
]
# fmt: on
NUMERIC = [
    "age",
    "wage_per_hour",
    "capital_gains",
    "capital_losses",
    "stock_dividends",
    "num_emp",
    "weeks_worked",
    "instance_weight",
]
CODES = ["det_ind_code", "det_occ_code", "own_or_self", "vet_benefits", "year"]
COLLEGE = (
    "Some college but no degree",
    "Associates degree-occup /vocational",
    "Associates degree-academic program",
    "Bachelors degree(BA AB BS)",
    "Masters degree(MA MS MEng MEd MSW MBA)",
    "Prof school degree (MD DDS DVM LLB JD)",
    "Doctorate degree(PhD EdD)",
)
# task: how its label is read, and the columns that give it away
TASKS: dict[str, tuple[Callable[[Any], Any], tuple[str, ...]]] = {
    "income": (lambda rows: rows["income_50k"] == "50000+.", ()),
    "never_married": (
        lambda rows: rows["marital_stat"] == "Never married",
        ("marital_stat",),
    ),
    "any_college": (
        lambda rows: rows["education"].isin(COLLEGE),
        ("education", "hs_college"),
    ),
    "marital_status": (
        lambda rows: rows["marital_stat"],
        ("marital_stat", "det_hh_fam_stat", "det_hh_summ", "tax_filer_stat"),
    ),
    "education": (lambda rows: rows["education"], ("education", "hs_college")),
}


def _read(pd: Any, path: Path) -> Any:
    """One file, with categories stripped of the blanks around them."""
    numbers = {**dict.fromkeys(NUMERIC, "float64"), **dict.fromkeys(CODES, "int64")}
    rows = pd.read_csv(
        path,
        header=None,
        names=COLUMNS,
        dtype={name: numbers.get(name, "category") for name in COLUMNS},
        skipinitialspace=True,
        keep_default_na=False,  # "NA" is an answer to the question on origin
        na_values=["?"],
    )
    for name in rows.columns.difference([*NUMERIC, *CODES]):
        rows[name] = rows[name].cat.rename_categories(str.strip)
    return rows


def _joined(pd: Any, name: str, halves: list[Any]) -> Any:
    """A column of both files, with the categories of both."""
    columns = [half[name] for half in halves]
    if name in NUMERIC:
        return np.concatenate(columns)
    if name in CODES:
        return pd.Categorical(np.concatenate(columns))
    return pd.api.types.union_categoricals(columns, sort_categories=True)


@validate_params(LOADER_CONSTRAINTS, prefer_skip_nested_validation=True)
def load_census_income(
    data_home: DataHome = None,
    *,
    tasks: str | Sequence[str] = ("income", "never_married"),
    subset: str = "train",
    return_X_y: bool = False,
) -> Bunch | tuple[Any, Any]:
    """Load Census-Income (KDD) from files on disk.

    The training half of the archive is split at random, with a fixed seed, into
    90 % for training (179,570 rows) and 10 % for validation (19,953); the test
    half is the test set (99,762). Rows keep the order of the files.

    =================  =======================  ===============================
    Task               Positive / classes       Columns dropped from the data
    =================  =======================  ===============================
    income             over 50,000 dollars      none
    never_married      Never married            marital_stat
    any_college        Some college or above    education, hs_college
    marital_status     7 classes                marital_stat, det_hh_fam_stat,
                                                det_hh_summ, tax_filer_stat
    education          17 classes               education, hs_college
    =================  =======================  ===============================

    ``det_hh_fam_stat``, ``det_hh_summ`` and ``tax_filer_stat`` nearly encode the
    marital status. With ``never_married`` they are kept, so that results compare
    with those of the MMoE and PLE papers.

    Parameters
    ----------
    data_home : str or path-like, default=None
        Folder that holds ``census/census-income.data`` and
        ``census/census-income.test``, plain or compressed (.gz, .xz, .bz2). By
        default the environment variable ``DEPHN_SK_DATA``, else
        ``~/dephn_sk_data``.
    tasks : sequence of str or "all", default=("income", "never_married")
        Columns of the target, from the table above. The default is the pair of
        the papers.
    subset : {"train", "validation", "test", "all"}, default="train"
        The rows to return.
    return_X_y : bool, default=False
        Return ``(data, target)`` instead of a Bunch.

    Returns
    -------
    census : :class:`~sklearn.utils.Bunch`
        With the attributes

        data : DataFrame of shape (n_rows, n_features)
            7 numeric columns, all others of dtype category with the same
            categories in every subset; "?" in the files is a missing value.
        target : DataFrame of shape (n_rows, n_tasks)
            0 and 1 for the binary tasks, names of the classes for the others.
        instance_weight : ndarray of shape (n_rows,)
            Number of people in the population that the record stands for; no
            feature.
        feature_names, task_names : list of str
            Columns of `data` and of `target`.
        split : ndarray of shape (n_rows,)
            The subset of each row.
        DESCR : str
            Description, source and licence.

    Raises
    ------
    FileNotFoundError
        If a file is missing.

    References
    ----------
    Terran Lane, Ronny Kohavi: Census-Income (KDD). UCI Machine Learning
    Repository, 2000. https://doi.org/10.24432/C5N30T

    Examples
    --------
    >>> from dephn_sk.datasets import load_census_income
    >>> X, y = load_census_income(return_X_y=True)  # doctest: +SKIP
    >>> y.columns.tolist()  # doctest: +SKIP
    ['income', 'never_married']
    """
    pd = import_pandas("load_census_income")
    tasks = check_tasks(tasks, TASKS)
    halves = [_read(pd, find_file(data_home, FOLDER, name, ORIGIN)) for name in SHA256]
    rows = pd.DataFrame({name: _joined(pd, name, halves) for name in COLUMNS})
    split = np.full(len(rows), "test", dtype="U10")
    order = np.random.default_rng(2023).permutation(len(halves[0]))
    n_train = int(0.9 * len(order))
    split[order[:n_train]] = "train"
    split[order[n_train:]] = "validation"

    target = pd.DataFrame({task: TASKS[task][0](rows) for task in tasks})
    for task in tasks:
        binary = target[task].dtype == bool
        target[task] = target[task].astype("int64" if binary else str)
    given_away = {column for task in tasks for column in TASKS[task][1]}
    data = rows.drop(columns=["income_50k", "instance_weight", *given_away])
    return as_bunch(
        data,
        target,
        split,
        subset=subset,
        return_X_y=return_X_y,
        DESCR=__doc__,
        instance_weight=rows["instance_weight"].to_numpy(),
    )


def _download(folder: Path) -> None:
    """Put the files of the UCI archive into `folder`, checked and gzipped."""
    folder.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=folder) as made:
        temporary = Path(made)
        try:
            with (
                urlopen(URL, timeout=60) as source,
                open(temporary / "archive.zip", "wb") as copy,
            ):
                shutil.copyfileobj(source, copy)
        except (OSError, HTTPException) as error:
            raise OSError(
                f"Could not download {URL} ({error}). Without a connection, put "
                f"{' and '.join(SHA256)} into {str(folder)!r} yourself."
            ) from error
        digests = _unpack(temporary / "archive.zip", temporary)
        if digests != SHA256:
            raise OSError(
                f"{URL} did not deliver the expected files: SHA-256 of the extracted "
                f"files is {digests}, expected {SHA256}. Nothing was stored."
            )
        for name in SHA256:
            (temporary / f"{name}.gz").replace(folder / f"{name}.gz")


def _unpack(archive: Path, folder: Path) -> dict[str, str]:
    """Gzip the wanted members of the tar file inside the zip; their SHA-256."""
    digests = {}
    try:
        with zipfile.ZipFile(archive) as outer:
            inner = [name for name in outer.namelist() if name.endswith(".tar.gz")]
            for name in inner:
                with (
                    outer.open(name) as stream,
                    tarfile.open(fileobj=stream, mode="r|gz") as members,
                ):
                    for member in members:
                        wanted = PurePosixPath(member.name).name
                        if wanted in SHA256 and (
                            content := members.extractfile(member)
                        ):
                            digests[wanted] = _gzip_and_digest(
                                content, folder / f"{wanted}.gz"
                            )
    except (zipfile.BadZipFile, tarfile.TarError, EOFError, zlib.error) as error:
        raise OSError(f"What {URL} delivered is no readable archive.") from error
    return digests


def _gzip_and_digest(source: IO[bytes], path: Path) -> str:
    """Write a stream to a gzip file; the SHA-256 of its plain content."""
    digest = hashlib.sha256()
    with gzip.open(path, "wb", compresslevel=6) as copy:
        while block := source.read(1 << 20):
            digest.update(block)
            copy.write(block)
    return digest.hexdigest()


@validate_params(
    {**LOADER_CONSTRAINTS, "download_if_missing": ["boolean"]},
    prefer_skip_nested_validation=True,
)
def fetch_census_income(
    data_home: DataHome = None,
    *,
    download_if_missing: bool = True,
    tasks: str | Sequence[str] = ("income", "never_married"),
    subset: str = "train",
    return_X_y: bool = False,
) -> Bunch | tuple[Any, Any]:
    """Load Census-Income (KDD), downloading it once if it is not on disk.

    The files come from the UCI Machine Learning Repository under CC BY 4.0. Their
    SHA-256 is checked; they are kept, gzipped, in ``data_home/census``.

    Parameters
    ----------
    data_home : str or path-like, default=None
        Folder in which the files are looked for and stored. By default the
        environment variable ``DEPHN_SK_DATA``, else ``~/dephn_sk_data``.
    download_if_missing : bool, default=True
        If False, missing files are an error instead of a download.
    tasks, subset, return_X_y
        As in :func:`load_census_income`.

    Returns
    -------
    census : :class:`~sklearn.utils.Bunch` or (data, target)
        As from :func:`load_census_income`.

    Raises
    ------
    OSError
        If the files are missing and cannot be downloaded, or if what was
        downloaded is not what was expected. Nothing is stored then.

    Examples
    --------
    >>> from dephn_sk.datasets import fetch_census_income
    >>> census = fetch_census_income()  # doctest: +SKIP
    >>> census.data.shape  # doctest: +SKIP
    (179570, 39)
    """
    if download_if_missing:
        try:
            for name in SHA256:
                find_file(data_home, FOLDER, name, ORIGIN)
        except FileNotFoundError:
            _download(resolve_data_home(data_home) / FOLDER)
    return load_census_income(
        data_home, tasks=tasks, subset=subset, return_X_y=return_X_y
    )
