"""The shared modules of a script: what it imports, and what that imports.

This module is imported wherever a config is read, so it imports nothing that is slow.
"""

import functools
import hashlib
import re
from pathlib import Path

# Parsing all modules takes a fifth of a second, in each job.
IMPORT = re.compile(r"^[ \t]*from +([\w.]+) +import +(\([^)]*\)|[^\n(]+)", re.MULTILINE)
COMMENT = re.compile("#.*")


def fingerprint(script: Path) -> str:
    """Changes with the shared modules of a script, which lie below its directory."""
    text = "\0".join(path.read_text() for path in sorted(modules(script)))
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def modules(script: Path) -> set[Path]:
    """The files of these modules."""
    pending, seen = [script], set()
    while pending:
        for path in _imported(pending.pop(), script.parent) - seen:
            seen.add(path)
            pending.append(path)
    return seen


@functools.cache
def _imported(path: Path, scripts: Path) -> set[Path]:
    """What a file imports of them, anywhere in it; the package of readers counts as one."""
    found = set()
    for package, text in IMPORT.findall(path.read_text()):
        listed = COMMENT.sub("", text).strip("()").split(",")
        names = [name.split()[0] for name in listed if name.strip()]
        for name in (package, *(f"{package}.{name}" for name in names)):
            module = scripts / name.replace(".", "/")
            found.add(module.with_suffix(".py"))
            if module.name == "readers":
                found.update(module.glob("*.py"))
    return {path for path in found if path.exists()}
