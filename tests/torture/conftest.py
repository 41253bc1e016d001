"""Models of the documented cases are run by test_torture.py; their files are not collected.

Nor are the thousands of random models, but by ``make torture``.
"""

import os

collect_ignore_glob = ["cases/*"]
if os.environ.get("TORTURE") != "all":
    collect_ignore_glob.append("test_dense_torture.py")
