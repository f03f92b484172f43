"""These tests use the Ray of their neighbours above."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parent.parent))
