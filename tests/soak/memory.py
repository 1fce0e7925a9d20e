"""How much memory a soak run took."""

from pathlib import Path


def peak() -> int:
    """The most memory that this process ever held, in MB.

    What ``getrusage`` says counts that of the process that started it, and both count all that the process did
    before: a soak run that is judged by it needs a process of its own.
    """
    return int(Path("/proc/self/status").read_text(encoding="ascii").split("VmHWM:")[1].split()[0]) // 1024
