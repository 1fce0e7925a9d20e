"""Token gradients of a template's literal text: HotFlip candidates that survive re-tokenisation.

First-order scores as in HotFlip (Ebrahimi et al. 2018) and AutoPrompt (Shin et al. 2020): replacing token a by
b changes the loss by about (e_b - e_a) · dL/de_a, summed here over rows and over each row's label words.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import accumulate
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from autoprompt.corpus import Example
from autoprompt.models import vocabulary
from autoprompt.models.base import TokenProposals
from autoprompt.models.batching import CausalPrompted, with_full_vocabulary
from autoprompt.models.encoding import LiteralToken
from autoprompt.template import LabelWords, Literal, Template

if TYPE_CHECKING:
    from autoprompt.models.causal import CausalModel

OVERSAMPLE = 4
"""Shortlisted ids for each one wanted: some fall to the round trip."""


def propose(
    model: CausalModel,
    template: Template,
    words: LabelWords,
    rows: Sequence[Example],
    loss: Callable[[Tensor, Tensor], Tensor],
    *,
    count: int,
) -> TokenProposals:
    """The ``count`` best replacements and infills over all literal positions before the label."""
    # Literal text before the data lies in the kept prefix: its gradients need a pass over all tokens, which is
    # spent only where there is no other literal text.
    tail = template.segments[len(template.head().segments) :]
    keep_prefix = any(isinstance(s, Literal) and s.text.strip() for s in tail)
    prompted = model.prompt(template, words, rows, keep_prefix=keep_prefix)
    prompted = _one_token_earlier(model, prompted, template, words, rows)
    places = [_tail_places(model, template, words, row, prompted.rows[i].keep) for i, row in enumerate(rows)]
    # Rows whose literal text merged with the data's tokens have other places: the common pattern speaks.
    pattern = _most_common([tuple(place for _, place in found) for found in places])
    same = [i for i, found in enumerate(places) if tuple(place for _, place in found) == pattern]
    if not pattern:
        return TokenProposals([], [])
    gradient, likelihood = over_rows(model, prompted, places, same, loss)
    embedding = model.model.get_input_embeddings().weight.detach()
    current = torch.tensor(list(_ids(model, template, words, rows[same[0]], pattern)))
    change = gradient @ embedding.T.float().cpu()
    change -= change.gather(1, current[:, None])
    allowed = _allowed(model, words)
    sample = (template, words, rows[same[0]])
    replacements = _best(model, sample, pattern, change, allowed, count, insert=False)
    half = max(1, count // 2)
    infills = _best(model, sample, pattern, -likelihood, allowed, half, insert=True)
    infills += _best(model, sample, pattern, -likelihood, allowed, half, insert=False)
    return TokenProposals(replacements, [(t, -v) for t, v in infills])


def _tail_places(
    model: CausalModel, template: Template, words: LabelWords, row: Example, keep: int
) -> list[tuple[int, LiteralToken]]:
    """Tail index and place of each literal token, the place without its absolute index."""
    _, tokens = model.encoder.literal_tokens(template, row.fields, words.words[0])
    return [(t.index - keep, LiteralToken(0, t.segment, t.start, t.end)) for t in tokens if t.index > keep]


def _one_token_earlier(
    model: CausalModel, prompted: CausalPrompted, template: Template, words: LabelWords, rows: Sequence[Example]
) -> CausalPrompted:
    """Prefixes end one token earlier, so that what foretells the first literal token is in the tail."""
    out = []
    for row, encoded in zip(rows, prompted.rows, strict=True):
        if encoded.keep:
            ids, _ = model.encoder.literal_tokens(template, row.fields, words.words[0])
            keep = encoded.keep - 1
            encoded = replace(encoded, keep=keep, tails=tuple((ids[keep], *tail) for tail in encoded.tails))
        out.append(encoded)
    return CausalPrompted(out, prompted.states)


def _most_common(patterns: Sequence[tuple[LiteralToken, ...]]) -> tuple[LiteralToken, ...]:
    return max(dict.fromkeys(patterns), key=patterns.count)


def _ids(
    model: CausalModel, template: Template, words: LabelWords, row: Example, pattern: Sequence[LiteralToken]
) -> list[int]:
    ids, tokens = model.encoder.literal_tokens(template, row.fields, words.words[0])
    found = {(t.segment, t.start): ids[t.index] for t in tokens}
    return [found[place.segment, place.start] for place in pattern]


def over_rows(
    model: CausalModel,
    prompted: CausalPrompted,
    places: Sequence[Sequence[tuple[int, LiteralToken]]],
    same: Sequence[int],
    loss: Callable[[Tensor, Tensor], Tensor],
) -> tuple[Tensor, Tensor]:
    """The rows' summed gradient [places, width] and mean next-token log-probability [places, vocabulary].

    Rows whose tokens lie otherwise are taken to behave like the ``same`` ones.
    """
    rows = len(prompted)
    batch = model.batch(prompted, range(rows))
    embeds = model.model.get_input_embeddings()(batch.ids).detach().requires_grad_(True)
    output = model.forward(batch, embeds=embeds, width=batch.ids.shape[1], hidden=True)
    sequence, column = batch.targets.first
    hidden = output.hidden_states[-1][:, -batch.width :][sequence, column].float()
    scores = with_full_vocabulary(batch.targets, output.logits[:, -batch.width :])
    torch.autograd.backward(loss(hidden, scores))
    assert embeds.grad is not None  # noqa: S101
    longest = batch.ids.shape[1]
    starts = list(accumulate((len(row.tails) for row in prompted.rows), initial=0))
    gradients, likelihoods = [], []
    for row in same:
        tails = prompted.rows[row].tails
        own = prompted.rows[row].targets[0][0]
        gradient = torch.zeros(len(places[row]), embeds.shape[-1])
        for number, tail in enumerate(tails):
            # Another label's word may have merged with the last literal token: there is no such place then.
            held = [i for i, (at, _) in enumerate(places[row]) if tail[: at + 1] == tails[own][: at + 1]]
            columns = [longest - len(tail) + places[row][i][0] for i in held]
            gradient[held] += embeds.grad[starts[row] + number, columns].float().cpu()
        gradients.append(gradient)
        before = [longest - len(tails[own]) + at - 1 for at, _ in places[row]]
        likelihoods.append(output.logits[starts[row] + own, before].detach().float().log_softmax(-1).cpu())
    return torch.stack(gradients).sum(0) * (rows / len(same)), torch.stack(likelihoods).mean(0)


def _allowed(model: CausalModel, words: LabelWords) -> Mapping[int, str]:
    """Printable tokens that do not spell a label or its word."""
    taken = [text.lower() for pair in words.pairs for text in pair]
    return {
        token: text
        for token, text in vocabulary.printable(model.encoder.tokenizer).items()
        if not any(text.strip().lower() in name or name in text.lower() for name in taken) or len(text.strip()) < 2
    }


def _best(
    model: CausalModel,
    sample: tuple[Template, LabelWords, Example],
    pattern: Sequence[LiteralToken],
    values: Tensor,
    allowed: Mapping[int, str],
    count: int,
    *,
    insert: bool,
) -> list[tuple[Template, float]]:
    """The lowest ``values`` [places, vocabulary] whose edit is the same tokens when tokenised again."""
    usable = torch.full((values.shape[1],), float("inf"))
    usable[list(allowed)] = 0.0
    flat = (values + usable).flatten()
    order = flat.argsort(stable=True)[: count * OVERSAMPLE]
    out: list[tuple[Template, float]] = []
    template, words, row = sample
    for position in order.tolist():
        place, token = pattern[position // values.shape[1]], position % values.shape[1]
        if not torch.isfinite(flat[position]) or len(out) == count:
            break
        edited = _edit(template, place, allowed[token], insert=insert)
        if edited != template and _survives(model, edited, words, row, place, token):
            out.append((edited, float(flat[position])))
    return out


def _edit(template: Template, place: LiteralToken, text: str, *, insert: bool) -> Template:
    segments = list(template.segments)
    literal = segments[place.segment]
    assert isinstance(literal, Literal)  # noqa: S101
    end = place.start if insert else place.end
    segments[place.segment] = Literal(literal.text[: place.start] + text + literal.text[end:])
    return Template(tuple(segments))


def _survives(
    model: CausalModel, edited: Template, words: LabelWords, row: Example, place: LiteralToken, token: int
) -> bool:
    """Whether the proposed token stands at its place after tokenising the whole prompt again."""
    ids, tokens = model.encoder.literal_tokens(edited, row.fields, words.words[0])
    return any(t.segment == place.segment and t.start == place.start and ids[t.index] == token for t in tokens)
