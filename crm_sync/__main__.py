"""`python -m crm_sync` is `crm-sync`."""

from crm_sync.cli import main

main()
