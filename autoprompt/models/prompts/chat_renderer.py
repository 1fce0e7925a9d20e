"""Program that renders one chat template, with limits on its own time, memory and output."""

import json
import math
import sys
import time
from datetime import datetime
from typing import Any

_MOST_SAID = 200


def main() -> None:
    """Standard input: [template, messages, special tokens]. Standard output: ["rendered", text] or ["failed", why]."""
    seconds, memory, most, places = json.loads(sys.argv[1])
    sys.path.extend(places)
    try:
        template, messages, tokens = json.loads(sys.stdin.buffer.read())
        environment = _environment()
        _limit(seconds, memory)
        answer = ["rendered", _rendered(environment.from_string(template), messages, tokens, most)]
    except Exception as error:  # a template may raise anything; all of it is reported
        lines = str(error).strip().splitlines() or [""]
        answer = ["failed", f"{type(error).__name__}: {lines[0].rstrip('.')}"[:_MOST_SAID]]
    sys.stdout.write(json.dumps(answer))
    sys.stdout.flush()


def _rendered(template: Any, messages: Any, tokens: dict[str, str], most: int) -> str:
    """The rendered text. Raises ValueError if it has more than ``most`` characters."""
    given = {**tokens, "messages": messages, "tools": None, "documents": None, "add_generation_prompt": True}
    pieces: list[str] = []
    length = 0
    for piece in template.generate(**given):
        pieces.append(piece)
        length += len(piece)
        if length > most:
            raise ValueError(f"it writes more than {most} characters")
    return "".join(pieces)


def _limit(seconds: int, memory: int) -> None:
    """Limit this process to ``seconds`` of computing and ``memory`` bytes, on systems that have such limits."""
    try:
        import resource
    except ImportError:
        return
    ends = math.ceil(time.process_time() + seconds)  # the time used so far does not count
    resource.setrlimit(resource.RLIMIT_CPU, (ends, ends))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))


def _environment() -> Any:
    """Jinja as transformers sets it up for chat templates: filters, functions and the tag {% generation %}."""
    import jinja2
    from jinja2 import nodes
    from jinja2.ext import Extension, loopcontrols
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    class Generation(Extension):
        """The tag that marks an assistant's text; here the text is rendered like any other."""

        def parse(self, parser: Any) -> Any:
            line = next(parser.stream).lineno
            body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
            return nodes.CallBlock(self.call_method("_same"), [], [], body).set_lineno(line)

        def _same(self, caller: Any) -> Any:
            return caller()

    Generation.tags = {"generation"}

    class Namespace(jinja2.utils.Namespace):
        def __init__(*args: Any, **kwargs: Any) -> None:
            values = dict(*args[1:], **kwargs)
            for name in values:
                _check_name(name)
            jinja2.utils.Namespace.__init__(args[0], values)

        def __setitem__(self, name: str, value: Any) -> None:
            _check_name(name)
            jinja2.utils.Namespace.__setitem__(self, name, value)

    class Dict:
        def __call__(self, *args: Any, **kwargs: Any) -> Any:
            return dict(*args, **kwargs)

        def fromkeys(self, *args: Any) -> Any:
            return dict.fromkeys(*args)

    def _check_name(name: Any) -> None:
        if isinstance(name, str) and name.startswith("_"):
            raise jinja2.exceptions.SecurityError(f"no attribute may be called {name!r}")

    def raise_exception(message: Any) -> None:
        raise jinja2.exceptions.TemplateError(message)

    def tojson(
        x: Any, ensure_ascii: bool = False, indent: Any = None, separators: Any = None, sort_keys: bool = False
    ) -> str:
        return json.dumps(x, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)

    def strftime_now(form: str) -> str:
        return datetime.now().strftime(form)

    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, loopcontrols]
    )
    environment.filters["tojson"] = tojson
    environment.globals |= {
        "raise_exception": raise_exception, "strftime_now": strftime_now, "dict": Dict(), "namespace": Namespace,
    }  # fmt: skip
    return environment


if __name__ == "__main__":
    main()
