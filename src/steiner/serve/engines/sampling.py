"""Drawing tokens for a batch whose rows have their own temperature, nucleus and random numbers."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from steiner.serve.engines.base import TokenLogprob

GREEDY_BELOW = 1e-5
"""A lower temperature takes the most likely token."""
FEW = 256
"""Most likely tokens looked at first for a nucleus; sorting a large vocabulary takes milliseconds a row."""


def draw(
    scores: Tensor, temperatures: Sequence[float], top_ps: Sequence[float], uniforms: Sequence[float]
) -> list[int]:
    """Return one token per row.

    Args:
        scores: shape (rows, vocabulary), minus infinity where a token may not come.
        temperatures: 0 takes the most likely token.
        top_ps: smallest probability mass to draw from.
        uniforms: one random number in [0, 1) per row: the inverse of the cumulative distribution is taken
            there, so a row's token depends on its own scores and number only.
    """
    best: list[int] = scores.argmax(dim=-1).tolist()
    drawn = [row for row, temperature in enumerate(temperatures) if temperature >= GREEDY_BELOW]
    if not drawn:
        return best
    part = scores[drawn] if len(drawn) < len(best) else scores
    heat = torch.tensor([temperatures[row] for row in drawn], device=scores.device)
    part = part.float()
    # Shifted first: divided by a small temperature a large score would overflow.
    probabilities = torch.softmax((part - part.amax(dim=-1, keepdim=True)) / heat[:, None], dim=-1)
    for place, row in enumerate(drawn):
        if top_ps[row] < 1:
            _keep_nucleus(probabilities[place], top_ps[row])
    cumulative = probabilities.double().cumsum(dim=-1)
    total = cumulative[:, -1:]
    numbers = torch.tensor([[uniforms[row]] for row in drawn], dtype=torch.float64, device=scores.device)
    target = torch.minimum(numbers * total, torch.nextafter(total, torch.zeros_like(total)))
    # The first place whose sum is more than the target has a probability above 0.
    for row, token in zip(drawn, torch.searchsorted(cumulative, target, right=True).tolist(), strict=True):
        best[row] = token[0]
    return best


def _keep_nucleus(probabilities: Tensor, top_p: float) -> None:
    """Set all but the smallest set of tokens with mass `top_p` to 0, in place. Shape (vocabulary,)."""
    count = min(FEW, len(probabilities))
    values, places = probabilities.topk(count)
    if count < len(probabilities) and values.sum() < top_p:
        values, places = probabilities.sort(descending=True)
    kept = (values.cumsum(dim=0) - values) < top_p
    kept[0] = True
    nucleus = values * kept
    probabilities.zero_()
    probabilities[places] = nucleus


def logprobs_of(scores: Tensor, top: Sequence[int]) -> list[tuple[Tensor, list[tuple[int, float]]]]:
    """Return the log-probabilities of each row, and its `top` most likely tokens with theirs."""
    every = torch.log_softmax(scores.float(), dim=-1)
    found = []
    for row, count in zip(every, top, strict=True):
        values, places = row.topk(min(count, len(row)))
        found.append((row, list(zip(places.tolist(), values.tolist(), strict=True))))
    return found


def token_logprob(row: Tensor, top: list[tuple[int, float]], number: int) -> TokenLogprob:
    """Return what is reported of a token that was drawn."""
    return TokenLogprob(float(row[number]), tuple(top))
