"""A Salesforce org in memory behind real HTTP, for the unmodified simple-salesforce client."""

from crm_sync.sandbox.salesforce.org import DEFAULT_ORG_ID, SalesforceOrg
from crm_sync.sandbox.salesforce.refusals import Refusal
from crm_sync.sandbox.salesforce.sessions import Credentials, Login
from crm_sync.sandbox.salesforce.web import salesforce_app

__all__ = ["DEFAULT_ORG_ID", "Credentials", "Login", "Refusal", "SalesforceOrg", "salesforce_app"]
