"""Token gradients of a template's literal text: HotFlip candidates that survive re-tokenisation.

First-order scores as in HotFlip (Ebrahimi et al. 2018) and AutoPrompt (Shin et al. 2020): replacing token a by b
changes the loss by about the dot product of e_b - e_a and dL/de_a, summed here over rows and over each row's label
words.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import accumulate

import torch
from torch import Tensor

from autoprompt.candidate import Candidate
from autoprompt.corpus import Example
from autoprompt.models.acceleration.micro_batches import none_if_out_of_memory
from autoprompt.models.families.base import LanguageModel
from autoprompt.models.prompts import vocabulary
from autoprompt.models.prompts.batching import EncodedPrompt
from autoprompt.models.prompts.tokenized import LiteralToken
from autoprompt.models.types import TokenProposals
from autoprompt.template import Literal, Template

OVERSAMPLE = 4
"""Shortlisted edits for each one wanted, because some do not survive re-tokenisation."""

Place = tuple[int, int, int]
"""Segment number, and first and last + 1 character in the segment."""
Places = list[list[tuple[int, LiteralToken]]]
"""For each of a row's prompt sequences, the literal tokens and their indices."""


def propose_tokens(
    model: LanguageModel,
    candidate: Candidate,
    rows: Sequence[Example],
    loss: Callable[[Tensor, Tensor], Tensor],
    *,
    replacements: int,
    infills: int,
) -> TokenProposals:
    """Propose single-token edits of the template's literal text.

    ``replacements``: how many by token gradients of ``loss(hidden [rows, width], label_scores [rows, labels])``.
    ``infills``: how many that the model itself rates as likely. Each kind costs a separate pass, and none if its number
    is 0.
    """
    prompted = model.gradient_prompt(candidate, rows)
    places = [model.literal_places(candidate, row, own) for row, own in zip(rows, prompted.rows, strict=True)]
    # Rows whose literal text merged with the data's tokens have other places: the most common pattern counts.
    pattern = _most_common([tuple(_place(t) for _, t in found[0]) for found in places])
    same = [i for i, found in enumerate(places) if tuple(_place(t) for _, t in found[0]) == pattern]
    if not pattern:
        return TokenProposals([], [])
    edits = _SingleTokenEdits(model, candidate, rows[same[0]], pattern)
    by_gradient = likely = None
    # Both need all rows at once: if memory is too short, there are no proposals.
    if replacements:
        gradient = none_if_out_of_memory(lambda _: literal_gradients(model, prompted, places, same, loss), ())
        if gradient is not None:
            by_gradient = _loss_changes(model, gradient, _current_ids(prompted, places, same[0]))
    if infills:
        known, part, own = [rows[i] for i in same], prompted.select(same), [places[i][0] for i in same]
        likely = none_if_out_of_memory(lambda _: model.likelihoods(candidate, known, part, own), ())
    half = max(1, infills // 2)
    return TokenProposals(
        edits.best(by_gradient, replacements, insert=False) if by_gradient is not None else [],
        [
            (template, -value)
            for insert in (True, False)
            if likely is not None
            for template, value in edits.best(-likely, half, insert=insert)
        ],
    )


def _loss_changes(model: LanguageModel, gradient: Tensor, current: Sequence[int]) -> Tensor:
    """The first-order change of the loss for each token at each place [places, vocabulary]."""
    towards = gradient @ model.vectors.table().T.float().cpu()
    return towards - towards.gather(1, torch.tensor(current)[:, None])


def _place(token: LiteralToken) -> Place:
    return token.segment, token.start, token.end


def _most_common(patterns: Sequence[tuple[Place, ...]]) -> tuple[Place, ...]:
    return max(dict.fromkeys(patterns), key=patterns.count)


def _current_ids(prompted: EncodedPrompt, places: Sequence[Places], row: int) -> list[int]:
    """The ids at a row's literal places."""
    encoded = prompted.rows[row]
    ids = encoded.context or encoded.inputs[0]
    return [ids[at] for at, _ in places[row][0]]


def literal_gradients(
    model: LanguageModel,
    prompted: EncodedPrompt,
    places: Sequence[Places],
    same: Sequence[int],
    loss: Callable[[Tensor, Tensor], Tensor],
) -> Tensor:
    """The loss's gradient with respect to the embedding at each literal place, summed over all rows [places, width].

    Only the rows ``same`` are summed; the result is scaled as if the other rows, whose places differ, behaved alike.
    """
    batch = model.passes.batch(prompted, range(len(prompted)))
    ids = batch.ids if batch.context is None else batch.context[0]
    embeds = model.vectors.embed(ids).detach().requires_grad_(True)
    hidden, scores, _ = model.frozen_features(batch, embeds)
    torch.autograd.backward(loss(hidden.float(), scores.float()))
    assert embeds.grad is not None  # noqa: S101
    # Padding on the left shifts a prompt's tokens.
    starts = list(accumulate((len(row.inputs) for row in prompted.rows), initial=0))
    gradients = []
    for row in same:
        encoded = prompted.rows[row]
        first = {_place(token): number for number, (_, token) in enumerate(places[row][0])}
        gradient = torch.zeros(len(first), embeds.shape[-1])
        for number, found in enumerate(places[row]):
            shift = 0 if model.left_aligned else ids.shape[1] - len(encoded.inputs[number])
            for at, token in found:
                if _place(token) in first:
                    gradient[first[_place(token)]] += embeds.grad[starts[row] + number, shift + at].float().cpu()
        gradients.append(gradient)
    return torch.stack(gradients).sum(0) * (len(prompted) / len(same))


class _SingleTokenEdits:
    """Single-token edits of a template whose new token survives when the prompt is tokenised again."""

    def __init__(
        self,
        model: LanguageModel,
        candidate: Candidate,
        row: Example,
        pattern: Sequence[Place],
    ) -> None:
        self.model = model
        self.candidate = candidate
        self.row = row
        self.pattern = pattern
        self.allowed = vocabulary.unlike_labels(model.encoder.tokenizer, candidate.label_words)

    def best(self, values: Tensor, count: int, *, insert: bool) -> list[tuple[Template, float]]:
        """The edits with the lowest ``values`` [places, vocabulary], at most ``count``, with their values."""
        usable = torch.full((values.shape[1],), float("inf"))
        usable[list(self.allowed)] = 0.0
        flat = (values + usable).flatten()
        order = flat.argsort(stable=True)[: count * OVERSAMPLE]
        out: list[tuple[Template, float]] = []
        for position in order.tolist():
            place, token = self.pattern[position // values.shape[1]], position % values.shape[1]
            if not torch.isfinite(flat[position]) or len(out) == count:
                break
            edited = self._edited(place, token, insert=insert)
            if edited is not None:
                out.append((edited, float(flat[position])))
        return out

    def _edited(self, place: Place, token: int, *, insert: bool) -> Template | None:
        """The template with the token at its place; None if the token does not survive re-tokenisation.

        The token's text is also tried with other spaces around it, because decoding a single token may change its
        spaces.
        """
        text = self.allowed[token]
        bare = text.strip(" ")
        for written in dict.fromkeys((text, bare, bare + " ", " " + bare)):
            edited = _edit(self.candidate.template, place, written, insert=insert)
            if edited != self.candidate.template and self._survives(edited, place, token):
                return edited
        return None

    def _survives(self, edited: Template, place: Place, token: int) -> bool:
        """Whether the proposed token is at its place after the whole prompt is tokenised again."""
        child = replace(self.candidate, template=edited)
        model = self.model
        answers = [own[:1] for own in model.encoder.answers(child, [self.row])]
        ((rendered,),) = model.encoder.render(child, [self.row], answers, closing_tokens=model.closing_tokens)
        return any(
            t.segment == place[0] and t.start == place[1] and rendered.ids[t.index] == token
            for t in rendered.literals(after_answer=model.reads_text_after_answer)
        )


def _edit(template: Template, place: Place, text: str, *, insert: bool) -> Template:
    number, start, stop = place
    segments = list(template.segments)
    literal = segments[number]
    assert isinstance(literal, Literal)  # noqa: S101
    segments[number] = Literal(literal.text[:start] + text + literal.text[start if insert else stop :])
    return Template(tuple(segments))
