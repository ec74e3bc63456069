"""crm-sync: scores, buckets, reasons and owners for leads, written back into Salesforce and HubSpot."""

__version__ = "0.1.0"
