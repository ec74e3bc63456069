"""`crm-sync sandbox …`: the commands live with the sandbox, which also runs by itself."""

from crm_sync.sandbox.commands import app

__all__ = ["app"]
