"""`python -m crm_sync.sandbox serve`"""

from crm_sync.sandbox.commands import app

if __name__ == "__main__":
    app(prog_name="python -m crm_sync.sandbox")
