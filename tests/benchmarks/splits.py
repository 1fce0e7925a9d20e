"""Class shares of the test sample against those of the data, over 200 seeds and five sets of class shares.

    make bench NAME=splits          some three minutes

400 test rows drawn with 16 shots. Prints a Markdown table: rows of a class in the data, test rows expected by its
share, test rows drawn (mean, smallest, largest), and in how many of the 200 samples the class has no test row.
"""

from __future__ import annotations

from collections import Counter

from autoprompt.corpus.columns import Row
from autoprompt.corpus.splits import Sampling, split_pool

SEEDS = 200
TEST_ROWS = 400
SHARES = {
    "two even classes": {"a": 1003, "b": 997},
    "5 % of one class": {"ham": 3793, "spam": 207},
    "five classes, 52 to 2 %": {"billing": 2613, "technical": 1487, "shipping": 611, "account": 187, "praise": 102},
    "one in a hundred": {"no": 3957, "yes": 43},
    "five classes, few rows": {"billing": 260, "technical": 180, "shipping": 100, "account": 45, "praise": 15},
}


def counted(sizes: dict[str, int]) -> list[Counter[str]]:
    """Test rows of each class, of each seed's sample."""
    rows = [
        Row({"text": f"{label} row {number}"}, label, f"row {number}", label)
        for label, size in sizes.items()
        for number in range(size)
    ]
    samples = (split_pool(rows, Sampling(shots=16, test_rows=TEST_ROWS, seed=seed)) for seed in range(SEEDS))
    return [Counter(row.label for row in sample["test"]) for sample in samples]


def main() -> None:
    """Draw and print."""
    print("| data | class | rows | expected | drawn: mean | smallest | largest | samples without it |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for name, sizes in SHARES.items():
        samples, total = counted(sizes), sum(sizes.values())
        for label, size in sizes.items():
            drawn = [sample[label] for sample in samples]
            expected, mean = TEST_ROWS * size / total, sum(drawn) / SEEDS
            counts = f"{mean:.2f} | {min(drawn)} | {max(drawn)} | {drawn.count(0)}"
            print(f"| {name} | {label} | {size} | {expected:.2f} | {counts} |")


if __name__ == "__main__":
    main()
