"""The ids that a population's Salesforce rows bring along."""

from __future__ import annotations

from functools import cache

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
    head, check = _ends(object, batch)
    return f"{head}{number:010d}{check}"


@cache
def _ends(object: str, batch: str) -> tuple[str, str]:
    """What stands before and behind the ten digits; digits have no case, so the check depends on the head alone."""
    head = PREFIXES[object] + batch
    capitals = sum(1 << place for place, letter in enumerate(head) if letter.isupper())
    return head, f"{_SUFFIX[capitals]}AA"
