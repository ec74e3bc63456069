"""Laws 18 and 19: what is derived from the installation's secret is worth nothing without it."""

from __future__ import annotations

import pytest

from crm_sync.domain.keys import Keys
from crm_sync.errors import ConfigError

OURS, OTHERS = Keys("the secret of one installation"), Keys("the secret of another installation")


def test_given_an_address_when_named_by_its_pseudonym_then_only_the_same_secret_finds_it_again() -> None:
    ours = OURS.pseudonym("production/email", "ana@acme.eu")

    assert ours == Keys("the secret of one installation").pseudonym("production/email", "ana@acme.eu")
    assert ours != OTHERS.pseudonym("production/email", "ana@acme.eu")
    assert ours != OURS.pseudonym("test/email", "ana@acme.eu")


def test_given_sealed_credentials_when_opened_with_another_secret_then_it_says_what_to_do() -> None:
    sealed = OURS.seal({"access_token": "opensesame"})

    assert b"opensesame" not in sealed
    assert OURS.open(sealed) == {"access_token": "opensesame"}
    with pytest.raises(ConfigError, match="another secret key"):
        OTHERS.open(sealed)


def test_given_a_block_when_its_root_is_made_then_secret_block_and_the_root_before_are_in_it() -> None:
    root = OURS.audit_root(b"before", b"block")

    others = [OTHERS.audit_root(b"before", b"block"), OURS.audit_root(b"", b"block"), OURS.audit_root(b"before", b"")]
    assert root not in others
