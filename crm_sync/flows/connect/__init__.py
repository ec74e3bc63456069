"""Connect: sign in to an org or portal, look whether all that we need is there, and remember it as a connection."""

from crm_sync.flows.connect.flow import connect
from crm_sync.flows.connect.look import Steps
from crm_sync.flows.connect.request import Connected, Means, Person, Request
from crm_sync.flows.connect.revisit import revisit

__all__ = ["Connected", "Means", "Person", "Request", "Steps", "connect", "revisit"]
