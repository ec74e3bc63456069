"""What a HubSpot portal holds of calls, mails, meetings, notes and tasks.

Source: HubSpot engagement guides (emails, calls, meetings, notes, tasks). `hs_timestamp` is when it happened, the
record's own created stamp when it was logged.
"""

from __future__ import annotations

import math
from datetime import UTC, datetime

from crm_sync.sandbox.population import words
from crm_sync.sandbox.population.interest import CALL_IN, CALL_OUT, EMAIL_IN, EMAIL_OUT, MEETING, NOTE

CONNECTED = "f240bbac-87c9-4f6e-bf70-924b57d47db7"
VOICEMAIL = "b2cf5968-551e-4856-9783-52b3da59a7d0"
NO_ANSWER = "73a0d17f-1163-4015-bdd5-ec830791da20"


def activity(kind: int, at: float, a: float, b: float) -> tuple[str, dict[str, str]]:
    """The object type and the properties of one activity; `a` and `b` are draws between 0 and 1."""
    when = moment_text(at)
    if kind in (EMAIL_IN, EMAIL_OUT):
        subject = words.MAIL_SUBJECTS[int(a * len(words.MAIL_SUBJECTS))]
        return "emails", {
            "hs_timestamp": when,
            "hs_email_direction": "INCOMING_EMAIL" if kind == EMAIL_IN else "EMAIL",
            "hs_email_status": "BOUNCED" if kind == EMAIL_OUT and b > 0.98 else "SENT",
            "hs_email_subject": f"Re: {subject}" if kind == EMAIL_IN else subject,
        }
    if kind in (CALL_IN, CALL_OUT):
        reached = kind == CALL_IN or a < 0.45
        return "calls", {
            "hs_timestamp": when,
            "hs_call_direction": "INBOUND" if kind == CALL_IN else "OUTBOUND",
            "hs_call_duration": str(int(60_000 + 1_500_000 * a) if reached else int(30_000 * b)),
            "hs_call_status": "COMPLETED" if reached else "NO_ANSWER",
            "hs_call_disposition": CONNECTED if reached else VOICEMAIL if b < 0.4 else NO_ANSWER,
            "hs_call_title": words.CALL_SUBJECTS[int(b * len(words.CALL_SUBJECTS))],
        }
    if kind == MEETING:
        return "meetings", {
            "hs_timestamp": when,
            "hs_meeting_title": words.MEETING_SUBJECTS[int(a * len(words.MEETING_SUBJECTS))],
            "hs_meeting_start_time": when,
            "hs_meeting_end_time": moment_text(at + 1800 * (1 + int(b * 3))),
            "hs_meeting_outcome": "COMPLETED" if b < 0.8 else "NO_SHOW" if b < 0.9 else "CANCELED",
        }
    if kind == NOTE:
        return "notes", {
            "hs_timestamp": when,
            "hs_note_body": words.NOTES[int(a * len(words.NOTES))].format(q=1 + int(b * 4)),
        }
    return "tasks", {
        "hs_timestamp": when,
        "hs_task_subject": words.TASK_SUBJECTS[int(a * len(words.TASK_SUBJECTS))],
        "hs_task_status": "COMPLETED" if b < 0.7 else "NOT_STARTED",
        "hs_task_priority": "MEDIUM" if a < 0.3 else "NONE",
        "hs_task_type": "TODO",
    }


def moment_text(seconds: float) -> str:
    return datetime.fromtimestamp(math.floor(seconds), UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")
