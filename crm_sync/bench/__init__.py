"""What the work costs, counted: `python -m crm_sync.bench`, or `make bench`.

The CRMs are sandboxes in a process of their own, and count calls and field writes. The flows run in another process
as the workers run them, and tell its statements, CPU time and peak memory. Nothing of the product imports this.
"""
