"""Search for a prompt that makes the model write: texts in a target column take the place of labels.

    python docs/examples/write_headlines.py

The rows are the repository's own 160 articles with headlines. Candidates are ranked by the likelihood of the target
texts. The finalists and the test rows are written out and judged by ROUGE-L. The search is small, so that it ends soon,
and finds little: for real work give it all rows, a budget (`budget="15m"`), and no `fix`.
"""

import json
from pathlib import Path

import autoprompt

HEADLINES = Path(__file__).parents[2] / "corpora" / "headlines.jsonl"

rows = [json.loads(line) for line in HEADLINES.read_text(encoding="utf-8").splitlines()]
result = autoprompt.search(
    {"train": rows[:16], "validation": rows[16:24], "test": rows[24:32]},
    text_column="article",
    target_column="headline",
    templates=["{article}\nHeadline: {label}"],
    metric="rougeL",
    max_length=64,
    max_evaluations=4,
    fix={"epochs": 2},
    leaderboard="headlines.sqlite",
)
print(result)

article = rows[60]["article"]
print(article)
print("written:", result.best.predict([{"article": article}])[0])
print("by hand:", rows[60]["headline"])
