"""What the package tells, a user sees."""

import subprocess
import sys


def test_messages_go_to_stdout():
    code = "from genebert._logging import info; info('scanned 3 regions')"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "scanned 3 regions"
