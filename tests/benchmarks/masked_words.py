"""How a masked model should score label words of several tokens: three ways, frozen and after a short fine-tune.

    make bench NAME=masked_words            about 14 minutes on one core
    make bench NAME=masked_words QUICK=1    2.4 minutes, a check that it runs

On two of the embedded corpora, whatever DATA is: templates and label words are written for them.

A small BERT is trained on the text of two corpora (all splits, no labels), then label words are scored at

    at once      as many masks as the word has tokens, all predicted from one pass (the package's way)
    each         every token masked in turn, the others visible: pseudo-log-likelihood (Salazar et al. 2020)
    left first   a token and those after it masked, those before it visible (after Kauf and Ivanova 2023)

A word's score is the mean over its tokens. Test rows are scored: nothing is selected on them.
"""

from __future__ import annotations

import itertools
import math
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from bench import EVALUATIONS, Cell, Cells, described, finish, interval, options, outcomes, right, table
from fine_tunes import gold, tuned
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers
from torch import Tensor
from transformers import BertConfig, BertForMaskedLM, BertTokenizer

from autoprompt import corpus as corpora
from autoprompt.candidate import Candidate, Settings
from autoprompt.corpus import Corpus, Example
from autoprompt.models import load_model
from autoprompt.models.families.masked import MaskedModel
from autoprompt.models.prompts.batching import Batch
from autoprompt.models.prompts.tokenized import EncodedRow, Rendered, Target
from autoprompt.models.types import LoadOptions
from autoprompt.template import LabelWords, Template

VOCABULARY = 4000
WIDTH = 128
PIECE = 48
"""Tokens of a training sequence."""
LENGTH = 32
"""Tokens that a row's text is cut to: with its template it is no longer than what the model was trained on."""
SEEDS = (1, 2, 3)
TUNED = Settings("lora", 2e-3, 8, 4, 8)
TASKS = {
    "rotten-tomatoes": (
        ("{text} The film is {label}.", {"rotten": "not good", "fresh": "very good"}),
        ("{text} It was {label}.", {"rotten": "a bad and boring film", "fresh": "a funny and good film"}),
        ("{label}: {text}", {"rotten": "too bad", "fresh": "great fun"}),
    ),
    "bbc-news": (
        (
            "{text} This is about {label}.",
            {"business": "the stock market", "entertainment": "film and music", "politics": "the prime minister",
             "sports": "a football match", "tech": "computer games"},
        ),
        (
            "{label}: {text}",
            {"business": "economy and oil", "entertainment": "film festival", "politics": "labour and tory",
             "sports": "world cup", "tech": "mobile phones"},
        ),
        (
            "Topic: {label}. {text}",
            {"business": "company", "entertainment": "pop music", "politics": "general election",
             "sports": "six nations rugby", "tech": "broadband internet"},
        ),
    ),
}  # fmt: skip


class Parted(MaskedModel):
    """Each token of a label word has a pass of its own. ``ahead``: whether the tokens after it are masked, too."""

    ahead = False
    counts: Sequence[int] = (1,)
    """Tokens of each label word."""

    def _encode_row(self, rendered: Sequence[Rendered], candidate: Candidate) -> EncodedRow:
        del candidate
        answers = []
        for r in rendered:
            first, stop = r.answer
            for at in range(first, stop):
                hidden = range(at, stop if self.ahead else at + 1)
                own = tuple(self.mask_id if i in hidden else token for i, token in enumerate(r.ids))
                answers.append((own, (at,), (r.ids[at],)))
        self.counts = [r.answer[1] - r.answer[0] for r in rendered]
        inputs = list(dict.fromkeys(own for own, _, _ in answers))
        return EncodedRow(tuple(inputs), tuple(Target(inputs.index(own), places, ids) for own, places, ids in answers))

    def scores(self, batch: Batch) -> Tensor:
        parts = super().scores(batch).split(list(self.counts), 1)
        return torch.stack([part.mean(1) for part in parts], 1)


class LeftFirst(Parted):
    ahead = True


WAYS: dict[str, type[MaskedModel]] = {"at once": MaskedModel, "each": Parted, "left first": LeftFirst}


# The model


def texts(corpus: Corpus) -> list[str]:
    return [row.fields["text"] for row in (*corpus.train, *corpus.validation, *corpus.test)]


def trained(folder: Path, sentences: Sequence[str], steps: int) -> float:
    """A small BERT in a folder; returns the mean loss of its last steps."""
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))  # noqa: S106
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    trainer = trainers.WordPieceTrainer(vocab_size=VOCABULARY, special_tokens=special, show_progress=False)
    tokenizer.train_from_iterator(sentences, trainer)
    fast = BertTokenizer(vocab=tokenizer.get_vocab())
    ids = fast(list(sentences), add_special_tokens=False)["input_ids"]
    torch.manual_seed(0)
    sizes = {"hidden_size": WIDTH, "num_hidden_layers": 4, "num_attention_heads": 4, "intermediate_size": 4 * WIDTH}
    more = {"max_position_embeddings": 128, "initializer_range": 0.05}
    network = BertForMaskedLM(BertConfig(vocab_size=len(fast), **sizes, **more))
    vectors = word_vectors(ids, len(fast))
    network.get_input_embeddings().weight.data[5:] = (0.3 * vectors / vectors.std())[5:]
    pieces = [text[start : start + PIECE] for text in ids for start in range(0, len(text), PIECE)]
    losses = list(masked_training(network, pieces, steps))
    network.save_pretrained(folder)
    fast.save_pretrained(folder)
    return statistics.fmean(losses[-100:])


def word_vectors(ids: Sequence[Sequence[int]], size: int) -> Tensor:
    """From positive mutual information of tokens near each other (Levy and Goldberg 2014): without such a start a
    small BERT learns little more than the tokens' frequencies in three minutes."""
    counts = np.zeros((size, size), dtype=np.float32)
    for text in map(np.asarray, ids):
        for distance in range(1, min(11, len(text))):
            np.add.at(counts, (text[:-distance], text[distance:]), 1 / distance)
    counts += counts.T
    total, smooth = counts.sum(1), counts.sum(1) ** 0.75
    expected = np.maximum(np.outer(total, smooth / smooth.sum()), 1e-9)
    information = np.log(np.maximum(counts / expected, 1.0))
    left, values, _ = torch.svd_lowrank(torch.from_numpy(information), WIDTH, niter=3)
    return left * values.sqrt()


def masked_training(network: Any, pieces: Sequence[Sequence[int]], steps: int) -> Iterator[float]:
    """Masked language modelling of a quarter of the tokens (after Devlin et al. 2019)."""
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3, weight_decay=0.01, fused=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1e-3, total_steps=steps, pct_start=0.1)
    drawn = random.Random(0)  # noqa: S311
    network.eval()  # no dropout: a few passes over the text do not overfit
    for _ in range(steps):
        batch = [[2, *piece, 3] for piece in drawn.sample(pieces, 21)]
        longest = max(map(len, batch))
        ids = torch.tensor([row + [0] * (longest - len(row)) for row in batch])
        chosen = (torch.rand(ids.shape) < 0.25) & (ids > 4)
        hidden = network.bert(torch.where(chosen, 4, ids), attention_mask=(ids > 0).long()).last_hidden_state[chosen]
        loss = torch.nn.functional.cross_entropy(network.cls(hidden), ids[chosen])
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        yield loss.item()


# The comparison

Found = dict[tuple[str, str], dict[str, list[Cell]]]
"""By task and stage (frozen or tuned), then by way: one cell a template and seed."""


def judge(
    way: str, folder: Callable[[], Path], corpus: Corpus, task: tuple[str, dict[str, str]], seed: int | None, rows: int
) -> Cell:
    """Each row's outcome and log-loss, the tokens that scoring one row takes, and the seconds of all.

    ``seed``: of a fine-tune on the training rows; None scores the frozen model.
    """
    plain: Any = load_model(folder(), max_length=LENGTH)
    model = WAYS[way](plain.model, plain.encoder.tokenizer, LoadOptions(max_length=LENGTH))
    words = LabelWords.of(task[1], corpus.labels)
    candidate = Candidate(Template.parse(task[0]), words, TUNED)
    model.check(candidate)
    held_out: Sequence[Example] = corpus.test[:rows]
    true = torch.tensor(gold(held_out, corpus.labels))
    started = time.perf_counter()
    prompted = model.prompt(candidate, held_out)
    if seed is None:
        scores = model.score(prompted)
    else:
        delta = tuned(model, candidate, corpus.train[:80], corpus.labels, seed)
        with model.adapted(TUNED, delta):
            scores = model.score(prompted)
    return {
        "losses": [round(-float(row[label]), 4) for row, label in zip(scores, true, strict=True)],
        "right": outcomes(scores.argmax(1).tolist(), true.tolist()),
        "tokens": prompted.tokens / len(held_out),
        "seconds": time.perf_counter() - started,
    }


def report(found: Found) -> dict[str, dict[str, float]]:
    """A line a way: means over templates and seeds, and the paired difference to the package's. The mean accuracy of
    each way."""
    lines: list[list[Any]] = []
    means: dict[str, list[float]] = {way: [] for way in WAYS}
    for (task, stage), ways in found.items():
        for way, cells in ways.items():
            right_, losses = _by_row(cells)
            ours = _by_row(ways["at once"])
            differences = [
                "" if way == "at once" else str(interval([(own - base).tolist()]))
                for own, base in zip((right_, losses), ours, strict=True)
            ]
            cost = [statistics.fmean(cell[name] for cell in cells) for name in ("tokens", "seconds")]
            shown = [f"{float(right_.mean()):.3f}", f"{float(losses.mean()):.3f}"]
            lines.append([task, stage, way, *shown, *differences, f"{cost[0]:.0f}", f"{cost[1]:.1f}"])
            means[way].append(float(right_.mean()))
    differences = ["difference in accuracy", "difference in log-loss"]
    table(["data", "", "way", "accuracy", "log-loss", *differences, "tokens a row", "seconds"], lines)
    return {way: {"accuracy": statistics.fmean(values)} for way, values in means.items()}


def _by_row(cells: Sequence[Cell]) -> tuple[Tensor, Tensor]:
    """Means over templates and seeds [rows]: whether each row is right, and its log-loss."""
    return (
        torch.tensor([right(cell["right"]) for cell in cells]).float().mean(0),
        torch.tensor([cell["losses"] for cell in cells]).mean(0),
    )


def main() -> None:
    """Measure, print the table, then one line of JSON."""
    given = options(__doc__)
    torch.set_num_threads(1)
    stored = Cells("masked_words", given, EVALUATIONS)
    rows, seeds, steps = (80, SEEDS[:1], 200) if given.quick else (400, SEEDS, 2100)
    loaded = {name: corpora.load(name) for name in TASKS}
    with tempfile.TemporaryDirectory() as name:

        @cache
        def folder() -> Path:
            """The model, where a cell is still to be measured."""
            started = time.perf_counter()
            loss = trained(Path(name), [t for corpus in loaded.values() for t in texts(corpus)], steps)
            print(
                f"  trained in {time.perf_counter() - started:.0f} s, loss {loss:.2f} (perplexity {math.exp(loss):.0f})"
            )
            return Path(name)

        found: Found = {}
        for task, corpus in loaded.items():
            for stage, drawn in (("frozen", (None,)), ("tuned", seeds)):
                for way, own, seed in itertools.product(WAYS, TASKS[task], drawn):
                    what = {"task": task, "template": own[0], "words": own[1], "seed": seed, "way": way, "rows": rows}
                    cell = stored.get(what | {"steps": steps}, partial(judge, way, folder, corpus, own, seed, rows))
                    found.setdefault((task, stage), {}).setdefault(way, []).append(cell)
    print(f"\n{described()}; one thread\n")
    finish(report(found))


if __name__ == "__main__":
    main()
