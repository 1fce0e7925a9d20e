"""nanoGCG on one prompt; runs in its own environment. Reads {"model", "text", "start", "after", "target", "width",
"steps"}, prints {"seconds", "candidates", "tokens"}."""

import json
import sys
import time
from pathlib import Path

import nanogcg
import torch
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast


def main() -> None:
    given = json.load(sys.stdin)
    torch.set_num_threads(1)
    model = AutoModelForCausalLM.from_pretrained(given["model"], torch_dtype=torch.float32)
    # By its file: transformers 4 does not know the class that transformers 5 writes into the configuration.
    tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(Path(given["model"]) / "tokenizer.json"))
    # The bare text, so that both programs have the same tokens.
    tokenizer.chat_template = "{% for m in messages %}{{ m['content'] }}{% endfor %}"
    message = given["text"] + "{optim_str}" + given["after"]

    def run(steps: int) -> float:
        config = nanogcg.GCGConfig(
            num_steps=steps,
            optim_str_init=given["start"],
            search_width=given["width"],
            batch_size=given["batch"],
            topk=64,
            seed=0,
            verbosity="ERROR",
        )
        started = time.perf_counter()
        nanogcg.run(model, tokenizer, message, given["target"], config)
        return time.perf_counter() - started

    run(1)
    seconds = run(given["steps"])
    tokens = len(tokenizer(given["start"] + given["after"] + given["target"], add_special_tokens=False)["input_ids"])
    print(json.dumps({"seconds": seconds, "candidates": given["steps"] * given["width"], "tokens": tokens}))


if __name__ == "__main__":
    main()
