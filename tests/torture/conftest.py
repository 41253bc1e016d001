"""The models of the told cases are run by test_torture.py; they are no modules to collect."""

collect_ignore_glob = ["cases/*"]
