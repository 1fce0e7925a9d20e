"""Search for a prompt on a CSV file, then label new messages with the winner.

    python docs/examples/classify_tickets.py              # writes tickets.csv from the repository's own tickets
    python docs/examples/classify_tickets.py my.csv       # a file of your own with a column of texts and one of labels

The search is small, so that it ends soon. For real work replace the three limits of `search` by a budget:
`budget="5m"`. All files are written to the current folder.
"""

import sys
from pathlib import Path

import pandas as pd

import autoprompt

TICKETS = Path(__file__).parents[2] / "corpora" / "tickets.jsonl"
NEW = ["Where is my parcel? It was due on Monday.", "Please close my account.", "The app crashes when I log in."]

if len(sys.argv) > 1:
    data = sys.argv[1]
else:
    data = "tickets.csv"
    pd.read_json(TICKETS, lines=True).to_csv(data, index=False)

result = autoprompt.search(data, max_evaluations=4, shots=6, test_rows=48, leaderboard="tickets.sqlite")
print(result)
for warning in result.warnings:
    print("note:", warning)

result.export("tickets.json", with_weights=True)
prompt = autoprompt.load("tickets.json")  # as any other program does, later
for text, label, row in zip(NEW, prompt.predict(NEW), prompt.predict_proba(NEW), strict=True):
    print(f"{label} ({max(row):.2f}): {text}")
