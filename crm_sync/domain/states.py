"""State codes: scored, or the one reason why there is no score; and the words that people read instead."""

from __future__ import annotations

from enum import StrEnum


class State(StrEnum):
    """What the card shows. Where several apply, the first in this order counts."""

    ERASURE_REQUESTED = "erasure_requested"
    PROCESSING_REFUSED = "processing_refused"
    CONSENT_REFUSED = "consent_refused"
    CONSENT_EXPIRED = "consent_expired"
    CLOSED = "closed"
    CONSENT_UNKNOWN = "consent_unknown"
    CONVERTED = "converted"
    TEST_RECORD = "test_record"
    HELD = "held"
    NOT_ENOUGH_DATA = "not_enough_data"
    SCORED = "scored"


CONSENT_STATES = frozenset(
    {
        State.ERASURE_REQUESTED,
        State.PROCESSING_REFUSED,
        State.CONSENT_REFUSED,
        State.CONSENT_EXPIRED,
        State.CONSENT_UNKNOWN,
    }
)
"""Without consent the only writes are clears and the state code (law 8), whatever the policy says of old scores."""

STATE_WORDS: dict[State, str] = {
    State.ERASURE_REQUESTED: "Not scored, because this person asked to be forgotten.",
    State.PROCESSING_REFUSED: "Not scored, because this person refused that their data is processed.",
    State.CONSENT_REFUSED: "Not scored, because this person refused profiling.",
    State.CONSENT_EXPIRED: "Not scored, because this person's consent to profiling has run out.",
    State.CONSENT_UNKNOWN: "Not scored, because this person never agreed to profiling and their country requires it.",
    State.CLOSED: "Not scored, because no open record of this person is left.",
    State.CONVERTED: "Not scored, because this person has already converted.",
    State.TEST_RECORD: "Not scored, because this looks like a test record.",
    State.HELD: "Not scored, because the data doesn't add up.",
    State.NOT_ENOUGH_DATA: "Not scored, because there is not enough data: a usable e-mail address or phone number.",
    State.SCORED: "Scored.",
}
"""One plain sentence for each state; the same in both CRMs."""
