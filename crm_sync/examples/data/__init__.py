"""Mappings for the public data sets that `crm-sync sandbox load` has ready load files for, and a policy for them.

They stand for orgs of customers: docs/real-data.md says how to run them.
"""
