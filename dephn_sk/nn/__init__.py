"""The network of DEPHN in its parts, as plain torch modules and functions.

Nothing in here knows scikit-learn; every part can be used alone. The keys in brackets,
such as [DEPHN] and [PHN], are those of ``docs/references.md``.
"""

from ._dephn import DEPHN, HeterogeneousInteraction
from ._dropout import Dropout, Share, UnseenMask, use_generator
from ._embedding import FieldEmbedding, Members, PaddedMembers
from ._ensemble import NetworkEnsemble
from ._experts import (
    CrossInteraction,
    CrossLayer,
    DNNExpert,
    DNNLayer,
    FieldInteraction,
    FieldLayer,
)
from ._gates import InputGates, TaskGates
from ._linear import GroupedLinear
from ._mapping import ExplicitMapping
from ._network import TaskNetwork
from ._numeric_embedding import NumericEmbedding, PlainNumbers
from ._selection import FieldAttention, FieldSelection, SoftSelectionGate
from ._towers import GatedLinear, TaskTowers, Towers
from ._virtual_gradient import coefficient, label_similarity, scale_gradient

__all__ = [
    "DEPHN",
    "CrossInteraction",
    "CrossLayer",
    "DNNExpert",
    "DNNLayer",
    "Dropout",
    "ExplicitMapping",
    "FieldAttention",
    "FieldEmbedding",
    "FieldInteraction",
    "FieldLayer",
    "FieldSelection",
    "GatedLinear",
    "GroupedLinear",
    "HeterogeneousInteraction",
    "InputGates",
    "Members",
    "NetworkEnsemble",
    "NumericEmbedding",
    "PaddedMembers",
    "PlainNumbers",
    "Share",
    "SoftSelectionGate",
    "TaskGates",
    "TaskNetwork",
    "TaskTowers",
    "Towers",
    "UnseenMask",
    "coefficient",
    "label_similarity",
    "scale_gradient",
    "use_generator",
]
