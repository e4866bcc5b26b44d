"""The systems that DEPHN is compared with, trained by the same path.

One file for each paper: its network, as a plain torch module, and its estimator. The
keys in brackets, such as [MMoE], are those of ``docs/references.md``.
"""

from ._aitm import AITM, AITMClassifier
from ._dcn import DCN, DCNClassifier
from ._dnn import DNN, DNNClassifier
from ._esmm import ESMM, ESMMClassifier
from ._fint import FINT, FINTClassifier
from ._mmoe import MMoE, MMoEClassifier
from ._mt_phn import MTPHNClassifier
from ._nfm import NFM, NFMClassifier
from ._ple import PLE, PLEClassifier
from ._shared_bottom import SharedBottom, SharedBottomClassifier
from ._snr import SNR, SNRClassifier
from ._wide_deep import WideDeep, WideDeepClassifier
from ._xdeepfm import XDeepFM, XDeepFMClassifier

__all__ = [
    "AITM",
    "DCN",
    "DNN",
    "ESMM",
    "FINT",
    "NFM",
    "PLE",
    "SNR",
    "AITMClassifier",
    "DCNClassifier",
    "DNNClassifier",
    "ESMMClassifier",
    "FINTClassifier",
    "MMoE",
    "MMoEClassifier",
    "MTPHNClassifier",
    "NFMClassifier",
    "PLEClassifier",
    "SNRClassifier",
    "SharedBottom",
    "SharedBottomClassifier",
    "WideDeep",
    "WideDeepClassifier",
    "XDeepFM",
    "XDeepFMClassifier",
]
