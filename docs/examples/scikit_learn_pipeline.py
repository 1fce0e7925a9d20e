"""A prompt as a scikit-learn classifier: in a pipeline, in cross-validation, beside a TF-IDF baseline.

    python docs/examples/scikit_learn_pipeline.py

`PromptClassifier` fine-tunes a pretrained model with one prompt and searches nothing. To use the winner of a search:
`PromptClassifier("best.json")`. With 60 rows and 2 folds the accuracies are rough: more rows say more, and take longer.
"""

from pathlib import Path

import pandas as pd
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from autoprompt import PromptClassifier

TICKETS = Path(__file__).parents[2] / "corpora" / "tickets.jsonl"


def without_line_breaks(texts):
    return [" ".join(text.split()) for text in texts]


rows = pd.read_json(TICKETS, lines=True)
rows = rows[rows["intent"].isin(["account", "delivery", "technical"])].groupby("intent").head(20)
texts, intents = rows["text"].to_numpy(), rows["intent"].to_numpy()
folds = StratifiedKFold(2, shuffle=True, random_state=0)

template = "{text}\nThe message is about: {label}"
prompt = make_pipeline(FunctionTransformer(without_line_breaks), PromptClassifier(template=template, max_length=64))
words = make_pipeline(TfidfVectorizer(), LogisticRegression())
for name, pipeline in (("prompt", prompt), ("TF-IDF", words)):
    scores = cross_val_score(pipeline, texts, intents, cv=folds)
    print(
        f"{name}: accuracy {scores.mean():.1%}, folds {', '.join(f'{score:.1%}' for score in scores)}, n = {len(rows)}"
    )

prompt.fit(texts, intents)
print(prompt.predict(["Where is my parcel? It was due on Monday."])[0])
