"""Census-Income (KDD), the data of the MMoE and PLE papers.

Weighted census records of the 1994 and 1995 Current Population Surveys of the
U.S. Census Bureau: 199,523 rows in ``census-income.data`` and 99,762 in
``census-income.test``, 41 attributes and an income label.

Source: UCI Machine Learning Repository, https://doi.org/10.24432/C5N30T.
Licence: CC BY 4.0.
"""

import gzip
import io
import tarfile
import zipfile
import zlib
from collections.abc import Sequence
from hashlib import sha256
from http.client import HTTPException
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import Any
from urllib.request import urlopen

from . import _tables

FOLDER = "census"
ORIGIN = "https://doi.org/10.24432/C5N30T (fetch_census_income downloads it), CC BY 4.0"
URL = "https://archive.ics.uci.edu/static/public/117/census+income+kdd.zip"
NAMES = ("census-income.data", "census-income.test")
DIGESTS = (
    "3676a81db7d3528f3f8b9f3c699d0f0aa28db45e6e994fa0b8ed38327539ee86",
    "98402b1ab879573d0a7f38a699a40258080e25e33d3401e7bf9c96d3fa0fab8c",
)
SHA256 = dict(zip(NAMES, DIGESTS, strict=True))  # of the extracted files
COLUMNS = """
age class_worker det_ind_code det_occ_code education wage_per_hour hs_college
marital_stat major_ind_code major_occ_code race hisp_origin sex union_member
unemp_reason full_or_part_emp capital_gains capital_losses stock_dividends
tax_filer_stat region_prev_res state_prev_res det_hh_fam_stat det_hh_summ
instance_weight mig_chg_msa mig_chg_reg mig_move_reg mig_same mig_prev_sunbelt
num_emp fam_under_18 country_father country_mother country_self citizenship
own_or_self vet_question vet_benefits weeks_worked year income_50k
""".split()
NUMERIC = """
age wage_per_hour capital_gains capital_losses stock_dividends num_emp weeks_worked
instance_weight
""".split()
CODES = "det_ind_code det_occ_code own_or_self vet_benefits year".split()
UNREADABLE = (zipfile.BadZipFile, tarfile.TarError, EOFError, ValueError, zlib.error)
COLLEGE = (
    "Some college but no degree",
    "Associates degree-occup /vocational",
    "Associates degree-academic program",
    "Bachelors degree(BA AB BS)",
    "Masters degree(MA MS MEng MEd MSW MBA)",
    "Prof school degree (MD DDS DVM LLB JD)",
    "Doctorate degree(PhD EdD)",
)
HOUSEHOLD = ("det_hh_fam_stat", "det_hh_summ", "tax_filer_stat")
TASKS: dict[str, tuple[str, tuple[str, ...] | None, tuple[str, ...]]] = {
    # its column, the answers that make it 1 (None keeps all as classes), and the
    # columns that give the answer away beside its own
    "income": ("income_50k", ("50000+.",), ()),
    "never_married": ("marital_stat", ("Never married",), ()),
    "any_college": ("education", COLLEGE, ("hs_college",)),
    "marital_status": ("marital_stat", None, HOUSEHOLD),
    "education": ("education", None, ("hs_college",)),
}


def _read(pd: Any, path: Path) -> Any:
    """One file, with categories stripped of the blanks around them."""
    kinds = dict.fromkeys(COLUMNS, "category")
    kinds |= dict.fromkeys(NUMERIC, "float64") | dict.fromkeys(CODES, "int64")
    rows = pd.read_csv(
        path,
        header=None,
        names=COLUMNS,
        dtype=kinds,
        skipinitialspace=True,
        keep_default_na=False,  # "NA" is an answer to the question on origin
        na_values=["?"],
    )
    for name in rows.columns.difference([*NUMERIC, *CODES]):
        rows[name] = rows[name].cat.rename_categories(str.strip)
    return rows


@_tables.loader
def load_census_income(
    data_home: _tables.DataHome = None,
    *,
    tasks: str | Sequence[str] = ("income", "never_married"),
    subset: str = "train",
    return_X_y: bool = False,
) -> _tables.Loaded:
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
    pd = _tables.import_pandas("load_census_income")
    tasks = _tables.check_tasks(tasks, TASKS)
    paths = [_tables.find_file(data_home, FOLDER, name, ORIGIN) for name in SHA256]
    fitted, test = (_read(pd, path) for path in paths)
    split = _tables.random_split(len(fitted), 0.9, n_test=len(test))
    rows = _tables.typed(_tables.stacked([fitted, test]), NUMERIC)

    target, weight = pd.DataFrame(), rows.pop("instance_weight").to_numpy()
    given_away = {"income_50k"}
    for task in tasks:
        column, positive, clues = TASKS[task]
        target[task] = _tables.label(rows[column], positive)
        given_away.update([column, *clues])
    data = rows.drop(columns=given_away)
    return _tables.as_bunch(
        data, target, split, subset, return_X_y, __doc__, instance_weight=weight
    )


def _download(folder: Path) -> None:
    """Put the files of the UCI archive into `folder`, checked and gzipped."""
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with urlopen(URL, timeout=60) as source:
            archive = source.read()
    except (OSError, HTTPException) as error:
        raise OSError(
            f"Could not download {URL} ({error}). Without a connection, put "
            f"{' and '.join(SHA256)} into {str(folder)!r} yourself."
        ) from error
    try:
        files = _unpacked(archive)
    except UNREADABLE as error:
        raise OSError(f"What {URL} delivered is no readable archive.") from error
    digests = {name: sha256(content).hexdigest() for name, content in files.items()}
    if digests != SHA256:
        raise OSError(
            f"{URL} did not deliver the expected files: SHA-256 of the extracted "
            f"files is {digests}, expected {SHA256}. Nothing was stored."
        )
    with TemporaryDirectory(dir=folder) as made:
        paths = [Path(made) / f"{name}.gz" for name in files]
        for path, content in zip(paths, files.values(), strict=True):
            path.write_bytes(gzip.compress(content, compresslevel=6))
        for path in paths:
            path.replace(folder / path.name)


def _unpacked(archive: bytes) -> dict[str, bytes]:
    """The wanted members of the tar file inside the zip."""
    files = {}
    with zipfile.ZipFile(io.BytesIO(archive)) as outer:
        (inner,) = (name for name in outer.namelist() if name.endswith(".tar.gz"))
        with tarfile.open(fileobj=io.BytesIO(outer.read(inner))) as members:
            for member in members:
                name = PurePosixPath(member.name).name
                if name in SHA256 and (content := members.extractfile(member)):
                    files[name] = content.read()
    return files


@_tables.loader
def fetch_census_income(
    data_home: _tables.DataHome = None,
    *,
    download_if_missing: bool = True,
    tasks: str | Sequence[str] = ("income", "never_married"),
    subset: str = "train",
    return_X_y: bool = False,
) -> _tables.Loaded:
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
                _tables.find_file(data_home, FOLDER, name, ORIGIN)
        except FileNotFoundError:
            _download(_tables.resolve_data_home(data_home) / FOLDER)
    return load_census_income(
        data_home, tasks=tasks, subset=subset, return_X_y=return_X_y
    )
