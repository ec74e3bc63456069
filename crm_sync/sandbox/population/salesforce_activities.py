"""What a Salesforce org holds of calls, mails, meetings, notes, tasks and campaign responses.

Source: Salesforce object reference, for Task, Event and CampaignMember. CreatedDate is when an activity was logged;
ActivityDate is the day that somebody typed, which may be wrong.
"""

from __future__ import annotations

import math
from collections import defaultdict
from datetime import timedelta
from typing import Any

from crm_sync.sandbox.population import words
from crm_sync.sandbox.population.interest import CALL_IN, CALL_OUT, CAMPAIGN, EMAIL_IN, EMAIL_OUT, NOTE
from crm_sync.sandbox.population.people import DAY, HISTORY_DAYS
from crm_sync.sandbox.population.salesforce_ids import record_id
from crm_sync.sandbox.population.world import World, moment

Row = dict[str, Any]
CAMPAIGN_TYPES = ("Webinar", "Conference", "Email", "Content Download", "Demo Request")


def task(
    number: int, kind: int, who: str, owner: str, at: float, recorded: float, now: float, a: float, b: float
) -> Row:
    done = kind in (EMAIL_IN, EMAIL_OUT, CALL_IN, CALL_OUT, NOTE, CAMPAIGN) or a < 0.7
    # Whoever logs late back-dates the day; one in twenty types a wrong one.
    day = moment(at if b < 0.95 else at - 7 * DAY).date().isoformat()
    row: Row = {
        "Id": record_id("Task", number),
        "WhoId": who,
        "OwnerId": owner,
        "ActivityDate": day,
        "Status": "Completed" if done else "Not Started",
        "IsClosed": done,
        "Priority": "Normal",
        "TaskSubtype": "Task",
        "IsArchived": done and now - at > 365 * DAY,
        "CreatedDate": moment(recorded),
        "CompletedDateTime": moment(recorded) if done else None,
    }
    if kind in (CALL_IN, CALL_OUT):
        reached = kind == CALL_IN or a < 0.45
        return row | {
            "Subject": words.CALL_SUBJECTS[int(b * len(words.CALL_SUBJECTS))],
            "TaskSubtype": "Call",
            "Type": "Call",
            "CallType": "Inbound" if kind == CALL_IN else "Outbound",
            "CallDurationInSeconds": int(60 + 1500 * a) if reached else int(30 * b),
            "CallDisposition": "Connected" if reached else "Left voicemail" if b < 0.4 else "No answer",
        }
    if kind in (EMAIL_IN, EMAIL_OUT):
        subject = words.MAIL_SUBJECTS[int(b * len(words.MAIL_SUBJECTS))]
        heading = f"Email: Re: {subject}" if kind == EMAIL_IN else f"Email: {subject}"
        return row | {"Subject": heading, "TaskSubtype": "Email", "Type": "Email"}
    if kind == NOTE:
        return row | {"Subject": "Note", "Description": words.NOTES[int(b * len(words.NOTES))].format(q=1 + int(a * 4))}
    return row | {"Subject": words.TASK_SUBJECTS[int(b * len(words.TASK_SUBJECTS))]}


def event(number: int, who: str, owner: str, at: float, recorded: float, draw: float) -> Row:
    minutes = (30, 45, 60, 90)[int(draw * 4)]
    start = moment(at)
    return {
        "Id": record_id("Event", number),
        "WhoId": who,
        "OwnerId": owner,
        "Subject": words.MEETING_SUBJECTS[int(draw * len(words.MEETING_SUBJECTS))],
        "StartDateTime": start,
        "EndDateTime": start + timedelta(minutes=minutes),
        "ActivityDate": start.date().isoformat(),
        "DurationInMinutes": minutes,
        "IsAllDayEvent": False,
        "ShowAs": "Busy",
        "CreatedDate": moment(recorded),
    }


class Campaigns:
    """Four dozen campaigns, and who responded. Somebody is a member of a campaign once at most."""

    COUNT = 48

    def __init__(self, world: World) -> None:
        self._now = world.now
        self._spacing = HISTORY_DAYS * DAY / self.COUNT
        self._first = world.now - HISTORY_DAYS * DAY
        self._joined: defaultdict[int, set[int]] = defaultdict(set)
        self._members: list[Row] = []

    def respond(self, person: int, lead: str | None, contact: str | None, at: float) -> bool:
        """Note a response to the campaign that runs at `at`; false where that one has been answered already."""
        campaign = min(self.COUNT - 1, max(0, int((at - self._first) / self._spacing)))
        if campaign in self._joined[person]:
            return False
        self._joined[person].add(campaign)
        self._members.append(
            {
                "Id": record_id("CampaignMember", len(self._members) + 1),
                "CampaignId": record_id("Campaign", campaign + 1),
                "LeadId": lead,
                "ContactId": contact,
                "Status": "Responded",
                "HasResponded": True,
                "FirstRespondedDate": moment(at).date().isoformat(),
                "CreatedDate": moment(at),
            }
        )
        return True

    def rows(self) -> dict[str, list[Row]]:
        campaigns, statuses = [], []
        for n in range(1, self.COUNT + 1):
            start = moment(math.floor(self._first + (n - 1) * self._spacing))
            kind = CAMPAIGN_TYPES[n % len(CAMPAIGN_TYPES)]
            campaigns.append(
                {
                    "Id": record_id("Campaign", n),
                    "Name": f"{kind} {start:%b %Y} #{n}",
                    "Type": kind,
                    "Status": "Completed" if n < self.COUNT else "In Progress",
                    "IsActive": n == self.COUNT,
                    "StartDate": start.date().isoformat(),
                    "CreatedDate": start,
                }
            )
            for label, responded in (("Sent", False), ("Responded", True)):
                statuses.append(
                    {
                        "CampaignId": record_id("Campaign", n),
                        "Label": label,
                        "HasResponded": responded,
                        "CreatedDate": start,
                    }
                )
        return {"Campaign": campaigns, "CampaignMemberStatus": statuses, "CampaignMember": self._members}
