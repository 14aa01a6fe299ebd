"""What the benchmarks share. They drive the real program through the harness of the tests (tests/lib)."""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "tests"))
