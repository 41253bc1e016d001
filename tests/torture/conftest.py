"""Models of the documented cases are run by test_torture.py; their files are not collected."""

collect_ignore_glob = ["cases/*"]
