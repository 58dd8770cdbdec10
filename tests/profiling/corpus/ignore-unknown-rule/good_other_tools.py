import os  # noqa: F401
import sys  # pylint: ignore[something]

print(sys.argv)  # type: ignore[attr-defined]
