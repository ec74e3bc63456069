"""Where HubSpot's behaviour differs between accounts, versions or reports, and which one this portal shows."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True, kw_only=True)
class Behaviour:
    """Switches; each may be turned while the portal runs (`{"do": "set_behaviour", …}`).

    `batch_update_trace_207`: a batch update whose inputs all carry an objectWriteTraceId answers errors by record
    (207); otherwise one bad value refuses the whole batch (400). Documented for batch create only.
    `rotate_refresh_tokens`: each refresh gives a new refresh token and the old one is refused from then on.
    `lifecycle_backwards`: what an app's attempt to move lifecyclestage back does: `ignore` or `refuse`.
    `validation_errors`: `full`; `message_only` leaves `errors` out; `nameless` leaves `name` out of the message too.
    `batch_update_status`: the status of a batch update without errors; 201 imitates the drift that clients met.
    `shuffle_results`: batch results come in another order than their inputs.
    """

    batch_update_trace_207: bool = True
    rotate_refresh_tokens: bool = False
    lifecycle_backwards: str = "ignore"
    validation_errors: str = "full"
    batch_update_status: int = 200
    shuffle_results: bool = True
