"""A job that writes a log: its lines, and what they were to a file of its own; a mark when it is through."""

WRITES = """jobs:
  writes:
    checkout: false
    runs-on: {{executor: shell}}
    steps:
      - touch {folder}/begun; while [ ! -e {folder}/go ]; do sleep 0.02; done
      - seq -f '%.0f the line of a log, which is of some length' 1 {lines} | tee {folder}/written; touch {folder}/through
"""
