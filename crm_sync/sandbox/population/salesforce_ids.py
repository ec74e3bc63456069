"""The ids that a population's Salesforce rows bring along."""

from __future__ import annotations

PREFIXES = {
    "User": "005",
    "Group": "00G",
    "Account": "001",
    "Contact": "003",
    "Lead": "00Q",
    "Opportunity": "006",
    "Task": "00T",
    "Event": "00U",
    "Campaign": "701",
    "CampaignMember": "00v",
    "Individual": "0PK",
    "LeadHistory": "017",
}
_SUFFIX = "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"


def record_id(object: str, number: int, batch: str = "PL") -> str:
    """The 18-character id of the `number`th row; its last three characters tell the case of the first fifteen.

    `batch` is two characters that keep the rows of one load apart from those of another.
    """
    body = f"{PREFIXES[object]}{batch}{number:010d}"
    capitals = sum(1 << place for place, letter in enumerate(body[:5]) if letter.isupper())
    return f"{body}{_SUFFIX[capitals]}AA"
