"""A ridge regression on a radial kernel of motif strengths and k-mer counts, for tasks in which the strand does not count."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

import numpy as np
import torch

from genebert._chunks import row_chunks
from genebert.model._ridge import N_LANDMARKS, Design, Features, kernel, solve_landmarks
from genebert.model._targets import Targets
from genebert.model._task_inputs import Contexts, Inputs

__all__ = ["KernelModel", "fit_kernel"]

PENALTY = 0.3
"""Weaker than is best for the kernel alone: what others say, too, is not missed in a task."""
CLOSED = 0.3
"""Likeness of two regions that are closed, beside 1 more of two that are open."""
MOST_OPEN = 2.0  # what is more open counts as this
ALIKE = 0.4
"""Standard deviation, in the share of the atlas, over which two regions come to be less alike."""
ROWS = 2**12  # regions read at once
SHARES = 2  # steps to half the share of labelled regions, in which it is told
SCALED_ON = 2**12  # regions that features are standardised on
MOST_KERNELS = 2
"""One for each cell type that is read. Where there are more, landmarks are fewer, so that memory and time stay the same."""


class KernelModel:
    """Logits from the likeness to some regions that were learnt from (Williams and Seeger 2001).

    Where a task reads accessibility, two regions are alike if their sequences are, and the more so if both are open, and in
    as many cell types.

    Parameters
    ----------
    landmarks
        The regions to compare with: bases, motif scores and, where it is read, accessibility.
    design
        How features are standardised.
    weight
        float32 ``(landmarks, outputs)``.
    bias
        float32 ``(outputs,)``.
    own
        Of each output the column of accessibility that counts, -1 for none; empty: none is read.
    reads_atlas
        Whether the last column is the share of cell types in which a region is open.
    is_centred
        Whether k-mers in the middle count more.
    """

    name: ClassVar[str] = "kernel"

    def __init__(
        self,
        landmarks: Inputs,
        design: Design,
        weight: np.ndarray,
        bias: np.ndarray,
        *,
        own: Sequence[int] = (),
        reads_atlas: bool = False,
        is_centred: bool = False,
    ) -> None:
        self.landmarks, self.design, self.weight, self.bias = landmarks, design, weight, bias
        self.own, self.reads_atlas, self.is_centred = tuple(own), reads_atlas, is_centred
        self._points = design(_features(landmarks, is_centred=is_centred))

    def logits(self, inputs: Inputs) -> np.ndarray:
        """Logits, float64 ``(regions, outputs)``."""
        found = np.empty((len(inputs.codes), len(self.bias)))
        for rows in row_chunks(len(found), step=ROWS):
            for outputs, likeness in self.likeness(inputs.take(rows)):
                found[rows, outputs] = likeness @ self.weight[:, outputs] + self.bias[outputs]
        return found

    def likeness(self, inputs: Inputs) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Compare regions with the landmarks: float32 ``(regions, landmarks)`` for each set of outputs that share it."""
        of_sequence = kernel(self.design(_features(inputs, is_centred=self.is_centred)), self._points)
        if self.reads_atlas:
            away = np.subtract.outer(inputs.context[:, -1], self.landmarks.context[:, -1])
            of_sequence *= np.exp(-((away / ALIKE) ** 2) / 2)
        own = np.array(self.own) if self.own else np.full(len(self.bias), -1)
        for column in np.unique(own):
            outputs = np.flatnonzero(own == column)
            if column < 0:
                yield outputs, of_sequence
            else:
                here, there = (_openness(part.context[:, column]) for part in (inputs, self.landmarks))
                yield outputs, of_sequence * (CLOSED + np.outer(here, there))

    def state(self) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
        """Settings and tensors, for `restore`."""
        design = self.design
        arrays = {
            "weight": self.weight,
            "bias": self.bias,
            "codes": self.landmarks.codes,
            "scores": self.landmarks.scores,
        }
        if self.own:
            arrays["context"] = self.landmarks.context
        for number, (centre, scale) in enumerate(zip(design.centres, design.scales, strict=True)):
            arrays |= {f"centre.{number}": centre, f"scale.{number}": scale}
        settings = {
            "own": list(self.own), "reads_atlas": self.reads_atlas, "is_centred": self.is_centred, "shares": design.weights,
        }  # fmt: skip
        return settings, {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in arrays.items()}

    @classmethod
    def restore(cls, settings: dict[str, Any], tensors: dict[str, torch.Tensor]) -> KernelModel:
        """Rebuild from what `state` returned."""
        arrays = {name: tensor.numpy() for name, tensor in tensors.items()}
        blocks = range(len(settings["shares"]))
        design = Design(
            [arrays[f"centre.{number}"] for number in blocks], [arrays[f"scale.{number}"] for number in blocks],
            settings["shares"],
        )  # fmt: skip
        landmarks = Inputs(arrays["codes"], arrays["scores"], arrays.get("context"))
        options = {
            "own": settings["own"],
            **{name: settings.get(name, False) for name in ("reads_atlas", "is_centred")},
        }
        return cls(landmarks, design, arrays["weight"], arrays["bias"], **options)


def _features(inputs: Inputs, *, is_centred: bool) -> Features:
    return Features(inputs.scores, None, inputs.codes, is_centred)


def _openness(values: np.ndarray) -> np.ndarray:
    return np.sqrt(np.clip(values, 0, MOST_OPEN))


def fit_kernel(
    inputs: Inputs,
    targets: Targets,
    *,
    train: np.ndarray,
    contexts: Contexts | None,
    is_centred: bool,
    seed: int,
) -> KernelModel:
    """Fit all outputs at once.

    Labels are regressed as numbers, one column per output or class. Where a label is missing in some regions, those that have it
    are taken to be as alike as all are. Class weights do not enter.

    Parameters
    ----------
    inputs, targets
        Of all regions, with motif scores.
    train
        Rows to learn from.
    contexts
        Accessibility that counts; None: none.
    is_centred
        See `KernelModel`.
    seed
        Of the landmarks.
    """
    rng = np.random.default_rng(seed)
    own = () if contexts is None else contexts.own
    n_landmarks = int(N_LANDMARKS * min(1.0, np.sqrt(MOST_KERNELS / max(len(set(own)), 1))))
    landmarks = inputs.take(np.sort(rng.permutation(train)[:n_landmarks]))
    wanted, share, start, slope = _wanted(targets.take(train))
    nothing = np.zeros((len(landmarks.codes), len(start)), dtype=np.float32)
    design = Design.fit(_features(inputs.take(np.sort(rng.permutation(train)[:SCALED_ON])), is_centred=is_centred))
    reads_atlas = contexts is not None and bool(contexts.atlas)
    options = {"own": own, "reads_atlas": reads_atlas, "is_centred": is_centred}
    model = KernelModel(landmarks, design, nothing, start, **options)
    weight, bias = _Sums(model, inputs.take(train), wanted).solve(share)
    model.weight, model.bias = (weight * slope).astype(np.float32), (start + bias * slope).astype(np.float32)
    return model


def _wanted(targets: Targets) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Standardised labels ``(regions, outputs)``, 0 where missing; the share that is not, logits of guessing, and how these rise."""
    values = targets.values
    if targets.kind == "multiclass":
        values = np.where(np.isnan(values), np.nan, np.arange(targets.n_outputs) == values)
    known = ~np.isnan(values)
    count = np.maximum(known.sum(axis=0), 1)  # the inner part may have taken all of a label
    mean = np.nansum(values, axis=0) / count
    sd = np.maximum(np.sqrt(np.nansum((values - mean) ** 2, axis=0) / count), 1e-3)
    # A logit rises by 1 / (mean (1 - mean)) with the label near the mean, which is 1 / sd**2.
    slope = np.ones_like(sd) if targets.kind == "regression" else 1 / sd
    start = targets.start().astype(np.float32)
    return np.nan_to_num((values - mean) / sd).astype(np.float32), count / len(values), start, slope


class _Sums:
    """What the regression needs of the train regions, summed over some of them at a time."""

    def __init__(self, model: KernelModel, inputs: Inputs, wanted: np.ndarray) -> None:
        """Add up products of likenesses, and of these with the labels."""
        self.n_regions = len(wanted)
        among = list(model.likeness(model.landmarks))
        self.outputs, self.metrics = [each for each, _ in among], [each.astype(np.float64) for _, each in among]
        size = len(model.weight)
        self.grams = [np.zeros((size, size)) for _ in among]
        self.products = [np.zeros((size, len(each))) for each in self.outputs]
        self.means = [np.zeros(size) for _ in among]
        for rows in row_chunks(len(wanted), step=ROWS):
            for number, (columns, likeness) in enumerate(model.likeness(inputs.take(rows))):
                self.grams[number] += likeness.T @ likeness
                self.products[number] += likeness.T @ wanted[rows][:, columns]
                self.means[number] += likeness.sum(axis=0, dtype=np.float64) / len(wanted)
        for gram, mean in zip(self.grams, self.means, strict=True):
            gram -= np.outer(mean, mean) * len(wanted)

    def solve(self, share: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Weights ``(landmarks, outputs)`` and bias ``(outputs,)`` of centred likenesses.

        `share` of the regions have each label, so that the products of likenesses count that much for it.
        """
        steps = 2 ** (np.round(SHARES * np.log2(share)) / SHARES)  # outputs of about one share are solved for together
        n_outputs = sum(map(len, self.outputs))
        weight, bias = np.zeros((len(self.means[0]), n_outputs)), np.zeros(n_outputs)
        parts = zip(self.outputs, self.grams, self.products, self.means, self.metrics, strict=True)
        for outputs, gram, product, mean, metric in parts:  # labels have mean 0, so products with them are centred
            for step in np.unique(steps[outputs]):
                some = steps[outputs] == step
                weight[:, outputs[some]] = solve_landmarks(
                    step * gram, product[:, some], metric, penalty=PENALTY, n_regions=self.n_regions * step
                )
            bias[outputs] = -mean @ weight[:, outputs]
        return weight, bias
