"""A search by another checkout of this project, which stands first on the path. Reads {"corpus", "test_rows", "model",
"seed", "budget", "leaderboard"}, prints the result."""

import json
import sys
import time

STARTED = time.monotonic()


def main() -> None:
    import autoprompt

    given = json.load(sys.stdin)
    rows = {"test_rows": given["test_rows"]} if given["test_rows"] else {}
    found = autoprompt.search(
        given["corpus"],
        model=given["model"],
        seed=given["seed"],
        budget=given["budget"] - (time.monotonic() - STARTED),
        leaderboard=given["leaderboard"],
        progress=False,
        **rows,
    )
    print(json.dumps(found.to_dict()))


if __name__ == "__main__":
    main()
