"""The supervisor process; `start` runs it, people don't."""

import sys

from crm_sync.embedded.supervisor import run

if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
