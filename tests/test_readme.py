"""What the README promises is what the code does."""

import re
from pathlib import Path

from autoprompt.models import support

README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")


def test_the_table_of_families_is_the_code_s():
    table = support.table()
    hint = 'print it again with: python -c "from autoprompt.models.support import table; print(table())"'
    assert table in README, hint


def test_the_python_example_of_a_prompt_model_is_short():
    (example,) = re.findall(r"```python\n((?:(?!```).)*PromptModel(?:(?!```).)*)```", README, re.DOTALL)
    assert len(example.strip().splitlines()) <= 10
    compile(example, "README", "exec")
