"""What training and inspection may ask of a network."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from torch import Tensor, nn

from ._embedding import FieldEmbedding, Members


class TaskNetwork(nn.Module):
    """Base of every network that the estimators of this library train.

    A subclass defines ``forward``; all else has a default that says "none". Nothing but
    what is listed here is ever asked of a network.

    ``forward(codes, numbers=None, bags=(), label_similarity=None)`` gives the logits of
    all tasks, ``(batch, sum(n_outputs))``, as the first of these does:

    - ``codes (batch, n_categorical)``, ``numbers (batch, n_numeric)`` and a
      :class:`Members` for each multi-valued field are what a :class:`FieldEmbedding`
      reads;
    - ``label_similarity (n_tasks, n_tasks)`` comes while training, and only where
      ``wants_label_similarity`` asks for it.

    Random parts are :class:`Dropout` and :class:`UnseenMask`, which
    :func:`use_generator` reaches, so that one seed gives the same bytes.

    Attributes
    ----------
    wants_label_similarity : {"pearson", "cosine"} or None
        The :func:`label_similarity` that training computes from each batch.
    virtual_gradient : str, callable or None
        The :func:`coefficient` that it is used for; shown, not called.
    n_members : int
        Networks that learn side by side in this one, each with a loss of its own. More
        than one give logits ``(n_members, batch, sum(n_outputs))`` while training.

    Examples
    --------
    >>> import torch
    >>> class Linear(TaskNetwork):
    ...     def __init__(self, embedding, n_outputs):
    ...         super().__init__()
    ...         self.embedding = embedding
    ...         self.output = nn.Linear(embedding.width, sum(n_outputs))
    ...
    ...     def forward(self, codes, numbers=None, bags=()):
    ...         return self.output(self.embedding(codes, numbers, bags).flatten(1))
    >>> network = Linear(FieldEmbedding([3, 10], dim=4), n_outputs=[1, 1])
    >>> network(torch.tensor([[0, 9], [2, 0], [1, 5]])).shape
    torch.Size([3, 2])
    >>> network.penalty() is network.gates is None, len(list(network.tables()))
    (True, 1)
    """

    wants_label_similarity: str | None = None
    virtual_gradient: Any = None
    n_members: int = 1

    @property
    def members(self) -> tuple[TaskNetwork, ...]:
        """Each of those networks by itself; here, this one."""
        return (self,)

    def start_from(self, logits: Tensor) -> None:
        """Let every row start near the given logits, of shape (sum(n_outputs),).

        They are those of the base rates. Here, nothing is done: training moves the
        last biases to them in its first steps.
        """

    def penalty(self) -> Tensor | None:
        """What training adds to the loss of each batch; None is nothing."""
        return None

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Who learns by which rule: groups as of a torch optimizer, all of "adam".

        A group with ``"rule": "sgd"`` and its ``"lr"`` is left to plain gradient
        descent.
        """
        return [{"params": list(self.parameters())}]

    def tables(self) -> Iterator[FieldEmbedding]:
        """The embeddings, which grow where training meets new categories.

        Their fields are also what attributions are about.
        """
        yield from (m for m in self.modules() if isinstance(m, FieldEmbedding))

    # ------------------------------------------------------- what inspection shows

    @property
    def gates(self) -> Tensor | None:
        """Trainable gates, (n_tasks, n_branches), recorded each epoch, or None."""
        return None

    @property
    def branch_names(self) -> tuple[str, ...]:
        """A name for each branch that the tasks have gates on."""
        return ()

    def mapped_gates(
        self, codes: Tensor, numbers: Tensor | None = None, bags: Sequence[Members] = ()
    ) -> Tensor | None:
        """Gates that the input decides, (batch, n_tasks, n_branches), or None."""
        return None

    @property
    def selection_logits(self) -> Tensor | None:
        """Of the soft selection's gates, (n_structures, n_fields, dim), or None."""
        return None

    def structure_names(self, task_names: Sequence[str]) -> tuple[str, ...]:
        """A name for each structure that has selection gates."""
        return ()

    def contributions(
        self, codes: Tensor, numbers: Tensor | None = None, bags: Sequence[Members] = ()
    ) -> tuple[Tensor, Tensor] | None:
        """What each expert adds to each logit, or None where that is not defined.

        Contributions ``(batch, sum(n_outputs), n_experts)``, and the bias
        ``(sum(n_outputs),)`` that is left: they add up to the logits.
        """
        return None

    @property
    def expert_names(self) -> tuple[str, ...]:
        """A name for each expert of :meth:`contributions`."""
        return ()
