"""The data file formats: every module here is imported, and registers what it reads.

Messages and help texts list the formats in the order of the modules' names, and of the rows within each.
"""

from importlib import import_module
from pathlib import Path

for _module in sorted(path.stem for path in Path(__file__).parent.glob("[a-z]*.py")):
    import_module(f"{__name__}.{_module}")
