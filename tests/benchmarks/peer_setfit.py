"""SetFit on few-shot rows; runs in its own environment. Reads {"model", "train": [[text, label]], "test": [texts],
"seed"}, prints {"seconds", "predictions"}."""

import json
import os
import sys
import tempfile
import time

os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

from datasets import Dataset
from setfit import SetFitModel, Trainer, TrainingArguments


def main() -> None:
    given = json.load(sys.stdin)
    texts, labels = zip(*given["train"], strict=True)
    train = Dataset.from_dict({"text": list(texts), "label": list(labels)})
    started = time.perf_counter()
    model = SetFitModel.from_pretrained(given["model"])
    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            output_dir=folder,
            batch_size=16,
            num_epochs=1,
            seed=given["seed"],
            show_progress_bar=False,
            report_to="none",
        )
        trainer = Trainer(model=model, args=arguments, train_dataset=train)
        trainer.train()
    seconds = time.perf_counter() - started
    predictions = [str(label) for label in model.predict(given["test"], batch_size=32)]
    print(json.dumps({"seconds": seconds, "predictions": predictions}))


if __name__ == "__main__":
    main()
